//! A one-way flag that asks work to stop.

use std::sync::atomic::{AtomicBool, Ordering};

/// Asks work to stop early. It only ever goes from clear to set; whoever works looks at it between
/// chunks of a few milliseconds.
#[derive(Debug, Default)]
pub struct CancelFlag(AtomicBool);

impl CancelFlag {
    /// A clear flag.
    pub const fn new() -> CancelFlag {
        CancelFlag(AtomicBool::new(false))
    }

    /// Whether somebody asked the work to stop.
    pub fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// Asks the work to stop.
    pub fn set(&self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
