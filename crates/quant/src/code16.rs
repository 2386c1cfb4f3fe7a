//! Vectors as whole numbers of 16 bits ([`pgnear_kernels::code16`]), half of their bytes, and the bounds between
//! which the operators' own sums over such vectors lie, rounding included.

use pgnear_kernels::{Kernels, kernels};

use crate::rounding::{has_code, left};

/// Bytes of the code of a vector of `dims` components: a number of 16 bits each, in the machine's byte order.
pub const fn code_bytes(dims: usize) -> usize {
    2 * dims
}

/// What bounds need of a vector beside its code.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Terms {
    /// What a number stands for.
    pub scale: f32,
    /// The length of what the code leaves of the vector is at most this; infinite where it has no code.
    pub error: f32,
    /// The operators' own sum of squares.
    pub norm_squared: f32,
}

/// Writes the code of `x` to `code`, as many numbers.
///
/// # Panics
/// Where the code has another length.
pub fn encode(x: &[f32], code: &mut [i16]) -> Terms {
    let kernels = kernels();
    let encoded = (kernels.code16_encode)(x, code);
    let norm_squared = (kernels.f32_norm_squared)(x);
    let length = norm_squared.sqrt();
    if !has_code(length) || encoded.scale.is_nan() {
        return Terms {
            scale: 0.0,
            error: if is_zero(x) { 0.0 } else { f32::INFINITY },
            norm_squared,
        };
    }
    Terms {
        scale: encoded.scale,
        error: left(encoded.error, length),
        norm_squared,
    }
}

fn is_zero(x: &[f32]) -> bool {
    x.iter().all(|x| *x == 0.0)
}

/// A vector to be compared with codes.
#[derive(Debug, Clone)]
pub struct Query16<'a> {
    kernels: &'static Kernels,
    vector: &'a [f32],
    norm_squared: f32,
    /// None where sums with it have no bounds.
    length: Option<f64>,
    /// What a sum may be off by, in any order over 32 lanes, as a share of the sum of its terms' sizes (Higham,
    /// Accuracy and Stability of Numerical Algorithms, section 3.1): half a unit for each term of a lane, each
    /// step of the tree and each operation of a term, which are nine.
    off_by: f64,
}

impl<'a> Query16<'a> {
    /// A vector to be compared with codes.
    pub fn new(vector: &'a [f32]) -> Query16<'a> {
        let kernels = kernels();
        let norm_squared = (kernels.f32_norm_squared)(vector);
        let length = norm_squared.sqrt();
        Query16 {
            kernels,
            vector,
            norm_squared,
            length: (has_code(length) || is_zero(vector)).then_some(length.into()),
            off_by: (vector.len() / 32 + 16) as f64 / (1u64 << 24) as f64,
        }
    }

    /// The operators' own sum of squares.
    pub fn norm_squared(&self) -> f32 {
        self.norm_squared
    }

    /// The least and the most that the operators' sum of products with `x` may be.
    ///
    /// Of `x = s * c + d` the sum with `s * c` is known, and `d` adds at most `|d|` times the length of the query
    /// (Cauchy and Schwarz). Both sums may be off.
    pub fn dot(&self, terms: Terms, code: &[i16]) -> Option<(f32, f32)> {
        let around =
            f64::from(terms.scale) * f64::from((self.kernels.code16_dot)(self.vector, code));
        let (error, length) = (f64::from(terms.error), f64::from(terms.norm_squared).sqrt());
        let off = 1.001 * self.length? * (error + self.off_by * (2.0 * length + error));
        rounded(around - off, around + off)
    }

    /// The least and the most that the operators' sum of squared differences to `x` may be: its root differs by
    /// at most `|d|` from that to `s * c`.
    pub fn l2_squared(&self, terms: Terms, code: &[i16]) -> Option<(f32, f32)> {
        self.length?;
        let sum = (self.kernels.code16_l2_squared)(self.vector, terms.scale, code);
        let (around, error) = (f64::from(sum).sqrt(), f64::from(terms.error));
        let least = (around * (1.0 - self.off_by) - error).max(0.0).powi(2) * (1.0 - self.off_by);
        let most = (around * (1.0 + self.off_by) + error).powi(2) * (1.0 + self.off_by);
        rounded(least, most)
    }
}

/// Rounded away from each other; `None` where there are no bounds.
fn rounded(least: f64, most: f64) -> Option<(f32, f32)> {
    let (least, most) = ((least as f32).next_down(), (most as f32).next_up());
    (least.is_finite() && most.is_finite()).then_some((least, most))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Rng;
    use crate::rounding::tests::{KINDS, vectors};

    #[test]
    fn sums_lie_within_their_bounds_and_bounds_are_narrow() {
        let (mut rng, kernels) = (Rng::new(21), kernels());
        for kind in 0..KINDS {
            for dims in [1, 2, 3, 17, 64, 100, 768, 1025] {
                let vectors = vectors(kind, 16, dims, &mut rng);
                let (mut pairs, mut bounded) = (0, 0);
                // No number is off by more than half a step of the largest element.
                let narrow = (dims as f32).sqrt() / 32_767.0 + 2e-5;
                for x in vectors.chunks(dims) {
                    let mut code = vec![0; dims];
                    let terms = encode(x, &mut code);
                    assert_eq!(terms.norm_squared, (kernels.f32_norm_squared)(x));
                    for query in vectors.chunks(dims) {
                        let measure = Query16::new(query);
                        let lengths = terms.norm_squared.sqrt() * measure.norm_squared().sqrt();
                        pairs += 2;
                        if let Some((least, most)) = measure.dot(terms, &code) {
                            let dot = (kernels.f32_dot)(query, x);
                            assert!((least..=most).contains(&dot), "{kind} {dims}: {dot}");
                            assert!(most - least <= narrow * lengths + 1e-30, "{kind} {dims}");
                            bounded += 1;
                        }
                        if let Some((least, most)) = measure.l2_squared(terms, &code) {
                            let sum = (kernels.f32_l2_squared)(query, x);
                            assert!((least..=most).contains(&sum), "{kind} {dims}: {sum}");
                            bounded += 1;
                        }
                    }
                }
                println!("{kind} {dims}: {bounded} of {pairs} have bounds");
                assert!(
                    kind == 6 || bounded == pairs,
                    "{kind} {dims}: {bounded} of {pairs}"
                );
            }
        }
    }

    #[test]
    fn what_has_no_code_has_no_bounds() {
        let mut code = [0; 4];
        let ordinary = encode(&[1.0, -0.5, 0.25, 0.0], &mut code);
        assert_eq!(code, [32_767, -16_384, 8192, 0]);
        for vector in [[1e30; 4], [1e-30; 4]] {
            let query = Query16::new(&vector);
            assert_eq!(query.dot(ordinary, &code), None);
            assert_eq!(query.l2_squared(ordinary, &code), None);
        }
        // As a damaged page may have it.
        let query = Query16::new(&[1.0; 4]);
        for damaged in [f32::NAN, f32::INFINITY] {
            for terms in [
                Terms {
                    scale: damaged,
                    ..ordinary
                },
                Terms {
                    error: damaged,
                    ..ordinary
                },
            ] {
                assert_eq!(query.dot(terms, &code), None);
                assert_eq!(query.l2_squared(terms, &code), None);
            }
        }
        for vector in [[1e30; 4], [1e-30; 4], [f32::MAX; 4]] {
            let mut code = [0; 4];
            let terms = encode(&vector, &mut code);
            assert_eq!(query.dot(terms, &code), None);
            assert_eq!(query.l2_squared(terms, &code), None);
        }
    }
}
