//! Scalar codes of 4 bits a dimension for rotated vectors, and distances estimated from them.
//!
//! After a [`crate::Rotation`] the components of a vector `y` are nearly normal, so that one fixed
//! step, 0.3352 of their deviation, cuts them best into 16 cells (Max, *Quantizing for minimum
//! distortion*, 1960). The middle of the cell `c` is `step * (c - 7.5)`; with `ŷ` for the vector of
//! middles, the estimate `⟨q, ŷ⟩ · ‖y‖² / ⟨ŷ, y⟩` of `⟨q, y⟩` has no bias over rotations (Gao and
//! Long, *RaBitQ*, SIGMOD 2024, section 3.2). So of a vector two numbers are kept beside the code:
//! `‖y‖²` and that factor.
//!
//! A query is cut to 8 bits: `q ≈ scale · q8`. Then
//! `‖q - y‖² ≈ ‖q‖² + ‖y‖² + factor · scale · (Σ c·q8 - 7.5 · Σ q8)`, all of it integers but for
//! the last step.

use pgnear_device::{MemoryBudget, OutOfMemory};
use pgnear_kernels::{Kernels, kernels};

/// Width of a cell in deviations of a component.
const STEP: f64 = 0.3352;

/// Bytes of the code of a vector of `dims` components: byte `j` has component `j` in its low
/// nibble and component `bytes + j` in its high one; the nibble of a missing component counts
/// nothing.
pub const fn code_bytes(dims: usize) -> usize {
    dims.div_ceil(2)
}

/// What an estimate needs of a vector beside its code.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Terms {
    /// `‖y‖²`.
    pub norm_squared: f32,
    /// `-2 · step · ‖y‖² / ⟨ŷ, y⟩`: 0 for a zero vector, else negative.
    pub factor: f32,
}

/// Writes the code of the rotated vector `y` to `code`, of [`code_bytes`] bytes.
///
/// # Panics
/// Where the code has another length.
pub fn encode(y: &[f32], code: &mut [u8]) -> Terms {
    let half = code_bytes(y.len());
    assert_eq!(code.len(), half, "code has another length");
    code.fill(0);
    let norm_squared: f64 = y.iter().map(|x| f64::from(*x) * f64::from(*x)).sum();
    let step = STEP * (norm_squared / y.len().max(1) as f64).sqrt();
    if !(step.is_finite() && step > 0.0) {
        return Terms::default();
    }
    let per_step = 1.0 / step;
    let mut along = 0.0f64;
    for (at, x) in y.iter().enumerate() {
        let x = f64::from(*x);
        // Saturates; a NaN, which no stored vector holds, would become 0.
        let cell = (x * per_step + 8.0).clamp(0.0, 15.0) as u8;
        along += (f64::from(cell) - 7.5) * x;
        if at < half {
            code[at] |= cell;
        } else {
            code[at - half] |= cell << 4;
        }
    }
    // Every cell lies on the side of zero of its component, so that `along` is positive.
    let factor = -2.0 * norm_squared / along;
    Terms {
        norm_squared: finite(norm_squared),
        factor: finite(factor),
    }
}

/// Writes what a code stands for: a vector near to the one that it was made of.
///
/// # Panics
/// Where the code has another length.
pub fn decode(terms: Terms, code: &[u8], y: &mut [f32]) {
    let half = code_bytes(y.len());
    assert_eq!(code.len(), half, "code has another length");
    let scale = terms.factor / -4.0;
    for (at, y) in y.iter_mut().enumerate() {
        let cell = if at < half {
            code[at] & 15
        } else {
            code[at - half] >> 4
        };
        *y = f32::from(middle(cell)) * scale;
    }
}

/// Twice the middle of a cell, in steps.
#[inline(always)]
fn middle(cell: u8) -> i8 {
    cell as i8 * 2 - 15
}

/// Writes the numbers that a code stands for, in the order of its nibbles; 0 for a nibble without component.
pub(crate) fn numbers(code: &[u8], dims: usize, numbers: &mut [i8]) {
    let (low, high) = numbers.split_at_mut(code.len());
    for ((byte, low), high) in code.iter().zip(low).zip(high) {
        *low = middle(byte & 15);
        *high = middle(byte >> 4);
    }
    for number in numbers.iter_mut().skip(dims) {
        *number = 0;
    }
}

/// The nearest finite number.
fn finite(x: f64) -> f32 {
    (x as f32).clamp(f32::MIN, f32::MAX)
}

/// A vector prepared for being compared with codes.
#[derive(Debug, Clone)]
pub struct Query4 {
    kernels: &'static Kernels,
    /// In the order of the nibbles of a code; 0 for a nibble without component.
    numbers: Vec<i8>,
    /// 15 times the sum of the numbers.
    offset: i32,
    /// Half of what one of the numbers stands for.
    half_scale: f32,
    norm_squared: f32,
}

impl Query4 {
    /// A zero vector of `dims` components, to be filled.
    pub fn zeroed(budget: &MemoryBudget, dims: usize) -> Result<Query4, OutOfMemory> {
        Ok(Query4 {
            kernels: kernels(),
            numbers: budget.try_vec_filled(2 * code_bytes(dims), 0i8)?,
            offset: 0,
            half_scale: 0.0,
            norm_squared: 0.0,
        })
    }

    /// Takes a rotated vector of as many components.
    pub fn set(&mut self, y: &[f32]) {
        let norm_squared: f64 = y.iter().map(|x| f64::from(*x) * f64::from(*x)).sum();
        let largest = y.iter().fold(0.0f32, |max, x| max.max(x.abs()));
        let scale = largest / 127.0;
        let per_scale = if scale > 0.0 { 1.0 / scale } else { 0.0 };
        for number in &mut self.numbers {
            *number = 0;
        }
        for (number, x) in self.numbers.iter_mut().zip(y) {
            *number = (x * per_scale).round() as i8;
        }
        self.finish(norm_squared as f32, scale);
    }

    /// Takes a vector of which only the code is left.
    pub fn set_from_code(&mut self, terms: Terms, code: &[u8], dims: usize) {
        numbers(code, dims, &mut self.numbers);
        self.finish(terms.norm_squared, terms.factor / -4.0);
    }

    fn finish(&mut self, norm_squared: f32, scale: f32) {
        self.offset = 15 * self.numbers.iter().map(|n| i32::from(*n)).sum::<i32>();
        self.half_scale = 0.5 * scale;
        self.norm_squared = norm_squared;
    }

    /// Estimates `-2 ⟨q, y⟩`.
    #[inline(always)]
    fn cross(&self, terms: Terms, code: &[u8]) -> f32 {
        let sum = 2 * (self.kernels.code4_dot)(&self.numbers, code) - self.offset;
        terms.factor * self.half_scale * sum as f32
    }

    /// Estimates the squared distance to the vector of a code; it may be below 0, and is never NaN.
    ///
    /// # Panics
    /// Where the code is of other dimensions.
    #[inline(always)]
    pub fn l2_squared(&self, terms: Terms, code: &[u8]) -> f32 {
        not_nan(self.norm_squared + terms.norm_squared + self.cross(terms, code))
    }

    /// Estimates the negative inner product; never NaN.
    ///
    /// # Panics
    /// Where the code is of other dimensions.
    #[inline(always)]
    pub fn negative_dot(&self, terms: Terms, code: &[u8]) -> f32 {
        not_nan(0.5 * self.cross(terms, code))
    }
}

/// Overflow on both sides leaves no estimate: as far as can be.
#[inline(always)]
fn not_nan(x: f32) -> f32 {
    if x.is_nan() { f32::INFINITY } else { x }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Rotation;
    use crate::rng::Rng;

    struct Coded {
        y: Vec<f32>,
        terms: Terms,
        code: Vec<u8>,
    }

    /// A rotated random vector of length `size`, and its code.
    fn coded(dims: usize, size: f32, rng: &mut Rng) -> Coded {
        let mut y: Vec<f32> = (0..dims).map(|_| rng.unit() as f32 - 0.5).collect();
        Rotation::new(&MemoryBudget::unlimited(), dims, 3)
            .unwrap()
            .apply(&mut y);
        let norm = y.iter().map(|x| x * x).sum::<f32>().sqrt();
        y.iter_mut().for_each(|x| *x *= size / norm);
        let mut code = vec![0xAA; code_bytes(dims)];
        let terms = encode(&y, &mut code);
        Coded { y, terms, code }
    }

    fn query(dims: usize) -> Query4 {
        Query4::zeroed(&MemoryBudget::unlimited(), dims).unwrap()
    }

    #[test]
    fn estimates_are_near_the_truth() {
        let mut rng = Rng::new(4);
        for dims in [16, 99, 100, 384, 1536] {
            let mut worst = 0.0f32;
            let mut bias = 0.0f32;
            for _ in 0..200 {
                let (a, b) = (coded(dims, 2.0, &mut rng), coded(dims, 3.0, &mut rng));
                let dot: f32 = a.y.iter().zip(&b.y).map(|(a, b)| a * b).sum();
                let mut from_vector = query(dims);
                from_vector.set(&a.y);
                let mut from_code = query(dims);
                from_code.set_from_code(a.terms, &a.code, dims);
                for query in [&from_vector, &from_code] {
                    let error = -query.negative_dot(b.terms, &b.code) - dot;
                    let l2 = query.l2_squared(b.terms, &b.code);
                    assert!((l2 - (13.0 - 2.0 * dot) + 2.0 * error).abs() < 1e-3);
                    worst = worst.max(error.abs());
                    bias += error / 400.0;
                }
            }
            // Each code's error is about a tenth of its vector, in a random direction.
            let deviation = 6.0 * 0.15 / (dims as f32).sqrt();
            assert!(worst < 4.5 * deviation, "{dims}: {worst}");
            assert!(bias.abs() < 0.25 * deviation, "{dims}: {bias}");
        }
    }

    #[test]
    fn a_vector_is_near_its_own_code() {
        let mut rng = Rng::new(6);
        let row = coded(384, 1.0, &mut rng);
        let mut own = query(384);
        own.set(&row.y);
        assert!(own.l2_squared(row.terms, &row.code).abs() < 0.01);
    }

    #[test]
    fn odd_vectors_have_a_code() {
        for y in [
            vec![],
            vec![0.0; 5],
            vec![1.0],
            vec![f32::MAX; 7],
            vec![f32::MIN; 4],
            vec![1e-45; 9],
        ] {
            let mut code = vec![0; code_bytes(y.len())];
            let terms = encode(&y, &mut code);
            assert!(terms.norm_squared.is_finite() && terms.factor.is_finite());
            assert!(terms.factor <= 0.0, "{y:?}");
            let mut q = query(y.len());
            for from_code in [false, true] {
                if from_code {
                    q.set_from_code(terms, &code, y.len());
                } else {
                    q.set(&y);
                }
                assert!(!q.l2_squared(terms, &code).is_nan());
                assert!(!q.negative_dot(terms, &code).is_nan());
            }
        }
        let mut code = [0; 1];
        let terms = encode(&[2.0], &mut code);
        let mut q = query(1);
        q.set(&[-3.0]);
        assert!((q.l2_squared(terms, &code) - 25.0).abs() < 0.1);
    }
}
