//! What a backend and the program that drives the GPU say to each other: one message of fixed size a
//! datagram, text behind it where something failed. Vectors and results travel in shared memory,
//! which is cut into slots; who may write to a slot follows from the messages.

use bytemuck::{Pod, Zeroable};
use pgnear_kernels::Metric;

/// Both ends are installed together; an older one that was left behind is noticed.
pub const VERSION: u32 = 1;
/// Slots: one is filled while another is worked on.
pub const SLOTS: usize = 2;
/// Most rows that a query may look for on a GPU.
pub const MOST_NEIGHBOURS: usize = 1024;
/// Most bytes of text behind a message.
pub const MOST_TEXT: usize = 1000;

/// The kinds of message. A backend's `HELLO` is answered by `DEVICE`, `BEGIN` and `AGAIN` by `READY`, `QUERIES` and
/// `ROWS` by `TAKEN` when the slot is free again, `RESULTS` by `FOUND`, and any by `FAILED`,
/// after which the program ends.
pub mod kind {
    /// `a`: version; `b`: ordinal of the device; `c`: bytes of its memory to use at most, 0 for all.
    pub const HELLO: u32 = 1;
    /// `slot`: metric; `a`: k; `b`: dimensions; `c`: queries; `real`: within, NaN for any.
    pub const BEGIN: u32 = 2;
    /// `slot`; `a`: vectors in it, to be added to the queries.
    pub const QUERIES: u32 = 3;
    /// `slot`; `a`: vectors in it, the next rows.
    pub const ROWS: u32 = 4;
    /// Asks for the next queries' results, into slot 0.
    pub const RESULTS: u32 = 5;
    /// Begins anew with the same queries, and other rows.
    pub const AGAIN: u32 = 6;
    /// `a`: bytes of memory; `b`: free of them; `c`: `driver << 32 | capability`; text: the name.
    pub const DEVICE: u32 = 101;
    /// The search is set up.
    pub const READY: u32 = 102;
    /// `slot` may be written again. After `ROWS` it holds a bit for each row: held by some query.
    pub const TAKEN: u32 = 103;
    /// `a`: queries in slot 0, laid out as `results` says.
    pub const FOUND: u32 = 104;
    /// Text: why.
    pub const FAILED: u32 = 105;
}

/// A message without its text.
#[derive(Debug, Clone, Copy, Default, PartialEq, Pod, Zeroable)]
#[repr(C)]
pub struct Message {
    /// One of [`kind`].
    pub kind: u32,
    /// A slot, or what `kind` says.
    pub slot: u32,
    /// As `kind` says.
    pub a: u64,
    /// As `kind` says.
    pub b: u64,
    /// As `kind` says.
    pub c: u64,
    /// As `kind` says.
    pub real: f64,
}

impl Message {
    /// A message that says no more than its kind.
    pub fn of(kind: u32) -> Message {
        Message {
            kind,
            ..Message::default()
        }
    }
}

/// Bytes of a message and its text at most.
pub const MOST_BYTES: usize = size_of::<Message>() + MOST_TEXT;

/// How a metric is numbered in messages and kernels; `None` for those of bit strings.
pub fn metric_number(metric: Metric) -> Option<u32> {
    match metric {
        Metric::L2 => Some(0),
        Metric::InnerProduct => Some(1),
        Metric::Cosine => Some(2),
        Metric::L1 => Some(3),
        Metric::Hamming | Metric::Jaccard => None,
    }
}

/// Where the results of some queries lie in a slot: `count` numbers of 4 bytes, of rows found; then at
/// a multiple of 8 for each query `k` row numbers of 8 bytes; then `k` distances each.
#[derive(Debug, Clone, Copy)]
pub struct Results {
    k: usize,
    rows_at: usize,
    distances_at: usize,
}

impl Results {
    /// The layout for `count` queries.
    pub fn of(count: usize, k: usize) -> Results {
        let rows_at = (count * 4).next_multiple_of(8);
        Results {
            k,
            rows_at,
            distances_at: rows_at + count * k * 8,
        }
    }

    /// Queries whose results fit.
    pub fn fit(bytes: usize, k: usize) -> usize {
        bytes.saturating_sub(8) / (4 + k * 16)
    }

    /// Where all row numbers begin, in bytes.
    pub fn rows_at(&self) -> usize {
        self.rows_at
    }

    /// Where all distances begin, in bytes.
    pub fn distances_at(&self) -> usize {
        self.distances_at
    }

    /// The number of rows found for a query, and its neighbours' numbers and distances; `None` where
    /// a number is out of bounds.
    pub fn read<'a>(&self, slot: &'a [u8], query: usize) -> Option<(&'a [u64], &'a [f64])> {
        let count: u32 = *bytemuck::from_bytes(slot.get(query * 4..query * 4 + 4)?);
        let count = count as usize;
        if count > self.k {
            return None;
        }
        let part = |start: usize| {
            let start = start + query * self.k * 8;
            slot.get(start..start + count * 8)
        };
        let rows = bytemuck::try_cast_slice(part(self.rows_at)?).ok()?;
        let distances = bytemuck::try_cast_slice(part(self.distances_at)?).ok()?;
        Some((rows, distances))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_are_read_back() {
        let layout = Results::of(3, 2);
        let mut slot = vec![0u64; 64];
        let bytes: &mut [u8] = bytemuck::cast_slice_mut(&mut slot);
        bytes[..12].copy_from_slice(bytemuck::cast_slice(&[2u32, 0, 1]));
        let rows_at = layout.rows_at();
        bytes[rows_at..rows_at + 48].copy_from_slice(bytemuck::cast_slice(&[5u64, 6, 7, 8, 9, 9]));
        let at = layout.distances_at();
        bytes[at..at + 48].copy_from_slice(bytemuck::cast_slice(&[0.5, 0.6, 0.7, 0.8, 0.9, 1.0]));
        assert_eq!(
            layout.read(bytes, 0),
            Some((&[5u64, 6][..], &[0.5, 0.6][..]))
        );
        assert_eq!(layout.read(bytes, 1), Some((&[][..], &[][..])));
        assert_eq!(layout.read(bytes, 2), Some((&[9u64][..], &[0.9][..])));
        bytes[..4].copy_from_slice(&3u32.to_ne_bytes());
        assert_eq!(layout.read(bytes, 0), None);
    }

    #[test]
    fn as_many_results_fit_as_are_told() {
        for (bytes, k) in [(4096, 1), (4096, 2), (4096, 10), (16 << 20, 1024)] {
            let count = Results::fit(bytes, k);
            assert!(Results::of(count, k).distances_at() + count * k * 8 <= bytes);
            assert!(Results::of(count + 2, k).distances_at() + (count + 2) * k * 8 > bytes);
        }
    }
}
