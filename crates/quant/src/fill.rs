//! Centroids where samples do not suffice.

use pgnear_device::Workers;

use crate::job::{Stop, unless_cancelled};
use crate::matrix::{Matrix, normalize};
use crate::rng::Rng;

/// Sets the centroids from `first` on to random vectors near random samples, or to random unit
/// vectors where there is no sample. All are finite, and of unit length where `spherical`.
pub(crate) fn near_samples(
    workers: &Workers<'_>,
    centroids: &mut Matrix,
    first: usize,
    samples: &Matrix,
    spherical: bool,
    rng: &mut Rng,
) -> Result<(), Stop> {
    for c in first..centroids.rows() {
        unless_cancelled(!workers.is_cancelled())?;
        let centroid = centroids.row_mut(c);
        if samples.rows() == 0 {
            random_unit(centroid, rng);
            continue;
        }
        let sample = samples.row(rng.below(samples.rows()));
        // A hundredth of the sample's largest component (1 for a zero sample): near, but apart.
        let largest = sample.iter().fold(0.0f32, |m, x| m.max(x.abs()));
        let spread = if largest > 0.0 { largest * 0.01 } else { 1.0 };
        for (to, from) in centroid.iter_mut().zip(sample) {
            let shift = spread * (2.0 * rng.unit() as f32 - 1.0);
            *to = (from + shift).clamp(-f32::MAX, f32::MAX);
        }
        if spherical {
            normalize(centroid);
        }
    }
    Ok(())
}

fn random_unit(row: &mut [f32], rng: &mut Rng) {
    loop {
        for x in &mut *row {
            *x = 2.0 * rng.unit() as f32 - 1.0;
        }
        normalize(row);
        // All components zero: once in 2^53 for one dimension.
        if row.iter().any(|&x| x != 0.0) || row.is_empty() {
            return;
        }
    }
}
