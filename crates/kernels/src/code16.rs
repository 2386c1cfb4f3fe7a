//! Vectors as whole numbers of 16 bits and a scale: half of their bytes.
//!
//! A vector `x` is `s * c` and a rest, `c` whole numbers. Who measures by the code is off by no more than the
//! length of the rest, which is known, and need look only at vectors where that makes a difference.

use crate::canonical::{Block, LANES, canonical_nan};
use crate::scalar::Lanes;
use crate::whole;

/// The largest number in a code. Smallest: the same below zero.
const MOST: f32 = 32_767.0;

/// A vector as whole numbers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Encoded {
    /// What a number stands for. Not a number where the vector has no code.
    pub scale: f32,
    /// Length of the vector less what its code stands for, up to rounding.
    pub error: f32,
}

/// Writes the whole numbers that `vector` is nearest to.
#[inline(always)]
pub(crate) fn encode(vector: &[f32], code: &mut [i16]) -> Encoded {
    match whole::encode::<LANES, _>(vector, MOST, code, |number| number as i16) {
        Some(whole) => Encoded {
            scale: whole.scale,
            error: Lanes(whole.errors).sum().sqrt(),
        },
        None => Encoded {
            scale: f32::NAN,
            error: f32::INFINITY,
        },
    }
}

/// Sum of the products of a vector's elements and the numbers of a code.
#[inline(always)]
pub(crate) fn dot(vector: &[f32], code: &[i16]) -> f32 {
    sum(vector, code, |x, number| x * number)
}

/// Sum of the squared differences of a vector's elements and the numbers of a code, times their scale.
#[inline(always)]
pub(crate) fn l2_squared(vector: &[f32], scale: f32, code: &[i16]) -> f32 {
    sum(vector, code, |x, number| {
        let difference = x - scale * number;
        difference * difference
    })
}

/// In the order of the sums over vectors.
#[inline(always)]
fn sum(vector: &[f32], code: &[i16], term: impl Fn(f32, f32) -> f32) -> f32 {
    debug_assert_eq!(vector.len(), code.len());
    let length = vector.len().min(code.len());
    let (chunks, tail) = vector[..length].as_chunks::<LANES>();
    let (code_chunks, code_tail) = code[..length].as_chunks::<LANES>();
    let mut lanes = [0.0; LANES];
    for (chunk, code) in chunks.iter().zip(code_chunks) {
        for lane in 0..LANES {
            lanes[lane] += term(chunk[lane], f32::from(code[lane]));
        }
    }
    for ((lane, x), number) in lanes.iter_mut().zip(tail).zip(code_tail) {
        *lane += term(*x, f32::from(*number));
    }
    canonical_nan(Lanes(lanes).sum())
}
