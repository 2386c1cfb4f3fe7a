//! The reference level, and the fallback of every CPU.

use crate::canonical::{self, Block, LANES};
use crate::level::Level;
use crate::table::Kernels;
use crate::{bits, code4, code8, code16, half_convert};
use half::f16;

/// Lanes in an array: written so that a compiler can vectorise it.
#[derive(Clone, Copy)]
pub(crate) struct Lanes(pub [f32; LANES]);

impl Lanes {
    // A loop over indices, and not `map`: it is what gets vectorised.
    #[inline(always)]
    fn of(element: impl Fn(usize) -> f32) -> Lanes {
        let mut lanes = [0.0; LANES];
        for (lane, value) in lanes.iter_mut().enumerate() {
            *value = element(lane);
        }
        Lanes(lanes)
    }
}

impl Block for Lanes {
    const SEVERAL_SUMS: bool = false;

    #[inline(always)]
    fn zero() -> Lanes {
        Lanes([0.0; LANES])
    }

    #[inline(always)]
    fn load(chunk: &[f32; LANES]) -> Lanes {
        Lanes(*chunk)
    }

    #[inline(always)]
    fn load_half(chunk: &[f16; LANES]) -> Lanes {
        Lanes::of(|lane| half_convert::to_f32(chunk[lane]))
    }

    #[inline(always)]
    fn load_tail(tail: &[f32]) -> Lanes {
        let mut chunk = [0.0; LANES];
        chunk[..tail.len()].copy_from_slice(tail);
        Lanes(chunk)
    }

    #[inline(always)]
    fn load_half_tail(tail: &[f16]) -> Lanes {
        let mut chunk = [f16::ZERO; LANES];
        chunk[..tail.len()].copy_from_slice(tail);
        Lanes::load_half(&chunk)
    }

    #[inline(always)]
    fn add(self, other: Lanes) -> Lanes {
        Lanes::of(|lane| self.0[lane] + other.0[lane])
    }

    #[inline(always)]
    fn sub(self, other: Lanes) -> Lanes {
        Lanes::of(|lane| self.0[lane] - other.0[lane])
    }

    #[inline(always)]
    fn mul(self, other: Lanes) -> Lanes {
        Lanes::of(|lane| self.0[lane] * other.0[lane])
    }

    #[inline(always)]
    fn abs(self) -> Lanes {
        Lanes::of(|lane| self.0[lane].abs())
    }

    #[inline(always)]
    fn store(self, chunk: &mut [f32; LANES]) {
        *chunk = self.0;
    }

    #[inline(always)]
    fn store_half(self, chunk: &mut [f16; LANES]) {
        *chunk = self.0.map(half_convert::from_f32);
    }

    #[inline(always)]
    fn sum(self) -> f32 {
        let mut lanes = self.0;
        let mut width = LANES / 2;
        while width > 0 {
            for lane in 0..width {
                lanes[lane] += lanes[lane + width];
            }
            width /= 2;
        }
        lanes[0]
    }
}

pub(crate) static TABLE: Kernels = Kernels {
    level: Level::Scalar,
    f32_l2_squared: canonical::l2_squared::<Lanes, f32>,
    f32_dot: canonical::dot::<Lanes, f32>,
    f32_l1: canonical::l1::<Lanes, f32>,
    f32_norm_squared: canonical::norm_squared::<Lanes, f32>,
    f32_cosine_sums: canonical::cosine_sums::<Lanes, f32>,
    f32_norm_squared_f64: canonical::norm_squared_f64::<Lanes, f32>,
    f32_l2_squared_x4: canonical::l2_squared_x4::<Lanes, f32>,
    f32_dot_x4: canonical::dot_x4::<Lanes, f32>,
    f16_l2_squared: canonical::l2_squared::<Lanes, f16>,
    f16_dot: canonical::dot::<Lanes, f16>,
    f16_l1: canonical::l1::<Lanes, f16>,
    f16_norm_squared: canonical::norm_squared::<Lanes, f16>,
    f16_cosine_sums: canonical::cosine_sums::<Lanes, f16>,
    f16_norm_squared_f64: canonical::norm_squared_f64::<Lanes, f16>,
    f16_to_f32: canonical::f16_to_f32::<Lanes>,
    f32_to_f16: canonical::f32_to_f16::<Lanes>,
    bit_hamming: bits::hamming,
    bit_jaccard_counts: bits::jaccard_counts,
    code4_dot: code4::dot,
    code8_encode: code8::encode,
    code8_near: |queries, panel, rows, products| {
        code8::near(queries, panel, rows, products, code8::sums)
    },
    code16_encode: code16::encode,
    code16_dot: code16::dot,
    code16_l2_squared: code16::l2_squared,
};
