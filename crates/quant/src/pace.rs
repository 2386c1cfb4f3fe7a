//! How fast this CPU goes through many pairs of vectors: measured on the spot, once.

use std::hint::black_box;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use pgnear_kernels::code8::{self, QUERIES, ROWS};
use pgnear_kernels::{Metric, kernels};

use crate::sieve;

/// Of that speed, what is left for a search as a whole: heaps, rows that must be measured, waiting.
const SHARE: f64 = 0.6;

/// Multiplications a second of one thread that searches for many queries: dimensions of pairs, however few of
/// them are multiplied in the end. Measured at the first call, in some tenths of a millisecond.
pub fn multiplications_a_second(metric: Metric) -> f64 {
    static PACES: [OnceLock<f64>; 2] = [OnceLock::new(), OnceLock::new()];
    let by_sums = metric == Metric::L1;
    *PACES[usize::from(by_sums)].get_or_init(|| SHARE * measured(by_sums))
}

/// Taxicab distances are no products, and summed pair by pair.
fn measured(by_sums: bool) -> f64 {
    const DIMS: usize = 256;
    let kernels = kernels();
    let vector = [1.0f32; DIMS];
    if by_sums {
        best_of(DIMS, || {
            black_box((kernels.f32_l1)(black_box(&vector), &vector));
        })
    } else if sieve::pays(kernels, usize::MAX) {
        let (panel, code) = ([1i8; DIMS * ROWS], [65u8; DIMS]);
        let query = code8::Query {
            code: &code,
            scale: 1.0,
            bound: f32::INFINITY,
            by_length: 0.0,
            by_error: 0.0,
            by_half: 0.0,
        };
        let (queries, rows) = ([query; QUERIES], code8::Rows::UNKNOWN);
        let mut products = [[0.0; ROWS]; QUERIES];
        best_of(DIMS * ROWS * QUERIES, || {
            let queries = black_box(&queries);
            black_box((kernels.code8_near)(queries, &panel, &rows, &mut products));
        })
    } else {
        best_of(4 * DIMS, || {
            black_box((kernels.f32_dot_x4)(black_box(&vector), [&vector; 4]));
        })
    }
}

/// Multiplications a second of work that does so many at a time: the best of some runs, which leaves out
/// what else the CPU does.
fn best_of(multiplications: usize, mut work: impl FnMut()) -> f64 {
    const CALLS: u32 = 16;
    let mut best = Duration::MAX;
    for _ in 0..12 {
        let start = Instant::now();
        for _ in 0..CALLS {
            work();
        }
        best = best.min(start.elapsed());
    }
    let seconds = best.max(Duration::from_nanos(1)).as_secs_f64();
    multiplications as f64 * f64::from(CALLS) / seconds
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pace_is_that_of_a_cpu() {
        for metric in [Metric::L2, Metric::L1] {
            let pace = multiplications_a_second(metric);
            assert!((1e7..1e14).contains(&pace), "{pace}");
            assert_eq!(pace, multiplications_a_second(metric));
        }
    }
}
