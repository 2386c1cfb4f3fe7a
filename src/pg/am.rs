//! One shim between PostgreSQL's index access-method interface and safe Rust.
//!
//! An access method is an `impl IndexAm`; `routine::<A>()` makes of it the table of C functions
//! that PostgreSQL wants. Everything unsafe about that stands here, once.

use std::ffi::{CStr, c_int, c_void};
use std::rc::Rc;

use pgnear_ann::{Hit, Tid};
use pgrx::pg_sys;

use super::build::{BuildTotals, Builds};
use super::cost::{IndexCost, PlannedScan};
use super::error::raise;
use super::fmgr::Call;
use super::index::{AmError, Index};
use super::row::{ValueKind, split_value, tid_from, tid_to};
use super::scan_distance::{forget, handed_out};
use super::store::{PgBulkWriter, PgStore};
use super::table::PgTable;
use super::validate::Support;
use super::value::payload;

/// What a vacuum pass did.
#[derive(Debug, Default, Clone, Copy)]
pub struct VacuumTotals {
    pub live: u64,
    pub removed: u64,
    pub pages: u32,
    pub free_pages: u32,
}

/// An index access method over vectors: one column, ordered by one distance operator.
pub trait IndexAm: 'static {
    /// The options of an index, as `amoptions` parses them: starts with a varlena header.
    type Options: 'static;
    /// A scan under way.
    type Scan: 'static;

    const NAME: &'static str;
    /// The support functions of an operator class, number 1 first.
    const SUPPORT: &'static [Support];
    /// Names of build phases, shown by pg_stat_progress_create_index; number 1 is PostgreSQL's own.
    const PHASES: &'static [&'static CStr];

    fn options(reloptions: pg_sys::Datum, validate: bool) -> *mut pg_sys::bytea;

    fn build(
        index: Index<'_>,
        options: Option<&Self::Options>,
        builds: &mut Builds<'_>,
    ) -> Result<BuildTotals, AmError>;
    /// Writes the empty index of an unlogged table that a crash falls back to.
    fn build_empty(
        index: Index<'_>,
        options: Option<&Self::Options>,
        writer: &mut PgBulkWriter,
    ) -> Result<(), AmError>;
    /// Adds a row. `elements` are the bytes of the value's elements.
    fn insert(store: &PgStore<'_>, row: Tid, dims: u32, elements: &[u8]) -> Result<(), AmError>;

    /// Removes the rows that `is_dead` says are gone.
    fn bulk_delete(
        store: &PgStore<'_>,
        is_dead: &mut dyn FnMut(Tid) -> bool,
    ) -> Result<VacuumTotals, AmError>;
    /// What a vacuum does at its end, also where no row was removed.
    fn cleanup(store: &PgStore<'_>) -> Result<VacuumTotals, AmError>;

    /// Starts a search for the rows nearest to `query`: its dimensions and elements, or `None` for
    /// NULL, which returns rows in any order.
    fn scan(store: &PgStore<'_>, query: Option<(u32, &[u8])>) -> Result<Self::Scan, AmError>;
    /// The next row, with the operator's distance; `table` for an index that leaves vectors there.
    fn next(
        scan: &mut Self::Scan,
        store: &PgStore<'_>,
        table: &PgTable,
    ) -> Result<Option<Hit>, AmError>;

    /// What a search costs the planner.
    fn cost(index: Index<'_>, planned: &PlannedScan) -> Result<IndexCost, AmError>;
}

/// The access method's table of functions, for its handler.
pub fn routine<A: IndexAm>(_: Call<'_>) -> pg_sys::Datum {
    // SAFETY: a node of zeros is a valid IndexAmRoutine without functions, allocated in the
    // caller's context as handlers do.
    let routine: &mut pg_sys::IndexAmRoutine = unsafe {
        let node =
            pg_sys::palloc0(size_of::<pg_sys::IndexAmRoutine>()).cast::<pg_sys::IndexAmRoutine>();
        (*node).type_ = pg_sys::NodeTag::T_IndexAmRoutine;
        &mut *node
    };
    routine.amstrategies = 0;
    routine.amsupport = A::SUPPORT.len() as u16;
    routine.amoptsprocnum = 0;
    routine.amcanorderbyop = true;
    routine.amoptionalkey = true;
    routine.amusemaintenanceworkmem = false;
    routine.amparallelvacuumoptions = pg_sys::VACUUM_OPTION_PARALLEL_BULKDEL as u8;
    routine.amkeytype = pg_sys::InvalidOid;
    #[cfg(any(feature = "pg17", feature = "pg18"))]
    {
        routine.amcanbuildparallel = true;
    }
    routine.ambuild = Some(build::<A>);
    routine.ambuildempty = Some(build_empty::<A>);
    routine.aminsert = Some(insert::<A>);
    routine.ambulkdelete = Some(bulk_delete::<A>);
    routine.amvacuumcleanup = Some(vacuum_cleanup::<A>);
    routine.amcostestimate = Some(cost_estimate::<A>);
    routine.amoptions = Some(options::<A>);
    routine.ambuildphasename = Some(phase_name::<A>);
    routine.amvalidate = Some(validate::<A>);
    routine.ambeginscan = Some(begin_scan::<A>);
    routine.amrescan = Some(rescan::<A>);
    routine.amgettuple = Some(get_tuple::<A>);
    routine.amendscan = Some(end_scan::<A>);
    pg_sys::Datum::from(std::ptr::from_mut(routine))
}

/// Turns a panic or an `Err` into an ERROR at the edge to C.
///
/// # Safety
/// Only at the top of an extern function.
unsafe fn edge<T>(body: impl FnOnce() -> T) -> T {
    // SAFETY: the caller's promise.
    unsafe { pg_sys::panic::pgrx_extern_c_guard(body) }
}

unsafe extern "C-unwind" fn build<A: IndexAm>(
    heap: pg_sys::Relation,
    index: pg_sys::Relation,
    info: *mut pg_sys::IndexInfo,
) -> *mut pg_sys::IndexBuildResult {
    // SAFETY: PostgreSQL calls ambuild with both relations open and a valid IndexInfo.
    unsafe {
        edge(|| {
            let index = Index::new(index);
            let mut builds = Builds::new(heap, index, info);
            let totals = A::build(index, index.options::<A::Options>(), &mut builds)
                .unwrap_or_else(|error| index.fail(error));
            let result = pg_sys::palloc0(size_of::<pg_sys::IndexBuildResult>())
                .cast::<pg_sys::IndexBuildResult>();
            (*result).heap_tuples = totals.heap_rows;
            (*result).index_tuples = totals.index_rows;
            result
        })
    }
}

unsafe extern "C-unwind" fn build_empty<A: IndexAm>(index: pg_sys::Relation) {
    // SAFETY: PostgreSQL calls ambuildempty with the index open and its init fork empty.
    unsafe {
        edge(|| {
            let index = Index::new(index);
            let mut writer = index.bulk_writer(pg_sys::ForkNumber::INIT_FORKNUM);
            A::build_empty(index, index.options::<A::Options>(), &mut writer)
                .unwrap_or_else(|error| index.fail(error));
            writer.log();
        });
    }
}

unsafe extern "C-unwind" fn insert<A: IndexAm>(
    index: pg_sys::Relation,
    values: *mut pg_sys::Datum,
    is_null: *mut bool,
    heap_tid: pg_sys::ItemPointer,
    _heap: pg_sys::Relation,
    _check_unique: pg_sys::IndexUniqueCheck::Type,
    _unchanged: bool,
    _info: *mut pg_sys::IndexInfo,
) -> bool {
    // SAFETY: PostgreSQL calls aminsert with the index open and one value (one column).
    unsafe {
        edge(|| {
            if *is_null {
                return; // NULL vectors are not indexed
            }
            let index = Index::new(index);
            let insert = || {
                let (dims, elements) = split_value(ValueKind::of(index), payload(*values))?;
                A::insert(&index.store(), tid_from(&*heap_tid), dims, elements)
            };
            insert().unwrap_or_else(|error| index.fail(error));
        });
    }
    false
}

unsafe extern "C-unwind" fn bulk_delete<A: IndexAm>(
    info: *mut pg_sys::IndexVacuumInfo,
    stats: *mut pg_sys::IndexBulkDeleteResult,
    callback: pg_sys::IndexBulkDeleteCallback,
    state: *mut c_void,
) -> *mut pg_sys::IndexBulkDeleteResult {
    // SAFETY: PostgreSQL calls ambulkdelete with a valid info, a callback and its state.
    unsafe {
        edge(|| {
            let index = Index::new((*info).index);
            let callback = callback.expect("vacuum passes a callback");
            let mut is_dead = |tid: Tid| {
                let mut pointer = tid_to(tid);
                super::raw::guarded(|| callback(&raw mut pointer, state))
            };
            let totals = A::bulk_delete(&index.vacuum_store((*info).strategy), &mut is_dead);
            vacuum_result(index, stats, totals)
        })
    }
}

unsafe extern "C-unwind" fn vacuum_cleanup<A: IndexAm>(
    info: *mut pg_sys::IndexVacuumInfo,
    stats: *mut pg_sys::IndexBulkDeleteResult,
) -> *mut pg_sys::IndexBulkDeleteResult {
    // SAFETY: PostgreSQL calls amvacuumcleanup with a valid info.
    unsafe {
        edge(|| {
            if (*info).analyze_only {
                return stats;
            }
            let index = Index::new((*info).index);
            let totals = A::cleanup(&index.vacuum_store((*info).strategy));
            pg_sys::IndexFreeSpaceMapVacuum((*info).index);
            vacuum_result(index, stats, totals)
        })
    }
}

/// Adds a pass's totals to vacuum's statistics. An index that pgvector wrote, or a later version of
/// ours, is left alone with a WARNING: autovacuum must not fail on it for ever.
unsafe fn vacuum_result(
    index: Index<'_>,
    stats: *mut pg_sys::IndexBulkDeleteResult,
    totals: Result<VacuumTotals, AmError>,
) -> *mut pg_sys::IndexBulkDeleteResult {
    let totals = match totals {
        Ok(totals) => totals,
        Err(AmError::Index(
            error @ (pgnear_ann::Error::NotOurs | pgnear_ann::Error::UnknownVersion { .. }),
        )) => {
            pgrx::ereport!(
                pgrx::PgLogLevel::WARNING,
                pgrx::PgSqlErrorCode::ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
                format!("skipping vacuum of index \"{}\": {error}", index.name())
            );
            return stats;
        }
        Err(error) => index.fail(error),
    };
    // SAFETY: stats is null or the struct of an earlier pass; both live in vacuum's context.
    unsafe {
        let stats = if stats.is_null() {
            pg_sys::palloc0(size_of::<pg_sys::IndexBulkDeleteResult>()).cast()
        } else {
            stats
        };
        (*stats).num_pages = totals.pages;
        (*stats).estimated_count = false;
        (*stats).num_index_tuples = totals.live as f64;
        (*stats).tuples_removed += totals.removed as f64;
        (*stats).pages_deleted = totals.free_pages;
        (*stats).pages_free = totals.free_pages;
        stats
    }
}

unsafe extern "C-unwind" fn options<A: IndexAm>(
    reloptions: pg_sys::Datum,
    validate: bool,
) -> *mut pg_sys::bytea {
    // SAFETY: the top of an extern function.
    unsafe { edge(|| A::options(reloptions, validate)) }
}

unsafe extern "C-unwind" fn validate<A: IndexAm>(opclass: pg_sys::Oid) -> bool {
    // SAFETY: the top of an extern function.
    unsafe { edge(|| super::validate::opclass(opclass, A::NAME, A::SUPPORT)) }
}

unsafe extern "C-unwind" fn phase_name<A: IndexAm>(phase: i64) -> *mut std::ffi::c_char {
    if phase == i64::from(pg_sys::PROGRESS_CREATEIDX_SUBPHASE_INITIALIZE) {
        return c"initializing".as_ptr().cast_mut();
    }
    // SAFETY: PostgreSQL only reads the name.
    usize::try_from(phase - 2)
        .ok()
        .and_then(|n| A::PHASES.get(n))
        .map_or(std::ptr::null_mut(), |name| name.as_ptr().cast_mut())
}

unsafe extern "C-unwind" fn cost_estimate<A: IndexAm>(
    root: *mut pg_sys::PlannerInfo,
    path: *mut pg_sys::IndexPath,
    _loop_count: f64,
    startup: *mut pg_sys::Cost,
    total: *mut pg_sys::Cost,
    selectivity: *mut pg_sys::Selectivity,
    correlation: *mut f64,
    pages: *mut f64,
) {
    // SAFETY: PostgreSQL passes a path of ours and the places to fill.
    unsafe {
        edge(|| {
            let cost = super::cost::index_cost::<A>(root, path);
            *startup = cost.startup;
            *total = cost.total;
            *selectivity = cost.selectivity;
            *correlation = 0.0;
            *pages = cost.pages;
        });
    }
}

/// What a scan descriptor points to.
struct ScanState<A: IndexAm> {
    /// `None` before the first rescan and after the last row.
    scan: Option<A::Scan>,
    started: bool,
    /// The payload of the query; `None` for NULL.
    query: Option<Rc<[u8]>>,
    table: Option<PgTable>,
}

unsafe extern "C-unwind" fn begin_scan<A: IndexAm>(
    index: pg_sys::Relation,
    nkeys: c_int,
    norderbys: c_int,
) -> pg_sys::IndexScanDesc {
    // SAFETY: PostgreSQL calls ambeginscan with the index open. The state is freed with the memory
    // context that the scan lives in, whether the scan ends or an error does it.
    unsafe {
        edge(|| {
            let scan = pg_sys::RelationGetIndexScan(index, nkeys, norderbys);
            let state = ScanState::<A> {
                scan: None,
                started: false,
                query: None,
                table: None,
            };
            (*scan).opaque = super::memory::leak_into_current_context(state).cast();
            scan
        })
    }
}

unsafe extern "C-unwind" fn rescan<A: IndexAm>(
    scan: pg_sys::IndexScanDesc,
    _keys: pg_sys::ScanKey,
    _nkeys: c_int,
    orderbys: pg_sys::ScanKey,
    norderbys: c_int,
) {
    // SAFETY: the scan is one of begin_scan; orderbys is null or holds norderbys keys, and
    // orderByData has room for numberOfOrderBys.
    unsafe {
        edge(|| {
            if !orderbys.is_null() && (*scan).numberOfOrderBys > 0 {
                std::ptr::copy(orderbys, (*scan).orderByData, norderbys as usize);
            }
            let state = &mut *(*scan).opaque.cast::<ScanState<A>>();
            state.scan = None;
            state.started = false;
            state.query = None;
            if (*scan).numberOfOrderBys > 0 {
                let key = &*(*scan).orderByData;
                if key.sk_flags & pg_sys::SK_ISNULL as i32 == 0 {
                    let query = super::memory::copied(payload(key.sk_argument));
                    state.query = Some(query.unwrap_or_else(|error| raise(error)).into());
                }
            }
        });
    }
}

unsafe extern "C-unwind" fn get_tuple<A: IndexAm>(
    scan: pg_sys::IndexScanDesc,
    _direction: pg_sys::ScanDirection::Type,
) -> bool {
    // SAFETY: the scan is one of begin_scan, its index open.
    unsafe {
        edge(|| {
            let index = Index::new((*scan).indexRelation);
            let state = &mut *(*scan).opaque.cast::<ScanState<A>>();
            let store = index.store();
            let mut step = || -> Result<Option<Hit>, AmError> {
                if !state.started {
                    state.started = true;
                    require_scannable::<A>(scan)?;
                    super::compat::count_index_scan(scan);
                    let query = match &state.query {
                        Some(payload) => Some(split_value(ValueKind::of(index), payload)?),
                        None => None,
                    };
                    state.scan = Some(A::scan(&store, query)?);
                }
                let table = state.table.get_or_insert_with(|| PgTable::new(scan));
                let found = match &mut state.scan {
                    Some(scan) => A::next(scan, &store, table)?,
                    None => None,
                };
                if let Some(hit) = found {
                    table.check(hit.tid)?;
                }
                Ok(found)
            };
            match step() {
                Ok(Some(hit)) => {
                    if let Some(query) = &state.query {
                        handed_out((*(*scan).indexRelation).rd_id, hit, query);
                    }
                    (*scan).xs_heaptid = tid_to(hit.tid);
                    (*scan).xs_recheck = false;
                    // Rows come in the operator's exact order, so nothing is left to check.
                    (*scan).xs_recheckorderby = false;
                    true
                }
                Ok(None) => {
                    forget();
                    false
                }
                Err(error) => index.fail(error),
            }
        })
    }
}

/// A scan needs a distance to order by, and a snapshot that keeps rows from being reused under it.
unsafe fn require_scannable<A: IndexAm>(scan: pg_sys::IndexScanDesc) -> Result<(), AmError> {
    use pgrx::PgSqlErrorCode::ERRCODE_INTERNAL_ERROR;
    // SAFETY: the scan is open.
    unsafe {
        if (*scan).numberOfOrderBys == 0 {
            pgrx::ereport!(
                pgrx::PgLogLevel::ERROR,
                ERRCODE_INTERNAL_ERROR,
                format!("cannot scan {} index without order", A::NAME)
            );
        }
        let snapshot = (*scan).xs_snapshot;
        if !matches!(
            (*snapshot).snapshot_type,
            pg_sys::SnapshotType::SNAPSHOT_MVCC | pg_sys::SnapshotType::SNAPSHOT_HISTORIC_MVCC
        ) {
            pgrx::ereport!(
                pgrx::PgLogLevel::ERROR,
                ERRCODE_INTERNAL_ERROR,
                format!("non-MVCC snapshots are not supported with {}", A::NAME)
            );
        }
    }
    Ok(())
}

unsafe extern "C-unwind" fn end_scan<A: IndexAm>(scan: pg_sys::IndexScanDesc) {
    // SAFETY: the scan is one of begin_scan. What it holds is dropped now; its box stays with the
    // memory context.
    unsafe {
        edge(|| {
            let state = &mut *(*scan).opaque.cast::<ScanState<A>>();
            state.scan = None;
            state.query = None;
            state.table = None;
            forget();
        });
    }
}
