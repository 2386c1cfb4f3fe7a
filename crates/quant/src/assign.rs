//! Which centroid a row belongs to.

use pgnear_device::{Assign, Nearest};
use pgnear_kernels::{Kernels, kernels};

use crate::job::{Job, QuantError, unless_cancelled};
use crate::matrix::Matrix;

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
    nearest_block(&Space::new(by), centroids, row, &mut best);
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
    job.run(|workers, _, _| {
        let complete = workers.for_each_chunk_mut(found, ROWS_A_BLOCK, |i, found| {
            let start = i * ROWS_A_BLOCK * dims;
            let rows = &rows[start..start + found.len() * dims];
            let mut best = [Best::NONE; ROWS_A_BLOCK];
            nearest_block(&space, centroids, rows, &mut best);
            for (found, Best { index, key }) in found.iter_mut().zip(best) {
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
pub(crate) const ROWS_A_BLOCK: usize = 16;

/// Offers every centroid to every row of a block, four centroids at a time.
fn nearest_block(space: &Space, centroids: &Matrix, rows: &[f32], best: &mut [Best]) {
    let dims = centroids.dims();
    let fours = centroids.rows() / 4 * 4;
    for c in (0..fours).step_by(4) {
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
