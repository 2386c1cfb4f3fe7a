use crate::table::{CosineSums, Kernels};
use half::f16;

mod sealed {
    pub trait Sealed {}
    impl Sealed for f32 {}
    impl Sealed for half::f16 {}
}

/// An element of a dense vector, `f32` or `f16`, with its kernels of a table: what lets an index
/// or a function be written once for both.
pub trait Element: sealed::Sealed + Copy + Default + PartialEq + Send + Sync + 'static {
    /// Sum of `(a - b)²`.
    fn l2_squared(kernels: &Kernels, a: &[Self], b: &[Self]) -> f32;
    /// Sum of `a * b`.
    fn dot(kernels: &Kernels, a: &[Self], b: &[Self]) -> f32;
    /// Sum of `|a - b|`.
    fn l1(kernels: &Kernels, a: &[Self], b: &[Self]) -> f32;
    /// Sum of `a²`.
    fn norm_squared(kernels: &Kernels, a: &[Self]) -> f32;
    /// The sums of a cosine in one pass.
    fn cosine_sums(kernels: &Kernels, a: &[Self], b: &[Self]) -> CosineSums;
    /// Sum of `a²` in `f64`.
    fn norm_squared_f64(kernels: &Kernels, a: &[Self]) -> f64;
    /// Copies or converts, exactly, up to the shorter length.
    fn widen(kernels: &Kernels, input: &[Self], output: &mut [f32]);
    /// Copies or rounds to nearest even, up to the shorter length.
    fn narrow(kernels: &Kernels, input: &[f32], output: &mut [Self]);
}

impl Element for f32 {
    fn l2_squared(kernels: &Kernels, a: &[f32], b: &[f32]) -> f32 {
        (kernels.f32_l2_squared)(a, b)
    }

    fn dot(kernels: &Kernels, a: &[f32], b: &[f32]) -> f32 {
        (kernels.f32_dot)(a, b)
    }

    fn l1(kernels: &Kernels, a: &[f32], b: &[f32]) -> f32 {
        (kernels.f32_l1)(a, b)
    }

    fn norm_squared(kernels: &Kernels, a: &[f32]) -> f32 {
        (kernels.f32_norm_squared)(a)
    }

    fn cosine_sums(kernels: &Kernels, a: &[f32], b: &[f32]) -> CosineSums {
        (kernels.f32_cosine_sums)(a, b)
    }

    fn norm_squared_f64(kernels: &Kernels, a: &[f32]) -> f64 {
        (kernels.f32_norm_squared_f64)(a)
    }

    fn widen(_: &Kernels, input: &[f32], output: &mut [f32]) {
        copy(input, output);
    }

    fn narrow(_: &Kernels, input: &[f32], output: &mut [f32]) {
        copy(input, output);
    }
}

fn copy(input: &[f32], output: &mut [f32]) {
    debug_assert_eq!(input.len(), output.len());
    let length = input.len().min(output.len());
    output[..length].copy_from_slice(&input[..length]);
}

impl Element for f16 {
    fn l2_squared(kernels: &Kernels, a: &[f16], b: &[f16]) -> f32 {
        (kernels.f16_l2_squared)(a, b)
    }

    fn dot(kernels: &Kernels, a: &[f16], b: &[f16]) -> f32 {
        (kernels.f16_dot)(a, b)
    }

    fn l1(kernels: &Kernels, a: &[f16], b: &[f16]) -> f32 {
        (kernels.f16_l1)(a, b)
    }

    fn norm_squared(kernels: &Kernels, a: &[f16]) -> f32 {
        (kernels.f16_norm_squared)(a)
    }

    fn cosine_sums(kernels: &Kernels, a: &[f16], b: &[f16]) -> CosineSums {
        (kernels.f16_cosine_sums)(a, b)
    }

    fn norm_squared_f64(kernels: &Kernels, a: &[f16]) -> f64 {
        (kernels.f16_norm_squared_f64)(a)
    }

    fn widen(kernels: &Kernels, input: &[f16], output: &mut [f32]) {
        (kernels.f16_to_f32)(input, output)
    }

    fn narrow(kernels: &Kernels, input: &[f32], output: &mut [f16]) {
        (kernels.f32_to_f16)(input, output)
    }
}
