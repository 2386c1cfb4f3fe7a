//! What is changed in finished plans: [`distances`] spares what an index knows already, and [`knn_join`]
//! lets all queries of a join go through the rows together.
//!
//! Plans pass by here once the library is loaded. The first use of an index or an operator in a session
//! loads it, perhaps in the middle of planning: then that plan is looked at when its execution starts.

mod distances;
mod knn_join;

use std::cell::Cell;
use std::ffi::{c_char, c_int, c_void};
use std::sync::OnceLock;

use pgrx::pg_sys::{self, NodeTag};

use super::compat::mutate_expression;
use super::raw;

/// The hooks that were there before these.
static PLANNER_BEFORE: OnceLock<pg_sys::planner_hook_type> = OnceLock::new();
static START_BEFORE: OnceLock<pg_sys::ExecutorStart_hook_type> = OnceLock::new();

thread_local! {
    /// Whether a plan has passed by since the library was loaded.
    static PASSED: Cell<bool> = const { Cell::new(false) };
}

/// Lets every plan of the session pass by here.
pub(super) fn install() {
    // SAFETY: a library is loaded on the backend's one thread.
    unsafe {
        super::knn_join::register();
        if PLANNER_BEFORE.set(pg_sys::planner_hook).is_ok() {
            pg_sys::planner_hook = Some(planner);
        }
        if START_BEFORE.set(pg_sys::ExecutorStart_hook).is_ok() {
            pg_sys::ExecutorStart_hook = Some(start);
        }
    }
}

unsafe extern "C-unwind" fn planner(
    parse: *mut pg_sys::Query,
    text: *const c_char,
    options: c_int,
    parameters: pg_sys::ParamListInfo,
) -> *mut pg_sys::PlannedStmt {
    // SAFETY: PostgreSQL calls its hook with what the hook before, or its own planner, takes; an error of
    // those jumps over this frame, which owns nothing. What they return is a plan that is nobody else's yet.
    unsafe {
        PASSED.set(true);
        let plan = match PLANNER_BEFORE.get() {
            Some(Some(before)) => before(parse, text, options, parameters),
            _ => raw::standard_planner(parse, text, options, parameters),
        };
        pg_sys::panic::pgrx_extern_c_guard(|| change(plan));
        plan
    }
}

unsafe extern "C-unwind" fn start(query: *mut pg_sys::QueryDesc, flags: c_int) {
    // SAFETY: as for `planner`. A plan that may be somebody else's too is copied to where the query's own
    // description is.
    unsafe {
        // A parallel worker has a part of a plan, which its leader's planning has passed here.
        if pg_sys::ParallelWorkerNumber < 0 && !PASSED.replace(true) {
            pg_sys::panic::pgrx_extern_c_guard(|| {
                let context = pg_sys::GetMemoryChunkContext(query.cast());
                let before = pg_sys::MemoryContextSwitchTo(context);
                let plan: *mut pg_sys::PlannedStmt =
                    pg_sys::copyObjectImpl((*query).plannedstmt.cast()).cast();
                change(plan);
                (*query).plannedstmt = plan;
                pg_sys::MemoryContextSwitchTo(before);
            });
        }
        match START_BEFORE.get() {
            Some(Some(before)) => before(query, flags),
            _ => raw::standard_ExecutorStart(query, flags),
        }
    }
}

/// # Safety
/// A whole plan that is nobody else's.
unsafe fn change(plan: *mut pg_sys::PlannedStmt) {
    // SAFETY: the caller's promise. The columns of a SELECT beyond those asked for are dropped by the
    // executor.
    unsafe {
        let at = Place {
            drops: true,
            // Rows that are locked, or changed, may have to be looked at again one by one.
            joins: (*plan).rowMarks.is_null()
                && matches!(
                    (*plan).commandType,
                    pg_sys::CmdType::CMD_SELECT | pg_sys::CmdType::CMD_INSERT
                ),
        };
        visit(&mut (*plan).planTree, at);
        visit_all((*plan).subplans, at);
    }
}

/// What is around a node of a plan.
#[derive(Clone, Copy)]
struct Place {
    /// The nodes above drop columns that are there for sorting only; else they may read them.
    drops: bool,
    /// A join may be done all at once.
    joins: bool,
}

/// # Safety
/// A valid plan tree, or null, that may be changed.
unsafe fn visit(place: &mut *mut pg_sys::Plan, at: Place) {
    if place.is_null() {
        return;
    }
    // SAFETY: the caller's promise; the tag says which node it is.
    unsafe {
        pg_sys::check_stack_depth();
        if at.joins
            && (**place).type_ == NodeTag::T_NestLoop
            && let Some(join) = knn_join::replacement(place.cast())
        {
            *place = join;
        }
        let plan = *place;
        let mut below = Place { drops: false, ..at };
        match (*plan).type_ {
            NodeTag::T_IndexScan => distances::change(plan.cast(), at.drops),
            NodeTag::T_Limit => {
                let limit: *mut pg_sys::Limit = plan.cast();
                // It is the last step of a SELECT, whatever that is part of. WITH TIES compares them.
                below.drops = (*limit).limitOption == pg_sys::LimitOption::LIMIT_OPTION_COUNT;
            }
            // Reads row identities alone.
            NodeTag::T_LockRows => below.drops = at.drops,
            NodeTag::T_SubqueryScan => {
                // What reads from a sub-select knows the columns that were asked for.
                let subplan = &mut (*plan.cast::<pg_sys::SubqueryScan>()).subplan;
                visit(subplan, Place { drops: true, ..at });
            }
            // Another process would have to be told of the join.
            NodeTag::T_Gather | NodeTag::T_GatherMerge => below.joins = false,
            NodeTag::T_Append => visit_all((*plan.cast::<pg_sys::Append>()).appendplans, below),
            NodeTag::T_MergeAppend => {
                visit_all((*plan.cast::<pg_sys::MergeAppend>()).mergeplans, below);
            }
            NodeTag::T_CustomScan => {
                visit_all((*plan.cast::<pg_sys::CustomScan>()).custom_plans, below);
            }
            _ => {}
        }
        visit(&mut (*plan).lefttree, below);
        visit(&mut (*plan).righttree, below);
    }
}

/// # Safety
/// A list of plan trees as [`visit`] takes them.
unsafe fn visit_all(plans: *mut pg_sys::List, at: Place) {
    // SAFETY: the caller's promise.
    unsafe {
        if let Some(list) = plans.as_ref() {
            for place in 0..list.length as usize {
                let cell = &mut (*list.elements.add(place)).ptr_value;
                visit(&mut *(&raw mut *cell).cast(), at);
            }
        }
    }
}

/// The pointers of a list.
///
/// # Safety
/// A valid list of pointers to `T`, or null, that does not change meanwhile.
pub(super) unsafe fn nodes<'a, T>(list: *mut pg_sys::List) -> impl Iterator<Item = *mut T> + 'a {
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

/// An expression, or a list of some, in which `by` has said what stands for a node and all below it; `None`
/// leaves the node, and asks for those below. It is a copy.
///
/// # Safety
/// A valid expression, or null; what `by` returns is one too.
unsafe fn replaced(
    node: *mut pg_sys::Node,
    by: &mut dyn FnMut(*mut pg_sys::Node) -> Option<*mut pg_sys::Node>,
) -> *mut pg_sys::Node {
    type By<'b> = &'b mut dyn FnMut(*mut pg_sys::Node) -> Option<*mut pg_sys::Node>;
    unsafe extern "C-unwind" fn each(
        node: *mut pg_sys::Node,
        by: *mut c_void,
    ) -> *mut pg_sys::Node {
        if node.is_null() {
            return node;
        }
        // SAFETY: called with a node of the expression and with `by`, which nobody else uses meanwhile.
        unsafe {
            match (*by.cast::<By<'_>>())(node) {
                Some(other) => other,
                None => mutate_expression(node, each, by),
            }
        }
    }
    let mut by: By<'_> = by;
    // SAFETY: the caller's promise.
    unsafe { each(node, (&raw mut by).cast()) }
}
