//! PostgreSQL functions called several at a time under one guard.
//!
//! Each call through pgrx sets a jump point of its own, which costs about as much as pinning a hot
//! buffer. The functions here are declared without it, and only called inside [`guarded`], but for
//! those of which a comment says that they raise no error.

use pgrx::pg_sys;

unsafe extern "C-unwind" {
    pub fn ReadBufferExtended(
        relation: pg_sys::Relation,
        fork: pg_sys::ForkNumber::Type,
        block: pg_sys::BlockNumber,
        mode: pg_sys::ReadBufferMode::Type,
        strategy: pg_sys::BufferAccessStrategy,
    ) -> pg_sys::Buffer;
    pub fn ReadRecentBuffer(
        file: super::compat::RelationFileName,
        fork: pg_sys::ForkNumber::Type,
        block: pg_sys::BlockNumber,
        recent: pg_sys::Buffer,
    ) -> bool;
    pub fn LockBuffer(buffer: pg_sys::Buffer, mode: std::ffi::c_int);
    pub fn ConditionalLockBuffer(buffer: pg_sys::Buffer) -> bool;
    pub fn UnlockReleaseBuffer(buffer: pg_sys::Buffer);
    pub fn ReleaseBuffer(buffer: pg_sys::Buffer);
    pub fn LockRelationForExtension(relation: pg_sys::Relation, mode: pg_sys::LOCKMODE);
    pub fn UnlockRelationForExtension(relation: pg_sys::Relation, mode: pg_sys::LOCKMODE);
    pub fn datumCopy(
        value: pg_sys::Datum,
        by_value: bool,
        length: std::ffi::c_int,
    ) -> pg_sys::Datum;
    pub fn palloc(size: usize) -> *mut std::ffi::c_void;
    // With MCXT_ALLOC_NO_OOM and a size that a chunk may have it raises no error.
    pub fn palloc_extended(size: usize, flags: std::ffi::c_int) -> *mut std::ffi::c_void;
    // Raises no error.
    pub fn AggCheckCallContext(
        fcinfo: pg_sys::FunctionCallInfo,
        context: *mut pg_sys::MemoryContext,
    ) -> std::ffi::c_int;
    pub fn heap_hot_search_buffer(
        tid: pg_sys::ItemPointer,
        relation: pg_sys::Relation,
        buffer: pg_sys::Buffer,
        snapshot: pg_sys::Snapshot,
        tuple: pg_sys::HeapTuple,
        all_dead: *mut bool,
        first_call: bool,
    ) -> bool;
    pub fn heap_copytuple(tuple: pg_sys::HeapTuple) -> pg_sys::HeapTuple;
    pub fn nocachegetattr(
        tuple: pg_sys::HeapTuple,
        attribute: std::ffi::c_int,
        descriptor: pg_sys::TupleDesc,
    ) -> pg_sys::Datum;
    pub fn getmissingattr(
        descriptor: pg_sys::TupleDesc,
        attribute: std::ffi::c_int,
        is_null: *mut bool,
    ) -> pg_sys::Datum;
    // For hooks, from frames that own nothing: their errors pass by with all their fields.
    pub fn standard_planner(
        parse: *mut pg_sys::Query,
        text: *const std::ffi::c_char,
        options: std::ffi::c_int,
        parameters: pg_sys::ParamListInfo,
    ) -> *mut pg_sys::PlannedStmt;
    pub fn standard_ExecutorStart(query: *mut pg_sys::QueryDesc, flags: std::ffi::c_int);
    pub fn MarkBufferDirty(buffer: pg_sys::Buffer);
    // For DirectFunctionCall: an error must jump past its C frame, which a panic can't.
    pub fn numeric_float4(fcinfo: pg_sys::FunctionCallInfo) -> pg_sys::Datum;
    pub fn jsonb_out(fcinfo: pg_sys::FunctionCallInfo) -> pg_sys::Datum;
}

/// Runs `body` with one jump point for all raw calls in it; a PostgreSQL ERROR becomes a panic.
///
/// # Safety
/// On the backend's own thread only, and `body` owns nothing that needs dropping when PostgreSQL
/// jumps out of it.
#[inline]
pub unsafe fn guarded<T>(body: impl FnOnce() -> T) -> T {
    // SAFETY: the caller's promise.
    unsafe { pg_sys::ffi::pg_guard_ffi_boundary(body) }
}
