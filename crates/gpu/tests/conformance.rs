//! Every device gives the same bits: here the program against the CPU.

mod common;

use common::{bits, launch, launch_with, on_cpu, on_gpu, vectors, with_job};
use pgnear_device::remote::{Launch, Remote};
use pgnear_device::{Assign, Device, Nearest, Wanted};
use pgnear_kernels::Metric;
use pgnear_quant::{
    Cpu, KMeansOptions, Matrix, kmeans, kmeans_on, kmeans_prepared, nearest_batch, prepared,
};

const METRICS: [Metric; 4] = [Metric::L2, Metric::InnerProduct, Metric::Cosine, Metric::L1];

fn check(wanted: Wanted, dims: usize, queries: &[f32], batches: &[&[f32]], launch: &Launch) {
    let expected = on_cpu(wanted, dims, queries, batches);
    let found = on_gpu(launch, wanted, dims, queries, batches).unwrap();
    assert_eq!(
        bits(&found),
        bits(&expected),
        "{wanted:?}, {dims} dimensions"
    );
}

#[test]
fn rows_and_distances_are_those_of_the_cpu_to_the_bit() {
    for metric in METRICS {
        for (dims, ties) in [(1, true), (3, true), (33, false), (100, false)] {
            let queries = vectors(37, dims, 1, ties);
            let rows = vectors(403, dims, 2, ties);
            for (k, within) in [(1, None), (9, None), (500, None), (9, Some(1.0))] {
                let wanted = Wanted { metric, k, within };
                let batches: Vec<&[f32]> = rows.chunks(150 * dims).collect();
                check(wanted, dims, &queries, &batches, &launch());
            }
        }
    }
}

#[test]
fn more_queries_and_rows_than_a_tile_or_a_slot() {
    let dims = 40;
    let (queries, rows) = (vectors(150, dims, 3, false), vectors(1700, dims, 4, false));
    for metric in [Metric::L2, Metric::Cosine] {
        let wanted = Wanted {
            metric,
            k: 10,
            within: None,
        };
        check(wanted, dims, &queries, &[&rows], &launch());
    }
}

#[test]
fn the_order_of_threads_makes_no_difference() {
    let dims = 24;
    let (queries, rows) = (vectors(20, dims, 5, true), vectors(300, dims, 6, true));
    for seed in 1..6 {
        let wanted = Wanted {
            metric: Metric::L2,
            k: 7,
            within: None,
        };
        let launch = launch_with(&format!("seed={seed}"));
        check(wanted, dims, &queries, &[&rows], &launch);
    }
}

#[test]
fn numbers_that_leave_the_range_of_a_half_or_a_float() {
    let dims = 8;
    let mut rows = vectors(300, dims, 7, false);
    let mut queries = vectors(12, dims, 8, false);
    for (at, row) in rows.chunks_mut(dims).enumerate() {
        let factor = [1.0, 0.0, 1e-30, 1e30, 3e38, 1e-44, 1e5, 1e-6][at % 8];
        row.iter_mut().for_each(|x| *x *= factor);
    }
    for (at, query) in queries.chunks_mut(dims).enumerate() {
        let factor = [1.0, 0.0, 1e-30, 1e30, 3e38, 1e-44][at % 6];
        query.iter_mut().for_each(|x| *x *= factor);
    }
    for metric in METRICS {
        for within in [None, Some(0.9)] {
            let wanted = Wanted {
                metric,
                k: 20,
                within,
            };
            check(wanted, dims, &queries, &[&rows], &launch());
        }
    }
}

#[test]
fn a_great_many_rows_at_one_distance() {
    let dims = 4;
    let rows: Vec<f32> = [0.25, 0.5, 0.75, 1.0].repeat(3000);
    let queries = vectors(3, dims, 9, false);
    for metric in METRICS {
        let wanted = Wanted {
            metric,
            k: 5,
            within: None,
        };
        check(wanted, dims, &queries, &[&rows], &launch());
    }
}

#[test]
fn no_rows_no_queries_and_fewer_rows_than_wanted() {
    let wanted = Wanted {
        metric: Metric::L2,
        k: 3,
        within: None,
    };
    check(wanted, 2, &[1.0, 2.0], &[], &launch());
    check(wanted, 2, &[1.0, 2.0], &[&[], &[3.0, 4.0], &[]], &launch());
    check(wanted, 2, &[], &[&[3.0, 4.0]], &launch());
}

#[test]
fn centroids_are_those_of_the_cpu() {
    for (by, ties) in [
        (Assign::L2, false),
        (Assign::L2, true),
        (Assign::Dot, false),
        (Assign::Dot, true),
    ] {
        for dims in [5, 64] {
            let (rows, centroids) = (vectors(500, dims, 10, ties), vectors(90, dims, 11, ties));
            let matrix = Matrix::try_from_vec(dims, centroids.clone()).unwrap();
            let expected = with_job(|job| nearest_batch(job, &matrix, &rows, by).unwrap());
            let mut remote = Remote::start(&launch(), Box::new(common::Poll::default())).unwrap();
            let found = remote.nearest(by, dims, &centroids, &rows).unwrap();
            assert_eq!(found, expected, "{by:?}, {dims} dimensions");
            // And once more on the same device.
            let again = remote
                .nearest(by, dims, &centroids, &rows[..dims * 7])
                .unwrap();
            assert_eq!(again, expected[..7]);
        }
    }
}

#[test]
fn keys_are_those_of_the_cpu_and_rows_are_assigned_again() {
    for by in [Assign::L2, Assign::Dot] {
        let dims = 20;
        let mut rows = vectors(300, dims, 12, false);
        // Some whose distances leave the range of a float.
        rows[..dims].fill(3e38);
        rows[dims..2 * dims].fill(-1e30);
        rows[2 * dims..3 * dims].fill(1e-42);
        let mut remote = Remote::start(&launch(), Box::new(common::Poll::default())).unwrap();
        let mut on_gpu = remote.assigner(by, dims, &rows).unwrap();
        with_job(|job| {
            let mut cpu = Cpu::new(job);
            let mut on_cpu = cpu.assigner(by, dims, &rows).unwrap();
            for seed in 13..16 {
                let centroids = vectors(40, dims, seed, seed == 14);
                let mut found = vec![Nearest::NONE; 300];
                on_gpu.nearest(&centroids, &mut found).unwrap();
                let mut expected = vec![Nearest::NONE; 300];
                on_cpu.nearest(&centroids, &mut expected).unwrap();
                let bits = |all: &[Nearest]| -> Vec<(u32, u32)> {
                    all.iter().map(|n| (n.index, n.key.to_bits())).collect()
                };
                assert_eq!(bits(&found), bits(&expected), "{by:?}");
            }
        });
    }
}

#[test]
fn k_means_finds_the_centroids_of_the_cpu() {
    for spherical in [false, true] {
        for (rows, k, ties) in [(400, 12, false), (400, 12, true), (30, 40, false)] {
            let options = KMeansOptions {
                k,
                seed: 4,
                spherical,
                ..KMeansOptions::default()
            };
            let samples = || Matrix::try_from_vec(10, vectors(rows, 10, 17, ties)).unwrap();
            let expected = with_job(|job| kmeans(job, samples(), &options).unwrap());
            let mut remote = Remote::start(&launch(), Box::new(common::Poll::default())).unwrap();
            let found = common::with_job_of(|job| {
                let samples = prepared(job, samples(), &options).unwrap();
                kmeans_on(&mut remote, job, &samples, &options).unwrap()
            });
            assert_eq!(found, expected);
            // The samples are as they were, should the device fail.
            let after = with_job(|job| {
                let samples = prepared(job, samples(), &options).unwrap();
                kmeans_prepared(job, &samples, &options).unwrap()
            });
            assert_eq!(after, expected);
        }
    }
}

#[test]
fn rows_nearer_together_than_half_precision_tells_apart() {
    let dims = 64;
    let (one, noise) = (vectors(1, dims, 20, false), vectors(3000, dims, 21, false));
    // Copies of one vector, each moved by less than its components are rounded.
    let rows: Vec<f32> = (noise.chunks(dims))
        .flat_map(|noise| one.iter().zip(noise).map(|(x, noise)| x + 2e-4 * noise))
        .collect();
    let queries = vectors(6, dims, 22, false);
    for metric in [Metric::L2, Metric::InnerProduct, Metric::Cosine] {
        let wanted = Wanted {
            metric,
            k: 10,
            within: None,
        };
        check(wanted, dims, &queries, &[&rows], &launch());
    }
}

#[test]
fn more_rows_at_once_than_blocks() {
    // Ever farther, so that steps grow, but for one at the end of a step of 2^15 rows.
    let mut rows: Vec<f32> = (0..70_000).map(|row| 2.0 + row as f32).collect();
    rows[(1 << 16) - 1024 - 2] = 0.5;
    let wanted = Wanted {
        metric: Metric::L1,
        k: 1,
        within: None,
    };
    let launch = Launch {
        slot_bytes: 1 << 20,
        ..launch()
    };
    check(wanted, 1, &[0.0], &[&rows], &launch);
}

#[test]
fn vectors_without_an_angle() {
    let dims = 40;
    let mut rows = vectors(3000, dims, 23, false);
    let mut queries = vectors(9, dims, 24, false);
    for row in rows.chunks_mut(dims).step_by(3) {
        row.fill(0.0);
    }
    queries[..dims].fill(0.0);
    queries[5 * dims..6 * dims].fill(0.0);
    for k in [10, 1000] {
        for within in [None, Some(0.95), Some(f64::INFINITY)] {
            let wanted = Wanted {
                metric: Metric::Cosine,
                k,
                within,
            };
            check(wanted, dims, &queries, &[&rows, &rows[..dims]], &launch());
        }
    }
}
