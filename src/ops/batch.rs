//! Exact search of many queries in one pass over rows, on all cores or a GPU.

use std::collections::{HashMap, VecDeque};

use pgnear_device::{CancelFlag, Device, DeviceError, MemoryBudget, Pool, Progress, Wanted};
use pgnear_quant::{Cpu, Job, Knn};
use pgnear_values::ValueError;

use crate::pg::gpu::{self, Running};
use crate::pg::memory::no_memory;
use crate::pg::rows::{Found, Keeper, Rows, Together};
use crate::pg::settings;

/// Rows read at a time.
pub const FETCH: usize = 1000;
/// Bytes of vectors that threads go through at a time.
const BATCH_BYTES: usize = 4 << 20;

/// Queries of so many dimensions that may go through the rows together, with what they find.
pub fn most_queries(wanted: &Wanted, dims: usize, budget: &MemoryBudget) -> usize {
    // A device has a copy of the vectors.
    let bytes = dims * 8 + Knn::bytes_a_query(wanted.k.min(1000));
    (budget.limit_bytes() / bytes).max(FETCH)
}

impl Together {
    /// Searches, on a GPU where that pays. `open` starts to read the rows, again where the GPU fails.
    ///
    /// # Errors
    /// Vectors of other dimensions, no memory, and those of reading.
    pub fn search<R: Rows>(
        &self,
        expected_rows: f64,
        open: &mut dyn FnMut() -> Result<R, ValueError>,
    ) -> Result<Found<R::Keeper>, ValueError> {
        let mut run = |device: &mut dyn Device<ValueError>| {
            let mut rows = open().map_err(DeviceError::Poll)?;
            self.search_on(device, &mut rows)
        };
        let multiplications = self.vectors.len() as f64 * expected_rows;
        let found = match Running::start((self.wanted, self.dims), multiplications)? {
            Some(mut gpu) => gpu.run(&mut run)?,
            None => None,
        };
        match found {
            Some(found) => Ok(found),
            None => on_cpu(run),
        }
    }

    /// Goes through all rows.
    fn search_on<R: Rows>(
        &self,
        device: &mut dyn Device<ValueError>,
        rows: &mut R,
    ) -> Result<Found<R::Keeper>, DeviceError<ValueError>> {
        let mut dims = self.dims;
        let mut search = device.search(self.wanted, dims, &self.vectors)?;
        let mut batch = Vec::new();
        let mut kept = Kept::new(rows.keeper());
        loop {
            let fetched = rows
                .fetch(FETCH, &mut |payload, keep| {
                    if let Some(payload) = payload {
                        self.kind.append(payload, &mut dims, &mut batch)?;
                        kept.waiting.try_reserve(1).map_err(no_memory)?;
                        kept.waiting.push_back(keep());
                    }
                    Ok(())
                })
                .map_err(DeviceError::Poll)?;
            if fetched > 0 && batch.len() * 4 < BATCH_BYTES {
                continue;
            }
            search.offer(&batch)?;
            batch.clear();
            while let Some(held) = search.settled(fetched == 0)? {
                kept.sort_out(&held).map_err(DeviceError::Poll)?;
            }
            if kept.is_large()
                && let Some(held) = search.held()
            {
                kept.keep_only(&held).map_err(DeviceError::Poll)?;
            }
            if fetched == 0 {
                break;
            }
        }
        Ok(Found {
            neighbours: search.finish()?,
            keeper: kept.keeper,
            rows: kept.found,
        })
    }
}

/// Runs a search on all cores.
fn on_cpu<T>(
    run: impl FnOnce(&mut dyn Device<ValueError>) -> Result<T, DeviceError<ValueError>>,
) -> Result<T, ValueError> {
    let pool = Pool::new(settings::search_threads());
    let (cancel, progress) = (CancelFlag::new(), Progress::new());
    let mut job = Job::<ValueError> {
        pool: &pool,
        budget: &MemoryBudget::unlimited(),
        cancel: &cancel,
        progress: &progress,
        poll: &mut || {
            pgrx::check_for_interrupts!();
            Ok(())
        },
    };
    run(&mut Cpu::new(&mut job)).map_err(gpu::value_error_of)
}

/// Rows that may be found.
struct Kept<K: Keeper> {
    keeper: K,
    /// Those whose fate is not known yet, from number `first` on.
    waiting: VecDeque<K::Kept>,
    first: u64,
    found: HashMap<u64, K::Kept>,
    /// Above this many found ones it is worth asking which are still held.
    large: usize,
}

impl<K: Keeper> Kept<K> {
    fn new(keeper: K) -> Self {
        Kept {
            keeper,
            waiting: VecDeque::new(),
            first: 0,
            found: HashMap::new(),
            large: 1 << 16,
        }
    }

    /// Takes what came of the earliest rows that wait.
    fn sort_out(&mut self, held: &[bool]) -> Result<(), ValueError> {
        let count = held.iter().filter(|held| **held).count();
        self.found.try_reserve(count).map_err(no_memory)?;
        for (&held, kept) in held.iter().zip(self.waiting.drain(..held.len())) {
            if held {
                self.found.insert(self.first, kept);
            } else {
                self.keeper.forget(kept);
            }
            self.first += 1;
        }
        Ok(())
    }

    fn is_large(&self) -> bool {
        self.found.len() > self.large
    }

    /// Forgets all but these.
    fn keep_only(&mut self, rows: &[u64]) -> Result<(), ValueError> {
        let mut still: HashMap<u64, K::Kept> = HashMap::new();
        still.try_reserve(self.found.len()).map_err(no_memory)?;
        for row in rows {
            if let Some(kept) = self.found.remove(row) {
                still.insert(*row, kept);
            }
        }
        let keeper = self.keeper;
        self.found.drain().for_each(|(_, kept)| keeper.forget(kept));
        self.found = still;
        self.large = (2 * self.found.len()).max(self.large);
        Ok(())
    }
}
