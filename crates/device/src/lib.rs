//! Walls around what is dangerous inside a database backend: threads, and memory whose size comes
//! from data. See the README of this folder for the invariants.

mod budget;
mod cancel;
mod pool;
mod progress;
pub mod remote;
mod reserve;
mod search;
mod signals;

pub use budget::{MemoryBudget, OutOfMemory};
pub use cancel::CancelFlag;
pub use pool::{Pool, RunError, Workers};
pub use progress::Progress;
pub use reserve::Reserved;
pub use search::{Assign, Assigner, Device, DeviceError, Nearest, Neighbour, Search, Wanted};
