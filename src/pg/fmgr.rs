//! The version-1 calling convention: how SQL functions reach safe Rust.
//!
//! Symbols carry pgvector's C names, because a database in which pgvector was created refers to
//! them by name. Libraries load with global symbols, so an exported function may be shadowed by
//! another library's: each stands alone in an anonymous scope and is never called from inside.

use std::marker::PhantomData;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use pgnear_values::ValueError;
use pgnear_values::error::out_of_memory;
use pgrx::pg_sys;

use super::error::raise;
use super::raw;

/// What a SQL function returns: a value, or an error to raise.
pub type Return = Result<pg_sys::Datum, ValueError>;

/// One call of a SQL function: its arguments, and the way to build its result.
///
/// Values borrowed from a call live as long as the call.
#[derive(Clone, Copy)]
pub struct Call<'fc> {
    fcinfo: pg_sys::FunctionCallInfo,
    frame: PhantomData<&'fc ()>,
}

impl<'fc> Call<'fc> {
    /// Runs `body` for PostgreSQL; an `Err` and a panic become an ERROR.
    ///
    /// # Safety
    /// `fcinfo` is what PostgreSQL passed to a version-1 function, and the caller is that function.
    #[inline(always)]
    pub unsafe fn run(
        fcinfo: pg_sys::FunctionCallInfo,
        body: impl FnOnce(Call<'_>) -> Return,
    ) -> pg_sys::Datum {
        let call = Call {
            fcinfo,
            frame: PhantomData,
        };
        // What pgrx's own guard does, but inlined into the function, which is small.
        match catch_unwind(AssertUnwindSafe(|| body(call))) {
            Ok(Ok(datum)) => datum,
            // SAFETY: at the top of an extern function, so no frame above owns anything.
            failure => unsafe { fail(failure) },
        }
    }

    /// The call record itself, for the modules of this wall.
    pub(super) fn fcinfo(self) -> pg_sys::FunctionCallInfo {
        self.fcinfo
    }

    /// How many arguments were passed.
    pub fn nargs(self) -> usize {
        // SAFETY: fcinfo is valid for the duration of the call.
        unsafe { (*self.fcinfo).nargs as usize }
    }

    /// Argument `n` as a raw datum. Strict functions never see a NULL.
    ///
    /// Panics when there is no such argument: the SQL script and the code disagree.
    #[inline]
    pub fn datum(self, n: usize) -> pg_sys::Datum {
        assert!(
            n < self.nargs(),
            "SQL function called with too few arguments"
        );
        // SAFETY: the argument array holds `nargs` entries, and n is below that.
        unsafe { (*self.fcinfo).args.as_slice(n + 1)[n].value }
    }

    #[inline]
    pub fn int4(self, n: usize) -> i32 {
        self.datum(n).value() as i32
    }

    #[inline]
    pub fn int8(self, n: usize) -> i64 {
        self.datum(n).value() as i64
    }

    #[inline]
    pub fn float8(self, n: usize) -> f64 {
        f64::from_bits(self.datum(n).value() as u64)
    }

    /// A type modifier argument: -1 where the column has none.
    #[inline]
    pub fn typmod(self, n: usize) -> i32 {
        self.int4(n)
    }

    /// A `cstring` argument, without its closing zero.
    pub fn cstring(self, n: usize) -> &'fc [u8] {
        // SAFETY: the SQL declaration says cstring: PostgreSQL passes a zero-terminated string
        // that lives for the call.
        unsafe { std::ffi::CStr::from_ptr(self.datum(n).cast_mut_ptr()) }.to_bytes()
    }

    /// The unread rest of the message of a receive function. `consume` takes what it has read.
    pub fn message(self, n: usize) -> &'fc [u8] {
        let info: pg_sys::StringInfo = self.datum(n).cast_mut_ptr();
        // SAFETY: receive functions get a StringInfo whose data is valid up to len, and cursor <= len.
        unsafe {
            let left = (*info).len.saturating_sub((*info).cursor).max(0) as usize;
            std::slice::from_raw_parts((*info).data.add((*info).cursor as usize).cast::<u8>(), left)
        }
    }

    /// Marks `bytes` of the message of a receive function as read.
    pub fn consume(self, n: usize, bytes: usize) {
        let info: pg_sys::StringInfo = self.datum(n).cast_mut_ptr();
        // SAFETY: as in `message`; the cursor never passes len.
        unsafe {
            (*info).cursor = ((*info).cursor as usize + bytes).min((*info).len as usize) as i32
        }
    }

    /// The memory context of the aggregate that this is a transition or combine function of.
    pub fn aggregate_context(self) -> Option<pg_sys::MemoryContext> {
        let mut context: pg_sys::MemoryContext = std::ptr::null_mut();
        // SAFETY: fcinfo is valid; the function only writes `context` and raises no error.
        let kind = unsafe { raw::AggCheckCallContext(self.fcinfo, &raw mut context) };
        (kind != 0 && !context.is_null()).then_some(context)
    }

    /// SQL NULL.
    pub fn null(self) -> Return {
        // SAFETY: fcinfo is valid for the duration of the call.
        unsafe { (*self.fcinfo).isnull = true };
        Ok(pg_sys::Datum::from(0))
    }

    #[inline]
    pub fn return_float8(self, value: f64) -> Return {
        Ok(pg_sys::Datum::from(value.to_bits()))
    }

    #[inline]
    pub fn return_int4(self, value: i32) -> Return {
        Ok(pg_sys::Datum::from(value))
    }

    #[inline]
    pub fn return_int8(self, value: i64) -> Return {
        Ok(pg_sys::Datum::from(value))
    }

    #[inline]
    pub fn return_bool(self, value: bool) -> Return {
        Ok(pg_sys::Datum::from(value))
    }

    /// A `cstring` result that `print` writes into `room` zeroed bytes; it says how many it wrote.
    pub fn build_cstring(self, room: usize, print: impl FnOnce(&mut [u8]) -> usize) -> Return {
        let out = palloc_zeroed(room + 1)?;
        // SAFETY: `room` bytes are there and zeroed, and one more for the closing zero.
        unsafe {
            let written = print(std::slice::from_raw_parts_mut(out, room)).min(room);
            out.add(written).write(0);
        }
        Ok(pg_sys::Datum::from(out))
    }
}

/// Tells the compiler the type of a closure that is the body of a SQL function.
#[inline(always)]
pub fn body<F: FnOnce(Call<'_>) -> Return>(body: F) -> F {
    body
}

/// Raises what a function failed with, and never returns.
///
/// # Safety
/// Called at the top of an extern function.
#[cold]
#[inline(never)]
unsafe fn fail(failure: std::thread::Result<Return>) -> pg_sys::Datum {
    // SAFETY: the caller's promise. A panic goes on where its hook left it.
    unsafe {
        pg_sys::panic::pgrx_extern_c_guard(move || match failure {
            Ok(Ok(datum)) => datum,
            Ok(Err(error)) => raise(error),
            Err(panic) => resume_unwind(panic),
        })
    }
}

/// Zeroed memory of the current context, as long as one of its chunks may be.
///
/// # Errors
/// SQLSTATE 53200 where there is none: no error of PostgreSQL's is raised, so that no jump point is needed.
#[inline]
pub(super) fn palloc_zeroed(bytes: usize) -> Result<*mut u8, ValueError> {
    if bytes > MAX_CHUNK {
        return Err(out_of_memory());
    }
    // SAFETY: the size is valid, and the flag makes the function return NULL where memory ends.
    let pointer = unsafe { raw::palloc_extended(bytes, NO_ERROR_AND_ZEROED) };
    if pointer.is_null() {
        return Err(out_of_memory());
    }
    Ok(pointer.cast())
}

/// PostgreSQL's MaxAllocSize.
const MAX_CHUNK: usize = 0x3fff_ffff;
const NO_ERROR_AND_ZEROED: i32 = (pg_sys::MCXT_ALLOC_NO_OOM | pg_sys::MCXT_ALLOC_ZERO) as i32;

/// Exports SQL functions under their C symbols: `symbol => |call| body;`.
#[macro_export]
macro_rules! sql_functions {
    ($($(#[$doc:meta])* $symbol:ident => $body:expr;)*) => {$(
        $(#[$doc])*
        const _: () = {
            #[unsafe(no_mangle)]
            #[allow(unsafe_code)]
            extern "C-unwind" fn $symbol(
                fcinfo: ::pgrx::pg_sys::FunctionCallInfo,
            ) -> ::pgrx::pg_sys::Datum {
                let body = $crate::pg::fmgr::body($body);
                // SAFETY: PostgreSQL calls this symbol as a version-1 function (see the record below).
                unsafe { $crate::pg::fmgr::Call::run(fcinfo, body) }
            }

            #[unsafe(export_name = concat!("pg_finfo_", stringify!($symbol)))]
            #[allow(unsafe_code)]
            extern "C" fn finfo() -> &'static ::pgrx::pg_sys::Pg_finfo_record {
                const RECORD: ::pgrx::pg_sys::Pg_finfo_record =
                    ::pgrx::pg_sys::Pg_finfo_record { api_version: 1 };
                &RECORD
            }
        };
    )*};
}
