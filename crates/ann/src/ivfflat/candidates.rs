//! The rows a scan has found and not yet handed out, within a bound of memory.
//!
//! When more rows come than may be kept, the farther half is dropped, and the nearest key ever
//! dropped is remembered as the *floor*: what is kept below it is complete, and handed out in
//! order; once that is used up, the scan reads the same lists again for rows behind the last one
//! handed out. Rows are selected in growing chunks, so that a scan that is asked for ten rows does
//! not sort ten thousand.

use crate::alloc;
use crate::error::Error;
use crate::row::Tid;

/// A row found: 16 bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Candidate {
    /// See [`crate::query::sortable`].
    pub key: u64,
    block: u32,
    offset: u16,
    /// Which of the lists of the round it was found in.
    list: u16,
}

/// Rows go out in this order.
pub(super) type Rank = (u64, Tid);

impl Candidate {
    pub fn new(key: u64, tid: Tid, list: u16) -> Candidate {
        Candidate {
            key,
            block: tid.block,
            offset: tid.offset,
            list,
        }
    }

    pub fn tid(&self) -> Tid {
        Tid {
            block: self.block,
            offset: self.offset,
        }
    }

    pub fn rank(&self) -> Rank {
        (self.key, self.tid())
    }
}

/// Rows selected and sorted by the first chunk; later chunks double.
const FIRST_CHUNK: usize = 64;
/// Fewest rows that may be kept, whatever the memory.
const LEAST: usize = 16;

pub(super) struct Candidates {
    limit: usize,
    kept: Vec<Candidate>,
    floor: Option<Rank>,
    /// Candidates before this have been handed out.
    next: usize,
    /// Candidates before this are sorted, and before all others.
    sorted: usize,
    chunk: usize,
}

impl Candidates {
    /// At most `limit` rows are kept.
    pub fn new(limit: usize) -> Candidates {
        Candidates {
            limit: limit.max(LEAST),
            kept: Vec::new(),
            floor: None,
            next: 0,
            sorted: 0,
            chunk: FIRST_CHUNK,
        }
    }

    /// Forgets everything; a new pass over lists begins.
    pub fn clear(&mut self) {
        self.kept.clear();
        self.floor = None;
        self.next = 0;
        self.sorted = 0;
        self.chunk = FIRST_CHUNK;
    }

    /// Adds a row of the pass.
    pub fn offer(&mut self, candidate: Candidate) -> Result<(), Error> {
        if self.floor.is_some_and(|floor| candidate.rank() >= floor) {
            return Ok(());
        }
        if self.kept.len() == self.limit {
            self.drop_farther_half();
            if self.floor.is_some_and(|floor| candidate.rank() >= floor) {
                return Ok(());
            }
        }
        if self.kept.len() == self.kept.capacity() {
            let more = self.kept.len().max(256).min(self.limit - self.kept.len());
            self.kept
                .try_reserve_exact(more)
                .map_err(|_| Error::OutOfMemory {
                    bytes: more * size_of::<Candidate>(),
                })?;
        }
        self.kept.push(candidate);
        Ok(())
    }

    fn drop_farther_half(&mut self) {
        let half = self.limit / 2;
        let (_, middle, _) = (self.kept).select_nth_unstable_by_key(half, Candidate::rank);
        self.floor = Some(middle.rank());
        self.kept.truncate(half);
    }

    /// Takes back the rows of one list of the round, which is going to be read again.
    pub fn forget_list(&mut self, list: u16) {
        self.kept.retain(|candidate| candidate.list != list);
    }

    /// Whether rows were dropped, so that the lists must be read again once the kept ones are
    /// used up.
    pub fn overflowed(&self) -> bool {
        self.floor.is_some()
    }

    /// The nearest row not handed out yet. After the first call no more are offered.
    pub fn pop(&mut self) -> Option<Candidate> {
        if self.next == self.sorted {
            let rest = &mut self.kept[self.sorted..];
            if rest.is_empty() {
                return None;
            }
            let chunk = self.chunk.min(rest.len());
            if chunk < rest.len() {
                rest.select_nth_unstable_by_key(chunk, Candidate::rank);
            }
            rest[..chunk].sort_unstable_by_key(Candidate::rank);
            self.sorted += chunk;
            self.chunk = self.chunk.saturating_mul(2);
        }
        let candidate = self.kept[self.next];
        self.next += 1;
        Some(candidate)
    }
}

/// A growing set of rows handed out.
#[derive(Default)]
pub(super) struct Emitted(std::collections::HashSet<u64>);

impl Emitted {
    /// Adds a row; `false` if it was there.
    pub fn insert(&mut self, tid: Tid) -> Result<bool, Error> {
        self.0.try_reserve(1).map_err(|_| Error::OutOfMemory {
            bytes: self.0.len().saturating_mul(16),
        })?;
        Ok(self.0.insert(tid.to_u64()))
    }
}

/// The nearest `count` lists (all, if there are fewer), in order; equals by number.
pub(super) fn nearest(mut keys: Vec<(u64, u32)>, count: usize) -> Result<Vec<u32>, Error> {
    if count < keys.len() {
        keys.select_nth_unstable(count);
        keys.truncate(count);
    }
    keys.sort_unstable();
    let mut lists = alloc::with_capacity(keys.len())?;
    lists.extend(keys.iter().map(|(_, list)| *list));
    Ok(lists)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candidate(key: u64, list: u16) -> Candidate {
        let tid = Tid {
            block: key as u32,
            offset: list + 1,
        };
        Candidate::new(key, tid, list)
    }

    fn drain(candidates: &mut Candidates) -> Vec<u64> {
        std::iter::from_fn(|| candidates.pop().map(|candidate| candidate.key)).collect()
    }

    #[test]
    fn a_candidate_is_16_bytes() {
        assert_eq!(size_of::<Candidate>(), 16);
    }

    #[test]
    fn what_is_kept_below_the_floor_is_complete() {
        let mut candidates = Candidates::new(20);
        for n in 0..1000u64 {
            candidates.offer(candidate(n * 619 % 1000, 0)).unwrap();
        }
        assert!(candidates.overflowed() && candidates.kept.capacity() <= 20);
        let out = drain(&mut candidates);
        assert!(out.len() >= 10);
        assert_eq!(out, (0..out.len() as u64).collect::<Vec<_>>());
    }

    #[test]
    fn rows_of_a_list_read_anew_are_taken_back() {
        let mut candidates = Candidates::new(100);
        for n in 0..40 {
            candidates.offer(candidate(n, (n % 2) as u16)).unwrap();
        }
        candidates.forget_list(1);
        assert_eq!(
            drain(&mut candidates),
            (0..40).step_by(2).collect::<Vec<u64>>()
        );
    }

    #[test]
    fn more_rows_than_a_chunk_leave_in_order() {
        let mut candidates = Candidates::new(10_000);
        for n in 0..5000u64 {
            candidates.offer(candidate(n * 4021 % 5000, 0)).unwrap();
        }
        assert_eq!(drain(&mut candidates), (0..5000).collect::<Vec<u64>>());
        assert!(!candidates.overflowed());
    }

    #[test]
    fn the_nearest_lists_come_in_order_and_equals_by_number() {
        let keys = vec![(5, 0), (1, 1), (5, 2), (0, 3), (1, 4)];
        assert_eq!(nearest(keys.clone(), 3).unwrap(), [3, 1, 4]);
        assert_eq!(nearest(keys, 9).unwrap(), [3, 1, 4, 0, 2]);
    }
}
