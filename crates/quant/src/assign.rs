//! Which centroid a row belongs to.

use std::convert::Infallible;

use pgnear_device::{Assign, Nearest};
use pgnear_kernels::{Kernels, code8, kernels};

use crate::job::{Job, QuantError, unless_cancelled};
use crate::matrix::Matrix;
use crate::sieve::{self, Near, Panels, Queries, Seekers};

/// A meaning of "nearest" and the kernels it is computed with. Keys are canonical: the same bits on
/// every CPU. A smaller key is nearer.
#[derive(Clone, Copy)]
pub(crate) struct Space {
    pub(crate) kernels: &'static Kernels,
    pub(crate) by: Assign,
}

impl Space {
    pub(crate) fn new(by: Assign) -> Space {
        Space {
            kernels: kernels(),
            by,
        }
    }

    /// Key of one row against one centroid: the squared distance, or the negative inner product.
    pub(crate) fn key(&self, row: &[f32], centroid: &[f32]) -> f32 {
        match self.by {
            Assign::L2 => (self.kernels.f32_l2_squared)(row, centroid),
            Assign::Dot => -(self.kernels.f32_dot)(row, centroid),
        }
    }

    /// The same bits for four centroids at once, which is cheaper than four calls.
    pub(crate) fn keys4(&self, row: &[f32], centroids: [&[f32]; 4]) -> [f32; 4] {
        match self.by {
            Assign::L2 => (self.kernels.f32_l2_squared_x4)(row, centroids),
            Assign::Dot => (self.kernels.f32_dot_x4)(row, centroids).map(|dot| -dot),
        }
    }
}

/// The best of what was offered: the smallest key, ties to the lowest index.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Best {
    pub(crate) index: u32,
    pub(crate) key: f32,
}

impl Best {
    pub(crate) const NONE: Best = Best {
        index: u32::MAX,
        key: f32::INFINITY,
    };

    /// A NaN key (inner products that overflow to `inf - inf`) counts as the farthest.
    pub(crate) fn offer(&mut self, index: usize, key: f32) {
        let key = if key.is_nan() { f32::INFINITY } else { key };
        let index = index as u32;
        if key < self.key || (key == self.key && index < self.index) {
            *self = Best { index, key };
        }
    }
}

/// The centroid nearest to `row` and its value: the squared distance, or the inner product. Ties go
/// to the lowest index; every CPU and every caller gets the same bits. `(0, _)` without centroids.
pub fn nearest(centroids: &Matrix, row: &[f32], by: Assign) -> (usize, f32) {
    let mut best = [Best::NONE];
    nearest_block(&Space::new(by), centroids, 0, row, &mut best);
    let Best { index, key } = best[0];
    let value = match by {
        Assign::L2 => key,
        Assign::Dot => -key,
    };
    (if index == u32::MAX { 0 } else { index as usize }, value)
}

/// [`nearest`] for every row of `rows` (whole rows, one after the other), on all the job's threads.
pub fn nearest_batch<E>(
    job: &mut Job<'_, E>,
    centroids: &Matrix,
    rows: &[f32],
    by: Assign,
) -> Result<Vec<u32>, QuantError<E>> {
    let count = rows.len() / centroids.dims().max(1);
    let mut found = job.budget.try_vec_filled(count, Nearest::NONE)?;
    // It lives for this call.
    job.budget.give_back(count * size_of::<Nearest>());
    nearest_into(job, centroids, rows, by, &mut found)?;
    Ok(found.iter().map(|nearest| nearest.index).collect())
}

/// The same with keys, into `found`, which is as long as there are rows.
pub(crate) fn nearest_into<E>(
    job: &mut Job<'_, E>,
    centroids: &Matrix,
    rows: &[f32],
    by: Assign,
    found: &mut [Nearest],
) -> Result<(), QuantError<E>> {
    let space = Space::new(by);
    let dims = centroids.dims();
    if dims == 0 || rows.len() != found.len() * dims {
        return Err(QuantError::WrongDimensions {
            expected: dims,
            got: rows.len(),
        });
    }
    let kernels = space.kernels;
    job.run(|workers, _, _| {
        let mut panels = Panels::default();
        let sift = sieve::pays(kernels, found.len()) && centroids.rows() >= 2 * code8::ROWS;
        if sift {
            panels.fill(workers, kernels, dims, centroids.as_slice())?;
        }
        let complete = workers.for_each_chunk_mut(found, ROWS_A_BLOCK, |i, found| {
            let start = i * ROWS_A_BLOCK * dims;
            let rows = &rows[start..start + found.len() * dims];
            let mut best = [Best::NONE; ROWS_A_BLOCK];
            let best = &mut best[..found.len()];
            let mut done = 0;
            // Without memory for codes no centroid is ruled out.
            if sift && let Ok(codes) = Queries::new(kernels, dims, rows) {
                let sieve = Sieve {
                    space,
                    centroids,
                    panels: &panels,
                    first: 0,
                    rows: &codes,
                };
                // Something to compare with.
                let four = std::array::from_fn(|j| centroids.row(j));
                for (row, best) in rows.chunks_exact(dims).zip(&mut *best) {
                    for (c, key) in space.keys4(row, four).into_iter().enumerate() {
                        best.offer(c, key);
                    }
                }
                done = sieve.offer(0, rows, best);
            }
            nearest_block(&space, centroids, done, rows, best);
            for (found, &Best { index, key }) in found.iter_mut().zip(&*best) {
                // Without centroids nothing was offered.
                let index = if index == u32::MAX { 0 } else { index };
                *found = Nearest { index, key };
            }
        });
        unless_cancelled(complete)
    })
}

/// Rows that go through the centroids together: few enough to stay in the first-level cache while
/// the centroids stream past.
pub(crate) const ROWS_A_BLOCK: usize = EIGHTS * code8::QUERIES;
const EIGHTS: usize = 2;

/// Centroids as panels of codes, and rows as queries.
#[derive(Clone, Copy)]
pub(crate) struct Sieve<'a> {
    pub(crate) space: Space,
    pub(crate) centroids: &'a Matrix,
    /// Of the centroids from number `first` on.
    pub(crate) panels: &'a Panels,
    pub(crate) first: usize,
    pub(crate) rows: &'a Queries,
}

impl Sieve<'_> {
    /// Offers to every row of a block (at most [`ROWS_A_BLOCK`], the first of which is query number `start`)
    /// the centroids that may be nearer than its best by their codes, as long as those are few. Returns
    /// the centroid that is next.
    pub(crate) fn offer(&self, start: usize, rows: &[f32], best: &mut [Best]) -> usize {
        let mut block = Block {
            sieve: self,
            rows,
            best,
        };
        let (panels, queries) = (self.panels.iter(), (self.rows, start));
        let Ok(next) =
            sieve::sift::<EIGHTS, _>(self.space.kernels, panels, self.first, queries, &mut block);
        next
    }
}

/// Rows of a block with the best that they have found.
struct Block<'s> {
    sieve: &'s Sieve<'s>,
    rows: &'s [f32],
    best: &'s mut [Best],
}

impl Seekers for Block<'_> {
    type Failed = Infallible;

    fn count(&self) -> usize {
        self.best.len()
    }

    fn looks_for(&self, at: usize) -> Near {
        let key = self.best[at].key;
        match self.sieve.space.by {
            Assign::L2 => Near::Distance(key),
            Assign::Dot => Near::Product(-key),
        }
    }

    #[inline(always)]
    fn measure(&mut self, at: usize, centroid: usize) -> Result<bool, Infallible> {
        let Sieve {
            space, centroids, ..
        } = self.sieve;
        let (best, dims) = (&mut self.best[at], centroids.dims());
        let before = best.index;
        let row = &self.rows[at * dims..][..dims];
        best.offer(centroid, space.key(row, centroids.row(centroid)));
        Ok(best.index != before)
    }
}

/// Offers every centroid from number `first` on to every row of a block, four centroids at a time.
fn nearest_block(space: &Space, centroids: &Matrix, first: usize, rows: &[f32], best: &mut [Best]) {
    let dims = centroids.dims();
    let fours = first + (centroids.rows() - first) / 4 * 4;
    for c in (first..fours).step_by(4) {
        let four = std::array::from_fn(|j| centroids.row(c + j));
        for (row, best) in rows.chunks_exact(dims).zip(&mut *best) {
            for (j, key) in space.keys4(row, four).into_iter().enumerate() {
                best.offer(c + j, key);
            }
        }
    }
    for c in fours..centroids.rows() {
        for (row, best) in rows.chunks_exact(dims).zip(&mut *best) {
            best.offer(c, space.key(row, centroids.row(c)));
        }
    }
}
