//! Vectors at half of their size ([`Rerank::Half`](super::Rerank::Half)): bounds of a row's distance, which
//! suffice wherever no other row is as near.
//!
//! ```text
//! 0           4           8           12
//! +-----------+-----------+-----------+-------------------------+
//! | f32 scale | f32 error | f32 norm² | i16 for each dimension  |
//! +-----------+-----------+-----------+-------------------------+
//! ```

use pgnear_kernels::{CosineSums, Metric, exact};
use pgnear_quant::code16::{self, Query16, Terms};

use super::space::elements;
use crate::query::sortable;

const HEAD: usize = 12;

/// Bytes of a vector.
pub(super) const fn bytes(dims: usize) -> usize {
    HEAD + code16::code_bytes(dims)
}

/// Writes a vector.
pub(super) fn write(vector: &[f32], half: &mut [u8]) {
    let (head, code) = half.split_at_mut(HEAD);
    let numbers: &mut [i16] = bytemuck::cast_slice_mut(code);
    let terms = code16::encode(vector, numbers);
    for (place, number) in
        (head.chunks_exact_mut(4)).zip([terms.scale, terms.error, terms.norm_squared])
    {
        place.copy_from_slice(&number.to_ne_bytes());
    }
}

/// Distances to one vector.
pub(super) struct Measure<'a> {
    metric: Metric,
    query: Query16<'a>,
}

impl<'a> Measure<'a> {
    pub fn new(metric: Metric, query: &'a [f32]) -> Measure<'a> {
        Measure {
            metric,
            query: Query16::new(query),
        }
    }

    /// The least and the most that a row's key may be: what [`super::space::Exact::key`] gives, as a number that
    /// sorts. Bytes of a damaged page may be any.
    pub fn keys(&self, half: &[u8]) -> (u64, u64) {
        let (head, code) = half.split_at(HEAD);
        let float = |at| f32::from_bits(crate::page::u32_at(head, at));
        let terms = Terms {
            scale: float(0),
            error: float(4),
            norm_squared: float(8),
        };
        let code = elements::<i16>(code);
        let bounds = match self.metric {
            Metric::L2 => self.query.l2_squared(terms, &code),
            _ => self.query.dot(terms, &code),
        };
        let Some((least, most)) = bounds else {
            return (0, u64::MAX);
        };
        let key = |sum: f32| {
            sortable(match self.metric {
                Metric::L2 => f64::from(sum.max(0.0)),
                Metric::Cosine => exact::cosine_from_sums(&CosineSums {
                    dot: sum,
                    norm_a: self.query.norm_squared(),
                    norm_b: terms.norm_squared,
                }),
                _ => -f64::from(sum),
            })
        };
        let (a, b) = (key(least), key(most));
        (a.min(b), a.max(b))
    }
}
