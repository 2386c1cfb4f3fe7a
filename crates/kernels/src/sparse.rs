//! Sums over sparse vectors.
//!
//! The canonical order is that of the merged indices, one term after the other, with separate
//! multiply and add; it has no levels. A sum that is NaN is `f32::NAN` to the bit.

use crate::canonical::canonical_nan;
use crate::table::CosineSums;

/// A borrowed sparse vector.
///
/// `indices` are 0-based and strictly ascending; `values` has the same length and holds no zero.
/// Nothing is read out of bounds where that does not hold, but the sums then mean nothing.
#[derive(Clone, Copy, Debug)]
pub struct SparseRef<'a> {
    /// Dimensions, those of zeros included.
    pub dims: i32,
    /// Where the values are.
    pub indices: &'a [i32],
    /// What the values are.
    pub values: &'a [f32],
}

impl<'a> SparseRef<'a> {
    fn elements(self) -> impl Iterator<Item = (i32, f32)> + 'a {
        debug_assert_eq!(self.indices.len(), self.values.len());
        self.indices
            .iter()
            .copied()
            .zip(self.values.iter().copied())
    }
}

/// Sum of `(a - b)²`.
pub fn l2_squared(a: SparseRef<'_>, b: SparseRef<'_>) -> f32 {
    merge(a, b, |a, b| (a - b) * (a - b))
}

/// Sum of `|a - b|`.
pub fn l1(a: SparseRef<'_>, b: SparseRef<'_>) -> f32 {
    merge(a, b, |a, b| (a - b).abs())
}

/// Sum of `a * b` over the indices that both have.
pub fn dot(a: SparseRef<'_>, b: SparseRef<'_>) -> f32 {
    let mut sum = 0.0;
    let mut b = b.elements().peekable();
    for (index, value) in a.elements() {
        while b.next_if(|(other, _)| *other < index).is_some() {}
        if let Some((_, other)) = b.next_if(|(other, _)| *other == index) {
            sum += value * other;
        }
    }
    canonical_nan(sum)
}

/// Sum of `a²`.
pub fn norm_squared(a: SparseRef<'_>) -> f32 {
    let mut sum = 0.0;
    for value in a.values {
        sum += value * value;
    }
    canonical_nan(sum)
}

/// The sums of a cosine, bit-equal to [`dot`] and [`norm_squared`].
pub fn cosine_sums(a: SparseRef<'_>, b: SparseRef<'_>) -> CosineSums {
    CosineSums {
        dot: dot(a, b),
        norm_a: norm_squared(a),
        norm_b: norm_squared(b),
    }
}

/// Sum of `a²` in `f64`.
pub fn norm_squared_f64(a: SparseRef<'_>) -> f64 {
    let mut sum = 0.0;
    for value in a.values {
        let value = f64::from(*value);
        sum += value * value;
    }
    if sum.is_nan() { f64::NAN } else { sum }
}

/// Sums a term for every index that either has; the other's value is then zero.
fn merge(a: SparseRef<'_>, b: SparseRef<'_>, term: impl Fn(f32, f32) -> f32) -> f32 {
    let mut sum = 0.0;
    let mut b = b.elements().peekable();
    for (index, value) in a.elements() {
        while let Some((_, other)) = b.next_if(|(other, _)| *other < index) {
            sum += term(0.0, other);
        }
        let other = b
            .next_if(|(other, _)| *other == index)
            .map_or(0.0, |(_, other)| other);
        sum += term(value, other);
    }
    for (_, other) in b {
        sum += term(0.0, other);
    }
    canonical_nan(sum)
}
