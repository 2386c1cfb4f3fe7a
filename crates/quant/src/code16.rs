//! Vectors as whole numbers of 16 bits ([`pgnear_kernels::code16`]), half of their bytes, and the bounds between
//! which the operators' own sums over such vectors lie, rounding included.

use pgnear_kernels::{Kernels, kernels};

/// Vectors that are longer have no code, nor those shorter than its inverse but for zeros: products and their parts
/// neither overflow nor vanish in between.
const LONGEST: f32 = (1u64 << 40) as f32;

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
    if !in_range(length) || encoded.scale.is_nan() {
        return Terms {
            scale: 0.0,
            error: if is_zero(x) { 0.0 } else { f32::INFINITY },
            norm_squared,
        };
    }
    Terms {
        scale: encoded.scale,
        // What rounding takes from the sum, and from the products of scale and numbers.
        error: encoded.error * 1.001 + length * (1.0 / (1u64 << 20) as f32),
        norm_squared,
    }
}

fn in_range(length: f32) -> bool {
    (LONGEST.recip()..=LONGEST).contains(&length)
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
    /// Not a number where it is out of range.
    length: f64,
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
            length: if in_range(length) || is_zero(vector) {
                f64::from(length)
            } else {
                f64::NAN
            },
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
        let off = 1.001 * self.length * (error + self.off_by * (2.0 * length + error));
        rounded(around - off, around + off)
    }

    /// The least and the most that the operators' sum of squared differences to `x` may be: its root differs by
    /// at most `|d|` from that to `s * c`.
    pub fn l2_squared(&self, terms: Terms, code: &[i16]) -> Option<(f32, f32)> {
        let sum = (self.kernels.code16_l2_squared)(self.vector, terms.scale, code);
        let (around, error) = (f64::from(sum).sqrt(), f64::from(terms.error));
        let least = (around * (1.0 - self.off_by) - error).max(0.0).powi(2) * (1.0 - self.off_by);
        let most = (around * (1.0 + self.off_by) + error).powi(2) * (1.0 + self.off_by);
        // No bounds where the query has none: added to both, what is no number is felt.
        let known = 0.0 * self.length;
        rounded(least + known, most + known)
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

    /// Kinds of vectors: of one length, far from the origin, spread over magnitudes, few values, nearly alike,
    /// with a dimension that outweighs the others, at the ends of the range and beyond.
    const KINDS: usize = 7;

    fn vector(kind: usize, at: usize, centre: &[f32], rng: &mut Rng) -> Vec<f32> {
        let mut unit = || rng.below(1 << 24) as f32 / (1 << 23) as f32 - 1.0;
        let mut vector: Vec<f32> = centre.iter().map(|_| unit()).collect();
        let dims = vector.len();
        match kind {
            0 => {
                let length = vector.iter().map(|x| x * x).sum::<f32>().sqrt();
                vector.iter_mut().for_each(|x| *x /= length);
            }
            1 => vector.iter_mut().for_each(|x| *x += 1000.0),
            2 => {
                let factor = 10f32.powi(at as i32 % 9 - 4);
                vector.iter_mut().for_each(|x| *x *= factor);
            }
            3 => vector.iter_mut().for_each(|x| *x = (*x * 2.0).round()),
            4 => {
                for (x, c) in vector.iter_mut().zip(centre) {
                    *x = c + *x * 1e-6;
                }
            }
            5 => vector[at % dims] *= 300.0,
            _ => {
                let factor = [1e-20, 1e15, 3e38, 1e-44, 0.0, 1.0, 3e-12, 1e10][at % 8];
                vector.iter_mut().for_each(|x| *x *= factor);
            }
        }
        vector
    }

    #[test]
    fn sums_lie_within_their_bounds_and_bounds_are_narrow() {
        let (mut rng, kernels) = (Rng::new(21), kernels());
        for kind in 0..KINDS {
            for dims in [1, 2, 3, 17, 64, 100, 768, 1025] {
                let centre = vector(0, 0, &vec![0.0; dims], &mut rng);
                let vectors: Vec<Vec<f32>> = (0..16)
                    .map(|at| vector(kind, at, &centre, &mut rng))
                    .collect();
                let (mut pairs, mut bounded) = (0, 0);
                // No number is off by more than half a step of the largest element.
                let narrow = (dims as f32).sqrt() / 32_767.0 + 2e-5;
                for x in &vectors {
                    let mut code = vec![0; dims];
                    let terms = encode(x, &mut code);
                    assert_eq!(terms.norm_squared, (kernels.f32_norm_squared)(x));
                    for query in &vectors {
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
