//! `pgnear_knn`: exact search of many queries in one pass over the rows, on all cores or a GPU.

use std::collections::{HashMap, TryReserveError, VecDeque};

use half::f16;
use pgnear_device::{
    CancelFlag, Device, DeviceError, MemoryBudget, Neighbour, Pool, Progress, Wanted,
};
use pgnear_kernels::{Metric, kernels};
use pgnear_quant::{Cpu, Job, Knn};
use pgnear_values::{Code, ValueError, error, halfvec, vector};
use pgrx::pg_sys;

use crate::pg::fmgr::{Call, Return};
use crate::pg::gpu::{self, Running};
use crate::pg::index::value_error;
use crate::pg::query::{Cursor, Id, Keeper, Matches, Queries, Row, type_name};
use crate::pg::settings;
use crate::sql_functions;

sql_functions! {
    pgnear_knn => knn;
}

/// Rows fetched from a cursor at a time.
const FETCH: usize = 1000;
/// Bytes of vectors that threads go through at a time.
const BATCH_BYTES: usize = 4 << 20;

fn knn(call: Call<'_>) -> Return {
    let mut matches = call.matches();
    let wanted = arguments(call)?;
    let connection = Queries::connect();
    let mut queries = connection.open("argument \"queries\"", call.text(0))?;
    let kind = Kind::of(&queries)?;
    let types = |rows: &Cursor<'_>| [queries.id_type, rows.id_type, pg_sys::FLOAT8OID];
    let expected_rows = {
        let rows = connection.open("argument \"rows\"", call.text(1))?;
        matches.check(types(&rows))?;
        if Kind::of(&rows)? != kind {
            return Err(value_error(
                Code::InvalidParameterValue,
                "queries and rows of pgnear_knn are of different types",
                Some("Cast one to the type of the other."),
            ));
        }
        let expected_rows = rows.expected_rows();
        rows.close();
        expected_rows
    };
    let keeper = queries.keeper();
    let budget = MemoryBudget::new(settings::work_mem());
    // As many queries as work_mem holds go through the rows together.
    while let Some(some) = some_queries(&mut queries, kind, &wanted, &budget)? {
        let run = |device: &mut dyn Device<ValueError>| {
            let mut rows = connection
                .open("argument \"rows\"", call.text(1))
                .map_err(DeviceError::Poll)?;
            let found = search(device, wanted, kind, &some, &mut rows);
            rows.close();
            found
        };
        let multiplications = some.vectors.len() as f64 * expected_rows;
        let found = match Running::start((wanted, some.dims), multiplications)? {
            Some(mut gpu) => gpu.run(run)?,
            None => None,
        };
        let found = match found {
            Some(found) => found,
            None => on_cpu(run)?,
        };
        found.tell(&some.ids, &mut matches)?;
        some.ids.into_iter().for_each(|id| keeper.forget(id));
    }
    queries.close();
    drop(connection);
    matches.finish()
}

/// Runs a search on all cores.
fn on_cpu(
    run: impl FnOnce(&mut dyn Device<ValueError>) -> Result<Found, DeviceError<ValueError>>,
) -> Result<Found, ValueError> {
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

fn arguments(call: Call<'_>) -> Result<Wanted, ValueError> {
    let names = ["queries", "rows", "k", "operator"];
    if let Some(at) = (0..names.len()).find(|at| call.is_null(*at)) {
        let what = format!("argument \"{}\" of pgnear_knn is NULL", names[at]);
        return Err(value_error(Code::NullValueNotAllowed, what, None));
    }
    let metric = match call.text(3) {
        b"<->" => Metric::L2,
        b"<#>" => Metric::InnerProduct,
        b"<=>" => Metric::Cosine,
        b"<+>" => Metric::L1,
        other => {
            return Err(value_error(
                Code::InvalidParameterValue,
                format!(
                    "pgnear_knn knows no operator {}",
                    String::from_utf8_lossy(other)
                ),
                Some("Use '<->', '<#>', '<=>' or '<+>'."),
            ));
        }
    };
    let k = usize::try_from(call.int4(2)).map_err(|_| {
        let what = format!("k is {}, and cannot be negative", call.int4(2));
        value_error(Code::InvalidParameterValue, what, None)
    })?;
    Ok(Wanted {
        metric,
        k,
        within: (!call.is_null(4)).then(|| call.float8(4)),
    })
}

/// The type of the vectors.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Vector,
    Halfvec,
}

impl Kind {
    fn of(cursor: &Cursor<'_>) -> Result<Kind, ValueError> {
        match type_name(cursor.value_type).as_str() {
            "vector" => Ok(Kind::Vector),
            "halfvec" => Ok(Kind::Halfvec),
            other => Err(value_error(
                Code::InvalidParameterValue,
                format!("pgnear_knn searches vector and halfvec, not {other}"),
                Some("Let the second column be a vector."),
            )),
        }
    }

    /// Appends a vector of `dims` dimensions, or of as many as the first has.
    fn append(self, payload: &[u8], dims: &mut usize, to: &mut Vec<f32>) -> Result<(), ValueError> {
        let count = match self {
            Kind::Vector => vector::view(payload)?.len(),
            Kind::Halfvec => halfvec::view(payload)?.len(),
        };
        if *dims == 0 {
            *dims = count;
        } else if *dims != count {
            let name = match self {
                Kind::Vector => "vector",
                Kind::Halfvec => "halfvec",
            };
            return Err(value_error(
                Code::DataException,
                format!("different {name} dimensions {dims} and {count}"),
                None,
            ));
        }
        to.try_reserve(count).map_err(|_| error::out_of_memory())?;
        match self {
            Kind::Vector => to.extend_from_slice(vector::view(payload)?),
            Kind::Halfvec => {
                let halves: &[f16] = halfvec::view(payload)?;
                let start = to.len();
                to.resize(start + count, 0.0);
                (kernels().f16_to_f32)(halves, &mut to[start..]);
            }
        }
        Ok(())
    }
}

/// Queries that go through the rows together.
struct Together {
    ids: Vec<Id>,
    dims: usize,
    /// One after the other.
    vectors: Vec<f32>,
}

/// The next queries, as many as the budget holds with what they find; `None` at the end. Queries
/// that are NULL find nothing.
fn some_queries(
    queries: &mut Cursor<'_>,
    kind: Kind,
    wanted: &Wanted,
    budget: &MemoryBudget,
) -> Result<Option<Together>, ValueError> {
    let keeper = queries.keeper();
    let (mut ids, mut vectors, mut dims) = (Vec::new(), Vec::new(), 0);
    loop {
        // A device has a copy of the vectors.
        let bytes = dims * 8 + Knn::bytes_a_query(wanted.k.min(1000));
        let most = (budget.limit_bytes() / bytes).max(FETCH);
        let room = most.saturating_sub(ids.len());
        if room == 0 {
            break;
        }
        let fetched = queries.fetch(room.min(FETCH), &mut |row| {
            if let Some(payload) = row.value {
                kind.append(payload, &mut dims, &mut vectors)?;
                ids.try_reserve(1).map_err(no_memory)?;
                ids.push(keeper.keep(&row));
            }
            Ok(())
        })?;
        if fetched == 0 {
            break;
        }
    }
    Ok((!ids.is_empty()).then_some(Together { ids, dims, vectors }))
}

/// What some queries found.
struct Found {
    neighbours: Vec<Vec<Neighbour>>,
    /// The ids of the rows found, by number, and of some others.
    ids: HashMap<u64, Id>,
    keeper: Keeper,
}

impl Found {
    /// Adds it to the result.
    fn tell(self, queries: &[Id], matches: &mut Matches) -> Result<(), ValueError> {
        for (query, neighbours) in queries.iter().zip(&self.neighbours) {
            for neighbour in neighbours {
                if let Some(id) = self.ids.get(&neighbour.row) {
                    matches.push(*query, *id, neighbour.distance);
                }
            }
            pgrx::check_for_interrupts!();
        }
        for (_, id) in self.ids {
            self.keeper.forget(id);
        }
        Ok(())
    }
}

/// Takes some queries through all rows.
fn search(
    device: &mut dyn Device<ValueError>,
    wanted: Wanted,
    kind: Kind,
    some: &Together,
    rows: &mut Cursor<'_>,
) -> Result<Found, DeviceError<ValueError>> {
    let mut dims = some.dims;
    let mut search = device.search(wanted, dims, &some.vectors)?;
    let mut batch = Vec::new();
    let mut kept = Kept::new(rows.keeper());
    loop {
        let fetched = rows
            .fetch(FETCH, &mut |row| {
                if let Some(payload) = row.value {
                    kind.append(payload, &mut dims, &mut batch)?;
                    kept.keep(&row)?;
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
        ids: kept.found,
    })
}

/// Ids of rows that may be found.
struct Kept {
    keeper: Keeper,
    /// Of rows whose fate is not known yet, from number `first` on.
    waiting: VecDeque<Id>,
    first: u64,
    found: HashMap<u64, Id>,
    /// Above this many found ones it is worth asking which are still held.
    large: usize,
}

impl Kept {
    fn new(keeper: Keeper) -> Kept {
        Kept {
            keeper,
            waiting: VecDeque::new(),
            first: 0,
            found: HashMap::new(),
            large: 1 << 16,
        }
    }

    /// Keeps the id of the next row.
    fn keep(&mut self, row: &Row<'_>) -> Result<(), ValueError> {
        self.waiting.try_reserve(1).map_err(no_memory)?;
        self.waiting.push_back(self.keeper.keep(row));
        Ok(())
    }

    /// Takes what came of the earliest rows that wait.
    fn sort_out(&mut self, held: &[bool]) -> Result<(), ValueError> {
        let count = held.iter().filter(|held| **held).count();
        self.found.try_reserve(count).map_err(no_memory)?;
        for (&held, id) in held.iter().zip(self.waiting.drain(..held.len())) {
            if held {
                self.found.insert(self.first, id);
            } else {
                self.keeper.forget(id);
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
        let mut still: HashMap<u64, Id> = HashMap::new();
        still.try_reserve(self.found.len()).map_err(no_memory)?;
        for row in rows {
            if let Some(id) = self.found.remove(row) {
                still.insert(*row, id);
            }
        }
        let keeper = self.keeper;
        self.found.drain().for_each(|(_, id)| keeper.forget(id));
        self.found = still;
        self.large = (2 * self.found.len()).max(self.large);
        Ok(())
    }
}

fn no_memory(_: TryReserveError) -> ValueError {
    error::out_of_memory()
}
