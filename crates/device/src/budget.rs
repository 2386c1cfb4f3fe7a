//! Memory whose size comes from data: counted against a limit, and never an abort.

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};

/// An allocation did not fit the budget, or the allocator refused it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OutOfMemory {
    /// Size of the allocation that failed.
    pub bytes: usize,
}

impl fmt::Display for OutOfMemory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "out of memory: cannot allocate {} bytes", self.bytes)
    }
}

impl std::error::Error for OutOfMemory {}

/// What one operation may allocate. Lives as long as the operation; usable from several threads.
///
/// A failed Rust allocation aborts the process, which restarts a whole PostgreSQL cluster: so every
/// allocation whose size comes from data goes through here and fails with [`OutOfMemory`] instead.
#[derive(Debug)]
pub struct MemoryBudget {
    limit_bytes: usize,
    used: AtomicUsize,
}

impl MemoryBudget {
    /// A budget of `limit_bytes` (for example `maintenance_work_mem`).
    pub const fn new(limit_bytes: usize) -> MemoryBudget {
        MemoryBudget {
            limit_bytes,
            used: AtomicUsize::new(0),
        }
    }

    /// No limit but the allocator's own.
    pub const fn unlimited() -> MemoryBudget {
        MemoryBudget::new(usize::MAX)
    }

    /// The limit in bytes.
    pub fn limit_bytes(&self) -> usize {
        self.limit_bytes
    }

    /// Bytes that are still free.
    pub fn available(&self) -> usize {
        self.limit_bytes
            .saturating_sub(self.used.load(Ordering::Relaxed))
    }

    /// Counts `bytes` as used, without allocating.
    pub fn charge(&self, bytes: usize) -> Result<(), OutOfMemory> {
        self.used
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |used| {
                used.checked_add(bytes)
                    .filter(|&sum| sum <= self.limit_bytes)
            })
            .map(|_| ())
            .map_err(|_| OutOfMemory { bytes })
    }

    /// Counts `bytes` as free again. Only temporaries that die long before the operation does are
    /// worth giving back.
    pub fn give_back(&self, bytes: usize) {
        let _ = self
            .used
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |used| {
                Some(used.saturating_sub(bytes))
            });
    }

    /// An empty vector with room for exactly `n` elements; its bytes are charged.
    pub fn try_vec_with_capacity<T>(&self, n: usize) -> Result<Vec<T>, OutOfMemory> {
        let bytes = n
            .checked_mul(size_of::<T>())
            .ok_or(OutOfMemory { bytes: usize::MAX })?;
        self.charge(bytes)?;
        let mut vec = Vec::new();
        if vec.try_reserve_exact(n).is_err() {
            self.give_back(bytes);
            return Err(OutOfMemory { bytes });
        }
        Ok(vec)
    }

    /// A vector of `n` copies of `value`; its bytes are charged.
    pub fn try_vec_filled<T: Clone>(&self, n: usize, value: T) -> Result<Vec<T>, OutOfMemory> {
        let mut vec = self.try_vec_with_capacity(n)?;
        // Stays within the capacity that was just reserved: allocates nothing.
        vec.resize(n, value);
        Ok(vec)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_against_the_limit() {
        let budget = MemoryBudget::new(1000);
        let first: Vec<u32> = budget.try_vec_with_capacity(200).unwrap();
        assert!(first.capacity() >= 200);
        assert_eq!(budget.available(), 200);
        assert_eq!(
            budget.try_vec_filled::<u64>(26, 7),
            Err(OutOfMemory { bytes: 208 })
        );
        assert_eq!(budget.try_vec_filled::<u64>(25, 7).unwrap(), vec![7; 25]);
        assert_eq!(budget.available(), 0);
        budget.give_back(800);
        assert_eq!(budget.available(), 800);
    }

    #[test]
    fn a_size_beyond_the_address_space_is_an_error() {
        let budget = MemoryBudget::unlimited();
        assert!(budget.try_vec_with_capacity::<u64>(usize::MAX / 4).is_err());
        assert!(
            budget
                .try_vec_with_capacity::<u8>(usize::MAX / 2 + 9)
                .is_err()
        );
        assert_eq!(budget.available(), usize::MAX);
    }
}
