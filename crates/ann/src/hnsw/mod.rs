//! A neighbour graph over short codes: see `README.md` beside this file.

mod beam;
mod build;
mod cells;
mod centre;
mod check;
mod cost;
mod entries;
mod graph;
mod halves;
mod insert;
mod late;
mod layout;
mod lists;
mod meta;
mod near;
mod order;
mod pruned;
mod record;
mod refresh;
mod scan;
mod search;
mod select;
mod space;
mod state;
mod table;
mod vacuum;

pub use crate::query::Query;
pub use crate::row::{Hit, NoTable, Table, TidState};
pub use build::{BuildStats, Builder, build_bytes};
pub use centre::Centre;
pub use check::{Finding, check};
pub use cost::{CostFigures, CostInput, estimate};
pub use insert::insert;
pub use late::LateRows;
pub use layout::{
    MAX_BITS, MAX_DIMS, MAX_EF_CONSTRUCTION, MAX_M, MAX_NODES, MAX_SPARSE_DIMS,
    MIN_EF_CONSTRUCTION, MIN_M,
};
pub use meta::{IndexSpec, Meta, Rerank};
pub use order::lock_order;
pub use scan::{Iterative, Scan, ScanOptions, ScanStats};
pub use vacuum::{VacuumStats, bulk_delete, cleanup};
