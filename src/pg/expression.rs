//! The expression that an index is on, evaluated for rows of its table.

use pgrx::pg_sys;

/// An index's expression, ready to be evaluated. Its memory is that of the context it was made in.
pub(super) struct Expression {
    info: *mut pg_sys::IndexInfo,
    state: *mut pg_sys::EState,
    slot: *mut pg_sys::TupleTableSlot,
}

impl Expression {
    /// # Safety
    /// Both relations are open, and the index has one column. What is made lives as long as `context`.
    pub unsafe fn new(
        table: pg_sys::Relation,
        index: pg_sys::Relation,
        context: pg_sys::MemoryContext,
    ) -> Self {
        // SAFETY: the caller's promise. The slot has a descriptor of its own: that of the table is
        // counted, and nobody would count it down.
        unsafe {
            let before = pg_sys::MemoryContextSwitchTo(context);
            let descriptor = pg_sys::CreateTupleDescCopy((*table).rd_att);
            let slot =
                pg_sys::MakeSingleTupleTableSlot(descriptor, &raw const pg_sys::TTSOpsHeapTuple);
            let expression = Expression {
                info: pg_sys::BuildIndexInfo(index),
                state: pg_sys::CreateExecutorState(),
                slot,
            };
            pg_sys::MemoryContextSwitchTo(before);
            expression
        }
    }

    /// Calls `use_it` with the expression's value for a row; not where that is NULL.
    ///
    /// # Safety
    /// The row is one of the table.
    pub unsafe fn evaluate<T>(
        &self,
        row: pg_sys::HeapTuple,
        use_it: impl FnOnce(pg_sys::Datum) -> T,
    ) -> Option<T> {
        // SAFETY: the caller's promise; the index has one column, and the value lives until its memory
        // is reset.
        unsafe {
            let context = pg_sys::MakePerTupleExprContext(self.state);
            pg_sys::ExecStoreHeapTuple(row, self.slot, false);
            (*context).ecxt_scantuple = self.slot;
            let before = pg_sys::MemoryContextSwitchTo((*context).ecxt_per_tuple_memory);
            let (mut value, mut is_null) = (pg_sys::Datum::from(0), false);
            pg_sys::FormIndexDatum(
                self.info,
                self.slot,
                self.state,
                &raw mut value,
                &raw mut is_null,
            );
            let used = (!is_null).then(|| use_it(value));
            pg_sys::MemoryContextSwitchTo(before);
            pg_sys::MemoryContextReset((*context).ecxt_per_tuple_memory);
            used
        }
    }
}
