//! The wall to PostgreSQL: every call into it, and every `unsafe` of the glue.
//!
//! The rooms beside this one (`types`, `ops`, `am`) are safe code over what is offered here.

pub mod admin;
pub mod am;
pub mod array;
pub mod bits;
pub mod build;
pub mod compat;
pub mod cost;
pub mod error;
mod exec;
mod expression;
pub mod fmgr;
pub mod gpu;
mod hints;
pub mod index;
pub mod init;
pub mod knn_join;
pub mod memory;
pub mod parallel;
mod plan;
pub mod query;
mod raw;
pub mod reloptions;
mod row;
pub mod rows;
pub mod scan_distance;
pub mod settings;
pub mod sort;
pub mod store;
pub mod subscript;
pub mod table;
pub mod validate;
pub mod value;
