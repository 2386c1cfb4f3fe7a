//! Parallel workers for a build: each reads a share of the table, finds the list of every row, and
//! sorts its rows; the leader takes part, then merges what all have sorted.
//!
//! Follows PostgreSQL's own parallel builds (nbtsort.c): a shared table scan and a shared sort in
//! dynamic shared memory. What the leader knows and the workers need (the centroids) goes there
//! too, up to [`MAX_SHARED_BYTES`]: more, and the build stays in one process, where threads share
//! it.

use std::ffi::CStr;
use std::sync::atomic::{AtomicU64, Ordering};

use pgnear_device::Pool;
use pgrx::pg_sys;

use super::build::{Builds, RowScan};
use super::index::{AmError, Index};
use super::sort::{RowSort, Share, SortedSink};

/// What one process has read and kept.
#[derive(Debug, Default, Clone, Copy)]
pub struct Assigned {
    pub heap_rows: f64,
    pub index_rows: u64,
}

/// Reads rows, and puts each with its list into the sort. `shared` is what the leader passed.
pub type AssignRows =
    fn(shared: &[u64], &mut RowScan<'_, '_>, &Pool, &mut RowSort) -> Result<Assigned, AmError>;

/// More than this isn't passed to workers: containers often have 64 MB of shared memory.
const MAX_SHARED_BYTES: usize = 32 << 20;

const KEY_HEADER: u64 = 1;
const KEY_SCAN: u64 = 2;
const KEY_SORT: u64 = 3;
const KEY_SHARED: u64 = 4;
const KEY_QUERY: u64 = 5;
const KEY_BUFFERS: u64 = 6;
const KEY_WAL: u64 = 7;

/// Facts for the workers, and their counts.
#[repr(C)]
struct Header {
    heap: pg_sys::Oid,
    index: pg_sys::Oid,
    concurrent: bool,
    /// Processes that sort, the leader among them.
    participants: i32,
    memory: usize,
    shared_words: usize,
    heap_rows: AtomicU64,
    index_rows: AtomicU64,
}

impl Header {
    fn add(&self, assigned: Assigned) {
        self.heap_rows
            .fetch_add(assigned.heap_rows as u64, Ordering::Relaxed);
        self.index_rows
            .fetch_add(assigned.index_rows, Ordering::Relaxed);
    }
}

/// All rows of a build, sorted; from this process or from several.
pub struct Collected {
    sort: RowSort,
    parallel: Option<ParallelMode>,
    pub assigned: Assigned,
}

impl Collected {
    /// Hands out every row in order: list, row, elements.
    pub fn drain(self, sink: &mut SortedSink<'_>) -> Result<(), AmError> {
        self.sort.drain(sink)?;
        if let Some(parallel) = self.parallel {
            parallel.end();
        }
        Ok(())
    }
}

impl Builds<'_> {
    /// Runs `assign` over the table: in parallel workers, whose entry point is the exported symbol
    /// `entry`, where PostgreSQL grants some; else here, with `pool`.
    pub fn collect(
        &mut self,
        shared: &[u64],
        entry: &'static CStr,
        assign: AssignRows,
    ) -> Result<Collected, AmError> {
        let workers = self.parallel_workers();
        if workers > 0
            && size_of_val(shared) <= MAX_SHARED_BYTES
            && let Some(parallel) = ParallelMode::begin(self, shared, entry, workers)
        {
            return parallel.collect(self, shared, assign);
        }
        let mut sort = RowSort::new(self.memory_limit(), None);
        let pool = self.pool();
        let assigned = assign(shared, &mut RowScan::whole(self), &pool, &mut sort)?;
        Ok(Collected {
            sort,
            parallel: None,
            assigned,
        })
    }

    /// The workers that PostgreSQL's settings, the size of the table and its options allow.
    fn parallel_workers(&self) -> i32 {
        // SAFETY: the relations are open and locked.
        unsafe {
            #[cfg(any(feature = "pg17", feature = "pg18"))]
            {
                (*self.info()).ii_ParallelWorkers
            }
            // Before 17 only a btree's build was asked.
            #[cfg(not(any(feature = "pg17", feature = "pg18")))]
            {
                pg_sys::plan_create_index_workers(
                    (*self.heap()).rd_id,
                    (*self.index().relation()).rd_id,
                )
            }
        }
    }
}

/// The leader's side, from launching the workers to the end of the merge.
struct ParallelMode {
    context: *mut pg_sys::ParallelContext,
    header: *mut Header,
    scan: pg_sys::ParallelTableScanDesc,
    shared_sort: *mut pg_sys::Sharedsort,
    snapshot: Option<pg_sys::Snapshot>,
    buffers: *mut pg_sys::BufferUsage,
    wal: *mut pg_sys::WalUsage,
}

fn reserve(context: *mut pg_sys::ParallelContext, bytes: usize) {
    const ALIGN: usize = 32; // BUFFERALIGN, as shm_toc_allocate rounds
    // SAFETY: the context was just created.
    unsafe {
        (*context).estimator.space_for_chunks += bytes.next_multiple_of(ALIGN);
        (*context).estimator.number_of_keys += 1;
    }
}

impl ParallelMode {
    /// Launches workers; `None` where not one could be had.
    fn begin(
        builds: &Builds<'_>,
        shared: &[u64],
        entry: &'static CStr,
        workers: i32,
    ) -> Option<ParallelMode> {
        // SAFETY: the sequence of nbtsort.c: estimate, create the segment, fill it, launch. All
        // pointers into the segment stay valid until `end`. An error in between is cleaned up by
        // the abort of the transaction.
        unsafe {
            let concurrent = (*builds.info()).ii_Concurrent;
            pg_sys::EnterParallelMode();
            let context =
                pg_sys::CreateParallelContext(c"pgnear".as_ptr(), entry.as_ptr(), workers);
            let snapshot =
                concurrent.then(|| pg_sys::RegisterSnapshot(pg_sys::GetTransactionSnapshot()));
            let scan_snapshot = snapshot.unwrap_or(&raw mut pg_sys::SnapshotAnyData);
            let heap = builds.heap();
            let scan_bytes = pg_sys::table_parallelscan_estimate(heap, scan_snapshot);
            let participants = workers + 1;
            let sort_bytes = pg_sys::tuplesort_estimate_shared(participants);
            let query = pg_sys::debug_query_string;
            let query = if query.is_null() {
                c""
            } else {
                CStr::from_ptr(query)
            };
            let query_bytes = query.to_bytes_with_nul();
            let buffer_bytes = size_of::<pg_sys::BufferUsage>() * workers as usize;
            let wal_bytes = size_of::<pg_sys::WalUsage>() * workers as usize;
            for bytes in [
                size_of::<Header>(),
                scan_bytes,
                sort_bytes,
                size_of_val(shared),
                query_bytes.len(),
                buffer_bytes,
                wal_bytes,
            ] {
                reserve(context, bytes);
            }
            pg_sys::InitializeParallelDSM(context);
            if (*context).seg.is_null() {
                // No shared memory to be had: PostgreSQL gave the context private memory.
                if let Some(snapshot) = snapshot {
                    pg_sys::UnregisterSnapshot(snapshot);
                }
                pg_sys::DestroyParallelContext(context);
                pg_sys::ExitParallelMode();
                return None;
            }
            let toc = (*context).toc;
            let put = |key: u64, bytes: usize| {
                let place = pg_sys::shm_toc_allocate(toc, bytes);
                pg_sys::shm_toc_insert(toc, key, place);
                place.cast::<u8>()
            };
            let header: *mut Header = put(KEY_HEADER, size_of::<Header>()).cast();
            header.write(Header {
                heap: (*heap).rd_id,
                index: (*builds.index().relation()).rd_id,
                concurrent,
                participants,
                memory: builds.memory_limit() / participants as usize,
                shared_words: shared.len(),
                heap_rows: AtomicU64::new(0),
                index_rows: AtomicU64::new(0),
            });
            let scan: pg_sys::ParallelTableScanDesc = put(KEY_SCAN, scan_bytes).cast();
            pg_sys::table_parallelscan_initialize(heap, scan, scan_snapshot);
            let shared_sort: *mut pg_sys::Sharedsort = put(KEY_SORT, sort_bytes).cast();
            pg_sys::tuplesort_initialize_shared(shared_sort, participants, (*context).seg);
            let words = put(KEY_SHARED, size_of_val(shared)).cast::<u64>();
            std::ptr::copy_nonoverlapping(shared.as_ptr(), words, shared.len());
            let text = put(KEY_QUERY, query_bytes.len());
            std::ptr::copy_nonoverlapping(query_bytes.as_ptr(), text, query_bytes.len());
            let buffers = put(KEY_BUFFERS, buffer_bytes).cast();
            let wal = put(KEY_WAL, wal_bytes).cast();
            pg_sys::LaunchParallelWorkers(context);
            let parallel = ParallelMode {
                context,
                header,
                scan,
                shared_sort,
                snapshot,
                buffers,
                wal,
            };
            if (*context).nworkers_launched == 0 {
                parallel.end();
                return None;
            }
            Some(parallel)
        }
    }

    fn collect(
        self,
        builds: &mut Builds<'_>,
        shared: &[u64],
        assign: AssignRows,
    ) -> Result<Collected, AmError> {
        // SAFETY: the context and the segment live until `end`.
        unsafe {
            let participants = (*self.context).nworkers_launched + 1;
            let share = Share {
                sort: self.shared_sort,
                participants,
                worker: true,
            };
            let scan = RowScan::part(builds, self.scan);
            let assigned = participate(scan, shared, assign, share, (*self.header).memory)?;
            (*self.header).add(assigned);
            // Raises a worker's error here.
            pg_sys::WaitForParallelWorkersToFinish(self.context);
            let merge = Share {
                sort: self.shared_sort,
                participants,
                worker: false,
            };
            let sort = RowSort::new(builds.memory_limit(), Some(merge));
            let assigned = Assigned {
                heap_rows: (*self.header).heap_rows.load(Ordering::Relaxed) as f64,
                index_rows: (*self.header).index_rows.load(Ordering::Relaxed),
            };
            Ok(Collected {
                sort,
                parallel: Some(self),
                assigned,
            })
        }
    }

    /// Waits for the workers and leaves parallel mode.
    fn end(self) {
        // SAFETY: the sequence of nbtsort.c's _bt_end_parallel.
        unsafe {
            pg_sys::WaitForParallelWorkersToFinish(self.context);
            for n in 0..(*self.context).nworkers_launched as usize {
                pg_sys::InstrAccumParallelQuery(self.buffers.add(n), self.wal.add(n));
            }
            if let Some(snapshot) = self.snapshot {
                pg_sys::UnregisterSnapshot(snapshot);
            }
            pg_sys::DestroyParallelContext(self.context);
            pg_sys::ExitParallelMode();
        }
    }
}

/// One process's share: read, assign, sort.
fn participate(
    mut scan: RowScan<'_, '_>,
    shared: &[u64],
    assign: AssignRows,
    share: Share,
    memory: usize,
) -> Result<Assigned, AmError> {
    let mut sort = RowSort::new(memory, Some(share));
    // Each process has one core to itself.
    let assigned = assign(shared, &mut scan, &Pool::inline(), &mut sort)?;
    sort.finish_share();
    Ok(assigned)
}

/// What a parallel worker does.
///
/// # Safety
/// Called by PostgreSQL as the entry point of a worker that `ParallelMode::begin` launched.
pub unsafe fn worker(
    segment: *mut pg_sys::dsm_segment,
    toc: *mut pg_sys::shm_toc,
    assign: AssignRows,
) {
    // SAFETY: the leader put all keys there before it launched this worker, and holds locks on
    // both relations, which this process joins.
    unsafe {
        pg_sys::panic::pgrx_extern_c_guard(|| {
            let get = |key: u64| pg_sys::shm_toc_lookup(toc, key, false).cast::<u8>();
            let query = get(KEY_QUERY).cast::<std::ffi::c_char>();
            pg_sys::debug_query_string = query;
            pg_sys::pgstat_report_activity(pg_sys::BackendState::STATE_RUNNING, query);
            let header = &*get(KEY_HEADER).cast::<Header>();
            let (heap_lock, index_lock) = if header.concurrent {
                (pg_sys::ShareUpdateExclusiveLock, pg_sys::RowExclusiveLock)
            } else {
                (pg_sys::ShareLock, pg_sys::AccessExclusiveLock)
            };
            let heap = pg_sys::table_open(header.heap, heap_lock as pg_sys::LOCKMODE);
            let index = pg_sys::index_open(header.index, index_lock as pg_sys::LOCKMODE);
            let info = pg_sys::BuildIndexInfo(index);
            (*info).ii_Concurrent = header.concurrent;
            let shared_sort: *mut pg_sys::Sharedsort = get(KEY_SORT).cast();
            pg_sys::tuplesort_attach_shared(shared_sort, segment);
            let shared =
                std::slice::from_raw_parts(get(KEY_SHARED).cast::<u64>(), header.shared_words);
            pg_sys::InstrStartParallelQuery();

            let opened = Index::new(index);
            let mut builds = Builds::new(heap, opened, info);
            let share = Share {
                sort: shared_sort,
                participants: header.participants,
                worker: true,
            };
            let scan = RowScan::part(&mut builds, get(KEY_SCAN).cast());
            let assigned = participate(scan, shared, assign, share, header.memory)
                .unwrap_or_else(|error| opened.fail(error));
            header.add(assigned);

            let number = pg_sys::ParallelWorkerNumber as usize;
            pg_sys::InstrEndParallelQuery(
                get(KEY_BUFFERS).cast::<pg_sys::BufferUsage>().add(number),
                get(KEY_WAL).cast::<pg_sys::WalUsage>().add(number),
            );
            pg_sys::index_close(index, index_lock as pg_sys::LOCKMODE);
            pg_sys::table_close(heap, heap_lock as pg_sys::LOCKMODE);
        });
    }
}

/// Exports a worker's entry point: `symbol => assign`.
#[macro_export]
macro_rules! parallel_worker {
    ($symbol:ident => $assign:expr) => {
        const _: () = {
            #[unsafe(no_mangle)]
            #[allow(unsafe_code)]
            extern "C-unwind" fn $symbol(
                segment: *mut ::pgrx::pg_sys::dsm_segment,
                toc: *mut ::pgrx::pg_sys::shm_toc,
            ) {
                const ASSIGN: $crate::pg::parallel::AssignRows = $assign;
                // SAFETY: PostgreSQL calls this symbol as the entry point of a parallel worker.
                unsafe { $crate::pg::parallel::worker(segment, toc, ASSIGN) }
            }
        };
    };
}
