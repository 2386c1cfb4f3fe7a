//! k-means over float vectors ([`kmeans()`]) and packed bit vectors ([`bits`]), the assignment of
//! rows to centroids, and short codes of vectors ([`Rotation`], [`code4`]). See the README of this
//! folder for the idea and the invariants.
#![deny(unsafe_code)]

mod assign;
pub mod bits;
mod bounds;
pub mod code16;
pub mod code4;
mod cpu;
mod fill;
mod job;
mod kmeans;
mod knn;
mod lloyd;
mod matrix;
mod pace;
pub mod panel4;
mod rng;
mod rotation;
mod rounding;
mod sieve;

pub use assign::{nearest, nearest_batch};
pub use cpu::Cpu;
pub use job::{Job, QuantError};
pub use kmeans::{KMeans, KMeansOptions, Prepared, kmeans, kmeans_on, kmeans_prepared, prepared};
pub use knn::Knn;
pub use matrix::{Matrix, WrongShape};
pub use pace::multiplications_a_second;
pub use pgnear_device::Assign;
pub use rotation::Rotation;
