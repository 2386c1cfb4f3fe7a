//! What an index build gets from PostgreSQL: the rows, a sample of them, an external sort, threads,
//! memory limits and progress.

use std::ffi::c_void;

use pgnear_ann::{Store, Tid};
use pgnear_device::Pool;
use pgrx::pg_sys;

use super::index::{AmError, Index};
use super::row::{ValueKind, split_value, tid_from};
use super::store::PgBulkWriter;
use super::value::payload;
use super::{memory::Scratch, settings};

/// Rows seen and rows indexed, as PostgreSQL's statistics want them.
#[derive(Debug, Default, Clone, Copy)]
pub struct BuildTotals {
    pub heap_rows: f64,
    pub index_rows: f64,
}

/// One index build.
pub struct Builds<'rel> {
    heap: pg_sys::Relation,
    index: Index<'rel>,
    info: *mut pg_sys::IndexInfo,
    /// Rows read so far whose value was not in the row itself.
    out_of_line: u64,
}

/// What is done with a row: its address, its dimensions, and the bytes of its elements.
pub type RowSink<'a> = dyn FnMut(Tid, u32, &[u8]) -> Result<(), AmError> + 'a;

impl<'rel> Builds<'rel> {
    /// # Safety
    /// The arguments of `ambuild`.
    pub(super) unsafe fn new(
        heap: pg_sys::Relation,
        index: Index<'rel>,
        info: *mut pg_sys::IndexInfo,
    ) -> Self {
        Builds {
            heap,
            index,
            info,
            out_of_line: 0,
        }
    }

    /// A writer for the pages of the new index. Logs nothing before [`PgBulkWriter::log`].
    pub fn writer(&self) -> PgBulkWriter {
        self.index.bulk_writer(pg_sys::ForkNumber::MAIN_FORKNUM)
    }

    /// Whether a scan of the index can read the table's rows.
    pub fn is_on_heap(&self) -> bool {
        // SAFETY: the heap is open.
        unsafe { super::table::is_heap(self.heap) }
    }

    /// Whether a scan of the index can read the indexed values in the table: not those of an
    /// expression, which take long to compute.
    pub fn is_readable_later(&self) -> bool {
        // SAFETY: the heap is open, and the index has one column.
        unsafe {
            super::table::is_heap(self.heap)
                && (*(*self.index.relation()).rd_index)
                    .indkey
                    .values
                    .as_slice(1)[0]
                    > 0
        }
    }

    /// Rows read so far whose value was not in the row itself.
    pub fn out_of_line(&self) -> u64 {
        self.out_of_line
    }

    /// Rows that the table can have at most, by its pages.
    pub fn most_rows(&self) -> usize {
        const MOST_ROWS_A_PAGE: usize = super::store::PAGE_SIZE / 28; // line pointer and tuple header
        // SAFETY: the heap is open.
        let blocks = unsafe {
            pg_sys::RelationGetNumberOfBlocksInFork(self.heap, pg_sys::ForkNumber::MAIN_FORKNUM)
        };
        blocks as usize * MOST_ROWS_A_PAGE
    }

    /// `maintenance_work_mem` in bytes.
    pub fn memory_limit(&self) -> usize {
        // SAFETY: a setting, read on the backend's thread.
        unsafe { pg_sys::maintenance_work_mem as usize * 1024 }
    }

    /// Rows that the planner expects of the table.
    pub fn expected_rows(&self) -> f64 {
        let (mut pages, mut rows, mut visible) = (0, 0.0, 0.0);
        // SAFETY: the heap is open; there is room for the three results.
        unsafe {
            let none = std::ptr::null_mut();
            let (pages, visible) = (&raw mut pages, &raw mut visible);
            pg_sys::estimate_rel_size(self.heap, none, pages, &raw mut rows, visible);
        }
        rows
    }

    /// Threads for this build.
    pub fn pool(&self) -> Pool {
        Pool::new(self.threads())
    }

    /// Threads for this build: `pgnear.max_threads`, or what a parallel build may use.
    pub fn threads(&self) -> usize {
        let wanted = match settings::max_threads() {
            // SAFETY: a setting, read on the backend's thread.
            0 => unsafe { pg_sys::max_parallel_maintenance_workers as usize + 1 },
            threads => threads,
        };
        let cores = std::thread::available_parallelism().map_or(1, |cores| cores.get());
        wanted.min(cores)
    }

    pub(super) fn heap(&self) -> pg_sys::Relation {
        self.heap
    }

    pub(super) fn index(&self) -> Index<'rel> {
        self.index
    }

    pub(super) fn info(&self) -> *mut pg_sys::IndexInfo {
        self.info
    }

    /// Reads the rows of randomly chosen blocks: as many blocks as rows are wanted, so that the
    /// sample is spread over the table. Repeats with the same `seed`.
    pub fn scan_sample(
        &mut self,
        wanted: usize,
        seed: u64,
        sink: &mut RowSink<'_>,
    ) -> Result<(), AmError> {
        // SAFETY: the heap is open.
        let blocks = unsafe {
            pg_sys::RelationGetNumberOfBlocksInFork(self.heap, pg_sys::ForkNumber::MAIN_FORKNUM)
        };
        let mut random = SplitMix(seed);
        let mut left_to_choose = wanted.min(blocks as usize) as u64;
        // Selection sampling: Knuth, The Art of Computer Programming 2, algorithm 3.4.2 S.
        for block in 0..blocks {
            if left_to_choose == 0 {
                break;
            }
            if random.below(u64::from(blocks - block)) < left_to_choose {
                left_to_choose -= 1;
                self.scan_blocks(block, 1, true, std::ptr::null_mut(), sink)?;
                pgrx::check_for_interrupts!();
            }
        }
        Ok(())
    }

    fn scan_blocks(
        &mut self,
        first: u32,
        blocks: u32,
        sample: bool,
        part: pg_sys::TableScanDesc,
        sink: &mut RowSink<'_>,
    ) -> Result<f64, AmError> {
        let mut state = RowState {
            index: self.index,
            sink,
            scratch: Scratch::new(),
            out_of_line: 0,
            kind: ValueKind::of(self.index),
            error: None,
        };
        let (heap, index, info) = (self.heap, self.index.relation(), self.info);
        let state_pointer: *mut RowState<'_, '_> = &raw mut state;
        // SAFETY: the arguments of ambuild; the callback gets the state that outlives the call.
        let rows = unsafe {
            let scan = (*(*heap).rd_tableam)
                .index_build_range_scan
                .expect("table access methods scan for index builds");
            super::raw::guarded(move || {
                scan(
                    heap,
                    index,
                    info,
                    false,
                    sample,
                    !sample,
                    first,
                    blocks,
                    Some(take_row),
                    state_pointer.cast(),
                    part,
                )
            })
        };
        self.out_of_line += state.out_of_line;
        state.error.map_or(Ok(rows), Err)
    }

    /// Shows the build's phase: the `n`-th of the access method's own, from 0.
    pub fn phase(&self, n: usize) {
        progress(pg_sys::PROGRESS_CREATEIDX_SUBPHASE, n as i64 + 2);
    }

    pub fn rows_total(&self, rows: u64) {
        progress(pg_sys::PROGRESS_CREATEIDX_TUPLES_TOTAL, rows as i64);
    }

    pub fn rows_done(&self, rows: u64) {
        progress(pg_sys::PROGRESS_CREATEIDX_TUPLES_DONE, rows as i64);
    }

    /// Asks PostgreSQL whether the build should stop. For use as the `poll` of long work.
    pub fn poll(&self) -> Result<(), pgnear_ann::Error> {
        self.index.store().check_interrupts()
    }
}

/// The rows of a table that one process reads: all, or what a parallel scan gives it.
pub struct RowScan<'b, 'rel> {
    builds: &'b mut Builds<'rel>,
    part: pg_sys::ParallelTableScanDesc,
}

impl<'b, 'rel> RowScan<'b, 'rel> {
    /// All rows.
    pub fn whole(builds: &'b mut Builds<'rel>) -> Self {
        RowScan {
            builds,
            part: std::ptr::null_mut(),
        }
    }

    /// # Safety
    /// `part` is a parallel scan of the table of `builds` and stays valid.
    pub(super) unsafe fn part(
        builds: &'b mut Builds<'rel>,
        part: pg_sys::ParallelTableScanDesc,
    ) -> Self {
        RowScan { builds, part }
    }

    /// Rows that the planner expects, of the whole table or of an equal share of it for two.
    pub fn expected_rows(&self) -> f64 {
        let rows = self.builds.expected_rows();
        if self.part.is_null() {
            rows
        } else {
            rows / 2.0
        }
    }

    /// Reads every row to be indexed, in the order of the table. Returns how many rows there were.
    pub fn scan(&mut self, sink: &mut RowSink<'_>) -> Result<f64, AmError> {
        let part = if self.part.is_null() {
            std::ptr::null_mut()
        } else {
            // SAFETY: the promise of `part`. The scan is ended by the table's index scan.
            unsafe { pg_sys::table_beginscan_parallel(self.builds.heap, self.part) }
        };
        self.builds
            .scan_blocks(0, pg_sys::InvalidBlockNumber, false, part, sink)
    }
}

fn progress(parameter: u32, value: i64) {
    // SAFETY: a write into this backend's own progress entry.
    unsafe { pg_sys::pgstat_progress_update_param(parameter as i32, value) }
}

struct RowState<'rel, 'sink> {
    index: Index<'rel>,
    sink: &'sink mut RowSink<'sink>,
    /// Where fetched and decompressed values of one row live.
    scratch: Scratch,
    out_of_line: u64,
    kind: ValueKind,
    error: Option<AmError>,
}

unsafe extern "C-unwind" fn take_row(
    _index: pg_sys::Relation,
    tid: pg_sys::ItemPointer,
    values: *mut pg_sys::Datum,
    is_null: *mut bool,
    _alive: bool,
    state: *mut c_void,
) {
    // SAFETY: called by the table's index scan with one value and the state of scan_blocks.
    unsafe {
        pg_sys::panic::pgrx_extern_c_guard(|| {
            let state = &mut *state.cast::<RowState<'_, '_>>();
            if *is_null || state.error.is_some() {
                return;
            }
            let (index, sink) = (state.index, &mut state.sink);
            let value: *mut pg_sys::varlena = (*values).cast_mut_ptr();
            state.out_of_line += u64::from(pgrx::varlena::varatt_is_1b_e(value));
            let row = state.scratch.run(|| {
                let (dims, elements) = split_value(state.kind, payload(*values))?;
                sink(tid_from(&*tid), dims, elements)
            });
            if let Err(error) = row {
                // Nothing more is read: the error leaves through C code as an ERROR.
                index.fail(error);
            }
        });
    }
}

/// Steele, Lea and Flood, "Fast splittable pseudorandom number generators" (OOPSLA 2014).
pub struct SplitMix(pub u64);

impl SplitMix {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number below `bound`, which is not 0. The bias is below 2^-32 for the bounds used here.
    pub fn below(&mut self, bound: u64) -> u64 {
        ((u128::from(self.next()) * u128::from(bound)) >> 64) as u64
    }
}
