//! Functions and operators over the types, and what the planner asks about them.

mod aggregate;
mod arithmetic;
mod batch;
mod compare;
mod distance;
mod gpu;
mod knn;
pub mod knn_join;
