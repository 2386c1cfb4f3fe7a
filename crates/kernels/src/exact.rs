//! What the SQL operators and functions return, to the bit.
//!
//! An operator, an index that hands its distances out, and a rerank all call these, so that they
//! agree. Written once for dense and sparse vectors: `a` and `b` are two `&[f32]`, two `&[f16]`
//! or two [`SparseRef`]s of equal dimensions. Results that are NaN are `f64::NAN` to the bit.

use crate::element::Element;
use crate::metric::Metric;
use crate::sparse::{self, SparseRef};
use crate::table::{CosineSums, kernels};

/// A vector that the exact functions take: `&[f32]`, `&[f16]` or [`SparseRef`].
pub trait Operand: Copy {
    /// Sum of `(a - b)²`.
    fn l2_squared(self, other: Self) -> f32;
    /// Sum of `a * b`.
    fn dot(self, other: Self) -> f32;
    /// Sum of `|a - b|`.
    fn l1(self, other: Self) -> f32;
    /// The sums of a cosine.
    fn cosine_sums(self, other: Self) -> CosineSums;
    /// Sum of squares in `f64`.
    fn norm_squared_f64(self) -> f64;
}

impl<E: Element> Operand for &[E] {
    fn l2_squared(self, other: Self) -> f32 {
        E::l2_squared(kernels(), self, other)
    }

    fn dot(self, other: Self) -> f32 {
        E::dot(kernels(), self, other)
    }

    fn l1(self, other: Self) -> f32 {
        E::l1(kernels(), self, other)
    }

    fn cosine_sums(self, other: Self) -> CosineSums {
        E::cosine_sums(kernels(), self, other)
    }

    fn norm_squared_f64(self) -> f64 {
        E::norm_squared_f64(kernels(), self)
    }
}

impl Operand for SparseRef<'_> {
    fn l2_squared(self, other: Self) -> f32 {
        sparse::l2_squared(self, other)
    }

    fn dot(self, other: Self) -> f32 {
        sparse::dot(self, other)
    }

    fn l1(self, other: Self) -> f32 {
        sparse::l1(self, other)
    }

    fn cosine_sums(self, other: Self) -> CosineSums {
        sparse::cosine_sums(self, other)
    }

    fn norm_squared_f64(self) -> f64 {
        sparse::norm_squared_f64(self)
    }
}

/// The value of a metric's operator; `None` for the metrics of bit strings.
pub fn distance<V: Operand>(metric: Metric, a: V, b: V) -> Option<f64> {
    match metric {
        Metric::L2 => Some(l2(a, b)),
        Metric::InnerProduct => Some(negative_inner_product(a, b)),
        Metric::Cosine => Some(cosine_distance(a, b)),
        Metric::L1 => Some(l1(a, b)),
        Metric::Hamming | Metric::Jaccard => None,
    }
}

/// `<->`, `l2_distance`.
pub fn l2<V: Operand>(a: V, b: V) -> f64 {
    l2_squared(a, b).sqrt()
}

/// `vector_l2_squared_distance` and its like.
pub fn l2_squared<V: Operand>(a: V, b: V) -> f64 {
    wide(a.l2_squared(b))
}

/// `inner_product`.
pub fn inner_product<V: Operand>(a: V, b: V) -> f64 {
    wide(a.dot(b))
}

/// `<#>`, `vector_negative_inner_product` and its like.
pub fn negative_inner_product<V: Operand>(a: V, b: V) -> f64 {
    canonical_nan(-inner_product(a, b))
}

/// `<=>`, `cosine_distance`: NaN where a norm is zero.
pub fn cosine_distance<V: Operand>(a: V, b: V) -> f64 {
    cosine_from_sums(&a.cosine_sums(b))
}

/// The cosine distance from sums that were taken earlier.
///
/// Which of the norms belongs to which vector makes no difference.
pub fn cosine_from_sums(sums: &CosineSums) -> f64 {
    let norms = (f64::from(sums.norm_a) * f64::from(sums.norm_b)).sqrt();
    canonical_nan(1.0 - (f64::from(sums.dot) / norms).clamp(-1.0, 1.0))
}

/// `vector_spherical_distance` and its like: the angle between unit vectors, over π.
pub fn spherical_distance<V: Operand>(a: V, b: V) -> f64 {
    canonical_nan(inner_product(a, b).clamp(-1.0, 1.0).acos() / std::f64::consts::PI)
}

/// `<+>`, `l1_distance`.
pub fn l1<V: Operand>(a: V, b: V) -> f64 {
    wide(a.l1(b))
}

/// `vector_norm`, `l2_norm`.
pub fn norm<V: Operand>(a: V) -> f64 {
    a.norm_squared_f64().sqrt()
}

/// `<~>`, `hamming_distance` of two bit strings, unused bits of the last byte being zero.
pub fn hamming(a: &[u8], b: &[u8]) -> f64 {
    (kernels().bit_hamming)(a, b) as f64
}

/// `<%>`, `jaccard_distance` of two bit strings: 1 where they share no bit.
pub fn jaccard(a: &[u8], b: &[u8]) -> f64 {
    let counts = (kernels().bit_jaccard_counts)(a, b);
    if counts.and == 0 {
        1.0
    } else {
        1.0 - counts.and as f64 / (counts.a + counts.b - counts.and) as f64
    }
}

/// A sum as the operators return it.
pub fn wide(sum: f32) -> f64 {
    canonical_nan(f64::from(sum))
}

fn canonical_nan(value: f64) -> f64 {
    if value.is_nan() { f64::NAN } else { value }
}
