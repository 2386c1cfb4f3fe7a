//! pgnear: vector similarity search inside PostgreSQL.
//!
//! This crate is the glue that gives the pure crates of the workspace PostgreSQL's pages, locks,
//! WAL, types and planner. See README.md in this folder for its rooms.

use std::alloc::System;

pgrx::pg_module_magic!();

/// What must not fail for want of memory does not: an abort would end every session of the server.
#[global_allocator]
static MEMORY: pgnear_device::Reserved<System> = pgnear_device::Reserved::new(System);

mod am;
mod ops;
mod pg;
mod types;

/// What is above the wall to PostgreSQL and called from below it.
fn start() {
    pg::knn_join::search_by(&ops::knn_join::Exact);
}
