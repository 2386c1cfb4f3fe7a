//! The `Avx512` level.

use super::avx2::sum_of_eight;
use crate::canonical::{Block, LANES};
use crate::code8::{self, GROUP, QUERIES, ROWS, Sums};
use crate::level::Level;
use crate::table::{BitCounts, CosineSums, Kernels};
use crate::{bits, canonical, code16};
use half::f16;
use std::arch::x86_64::*;

instantiate!(
    Level::Avx512,
    Lanes,
    "avx512f,avx512bw,avx512dq,avx512vl,avx2,f16c,popcnt"
);

/// 32 lanes in two registers, the first with lanes 0 to 15.
///
/// Private, and used only by the functions that `instantiate!` compiles with AVX-512: where a
/// method below runs, the CPU has it. Every SAFETY note builds on that.
#[derive(Clone, Copy)]
pub(super) struct Lanes([__m512; 2]);

/// Lanes of a register.
const WIDTH: usize = 16;

/// One bit for each of the first `length` lanes, of which there are fewer than 32.
#[inline(always)]
fn mask(length: usize) -> u32 {
    debug_assert!(length < LANES);
    (1 << length) - 1
}

/// Lane by lane, one instruction a register.
macro_rules! lanewise {
    ($($name:ident: $instruction:ident),*) => {
        $(
            #[inline(always)]
            fn $name(self, other: Lanes) -> Lanes {
                // SAFETY: AVX-512 F.
                Lanes(std::array::from_fn(|part| unsafe {
                    $instruction(self.0[part], other.0[part])
                }))
            }
        )*
    };
}

impl Block for Lanes {
    const SEVERAL_SUMS: bool = true;

    #[inline(always)]
    fn zero() -> Lanes {
        // SAFETY: AVX-512 F.
        Lanes([unsafe { _mm512_setzero_ps() }; 2])
    }

    #[inline(always)]
    fn load(chunk: &[f32; LANES]) -> Lanes {
        // SAFETY: AVX-512 F; two registers are the 32 elements of the chunk, at any alignment.
        Lanes(std::array::from_fn(|part| unsafe {
            _mm512_loadu_ps(chunk.as_ptr().add(WIDTH * part))
        }))
    }

    #[inline(always)]
    fn load_half(chunk: &[f16; LANES]) -> Lanes {
        // Two conversions to eight lanes and an insert: Zen 4 takes longer for one to sixteen.
        // SAFETY: F16C and AVX-512 DQ; four times eight are the 32 elements of the chunk, at any
        // alignment.
        Lanes(std::array::from_fn(|part| unsafe {
            let halves = chunk.as_ptr().add(WIDTH * part);
            let low = _mm256_cvtph_ps(_mm_loadu_si128(halves.cast()));
            let high = _mm256_cvtph_ps(_mm_loadu_si128(halves.add(WIDTH / 2).cast()));
            _mm512_insertf32x8::<1>(_mm512_castps256_ps512(low), high)
        }))
    }

    #[inline(always)]
    fn load_tail(tail: &[f32]) -> Lanes {
        let mask = mask(tail.len());
        // SAFETY: AVX-512 F; lanes that the mask leaves out are not read, so that nothing beyond
        // the tail is, and `wrapping_add` may point there.
        Lanes(std::array::from_fn(|part| unsafe {
            _mm512_maskz_loadu_ps(
                (mask >> (WIDTH * part)) as __mmask16,
                tail.as_ptr().wrapping_add(WIDTH * part),
            )
        }))
    }

    #[inline(always)]
    fn load_half_tail(tail: &[f16]) -> Lanes {
        // SAFETY: AVX-512 F and BW; lanes that the mask leaves out are not read.
        unsafe {
            let halves = _mm512_maskz_loadu_epi16(mask(tail.len()), tail.as_ptr().cast());
            Lanes([
                _mm512_cvtph_ps(_mm512_castsi512_si256(halves)),
                _mm512_cvtph_ps(_mm512_extracti64x4_epi64::<1>(halves)),
            ])
        }
    }

    #[inline(always)]
    fn store(self, chunk: &mut [f32; LANES]) {
        for (part, register) in self.0.into_iter().enumerate() {
            // SAFETY: AVX-512 F; two registers are the 32 elements of the chunk.
            unsafe { _mm512_storeu_ps(chunk.as_mut_ptr().add(WIDTH * part), register) }
        }
    }

    #[inline(always)]
    fn store_half(self, chunk: &mut [f16; LANES]) {
        for (part, register) in self.0.into_iter().enumerate() {
            // SAFETY: AVX-512 F; two times sixteen are the 32 elements of the chunk.
            unsafe {
                let narrow = _mm512_cvtps_ph::<_MM_FROUND_TO_NEAREST_INT>(register);
                _mm256_storeu_si256(chunk.as_mut_ptr().add(WIDTH * part).cast(), narrow);
            }
        }
    }

    lanewise!(add: _mm512_add_ps, sub: _mm512_sub_ps, mul: _mm512_mul_ps);

    #[inline(always)]
    fn abs(self) -> Lanes {
        // SAFETY: AVX-512 F.
        Lanes(self.0.map(|register| unsafe { _mm512_abs_ps(register) }))
    }

    #[inline(always)]
    fn sum(self) -> f32 {
        let [r0, r1] = self.0;
        // SAFETY: AVX-512 F and DQ.
        unsafe {
            let sixteen = _mm512_add_ps(r0, r1);
            sum_of_eight(_mm256_add_ps(
                _mm512_castps512_ps256(sixteen),
                _mm512_extractf32x8_ps::<1>(sixteen),
            ))
        }
    }
}

/// Code bytes to a step: one register of codes, two of the query.
const STEP: usize = 64;

/// See `code4::dot`, and the note on sizes at the `Avx2` level.
///
/// Only called from what `instantiate!` compiles with AVX-512.
#[inline(always)]
fn dot_of_nibbles(query: &[i8], code: &[u8]) -> i32 {
    // SAFETY: compiled with AVX-512 BW.
    unsafe {
        dot_of_nibbles_by(query, code, |[sum, none], [low, high], numbers| {
            let pairs = _mm512_add_epi16(
                _mm512_maddubs_epi16(low, numbers[0]),
                _mm512_maddubs_epi16(high, numbers[1]),
            );
            [_mm512_add_epi32(sum, widened(pairs)), none]
        })
    }
}

/// The same with `add`, which adds the products of low and of high nibbles with their numbers to two sums,
/// or both to one.
///
/// # Safety
/// Only called from what is compiled with AVX-512 and what `add` needs.
#[inline(always)]
pub(super) unsafe fn dot_of_nibbles_by(
    query: &[i8],
    code: &[u8],
    add: impl Fn([__m512i; 2], [__m512i; 2], [__m512i; 2]) -> [__m512i; 2],
) -> i32 {
    let (low, high) = crate::code4::halves(query, code);
    // SAFETY: AVX-512 F and BW; bytes that a mask leaves out are not read, so that nothing beyond
    // the slices is (`halves` makes them equally long).
    unsafe {
        let nibble = _mm512_set1_epi8(15);
        let mut sums = [_mm512_setzero_si512(); 2];
        let mut at = 0;
        while at < code.len() {
            let mask = u64::MAX >> (STEP - (code.len() - at).min(STEP));
            let codes = _mm512_maskz_loadu_epi8(mask, code.as_ptr().add(at).cast());
            let nibbles = [
                _mm512_and_si512(codes, nibble),
                _mm512_and_si512(_mm512_srli_epi16::<4>(codes), nibble),
            ];
            let numbers =
                [low, high].map(|numbers| _mm512_maskz_loadu_epi8(mask, numbers.as_ptr().add(at)));
            sums = add(sums, nibbles, numbers);
            at += STEP;
        }
        _mm512_reduce_add_epi32(_mm512_add_epi32(sums[0], sums[1]))
    }
}

/// Pairs of 16-bit lanes summed to 32 bits.
///
/// # Safety
/// The CPU must have AVX-512 BW.
#[inline(always)]
unsafe fn widened(pairs: __m512i) -> __m512i {
    // SAFETY: the caller's promise.
    unsafe { _mm512_madd_epi16(pairs, _mm512_set1_epi16(1)) }
}

/// Two products of bytes, the first of them from 0 to 127, fit 16 bits together.
///
/// # Safety
/// As for [`sums_of_bytes_by`].
#[inline(always)]
unsafe fn sums_of_bytes(codes: [&[u8]; QUERIES], panel: &[i8], sums: &mut Sums) {
    // SAFETY: the caller's promise; AVX-512 BW.
    unsafe {
        sums_of_bytes_by(codes, panel, sums, |sum, a, b| {
            _mm512_add_epi32(sum, widened(_mm512_maddubs_epi16(a, b)))
        })
    }
}

/// Sixteen sums that fill the registers: eight queries against two times sixteen rows.
///
/// # Safety
/// Codes are as long as a row of the panel, which is whole groups. Only called from what is compiled with
/// AVX-512 and what `add` needs, which adds the products of four bytes to each lane.
#[inline(always)]
pub(super) unsafe fn sums_of_bytes_by(
    codes: [&[u8]; QUERIES],
    panel: &[i8],
    sums: &mut Sums,
    add: impl Fn(__m512i, __m512i, __m512i) -> __m512i,
) {
    // SAFETY: AVX-512 F; `group` ends with the shortest of all.
    unsafe {
        let mut lanes = [[_mm512_setzero_si512(); 2]; QUERIES];
        for group in 0..panel.len() / (GROUP * ROWS) {
            let rows = panel.as_ptr().add(group * GROUP * ROWS);
            let rows = [0, 1].map(|part| _mm512_loadu_si512(rows.add(part * GROUP * WIDTH).cast()));
            for (code, lanes) in codes.iter().zip(&mut lanes) {
                let four = code.as_ptr().add(group * GROUP).cast::<i32>();
                let query = _mm512_set1_epi32(four.read_unaligned());
                lanes[0] = add(lanes[0], query, rows[0]);
                lanes[1] = add(lanes[1], query, rows[1]);
            }
        }
        for (sums, lanes) in sums.iter_mut().zip(lanes) {
            for (part, lanes) in lanes.into_iter().enumerate() {
                _mm512_storeu_si512(sums.as_mut_ptr().add(part * WIDTH).cast(), lanes);
            }
        }
    }
}
