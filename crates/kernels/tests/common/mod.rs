//! What the tests share: levels to test, and repeatable random input.
#![allow(dead_code)]

use half::f16;
use pgnear_kernels::{Kernels, Level, kernels_at};

/// The kernels of every level that this CPU has.
///
/// A level that it lacks is named on standard error, and fails the test where the variable
/// `PGNEAR_REQUIRE_SIMD` (levels with commas between them) asks for it.
pub fn levels() -> Vec<&'static Kernels> {
    let required = std::env::var("PGNEAR_REQUIRE_SIMD").unwrap_or_default();
    let required: Vec<Level> = required
        .split(',')
        .filter(|name| !name.is_empty())
        .map(|name| {
            name.trim()
                .parse()
                .unwrap_or_else(|error| panic!("{error}"))
        })
        .collect();
    Level::ALL
        .into_iter()
        .filter_map(|level| {
            let kernels = kernels_at(level);
            if kernels.is_none() {
                assert!(
                    !required.contains(&level),
                    "this CPU lacks the required level {level}"
                );
                eprintln!("level {level} is not tested: this CPU lacks it");
            }
            kernels
        })
        .collect()
}

pub fn scalar() -> &'static Kernels {
    kernels_at(Level::Scalar).expect("scalar is on every CPU")
}

/// SplitMix64.
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }

    /// From -1 up to 1.
    pub fn unit(&mut self) -> f32 {
        (self.next() >> 40) as f32 / (1 << 23) as f32 - 1.0
    }

    pub fn units(&mut self, length: usize) -> Vec<f32> {
        (0..length).map(|_| self.unit()).collect()
    }

    /// Exponents from all over the range, subnormals and zeros of both signs.
    pub fn wild(&mut self) -> f32 {
        match self.below(16) {
            0 => 0.0,
            1 => -0.0,
            2 => f32::from_bits(self.below(1 << 23) as u32),
            3 => -f32::from_bits(self.below(1 << 23) as u32),
            _ => self.unit() * 2f32.powi(self.below(60) as i32 - 30),
        }
    }

    pub fn wilds(&mut self, length: usize) -> Vec<f32> {
        (0..length).map(|_| self.wild()).collect()
    }
}

/// Values that a sum can trip over: both infinities and NaNs of several signs and payloads.
pub const SPECIAL: [u32; 7] = [
    0x7f80_0000,
    0xff80_0000,
    0x7fc0_0000,
    0xffc0_0000,
    0x7f80_0001,
    0xffff_ffff,
    0x7fa5_a5a5,
];

pub fn halves(values: &[f32]) -> Vec<f16> {
    values
        .iter()
        .map(|value| f16::from_f32_const(*value))
        .collect()
}
