//! Inline functions of the executor's headers. What they call may raise errors, which become panics here.

use pgrx::pg_sys;

use super::raw::guarded;

/// The slot flag TTS_FLAG_EMPTY.
const EMPTY: u16 = 1 << 1;

/// The header's ExecProcNode and TupIsNull: the next row of a node, with all its columns at hand.
///
/// # Safety
/// A node that has begun. The slot is valid until the node is asked again.
pub unsafe fn next_row(node: *mut pg_sys::PlanState) -> Option<*mut pg_sys::TupleTableSlot> {
    // SAFETY: the caller's promise; plain values.
    unsafe {
        guarded(|| {
            if !(*node).chgParam.is_null() {
                raw::ExecReScan(node);
            }
            let slot = (*node).ExecProcNode.expect("a node that has begun")(node);
            if slot.is_null() || (*slot).tts_flags & EMPTY != 0 {
                return None;
            }
            columns(slot);
            Some(slot)
        })
    }
}

/// The header's ExecClearTuple.
///
/// # Safety
/// A valid slot.
pub unsafe fn clear(slot: *mut pg_sys::TupleTableSlot) {
    // SAFETY: the caller's promise; plain values.
    unsafe { guarded(|| clear_raw(slot)) }
}

/// Makes a slot hold a row that is kept elsewhere, with all its columns at hand.
///
/// # Safety
/// A slot for minimal tuples; the row lives as long as the slot holds it.
pub unsafe fn hold(slot: *mut pg_sys::TupleTableSlot, row: pg_sys::MinimalTuple) {
    // SAFETY: the caller's promise; plain values.
    unsafe {
        guarded(|| {
            raw::ExecStoreMinimalTuple(row, slot, false);
            columns(slot);
        });
    }
}

/// Makes a virtual slot hold the values that were put into its arrays after `clear`.
///
/// # Safety
/// An empty slot, whose values are all there.
pub unsafe fn hold_values(slot: *mut pg_sys::TupleTableSlot) {
    // SAFETY: the caller's promise; plain values.
    unsafe { guarded(|| raw::ExecStoreVirtualTuple(slot)) };
}

/// The header's ExecCopySlotMinimalTuple, in memory of a context.
///
/// # Safety
/// A slot that holds a row.
pub unsafe fn copy(
    slot: *mut pg_sys::TupleTableSlot,
    memory: pg_sys::MemoryContext,
) -> pg_sys::MinimalTuple {
    // SAFETY: the caller's promise; plain values.
    unsafe { guarded(|| copy_raw(slot, memory)) }
}

/// Copies a row but for some columns, from 0, which are NULL then; `spare` is a virtual slot of the same
/// columns.
///
/// # Safety
/// A slot that holds a row with all its columns at hand.
pub unsafe fn copy_without(
    slot: *mut pg_sys::TupleTableSlot,
    left_out: &[usize],
    spare: *mut pg_sys::TupleTableSlot,
    memory: pg_sys::MemoryContext,
) -> pg_sys::MinimalTuple {
    // SAFETY: the caller's promise; plain values.
    unsafe {
        guarded(|| {
            let columns = (*(*slot).tts_tupleDescriptor).natts as usize;
            clear_raw(spare);
            let (values, nulls) = ((*spare).tts_values, (*spare).tts_isnull);
            std::ptr::copy_nonoverlapping((*slot).tts_values, values, columns);
            std::ptr::copy_nonoverlapping((*slot).tts_isnull, nulls, columns);
            for &column in left_out {
                *nulls.add(column) = true;
            }
            raw::ExecStoreVirtualTuple(spare);
            let row = copy_raw(spare, memory);
            clear_raw(spare);
            row
        })
    }
}

/// The header's ExecQual.
///
/// # Safety
/// A condition that was made ready, or null, and the context it was made for.
pub unsafe fn holds(state: *mut pg_sys::ExprState, context: *mut pg_sys::ExprContext) -> bool {
    // SAFETY: the caller's promise; plain values.
    unsafe {
        state.is_null()
            || guarded(|| {
                let mut is_null = false;
                evaluate(state, context, &mut is_null).value() != 0
            })
    }
}

/// The header's ExecProject.
///
/// # Safety
/// A projection of a node that has begun.
pub unsafe fn project(projection: *mut pg_sys::ProjectionInfo) -> *mut pg_sys::TupleTableSlot {
    // SAFETY: the caller's promise; plain values.
    unsafe {
        guarded(|| {
            let state = &raw mut (*projection).pi_state;
            let slot = (*state).resultslot;
            clear_raw(slot);
            let mut is_null = false;
            evaluate(state, (*projection).pi_exprContext, &mut is_null);
            (*slot).tts_flags &= !EMPTY;
            (*slot).tts_nvalid = (*(*slot).tts_tupleDescriptor).natts as i16;
            slot
        })
    }
}

unsafe fn evaluate(
    state: *mut pg_sys::ExprState,
    context: *mut pg_sys::ExprContext,
    is_null: &mut bool,
) -> pg_sys::Datum {
    // SAFETY: as for the callers.
    unsafe {
        let before = pg_sys::CurrentMemoryContext;
        pg_sys::CurrentMemoryContext = (*context).ecxt_per_tuple_memory;
        let value = (*state).evalfunc.expect("made ready")(state, context, is_null);
        pg_sys::CurrentMemoryContext = before;
        value
    }
}

unsafe fn columns(slot: *mut pg_sys::TupleTableSlot) {
    // SAFETY: as for the callers.
    unsafe {
        let all = (*(*slot).tts_tupleDescriptor).natts;
        if i32::from((*slot).tts_nvalid) < all {
            raw::slot_getsomeattrs_int(slot, all);
        }
    }
}

unsafe fn clear_raw(slot: *mut pg_sys::TupleTableSlot) {
    // SAFETY: as for the callers.
    unsafe { (*(*slot).tts_ops).clear.expect("every slot can be cleared")(slot) }
}

unsafe fn copy_raw(
    slot: *mut pg_sys::TupleTableSlot,
    memory: pg_sys::MemoryContext,
) -> pg_sys::MinimalTuple {
    // SAFETY: as for the callers.
    unsafe {
        let before = pg_sys::CurrentMemoryContext;
        pg_sys::CurrentMemoryContext = memory;
        let copy = (*(*slot).tts_ops)
            .copy_minimal_tuple
            .expect("every slot can be copied");
        #[cfg(feature = "pg18")]
        let row = copy(slot, 0);
        #[cfg(not(feature = "pg18"))]
        let row = copy(slot);
        pg_sys::CurrentMemoryContext = before;
        row
    }
}

/// Called inside `guarded` only.
mod raw {
    use pgrx::pg_sys;

    unsafe extern "C-unwind" {
        pub fn ExecReScan(node: *mut pg_sys::PlanState);
        pub fn slot_getsomeattrs_int(slot: *mut pg_sys::TupleTableSlot, count: std::ffi::c_int);
        pub fn ExecStoreMinimalTuple(
            row: pg_sys::MinimalTuple,
            slot: *mut pg_sys::TupleTableSlot,
            free: bool,
        ) -> *mut pg_sys::TupleTableSlot;
        pub fn ExecStoreVirtualTuple(
            slot: *mut pg_sys::TupleTableSlot,
        ) -> *mut pg_sys::TupleTableSlot;
    }
}
