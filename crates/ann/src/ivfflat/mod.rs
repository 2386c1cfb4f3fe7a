//! Inverted lists of whole vectors: see `README.md` beside this file.

mod build;
mod candidates;
mod centroids;
mod check;
mod cost;
mod directory;
mod entry;
mod insert;
mod layout;
mod meta;
mod order;
mod scan;
mod search;
mod vacuum;

pub use crate::query::Query;
pub use crate::row::{Hit, TidState};
pub use build::{BuildStats, Builder};
pub use centroids::Centroids;
pub use check::{Finding, check};
pub use cost::{CostFigures, CostInput, estimate};
pub use insert::insert;
pub use layout::{MAX_BITS, MAX_DIMS, MAX_LISTS};
pub use meta::{IndexSpec, Meta};
pub use order::lock_order;
pub use scan::{Scan, ScanOptions, ScanStats};
pub use vacuum::{VacuumStats, bulk_delete, cleanup};
