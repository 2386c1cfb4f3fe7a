//! What rounding may take from a vector's code: the same for codes of one byte and of two.

/// Vectors that are longer have no code, nor those shorter than its inverse: products and their parts neither
/// overflow nor vanish in between.
const LONGEST: f32 = (1u64 << 40) as f32;

/// Whether a vector of this length has a code.
pub(crate) fn has_code(length: f32) -> bool {
    (LONGEST.recip()..=LONGEST).contains(&length)
}

/// What a code leaves of a vector of this length: `error`, and what rounding may take from that sum, and from the
/// products of scale and numbers.
pub(crate) fn left(error: f32, length: f32) -> f32 {
    error * 1.001 + length * (1.0 / (1u64 << 20) as f32)
}

/// Vectors that rounding is hard on, for the tests.
#[cfg(test)]
pub(crate) mod tests {
    use crate::rng::Rng;

    /// Kinds of vectors: of one length, far from the origin, spread over magnitudes, few values, nearly alike,
    /// with a dimension that outweighs the others, at the ends of the range of codes and beyond.
    pub(crate) const KINDS: usize = 7;

    /// So many of a kind, one after the other.
    pub(crate) fn vectors(kind: usize, count: usize, dims: usize, rng: &mut Rng) -> Vec<f32> {
        let center: Vec<f32> = (0..dims).map(|_| unit(rng)).collect();
        let mut all = Vec::new();
        for at in 0..count {
            let mut vector: Vec<f32> = (0..dims).map(|_| unit(rng)).collect();
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
                    for (x, c) in vector.iter_mut().zip(&center) {
                        *x = c + *x * 1e-6;
                    }
                }
                5 => vector[at % dims] *= 300.0,
                _ => {
                    let factors = [1e-20, 1e15, 3e38, 1e-44, 0.0, 1.0, 3e-12, 1e10];
                    let factor = factors[at % factors.len()];
                    vector.iter_mut().for_each(|x| *x *= factor);
                }
            }
            all.extend(vector);
        }
        all
    }

    fn unit(rng: &mut Rng) -> f32 {
        rng.below(1 << 24) as f32 / (1 << 23) as f32 - 1.0
    }
}
