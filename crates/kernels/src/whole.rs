//! Vectors as whole numbers and a scale.

/// What is known of a vector beside its numbers, lane by lane of its chunks.
pub(crate) struct Whole<const WIDTH: usize> {
    /// What a number stands for.
    pub scale: f32,
    /// Squares of what the numbers leave of the vector.
    pub errors: [f32; WIDTH],
    /// Sums of the numbers.
    pub sums: [i32; WIDTH],
}

/// Writes the whole numbers from `-most` to `most` that `vector` is nearest to, each by `narrow`. None, and zeros,
/// where no scale makes numbers of it.
#[inline(always)]
pub(crate) fn encode<const WIDTH: usize, N: Copy + Default>(
    vector: &[f32],
    most: f32,
    code: &mut [N],
    narrow: impl Fn(i32) -> N,
) -> Option<Whole<WIDTH>> {
    /// Added to a small number it rounds that to a whole one, which stands in its lowest bits.
    const ROUND: f32 = 12_582_912.0;
    assert!(vector.len() == code.len(), "vector and code do not match");
    let (chunks, tail) = vector.as_chunks::<WIDTH>();
    let mut last = [0.0; WIDTH];
    last[..tail.len()].copy_from_slice(tail);

    // As integers, so that the order does not matter to the compiler.
    let mut largest = [0u32; WIDTH];
    for chunk in chunks.iter().chain([&last]) {
        for lane in 0..WIDTH {
            largest[lane] = largest[lane].max(chunk[lane].abs().to_bits());
        }
    }
    let largest = f32::from_bits(largest.into_iter().fold(0, u32::max));
    let (scale, inverse) = (largest / most, most / largest);
    if scale == 0.0 || !scale.is_finite() || !inverse.is_finite() {
        code.fill(N::default());
        return None;
    }

    let (mut errors, mut sums) = ([0.0f32; WIDTH], [0i32; WIDTH]);
    let mut step = |chunk: &[f32; WIDTH], code: &mut [N; WIDTH]| {
        for lane in 0..WIDTH {
            let rounded = chunk[lane] * inverse + ROUND;
            let number = rounded.to_bits().wrapping_sub(ROUND.to_bits()) as i32;
            let rest = chunk[lane] - scale * (rounded - ROUND);
            errors[lane] += rest * rest;
            sums[lane] += number;
            code[lane] = narrow(number);
        }
    };
    let (code_chunks, code_tail) = code.as_chunks_mut::<WIDTH>();
    for (chunk, code) in chunks.iter().zip(code_chunks) {
        step(chunk, code);
    }
    let mut last_code = [N::default(); WIDTH];
    step(&last, &mut last_code);
    code_tail.copy_from_slice(&last_code[..tail.len()]);
    Some(Whole {
        scale,
        errors,
        sums,
    })
}
