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
///
/// Of vectors with few elements the table is so sparse, and the hash so chosen, that each has a slot of its
/// own: then one look decides whether a code's element is shared, without a branch.
#[derive(Debug, Clone)]
pub(super) struct PrunedQuery {
    metric: Metric,
    weight: f32,
    /// A power of two long; [`EMPTY`] where no element is, and 0 in `values` there.
    indices: Vec<i32>,
    values: Vec<f32>,
    /// Slots in use.
    used: Vec<u32>,
    factor: u32,
    shift: u32,
    /// Whether every element is in the slot that its hash says; else it is there or behind.
    at_once: bool,
}

const EMPTY: i32 = -1;
/// Slots for each element, where there are few; at most half of them are used where there are many.
const SPREAD: usize = 32;
const FEW: usize = 1 << 10;
/// Odd numbers whose products spread indices over the slots: the first without a collision is taken.
const FACTORS: [u32; 10] = [
    0x9E37_79B1,
    0x85EB_CA6B,
    0xC2B2_AE35,
    0x27D4_EB2F,
    0x1656_67B1,
    0xCC9E_2D51,
    0x1B87_3593,
    0xE654_6B65,
    0xFD70_46C5,
    0xB55A_4F09,
];

impl PrunedQuery {
    /// # Errors
    /// [`Error::OutOfMemory`].
    pub fn new(metric: Metric, kept: usize) -> Result<PrunedQuery, Error> {
        let mut query = PrunedQuery {
            metric,
            weight: 0.0,
            indices: Vec::new(),
            values: Vec::new(),
            used: Vec::new(),
            factor: FACTORS[0],
            shift: 0,
            at_once: true,
        };
        query.make_room(kept)?;
        Ok(query)
    }

    pub fn is_inner_product(&self) -> bool {
        self.metric == Metric::InnerProduct
    }

    /// Room for so many elements, and an empty table.
    fn make_room(&mut self, count: usize) -> Result<(), Error> {
        let each = if count <= FEW { SPREAD } else { 2 };
        let wanted = (each * count.max(1)).next_power_of_two();
        if wanted > self.indices.len() {
            self.indices = alloc::filled(EMPTY, wanted)?;
            self.values = alloc::filled(0.0, wanted)?;
            self.shift = u32::BITS - wanted.trailing_zeros();
            self.used.clear();
        } else {
            self.clear();
        }
        alloc::reserve(&mut self.used, count)
    }

    fn clear(&mut self) {
        for slot in self.used.drain(..) {
            self.indices[slot as usize] = EMPTY;
            self.values[slot as usize] = 0.0;
        }
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
        self.make_room(values.len())?;
        let both = indices.iter().copied().zip(values.iter().map(scaled));
        self.place(both);
        self.weight = weight(self.metric, values.iter().map(scaled));
        Ok(())
    }

    /// Takes what a code holds.
    pub fn set_code(&mut self, code: &[u8]) {
        self.clear();
        // A table too full would be searched for ever: of a damaged code only.
        self.place(kept_of(code).take(self.indices.len() / 2));
        self.weight = f32::from_bits(u32_at(code, 0));
    }

    /// Puts elements into the table, which is empty and large enough.
    fn place(&mut self, both: impl Iterator<Item = (i32, f32)> + Clone) {
        self.at_once = true;
        for factor in FACTORS {
            self.factor = factor;
            if both.clone().all(|(index, value)| self.put(index, value)) {
                return;
            }
            self.clear();
        }
        self.at_once = false;
        for (index, value) in both {
            self.put(index, value);
        }
    }

    /// Enters an element; `false` where that would take a slot that is not its own.
    fn put(&mut self, index: i32, value: f32) -> bool {
        let mut at = self.hash(index);
        while self.indices[at] != EMPTY && self.indices[at] != index {
            if self.at_once {
                return false;
            }
            at = (at + 1) & (self.indices.len() - 1);
        }
        self.indices[at] = index;
        self.values[at] = value;
        self.used.push(at as u32);
        true
    }

    #[inline(always)]
    fn hash(&self, index: i32) -> usize {
        // In two steps, since a table of one slot shifts everything out.
        ((index as u32).wrapping_mul(self.factor) >> (self.shift - 1) >> 1) as usize
    }

    #[inline(always)]
    fn get(&self, index: i32) -> f32 {
        let at = self.hash(index);
        if self.indices[at] == index {
            self.values[at]
        } else {
            0.0
        }
    }

    /// The value of an element that may lie behind its slot.
    fn find(&self, index: i32) -> f32 {
        let mut at = self.hash(index);
        while self.indices[at] != index {
            if self.indices[at] == EMPTY {
                return 0.0;
            }
            at = (at + 1) & (self.indices.len() - 1);
        }
        self.values[at]
    }

    /// The sum of `term` over the elements of a code, each with the value that the vector has there. In
    /// four parts, the same on every CPU.
    #[inline(always)]
    fn shared(&self, code: &[u8], term: impl Fn(f32, f32) -> f32) -> f32 {
        if !self.at_once {
            let both = kept_of(code).map(|(index, value)| (self.find(index), value));
            return both.map(|(a, b)| term(a, b)).sum();
        }
        let (indices, values) = parts_of(code);
        let ((fours, rest), (four_values, rest_values)) =
            (indices.as_chunks::<16>(), values.as_chunks::<16>());
        let mut sums = [0.0f32; 4];
        for (indices, values) in fours.iter().zip(four_values) {
            for (lane, sum) in sums.iter_mut().enumerate() {
                let index = u32_at(indices, 4 * lane) as i32;
                let value = f32::from_bits(u32_at(values, 4 * lane));
                *sum += term(self.get(index), value);
            }
        }
        for (index, value) in rest.chunks_exact(4).zip(rest_values.chunks_exact(4)) {
            let value = f32::from_bits(u32_at(value, 0));
            sums[0] += term(self.get(u32_at(index, 0) as i32), value);
        }
        (sums[0] + sums[1]) + (sums[2] + sums[3])
    }

    /// How near a code's vector is, by what the code holds: smaller is nearer.
    #[inline]
    pub fn score(&self, code: &[u8]) -> f32 {
        let weights = self.weight + f32::from_bits(u32_at(code, 0));
        let score = match self.metric {
            Metric::InnerProduct => -self.shared(code, |a, b| a * b),
            // |a| + |b| - |a - b|
            Metric::L1 => weights - self.shared(code, |a, b| a.abs() + b.abs() - (a - b).abs()),
            _ => weights - 2.0 * self.shared(code, |a, b| a * b),
        };
        if score.is_nan() { f32::INFINITY } else { score }
    }
}

/// The elements that a code holds; of a damaged one, as many as there can be.
#[inline(always)]
fn kept_of(code: &[u8]) -> impl Iterator<Item = (i32, f32)> + Clone {
    let (indices, values) = parts_of(code);
    (indices.chunks_exact(4).zip(values.chunks_exact(4)))
        .map(|(index, value)| (u32_at(index, 0) as i32, f32::from_bits(u32_at(value, 0))))
}

/// The bytes of the indices that a code holds, and of the values.
#[inline(always)]
fn parts_of(code: &[u8]) -> (&[u8], &[u8]) {
    let room = (code.len() - HEAD) / 8;
    let count = (u32_at(code, 4) as usize).min(room);
    let (indices, values) = code[HEAD..].split_at(4 * room);
    (&indices[..4 * count], &values[..4 * count])
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
    fn elements_are_found_however_many_there_are() {
        for count in [0, 1, 5, 63, 64, 700, 1500, 16_000] {
            let indices: Vec<i32> = (0..count).map(|n| n * 61_441).collect();
            let values: Vec<f32> = (0..count).map(|n| 1.0 + (n % 7) as f32).collect();
            let mut query = PrunedQuery::new(Metric::InnerProduct, 64).unwrap();
            // Again, over what is left of another vector.
            for _ in 0..2 {
                query.set_vector(&payload(&[1, 2, 3], &[9.0; 3])).unwrap();
                query.set_vector(&payload(&indices, &values)).unwrap();
                let mut code = vec![0; code_bytes(64)];
                let mut pruner = Pruner::default();
                let asked: Vec<i32> = (0..60)
                    .map(|n| n * 2 * 61_441 + i32::from(n % 3 == 0))
                    .collect();
                let ones = vec![1.0; 60];
                (pruner.encode(Metric::InnerProduct, &payload(&asked, &ones), &mut code)).unwrap();
                let value = |index: &i32| {
                    let at = indices.iter().position(|other| other == index);
                    at.map_or(0.0, |at| values[at])
                };
                let expected: f32 = asked.iter().map(value).sum();
                assert_eq!(-query.score(&code), expected, "{count}");
            }
        }
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
