//! What happens once when the library is loaded.

use pgnear_values::{Code, ValueError};

use super::error::raise;
use super::{plan, reloptions, settings};

/// Called by PostgreSQL when the library is loaded: by the first use in a session, or by a preload.
///
/// Chooses the kernels, defines settings and index options, and looks at plans from now on; reports a
/// level that was asked for and can't be had.
#[unsafe(no_mangle)]
#[allow(non_snake_case)]
pub extern "C-unwind" fn _PG_init() {
    hide_backtraces();
    // Rust's cleanup of this thread is registered now: the C library ends the process where it finds no
    // memory for that later.
    let _ = std::thread::current();
    // SAFETY: called at the top of `_PG_init`, an extern function.
    unsafe {
        pgrx::pg_sys::panic::pgrx_extern_c_guard(|| {
            if let Err(error) = pgnear_kernels::try_kernels() {
                raise(ValueError {
                    code: Code::InvalidParameterValue,
                    message: error.to_string().into(),
                    detail: None,
                    hint: Some(
                        "Unset the environment variable PGNEAR_SIMD, or set it to \"scalar\"."
                            .into(),
                    ),
                });
            }
            settings::define();
            reloptions::define();
            crate::start();
            plan::install();
        });
    }
}

/// A server started with RUST_BACKTRACE would show each PostgreSQL error that passes through Rust
/// with a backtrace in its DETAIL. Whoever wants that sets RUST_LIB_BACKTRACE.
fn hide_backtraces() {
    const VARIABLE: &str = "RUST_LIB_BACKTRACE";
    if std::env::var_os(VARIABLE).is_none() {
        // SAFETY: a backend has one thread while it loads a library.
        unsafe { std::env::set_var(VARIABLE, "0") }
    }
}
