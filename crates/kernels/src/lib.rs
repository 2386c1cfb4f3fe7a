//! Distance kernels of pgnear.
//!
//! Every exact sum has one canonical order of operations, so its bits are the same on every CPU
//! level, on a primary and its replica, and in an index and its operator: see `README.md` beside
//! this crate. The table of kernels for the running CPU is [`kernels()`]; the values that SQL
//! operators return are in [`exact`].

mod bits;
mod canonical;
pub mod code16;
mod code4;
pub mod code8;
mod element;
pub mod exact;
mod half_convert;
mod level;
mod metric;
mod prefetch;
mod scalar;
pub mod sparse;
mod table;
mod whole;
#[cfg(target_arch = "x86_64")]
mod x86;

pub use element::Element;
pub use level::{Level, LevelError};
pub use metric::Metric;
pub use prefetch::prefetch;
pub use table::{BitCounts, CosineSums, Kernels, kernels, kernels_at, try_kernels};
