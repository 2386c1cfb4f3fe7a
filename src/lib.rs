//! pgnear: vector similarity search inside PostgreSQL.
//!
//! This crate is the glue that gives the pure crates of the workspace PostgreSQL's pages, locks,
//! WAL, types and planner. See README.md in this folder for its rooms.

pgrx::pg_module_magic!();

mod am;
mod ops;
mod pg;
mod types;

/// Called by PostgreSQL when the library is loaded: by the first use in a session, or by a preload.
#[unsafe(no_mangle)]
#[allow(unsafe_code, non_snake_case)]
pub extern "C-unwind" fn _PG_init() {
    pg::init::library_loaded();
}
