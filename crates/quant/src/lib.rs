//! k-means over float vectors ([`kmeans()`]) and packed bit vectors ([`bits`]), and the assignment
//! of rows to centroids. See the README of this folder for the idea and the invariants.
#![deny(unsafe_code)]

mod assign;
pub mod bits;
mod bounds;
mod fill;
mod job;
mod kmeans;
mod lloyd;
mod matrix;
mod rng;

pub use assign::{Assign, nearest, nearest_batch};
pub use job::{Job, QuantError};
pub use kmeans::{KMeans, KMeansOptions, kmeans};
pub use matrix::{Matrix, WrongShape};
