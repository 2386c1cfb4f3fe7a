//! The wall to PostgreSQL: every call into it, and every `unsafe` of the glue.
//!
//! The rooms beside this one (`types`, `ops`, `am`) are safe code over what is offered here.

pub mod array;
pub mod bits;
pub mod cost;
pub mod error;
pub mod fmgr;
pub mod init;
pub mod subscript;
pub mod value;
