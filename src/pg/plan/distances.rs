//! Distances that need not be computed again, in finished plans.
//!
//! In `SELECT id, embedding <-> $1 AS d FROM items ORDER BY d LIMIT 10` the distance is a column of the plan.
//! An index hands rows out in order, and so knows the distance of each, but PostgreSQL computes it again for
//! every row: it fetches the row's vector, from out-of-line storage where it is long, and measures it. At
//! 1,536 dimensions that is most of what a search costs. Here
//! - the column becomes NULL where it is there for sorting only and nothing between the index scan and the
//!   point at which such columns are dropped reads it;
//! - else, and in conditions, a function stands for it that asks the index for the row's distance
//!   ([`crate::pg::scan_distance`]).

use std::ffi::CStr;

use pgrx::pg_sys;

use super::{nodes, replaced};
use crate::pg::scan_distance;

/// Changes the distances that an index scan is ordered by; `drops`: those there for sorting only are
/// dropped unread.
///
/// # Safety
/// A valid node of a finished plan.
pub(super) unsafe fn change(scan: *mut pg_sys::IndexScan, drops: bool) {
    // SAFETY: the caller's promise. The index was locked for planning, and is still.
    unsafe {
        let plan = &raw mut (*scan).scan.plan;
        let ordered_by = (*scan).indexorderbyorig;
        if ordered_by.is_null() || (*ordered_by).length != 1 || !is_ours((*scan).indexid) {
            return;
        }
        let distance: *mut pg_sys::OpExpr = (*(*ordered_by).elements).ptr_value.cast();
        if (*distance).xpr.type_ != pg_sys::NodeTag::T_OpExpr {
            return;
        }
        for entry in nodes::<pg_sys::TargetEntry>((*plan).targetlist) {
            if drops && (*entry).resjunk && pg_sys::equal((*entry).expr.cast(), distance.cast()) {
                let kind = pg_sys::exprType(distance.cast());
                let null = pg_sys::makeNullConst(kind, -1, pg_sys::InvalidOid);
                (*entry).expr = null.cast();
            }
        }
        let (index, table) = ((*scan).indexid, (*scan).scan.scanrelid);
        let mut known = None;
        let mut tell = |node: *mut pg_sys::Node| {
            if !pg_sys::equal(node.cast(), distance.cast()) {
                return None;
            }
            // Looked for where it is needed only.
            let known = known.get_or_insert_with(|| scan_distance::call(index, table, distance));
            known.map(|known| pg_sys::copyObjectImpl(known.cast()).cast())
        };
        (*plan).targetlist = replaced((*plan).targetlist.cast(), &mut tell).cast();
        (*plan).qual = replaced((*plan).qual.cast(), &mut tell).cast();
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
