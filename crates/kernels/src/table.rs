use crate::level::{Level, LevelError};
use crate::{code8, code16};
use half::f16;
use std::sync::OnceLock;

/// The three sums that a cosine needs, each in the canonical order.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CosineSums {
    /// Sum of `a[i] * b[i]`.
    pub dot: f32,
    /// Sum of `a[i] * a[i]`.
    pub norm_a: f32,
    /// Sum of `b[i] * b[i]`.
    pub norm_b: f32,
}

/// The set bits that Jaccard distance is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BitCounts {
    /// Bits set in both.
    pub and: u64,
    /// Bits set in the first.
    pub a: u64,
    /// Bits set in the second.
    pub b: u64,
}

/// The kernels of one CPU level.
///
/// Slices of any alignment are fine. Pairs should have one length; where they don't (a bug of the
/// caller, caught in debug builds), the shorter one counts. Sums that are NaN are `f32::NAN` or
/// `f64::NAN` to the bit. `f16` terms are formed and summed in `f32` after an exact conversion.
pub struct Kernels {
    /// The level that these kernels are compiled for.
    pub level: Level,
    /// Sum of `(a - b)²`.
    pub f32_l2_squared: fn(&[f32], &[f32]) -> f32,
    /// Sum of `a * b`.
    pub f32_dot: fn(&[f32], &[f32]) -> f32,
    /// Sum of `|a - b|`.
    pub f32_l1: fn(&[f32], &[f32]) -> f32,
    /// Sum of `a²`, bit-equal to `f32_dot(a, a)`.
    pub f32_norm_squared: fn(&[f32]) -> f32,
    /// The sums of a cosine in one pass, bit-equal to `f32_dot` and `f32_norm_squared`.
    pub f32_cosine_sums: fn(&[f32], &[f32]) -> CosineSums,
    /// Sum of `a²` in `f64`, canonical over 16 lanes.
    pub f32_norm_squared_f64: fn(&[f32]) -> f64,
    /// One row against four, bit-equal to four calls of `f32_l2_squared`.
    pub f32_l2_squared_x4: fn(&[f32], [&[f32]; 4]) -> [f32; 4],
    /// One row against four, bit-equal to four calls of `f32_dot`.
    pub f32_dot_x4: fn(&[f32], [&[f32]; 4]) -> [f32; 4],
    /// Sum of `(a - b)²`.
    pub f16_l2_squared: fn(&[f16], &[f16]) -> f32,
    /// Sum of `a * b`.
    pub f16_dot: fn(&[f16], &[f16]) -> f32,
    /// Sum of `|a - b|`.
    pub f16_l1: fn(&[f16], &[f16]) -> f32,
    /// Sum of `a²`, bit-equal to `f16_dot(a, a)`.
    pub f16_norm_squared: fn(&[f16]) -> f32,
    /// The sums of a cosine in one pass, bit-equal to `f16_dot` and `f16_norm_squared`.
    pub f16_cosine_sums: fn(&[f16], &[f16]) -> CosineSums,
    /// Sum of `a²` in `f64`, canonical over 16 lanes.
    pub f16_norm_squared_f64: fn(&[f16]) -> f64,
    /// Exact conversion; a signalling NaN becomes quiet.
    pub f16_to_f32: fn(&[f16], &mut [f32]),
    /// Rounds to nearest, ties to even; too large becomes infinity.
    pub f32_to_f16: fn(&[f32], &mut [f16]),
    /// Bits that differ.
    pub bit_hamming: fn(&[u8], &[u8]) -> u64,
    /// Bits set in both, in the first, in the second.
    pub bit_jaccard_counts: fn(&[u8], &[u8]) -> BitCounts,
    /// Sum over the bytes of a code of 4-bit numbers (0 to 15): the low nibble of byte `j` times
    /// `query[j]`, the high one times `query[h + j]`, of `h` bytes and `2h` numbers. Panics where
    /// the lengths are others. Of up to 2^19 bytes the sum can't overflow.
    pub code4_dot: fn(&[i8], &[u8]) -> i32,
    /// The whole numbers from `-most` to `most` that a vector is nearest to: one for each dimension.
    pub code8_encode: fn(&[f32], f32, &mut [i8]) -> code8::Encoded,
    /// Writes the estimated products of eight queries with the rows of a panel (codes as [`code8`] lays
    /// them out); for each query a bit for each row that may have one as large as the query looks for.
    /// Panics where codes and panel don't match.
    pub code8_near: fn(
        &[code8::Query<'_>; code8::QUERIES],
        &[i8],
        &code8::Rows,
        &mut code8::Products,
    ) -> [u32; code8::QUERIES],
    /// The whole numbers of 16 bits that a vector is nearest to: one for each dimension.
    pub code16_encode: fn(&[f32], &mut [i16]) -> code16::Encoded,
    /// Sum of `a * c` over the numbers `c` of a code of [`code16`].
    pub code16_dot: fn(&[f32], &[i16]) -> f32,
    /// Sum of `(a - s * c)²` over the numbers `c` of a code and its scale `s`.
    pub code16_l2_squared: fn(&[f32], f32, &[i16]) -> f32,
}

/// The environment variable that overrides the choice of level, for tests and fault-finding.
const LEVEL_VARIABLE: &str = "PGNEAR_SIMD";

/// The kernels for this process, chosen at the first call.
///
/// `PGNEAR_SIMD` overrides the CPU's best level; where it can't be honoured, the best level is
/// used and [`try_kernels`] tells why.
#[inline]
pub fn kernels() -> &'static Kernels {
    chosen().used
}

/// As [`kernels`], or the error where `PGNEAR_SIMD` names an unknown or unsupported level.
pub fn try_kernels() -> Result<&'static Kernels, LevelError> {
    chosen().asked.clone()
}

/// The kernels of one level, `None` where this CPU lacks it.
pub fn kernels_at(level: Level) -> Option<&'static Kernels> {
    // The only door to the tables of `x86`: they are sound because of this check.
    if !level.supported() {
        return None;
    }
    match level {
        Level::Scalar => Some(&crate::scalar::TABLE),
        #[cfg(target_arch = "x86_64")]
        Level::Avx2 => Some(&crate::x86::avx2::TABLE),
        #[cfg(target_arch = "x86_64")]
        Level::Avx512 => Some(&crate::x86::avx512::TABLE),
        #[cfg(target_arch = "x86_64")]
        Level::Avx512Vnni => Some(&crate::x86::avx512vnni::TABLE),
        #[cfg(not(target_arch = "x86_64"))]
        Level::Avx2 | Level::Avx512 | Level::Avx512Vnni => None,
    }
}

impl std::fmt::Debug for Kernels {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Kernels")
            .field("level", &self.level)
            .finish_non_exhaustive()
    }
}

struct Choice {
    asked: Result<&'static Kernels, LevelError>,
    /// What was asked for, or the best level as the fallback.
    used: &'static Kernels,
}

#[inline]
fn chosen() -> &'static Choice {
    static CHOICE: OnceLock<Choice> = OnceLock::new();
    CHOICE.get_or_init(|| {
        let best = kernels_at(Level::best()).unwrap_or(&crate::scalar::TABLE);
        let asked = match std::env::var_os(LEVEL_VARIABLE) {
            None => Ok(best),
            Some(name) => named(&name.to_string_lossy()),
        };
        let used = *asked.as_ref().unwrap_or(&best);
        Choice { asked, used }
    })
}

fn named(name: &str) -> Result<&'static Kernels, LevelError> {
    let level: Level = name.parse()?;
    kernels_at(level).ok_or(LevelError::Unsupported(level))
}
