//! The x86-64 levels. All SIMD `unsafe` of pgnear lives here.

/// Compiles the canonical kernels with `$features` and makes the level's `TABLE`. The level's own are
/// `dot_of_nibbles` and `sums_of_bytes`.
///
/// Each kernel is a function compiled with the features, behind a safe function of the same
/// signature. The table is sound only where the CPU has the features: `kernels_at`, the one place
/// that names it, checks that first.
macro_rules! instantiate {
    ($level:expr, $block:ty, $features:literal) => {
        instantiate!(@functions $features;
            f32_l2_squared(a: &[f32], b: &[f32]) -> f32 = canonical::l2_squared::<$block, f32>;
            f32_dot(a: &[f32], b: &[f32]) -> f32 = canonical::dot::<$block, f32>;
            f32_l1(a: &[f32], b: &[f32]) -> f32 = canonical::l1::<$block, f32>;
            f32_norm_squared(a: &[f32]) -> f32 = canonical::norm_squared::<$block, f32>;
            f32_cosine_sums(a: &[f32], b: &[f32]) -> CosineSums
                = canonical::cosine_sums::<$block, f32>;
            f32_norm_squared_f64(a: &[f32]) -> f64 = canonical::norm_squared_f64::<$block, f32>;
            f32_l2_squared_x4(a: &[f32], rows: [&[f32]; 4]) -> [f32; 4]
                = canonical::l2_squared_x4::<$block, f32>;
            f32_dot_x4(a: &[f32], rows: [&[f32]; 4]) -> [f32; 4]
                = canonical::dot_x4::<$block, f32>;
            f16_l2_squared(a: &[f16], b: &[f16]) -> f32 = canonical::l2_squared::<$block, f16>;
            f16_dot(a: &[f16], b: &[f16]) -> f32 = canonical::dot::<$block, f16>;
            f16_l1(a: &[f16], b: &[f16]) -> f32 = canonical::l1::<$block, f16>;
            f16_norm_squared(a: &[f16]) -> f32 = canonical::norm_squared::<$block, f16>;
            f16_cosine_sums(a: &[f16], b: &[f16]) -> CosineSums
                = canonical::cosine_sums::<$block, f16>;
            f16_norm_squared_f64(a: &[f16]) -> f64 = canonical::norm_squared_f64::<$block, f16>;
            f16_to_f32(input: &[f16], output: &mut [f32]) -> () = canonical::f16_to_f32::<$block>;
            f32_to_f16(input: &[f32], output: &mut [f16]) -> () = canonical::f32_to_f16::<$block>;
            bit_hamming(a: &[u8], b: &[u8]) -> u64 = bits::hamming;
            bit_jaccard_counts(a: &[u8], b: &[u8]) -> BitCounts = bits::jaccard_counts;
            code4_dot(query: &[i8], code: &[u8]) -> i32 = dot_of_nibbles;
            code8_encode(vector: &[f32], most: f32, code: &mut [i8]) -> code8::Encoded
                = code8::encode;
            code8_near(
                queries: &[code8::Query<'_>; code8::QUERIES],
                panel: &[i8],
                rows: &code8::Rows,
                products: &mut code8::Products
            ) -> [u32; code8::QUERIES] = near;
            code16_encode(vector: &[f32], code: &mut [i16]) -> code16::Encoded = code16::encode;
            code16_dot(vector: &[f32], code: &[i16]) -> f32 = code16::dot;
            code16_l2_squared(vector: &[f32], scale: f32, code: &[i16]) -> f32
                = code16::l2_squared;
        );

        /// See `code8::near`. Only called from what is compiled with the features.
        #[inline(always)]
        fn near(
            queries: &[code8::Query<'_>; code8::QUERIES],
            panel: &[i8],
            rows: &code8::Rows,
            products: &mut code8::Products,
        ) -> [u32; code8::QUERIES] {
            code8::near(queries, panel, rows, products, |codes, panel, sums| {
                // SAFETY: compiled with the level's features; `code8::near` has checked the lengths.
                unsafe { sums_of_bytes(codes, panel, sums) }
            })
        }

        pub(crate) static TABLE: Kernels = Kernels {
            level: $level,
            f32_l2_squared,
            f32_dot,
            f32_l1,
            f32_norm_squared,
            f32_cosine_sums,
            f32_norm_squared_f64,
            f32_l2_squared_x4,
            f32_dot_x4,
            f16_l2_squared,
            f16_dot,
            f16_l1,
            f16_norm_squared,
            f16_cosine_sums,
            f16_norm_squared_f64,
            f16_to_f32,
            f32_to_f16,
            bit_hamming,
            bit_jaccard_counts,
            code4_dot,
            code8_encode,
            code8_near,
            code16_encode,
            code16_dot,
            code16_l2_squared,
        };
    };
    (@functions $features:literal;
     $($name:ident($($argument:ident: $type:ty),*) -> $result:ty = $body:path;)*) => {
        $(
            fn $name($($argument: $type),*) -> $result {
                #[target_feature(enable = $features)]
                fn compiled($($argument: $type),*) -> $result {
                    $body($($argument),*)
                }
                // SAFETY: reached only through `TABLE`, which `kernels_at` hands out only after
                // it found every feature of the level on this CPU.
                unsafe { compiled($($argument),*) }
            }
        )*
    };
}

/// Asks for the cache lines of `bytes`.
#[inline(always)]
pub(crate) fn prefetch(start: *const u8, bytes: usize) {
    const LINE: usize = 64;
    let into_line = start.addr() % LINE;
    for line in 0..(into_line + bytes).div_ceil(LINE) {
        // SAFETY: every x86-64 CPU has SSE, and a prefetch of any address is harmless.
        unsafe {
            use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
            _mm_prefetch::<_MM_HINT_T0>(start.wrapping_add(line * LINE).cast());
        }
    }
}

pub(crate) mod avx2;
pub(crate) mod avx512;
pub(crate) mod avx512vnni;
