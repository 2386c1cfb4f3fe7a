//! The sums are right: against sums in `f64`, and to the bit where `f32` holds them exactly.

mod common;

use common::{Random, halves, levels};

/// The rounding errors of lanes and tree, generously: a term meets at most `length / 32 + 1`
/// additions in its lane and five in the tree, and has at most three roundings itself.
fn tolerance(length: usize, magnitudes: f64) -> f64 {
    (length as f64 / 32.0 + 9.0) * f64::from(f32::EPSILON) * magnitudes
}

#[track_caller]
fn close(got: f32, terms: &[f64], length: usize) {
    let expected: f64 = terms.iter().sum();
    let magnitudes: f64 = terms.iter().map(|term| term.abs()).sum();
    let error = (f64::from(got) - expected).abs();
    assert!(
        error <= tolerance(length, magnitudes),
        "{got} is not near {expected}"
    );
}

#[test]
fn near_the_sum_in_f64() {
    let mut random = Random(11);
    for length in (0..=130).chain([384, 1000, 1536, 16_000]) {
        let (a, b) = (random.units(length), random.units(length));
        let (half_a, half_b) = (halves(&a), halves(&b));
        let wide = |v: &[f32]| v.iter().map(|x| f64::from(*x)).collect::<Vec<f64>>();
        let wide_half = |v: &[half::f16]| v.iter().map(|x| x.to_f64()).collect::<Vec<f64>>();
        let zip = |a: &[f64], b: &[f64], term: fn(f64, f64) -> f64| -> Vec<f64> {
            a.iter().zip(b).map(|(a, b)| term(*a, *b)).collect()
        };
        let l2 = |a: f64, b: f64| (a - b) * (a - b);
        let l1 = |a: f64, b: f64| (a - b).abs();
        let dot = |a: f64, b: f64| a * b;
        let (wa, wb) = (wide(&a), wide(&b));
        let (ha, hb) = (wide_half(&half_a), wide_half(&half_b));
        for k in levels() {
            close((k.f32_l2_squared)(&a, &b), &zip(&wa, &wb, l2), length);
            close((k.f32_l1)(&a, &b), &zip(&wa, &wb, l1), length);
            close((k.f32_dot)(&a, &b), &zip(&wa, &wb, dot), length);
            close((k.f32_norm_squared)(&a), &zip(&wa, &wa, dot), length);
            close(
                (k.f16_l2_squared)(&half_a, &half_b),
                &zip(&ha, &hb, l2),
                length,
            );
            close((k.f16_l1)(&half_a, &half_b), &zip(&ha, &hb, l1), length);
            close((k.f16_dot)(&half_a, &half_b), &zip(&ha, &hb, dot), length);
            close((k.f16_norm_squared)(&half_a), &zip(&ha, &ha, dot), length);
            let norm: f64 = wa.iter().map(|a| a * a).sum();
            assert!(((k.f32_norm_squared_f64)(&a) - norm).abs() <= 1e-12 * norm);
            let norm: f64 = ha.iter().map(|a| a * a).sum();
            assert!(((k.f16_norm_squared_f64)(&half_a) - norm).abs() <= 1e-12 * norm);
        }
    }
}

#[test]
fn exact_on_small_integers() {
    let mut random = Random(12);
    for length in (0..=130).chain([384, 1000, 1536, 16_000]) {
        let mut integers =
            || -> Vec<i32> { (0..length).map(|_| random.below(17) as i32 - 8).collect() };
        let (a, b) = (integers(), integers());
        let floats = |v: &[i32]| v.iter().map(|x| *x as f32).collect::<Vec<f32>>();
        let of = |term: fn(i32, i32) -> i32| -> f32 {
            a.iter().zip(&b).map(|(a, b)| term(*a, *b)).sum::<i32>() as f32
        };
        let (l2, l1, dot) = (
            of(|a, b| (a - b) * (a - b)),
            of(|a, b| (a - b).abs()),
            of(|a, b| a * b),
        );
        let (norm_a, norm_b) = (of(|a, _| a * a), of(|_, b| b * b));
        let (a, b) = (floats(&a), floats(&b));
        let (half_a, half_b) = (halves(&a), halves(&b));
        for k in levels() {
            assert_eq!((k.f32_l2_squared)(&a, &b), l2);
            assert_eq!((k.f32_l1)(&a, &b), l1);
            assert_eq!((k.f32_dot)(&a, &b), dot);
            assert_eq!((k.f32_norm_squared_f64)(&a), f64::from(norm_a));
            assert_eq!(
                (k.f32_l2_squared_x4)(&a, [&b, &a, &b, &a]),
                [l2, 0.0, l2, 0.0]
            );
            assert_eq!(
                (k.f32_dot_x4)(&a, [&b, &a, &b, &a]),
                [dot, norm_a, dot, norm_a]
            );
            assert_eq!((k.f16_l2_squared)(&half_a, &half_b), l2);
            assert_eq!((k.f16_l1)(&half_a, &half_b), l1);
            assert_eq!((k.f16_dot)(&half_a, &half_b), dot);
            assert_eq!((k.f16_norm_squared_f64)(&half_b), f64::from(norm_b));
            for sums in [
                (k.f32_cosine_sums)(&a, &b),
                (k.f16_cosine_sums)(&half_a, &half_b),
            ] {
                assert_eq!((sums.dot, sums.norm_a, sums.norm_b), (dot, norm_a, norm_b));
            }
        }
    }
}
