//! Lloyd's k-means.

use pgnear_device::{MemoryBudget, Progress, Workers};

use crate::job::{Job, QuantError, Stop};
use crate::matrix::Matrix;

/// What [`kmeans`] is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KMeansOptions {
    /// Centroids wanted.
    pub k: usize,
    /// Rounds of assignment and update at most; fewer where nothing changes any more.
    pub max_iterations: usize,
    /// Same samples and seed: same centroids.
    pub seed: u64,
    /// Samples are taken by their direction only, and centroids kept at unit length.
    pub spherical: bool,
}

impl Default for KMeansOptions {
    fn default() -> KMeansOptions {
        KMeansOptions {
            k: 1,
            max_iterations: 20,
            seed: 0,
            spherical: false,
        }
    }
}

/// What [`kmeans`] found.
#[derive(Debug, Clone, PartialEq)]
pub struct KMeans {
    /// `k` centroids, all finite; of unit length where spherical.
    pub centroids: Matrix,
    /// Mean squared Euclidean distance of the samples (normalised where spherical) to their
    /// nearest centroid.
    pub error: f64,
    /// Rounds done.
    pub iterations: usize,
}

/// Finds `options.k` centroids for `samples`.
pub fn kmeans<E>(
    job: &mut Job<'_, E>,
    samples: Matrix,
    options: &KMeansOptions,
) -> Result<KMeans, QuantError<E>> {
    job.run(|workers, budget, progress| run(workers, budget, progress, samples, options))
}

fn run(
    _workers: &Workers<'_>,
    budget: &MemoryBudget,
    _progress: &Progress,
    samples: Matrix,
    options: &KMeansOptions,
) -> Result<KMeans, Stop> {
    Ok(KMeans {
        centroids: Matrix::try_zeroed(budget, options.k, samples.dims())?,
        error: 0.0,
        iterations: 0,
    })
}
