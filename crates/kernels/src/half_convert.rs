//! Conversion between `f16` and `f32` without special instructions.
//!
//! `half`'s own methods look the CPU up on every call; these are branch-free where it counts, so
//! that the compiler can vectorise them, and give the bits that F16C gives.

use half::f16;

/// Exact; a signalling NaN becomes quiet and keeps its payload, as F16C does it.
#[inline(always)]
pub(crate) fn to_f32(value: f16) -> f32 {
    let bits = u32::from(value.to_bits());
    let magnitude = bits & 0x7fff;
    let sign = (bits & 0x8000) << 16;
    // The field of the exponent moves into place with a bias of 15; times 2^112 makes it 127.
    // Subnormals of f16 are subnormals of f32 before that and become normal: exact.
    let finite = (f32::from_bits(magnitude << 13) * f32::from_bits(0x7780_0000)).to_bits();
    let infinite = (magnitude << 13) | 0x7f80_0000;
    let quiet = if magnitude > 0x7c00 { 0x0040_0000 } else { 0 };
    let wide = if magnitude >= 0x7c00 {
        infinite | quiet
    } else {
        finite
    };
    f32::from_bits(wide | sign)
}

/// Rounds to nearest, ties to even; too large becomes infinity.
#[inline(always)]
pub(crate) fn from_f32(value: f32) -> f16 {
    f16::from_f32_const(value)
}
