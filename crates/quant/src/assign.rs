//! Which centroid a row belongs to.

use crate::job::{Job, QuantError, unless_cancelled};
use crate::kernel;
use crate::matrix::Matrix;

/// What "nearest" means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Assign {
    /// Smallest squared Euclidean distance.
    L2,
    /// Largest inner product. With centroids of unit length that is the smallest angle, whatever
    /// the length of the row.
    Dot,
}

impl Assign {
    /// Keys of one row against four centroids: smaller is nearer. Canonical bits.
    pub(crate) fn keys4(self, row: &[f32], centroids: [&[f32]; 4]) -> [f32; 4] {
        match self {
            Assign::L2 => kernel::l2_squared_x4(row, centroids),
            Assign::Dot => kernel::dot_x4(row, centroids).map(|dot| -dot),
        }
    }

    /// Key of one row against one centroid, the same bits as [`Self::keys4`].
    pub(crate) fn key(self, row: &[f32], centroid: &[f32]) -> f32 {
        match self {
            Assign::L2 => kernel::l2_squared(row, centroid),
            Assign::Dot => -kernel::dot(row, centroid),
        }
    }
}

/// The best of what was offered: the smallest key, ties to the lowest index.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Best {
    pub(crate) index: usize,
    pub(crate) key: f32,
}

impl Best {
    pub(crate) const NONE: Best = Best {
        index: usize::MAX,
        key: f32::INFINITY,
    };

    /// NaN keys (an overflow of `inf - inf`) never win, except over nothing at all.
    pub(crate) fn offer(&mut self, index: usize, key: f32) {
        let key = if key.is_nan() { f32::INFINITY } else { key };
        if key < self.key || (key == self.key && index < self.index) {
            *self = Best { index, key };
        }
    }
}

/// The centroid nearest to `row` and its key: the squared distance, or the inner product. Ties go
/// to the lowest index; every CPU and every caller gets the same bits. `(0, _)` without centroids.
pub fn nearest(centroids: &Matrix, row: &[f32], by: Assign) -> (usize, f32) {
    let mut best = [Best::NONE];
    nearest_block(centroids, row, by, &mut best);
    let Best { index, key } = best[0];
    let value = match by {
        Assign::L2 => key,
        Assign::Dot => -key,
    };
    (if index == usize::MAX { 0 } else { index }, value)
}

/// [`nearest`] for every row of `rows` (whole rows, one after the other).
pub fn nearest_batch<E>(
    job: &mut Job<'_, E>,
    centroids: &Matrix,
    rows: &[f32],
    by: Assign,
) -> Result<Vec<u32>, QuantError<E>> {
    let dims = centroids.dims();
    if dims == 0 || !rows.len().is_multiple_of(dims) {
        return Err(QuantError::WrongDimensions {
            expected: dims,
            got: rows.len(),
        });
    }
    job.run(|workers, budget, _| {
        let mut lists = budget.try_vec_filled(rows.len() / dims, 0u32)?;
        let complete = workers.for_each_chunk_mut(&mut lists, ROWS_A_BLOCK, |i, lists| {
            let start = i * ROWS_A_BLOCK * dims;
            let mut best = [Best::NONE; ROWS_A_BLOCK];
            let best = &mut best[..lists.len()];
            nearest_block(
                centroids,
                &rows[start..start + lists.len() * dims],
                by,
                best,
            );
            for (list, best) in lists.iter_mut().zip(best) {
                *list = if best.index == usize::MAX {
                    0
                } else {
                    best.index as u32
                };
            }
        });
        unless_cancelled(complete)?;
        Ok(lists)
    })
}

/// Rows that go through the centroids together: few enough to stay in the first-level cache while
/// the centroids stream past.
pub(crate) const ROWS_A_BLOCK: usize = 16;

/// Offers every centroid to every row of a block.
pub(crate) fn nearest_block(centroids: &Matrix, rows: &[f32], by: Assign, best: &mut [Best]) {
    visit_block(centroids, rows, by, |r, c, key| best[r].offer(c, key));
}

/// Calls `visit(row, centroid, key)` for every pair, four centroids at a time over all the rows.
pub(crate) fn visit_block(
    centroids: &Matrix,
    rows: &[f32],
    by: Assign,
    mut visit: impl FnMut(usize, usize, f32),
) {
    let dims = centroids.dims();
    let fours = centroids.rows() / 4 * 4;
    for c in (0..fours).step_by(4) {
        let four = std::array::from_fn(|j| centroids.row(c + j));
        for (r, row) in rows.chunks_exact(dims).enumerate() {
            for (j, key) in by.keys4(row, four).into_iter().enumerate() {
                visit(r, c + j, key);
            }
        }
    }
    for c in fours..centroids.rows() {
        for (r, row) in rows.chunks_exact(dims).enumerate() {
            visit(r, c, by.key(row, centroids.row(c)));
        }
    }
}
