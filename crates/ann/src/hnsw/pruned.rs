//! Codes of sparse vectors: the elements that are largest, as they are.
//!
//! ```text
//! 0          4         8                  8 + 4 P            8 + 8 P
//! +----------+---------+------------------+------------------+
//! | f32      | u32     | i32 indices,     | f32 values       |
//! | weight   | count   | ascending        |                  |
//! +----------+---------+------------------+------------------+
//! ```
//! `P` is [`kept`]. The weight is what all elements have: the sum of their squares, of their absolute
//! values for L1. In learned sparse vectors a few elements make most of every product; what is left
//! out makes a score worse than exact, and never an answer's distance.

use pgnear_kernels::Metric;

use super::space::elements;
use crate::alloc;
use crate::error::Error;
use crate::page::{put_u32, u32_at};

/// Most elements kept.
const KEPT: usize = 64;
const HEAD: usize = 8;

/// Elements kept of vectors of `dims` dimensions.
pub(super) fn kept(dims: usize) -> usize {
    dims.min(KEPT)
}

/// Bytes of a code that keeps so many elements.
pub(super) fn code_bytes(kept: usize) -> usize {
    HEAD + 8 * kept
}

/// The halves of a vector's bytes: indices and values.
fn halves(payload: &[u8]) -> (&[u8], &[u8]) {
    payload.split_at(payload.len() / 2)
}

/// What values are multiplied by: to unit length, where the metric is cosine.
fn scale(metric: Metric, values: &[f32]) -> f64 {
    let sum: f64 = values.iter().map(|x| f64::from(*x) * f64::from(*x)).sum();
    if metric == Metric::Cosine && sum > 0.0 {
        1.0 / sum.sqrt()
    } else {
        1.0
    }
}

fn weight(metric: Metric, values: impl Iterator<Item = f32>) -> f32 {
    match metric {
        Metric::L1 => values.map(f32::abs).sum(),
        _ => values.map(|x| x * x).sum(),
    }
}

/// Makes codes.
#[derive(Default)]
pub(super) struct Pruner {
    order: Vec<u32>,
}

impl Pruner {
    /// Writes the code of a vector to `code`, of [`code_bytes`].
    ///
    /// # Errors
    /// [`Error::OutOfMemory`].
    pub fn encode(&mut self, metric: Metric, payload: &[u8], code: &mut [u8]) -> Result<(), Error> {
        let (indices, values) = halves(payload);
        let (indices, values) = (elements::<i32>(indices), elements::<f32>(values));
        let (count, room) = (values.len().min(indices.len()), (code.len() - HEAD) / 8);
        let scale = scale(metric, &values);
        self.order.clear();
        alloc::reserve(&mut self.order, count)?;
        self.order.extend(0..count as u32);
        if count > room {
            let size = |at: &u32| values[*at as usize].abs();
            let by_size = |a: &u32, b: &u32| size(b).total_cmp(&size(a)).then(a.cmp(b));
            self.order.select_nth_unstable_by(room - 1, by_size);
            self.order.truncate(room);
            self.order.sort_unstable();
        }
        let scaled = |at: usize| (f64::from(values[at]) * scale) as f32;
        code.fill(0);
        let all = weight(metric, (0..count).map(scaled));
        put_u32(code, 0, all.to_bits());
        put_u32(code, 4, self.order.len() as u32);
        for (place, at) in self.order.iter().enumerate() {
            let at = *at as usize;
            put_u32(code, HEAD + 4 * place, indices[at] as u32);
            put_u32(code, HEAD + 4 * (room + place), scaled(at).to_bits());
        }
        Ok(())
    }
}

/// A vector that codes are scored against: its elements in a table by index.
#[derive(Debug, Clone)]
pub(super) struct PrunedQuery {
    metric: Metric,
    weight: f32,
    /// Open addressing, at most half full, a power of two long; an index of -1 is empty.
    slots: Vec<(i32, f32)>,
    mask: usize,
}

const EMPTY: (i32, f32) = (-1, 0.0);

impl PrunedQuery {
    /// # Errors
    /// [`Error::OutOfMemory`].
    pub fn new(metric: Metric, kept: usize) -> Result<PrunedQuery, Error> {
        let slots = alloc::filled(EMPTY, (2 * kept).next_power_of_two())?;
        Ok(PrunedQuery {
            metric,
            weight: 0.0,
            mask: slots.len() - 1,
            slots,
        })
    }

    pub fn is_inner_product(&self) -> bool {
        self.metric == Metric::InnerProduct
    }

    /// Takes all elements of a vector.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`].
    pub fn set_vector(&mut self, payload: &[u8]) -> Result<(), Error> {
        let (indices, values) = halves(payload);
        let (indices, values) = (elements::<i32>(indices), elements::<f32>(values));
        let scale = scale(self.metric, &values);
        let scaled = |x: &f32| (f64::from(*x) * scale) as f32;
        let wanted = (2 * values.len()).next_power_of_two();
        if wanted > self.slots.len() {
            self.slots = alloc::filled(EMPTY, wanted)?;
            self.mask = wanted - 1;
        }
        self.slots.fill(EMPTY);
        for (index, value) in indices.iter().zip(values.iter()) {
            self.put(*index, scaled(value));
        }
        self.weight = weight(self.metric, values.iter().map(scaled));
        Ok(())
    }

    /// Takes what a code holds.
    pub fn set_code(&mut self, code: &[u8]) {
        self.slots.fill(EMPTY);
        let mut taken = 0;
        for (index, value) in kept_of(code) {
            // A table too full would be searched for ever: of a damaged code only.
            if taken < self.slots.len() / 2 {
                self.put(index, value);
                taken += 1;
            }
        }
        self.weight = f32::from_bits(u32_at(code, 0));
    }

    fn put(&mut self, index: i32, value: f32) {
        let mut at = self.hash(index);
        while self.slots[at] != EMPTY && self.slots[at].0 != index {
            at = (at + 1) & self.mask;
        }
        self.slots[at] = (index, value);
    }

    #[inline(always)]
    fn hash(&self, index: i32) -> usize {
        ((index as u32).wrapping_mul(0x9E37_79B1) >> 8) as usize & self.mask
    }

    #[inline(always)]
    fn get(&self, index: i32) -> f32 {
        let mut at = self.hash(index);
        loop {
            let (found, value) = self.slots[at];
            if found == index {
                return value;
            }
            if found == EMPTY.0 {
                return 0.0;
            }
            at = (at + 1) & self.mask;
        }
    }

    /// How near a code's vector is, by what the code holds: smaller is nearer.
    #[inline]
    pub fn score(&self, code: &[u8]) -> f32 {
        let shared = |term: fn(f32, f32) -> f32| -> f32 {
            let both = kept_of(code).map(|(index, value)| (self.get(index), value));
            both.map(|(a, b)| term(a, b)).sum()
        };
        let weights = self.weight + f32::from_bits(u32_at(code, 0));
        let score = match self.metric {
            Metric::InnerProduct => -shared(|a, b| a * b),
            // |a| + |b| - |a - b|
            Metric::L1 => weights - shared(|a, b| a.abs() + b.abs() - (a - b).abs()),
            _ => weights - 2.0 * shared(|a, b| a * b),
        };
        if score.is_nan() { f32::INFINITY } else { score }
    }
}

/// The elements that a code holds; of a damaged one, as many as there can be.
#[inline(always)]
fn kept_of(code: &[u8]) -> impl Iterator<Item = (i32, f32)> {
    let room = (code.len() - HEAD) / 8;
    let count = (u32_at(code, 4) as usize).min(room);
    let indices = code[HEAD..HEAD + 4 * count].chunks_exact(4);
    let values = code[HEAD + 4 * room..HEAD + 4 * (room + count)].chunks_exact(4);
    indices
        .zip(values)
        .map(|(index, value)| (u32_at(index, 0) as i32, f32::from_bits(u32_at(value, 0))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use pgnear_kernels::exact;
    use pgnear_kernels::sparse::SparseRef;

    fn payload(indices: &[i32], values: &[f32]) -> Vec<u8> {
        let indices = indices.iter().flat_map(|x| x.to_ne_bytes());
        indices
            .chain(values.iter().flat_map(|x| x.to_ne_bytes()))
            .collect()
    }

    #[test]
    fn a_score_of_whole_codes_is_in_the_order_of_distances() {
        const ROWS: [(&[i32], &[f32]); 3] = [
            (&[1, 4, 9, 20], &[1.0, -2.0, 0.5, 3.0]),
            (&[0, 4, 9, 21], &[1.0, -1.0, 0.25, 3.0]),
            (&[1, 2, 3, 20], &[-1.0, 7.0, 0.5, 2.0]),
        ];
        let sparse = |(indices, values)| SparseRef {
            dims: 30,
            indices,
            values,
        };
        for metric in [Metric::L2, Metric::InnerProduct, Metric::Cosine, Metric::L1] {
            let mut query = PrunedQuery::new(metric, 4).unwrap();
            query.set_vector(&payload(ROWS[0].0, ROWS[0].1)).unwrap();
            let mut code = vec![0; code_bytes(4)];
            for row in ROWS {
                let mut pruner = Pruner::default();
                (pruner.encode(metric, &payload(row.0, row.1), &mut code)).unwrap();
                let (a, b) = (sparse(ROWS[0]), sparse(row));
                let exact = match metric {
                    Metric::L2 => exact::l2_squared(a, b),
                    // Of unit vectors the squared distance is twice that.
                    Metric::Cosine => 2.0 * exact::cosine_distance(a, b),
                    _ => exact::distance(metric, a, b).unwrap(),
                };
                let score = f64::from(query.score(&code));
                assert!((score - exact).abs() < 1e-5, "{metric:?}: {score} {exact}");
                let mut copy = PrunedQuery::new(metric, 4).unwrap();
                copy.set_code(&code);
                assert!(metric == Metric::InnerProduct || copy.score(&code).abs() < 1e-5);
            }
        }
    }

    #[test]
    fn the_largest_elements_are_kept() {
        let indices: Vec<i32> = (0..100).collect();
        let values: Vec<f32> = (0..100)
            .map(|n| if n % 2 == 0 { 0.001 } else { n as f32 })
            .collect();
        let mut code = vec![0; code_bytes(50)];
        let mut pruner = Pruner::default();
        (pruner.encode(Metric::L2, &payload(&indices, &values), &mut code)).unwrap();
        let kept: Vec<(i32, f32)> = kept_of(&code).collect();
        assert_eq!(kept.len(), 50);
        assert!(
            kept.iter()
                .all(|(index, value)| index % 2 == 1 && *value == *index as f32)
        );
    }

    #[test]
    fn a_damaged_code_is_scored_like_any_other() {
        let mut query = PrunedQuery::new(Metric::Cosine, 8).unwrap();
        let mut code = vec![0xFF; code_bytes(8)];
        query.set_code(&code);
        assert!(!query.score(&code).is_nan());
        code[4..8].copy_from_slice(&u32::MAX.to_ne_bytes());
        assert!(!query.score(&code).is_nan());
        query.set_vector(&payload(&[], &[])).unwrap();
        assert!(!query.score(&code).is_nan());
    }
}
