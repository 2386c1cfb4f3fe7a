//! Every level gives the bits of the canonical sums, which are spelled out here a second time,
//! in the plainest way.

mod common;

use common::{Random, SPECIAL, halves, levels};
use half::f16;
use pgnear_kernels::{BitCounts, CosineSums, code8};

/// Term `i` goes to lane `i % N`; then the upper half of the lanes is added to the lower.
macro_rules! canonical {
    ($name:ident, $float:ty, $lanes:literal) => {
        fn $name(terms: impl Iterator<Item = $float>) -> $float {
            let mut lanes: Vec<$float> = vec![0.0; $lanes];
            for (i, term) in terms.enumerate() {
                lanes[i % $lanes] += term;
            }
            while lanes.len() > 1 {
                let upper = lanes.split_off(lanes.len() / 2);
                lanes
                    .iter_mut()
                    .zip(upper)
                    .for_each(|(lower, upper)| *lower += upper);
            }
            if lanes[0].is_nan() {
                <$float>::NAN
            } else {
                lanes[0]
            }
        }
    };
}

canonical!(sum, f32, 32);
canonical!(wide_sum, f64, 16);

fn pairs<'a>(a: &'a [f32], b: &'a [f32]) -> impl Iterator<Item = (f32, f32)> + 'a {
    a.iter().copied().zip(b.iter().copied())
}

struct Expected {
    l2_squared: f32,
    dot: f32,
    l1: f32,
    norm_a: f32,
    norm_b: f32,
    wide_norm_a: f64,
}

impl Expected {
    fn of(a: &[f32], b: &[f32]) -> Expected {
        Expected {
            l2_squared: sum(pairs(a, b).map(|(a, b)| (a - b) * (a - b))),
            dot: sum(pairs(a, b).map(|(a, b)| a * b)),
            l1: sum(pairs(a, b).map(|(a, b)| (a - b).abs())),
            norm_a: sum(a.iter().map(|a| a * a)),
            norm_b: sum(b.iter().map(|b| b * b)),
            wide_norm_a: wide_sum(a.iter().map(|a| f64::from(*a) * f64::from(*a))),
        }
    }
}

#[track_caller]
fn same(got: f32, expected: f32, what: &str) {
    assert_eq!(
        got.to_bits(),
        expected.to_bits(),
        "{what}: {got:e}, not {expected:e}"
    );
}

#[track_caller]
fn same_wide(got: f64, expected: f64, what: &str) {
    assert_eq!(
        got.to_bits(),
        expected.to_bits(),
        "{what}: {got:e}, not {expected:e}"
    );
}

#[track_caller]
fn same_sums(got: CosineSums, expected: &Expected, what: &str) {
    same(got.dot, expected.dot, what);
    same(got.norm_a, expected.norm_a, what);
    same(got.norm_b, expected.norm_b, what);
}

fn check_f32(a: &[f32], b: &[f32]) {
    let expected = Expected::of(a, b);
    for k in levels() {
        let what = |kernel: &str| format!("f32 {kernel}, {}, {} dimensions", k.level, a.len());
        same(
            (k.f32_l2_squared)(a, b),
            expected.l2_squared,
            &what("l2_squared"),
        );
        same((k.f32_dot)(a, b), expected.dot, &what("dot"));
        same((k.f32_l1)(a, b), expected.l1, &what("l1"));
        same(
            (k.f32_norm_squared)(a),
            expected.norm_a,
            &what("norm_squared"),
        );
        same_sums((k.f32_cosine_sums)(a, b), &expected, &what("cosine_sums"));
        same_wide(
            (k.f32_norm_squared_f64)(a),
            expected.wide_norm_a,
            &what("norm_squared_f64"),
        );
    }
}

fn check_f16(a: &[f16], b: &[f16]) {
    let wide_a: Vec<f32> = a.iter().map(|a| a.to_f32_const()).collect();
    let wide_b: Vec<f32> = b.iter().map(|b| b.to_f32_const()).collect();
    let expected = Expected::of(&wide_a, &wide_b);
    for k in levels() {
        let what = |kernel: &str| format!("f16 {kernel}, {}, {} dimensions", k.level, a.len());
        same(
            (k.f16_l2_squared)(a, b),
            expected.l2_squared,
            &what("l2_squared"),
        );
        same((k.f16_dot)(a, b), expected.dot, &what("dot"));
        same((k.f16_l1)(a, b), expected.l1, &what("l1"));
        same(
            (k.f16_norm_squared)(a),
            expected.norm_a,
            &what("norm_squared"),
        );
        same_sums((k.f16_cosine_sums)(a, b), &expected, &what("cosine_sums"));
        same_wide(
            (k.f16_norm_squared_f64)(a),
            expected.wide_norm_a,
            &what("norm_squared_f64"),
        );
    }
}

/// Both sides at element offsets of their own, so that no alignment is taken for granted.
fn check_at_offsets(a: &[f32], b: &[f32]) {
    for (offset_a, offset_b) in [(0, 0), (1, 0), (3, 7)] {
        let length = a.len() - 8;
        let (a, b) = (&a[offset_a..][..length], &b[offset_b..][..length]);
        check_f32(a, b);
        check_f16(&halves(a), &halves(b));
        let (a, b) = (
            halves(&[&[0.0], a].concat()),
            halves(&[&[0.0; 3], b].concat()),
        );
        check_f16(&a[1..], &b[3..]);
    }
}

#[test]
fn every_length_to_130() {
    let mut random = Random(1);
    for length in 0..=130 {
        check_at_offsets(&random.units(length + 8), &random.units(length + 8));
        check_at_offsets(&random.wilds(length + 8), &random.wilds(length + 8));
    }
}

#[test]
fn long_rows() {
    let mut random = Random(2);
    let lengths: Vec<usize> = (0..12).map(|_| 131 + random.below(15_869)).collect();
    for length in lengths
        .into_iter()
        .chain([384, 768, 1536, 3072, 15_999, 16_000])
    {
        check_at_offsets(&random.units(length + 8), &random.units(length + 8));
        check_at_offsets(&random.wilds(length + 8), &random.wilds(length + 8));
    }
}

#[test]
fn nan_and_infinity_anywhere() {
    let mut random = Random(3);
    for length in [1, 7, 8, 15, 16, 31, 32, 33, 47, 64, 100, 127, 1000] {
        for special in SPECIAL.map(f32::from_bits) {
            for at in [0, length / 2, length - 1] {
                let (mut a, b) = (random.units(length), random.units(length));
                a[at] = special;
                check_f32(&a, &b);
                check_f32(&b, &a);
                check_f16(&halves(&a), &halves(&b));
                // Infinity minus infinity, and a NaN met by another one.
                let mut c = b.clone();
                c[at] = f32::from_bits(SPECIAL[random.below(SPECIAL.len())]);
                check_f32(&a, &c);
                check_f16(&halves(&a), &halves(&c));
            }
        }
    }
}

#[test]
fn a_nan_is_always_the_same_nan() {
    for length in [1, 32, 40, 1536] {
        for special in SPECIAL
            .map(f32::from_bits)
            .into_iter()
            .filter(|value| value.is_nan())
        {
            let (a, b) = (vec![special; length], vec![1.0; length]);
            for k in levels() {
                same((k.f32_dot)(&a, &b), f32::NAN, "dot");
                same((k.f32_l1)(&a, &b), f32::NAN, "l1");
                same((k.f16_dot)(&halves(&a), &halves(&b)), f32::NAN, "f16 dot");
                same_wide((k.f32_norm_squared_f64)(&a), f64::NAN, "norm");
            }
        }
    }
}

#[test]
fn overflow_and_subnormal_sums() {
    for length in [5, 32, 100] {
        for value in [
            f32::MAX,
            f32::MIN,
            f32::MIN_POSITIVE,
            f32::from_bits(1),
            -0.0,
        ] {
            let other: Vec<f32> = (0..length)
                .map(|i| if i % 2 == 0 { 1.0 } else { -0.5 })
                .collect();
            check_f32(&vec![value; length], &other);
        }
        for bits in [0x0001u16, 0x03ff, 0x8001, 0x7bff, 0x8000] {
            check_f16(
                &vec![f16::from_bits(bits); length],
                &vec![f16::from_bits(0x0002); length],
            );
        }
    }
}

#[test]
fn four_rows_are_four_calls() {
    let mut random = Random(4);
    for length in (0..=70).chain([100, 384, 1000, 1536, 15_999]) {
        let a = random.wilds(length + 1);
        let mut rows: [Vec<f32>; 4] = std::array::from_fn(|_| random.wilds(length + 1));
        if length > 0 {
            rows[random.below(4)][length] = f32::from_bits(SPECIAL[random.below(SPECIAL.len())]);
        }
        let a = &a[1..];
        let rows = [&rows[0][1..], &rows[1][1..], &rows[2][1..], &rows[3][1..]];
        for k in levels() {
            let l2 = (k.f32_l2_squared_x4)(a, rows);
            let dot = (k.f32_dot_x4)(a, rows);
            for (at, row) in rows.into_iter().enumerate() {
                let what = format!("row {at}, {}, {length} dimensions", k.level);
                same(l2[at], (k.f32_l2_squared)(a, row), &what);
                same(dot[at], (k.f32_dot)(a, row), &what);
            }
        }
    }
}

#[test]
fn every_f16_widens_to_its_value() {
    let input: Vec<f16> = (0..=u16::MAX).map(f16::from_bits).collect();
    for k in levels() {
        for lengths in [input.len(), 31, 1] {
            for input in input.chunks(lengths) {
                let mut output = vec![7.0; input.len()];
                (k.f16_to_f32)(input, &mut output);
                for (input, output) in input.iter().zip(output) {
                    same(
                        output,
                        input.to_f32_const(),
                        &format!("{} {input:?}", k.level),
                    );
                }
            }
        }
    }
}

#[test]
fn f32_narrows_to_the_nearest_f16_even_on_ties() {
    let mut random = Random(5);
    let mut input: Vec<f32> = SPECIAL.map(f32::from_bits).into();
    for bits in 0..0x7c00u16 {
        // The values of f16, the middles between them, and the neighbours of both.
        let low = f16::from_bits(bits).to_f32_const();
        let high = f16::from_bits(bits + 1).to_f32_const();
        let high = if high.is_infinite() { 65536.0 } else { high };
        let middle = (low + high) / 2.0;
        for value in [
            low,
            low.next_up(),
            middle.next_down(),
            middle,
            middle.next_up(),
        ] {
            input.extend([value, -value]);
        }
    }
    input.extend((0..100_000).map(|_| f32::from_bits(random.next() as u32)));
    for k in levels() {
        for lengths in [input.len(), 37] {
            for input in input.chunks(lengths) {
                let mut output = vec![f16::ONE; input.len()];
                (k.f32_to_f16)(input, &mut output);
                for (input, output) in input.iter().zip(output) {
                    assert_eq!(
                        output.to_bits(),
                        f16::from_f32_const(*input).to_bits(),
                        "{} {input:e} ({:x})",
                        k.level,
                        input.to_bits()
                    );
                }
            }
        }
    }
}

#[test]
fn bits_are_counted() {
    let mut random = Random(6);
    for length in (0..=130).chain([1000, 8000]) {
        let a: Vec<u8> = (0..length + 1).map(|_| random.next() as u8).collect();
        let b: Vec<u8> = (0..length + 3).map(|_| random.next() as u8).collect();
        let (a, b) = (&a[1..], &b[3..]);
        let count = |bits: &dyn Fn(u8, u8) -> u8| -> u64 {
            a.iter()
                .zip(b)
                .map(|(a, b)| u64::from(bits(*a, *b).count_ones()))
                .sum()
        };
        let counts = BitCounts {
            and: count(&|a, b| a & b),
            a: count(&|a, _| a),
            b: count(&|_, b| b),
        };
        for k in levels() {
            assert_eq!(
                (k.bit_hamming)(a, b),
                count(&|a, b| a ^ b),
                "{} {length}",
                k.level
            );
            assert_eq!((k.bit_jaccard_counts)(a, b), counts, "{} {length}", k.level);
        }
    }
}

#[test]
fn nibbles_are_multiplied_and_summed() {
    let mut random = Random(8);
    for length in (0..=200).chain([768, 8000, 8001]) {
        let mut code: Vec<u8> = (0..length + 1).map(|_| random.next() as u8).collect();
        let mut query: Vec<i8> = (0..2 * length + 3).map(|_| random.next() as i8).collect();
        for extreme in [false, true] {
            if extreme {
                code.fill(0xFF);
                query.fill(-128);
            }
            let (code, query) = (&code[1..], &query[3..]);
            let nibble = |at: usize| {
                if at < length {
                    code[at] & 15
                } else {
                    code[at - length] >> 4
                }
            };
            let expected: i32 = (0..2 * length)
                .map(|at| i32::from(nibble(at)) * i32::from(query[at]))
                .sum();
            for k in levels() {
                assert_eq!((k.code4_dot)(query, code), expected, "{} {length}", k.level);
            }
        }
    }
}

#[test]
fn a_code_of_another_length_than_the_query_is_refused() {
    for k in levels() {
        let outcome = std::panic::catch_unwind(|| (k.code4_dot)(&[1; 65], &[1; 33]));
        assert!(outcome.is_err(), "{}", k.level);
    }
}

#[test]
fn bytes_are_the_same_numbers_on_every_level() {
    let mut random = Random(6);
    for dims in [4, 8, 20, 64, 384, 1000] {
        // Any numbers, and those that make the largest sums.
        for extreme in [false, true] {
            let mut number = |most: i32| match extreme {
                true => most,
                false => random.below(2 * most as usize + 1) as i32 - most,
            };
            let panel: Vec<i8> = (0..dims * code8::ROWS).map(|_| number(127) as i8).collect();
            let codes: [Vec<u8>; code8::QUERIES] =
                std::array::from_fn(|_| (0..dims).map(|_| (number(63) + 64) as u8).collect());
            let product = |query: usize, row: usize| -> i32 {
                (0..dims)
                    .map(|at| {
                        let (group, byte) = (at / code8::GROUP, at % code8::GROUP);
                        let place = (group * code8::ROWS + row) * code8::GROUP + byte;
                        (i32::from(codes[query][at]) - 64) * i32::from(panel[place])
                    })
                    .sum()
            };
            let mut rows = code8::Rows::UNKNOWN;
            for row in 0..code8::ROWS {
                let numbers = (0..dims).map(|at| {
                    let (group, byte) = (at / code8::GROUP, at % code8::GROUP);
                    i32::from(panel[(group * code8::ROWS + row) * code8::GROUP + byte])
                });
                rows.offset[row] = 64 * numbers.sum::<i32>();
                rows.scale[row] = if row == 5 { f32::NAN } else { 0.5 };
                rows.length[row] = row as f32;
                rows.error[row] = 1.0;
                rows.half[row] = 2.0;
            }
            for pick in 0..code8::ROWS {
                // The bound is the product of one row, so that it is just near.
                let bound = |query: usize| product(query, pick) as f32 * 0.5 * 4.0;
                let queries = std::array::from_fn(|query| code8::Query {
                    code: &codes[query],
                    scale: 4.0,
                    bound: bound(query) - 16.0,
                    by_length: 0.25,
                    by_error: 10.0,
                    by_half: 3.0,
                });
                let expected: [u32; code8::QUERIES] = std::array::from_fn(|query| {
                    (0..code8::ROWS)
                        .filter(|row| {
                            let wanted = bound(query) + 0.25 * *row as f32;
                            *row == 5 || product(query, *row) as f32 * 2.0 >= wanted
                        })
                        .map(|row| 1 << row)
                        .sum()
                });
                for k in levels() {
                    let mut products = [[0.0; code8::ROWS]; code8::QUERIES];
                    let near = (k.code8_near)(&queries, &panel, &rows, &mut products);
                    assert_eq!(near, expected, "{} {dims}", k.level);
                    let row = (pick + 7) % code8::ROWS;
                    if row != 5 {
                        assert_eq!(products[3][row], product(3, row) as f32 * 2.0);
                    }
                }
            }
        }
    }
}

#[test]
fn codes_of_a_byte_are_the_same_on_every_level() {
    let mut random = Random(7);
    for length in (0..70).chain([384, 1000]) {
        let vector: Vec<f32> = (0..length).map(|_| random.unit() * 3.0).collect();
        for most in [code8::ROW_MOST, code8::QUERY_MOST] {
            let largest = vector.iter().fold(0.0f32, |a, b| a.max(b.abs()));
            let mut error = 0.0f64;
            let mut expected = Vec::new();
            for x in &vector {
                let number = (f64::from(*x) * f64::from(most / largest)).round_ties_even();
                error += (f64::from(*x) - number * f64::from(largest / most)).powi(2);
                expected.push(number as i8);
            }
            for k in levels() {
                let mut code = vec![0; length];
                let encoded = (k.code8_encode)(&vector, most, &mut code);
                assert_eq!(code, expected, "{} {length}", k.level);
                if length > 0 {
                    assert_eq!(encoded.scale, largest / most);
                    assert_eq!(encoded.sum, code.iter().map(|n| i32::from(*n)).sum::<i32>());
                    let error = error.sqrt();
                    assert!((f64::from(encoded.error) - error).abs() <= error * 1e-3 + 1e-6);
                }
            }
        }
    }
    for k in levels() {
        for vector in [[0.0f32; 3], [f32::MAX, f32::INFINITY, 1.0], [1e-45; 3]] {
            let mut code = [1; 3];
            let encoded = (k.code8_encode)(&vector, code8::ROW_MOST, &mut code);
            assert!(encoded.scale.is_nan(), "{} {vector:?}", k.level);
        }
    }
}

#[test]
fn codes_of_two_bytes_and_their_sums_are_the_same_on_every_level() {
    let mut random = Random(8);
    for length in (0..70).chain([384, 1000]) {
        let vector: Vec<f32> = (0..length).map(|_| random.unit() * 3.0).collect();
        let other: Vec<f32> = (0..length).map(|_| random.unit()).collect();
        let largest = vector.iter().fold(0.0f32, |a, b| a.max(b.abs()));
        let scale = largest / 32_767.0;
        let numbers = vector.iter().map(|x| *x * (32_767.0 / largest));
        let expected: Vec<i16> = numbers.map(|x| x.round_ties_even() as i16).collect();
        let floats = expected.iter().map(|number| f32::from(*number));
        let error: f64 = (vector.iter().zip(floats.clone()))
            .map(|(x, number)| (f64::from(*x) - f64::from(number) * f64::from(scale)).powi(2))
            .sum();
        let dot = sum((other.iter().zip(floats.clone())).map(|(x, number)| x * number));
        let l2_squared = sum((other.iter().zip(floats)).map(|(x, number)| {
            let difference = x - scale * number;
            difference * difference
        }));
        for k in levels() {
            let mut code = vec![0; length];
            let encoded = (k.code16_encode)(&vector, &mut code);
            assert_eq!(code, expected, "{} {length}", k.level);
            if length > 0 {
                assert_eq!(encoded.scale, scale);
                let off = f64::from(encoded.error) - error.sqrt();
                assert!(off.abs() <= error.sqrt() * 1e-3 + 1e-6, "{length}: {off}");
                let found = (k.code16_dot)(&other, &code);
                assert_eq!(found.to_bits(), dot.to_bits(), "{} {length}", k.level);
                let found = (k.code16_l2_squared)(&other, scale, &code);
                assert_eq!(
                    found.to_bits(),
                    l2_squared.to_bits(),
                    "{} {length}",
                    k.level
                );
            }
        }
    }
    for k in levels() {
        for vector in [[0.0f32; 3], [f32::MAX, f32::INFINITY, 1.0], [1e-45; 3]] {
            let mut code = [1; 3];
            let encoded = (k.code16_encode)(&vector, &mut code);
            assert!(encoded.scale.is_nan(), "{} {vector:?}", k.level);
        }
    }
}
