//! Bounds of many inner products at once, from codes of one byte a dimension.
//!
//! A vector `x` is `s * c` and a rest, `c` whole numbers. The product of two vectors is then `s * t`
//! times a sum of whole numbers, which a CPU computes four to eight times as fast as one of floats,
//! and what the two rests may add to it: their lengths are known, so (by Cauchy and Schwarz) is that.
//! Who looks for the nearest rows needs exact sums only of those that the bound does not rule out.
//!
//! Eight queries go against [`ROWS`] rows together. Of those rows four dimensions each lie side by side,
//! row after row, then the next four: a register holds sixteen (or eight) rows, and no sum has to
//! be gathered from its lanes.

use crate::whole;

/// Rows of a panel.
pub const ROWS: usize = 32;
/// Queries that go against a panel together.
pub const QUERIES: usize = 8;
/// The largest number in the code of a row. Smallest: the same below zero.
pub const ROW_MOST: f32 = 127.0;
/// The largest number in the code of a query: with the offset it has seven bits, so that the sum of two
/// products fits 16 bits.
pub const QUERY_MOST: f32 = 63.0;
/// What is added to the numbers of a query, so that none is negative.
pub const QUERY_OFFSET: i32 = 64;
/// Dimensions that lie side by side.
pub const GROUP: usize = 4;

/// A vector as whole numbers.
#[derive(Clone, Copy, Debug)]
pub struct Encoded {
    /// What a number stands for. Not finite, or zero, where the vector has no code.
    pub scale: f32,
    /// Length of the vector less what its code stands for, up to rounding.
    pub error: f32,
    /// Sum of the numbers.
    pub sum: i32,
}

/// What a query is compared with: it looks for products of at least
/// `bound + by_length * length + by_error * error + by_half * half` of a row. Where that is no
/// number, every row may have one.
#[derive(Clone, Copy, Debug)]
pub struct Query<'a> {
    /// As many numbers, with the offset, as a panel has dimensions.
    pub code: &'a [u8],
    /// What one stands for.
    pub scale: f32,
    /// The part that is the same for each row.
    pub bound: f32,
    /// See [`Rows::length`].
    pub by_length: f32,
    /// See [`Rows::error`].
    pub by_error: f32,
    /// See [`Rows::half`].
    pub by_half: f32,
}

/// What is known of the rows of a panel beside their codes.
#[derive(Clone, Debug)]
pub struct Rows {
    /// [`QUERY_OFFSET`] times the sum of the row's numbers.
    pub offset: [i32; ROWS],
    /// What a number of the row stands for; not a number where nothing is known of the row.
    pub scale: [f32; ROWS],
    /// The row's length.
    pub length: [f32; ROWS],
    /// Length of what its code leaves.
    pub error: [f32; ROWS],
    /// Half of the square of the row's length, or less.
    pub half: [f32; ROWS],
}

impl Rows {
    /// Nothing is known of any row.
    pub const UNKNOWN: Rows = Rows {
        offset: [0; ROWS],
        scale: [f32::NAN; ROWS],
        length: [0.0; ROWS],
        error: [0.0; ROWS],
        half: [0.0; ROWS],
    };
}

/// Estimated products, query by query and row by row.
pub type Products = [[f32; ROWS]; QUERIES];

/// Sums of products of whole numbers, query by query and row by row.
pub(crate) type Sums = [[i32; ROWS]; QUERIES];

/// Puts the numbers of a row where they lie in a panel; zeros fill their last group.
pub fn place(code: &[i8], row: usize, panel: &mut [i8]) {
    let (fours, rest) = code.as_chunks::<GROUP>();
    let (places, _) = panel.as_chunks_mut::<GROUP>();
    for (group, four) in fours.iter().enumerate() {
        places[group * ROWS + row] = *four;
    }
    if !rest.is_empty() {
        let mut four = [0; GROUP];
        four[..rest.len()].copy_from_slice(rest);
        places[fours.len() * ROWS + row] = four;
    }
}

/// Writes the whole numbers from `-most` to `most` that `vector` is nearest to.
#[inline(always)]
pub(crate) fn encode(vector: &[f32], most: f32, code: &mut [i8]) -> Encoded {
    match whole::encode::<16, _>(vector, most, code, |number| number as i8) {
        Some(whole) => Encoded {
            scale: whole.scale,
            error: whole.errors.iter().sum::<f32>().sqrt(),
            sum: whole.sums.iter().sum(),
        },
        None => Encoded {
            scale: f32::NAN,
            error: f32::INFINITY,
            sum: 0,
        },
    }
}

/// Writes the estimated products; for each query a bit for each row whose product may be large enough. `sums`
/// is a level's own.
///
/// # Panics
/// Where codes and panel don't match: the SIMD levels read by the panel's length.
#[inline(always)]
pub(crate) fn near(
    queries: &[Query<'_>; QUERIES],
    panel: &[i8],
    rows: &Rows,
    products: &mut Products,
    sums: impl FnOnce([&[u8]; QUERIES], &[i8], &mut Sums),
) -> [u32; QUERIES] {
    let dims = panel.len() / ROWS;
    let codes = queries.map(|query| query.code);
    assert!(
        panel.len().is_multiple_of(ROWS * GROUP) && codes.iter().all(|code| code.len() == dims),
        "queries and panel do not match"
    );
    let mut exact = [[0; ROWS]; QUERIES];
    sums(codes, panel, &mut exact);
    let mut near = [0; QUERIES];
    for (((query, sums), products), near) in queries.iter().zip(&exact).zip(products).zip(&mut near)
    {
        let mut bits = [0u32; ROWS];
        for row in 0..ROWS {
            let product = (sums[row] - rows.offset[row]) as f32 * rows.scale[row] * query.scale;
            products[row] = product;
            let wanted = query.bound
                + query.by_length * rows.length[row]
                + query.by_error * rows.error[row]
                + query.by_half * rows.half[row];
            // Nothing is less where either is no number.
            let far = u32::from(product < wanted);
            bits[row] = (1 ^ far) << row;
        }
        *near = bits.into_iter().fold(0, |all, bit| all | bit);
    }
    near
}

/// The sums, left to the compiler.
#[inline(always)]
pub(crate) fn sums(codes: [&[u8]; QUERIES], panel: &[i8], sums: &mut Sums) {
    for (group, rows) in panel.as_chunks::<{ ROWS * GROUP }>().0.iter().enumerate() {
        for (code, sums) in codes.iter().zip(&mut *sums) {
            let query: [u8; GROUP] = std::array::from_fn(|at| code[group * GROUP + at]);
            for (row, sum) in rows.as_chunks::<GROUP>().0.iter().zip(sums) {
                for at in 0..GROUP {
                    *sum += i32::from(query[at]) * i32::from(row[at]);
                }
            }
        }
    }
}
