//! The `Avx512Vnni` level: sums of floats are those of `Avx512`, products of bytes are added in
//! one instruction.

use super::avx512::{Lanes, dot_of_nibbles_by, sums_of_bytes_by};
use crate::code8::{self, QUERIES, Sums};
use crate::level::Level;
use crate::table::{BitCounts, CosineSums, Kernels};
use crate::{bits, canonical, code16};
use half::f16;
use std::arch::x86_64::*;

instantiate!(
    Level::Avx512Vnni,
    Lanes,
    "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx2,f16c,popcnt"
);

/// See `code4::dot`. Only called from what `instantiate!` compiles with VNNI.
#[inline(always)]
fn dot_of_nibbles(query: &[i8], code: &[u8]) -> i32 {
    // SAFETY: compiled with AVX-512 and VNNI.
    unsafe {
        dot_of_nibbles_by(query, code, |[lower, upper], [low, high], numbers| {
            [
                _mm512_dpbusd_epi32(lower, low, numbers[0]),
                _mm512_dpbusd_epi32(upper, high, numbers[1]),
            ]
        })
    }
}

/// # Safety
/// As for [`sums_of_bytes_by`], with VNNI.
#[inline(always)]
unsafe fn sums_of_bytes(codes: [&[u8]; QUERIES], panel: &[i8], sums: &mut Sums) {
    // SAFETY: the caller's promise.
    unsafe {
        sums_of_bytes_by(codes, panel, sums, |sum, a, b| {
            _mm512_dpbusd_epi32(sum, a, b)
        })
    }
}
