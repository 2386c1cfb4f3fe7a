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
    /// Indices and values, equally many.
    fn parts(self) -> (&'a [i32], &'a [f32]) {
        debug_assert_eq!(self.indices.len(), self.values.len());
        let count = self.indices.len().min(self.values.len());
        (&self.indices[..count], &self.values[..count])
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
    let ((a_indices, a_values), (b_indices, b_values)) = (a.parts(), b.parts());
    let (mut sum, mut i, mut j) = (0.0, 0, 0);
    while i < a_indices.len() && j < b_indices.len() {
        let (a, b) = (a_indices[i], b_indices[j]);
        if a == b {
            sum += a_values[i] * b_values[j];
        }
        i += usize::from(a <= b);
        j += usize::from(b <= a);
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
///
/// Which one comes next is as good as random: a branch on it would be mispredicted half of the time.
#[inline(always)]
fn merge(a: SparseRef<'_>, b: SparseRef<'_>, term: impl Fn(f32, f32) -> f32) -> f32 {
    let ((a_indices, a_values), (b_indices, b_values)) = (a.parts(), b.parts());
    let (mut sum, mut i, mut j) = (0.0, 0, 0);
    while i < a_indices.len() && j < b_indices.len() {
        let (a, b) = (a_indices[i], b_indices[j]);
        let (a_next, b_next) = (a <= b, b <= a);
        sum += term(kept(a_values[i], a_next), kept(b_values[j], b_next));
        i += usize::from(a_next);
        j += usize::from(b_next);
    }
    for value in &a_values[i..] {
        sum += term(*value, 0.0);
    }
    for value in &b_values[j..] {
        sum += term(0.0, *value);
    }
    canonical_nan(sum)
}

/// The value, or zero; of integers, for which a CPU has a conditional move.
#[inline(always)]
fn kept(value: f32, keep: bool) -> f32 {
    f32::from_bits(std::hint::select_unpredictable(keep, value.to_bits(), 0))
}
