//! Population counts over bit strings. Integers only, so any order gives the same result.

use crate::table::BitCounts;

/// Bits that differ.
#[inline(always)]
pub(crate) fn hamming(a: &[u8], b: &[u8]) -> u64 {
    let mut count = 0;
    for_each_word(a, b, |a, b| count += u64::from((a ^ b).count_ones()));
    count
}

/// Bits set in both, in the first, in the second.
#[inline(always)]
pub(crate) fn jaccard_counts(a: &[u8], b: &[u8]) -> BitCounts {
    let mut counts = BitCounts { and: 0, a: 0, b: 0 };
    for_each_word(a, b, |a, b| {
        counts.and += u64::from((a & b).count_ones());
        counts.a += u64::from(a.count_ones());
        counts.b += u64::from(b.count_ones());
    });
    counts
}

/// Feeds 8 bytes of each side at a time, the last word filled up with zeros.
#[inline(always)]
fn for_each_word(a: &[u8], b: &[u8], mut each: impl FnMut(u64, u64)) {
    debug_assert_eq!(a.len(), b.len());
    let length = a.len().min(b.len());
    let (a_words, a_tail) = a[..length].as_chunks::<8>();
    let (b_words, b_tail) = b[..length].as_chunks::<8>();
    for (a, b) in a_words.iter().zip(b_words) {
        each(u64::from_ne_bytes(*a), u64::from_ne_bytes(*b));
    }
    for (a, b) in a_tail.iter().zip(b_tail) {
        each(u64::from(*a), u64::from(*b));
    }
}
