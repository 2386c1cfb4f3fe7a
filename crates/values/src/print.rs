//! Numbers as text, exactly as PostgreSQL prints a `real`.
//!
//! The digits are the shortest that read back as the same number and, among those, the nearest
//! to it (Giulietti, "The Schubfach way to render doubles", 2020; the 32-bit case of it).
//! PostgreSQL leaves out one thing that libraries for shortest digits do not: a decimal that
//! lies exactly half way between two numbers, which would rely on the reader's rounding to
//! even. So 33554448 prints as `3.3554448e+07`, not as `3.355445e+07`. That is why the digits
//! are made here.

use std::hint::select_unpredictable;

use crate::memory;
use crate::{ValueError, pow10};

/// The longest text of an f32, such as `-1.17549435e-38`.
pub(crate) const MAX_F32_LEN: usize = 15;
/// The longest text of an i32.
pub(crate) const MAX_I32_LEN: usize = 11;

/// Appends `x` as `float4out` prints it: fixed point where the decimal exponent is in -4..6,
/// else with an exponent of at least two digits. Fails when memory does.
pub fn print_f32(x: f32, out: &mut Vec<u8>) -> Result<(), ValueError> {
    append(out, ROOM, |out| put_f32(x, out, 0))
}

/// Appends what `print` writes into `room` zeroed bytes; it says how many it wrote.
pub(crate) fn append(
    out: &mut Vec<u8>,
    room: usize,
    print: impl FnOnce(&mut [u8]) -> usize,
) -> Result<(), ValueError> {
    memory::reserve(out, room)?;
    let start = out.len();
    out.resize(start + room, 0);
    let written = print(&mut out[start..]);
    out.truncate(start + written);
    Ok(())
}

/// [`print_f32`] into `out` from `at` on, where there is room for [`ROOM`] bytes; returns the end of
/// the text. What lies behind it is overwritten, too.
#[inline]
pub(crate) fn put_f32(x: f32, out: &mut [u8], at: usize) -> usize {
    let start = at;
    let Some(buffer) = out[start..].first_chunk_mut::<ROOM>() else {
        unreachable!("whoever prints has made room");
    };
    let mut at = 0;
    if !x.is_finite() {
        let text: &[u8] = if x.is_nan() {
            b"NaN"
        } else if x > 0.0 {
            b"Infinity"
        } else {
            b"-Infinity"
        };
        buffer[..text.len()].copy_from_slice(text);
        return start + text.len();
    }
    if x.is_sign_negative() {
        buffer[0] = b'-';
        at = 1;
    }
    if x == 0.0 {
        buffer[at] = b'0';
        at += 1;
    } else {
        at += lay_out(shortest(x.to_bits() & 0x7fff_ffff), buffer, at);
    }
    start + at
}

/// Writes `value` in decimal into `out` from `at` on; returns the end of the text.
pub(crate) fn put_i32(value: i32, out: &mut [u8], start: usize) -> usize {
    let mut buffer = [0u8; MAX_I32_LEN];
    let mut at = MAX_I32_LEN;
    let mut rest = value.unsigned_abs();
    loop {
        at -= 1;
        buffer[at] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    if value < 0 {
        at -= 1;
        buffer[at] = b'-';
    }
    let end = start + MAX_I32_LEN - at;
    out[start..end].copy_from_slice(&buffer[at..]);
    end
}

/// `digits * 10^exponent`
#[derive(Clone, Copy)]
struct Decimal {
    digits: u32,
    exponent: i32,
}

/// The shortest decimal strictly inside the interval that rounds to the positive, finite f32
/// with these bits.
fn shortest(bits: u32) -> Decimal {
    let fraction = bits & 0x7f_ffff;
    let biased = (bits >> 23) as i32;
    // The number is c * 2^q.
    let (c, q) = if biased == 0 {
        (fraction, -149)
    } else {
        (fraction | 0x80_0000, biased - 150)
    };
    // Integers that an f32 holds exactly are their own shortest digits.
    if (-23..=0).contains(&q) && c.trailing_zeros() as i32 >= -q {
        return Decimal {
            digits: c >> -q,
            exponent: 0,
        };
    }
    // Below a power of two the next number is only half as far away.
    let narrow_below = fraction == 0 && biased > 1;
    let (left, middle, right) = (4 * c - 2 + u32::from(narrow_below), 4 * c, 4 * c + 2);
    // 10^k is the largest power of ten that is not larger than the interval:
    // floor(log10(2^q)), or floor(log10(3/4 * 2^q)).
    let k = (q * 1_262_611 - if narrow_below { 524_031 } else { 0 }) >> 22;
    let shift = q + ((-k * 1_741_647) >> 19) + 1;
    let power = pow10::significand(-k);
    let lower = scaled(power, left << shift) + 1;
    let value = scaled(power, middle << shift);
    let upper = scaled(power, right << shift) - 1;
    // All three are 4 * v / 10^k now, odd where they are not exact.
    // What follows is as good as random: a branch on it would be mispredicted half of the time.
    let s = value / 4;
    let tens = s / 10;
    let (tens_below, tens_above) = (lower <= 40 * tens, 40 * tens + 40 <= upper);
    let shorter = (s >= 10) & (tens_below != tens_above);
    let (below, above) = (lower <= 4 * s, 4 * s + 4 <= upper);
    // Where both are inside: the nearer one, the even one of two that are as near.
    let half = 4 * s + 2;
    let nearer_above = (value > half) | ((value == half) & (s % 2 == 1));
    let one = below != above;
    let up = (one & above) | (!one & nearer_above);
    Decimal {
        digits: select_unpredictable(shorter, tens + u32::from(tens_above), s + u32::from(up)),
        exponent: k + i32::from(shorter),
    }
}

/// The product's upper 32 bits; the last one is also set when anything below them is.
fn scaled(power: u64, factor: u32) -> u32 {
    let product = u128::from(power) * u128::from(factor);
    let upper = (product >> 64) as u32;
    let below = (product >> 32) as u32;
    upper | u32::from(below > 1)
}

/// The longest text, and what copies of one size write behind it.
pub(crate) const ROOM: usize = 40;
/// Bytes that are copied at once: more than the nine digits that a decimal has at most.
const DIGITS: usize = 16;

const ASCII_ZEROS: u128 = 0x3030_3030_3030_3030_3030_3030_3030_3030;

/// The digits of a number below 100,000,000, a byte each, the first in the lowest: all halves, then
/// all quarters, then all digits are divided at once.
fn eight_digits(number: u32) -> u64 {
    let halves = u64::from(number / 10_000) | u64::from(number % 10_000) << 32;
    let hundreds = ((halves * 10_486) >> 20) & 0x0000_007f_0000_007f;
    let quarters = hundreds | (halves - 100 * hundreds) << 16;
    let tens = ((quarters * 103) >> 10) & 0x000f_000f_000f_000f;
    tens | (quarters - 10 * tens) << 8
}

/// Both digits of 0 to 99.
const PAIRS: [[u8; 2]; 100] = {
    let mut pairs = [[0; 2]; 100];
    let mut n = 0;
    while n < 100 {
        pairs[n] = [b'0' + (n / 10) as u8, b'0' + (n % 10) as u8];
        n += 1;
    }
    pairs
};

/// Writes a positive decimal to `out` from `at` on, and returns its length.
fn lay_out(decimal: Decimal, out: &mut [u8; ROOM], at: usize) -> usize {
    // Nine digits at a fixed place, then zeros at both ends are left out.
    let (upper, last) = (eight_digits(decimal.digits / 10), decimal.digits % 10);
    let zeros = if last > 0 {
        0
    } else {
        1 + upper.leading_zeros() / 8
    };
    let exponent = decimal.exponent + zeros as i32;
    let start = upper.trailing_zeros() / 8;
    let n = (9 - start - zeros) as usize;
    // The text, with zeros behind it, stays in registers: to load what was stored in other pieces stalls.
    let digits = u128::from(upper) | u128::from(last) << 64;
    let text = digits >> (8 * start) | ASCII_ZEROS;
    // The exponent of the first digit.
    let leading = exponent + n as i32 - 1;
    if !(-4..6).contains(&leading) {
        out[at] = text as u8;
        let mut end = at + 1;
        if n > 1 {
            out[at + 1] = b'.';
            put_digits(out, at + 2, text >> 8);
            end = at + n + 1;
        }
        let magnitude = leading.unsigned_abs() as usize;
        out[end] = b'e';
        out[end + 1] = if leading < 0 { b'-' } else { b'+' };
        out[end + 2..end + 4].copy_from_slice(&PAIRS[magnitude]);
        end + 4 - at
    } else if leading < 0 {
        let zeros = leading.unsigned_abs() as usize - 1;
        out[at..at + 8].copy_from_slice(b"0.000000");
        put_digits(out, at + 2 + zeros, text);
        2 + zeros + n
    } else {
        let whole = leading as usize + 1;
        put_digits(out, at, text);
        if whole >= n {
            // The zeros that follow the digits are there already.
            whole
        } else {
            out[at + whole] = b'.';
            put_digits(out, at + whole + 1, text >> (8 * whole));
            n + 1
        }
    }
}

/// Copies as many digits as there can be, and what lies behind them.
#[inline(always)]
fn put_digits(out: &mut [u8; ROOM], to: usize, text: u128) {
    out[to..to + DIGITS].copy_from_slice(&text.to_le_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(x: f32) -> String {
        let mut out = Vec::new();
        print_f32(x, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    /// What PostgreSQL 18 prints for these.
    #[test]
    fn prints_what_postgres_prints() {
        for (x, expected) in [
            (0.0, "0"),
            (-0.0, "-0"),
            (1.0, "1"),
            (-1.5, "-1.5"),
            (100000.0, "100000"),
            (999999.0, "999999"),
            (1e6, "1e+06"),
            (1234567.0, "1.234567e+06"),
            (123456.7, "123456.7"),
            (123456.79, "123456.79"),
            (0.1, "0.1"),
            (0.0001, "0.0001"),
            (0.00012345678, "0.00012345678"),
            (0.00001, "1e-05"),
            (1.5e-7, "1.5e-07"),
            (0.3, "0.3"),
            (16777216.0, "1.6777216e+07"),
            (f32::MAX, "3.4028235e+38"),
            (f32::MIN_POSITIVE, "1.1754944e-38"),
            (f32::from_bits(1), "1e-45"),
            (f32::from_bits(0x7f_ffff), "1.1754942e-38"),
            (9.5367e-7, "9.5367e-07"),
            (f32::NAN, "NaN"),
            (f32::INFINITY, "Infinity"),
            (f32::NEG_INFINITY, "-Infinity"),
        ] {
            assert_eq!(text(x), expected);
        }
    }

    /// The shorter decimal is exactly half way to the next number: it isn't used.
    #[test]
    fn avoids_decimals_half_way_between_numbers() {
        assert_eq!(text(33_554_448.0), "3.3554448e+07");
        assert_eq!(text(33_554_552.0), "3.3554552e+07");
        assert_eq!(text(33_555_168.0), "3.3555168e+07");
        // Not even, so that rounding would not find it either way.
        assert_eq!(text(33_554_452.0), "3.3554452e+07");
    }

    /// Every exponent, with fractions at both ends, at powers of two and in between: the text
    /// reads back as the same number, and no text of one digit less does.
    #[test]
    fn digits_are_shortest_and_exact() {
        let fractions = (0..40)
            .chain(0x7f_ffd8..=0x7f_ffff)
            .chain((0..400).map(|i| i * 20_971 + 7));
        for fraction in fractions {
            for exponent in 0..255u32 {
                let x = f32::from_bits(exponent << 23 | fraction);
                if x == 0.0 {
                    continue;
                }
                let text = text(x);
                assert_eq!(
                    text.parse::<f32>().unwrap().to_bits(),
                    x.to_bits(),
                    "{text}"
                );
                assert!(text.len() <= MAX_F32_LEN, "{text}");
                let digits = text
                    .split('e')
                    .next()
                    .unwrap()
                    .replace('.', "")
                    .trim_start_matches('0')
                    .trim_end_matches('0')
                    .len();
                if digits > 1 {
                    let shorter = format!("{:.*e}", digits - 2, x);
                    let exact = shorter.parse::<f64>().unwrap();
                    let half_way = |other: f32| (f64::from(x) + f64::from(other)) / 2.0 == exact;
                    assert!(
                        shorter.parse::<f32>().unwrap() != x
                            || half_way(x.next_up())
                            || half_way(x.next_down()),
                        "{text} could be {shorter}"
                    );
                }
            }
        }
    }

    #[test]
    fn prints_integers() {
        for x in [0, 7, -1, 10, 1_000_000_000, i32::MAX, i32::MIN] {
            let mut out = [0; 1 + MAX_I32_LEN];
            let end = put_i32(x, &mut out, 1);
            assert_eq!(str::from_utf8(&out[1..end]).unwrap(), x.to_string());
        }
    }
}
