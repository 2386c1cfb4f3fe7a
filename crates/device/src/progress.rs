//! How far an operation is, readable from the thread that polls.

use std::sync::atomic::{AtomicU64, Ordering};

/// Steps done out of a total. Workers write it, the polling thread reads it (and may hand it to
/// `pg_stat_progress_create_index`): so no callback ever runs on a worker.
#[derive(Debug, Default)]
pub struct Progress {
    done: AtomicU64,
    total: AtomicU64,
}

impl Progress {
    /// Nothing done of nothing.
    pub const fn new() -> Progress {
        Progress {
            done: AtomicU64::new(0),
            total: AtomicU64::new(0),
        }
    }

    /// Starts over with `total` steps ahead. The total is an upper bound: work may end earlier.
    pub fn begin(&self, total: u64) {
        self.done.store(0, Ordering::Relaxed);
        self.total.store(total, Ordering::Relaxed);
    }

    /// Counts `steps` more as done.
    pub fn advance(&self, steps: u64) {
        self.done.fetch_add(steps, Ordering::Relaxed);
    }

    /// Steps done.
    pub fn done(&self) -> u64 {
        self.done.load(Ordering::Relaxed)
    }

    /// Steps in all.
    pub fn total(&self) -> u64 {
        self.total.load(Ordering::Relaxed)
    }
}
