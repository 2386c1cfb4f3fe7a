//! Distances that nobody reads, taken out of finished plans.
//!
//! In `SELECT id FROM items ORDER BY embedding <-> $1 LIMIT 10` the sort expression is a column of the
//! plan that is dropped at its top. An index hands rows out in order without it, but PostgreSQL computes it
//! for each of them all the same: it fetches the row's vector, from out-of-line storage where it is long,
//! and measures it again. At 1,536 dimensions that is most of what a search costs. So where nothing between
//! the index scan and the point at which such columns are dropped reads it, it becomes NULL.
//!
//! The library must be loaded when a statement is planned; the first use of an index in a session loads
//! it, in the middle of its planning. That plan keeps the column.

use std::ffi::{CStr, c_char, c_int};
use std::sync::OnceLock;

use pgrx::pg_sys::{self, NodeTag};

/// The hook that was there before this one.
static BEFORE: OnceLock<pg_sys::planner_hook_type> = OnceLock::new();

/// Lets every plan of the session pass by here.
pub(super) fn install() {
    // SAFETY: a library is loaded on the backend's one thread.
    unsafe {
        if BEFORE.set(pg_sys::planner_hook).is_ok() {
            pg_sys::planner_hook = Some(planner);
        }
    }
}

unsafe extern "C-unwind" fn planner(
    parse: *mut pg_sys::Query,
    text: *const c_char,
    options: c_int,
    parameters: pg_sys::ParamListInfo,
) -> *mut pg_sys::PlannedStmt {
    // SAFETY: PostgreSQL calls its hook with what the hook before, or its own planner, takes. What that
    // returns is a plan that is nobody else's yet.
    unsafe {
        pg_sys::panic::pgrx_extern_c_guard(|| {
            let plan = match BEFORE.get() {
                Some(Some(before)) => before(parse, text, options, parameters),
                _ => pg_sys::standard_planner(parse, text, options, parameters),
            };
            // The columns of a SELECT beyond those asked for are dropped by the executor.
            visit((*plan).planTree, Above::Drops);
            for subplan in nodes::<pg_sys::Plan>((*plan).subplans) {
                visit(subplan, Above::Drops);
            }
            plan
        })
    }
}

/// What the nodes above do with columns that are there for sorting only.
#[derive(Clone, Copy, PartialEq)]
enum Above {
    /// Drop them unread.
    Drops,
    /// Perhaps read them.
    MayRead,
}

/// # Safety
/// A valid plan tree, or null.
unsafe fn visit(plan: *mut pg_sys::Plan, above: Above) {
    if plan.is_null() {
        return;
    }
    // SAFETY: the caller's promise; the tag says which node it is.
    unsafe {
        let mut below = Above::MayRead;
        match (*plan).type_ {
            NodeTag::T_IndexScan if above == Above::Drops => strip(plan.cast()),
            NodeTag::T_Limit => {
                let limit: *mut pg_sys::Limit = plan.cast();
                // It is the last step of a SELECT, whatever that is part of. WITH TIES compares them.
                if (*limit).limitOption == pg_sys::LimitOption::LIMIT_OPTION_COUNT {
                    below = Above::Drops;
                }
            }
            // Reads row identities alone.
            NodeTag::T_LockRows => below = above,
            NodeTag::T_SubqueryScan => {
                // What reads from a sub-select knows the columns that were asked for.
                visit((*plan.cast::<pg_sys::SubqueryScan>()).subplan, Above::Drops);
            }
            NodeTag::T_Append => {
                for plan in nodes((*plan.cast::<pg_sys::Append>()).appendplans) {
                    visit(plan, below);
                }
            }
            NodeTag::T_MergeAppend => {
                for plan in nodes((*plan.cast::<pg_sys::MergeAppend>()).mergeplans) {
                    visit(plan, below);
                }
            }
            NodeTag::T_CustomScan => {
                for plan in nodes((*plan.cast::<pg_sys::CustomScan>()).custom_plans) {
                    visit(plan, below);
                }
            }
            _ => {}
        }
        visit((*plan).lefttree, below);
        visit((*plan).righttree, below);
    }
}

/// Puts NULL where an index scan computes the distances that it is ordered by, for sorting only.
///
/// # Safety
/// A valid node of a finished plan.
unsafe fn strip(scan: *mut pg_sys::IndexScan) {
    // SAFETY: the caller's promise. The index was locked for planning, and is still.
    unsafe {
        if (*scan).indexorderbyorig.is_null() || !is_ours((*scan).indexid) {
            return;
        }
        for entry in nodes::<pg_sys::TargetEntry>((*scan).scan.plan.targetlist) {
            let distance = (*entry).expr.cast::<pg_sys::Node>();
            if (*entry).resjunk && pg_sys::list_member((*scan).indexorderbyorig, distance.cast()) {
                let (kind, typmod) = (pg_sys::exprType(distance), pg_sys::exprTypmod(distance));
                let null = pg_sys::makeNullConst(kind, typmod, pg_sys::exprCollation(distance));
                (*entry).expr = null.cast();
            }
        }
    }
}

/// Whether an index is of one of this extension's access methods, by name.
unsafe fn is_ours(index: pg_sys::Oid) -> bool {
    // SAFETY: an index that the statement has locked.
    unsafe {
        let relation = pg_sys::index_open(index, pg_sys::NoLock as pg_sys::LOCKMODE);
        let name = pg_sys::get_am_name((*(*relation).rd_rel).relam);
        pg_sys::index_close(relation, pg_sys::NoLock as pg_sys::LOCKMODE);
        !name.is_null() && [c"hnsw", c"ivfflat"].contains(&CStr::from_ptr(name))
    }
}

/// The pointers of a list.
///
/// # Safety
/// A valid list of pointers to `T`, or null, that does not change meanwhile.
unsafe fn nodes<'a, T>(list: *mut pg_sys::List) -> impl Iterator<Item = *mut T> + 'a {
    // SAFETY: the caller's promise.
    let cells: &[pg_sys::ListCell] = unsafe {
        match list.as_ref() {
            Some(list) => std::slice::from_raw_parts(list.elements, list.length as usize),
            None => &[],
        }
    };
    // SAFETY: a list of pointers.
    cells.iter().map(|cell| unsafe { cell.ptr_value.cast() })
}
