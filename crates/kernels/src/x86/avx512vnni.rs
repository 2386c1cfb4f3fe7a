//! The `Avx512Vnni` level: sums of floats are those of `Avx512`, those of bytes take one instruction.

use super::avx512::{Lanes, STEP, sums_of_bytes};
use crate::code8::{self, Products, QUERIES, Query, Rows};
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
    let (low, high) = crate::code4::halves(query, code);
    // SAFETY: AVX-512 F, BW and VNNI; bytes that a mask leaves out are not read, so that nothing beyond
    // the slices is (`halves` makes them equally long).
    unsafe {
        let nibble = _mm512_set1_epi8(15);
        let (mut lower, mut upper) = (_mm512_setzero_si512(), _mm512_setzero_si512());
        let mut at = 0;
        while at < code.len() {
            let mask = u64::MAX >> (STEP - (code.len() - at).min(STEP));
            let codes = _mm512_maskz_loadu_epi8(mask, code.as_ptr().add(at).cast());
            let low = _mm512_maskz_loadu_epi8(mask, low.as_ptr().add(at));
            let high = _mm512_maskz_loadu_epi8(mask, high.as_ptr().add(at));
            let high_nibbles = _mm512_and_si512(_mm512_srli_epi16::<4>(codes), nibble);
            lower = _mm512_dpbusd_epi32(lower, _mm512_and_si512(codes, nibble), low);
            upper = _mm512_dpbusd_epi32(upper, high_nibbles, high);
            at += STEP;
        }
        _mm512_reduce_add_epi32(_mm512_add_epi32(lower, upper))
    }
}

/// See `code8::near`. Only called from what `instantiate!` compiles with VNNI.
#[inline(always)]
fn near(
    queries: &[Query<'_>; QUERIES],
    panel: &[i8],
    rows: &Rows,
    products: &mut Products,
) -> [u32; QUERIES] {
    code8::near(queries, panel, rows, products, |codes, panel, sums| {
        // SAFETY: compiled with AVX-512 and VNNI; `code8::near` has checked the lengths.
        unsafe {
            sums_of_bytes(codes, panel, sums, |sum, a, b| {
                _mm512_dpbusd_epi32(sum, a, b)
            })
        }
    })
}
