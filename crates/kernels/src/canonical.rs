//! The canonical sums: one order of operations for every level.
//!
//! Term `i` is added to lane `i % 32`, in the order of `i`, with separate multiply and add; then
//! lane `j` takes lane `j + 16`, `j + 8`, `j + 4`, `j + 2`, `j + 1`. A tail is filled up with
//! zeros, which changes no bits: lanes start at `+0.0` and so never become `-0.0`, every term of
//! two zeros is `+0.0`, and `x + 0.0` is `x` for every other `x`. (NaNs are made canonical.)
//!
//! Everything here is generic over the [`Block`] that holds the lanes and is inlined into the
//! functions that `instantiate!` compiles for a level.

use crate::table::CosineSums;
use half::f16;

/// Lanes of an `f32` sum.
pub(crate) const LANES: usize = 32;

/// Lanes of an `f64` sum.
const WIDE_LANES: usize = 16;

/// 32 lanes of `f32`, in whatever registers a level has.
///
/// Operations are those of IEEE 754, lane by lane, rounded to nearest, and never fused.
pub(crate) trait Block: Copy {
    /// Whether the registers hold the lanes of three or four sums; else kernels with several sums
    /// are faster one sum after the other.
    const SEVERAL_SUMS: bool;

    fn zero() -> Self;
    fn load(chunk: &[f32; LANES]) -> Self;
    /// Exact conversion of each lane.
    fn load_half(chunk: &[f16; LANES]) -> Self;
    /// Fewer than 32 elements, then zeros.
    fn load_tail(tail: &[f32]) -> Self;
    /// Fewer than 32 elements, then zeros.
    fn load_half_tail(tail: &[f16]) -> Self;
    fn add(self, other: Self) -> Self;
    fn sub(self, other: Self) -> Self;
    fn mul(self, other: Self) -> Self;
    fn abs(self) -> Self;
    fn store(self, chunk: &mut [f32; LANES]);
    /// Each lane rounded to nearest, ties to even.
    fn store_half(self, chunk: &mut [f16; LANES]);
    /// The tree: 16, 8, 4, 2, 1.
    fn sum(self) -> f32;
}

/// An element type that a block can be loaded from.
pub(crate) trait Load: Copy {
    fn load<B: Block>(chunk: &[Self; LANES]) -> B;
    fn load_tail<B: Block>(tail: &[Self]) -> B;
}

impl Load for f32 {
    #[inline(always)]
    fn load<B: Block>(chunk: &[f32; LANES]) -> B {
        B::load(chunk)
    }

    #[inline(always)]
    fn load_tail<B: Block>(tail: &[f32]) -> B {
        B::load_tail(tail)
    }
}

impl Load for f16 {
    #[inline(always)]
    fn load<B: Block>(chunk: &[f16; LANES]) -> B {
        B::load_half(chunk)
    }

    #[inline(always)]
    fn load_tail<B: Block>(tail: &[f16]) -> B {
        B::load_half_tail(tail)
    }
}

/// What is summed. A trait and not a closure, so that it is always inlined.
trait Term {
    fn term<B: Block>(a: B, b: B) -> B;
}

struct SquaredDifference;

impl Term for SquaredDifference {
    #[inline(always)]
    fn term<B: Block>(a: B, b: B) -> B {
        let difference = a.sub(b);
        difference.mul(difference)
    }
}

struct Product;

impl Term for Product {
    #[inline(always)]
    fn term<B: Block>(a: B, b: B) -> B {
        a.mul(b)
    }
}

struct AbsoluteDifference;

impl Term for AbsoluteDifference {
    #[inline(always)]
    fn term<B: Block>(a: B, b: B) -> B {
        a.sub(b).abs()
    }
}

/// The sign and payload of a NaN depend on the instructions used; this makes them one.
#[inline(always)]
pub(crate) fn canonical_nan(sum: f32) -> f32 {
    if sum.is_nan() { f32::NAN } else { sum }
}

#[inline(always)]
fn sum<B: Block, E: Load, T: Term>(a: &[E], b: &[E]) -> f32 {
    debug_assert_eq!(a.len(), b.len());
    let length = a.len().min(b.len());
    let (a_chunks, a_tail) = a[..length].as_chunks::<LANES>();
    let (b_chunks, b_tail) = b[..length].as_chunks::<LANES>();
    let mut lanes = B::zero();
    for (a, b) in a_chunks.iter().zip(b_chunks) {
        lanes = lanes.add(T::term::<B>(E::load(a), E::load(b)));
    }
    if !a_tail.is_empty() {
        lanes = lanes.add(T::term::<B>(E::load_tail(a_tail), E::load_tail(b_tail)));
    }
    canonical_nan(lanes.sum())
}

/// Four sums that share the loads of `a`; each lane sees the operations of [`sum`].
#[inline(always)]
fn sum_x4<B: Block, E: Load, T: Term>(a: &[E], rows: [&[E]; 4]) -> [f32; 4] {
    let length = a.len();
    if !B::SEVERAL_SUMS || rows.iter().any(|row| row.len() != length) {
        return rows.map(|row| sum::<B, E, T>(a, row));
    }
    let (a_chunks, a_tail) = a.as_chunks::<LANES>();
    let [(r0, t0), (r1, t1), (r2, t2), (r3, t3)] = rows.map(|row| row.as_chunks::<LANES>());
    let mut lanes = [B::zero(); 4];
    for ((((a, r0), r1), r2), r3) in a_chunks.iter().zip(r0).zip(r1).zip(r2).zip(r3) {
        let a: B = E::load(a);
        lanes[0] = lanes[0].add(T::term(a, E::load(r0)));
        lanes[1] = lanes[1].add(T::term(a, E::load(r1)));
        lanes[2] = lanes[2].add(T::term(a, E::load(r2)));
        lanes[3] = lanes[3].add(T::term(a, E::load(r3)));
    }
    if !a_tail.is_empty() {
        let a: B = E::load_tail(a_tail);
        lanes[0] = lanes[0].add(T::term(a, E::load_tail(t0)));
        lanes[1] = lanes[1].add(T::term(a, E::load_tail(t1)));
        lanes[2] = lanes[2].add(T::term(a, E::load_tail(t2)));
        lanes[3] = lanes[3].add(T::term(a, E::load_tail(t3)));
    }
    [
        canonical_nan(lanes[0].sum()),
        canonical_nan(lanes[1].sum()),
        canonical_nan(lanes[2].sum()),
        canonical_nan(lanes[3].sum()),
    ]
}

#[inline(always)]
pub(crate) fn l2_squared<B: Block, E: Load>(a: &[E], b: &[E]) -> f32 {
    sum::<B, E, SquaredDifference>(a, b)
}

#[inline(always)]
pub(crate) fn dot<B: Block, E: Load>(a: &[E], b: &[E]) -> f32 {
    sum::<B, E, Product>(a, b)
}

#[inline(always)]
pub(crate) fn l1<B: Block, E: Load>(a: &[E], b: &[E]) -> f32 {
    sum::<B, E, AbsoluteDifference>(a, b)
}

#[inline(always)]
pub(crate) fn norm_squared<B: Block, E: Load>(a: &[E]) -> f32 {
    sum::<B, E, Product>(a, a)
}

#[inline(always)]
pub(crate) fn l2_squared_x4<B: Block, E: Load>(a: &[E], rows: [&[E]; 4]) -> [f32; 4] {
    sum_x4::<B, E, SquaredDifference>(a, rows)
}

#[inline(always)]
pub(crate) fn dot_x4<B: Block, E: Load>(a: &[E], rows: [&[E]; 4]) -> [f32; 4] {
    sum_x4::<B, E, Product>(a, rows)
}

#[inline(always)]
pub(crate) fn cosine_sums<B: Block, E: Load>(a: &[E], b: &[E]) -> CosineSums {
    debug_assert_eq!(a.len(), b.len());
    let length = a.len().min(b.len());
    let (a, b) = (&a[..length], &b[..length]);
    if !B::SEVERAL_SUMS {
        return CosineSums {
            dot: sum::<B, E, Product>(a, b),
            norm_a: sum::<B, E, Product>(a, a),
            norm_b: sum::<B, E, Product>(b, b),
        };
    }
    let (a_chunks, a_tail) = a.as_chunks::<LANES>();
    let (b_chunks, b_tail) = b.as_chunks::<LANES>();
    let (mut dot, mut norm_a, mut norm_b) = (B::zero(), B::zero(), B::zero());
    for (a, b) in a_chunks.iter().zip(b_chunks) {
        let (a, b): (B, B) = (E::load(a), E::load(b));
        dot = dot.add(a.mul(b));
        norm_a = norm_a.add(a.mul(a));
        norm_b = norm_b.add(b.mul(b));
    }
    if !a_tail.is_empty() {
        let (a, b): (B, B) = (E::load_tail(a_tail), E::load_tail(b_tail));
        dot = dot.add(a.mul(b));
        norm_a = norm_a.add(a.mul(a));
        norm_b = norm_b.add(b.mul(b));
    }
    CosineSums {
        dot: canonical_nan(dot.sum()),
        norm_a: canonical_nan(norm_a.sum()),
        norm_b: canonical_nan(norm_b.sum()),
    }
}

/// The sum of squares in `f64`: term `i` to lane `i % 16`, then a tree of 8, 4, 2, 1.
#[inline(always)]
pub(crate) fn norm_squared_f64<B: Block, E: Load>(a: &[E]) -> f64 {
    let (chunks, tail) = a.as_chunks::<LANES>();
    let mut lanes = [0.0; WIDE_LANES];
    for chunk in chunks {
        add_squares::<B>(&mut lanes, E::load(chunk));
    }
    if !tail.is_empty() {
        add_squares::<B>(&mut lanes, E::load_tail(tail));
    }
    let mut width = WIDE_LANES / 2;
    while width > 0 {
        for lane in 0..width {
            lanes[lane] += lanes[lane + width];
        }
        width /= 2;
    }
    if lanes[0].is_nan() {
        f64::NAN
    } else {
        lanes[0]
    }
}

#[inline(always)]
fn add_squares<B: Block>(lanes: &mut [f64; WIDE_LANES], block: B) {
    let mut values = [0.0; LANES];
    block.store(&mut values);
    for half in values.as_chunks::<WIDE_LANES>().0 {
        for (lane, value) in lanes.iter_mut().zip(half) {
            let value = f64::from(*value);
            *lane += value * value;
        }
    }
}

/// Converts up to the shorter length and leaves the rest of `output` as it was.
#[inline(always)]
pub(crate) fn f16_to_f32<B: Block>(input: &[f16], output: &mut [f32]) {
    debug_assert_eq!(input.len(), output.len());
    let length = input.len().min(output.len());
    let (in_chunks, in_tail) = input[..length].as_chunks::<LANES>();
    let (out_chunks, out_tail) = output[..length].as_chunks_mut::<LANES>();
    for (input, output) in in_chunks.iter().zip(out_chunks) {
        B::load_half(input).store(output);
    }
    if !in_tail.is_empty() {
        let mut chunk = [0.0; LANES];
        B::load_half_tail(in_tail).store(&mut chunk);
        out_tail.copy_from_slice(&chunk[..in_tail.len()]);
    }
}

/// Converts up to the shorter length and leaves the rest of `output` as it was.
#[inline(always)]
pub(crate) fn f32_to_f16<B: Block>(input: &[f32], output: &mut [f16]) {
    debug_assert_eq!(input.len(), output.len());
    let length = input.len().min(output.len());
    let (in_chunks, in_tail) = input[..length].as_chunks::<LANES>();
    let (out_chunks, out_tail) = output[..length].as_chunks_mut::<LANES>();
    for (input, output) in in_chunks.iter().zip(out_chunks) {
        B::load(input).store_half(output);
    }
    if !in_tail.is_empty() {
        let mut chunk = [f16::ZERO; LANES];
        B::load_tail(in_tail).store_half(&mut chunk);
        out_tail.copy_from_slice(&chunk[..in_tail.len()]);
    }
}
