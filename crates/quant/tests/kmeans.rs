//! What a builder of lists relies on, through the public interface.

use std::collections::HashSet;

use pgnear_device::{CancelFlag, MemoryBudget, OutOfMemory, Pool, Progress};
use pgnear_quant::{
    Assign, Job, KMeans, KMeansOptions, Matrix, QuantError, kmeans, nearest, nearest_batch,
};

/// xorshift64*: the tests' own numbers, independent of the crate's.
struct Numbers(u64);

impl Numbers {
    fn unit(&mut self) -> f32 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 40) as f32 / (1u64 << 24) as f32
    }

    /// Roughly normal.
    fn normal(&mut self) -> f32 {
        (0..6).map(|_| self.unit()).sum::<f32>() - 3.0
    }
}

/// `rows` points around `clumps` centres.
fn clumps(rows: usize, dims: usize, clumps: usize, spread: f32, seed: u64) -> Matrix {
    let mut numbers = Numbers(seed);
    let centres: Vec<f32> = (0..clumps * dims).map(|_| numbers.normal()).collect();
    let data = (0..rows * dims)
        .map(|i| {
            let (row, dim) = (i / dims, i % dims);
            centres[(row % clumps) * dims + dim] + spread * numbers.normal()
        })
        .collect();
    Matrix::try_from_vec(dims, data).unwrap()
}

fn run_with(
    threads: usize,
    budget: &MemoryBudget,
    samples: &Matrix,
    options: &KMeansOptions,
) -> Result<KMeans, QuantError<&'static str>> {
    let (pool, cancel, progress) = (Pool::new(threads), CancelFlag::new(), Progress::new());
    let result = kmeans(
        &mut Job {
            pool: &pool,
            budget,
            cancel: &cancel,
            progress: &progress,
            poll: &mut || Ok(()),
        },
        samples.clone(),
        options,
    );
    assert!(progress.done() <= progress.total());
    result
}

fn run(samples: &Matrix, options: &KMeansOptions) -> KMeans {
    run_with(1, &MemoryBudget::unlimited(), samples, options).unwrap()
}

fn options(k: usize) -> KMeansOptions {
    KMeansOptions {
        k,
        ..KMeansOptions::default()
    }
}

fn spherical(k: usize) -> KMeansOptions {
    KMeansOptions {
        k,
        spherical: true,
        ..KMeansOptions::default()
    }
}

fn squared(a: &[f32], b: &[f32]) -> f64 {
    a.iter()
        .zip(b)
        .map(|(x, y)| f64::from(x - y) * f64::from(x - y))
        .sum()
}

fn bits(m: &Matrix) -> Vec<u32> {
    m.as_slice().iter().map(|x| x.to_bits()).collect()
}

/// Mean squared distance in f64 to the nearest centroid.
fn error_of(samples: &Matrix, centroids: &Matrix) -> f64 {
    let nearest = |i| {
        (0..centroids.rows())
            .map(|c| squared(samples.row(i), centroids.row(c)))
            .fold(f64::INFINITY, f64::min)
    };
    (0..samples.rows()).map(nearest).sum::<f64>() / samples.rows() as f64
}

/// Textbook k-means++ and Lloyd in f64, until nothing changes.
fn oracle(samples: &Matrix, k: usize, seed: u64) -> f64 {
    let (n, dims) = (samples.rows(), samples.dims());
    let mut numbers = Numbers(seed);
    let mut centroids = vec![
        samples
            .row((numbers.unit() * n as f32) as usize % n)
            .to_vec(),
    ];
    let mut weights = vec![f64::INFINITY; n];
    while centroids.len() < k {
        for (i, weight) in weights.iter_mut().enumerate() {
            *weight = weight.min(squared(samples.row(i), &centroids[centroids.len() - 1]));
        }
        let mut left = f64::from(numbers.unit()) * weights.iter().sum::<f64>();
        let mut pick = 0;
        for (i, weight) in weights.iter().enumerate() {
            pick = i;
            left -= weight;
            if left < 0.0 {
                break;
            }
        }
        centroids.push(samples.row(pick).to_vec());
    }
    let mut assigned = vec![usize::MAX; n];
    loop {
        let before = assigned.clone();
        let mut sums = vec![vec![0.0f64; dims]; k];
        let mut counts = vec![0usize; k];
        for (i, assigned) in assigned.iter_mut().enumerate() {
            let distance = |c: &usize| squared(samples.row(i), &centroids[*c]);
            let c = (0..k)
                .min_by(|a, b| distance(a).total_cmp(&distance(b)))
                .unwrap();
            *assigned = c;
            counts[c] += 1;
            for (sum, x) in sums[c].iter_mut().zip(samples.row(i)) {
                *sum += f64::from(*x);
            }
        }
        if assigned == before {
            break;
        }
        for c in (0..k).filter(|&c| counts[c] > 0) {
            for (to, sum) in centroids[c].iter_mut().zip(&sums[c]) {
                *to = (sum / counts[c] as f64) as f32;
            }
        }
    }
    error_of(
        samples,
        &Matrix::try_from_vec(dims, centroids.concat()).unwrap(),
    )
}

#[test]
fn threads_and_memory_change_no_bit() {
    for (samples, options) in [
        (clumps(3000, 19, 40, 0.5, 1), options(50)),
        (clumps(3000, 19, 40, 0.5, 2), spherical(50)),
        // No structure: bounds are at their weakest, ties at their most frequent.
        (clumps(2000, 3, 1, 1.0, 3), options(101)),
        (clumps(2000, 2, 7, 0.0, 4), options(33)),
    ] {
        let first = run(&samples, &options);
        for threads in [1, 2, 4] {
            let again = run_with(threads, &MemoryBudget::unlimited(), &samples, &options).unwrap();
            assert_eq!(bits(&again.centroids), bits(&first.centroids));
            assert_eq!(again.error.to_bits(), first.error.to_bits());
        }
        // Less memory: no bounds, so every distance is computed, and nothing else changes.
        let mut fits = 0;
        for limit in (50_000..800_000).step_by(25_000) {
            let budget = MemoryBudget::new(limit);
            match run_with(1, &budget, &samples, &options) {
                Ok(found) => {
                    assert_eq!(found, first, "with {limit} bytes");
                    fits += 1;
                }
                Err(error) => {
                    assert!(matches!(error, QuantError::OutOfMemory(_)), "{error:?}");
                    assert_eq!(fits, 0, "{limit} bytes do not suffice, but fewer did");
                }
            }
            assert_eq!(budget.available(), limit);
        }
        assert!(fits > 10);
        let other_seed = KMeansOptions { seed: 1, ..options };
        assert_ne!(run(&samples, &other_seed).centroids, first.centroids);
    }
}

#[test]
fn as_good_as_the_textbook() {
    for (samples, k) in [
        (clumps(2000, 16, 30, 0.4, 5), 40),
        (clumps(2000, 8, 1, 1.0, 6), 25),
    ] {
        let mean = |errors: [f64; 3]| errors.iter().sum::<f64>() / 3.0;
        let theirs = mean([1, 2, 3].map(|seed| oracle(&samples, k, seed)));
        let ours = mean([1, 2, 3].map(|seed| {
            let found = run(&samples, &KMeansOptions { seed, ..options(k) });
            let real = error_of(&samples, &found.centroids);
            assert!(
                (found.error / real - 1.0).abs() < 1e-4,
                "reports {} for {real}",
                found.error
            );
            found.error
        }));
        assert!(ours < theirs * 1.03, "{ours} against {theirs}");
    }
}

#[test]
fn finds_clumps_that_lie_apart() {
    let samples = clumps(1000, 8, 10, 0.01, 7);
    let found = run(&samples, &options(10));
    assert!(found.error < 0.01, "{}", found.error);
    for i in 0..10 {
        let (list, distance) = nearest(&found.centroids, samples.row(i), Assign::L2);
        assert!(distance < 0.01);
        assert_eq!(
            nearest(&found.centroids, samples.row(i + 10), Assign::L2).0,
            list
        );
    }
}

#[test]
fn spherical_centroids_have_unit_length_and_ignore_lengths() {
    let samples = clumps(1500, 12, 20, 0.3, 8);
    let found = run(&samples, &spherical(30));
    for c in 0..30 {
        let length = squared(found.centroids.row(c), &[0.0; 12]).sqrt();
        assert!((length - 1.0).abs() < 1e-6);
    }
    // Powers of two scale without rounding; a zero row has no direction.
    let mut scaled = Vec::new();
    for i in 0..samples.rows() {
        let factor = [0.25f32, 1.0, 1024.0][i % 3];
        scaled.extend(samples.row(i).iter().map(|x| x * factor));
        if i % 100 == 0 {
            scaled.extend([0.0; 12]);
        }
    }
    let scaled = Matrix::try_from_vec(12, scaled).unwrap();
    assert_eq!(run(&scaled, &spherical(30)), found);
}

#[test]
fn fewer_samples_than_centroids() {
    for options in [options(50), spherical(50)] {
        let samples = clumps(20, 6, 20, 0.1, 9);
        let found = run(&samples, &options);
        assert_eq!(found.error, 0.0);
        let rows: HashSet<Vec<u32>> = (0..50)
            .map(|c| found.centroids.row(c).iter().map(|x| x.to_bits()).collect())
            .collect();
        assert_eq!(rows.len(), 50, "all are distinct");
        for i in 0..20 {
            let (list, _) = nearest(&found.centroids, samples.row(i), Assign::Dot);
            if options.spherical {
                assert_eq!(list, i);
            } else {
                assert_eq!(found.centroids.row(i), samples.row(i));
            }
        }
    }
    let none = Matrix::try_from_vec(6, vec![]).unwrap();
    for options in [options(5), spherical(5)] {
        let found = run(&none, &options);
        for c in 0..5 {
            let length = squared(found.centroids.row(c), &[0.0; 6]).sqrt();
            assert!((length - 1.0).abs() < 1e-6);
            assert!((0..c).all(|other| found.centroids.row(other) != found.centroids.row(c)));
        }
    }
    assert_eq!(
        run(&clumps(20, 6, 2, 0.1, 1), &options(0)).centroids.rows(),
        0
    );
}

#[test]
fn duplicates_and_extremes_end_in_finite_centroids() {
    let same = |x: f32| Matrix::try_from_vec(4, vec![x; 4000]).unwrap();
    let two: Vec<f32> = (0..4000).map(|i| (i / 4 % 2) as f32).collect();
    let huge: Vec<f32> = (0..4000)
        .map(|i| if i % 3 == 0 { f32::MAX } else { -f32::MAX })
        .collect();
    let tiny: Vec<f32> = (0..4000).map(|i| i as f32 * 1e-45).collect();
    let far_off: Vec<f32> = (0..4000).map(|i| 1e6 + (i * 7919 % 100) as f32).collect();
    for samples in [
        same(0.0),
        same(1.0),
        same(f32::MAX),
        Matrix::try_from_vec(4, two).unwrap(),
        Matrix::try_from_vec(4, huge).unwrap(),
        Matrix::try_from_vec(4, tiny).unwrap(),
        Matrix::try_from_vec(4, far_off).unwrap(),
        Matrix::try_from_vec(1, (0..500).map(|i| (i % 50) as f32).collect()).unwrap(),
    ] {
        for options in [options(1), options(37), spherical(37)] {
            let found = run(&samples, &options);
            assert!(found.centroids.as_slice().iter().all(|x| x.is_finite()));
            assert!(!found.error.is_nan());
        }
    }
    // Fewer distinct points than centroids: each is met exactly.
    let fifty = Matrix::try_from_vec(1, (0..500).map(|i| (i % 50) as f32).collect()).unwrap();
    assert_eq!(run(&fifty, &options(60)).error, 0.0);
}

#[test]
fn refuses_what_is_not_finite() {
    for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let mut samples = clumps(700, 3, 5, 0.1, 10);
        samples.row_mut(654)[1] = bad;
        samples.row_mut(321)[2] = bad;
        for options in [options(4), spherical(4)] {
            assert_eq!(
                run_with(2, &MemoryBudget::unlimited(), &samples, &options),
                Err(QuantError::NotFinite { row: 321 })
            );
        }
    }
}

#[test]
fn out_of_memory_is_an_error() {
    let samples = clumps(5000, 4, 5, 0.1, 11);
    assert!(matches!(
        run_with(1, &MemoryBudget::new(30_000), &samples, &options(10)),
        Err(QuantError::OutOfMemory(OutOfMemory { bytes })) if bytes > 0
    ));
}

#[test]
fn a_poll_that_fails_ends_it() {
    let samples = clumps(20_000, 64, 1, 1.0, 12);
    for threads in [1, 2] {
        let (pool, cancel, progress) = (Pool::new(threads), CancelFlag::new(), Progress::new());
        let budget = MemoryBudget::unlimited();
        let mut polls = 0;
        let result = kmeans(
            &mut Job {
                pool: &pool,
                budget: &budget,
                cancel: &cancel,
                progress: &progress,
                poll: &mut || {
                    polls += 1;
                    if polls < 4 { Ok(()) } else { Err("enough") }
                },
            },
            samples.clone(),
            &KMeansOptions {
                max_iterations: 1_000_000,
                ..options(2000)
            },
        );
        assert_eq!(result, Err(QuantError::Poll("enough")));
        assert_eq!(polls, 4);
        // Ended in the middle: the seeds alone are 2000 steps.
        assert!(progress.done() < 2000, "{} steps done", progress.done());
    }
}

#[test]
fn batches_agree_with_single_rows_and_ties_go_low() {
    let rows = clumps(333, 9, 11, 0.5, 13);
    for k in [1, 3, 4, 29] {
        let mut centroids = clumps(k, 9, k, 0.2, 14);
        if k > 20 {
            let twin = centroids.row(5).to_vec();
            centroids.row_mut(17).copy_from_slice(&twin);
        }
        for by in [Assign::L2, Assign::Dot] {
            for threads in [1, 3] {
                let (pool, cancel, progress) =
                    (Pool::new(threads), CancelFlag::new(), Progress::new());
                let budget = MemoryBudget::new(333 * 8);
                let mut job = Job {
                    pool: &pool,
                    budget: &budget,
                    cancel: &cancel,
                    progress: &progress,
                    poll: &mut || Ok::<(), ()>(()),
                };
                // Twice: a call takes nothing from the budget for good.
                for _ in 0..2 {
                    let lists = nearest_batch(&mut job, &centroids, rows.as_slice(), by).unwrap();
                    assert_eq!(lists.len(), 333);
                    for (i, &list) in lists.iter().enumerate() {
                        let value = |c| match by {
                            Assign::L2 => -squared(rows.row(i), centroids.row(c)),
                            Assign::Dot => (rows.row(i).iter().zip(centroids.row(c)))
                                .map(|(x, y)| f64::from(x * y))
                                .sum(),
                        };
                        let best = (0..k).map(value).fold(f64::NEG_INFINITY, f64::max);
                        assert!(value(list as usize) > best - 1e-4);
                        assert_eq!(nearest(&centroids, rows.row(i), by).0, list as usize);
                        assert_ne!(list, 17, "its twin 5 comes first");
                    }
                }
                let ragged = nearest_batch(&mut job, &centroids, &rows.as_slice()[1..], by);
                assert!(matches!(ragged, Err(QuantError::WrongDimensions { .. })));
            }
        }
    }
}
