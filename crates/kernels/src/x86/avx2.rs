//! The `Avx2` level.

use crate::canonical::{Block, LANES};
use crate::code8::{self, GROUP, QUERIES, ROWS, Sums};
use crate::level::Level;
use crate::table::{BitCounts, CosineSums, Kernels};
use crate::{bits, canonical, code16};
use half::f16;
use std::arch::x86_64::*;

instantiate!(Level::Avx2, Lanes, "avx2,f16c,popcnt");

/// 32 lanes in four registers, the first with lanes 0 to 7.
///
/// Private, and used only by the functions that `instantiate!` compiles with AVX2 and F16C: where
/// a method below runs, the CPU has them. Every SAFETY note builds on that.
#[derive(Clone, Copy)]
struct Lanes([__m256; 4]);

/// Lanes of a register.
const WIDTH: usize = 8;

impl Lanes {
    /// Bits of register `part` that cover the first `length` lanes, as `maskload` takes them.
    #[inline(always)]
    fn mask(length: usize, part: usize) -> __m256i {
        let below = length as i32 - (WIDTH * part) as i32;
        // SAFETY: AVX2.
        unsafe {
            _mm256_cmpgt_epi32(
                _mm256_set1_epi32(below),
                _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7),
            )
        }
    }
}

/// Lane by lane, one instruction a register.
macro_rules! lanewise {
    ($($name:ident: $instruction:ident),*) => {
        $(
            #[inline(always)]
            fn $name(self, other: Lanes) -> Lanes {
                // SAFETY: AVX.
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
        // SAFETY: AVX.
        Lanes([unsafe { _mm256_setzero_ps() }; 4])
    }

    #[inline(always)]
    fn load(chunk: &[f32; LANES]) -> Lanes {
        // SAFETY: AVX; four registers are the 32 elements of the chunk, at any alignment.
        Lanes(std::array::from_fn(|part| unsafe {
            _mm256_loadu_ps(chunk.as_ptr().add(WIDTH * part))
        }))
    }

    #[inline(always)]
    fn load_half(chunk: &[f16; LANES]) -> Lanes {
        // SAFETY: F16C; four times eight are the 32 elements of the chunk, at any alignment.
        Lanes(std::array::from_fn(|part| unsafe {
            _mm256_cvtph_ps(_mm_loadu_si128(chunk.as_ptr().add(WIDTH * part).cast()))
        }))
    }

    #[inline(always)]
    fn load_tail(tail: &[f32]) -> Lanes {
        // SAFETY: AVX; lanes that the mask leaves out are not read, so that nothing beyond the
        // tail is, and `wrapping_add` may point there.
        Lanes(std::array::from_fn(|part| unsafe {
            _mm256_maskload_ps(
                tail.as_ptr().wrapping_add(WIDTH * part),
                Lanes::mask(tail.len(), part),
            )
        }))
    }

    #[inline(always)]
    fn load_half_tail(tail: &[f16]) -> Lanes {
        // SAFETY: F16C.
        Lanes(std::array::from_fn(|part| unsafe {
            let start = tail.len().min(WIDTH * part);
            _mm256_cvtph_ps(first_eight(&tail[start..]))
        }))
    }

    #[inline(always)]
    fn store(self, chunk: &mut [f32; LANES]) {
        for (part, register) in self.0.into_iter().enumerate() {
            // SAFETY: AVX; four registers are the 32 elements of the chunk, at any alignment.
            unsafe { _mm256_storeu_ps(chunk.as_mut_ptr().add(WIDTH * part), register) }
        }
    }

    #[inline(always)]
    fn store_half(self, chunk: &mut [f16; LANES]) {
        for (part, register) in self.0.into_iter().enumerate() {
            // SAFETY: F16C; four times eight are the 32 elements of the chunk, at any alignment.
            unsafe {
                let narrow = _mm256_cvtps_ph::<_MM_FROUND_TO_NEAREST_INT>(register);
                _mm_storeu_si128(chunk.as_mut_ptr().add(WIDTH * part).cast(), narrow);
            }
        }
    }

    lanewise!(add: _mm256_add_ps, sub: _mm256_sub_ps, mul: _mm256_mul_ps);

    #[inline(always)]
    fn abs(self) -> Lanes {
        // SAFETY: AVX.
        Lanes(
            self.0
                .map(|register| unsafe { _mm256_andnot_ps(_mm256_set1_ps(-0.0), register) }),
        )
    }

    #[inline(always)]
    fn sum(self) -> f32 {
        let [r0, r1, r2, r3] = self.0;
        // SAFETY: AVX.
        unsafe {
            let sixteen = [_mm256_add_ps(r0, r2), _mm256_add_ps(r1, r3)];
            sum_of_eight(_mm256_add_ps(sixteen[0], sixteen[1]))
        }
    }
}

/// The first eight elements, or all and then zeros: AVX2 has no masked load of 16 bits, and a
/// detour over memory would stall on loading what was just stored in smaller pieces.
///
/// # Safety
/// The CPU must have SSE2.
#[inline(always)]
unsafe fn first_eight(halves: &[f16]) -> __m128i {
    if let Some(eight) = halves.first_chunk::<WIDTH>() {
        // SAFETY: the caller's promise; eight elements are there, at any alignment.
        return unsafe { _mm_loadu_si128(eight.as_ptr().cast()) };
    }
    let (low, high) = match halves.split_first_chunk::<4>() {
        Some((low, high)) => (packed(low), packed(high)),
        None => (packed(halves), 0),
    };
    // SAFETY: the caller's promise.
    unsafe { _mm_set_epi64x(high, low) }
}

/// Up to four elements, the first in the lowest bits, then zeros.
#[inline(always)]
fn packed(halves: &[f16]) -> i64 {
    let bits = |at: usize| halves.get(at).map_or(0, |half| i64::from(half.to_bits()));
    bits(0) | bits(1) << 16 | bits(2) << 32 | bits(3) << 48
}

/// The last three levels of the tree.
///
/// # Safety
/// The CPU must have AVX.
#[inline(always)]
pub(super) unsafe fn sum_of_eight(eight: __m256) -> f32 {
    // SAFETY: the caller's promise.
    unsafe {
        let four = _mm_add_ps(
            _mm256_castps256_ps128(eight),
            _mm256_extractf128_ps::<1>(eight),
        );
        let two = _mm_add_ps(four, _mm_movehl_ps(four, four));
        _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)))
    }
}

/// Code bytes to a step: one register of codes, two of the query.
const STEP: usize = 32;

/// See `code4::dot`. Products of a nibble and an `i8` are summed in pairs to 16 bits: two pairs are
/// at most 7,680 in size, so that low and high nibbles of two registers still fit.
///
/// Only called from what `instantiate!` compiles with AVX2.
#[inline(always)]
fn dot_of_nibbles(query: &[i8], code: &[u8]) -> i32 {
    let (low, high) = crate::code4::halves(query, code);
    let bytes = code.len();
    if bytes < STEP {
        // Too short to load whole; copies are.
        let (mut c, mut l, mut h) = ([0u8; STEP], [0i8; STEP], [0i8; STEP]);
        c[..bytes].copy_from_slice(code);
        l[..bytes].copy_from_slice(low);
        h[..bytes].copy_from_slice(high);
        // SAFETY: AVX2; each array is one register.
        return unsafe {
            let codes = _mm256_loadu_si256(c.as_ptr().cast());
            sum_of_ints(widened(nibbles(codes, l.as_ptr(), h.as_ptr())))
        };
    }
    let whole = bytes / STEP;
    // SAFETY: AVX2; every load begins at least a register before the end of its slice (`halves`
    // makes them equally long), and the table of the mask is two registers long.
    unsafe {
        let mut sum = _mm256_setzero_si256();
        for step in 0..whole {
            let at = step * STEP;
            let codes = _mm256_loadu_si256(code.as_ptr().add(at).cast());
            let pairs = nibbles(codes, low.as_ptr().add(at), high.as_ptr().add(at));
            sum = _mm256_add_epi32(sum, widened(pairs));
        }
        let rest = bytes % STEP;
        if rest > 0 {
            // The last register's worth, without the bytes that were counted.
            let at = bytes - STEP;
            let mask = _mm256_loadu_si256(LAST.as_ptr().add(rest).cast());
            let codes = _mm256_loadu_si256(code.as_ptr().add(at).cast());
            let codes = _mm256_and_si256(codes, mask);
            let pairs = nibbles(codes, low.as_ptr().add(at), high.as_ptr().add(at));
            sum = _mm256_add_epi32(sum, widened(pairs));
        }
        sum_of_ints(sum)
    }
}

/// From byte `n` on: a register whose last `n` bytes are set.
static LAST: [u8; 2 * STEP] = {
    let mut table = [0; 2 * STEP];
    let mut at = STEP;
    while at < 2 * STEP {
        table[at] = 0xFF;
        at += 1;
    }
    table
};

/// Sums of four products in each 16-bit lane.
///
/// # Safety
/// The CPU must have AVX2; a register's worth of bytes lies at `low` and at `high`.
#[inline(always)]
unsafe fn nibbles(codes: __m256i, low: *const i8, high: *const i8) -> __m256i {
    // SAFETY: the caller's promise.
    unsafe {
        let nibble = _mm256_set1_epi8(15);
        let low_nibbles = _mm256_and_si256(codes, nibble);
        let high_nibbles = _mm256_and_si256(_mm256_srli_epi16::<4>(codes), nibble);
        _mm256_add_epi16(
            _mm256_maddubs_epi16(low_nibbles, _mm256_loadu_si256(low.cast())),
            _mm256_maddubs_epi16(high_nibbles, _mm256_loadu_si256(high.cast())),
        )
    }
}

/// Pairs of 16-bit lanes summed to 32 bits.
///
/// # Safety
/// The CPU must have AVX2.
#[inline(always)]
unsafe fn widened(pairs: __m256i) -> __m256i {
    // SAFETY: the caller's promise.
    unsafe { _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)) }
}

/// The sum of eight 32-bit lanes.
///
/// # Safety
/// The CPU must have AVX2.
#[inline(always)]
unsafe fn sum_of_ints(eight: __m256i) -> i32 {
    // SAFETY: the caller's promise.
    unsafe {
        let four = _mm_add_epi32(
            _mm256_castsi256_si128(eight),
            _mm256_extracti128_si256::<1>(eight),
        );
        let two = _mm_add_epi32(four, _mm_shuffle_epi32::<0b01_00_11_10>(four));
        _mm_cvtsi128_si32(_mm_add_epi32(two, _mm_shuffle_epi32::<0b10_11_00_01>(two)))
    }
}

/// Eight sums at a time, which the registers hold: four queries against two times eight rows.
///
/// # Safety
/// Codes are as long as a row of the panel, which is whole groups. Only called from what is compiled with
/// AVX2.
#[inline(always)]
unsafe fn sums_of_bytes(codes: [&[u8]; QUERIES], panel: &[i8], sums: &mut Sums) {
    const AT_ONCE: usize = 4;
    for (codes, sums) in codes
        .as_chunks::<AT_ONCE>()
        .0
        .iter()
        .zip(sums.as_chunks_mut::<AT_ONCE>().0)
    {
        for start in (0..ROWS).step_by(2 * WIDTH) {
            // SAFETY: AVX2; `group` ends with the shortest of all, and a group of a panel has so many rows.
            unsafe {
                let mut lanes = [[_mm256_setzero_si256(); 2]; AT_ONCE];
                for group in 0..panel.len() / (GROUP * ROWS) {
                    let rows = panel.as_ptr().add(group * GROUP * ROWS + start * GROUP);
                    let rows = [0, 1]
                        .map(|part| _mm256_loadu_si256(rows.add(part * GROUP * WIDTH).cast()));
                    for (code, lanes) in codes.iter().zip(&mut lanes) {
                        let four = code.as_ptr().add(group * GROUP).cast::<i32>();
                        let query = _mm256_set1_epi32(four.read_unaligned());
                        for (lanes, rows) in lanes.iter_mut().zip(rows) {
                            let pairs = _mm256_maddubs_epi16(query, rows);
                            *lanes = _mm256_add_epi32(*lanes, widened(pairs));
                        }
                    }
                }
                for (sums, lanes) in sums.iter_mut().zip(lanes) {
                    for (part, lanes) in lanes.into_iter().enumerate() {
                        let at = sums.as_mut_ptr().add(start + part * WIDTH);
                        _mm256_storeu_si256(at.cast(), lanes);
                    }
                }
            }
        }
    }
}
