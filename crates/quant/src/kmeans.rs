//! k-means: exact k-means++ seeding in blocked passes, then Lloyd's iterations.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use pgnear_device::{Assign, Device, DeviceError, MemoryBudget, Nearest, Progress, Workers};
use pgnear_kernels::Kernels;

use crate::assign::Space;
use crate::fill;
use crate::job::{Job, QuantError, Stop, unless_cancelled};
use crate::lloyd::{Elsewhere, Lloyd};
use crate::matrix::{Matrix, normalize};
use crate::rng::Rng;

/// What [`kmeans`] is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KMeansOptions {
    /// Centroids wanted.
    pub k: usize,
    /// Rounds of update and assignment at most; fewer where the error hardly falls any more.
    pub max_iterations: usize,
    /// Same samples and seed: same centroids, to the bit.
    pub seed: u64,
    /// Samples are taken by their direction only (zero rows, which have none, are left out), and
    /// centroids kept at unit length.
    pub spherical: bool,
}

impl KMeansOptions {
    /// What "nearest" means.
    pub fn by(&self) -> Assign {
        if self.spherical {
            Assign::Dot
        } else {
            Assign::L2
        }
    }
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
    /// Mean squared Euclidean distance of the samples (by direction where spherical) to their
    /// nearest centroid; 0 without samples.
    pub error: f64,
    /// Rounds done.
    pub iterations: usize,
}

/// Finds `options.k` centroids for `samples`, which are used up.
///
/// Fewer samples than centroids: every sample is a centroid, and the others are random vectors near
/// samples; without samples, random unit vectors. The result depends on samples, `k`, seed,
/// iterations and `spherical` only: not on threads, CPU level or memory.
pub fn kmeans<E>(
    job: &mut Job<'_, E>,
    samples: Matrix,
    options: &KMeansOptions,
) -> Result<KMeans, QuantError<E>> {
    if samples.dims() == 0 {
        return Err(QuantError::WrongDimensions {
            expected: 1,
            got: 0,
        });
    }
    let kernels = pgnear_kernels::kernels();
    job.run(|workers, budget, progress| {
        let mut samples = samples;
        prepare(workers, &mut samples, options.spherical)?;
        run(workers, budget, progress, kernels, &samples, options, None)
    })
}

/// Samples as k-means takes them: finite, and for [`KMeansOptions::spherical`] of unit length, without
/// those that have no direction.
pub struct Prepared(Matrix);

/// Prepares samples, for [`kmeans_prepared`] and [`kmeans_on`].
///
/// # Errors
/// As for [`kmeans`].
pub fn prepared<E>(
    job: &mut Job<'_, E>,
    mut samples: Matrix,
    options: &KMeansOptions,
) -> Result<Prepared, QuantError<E>> {
    if samples.dims() == 0 {
        return Err(QuantError::WrongDimensions {
            expected: 1,
            got: 0,
        });
    }
    job.run(|workers, _, _| {
        prepare(workers, &mut samples, options.spherical)?;
        Ok(Prepared(samples))
    })
}

/// [`kmeans`] over samples that are prepared.
///
/// # Errors
/// As for [`kmeans`].
pub fn kmeans_prepared<E>(
    job: &mut Job<'_, E>,
    samples: &Prepared,
    options: &KMeansOptions,
) -> Result<KMeans, QuantError<E>> {
    let kernels = pgnear_kernels::kernels();
    job.run(|workers, budget, progress| {
        run(
            workers, budget, progress, kernels, &samples.0, options, None,
        )
    })
}

/// [`kmeans_prepared`] with every distance computed on a device; the same centroids, to the bit. What is
/// left is done on the calling thread.
///
/// # Errors
/// As for [`kmeans`], and those of the device.
pub fn kmeans_on<E>(
    device: &mut dyn Device<E>,
    job: &mut Job<'_, E>,
    samples: &Prepared,
    options: &KMeansOptions,
) -> Result<KMeans, DeviceError<E>> {
    let (samples, by) = (&samples.0, options.by());
    let mut assigner = device.assigner(by, samples.dims(), samples.as_slice())?;
    // How the device failed: by an error, or by a panic that belongs to whoever waits for it.
    let mut failed = None;
    let mut elsewhere = |centroids: &[f32], nearest: &mut [Nearest]| -> bool {
        let outcome = catch_unwind(AssertUnwindSafe(|| assigner.nearest(centroids, nearest)));
        match outcome {
            Ok(Ok(())) => return true,
            Ok(Err(error)) => failed = Some(Ok(error)),
            Err(panic) => failed = Some(Err(panic)),
        }
        false
    };
    let kernels = pgnear_kernels::kernels();
    let outcome = job.run_here(|workers, budget, progress| {
        let elsewhere = Some(&mut elsewhere as &mut Elsewhere<'_>);
        run(
            workers, budget, progress, kernels, samples, options, elsewhere,
        )
    });
    match failed {
        Some(Err(panic)) => resume_unwind(panic),
        Some(Ok(error)) => Err(error),
        None => Ok(outcome?),
    }
}

pub(crate) fn run(
    workers: &Workers<'_>,
    budget: &MemoryBudget,
    progress: &Progress,
    kernels: &'static Kernels,
    samples: &Matrix,
    options: &KMeansOptions,
    elsewhere: Option<&mut Elsewhere<'_>>,
) -> Result<KMeans, Stop> {
    let (k, dims) = (options.k, samples.dims());
    // In units of one centroid against all samples; an iteration costs about an eighth of the
    // seeding, which does that k times.
    let step = (k / 8).max(1) as u64;
    progress.begin(k as u64 + step * options.max_iterations as u64);
    let mut rng = Rng::new(options.seed);
    let mut centroids = Matrix::try_zeroed(budget, k, dims)?;
    if samples.rows() <= k || k == 0 {
        let given = samples.rows().min(k);
        let data = &samples.as_slice()[..given * dims];
        centroids.as_mut_slice()[..data.len()].copy_from_slice(data);
        fill::near_samples(
            workers,
            &mut centroids,
            given,
            samples,
            options.spherical,
            &mut rng,
        )?;
        return Ok(KMeans {
            centroids,
            error: 0.0,
            iterations: 0,
        });
    }
    let space = Space {
        kernels,
        by: options.by(),
    };
    let mut lloyd = Lloyd::new(
        workers, budget, space, samples, centroids, elsewhere, &mut rng,
    )?;
    lloyd.seed(&mut rng, progress)?;
    let mut iterations = 0;
    let mut error = lloyd.error();
    while iterations < options.max_iterations {
        iterations += 1;
        lloyd.update()?;
        // Seeds are samples: on their way to a mean they move so far that bounds rule out nothing.
        let changed = if iterations == 1 {
            lloyd.assign_plainly()?
        } else {
            lloyd.assign()?
        };
        progress.advance(step);
        let before = std::mem::replace(&mut error, lloyd.error());
        if changed == 0 || before - error < before * ENOUGH {
            break;
        }
    }
    Ok(KMeans {
        error: error / samples.rows() as f64,
        centroids: lloyd.into_centroids(),
        iterations,
    })
}

/// An iteration that lowers the error by less than this share is the last.
const ENOUGH: f64 = 1e-4;

/// Refuses what is not finite; makes spherical samples unit vectors and drops those that cannot be.
fn prepare(workers: &Workers<'_>, samples: &mut Matrix, spherical: bool) -> Result<(), Stop> {
    const ROWS: usize = 256;
    let dims = samples.dims();
    let bad = std::sync::atomic::AtomicUsize::new(usize::MAX);
    let complete = workers.for_each_chunk_mut(samples.as_mut_slice(), ROWS * dims, |i, rows| {
        for (j, row) in rows.chunks_exact_mut(dims).enumerate() {
            if !row.iter().all(|x| x.is_finite()) {
                bad.fetch_min(i * ROWS + j, std::sync::atomic::Ordering::Relaxed);
            } else if spherical {
                normalize(row);
            }
        }
    });
    unless_cancelled(complete)?;
    let row = bad.into_inner();
    if row != usize::MAX {
        return Err(Stop::NotFinite { row });
    }
    if spherical {
        samples.retain_rows(|row| row.iter().any(|&x| x != 0.0));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use pgnear_device::{CancelFlag, Pool};
    use pgnear_kernels::{Level, kernels_at};

    use super::*;

    /// The same run on the kernels of each level this CPU has.
    #[test]
    fn every_cpu_level_gives_the_same_bits() {
        let mut rng = Rng::new(7);
        let data: Vec<f32> = (0..600 * 77).map(|_| rng.unit() as f32 - 0.4).collect();
        for spherical in [false, true] {
            let options = KMeansOptions {
                k: 23,
                seed: 5,
                spherical,
                ..KMeansOptions::default()
            };
            let mut first: Option<KMeans> = None;
            for level in Level::ALL {
                let Some(kernels) = kernels_at(level) else {
                    println!("this CPU has no {level:?}");
                    continue;
                };
                let samples = Matrix::try_from_vec(77, data.clone()).unwrap();
                let found = Pool::inline()
                    .run(&CancelFlag::new(), &mut || Ok::<(), ()>(()), |workers| {
                        let budget = MemoryBudget::unlimited();
                        let mut samples = samples;
                        prepare(workers, &mut samples, spherical).unwrap();
                        let progress = Progress::new();
                        run(
                            workers, &budget, &progress, kernels, &samples, &options, None,
                        )
                        .unwrap()
                    })
                    .unwrap();
                assert!(found.iterations > 1);
                match &first {
                    None => first = Some(found),
                    Some(first) => assert_eq!(&found, first, "{level:?}"),
                }
            }
        }
    }
}
