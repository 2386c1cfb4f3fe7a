//! The `Avx512` level.

use crate::level::Level;
use crate::scalar::Lanes;
use crate::table::{BitCounts, CosineSums, Kernels};
use crate::{bits, canonical, scalar};
use half::f16;

instantiate!(Level::Avx512, Lanes, "avx512f,avx512bw,avx512dq,avx512vl,avx2,f16c,popcnt", f32_to_f16: scalar::f32_to_f16);
