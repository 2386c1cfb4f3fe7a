//! k-means over bit vectors, through the public interface.

use pgnear_device::{CancelFlag, MemoryBudget, Pool, Progress};
use pgnear_quant::bits::{BitKMeans, BitMatrix, kmeans, nearest, nearest_batch};
use pgnear_quant::{Job, KMeansOptions, QuantError};

fn with_job<T>(threads: usize, work: impl FnOnce(&mut Job<'_, &'static str>) -> T) -> T {
    let (pool, cancel, progress) = (Pool::new(threads), CancelFlag::new(), Progress::new());
    let budget = MemoryBudget::unlimited();
    work(&mut Job {
        pool: &pool,
        budget: &budget,
        cancel: &cancel,
        progress: &progress,
        poll: &mut || Ok(()),
    })
}

fn run(threads: usize, samples: &BitMatrix, k: usize) -> BitKMeans {
    let options = KMeansOptions {
        k,
        ..KMeansOptions::default()
    };
    with_job(threads, |job| kmeans(job, samples.clone(), &options)).unwrap()
}

fn next(state: &mut u64) -> u64 {
    *state = state
        .wrapping_mul(6364136223846793005)
        .wrapping_add(1442695040888963407);
    *state >> 33
}

/// Rows of 13 bytes whose last byte uses its upper 4 bits only, around `clumps` patterns.
fn clumps(rows: usize, clumps: usize, seed: u64) -> BitMatrix {
    let mut state = seed;
    let mut m = BitMatrix::try_from_vec(13, vec![0; rows * 13]).unwrap();
    let patterns: Vec<u8> = (0..clumps * 13).map(|_| next(&mut state) as u8).collect();
    for i in 0..rows {
        let pattern = &patterns[i % clumps * 13..][..13];
        m.row_mut(i).copy_from_slice(pattern);
        for _ in 0..3 {
            let bit = next(&mut state) as usize % 100;
            m.row_mut(i)[bit / 8] ^= 0x80 >> (bit % 8);
        }
        m.row_mut(i)[12] &= 0xF0;
    }
    m
}

fn hamming(a: &[u8], b: &[u8]) -> u64 {
    a.iter()
        .zip(b)
        .map(|(x, y)| u64::from((x ^ y).count_ones()))
        .sum()
}

#[test]
fn finds_clumps_with_the_same_bits_on_any_number_of_threads() {
    let samples = clumps(2000, 12, 3);
    let found = run(1, &samples, 24);
    // Each row is at most 3 flips from its pattern.
    assert!(found.error > 0.0 && found.error < 3.0, "{}", found.error);
    let real: u64 = (0..2000)
        .map(|i| {
            (0..24)
                .map(|c| hamming(samples.row(i), found.centroids.row(c)))
                .min()
                .unwrap()
        })
        .sum();
    assert_eq!(found.error, real as f64 / 2000.0);
    for threads in [2, 4] {
        assert_eq!(run(threads, &samples, 24), found);
    }
}

#[test]
fn a_centroid_is_the_majority_and_a_tie_is_zero() {
    let rows = [[0b1110_0000u8], [0b1100_0000], [0b1010_0001], [0b1000_0001]];
    let samples = BitMatrix::try_from_vec(1, rows.concat()).unwrap();
    assert_eq!(run(1, &samples, 1).centroids.as_slice(), [0b1000_0000]);
}

#[test]
fn few_samples_and_duplicates() {
    let samples = clumps(5, 5, 8);
    let found = run(1, &samples, 9);
    for i in 0..5 {
        assert_eq!(found.centroids.row(i), samples.row(i));
    }
    assert!(
        (0..9).all(|c| found.centroids.row(c)[12] & 0x0F == 0),
        "padding stays zero"
    );
    let none = BitMatrix::try_from_vec(13, vec![]).unwrap();
    assert_eq!(run(1, &none, 4).centroids.rows(), 4);
    let same = BitMatrix::try_from_vec(2, vec![0xAB; 2000]).unwrap();
    let found = run(2, &same, 7);
    assert_eq!(
        (found.error, found.centroids.as_slice()),
        (0.0, &[0xAB; 14][..])
    );
    assert_eq!(run(1, &same, 0).centroids.rows(), 0);
}

#[test]
fn batches_agree_with_single_rows() {
    let (rows, centroids) = (clumps(300, 20, 1), clumps(9, 9, 2));
    let lists = with_job(2, |job| nearest_batch(job, &centroids, rows.as_slice())).unwrap();
    for (i, &list) in lists.iter().enumerate() {
        let distances: Vec<u64> = (0..9)
            .map(|c| hamming(rows.row(i), centroids.row(c)))
            .collect();
        let least = *distances.iter().min().unwrap();
        let first = distances.iter().position(|&d| d == least).unwrap();
        assert_eq!((list as usize, least), (first, distances[list as usize]));
        assert_eq!(nearest(&centroids, rows.row(i)), (first, least));
    }
    let ragged = with_job(1, |job| {
        nearest_batch(job, &centroids, &rows.as_slice()[1..])
    });
    assert!(matches!(ragged, Err(QuantError::WrongDimensions { .. })));
}
