//! 4-bit codes of many vectors against each other: estimates as those of [`crate::code4`], eight times
//! 32 at once.

use pgnear_device::{MemoryBudget, OutOfMemory};
use pgnear_kernels::code8::{self, GROUP, QUERIES, QUERY_OFFSET, ROWS};
use pgnear_kernels::{Kernels, kernels};

use crate::code4::{Terms, code_bytes, numbers};

/// Vectors of a panel.
pub const PANEL: usize = ROWS;
/// Vectors that go against a panel together.
pub const TILE: usize = QUERIES;

/// Numbers of a code, in whole groups.
fn padded(dims: usize) -> usize {
    (2 * code_bytes(dims)).next_multiple_of(GROUP)
}

/// Up to [`PANEL`] codes.
pub struct Panel4 {
    dims: usize,
    numbers: Vec<i8>,
    codes: Vec<i8>,
    rows: code8::Rows,
    len: usize,
}

impl Panel4 {
    /// An empty panel for vectors of `dims` components.
    ///
    /// # Errors
    /// [`OutOfMemory`].
    pub fn new(dims: usize) -> Result<Panel4, OutOfMemory> {
        let budget = MemoryBudget::unlimited();
        Ok(Panel4 {
            dims,
            numbers: budget.try_vec_filled(padded(dims), 0)?,
            codes: budget.try_vec_filled(padded(dims) * ROWS, 0)?,
            rows: code8::Rows::UNKNOWN,
            len: 0,
        })
    }

    /// Takes codes, at most [`PANEL`], in place of those it had.
    pub fn fill<'c>(&mut self, codes: impl Iterator<Item = (Terms, &'c [u8])>) {
        self.len = 0;
        for (at, (terms, code)) in codes.take(ROWS).enumerate() {
            numbers(code, self.dims, &mut self.numbers);
            let sum: i32 = self.numbers.iter().map(|n| i32::from(*n)).sum();
            self.rows.offset[at] = QUERY_OFFSET * sum;
            self.rows.scale[at] = -terms.factor;
            self.rows.half[at] = terms.norm_squared;
            code8::place(&self.numbers, at, &mut self.codes);
            self.len = at + 1;
        }
    }

    /// How many codes it has.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }
}

/// Up to [`TILE`] codes that are compared with panels.
pub struct Tile4 {
    kernels: &'static Kernels,
    dims: usize,
    inner_product: bool,
    numbers: Vec<i8>,
    codes: [Vec<u8>; QUERIES],
    /// Half of what a number stands for.
    half_scale: [f32; QUERIES],
    norm_squared: [f32; QUERIES],
    len: usize,
}

impl Tile4 {
    /// An empty tile. Scores are squared distances, or negative inner products.
    ///
    /// # Errors
    /// [`OutOfMemory`].
    pub fn new(dims: usize, inner_product: bool) -> Result<Tile4, OutOfMemory> {
        let budget = MemoryBudget::unlimited();
        let mut codes: [Vec<u8>; QUERIES] = Default::default();
        for code in &mut codes {
            *code = budget.try_vec_filled(padded(dims), 0)?;
        }
        Ok(Tile4 {
            kernels: kernels(),
            dims,
            inner_product,
            numbers: budget.try_vec_filled(padded(dims), 0)?,
            codes,
            half_scale: [0.0; QUERIES],
            norm_squared: [0.0; QUERIES],
            len: 0,
        })
    }

    /// Takes codes, at most [`TILE`], in place of those it had.
    pub fn fill<'c>(&mut self, codes: impl Iterator<Item = (Terms, &'c [u8])>) {
        self.len = 0;
        for (at, (terms, code)) in codes.take(QUERIES).enumerate() {
            numbers(code, self.dims, &mut self.numbers);
            for (byte, number) in self.codes[at].iter_mut().zip(&self.numbers) {
                *byte = (i32::from(*number) + QUERY_OFFSET) as u8;
            }
            self.half_scale[at] = terms.factor / -8.0;
            self.norm_squared[at] = terms.norm_squared;
            self.len = at + 1;
        }
    }

    /// Calls `found(code, place, score)` for the codes of the tile and the places of the panel whose score is
    /// below the code's of `limits`, or near to it.
    #[inline(always)]
    pub fn each_below(
        &self,
        panel: &Panel4,
        limits: &[f32; QUERIES],
        mut found: impl FnMut(usize, usize, f32),
    ) {
        let by_half = if self.inner_product { 0.0 } else { 1.0 };
        let queries = std::array::from_fn(|at| code8::Query {
            code: &self.codes[at],
            scale: self.half_scale[at],
            bound: match self.inner_product {
                true => -2.0 * limits[at],
                false => self.norm_squared[at] - limits[at],
            },
            by_length: 0.0,
            by_error: 0.0,
            by_half,
        });
        let mut products = [[0.0; ROWS]; QUERIES];
        let near = (self.kernels.code8_near)(&queries, &panel.codes, &panel.rows, &mut products);
        let present = u32::MAX >> (ROWS - panel.len.max(1));
        for (at, (near, products)) in near.into_iter().zip(&products).take(self.len).enumerate() {
            let mut near = near & present;
            while near != 0 {
                let place = near.trailing_zeros() as usize;
                near &= near - 1;
                let score = match self.inner_product {
                    true => -0.5 * products[place],
                    false => self.norm_squared[at] + panel.rows.half[place] - products[place],
                };
                found(at, place, score);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Rotation;
    use crate::code4::{self, Query4};
    use crate::rng::Rng;

    fn coded(dims: usize, count: usize, rng: &mut Rng) -> Vec<(Terms, Vec<u8>)> {
        let budget = MemoryBudget::unlimited();
        let rotation = Rotation::new(&budget, dims, 3).unwrap();
        let vectors = (0..count).map(|_| {
            let mut y: Vec<f32> = (0..dims).map(|_| rng.unit() as f32 - 0.3).collect();
            rotation.apply(&mut y);
            let mut code = vec![0; code_bytes(dims)];
            (code4::encode(&y, &mut code), code)
        });
        vectors.collect()
    }

    fn parts(coded: &[(Terms, Vec<u8>)]) -> impl Iterator<Item = (Terms, &[u8])> {
        coded.iter().map(|(terms, code)| (*terms, &code[..]))
    }

    #[test]
    fn scores_are_those_of_one_code_after_the_other() {
        let mut rng = Rng::new(5);
        for dims in [1, 2, 7, 50, 99, 384] {
            for (rows, queries) in [(PANEL, TILE), (1, 1), (PANEL + 3, TILE + 1), (17, 5)] {
                for inner_product in [false, true] {
                    let (rows, asked) =
                        (coded(dims, rows, &mut rng), coded(dims, queries, &mut rng));
                    let mut panel = Panel4::new(dims).unwrap();
                    let mut tile = Tile4::new(dims, inner_product).unwrap();
                    // What they held before leaves no trace.
                    panel.fill(parts(&coded(dims, PANEL, &mut rng)));
                    panel.fill(parts(&rows));
                    tile.fill(parts(&asked));
                    assert_eq!(panel.len(), rows.len().min(PANEL));
                    let score = |query: usize, row: usize| {
                        let mut one = Query4::zeroed(&MemoryBudget::unlimited(), dims).unwrap();
                        one.set_from_code(asked[query].0, &asked[query].1, dims);
                        let (terms, code) = &rows[row];
                        match inner_product {
                            true => one.negative_dot(*terms, code),
                            false => one.l2_squared(*terms, code),
                        }
                    };
                    let mut limits = [f32::INFINITY; TILE];
                    for bounded in [false, true] {
                        let mut found = Vec::new();
                        tile.each_below(&panel, &limits, |query, row, estimate| {
                            let expected = score(query, row);
                            let off = (estimate - expected).abs();
                            assert!(
                                off <= 1e-4 * (1.0 + expected.abs()),
                                "{estimate} {expected}"
                            );
                            found.push((query, row));
                        });
                        let mut expected = Vec::new();
                        for (query, limit) in limits.iter().enumerate().take(asked.len()) {
                            for row in 0..panel.len() {
                                // Near to the limit either is right.
                                let score = score(query, row);
                                let at_limit = (score - limit).abs() <= 1e-4 * (1.0 + score.abs());
                                if score < *limit && !at_limit
                                    || at_limit && found.contains(&(query, row))
                                {
                                    expected.push((query, row));
                                }
                            }
                        }
                        assert_eq!(found, expected, "{dims} {inner_product} {bounded}");
                        for (query, limit) in
                            limits.iter_mut().enumerate().take(asked.len().min(TILE))
                        {
                            *limit = score(query, panel.len() / 2);
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn a_decoded_vector_is_near_to_the_one_it_was_made_of() {
        let mut rng = Rng::new(6);
        for dims in [16, 99, 384] {
            let (terms, code) = &coded(dims, 1, &mut rng)[0];
            let mut y = vec![0.0; dims];
            code4::decode(*terms, code, &mut y);
            let mut again = vec![0; code_bytes(dims)];
            code4::encode(&y, &mut again);
            let mut one = Query4::zeroed(&MemoryBudget::unlimited(), dims).unwrap();
            one.set(&y);
            let norm = terms.norm_squared;
            assert!(one.l2_squared(*terms, code).abs() < 0.03 * norm, "{dims}");
        }
    }
}
