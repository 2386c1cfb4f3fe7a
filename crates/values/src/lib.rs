//! Values of the SQL types `vector`, `halfvec`, `sparsevec` and `bit`: everything about them
//! that is not a distance.
//!
//! Text form, wire form, views of stored payloads, element arithmetic, casts, order, hashing
//! and the arithmetic of `avg`. Every error is a [`ValueError`] with the message and SQLSTATE
//! that a client sees; nothing here panics on data.
#![deny(unsafe_code)]
#![warn(missing_docs)]

pub mod avg;
pub mod bits;
mod dense;
pub mod error;
pub mod halfvec;
mod hash;
mod memory;
mod pow10;
mod print;
pub mod sparsevec;
mod text;
pub mod vector;
mod wire;

pub use dense::Element;
pub use error::{Code, ValueError};
pub use half::f16;
pub use print::print_f32;

/// Dimensions that a `vector` or a `halfvec` can have at most.
pub const MAX_DIMS: usize = 16_000;
/// Dimensions that a `sparsevec` can have at most.
pub const SPARSE_MAX_DIMS: usize = 1_000_000_000;
/// Non-zero elements that a `sparsevec` can have at most.
pub const SPARSE_MAX_NNZ: usize = 16_000;
