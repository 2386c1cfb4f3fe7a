//! Rust values that live as long as a PostgreSQL memory context, and vectors whose length comes from
//! data: a failed Rust allocation would abort the server.

use std::collections::TryReserveError;
use std::ffi::c_void;

use pgnear_values::ValueError;
use pgrx::pg_sys;

/// That a vector could not grow: SQLSTATE 53200.
pub fn no_memory(_: TryReserveError) -> ValueError {
    pgnear_values::error::out_of_memory()
}

/// The elements of an iterator that knows its length.
///
/// # Errors
/// SQLSTATE 53200 where there is no memory for them.
pub fn collect<T>(elements: impl ExactSizeIterator<Item = T>) -> Result<Vec<T>, ValueError> {
    let mut vec = Vec::new();
    vec.try_reserve_exact(elements.len()).map_err(no_memory)?;
    vec.extend(elements);
    Ok(vec)
}

/// A copy of `slice`; errors as for [`collect`].
pub fn copied<T: Copy>(slice: &[T]) -> Result<Vec<T>, ValueError> {
    collect(slice.iter().copied())
}

/// Appends `slice` to `vec`, which grows to twice its size where it must grow; errors as for
/// [`collect`].
pub fn append<T: Copy>(vec: &mut Vec<T>, slice: &[T]) -> Result<(), ValueError> {
    vec.try_reserve(slice.len()).map_err(no_memory)?;
    vec.extend_from_slice(slice);
    Ok(())
}

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

/// A memory context for values of one row, emptied after each.
pub struct Scratch(pg_sys::MemoryContext);

impl Scratch {
    pub fn new() -> Self {
        // SAFETY: a child of the current context, which is freed with it at the latest.
        Scratch(unsafe {
            pg_sys::AllocSetContextCreateInternal(
                pg_sys::CurrentMemoryContext,
                c"pgnear row".as_ptr(),
                pg_sys::ALLOCSET_DEFAULT_MINSIZE as usize,
                pg_sys::ALLOCSET_DEFAULT_INITSIZE as usize,
                pg_sys::ALLOCSET_DEFAULT_MAXSIZE as usize,
            )
        })
    }

    /// Runs `body` with this as the current context, then frees what it allocated there.
    ///
    /// What `body` returns must not point there.
    pub fn run<T>(&mut self, body: impl FnOnce() -> T) -> T {
        // SAFETY: the context lives as long as self. Where an error unwinds out of `body`, the
        // handler of that error sets the current context itself.
        unsafe {
            let before = pg_sys::MemoryContextSwitchTo(self.0);
            let result = body();
            pg_sys::MemoryContextSwitchTo(before);
            pg_sys::MemoryContextReset(self.0);
            result
        }
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            // SAFETY: made by `new`, and nobody else frees it before its parent.
            unsafe { pg_sys::MemoryContextDelete(self.0) }
        }
    }
}
