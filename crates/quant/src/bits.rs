//! The same for packed bit vectors under Hamming distance.

use std::cmp::Reverse;

use pgnear_device::{MemoryBudget, OutOfMemory, Progress, Workers};
use pgnear_kernels::kernels;

use crate::job::{Job, QuantError, Stop, unless_cancelled};
use crate::kmeans::KMeansOptions;
use crate::matrix::WrongShape;
use crate::rng::Rng;

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
/// `(0, u64::MAX)` without centroids.
pub fn nearest(centroids: &BitMatrix, row: &[u8]) -> (usize, u64) {
    let hamming = kernels().bit_hamming;
    let mut best = (0, u64::MAX);
    for c in 0..centroids.rows() {
        let distance = hamming(row, centroids.row(c));
        if distance < best.1 {
            best = (c, distance);
        }
    }
    best
}

/// Rows of one task.
const ROWS: usize = 64;

/// [`nearest`] for every row of `rows` (whole rows, one after the other), on all the job's threads.
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
        let complete = workers.for_each_chunk_mut(&mut lists, ROWS, |i, lists| {
            let rows = rows[i * ROWS * bytes..].chunks_exact(bytes);
            for (list, row) in lists.iter_mut().zip(rows) {
                *list = nearest(centroids, row).0 as u32;
            }
        });
        unless_cancelled(complete)?;
        Ok(lists)
    })
}

/// Finds `options.k` centroids for `samples`, as [`crate::kmeans()`] does for floats, with the same
/// promises. A bit of a centroid is the majority of its members', a tie gives 0.
/// `options.spherical` means nothing here.
///
/// The Hamming distance is the squared Euclidean distance of bit vectors, so k-means++ draws by it.
/// Fewer samples than centroids: the others are mixed bit by bit from two samples. Without samples
/// they are random, except for the last byte, whose valid bits are not known here: it is zero.
pub fn kmeans<E>(
    job: &mut Job<'_, E>,
    mut samples: BitMatrix,
    options: &KMeansOptions,
) -> Result<BitKMeans, QuantError<E>> {
    if samples.bytes() == 0 {
        return Err(QuantError::WrongDimensions {
            expected: 1,
            got: 0,
        });
    }
    job.run(|workers, budget, progress| {
        progress.begin((options.k + options.max_iterations * options.k) as u64);
        let mut rng = Rng::new(options.seed);
        let mut centroids = BitMatrix::try_zeroed(budget, options.k, samples.bytes())?;
        if samples.rows() <= options.k || options.k == 0 {
            samples.truncate(options.k);
            let given = samples.as_slice();
            centroids.data[..given.len()].copy_from_slice(given);
            mix(workers, &mut centroids, samples.rows(), &samples, &mut rng)?;
            return Ok(BitKMeans {
                centroids,
                error: 0.0,
                iterations: 0,
            });
        }
        let mut best = budget.try_vec_filled(samples.rows(), (0u32, u32::MAX))?;
        seed(
            workers,
            progress,
            &samples,
            &mut centroids,
            &mut best,
            &mut rng,
        )?;
        let mut iterations = 0;
        let mut error = total(&best);
        while iterations < options.max_iterations {
            iterations += 1;
            update(workers, budget, &samples, &mut centroids, &mut best)?;
            let complete = workers.for_each_chunk_mut(&mut best, ROWS, |i, best| {
                for (j, best) in best.iter_mut().enumerate() {
                    let (list, distance) = nearest(&centroids, samples.row(i * ROWS + j));
                    *best = (list as u32, distance as u32);
                }
            });
            unless_cancelled(complete)?;
            progress.advance(options.k as u64);
            let before = std::mem::replace(&mut error, total(&best));
            if error >= before {
                break;
            }
        }
        Ok(BitKMeans {
            centroids,
            error: error as f64 / samples.rows() as f64,
            iterations,
        })
    })
}

fn total(best: &[(u32, u32)]) -> u64 {
    best.iter().map(|&(_, distance)| u64::from(distance)).sum()
}

/// k-means++; leaves every sample assigned.
fn seed(
    workers: &Workers<'_>,
    progress: &Progress,
    samples: &BitMatrix,
    centroids: &mut BitMatrix,
    best: &mut [(u32, u32)],
    rng: &mut Rng,
) -> Result<(), Stop> {
    let hamming = kernels().bit_hamming;
    let mut row = rng.below(samples.rows());
    for c in 0..centroids.rows() {
        centroids.row_mut(c).copy_from_slice(samples.row(row));
        let centroid = centroids.row(c);
        let complete = workers.for_each_chunk_mut(best, ROWS * 16, |i, best| {
            for (j, best) in best.iter_mut().enumerate() {
                let distance = hamming(samples.row(i * ROWS * 16 + j), centroid) as u32;
                if distance < best.1 {
                    *best = (c as u32, distance);
                }
            }
        });
        unless_cancelled(complete)?;
        progress.advance(1);
        let weight = total(best) as usize;
        if weight == 0 {
            // Every sample coincides with a seed already.
            return mix(workers, centroids, c + 1, samples, rng);
        }
        let mut left = rng.below(weight) as u64;
        for (i, &(_, distance)) in best.iter().enumerate() {
            if left < u64::from(distance) {
                row = i;
                break;
            }
            left -= u64::from(distance);
        }
    }
    Ok(())
}

/// Centroids from `first` on, made of the bits of two samples each.
fn mix(
    workers: &Workers<'_>,
    centroids: &mut BitMatrix,
    first: usize,
    samples: &BitMatrix,
    rng: &mut Rng,
) -> Result<(), Stop> {
    let bytes = samples.bytes();
    for c in first..centroids.rows() {
        unless_cancelled(!workers.is_cancelled())?;
        let pick = |rng: &mut Rng| rng.below(samples.rows());
        let (a, b) = (pick(rng), pick(rng));
        for (i, to) in centroids.row_mut(c).iter_mut().enumerate() {
            let mask = rng.next_u64() as u8;
            *to = if samples.rows() > 0 {
                (samples.row(a)[i] & mask) | (samples.row(b)[i] & !mask)
            } else if i + 1 < bytes {
                mask
            } else {
                0
            };
        }
    }
    Ok(())
}

/// Moves every centroid to the majority of its samples, and empty ones to far samples.
fn update(
    workers: &Workers<'_>,
    budget: &MemoryBudget,
    samples: &BitMatrix,
    centroids: &mut BitMatrix,
    best: &mut [(u32, u32)],
) -> Result<(), Stop> {
    let (k, bytes) = (centroids.rows(), centroids.bytes());
    let mut sizes = budget.try_vec_filled(k, 0u32)?;
    for &(list, _) in &*best {
        sizes[list as usize] += 1;
    }
    let mut far = budget.try_vec_with_capacity::<usize>(best.len())?;
    if sizes.contains(&0) {
        far.extend((0..best.len()).filter(|&i| best[i].1 > 0));
        far.sort_unstable_by_key(|&i| (Reverse(best[i].1), i));
    }
    let mut far = far.into_iter();
    for c in 0..k {
        if sizes[c] == 0
            && let Some(i) = far.find(|&i| sizes[best[i].0 as usize] > 1)
        {
            sizes[best[i].0 as usize] -= 1;
            best[i] = (c as u32, 0);
            sizes[c] = 1;
        }
    }
    // Samples sorted by centroid.
    let mut members = budget.try_vec_with_capacity::<u32>(best.len())?;
    members.extend(0..best.len() as u32);
    members.sort_unstable_by_key(|&i| (best[i as usize].0, i));
    let complete = workers.for_each_chunk_mut(&mut centroids.data, bytes, |c, centroid| {
        let from = members.partition_point(|&i| (best[i as usize].0 as usize) < c);
        let mine = &members[from..from + sizes[c] as usize];
        if !mine.is_empty() {
            majority(samples, mine, centroid);
        }
    });
    budget.give_back(k * size_of::<u32>() + best.len() * (size_of::<usize>() + size_of::<u32>()));
    unless_cancelled(complete)
}

/// Each bit as more than half of the members have it.
fn majority(samples: &BitMatrix, members: &[u32], centroid: &mut [u8]) {
    // A few bytes at a time: counters on the stack, however long the vectors are.
    const STRIP: usize = 64;
    for (strip, out) in centroid.chunks_mut(STRIP).enumerate() {
        let mut ones = [0u32; STRIP * 8];
        for &member in members {
            let row = &samples.row(member as usize)[strip * STRIP..];
            for (byte, ones) in row[..out.len()].iter().zip(ones.chunks_exact_mut(8)) {
                for (bit, ones) in ones.iter_mut().enumerate() {
                    *ones += u32::from(byte >> bit & 1);
                }
            }
        }
        for (byte, ones) in out.iter_mut().zip(ones.chunks_exact(8)) {
            *byte = (0..8).fold(0, |byte, bit| {
                byte | u8::from(2 * ones[bit] as usize > members.len()) << bit
            });
        }
    }
}
