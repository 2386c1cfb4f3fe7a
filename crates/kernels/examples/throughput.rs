//! Prints nanoseconds per call for every kernel, level and dimension:
//! `cargo run --release -p pgnear-kernels --example throughput [part of a kernel's name]`.
//!
//! Rows come from a set that fits the second-level cache and start at odd element offsets. The
//! `fused` rows are not kernels: they show what a fused multiply-add would gain over the
//! canonical separate operations.

use half::f16;
use pgnear_kernels::{Kernels, Level, code8, kernels_at};
use std::hint::black_box;
use std::time::Instant;

const DIMENSIONS: [usize; 7] = [8, 100, 384, 768, 1000, 1536, 16000];

/// Elements over all rows of a set: 512 KiB of `f32`.
const SET: usize = 128 * 1024;

struct Rows {
    wide: Vec<f32>,
    half: Vec<f16>,
    bits: Vec<u8>,
    dimensions: usize,
}

impl Rows {
    fn new(dimensions: usize) -> Rows {
        let mut state = 1u64;
        let wide: Vec<f32> = (0..SET + 1)
            .map(|_| {
                state = state
                    .wrapping_mul(6364136223846793005)
                    .wrapping_add(1442695040888963407);
                (state >> 40) as f32 / (1 << 23) as f32 - 1.0
            })
            .collect();
        let half = wide.iter().map(|value| f16::from_f32(*value)).collect();
        let bits = wide.iter().map(|value| value.to_bits() as u8).collect();
        Rows {
            wide,
            half,
            bits,
            dimensions,
        }
    }

    fn count(&self) -> usize {
        SET / self.dimensions
    }

    fn wide(&self, row: usize) -> &[f32] {
        &self.wide[1 + row * self.dimensions..][..self.dimensions]
    }

    fn half(&self, row: usize) -> &[f16] {
        &self.half[1 + row * self.dimensions..][..self.dimensions]
    }

    fn bits(&self, row: usize) -> &[u8] {
        let bytes = self.dimensions.div_ceil(8);
        &self.bits[1 + row * bytes..][..bytes]
    }
}

/// Nanoseconds per call: the best of several passes over the set, which shuts out other load.
fn time(rows: &Rows, mut call: impl FnMut(usize)) -> f64 {
    let calls = rows.count() - 4;
    let passes = 1 + 2_000_000 / SET;
    let mut best = f64::INFINITY;
    for _ in 0..15 {
        let start = Instant::now();
        for _ in 0..passes {
            for row in 0..calls {
                call(row);
            }
        }
        best = best.min(start.elapsed().as_nanos() as f64 / (passes * calls) as f64);
    }
    best
}

type Measure = fn(&Kernels, &Rows) -> f64;

const MEASURES: [(&str, Measure); 23] = [
    ("f32_l2_squared", |k, r| {
        time(r, |i| {
            black_box((k.f32_l2_squared)(r.wide(0), r.wide(i)));
        })
    }),
    ("f32_dot", |k, r| {
        time(r, |i| {
            black_box((k.f32_dot)(r.wide(0), r.wide(i)));
        })
    }),
    ("f32_l1", |k, r| {
        time(r, |i| {
            black_box((k.f32_l1)(r.wide(0), r.wide(i)));
        })
    }),
    ("f32_norm_squared", |k, r| {
        time(r, |i| {
            black_box((k.f32_norm_squared)(r.wide(i)));
        })
    }),
    ("f32_cosine_sums", |k, r| {
        time(r, |i| {
            black_box((k.f32_cosine_sums)(r.wide(0), r.wide(i)));
        })
    }),
    ("f32_norm_squared_f64", |k, r| {
        time(r, |i| {
            black_box((k.f32_norm_squared_f64)(r.wide(i)));
        })
    }),
    ("f32_l2_squared_x4", |k, r| {
        time(r, |i| {
            let rows = [r.wide(i), r.wide(i + 1), r.wide(i + 2), r.wide(i + 3)];
            black_box((k.f32_l2_squared_x4)(r.wide(0), rows));
        })
    }),
    ("f32_dot_x4", |k, r| {
        time(r, |i| {
            let rows = [r.wide(i), r.wide(i + 1), r.wide(i + 2), r.wide(i + 3)];
            black_box((k.f32_dot_x4)(r.wide(0), rows));
        })
    }),
    ("f16_l2_squared", |k, r| {
        time(r, |i| {
            black_box((k.f16_l2_squared)(r.half(0), r.half(i)));
        })
    }),
    ("f16_dot", |k, r| {
        time(r, |i| {
            black_box((k.f16_dot)(r.half(0), r.half(i)));
        })
    }),
    ("f16_l1", |k, r| {
        time(r, |i| {
            black_box((k.f16_l1)(r.half(0), r.half(i)));
        })
    }),
    ("f16_norm_squared", |k, r| {
        time(r, |i| {
            black_box((k.f16_norm_squared)(r.half(i)));
        })
    }),
    ("f16_cosine_sums", |k, r| {
        time(r, |i| {
            black_box((k.f16_cosine_sums)(r.half(0), r.half(i)));
        })
    }),
    ("f16_norm_squared_f64", |k, r| {
        time(r, |i| {
            black_box((k.f16_norm_squared_f64)(r.half(i)));
        })
    }),
    ("f16_to_f32", |k, r| {
        let mut output = vec![0.0; r.dimensions];
        time(r, |i| {
            (k.f16_to_f32)(r.half(i), &mut output);
            black_box(&output);
        })
    }),
    ("f32_to_f16", |k, r| {
        let mut output = vec![f16::ZERO; r.dimensions];
        time(r, |i| {
            (k.f32_to_f16)(r.wide(i), &mut output);
            black_box(&output);
        })
    }),
    ("bit_hamming", |k, r| {
        time(r, |i| {
            black_box((k.bit_hamming)(r.bits(0), r.bits(i)));
        })
    }),
    ("bit_jaccard_counts", |k, r| {
        time(r, |i| {
            black_box((k.bit_jaccard_counts)(r.bits(0), r.bits(i)));
        })
    }),
    ("code8_encode", |k, r| {
        let mut code = vec![0; r.dimensions];
        time(r, |i| {
            black_box((k.code8_encode)(r.wide(i), code8::ROW_MOST, &mut code));
        })
    }),
    // For one pair of the 256 that it looks at.
    ("code8_near", |k, r| {
        let dims = r.dimensions.next_multiple_of(code8::GROUP);
        let panel: Vec<i8> = (0..dims * code8::ROWS).map(|i| (i * 31) as i8).collect();
        let code: Vec<u8> = (0..dims).map(|i| i as u8 & 127).collect();
        let mut rows = code8::Rows::UNKNOWN;
        rows.scale = [1.0; code8::ROWS];
        let query = code8::Query {
            code: &code,
            scale: 1.0,
            bound: 1e9,
            by_length: 0.0,
            by_error: 0.0,
            by_half: 0.0,
        };
        let pairs = code8::ROWS * code8::QUERIES;
        let mut products = [[0.0; code8::ROWS]; code8::QUERIES];
        time(r, |_| {
            black_box((k.code8_near)(
                &[query; code8::QUERIES],
                &panel,
                &rows,
                &mut products,
            ));
        }) / pairs as f64
    }),
    ("code16_encode", |k, r| {
        let mut code = vec![0; r.dimensions];
        time(r, |i| {
            black_box((k.code16_encode)(r.wide(i), &mut code));
        })
    }),
    ("code16_dot", |k, r| {
        let code = vec![7; r.dimensions];
        time(r, |i| {
            black_box((k.code16_dot)(r.wide(i), &code));
        })
    }),
    ("code16_l2_squared", |k, r| {
        let code = vec![7; r.dimensions];
        time(r, |i| {
            black_box((k.code16_l2_squared)(r.wide(i), 1e-4, &code));
        })
    }),
];

fn main() {
    let wanted = std::env::args().nth(1).unwrap_or_default();
    print!("{:<24}{:<8}", "ns per call", "level");
    for dimensions in DIMENSIONS {
        print!("{dimensions:>9}");
    }
    println!();
    let sets = DIMENSIONS.map(Rows::new);
    for (name, measure) in MEASURES.iter().filter(|(name, _)| name.contains(&wanted)) {
        for level in Level::ALL {
            match kernels_at(level) {
                Some(kernels) => line(name, level.name(), &sets, |rows| measure(kernels, rows)),
                None => println!("{name:<24}{level:<8} not on this CPU"),
            }
        }
    }
    #[cfg(target_arch = "x86_64")]
    fused::print(&wanted, &sets);
}

fn line(name: &str, level: &str, sets: &[Rows], measure: impl Fn(&Rows) -> f64) {
    print!("{name:<24}{level:<8}");
    for rows in sets {
        print!("{:>9.1}", measure(rows));
    }
    println!();
}

/// The same 32 lanes with fused multiply-add; tails are left out, so compare multiples of 32.
#[cfg(target_arch = "x86_64")]
mod fused {
    use super::{Rows, line, time};
    use pgnear_kernels::Level;
    use std::arch::x86_64::*;
    use std::hint::black_box;

    pub fn print(wanted: &str, sets: &[Rows]) {
        if !"fused".contains(wanted) {
            return;
        }
        if Level::Avx2.supported() && is_x86_feature_detected!("fma") {
            line("fused f32_l2_squared", "avx2", sets, |r| {
                // SAFETY: the features were found above.
                time(r, |i| unsafe {
                    black_box(l2_avx2(r.wide(0), r.wide(i)));
                })
            });
            line("fused f32_dot", "avx2", sets, |r| {
                // SAFETY: the features were found above.
                time(r, |i| unsafe {
                    black_box(dot_avx2(r.wide(0), r.wide(i)));
                })
            });
        }
        if Level::Avx512.supported() {
            line("fused f32_l2_squared", "avx512", sets, |r| {
                // SAFETY: the features were found above.
                time(r, |i| unsafe {
                    black_box(l2_avx512(r.wide(0), r.wide(i)));
                })
            });
            line("fused f32_dot", "avx512", sets, |r| {
                // SAFETY: the features were found above.
                time(r, |i| unsafe {
                    black_box(dot_avx512(r.wide(0), r.wide(i)));
                })
            });
        }
    }

    macro_rules! fused {
        ($name:ident, $features:literal, $vector:ty, $width:literal, $zero:ident, $load:ident,
         $sub:ident, $fmadd:ident, $add:ident, $difference:literal, $sum:expr) => {
            #[inline(never)]
            #[target_feature(enable = $features)]
            fn $name(a: &[f32], b: &[f32]) -> f32 {
                let mut lanes = [$zero(); 32 / $width];
                for (a, b) in a.as_chunks::<32>().0.iter().zip(b.as_chunks::<32>().0) {
                    for (part, lane) in lanes.iter_mut().enumerate() {
                        // SAFETY: the parts cover 32 elements and no more.
                        let (x, y): ($vector, $vector) = unsafe {
                            (
                                $load(a.as_ptr().add($width * part)),
                                $load(b.as_ptr().add($width * part)),
                            )
                        };
                        *lane = if $difference {
                            let difference = $sub(x, y);
                            $fmadd(difference, difference, *lane)
                        } else {
                            $fmadd(x, y, *lane)
                        };
                    }
                }
                let total = lanes.into_iter().reduce(|a, b| $add(a, b)).unwrap();
                $sum(total)
            }
        };
    }

    #[target_feature(enable = "avx2")]
    fn sum_avx2(v: __m256) -> f32 {
        let v = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps::<1>(v));
        let v = _mm_add_ps(v, _mm_movehl_ps(v, v));
        _mm_cvtss_f32(_mm_add_ss(v, _mm_movehdup_ps(v)))
    }

    #[target_feature(enable = "avx512f")]
    fn sum_avx512(v: __m512) -> f32 {
        _mm512_reduce_add_ps(v)
    }

    fused!(
        l2_avx2,
        "avx2,fma",
        __m256,
        8,
        _mm256_setzero_ps,
        _mm256_loadu_ps,
        _mm256_sub_ps,
        _mm256_fmadd_ps,
        _mm256_add_ps,
        true,
        sum_avx2
    );
    fused!(
        dot_avx2,
        "avx2,fma",
        __m256,
        8,
        _mm256_setzero_ps,
        _mm256_loadu_ps,
        _mm256_sub_ps,
        _mm256_fmadd_ps,
        _mm256_add_ps,
        false,
        sum_avx2
    );
    fused!(
        l2_avx512,
        "avx512f",
        __m512,
        16,
        _mm512_setzero_ps,
        _mm512_loadu_ps,
        _mm512_sub_ps,
        _mm512_fmadd_ps,
        _mm512_add_ps,
        true,
        sum_avx512
    );
    fused!(
        dot_avx512,
        "avx512f",
        __m512,
        16,
        _mm512_setzero_ps,
        _mm512_loadu_ps,
        _mm512_sub_ps,
        _mm512_fmadd_ps,
        _mm512_add_ps,
        false,
        sum_avx512
    );
}
