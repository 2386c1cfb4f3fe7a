//! Index algorithms over fixed-size pages, with no knowledge of the server that hosts them.
//!
//! * [`page`]: what one page looks like, and the only code that reads or writes its header.
//! * [`store`]: the seam an algorithm works through: reading pages, and atomic records of pages.
//! * [`memory`]: the memory twin of the seam, which keeps its log and polices its rules.
//! * [`ivfflat`]: inverted lists of whole vectors.
//! * [`hnsw`]: a neighbour graph over short codes.
#![deny(unsafe_code)]

mod alloc;
pub mod error;
pub mod hnsw;
pub mod ivfflat;
pub mod memory;
pub mod page;
pub mod query;
pub mod row;
pub mod store;

pub use error::Error;
pub use row::{Element, Hit, Tid, TidState};
pub use store::{BulkWriter, NO_BLOCK, Slot, Store, Txn};
