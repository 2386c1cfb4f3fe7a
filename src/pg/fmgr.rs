//! The version-1 calling convention: how SQL functions reach safe Rust.
//!
//! Symbols carry pgvector's C names, because a database in which pgvector was created refers to
//! them by name. Libraries load with global symbols, so an exported function may be shadowed by
//! another library's: each stands alone in an anonymous scope and is never called from inside.

use std::marker::PhantomData;

use pgnear_values::ValueError;
use pgrx::pg_sys;

use super::error::raise;

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
    #[inline]
    pub unsafe fn run(
        fcinfo: pg_sys::FunctionCallInfo,
        body: fn(Call<'_>) -> Return,
    ) -> pg_sys::Datum {
        // SAFETY: called at the top of an extern function, so no frame above owns anything.
        unsafe {
            pg_sys::panic::pgrx_extern_c_guard(move || {
                let call = Call {
                    fcinfo,
                    frame: PhantomData,
                };
                body(call).unwrap_or_else(|error| raise(error))
            })
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
        // SAFETY: fcinfo is valid; the function only writes `context`.
        let kind = unsafe { pg_sys::AggCheckCallContext(self.fcinfo, &raw mut context) };
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

    /// A `cstring` result: `bytes` and a closing zero.
    pub fn return_cstring(self, bytes: &[u8]) -> Return {
        // SAFETY: palloc returns room for len + 1 bytes or raises an error.
        unsafe {
            let out = pg_sys::palloc(bytes.len() + 1).cast::<u8>();
            std::ptr::copy_nonoverlapping(bytes.as_ptr(), out, bytes.len());
            out.add(bytes.len()).write(0);
            Ok(pg_sys::Datum::from(out))
        }
    }
}

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
                const BODY: fn($crate::pg::fmgr::Call<'_>) -> $crate::pg::fmgr::Return = $body;
                // SAFETY: PostgreSQL calls this symbol as a version-1 function (see the record below).
                unsafe { $crate::pg::fmgr::Call::run(fcinfo, BODY) }
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
