//! Order and hash: both are those of the dense vector, without making it.

use std::cmp::Ordering;

use super::SparseRef;
use crate::hash::{self, Hasher};

/// The order of the type, as that of `vector`: by elements first, then by dimensions.
pub fn cmp(a: SparseRef<'_>, b: SparseRef<'_>) -> Ordering {
    let mut left = a.indices.iter().copied().zip(a.values.iter().copied());
    let mut right = b.indices.iter().copied().zip(b.values.iter().copied());
    loop {
        let order = match (left.next(), right.next()) {
            (Some((i, x)), Some((j, y))) => match i.cmp(&j) {
                Ordering::Less => x.partial_cmp(&0.0),
                Ordering::Greater => 0.0f32.partial_cmp(&y),
                Ordering::Equal => x.partial_cmp(&y),
            },
            // Beyond the end of the other there is no zero to compare with.
            (Some((i, x)), None) if i < b.dims => x.partial_cmp(&0.0),
            (None, Some((j, y))) if j < a.dims => 0.0f32.partial_cmp(&y),
            _ => return a.dims.cmp(&b.dims),
        };
        match order {
            None | Some(Ordering::Equal) => {}
            Some(order) => return order,
        }
    }
}

/// The hash of the default hash operator class: the lower half of [`hash_extended`] with seed 0.
pub fn hash(v: SparseRef<'_>) -> u32 {
    hash_extended(v, 0) as u32
}

/// The 64-bit hash with a seed; the same for ever, since partitioned tables rely on it.
pub fn hash_extended(v: SparseRef<'_>, seed: u64) -> u64 {
    let mut hasher = Hasher::new(seed);
    for (&index, &value) in v.indices.iter().zip(v.values) {
        hasher.word(hash::number_bits(value) | (index as u64) << 32);
    }
    hasher.word(v.dims as u64);
    hasher.finish()
}
