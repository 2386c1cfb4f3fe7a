//! A random rotation that costs `d log d` and needs no padding.

use pgnear_device::{MemoryBudget, OutOfMemory};

use crate::rng::Rng;

/// Rounds of signs and transforms. With fewer, single large components stay visible; graph search
/// gained nothing from more.
const ROUNDS: usize = 4;

/// An orthogonal map of `dims` dimensions, the same for ever for one seed: rounds of random signs
/// and a fast Walsh-Hadamard transform over the largest power of two that fits, once from the
/// first component on and once up to the last (Ailon and Chazelle, *The fast
/// Johnson-Lindenstrauss transform*, 2009, with an overlap in place of padding).
///
/// After it, the components of any vector are nearly normal with equal variance, which is what one
/// scalar code for all of them wants; distances and inner products stay what they were.
#[derive(Debug, Clone, PartialEq)]
pub struct Rotation {
    dims: usize,
    /// The largest power of two within `dims`; 0 of none.
    power: usize,
    /// `ROUNDS * dims` factors, each the sign times what keeps the transform orthogonal.
    signs: Vec<f32>,
}

impl Rotation {
    /// # Errors
    /// [`OutOfMemory`]: it keeps 16 bytes a dimension.
    pub fn new(budget: &MemoryBudget, dims: usize, seed: u64) -> Result<Rotation, OutOfMemory> {
        let mut signs = budget.try_vec_filled(ROUNDS.saturating_mul(dims), 0.0f32)?;
        let mut rng = Rng::new(seed ^ 0x726F_7461_7469_6F6E); // not the stream of k-means
        for chunk in signs.chunks_mut(64) {
            let bits = rng.next_u64();
            for (at, sign) in chunk.iter_mut().enumerate() {
                *sign = if bits >> at & 1 == 0 { 1.0 } else { -1.0 };
            }
        }
        Ok(Rotation {
            dims,
            power: if dims == 0 { 0 } else { 1 << dims.ilog2() },
            signs,
        })
    }

    /// Components of a vector.
    pub fn dims(&self) -> usize {
        self.dims
    }

    /// Rotates `vector`, of `dims` components, in place.
    ///
    /// # Panics
    /// Where it has another length.
    pub fn apply(&self, vector: &mut [f32]) {
        assert_eq!(vector.len(), self.dims, "vector has other dimensions");
        if self.dims == 0 {
            return;
        }
        let first_of_last = self.dims - self.power;
        for signs in self.signs.chunks_exact(self.dims) {
            for (x, sign) in vector.iter_mut().zip(signs) {
                *x *= sign;
            }
            transform(&mut vector[..self.power]);
            if first_of_last > 0 {
                transform(&mut vector[first_of_last..]);
            }
        }
    }
}

/// The orthonormal Walsh-Hadamard transform of a power of two components.
fn transform(vector: &mut [f32]) {
    let mut half = 1;
    while half < vector.len() {
        match half {
            1 => butterflies::<1>(vector),
            2 => butterflies::<2>(vector),
            4 => butterflies::<4>(vector),
            8 => butterflies::<8>(vector),
            _ => {
                for pair in vector.chunks_exact_mut(2 * half) {
                    let (low, high) = pair.split_at_mut(half);
                    for (a, b) in low.iter_mut().zip(high) {
                        (*a, *b) = (*a + *b, *a - *b);
                    }
                }
            }
        }
        half *= 2;
    }
    let scale = 1.0 / (vector.len() as f32).sqrt();
    for x in vector {
        *x *= scale;
    }
}

/// One stage over short halves, whose length the compiler knows.
fn butterflies<const HALF: usize>(vector: &mut [f32]) {
    for pair in vector.chunks_exact_mut(2 * HALF) {
        let (low, high) = pair.split_at_mut(HALF);
        for at in 0..HALF {
            (low[at], high[at]) = (low[at] + high[at], low[at] - high[at]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn random(dims: usize, rng: &mut Rng) -> Vec<f32> {
        (0..dims).map(|_| rng.unit() as f32 - 0.5).collect()
    }

    fn dot(a: &[f32], b: &[f32]) -> f64 {
        a.iter()
            .zip(b)
            .map(|(a, b)| f64::from(*a) * f64::from(*b))
            .sum()
    }

    fn rotation(dims: usize, seed: u64) -> Rotation {
        Rotation::new(&MemoryBudget::unlimited(), dims, seed).unwrap()
    }

    #[test]
    fn inner_products_stay_what_they_were() {
        let mut rng = Rng::new(5);
        for dims in [1, 2, 3, 7, 64, 100, 384, 1000, 1536, 16_000] {
            let rotation = rotation(dims, 9);
            let (mut a, mut b) = (random(dims, &mut rng), random(dims, &mut rng));
            let (before, size) = (dot(&a, &b), (dot(&a, &a) * dot(&b, &b)).sqrt());
            rotation.apply(&mut a);
            rotation.apply(&mut b);
            assert!((dot(&a, &b) - before).abs() < 1e-5 * size, "{dims}");
        }
    }

    #[test]
    fn one_large_component_is_spread_over_all() {
        for dims in [100, 384, 768, 1000] {
            for at in [0, dims / 2, dims - 1] {
                let mut vector = vec![0.0; dims];
                vector[at] = 1.0;
                rotation(dims, 1).apply(&mut vector);
                let largest = vector.iter().fold(0.0f32, |max, x| max.max(x.abs()));
                assert!(
                    largest * (dims as f32).sqrt() < 5.5,
                    "{dims} {at} {largest}"
                );
            }
        }
    }

    #[test]
    fn one_seed_is_one_rotation() {
        let vectors = [9, 9, 10].map(|seed| {
            let mut vector = vec![1.0; 48];
            rotation(48, seed).apply(&mut vector);
            vector
        });
        assert_eq!(vectors[0], vectors[1]);
        assert_ne!(vectors[0], vectors[2]);
        // Of a small rotation the bits, for ever: they are in every index.
        let mut small = [1.0, 2.0, 3.0];
        rotation(3, 7).apply(&mut small);
        let bits = [1_071_052_257, 3_226_486_980, 3_208_927_853];
        assert_eq!(small.map(f32::to_bits), bits);
        assert!(Rotation::new(&MemoryBudget::new(10), 100, 1).is_err());
    }
}
