//! Rust values that live as long as a PostgreSQL memory context.

use std::ffi::c_void;

use pgrx::pg_sys;

/// Moves `value` to the heap; it is dropped when the current memory context is reset or deleted,
/// in an abort too.
pub fn leak_into_current_context<T>(value: T) -> *mut T {
    unsafe extern "C-unwind" fn drop_box<T>(argument: *mut c_void) {
        // SAFETY: the argument is the box made below, and PostgreSQL calls this once.
        unsafe {
            pg_sys::panic::pgrx_extern_c_guard(|| drop(Box::from_raw(argument.cast::<T>())));
        }
    }
    // SAFETY: the callback's record is allocated in the context that will call it.
    unsafe {
        let callback = pg_sys::palloc0(size_of::<pg_sys::MemoryContextCallback>())
            .cast::<pg_sys::MemoryContextCallback>();
        let pointer = Box::into_raw(Box::new(value));
        (*callback).func = Some(drop_box::<T>);
        (*callback).arg = pointer.cast();
        pg_sys::MemoryContextRegisterResetCallback(pg_sys::CurrentMemoryContext, callback);
        pointer
    }
}
