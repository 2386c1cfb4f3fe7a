//! The `Avx2` level.

use crate::level::Level;
use crate::scalar::Lanes;
use crate::table::{BitCounts, CosineSums, Kernels};
use crate::{bits, canonical, scalar};
use half::f16;

instantiate!(Level::Avx2, Lanes, "avx2,f16c,popcnt", f32_to_f16: scalar::f32_to_f16);
