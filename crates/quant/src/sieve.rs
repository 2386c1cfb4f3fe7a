//! Which of many rows may be near which of many queries, told by their codes ([`pgnear_kernels::code8`]).
//! Never wrong: what is ruled out is farther by the operator's own sums, rounding included.

use pgnear_device::{OutOfMemory, Workers};
use pgnear_kernels::{
    Kernels, Level,
    code8::{self, GROUP, QUERIES, QUERY_MOST, QUERY_OFFSET, ROW_MOST, ROWS},
};

use crate::job::{Stop, unless_cancelled};
use crate::rounding::{has_code, left};

/// Where more than one in so many rows may be near, telling which ones are costs more than it saves.
const FEW: usize = 2;

/// Whether codes are faster than sums here.
pub(crate) fn pays(kernels: &Kernels, queries: usize) -> bool {
    kernels.level > Level::Scalar && queries >= 2 * QUERIES
}

/// Whether telling which of `looked_at` rows are near was in vain.
fn in_vain(near: usize, looked_at: usize) -> bool {
    near * FEW > looked_at
}

/// What a sum of products in `f32` may be off by, in any order, as a share of the product of both lengths
/// (Higham, Accuracy and Stability of Numerical Algorithms, section 3.1): one unit for each addition to a
/// lane and each step of the tree, far fewer than `dims / 8 + 64` half units.
fn off_by(dims: usize) -> f64 {
    (dims / 8 + 64) as f64 / (1u64 << 23) as f64
}

/// Rows in the layout of codes.
#[derive(Default)]
pub(crate) struct Panels {
    panels: Vec<Panel>,
}

pub(crate) struct Panel {
    /// Of one row.
    code: Vec<i8>,
    codes: Vec<i8>,
    rows: code8::Rows,
}

impl Panels {
    /// Takes rows, whole vectors one after the other, in place of those it had; fewer than fill a panel
    /// are left over.
    pub(crate) fn fill(
        &mut self,
        workers: &Workers<'_>,
        kernels: &Kernels,
        dims: usize,
        rows: &[f32],
    ) -> Result<(), Stop> {
        let panels = self.prepare(dims, rows.len() / dims)?;
        let complete = workers.for_each_mut(panels, |at, panel| {
            panel.fill(kernels, &rows[at * ROWS * dims..][..ROWS * dims]);
        });
        unless_cancelled(complete)
    }

    /// Room for `rows` rows.
    fn prepare(&mut self, dims: usize, rows: usize) -> Result<&mut [Panel], OutOfMemory> {
        let (count, bytes) = (rows / ROWS, dims.next_multiple_of(GROUP) * ROWS);
        let no_room = |_| OutOfMemory {
            bytes: count * bytes,
        };
        self.panels.truncate(count);
        self.panels
            .try_reserve(count - self.panels.len())
            .map_err(no_room)?;
        while self.panels.len() < count {
            let (mut code, mut codes) = (Vec::new(), Vec::new());
            code.try_reserve_exact(dims).map_err(no_room)?;
            code.resize(dims, 0);
            codes.try_reserve_exact(bytes).map_err(no_room)?;
            codes.resize(bytes, 0);
            let rows = code8::Rows::UNKNOWN;
            self.panels.push(Panel { code, codes, rows });
        }
        Ok(&mut self.panels)
    }

    /// The panels, in the order of their rows.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Panel> {
        self.panels.iter()
    }
}

impl Panel {
    /// Takes [`ROWS`] rows, whole vectors one after the other.
    fn fill(&mut self, kernels: &Kernels, rows: &[f32]) {
        let dims = rows.len() / ROWS;
        let rounded = 1.0 - 2.0 * off_by(dims) as f32;
        for (at, row) in rows.chunks_exact(dims).enumerate() {
            let norm = (kernels.f32_norm_squared)(row);
            let code = &mut self.code[..dims];
            let encoded = (kernels.code8_encode)(row, ROW_MOST, code);
            let length = norm.sqrt();
            self.rows.length[at] = length;
            self.rows.offset[at] = QUERY_OFFSET * encoded.sum;
            self.rows.error[at] = left(encoded.error, length);
            self.rows.half[at] = norm * 0.5 * rounded;
            self.rows.scale[at] = if has_code(length) {
                encoded.scale
            } else {
                f32::NAN
            };
            code8::place(code, at, &mut self.codes);
        }
    }

    /// For each query a bit for each row that may be near.
    fn near(&self, kernels: &Kernels, queries: &[code8::Query<'_>; QUERIES]) -> [u32; QUERIES] {
        let mut products = [[0.0; ROWS]; QUERIES];
        (kernels.code8_near)(queries, &self.codes, &self.rows, &mut products)
    }
}

/// Queries as codes.
pub(crate) struct Queries {
    dims: usize,
    bytes: usize,
    codes: Vec<u8>,
    known: Vec<Known>,
}

/// What is known of a query beside its code.
#[derive(Clone, Copy)]
struct Known {
    scale: f32,
    length: f64,
    error: f64,
}

/// What a row must have to be near.
#[derive(Clone, Copy)]
pub(crate) enum Near {
    /// A product of no less.
    Product(f32),
    /// A product with the row of length one of no less.
    Cosine(f32),
    /// A squared distance of no more.
    Distance(f32),
}

impl Queries {
    /// Bytes that a query takes.
    pub(crate) fn bytes_a_query(dims: usize) -> usize {
        dims.next_multiple_of(GROUP) + size_of::<Known>()
    }

    /// Codes of `queries`, whole vectors one after the other.
    pub(crate) fn new(
        kernels: &Kernels,
        dims: usize,
        queries: &[f32],
    ) -> Result<Queries, OutOfMemory> {
        let (count, bytes) = (queries.len() / dims, dims.next_multiple_of(GROUP));
        let no_room = |_| OutOfMemory {
            bytes: count * bytes,
        };
        let (mut codes, mut code, mut known) = (Vec::new(), Vec::new(), Vec::new());
        codes.try_reserve_exact(count * bytes).map_err(no_room)?;
        code.try_reserve_exact(bytes).map_err(no_room)?;
        code.resize(bytes, 0);
        known.try_reserve_exact(count).map_err(no_room)?;
        for query in queries.chunks_exact(dims) {
            let encoded = (kernels.code8_encode)(query, QUERY_MOST, &mut code[..dims]);
            codes.extend(
                code.iter()
                    .map(|number| (i32::from(*number) + QUERY_OFFSET) as u8),
            );
            let length = (kernels.f32_norm_squared)(query).sqrt();
            known.push(Known {
                scale: if has_code(length) {
                    encoded.scale
                } else {
                    f32::NAN
                },
                length: f64::from(length),
                error: f64::from(left(encoded.error, length)),
            });
        }
        Ok(Queries {
            dims,
            bytes,
            codes,
            known,
        })
    }

    /// Query number `at`, looking for what is near.
    ///
    /// With a row `x` of scale `s`, code `c` and rest `d`, and the query `y = t * b + e`:
    /// `x * y = s * t * (c * b) + (x - d) * e + d * y`, and by Cauchy and Schwarz the last two are at most
    /// `(|x| + |d|) * |e| + |d| * |y|`. What the sums by which the operator measures are off by is added to that.
    fn query(&self, at: usize, near: Near) -> code8::Query<'_> {
        let Known {
            scale,
            length,
            error,
        } = self.known[at];
        let off_by = off_by(self.dims);
        let mut by_length = -(error + 2.0 * off_by * length);
        let (bound, by_half) = match near {
            Near::Product(least) => (f64::from(least), 0.0),
            Near::Cosine(least) => {
                by_length += f64::from(least);
                (0.0, 0.0)
            }
            // Half of |x|² + |y|² - |x - y|².
            Near::Distance(most) => {
                let most = f64::from(most) * (1.0 + 2.0 * off_by);
                (0.5 * (length * length * (1.0 - 2.0 * off_by) - most), 1.0)
            }
        };
        // Less by more than what adding them up in `f32` takes.
        let lower = |part: f64| (part - part.abs() / (1u64 << 19) as f64) as f32;
        code8::Query {
            code: &self.codes[at * self.bytes..][..self.bytes],
            scale,
            bound: lower(bound),
            by_length: lower(by_length),
            by_error: lower(-(length + error)),
            by_half: lower(by_half),
        }
    }
}

/// Who looks for near rows.
pub(crate) trait Seekers {
    /// Why a row can't be measured.
    type Failed;
    /// How many they are.
    fn count(&self) -> usize;
    /// What number `at` looks for now.
    fn looks_for(&self, at: usize) -> Near;
    /// Measures row `row` for number `at`; whether that looks for something else from now on.
    fn measure(&mut self, at: usize, row: usize) -> Result<bool, Self::Failed>;
}

/// Every seeker (eight times `EIGHTS` at most, the first of them query number `start`) measures the rows of
/// `panels` that may be near by their codes, as long as those are few. `next` is the number of the first row;
/// returns that of the row at which it ended.
pub(crate) fn sift<'p, const EIGHTS: usize, S: Seekers>(
    kernels: &Kernels,
    panels: impl Iterator<Item = &'p Panel>,
    mut next: usize,
    (queries, start): (&Queries, usize),
    seekers: &mut S,
) -> Result<usize, S::Failed> {
    let count = seekers.count();
    // The last one again where fewer are left.
    let query = |seekers: &S, at: usize| {
        let at = at.min(count - 1);
        queries.query(start + at, seekers.looks_for(at))
    };
    let mut eights: [[code8::Query<'_>; QUERIES]; EIGHTS] =
        std::array::from_fn(|eight| std::array::from_fn(|at| query(seekers, eight * QUERIES + at)));
    let (mut looked_at, mut measured) = (0, 0);
    for panel in panels {
        for (eight, first) in eights.iter_mut().zip((0..count).step_by(QUERIES)) {
            let near = panel.near(kernels, eight);
            for (at, mut near) in (first..count).zip(near) {
                let mut changed = false;
                while near != 0 {
                    let row = next + near.trailing_zeros() as usize;
                    near &= near - 1;
                    measured += 1;
                    changed |= seekers.measure(at, row)?;
                }
                if changed {
                    eight[at - first] = query(seekers, at);
                }
            }
        }
        next += ROWS;
        looked_at += ROWS * count;
        if in_vain(measured, looked_at) {
            break;
        }
    }
    Ok(next)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::matrix::Matrix;
    use crate::rng::Rng;
    use crate::rounding::tests::{KINDS, vectors};
    use pgnear_kernels::kernels;

    /// How many of the pairs that are farther than every limit are ruled out.
    fn sifted(kind: usize, dims: usize, rng: &mut Rng) -> f64 {
        let kernels = kernels();
        let asked = vectors(kind, QUERIES, dims, rng);
        let rows = vectors(kind, ROWS, dims, rng);
        let norm = |vector: &[f32]| (kernels.f32_norm_squared)(vector);
        let row_norms: Vec<f32> = rows.chunks(dims).map(norm).collect();
        let matrix = Matrix::try_from_vec(dims, asked).unwrap();
        let queries = Queries::new(kernels, dims, matrix.as_slice()).unwrap();
        let mut panels = Panels::default();
        let panel = &mut panels.prepare(dims, ROWS).unwrap()[0];
        panel.fill(kernels, &rows);
        let (mut far, mut ruled_out) = (0, 0);
        for pick in 0..ROWS {
            for form in 0..3 {
                // Each row in turn is just near enough.
                let value = |query: usize, row: usize| {
                    let (query, row_at) = (matrix.row(query), &rows[row * dims..][..dims]);
                    match form {
                        0 => (kernels.f32_dot)(query, row_at),
                        1 => (kernels.f32_dot)(query, row_at) / row_norms[row].sqrt(),
                        _ => -(kernels.f32_l2_squared)(query, row_at),
                    }
                };
                let looking = std::array::from_fn(|query| {
                    let limit = value(query, pick);
                    queries.query(
                        query,
                        match form {
                            0 => Near::Product(limit),
                            1 => Near::Cosine(limit - limit.abs() * 1e-6),
                            _ => Near::Distance(-limit),
                        },
                    )
                });
                let near = panel.near(kernels, &looking);
                for (query, near) in near.into_iter().enumerate() {
                    let limit = value(query, pick);
                    for row in 0..ROWS {
                        let (is_near, value) = (near >> row & 1 == 1, value(query, row));
                        if value >= limit || value.is_nan() || limit.is_nan() {
                            assert!(is_near, "{kind} {dims} {form}: {value} of {limit}");
                        } else {
                            far += 1;
                            ruled_out += usize::from(!is_near);
                        }
                    }
                }
            }
        }
        f64::from(ruled_out as u32) / f64::from(far.max(1) as u32)
    }

    #[test]
    fn what_is_near_is_never_ruled_out() {
        let mut rng = Rng::new(11);
        for kind in 0..KINDS {
            for dims in [1, 2, 3, 5, 17, 64, 100, 384, 1025] {
                for _ in 0..3 {
                    sifted(kind, dims, &mut rng);
                }
            }
        }
    }

    #[test]
    fn most_of_what_is_far_is_ruled_out() {
        let mut rng = Rng::new(12);
        for (kind, least) in [(0, 0.6), (2, 0.6), (3, 0.6), (5, 0.2)] {
            let share = sifted(kind, 384, &mut rng);
            assert!(share > least, "{share} of kind {kind}");
        }
    }
}
