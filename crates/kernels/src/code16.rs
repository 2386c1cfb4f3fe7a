//! Vectors as whole numbers of 16 bits and a scale: half of their bytes.
//!
//! A vector `x` is `s * c` and a rest, `c` whole numbers. Who measures by the code is off by no more than the
//! length of the rest, which is known, and need look only at vectors where that makes a difference.

/// The largest number in a code. Smallest: the same below zero.
const MOST: f32 = 32_767.0;

/// Lanes of a sum: its order of operations is that of the sums over vectors.
const LANES: usize = 32;

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
    /// Added to a small number it rounds that to a whole one, which stands in its lowest bits.
    const ROUND: f32 = 12_582_912.0;
    assert!(vector.len() == code.len(), "vector and code do not match");
    let (chunks, tail) = vector.as_chunks::<LANES>();
    let mut last = [0.0; LANES];
    last[..tail.len()].copy_from_slice(tail);

    // As integers, so that the order does not matter to the compiler.
    let mut largest = [0u32; LANES];
    for chunk in chunks.iter().chain([&last]) {
        for lane in 0..LANES {
            largest[lane] = largest[lane].max(chunk[lane].abs().to_bits());
        }
    }
    let largest = f32::from_bits(largest.into_iter().fold(0, u32::max));
    let (scale, inverse) = (largest / MOST, MOST / largest);
    if scale == 0.0 || !scale.is_finite() || !inverse.is_finite() {
        code.fill(0);
        return Encoded {
            scale: f32::NAN,
            error: f32::INFINITY,
        };
    }

    let mut errors = [0.0f32; LANES];
    let mut step = |chunk: &[f32; LANES], code: &mut [i16; LANES]| {
        for lane in 0..LANES {
            let rounded = chunk[lane] * inverse + ROUND;
            let number = rounded.to_bits().wrapping_sub(ROUND.to_bits()) as i32;
            let rest = chunk[lane] - scale * (rounded - ROUND);
            errors[lane] += rest * rest;
            code[lane] = number as i16;
        }
    };
    let (code_chunks, code_tail) = code.as_chunks_mut::<LANES>();
    for (chunk, code) in chunks.iter().zip(code_chunks) {
        step(chunk, code);
    }
    let mut last_code = [0; LANES];
    step(&last, &mut last_code);
    code_tail.copy_from_slice(&last_code[..tail.len()]);
    Encoded {
        scale,
        error: tree(errors).sqrt(),
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
    crate::canonical::canonical_nan(tree(lanes))
}

#[inline(always)]
fn tree(mut lanes: [f32; LANES]) -> f32 {
    let mut width = LANES / 2;
    while width > 0 {
        for lane in 0..width {
            lanes[lane] += lanes[lane + width];
        }
        width /= 2;
    }
    lanes[0]
}
