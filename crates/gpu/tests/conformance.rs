//! Every device gives the same bits: here the program against the CPU.

mod common;

use common::{bits, launch, launch_with, on_cpu, on_gpu, vectors, with_job};
use pgnear_device::remote::Remote;
use pgnear_device::{Assign, Device, Wanted};
use pgnear_kernels::Metric;
use pgnear_quant::{Matrix, nearest_batch};

const METRICS: [Metric; 4] = [Metric::L2, Metric::InnerProduct, Metric::Cosine, Metric::L1];

fn check(
    wanted: Wanted,
    dims: usize,
    queries: &[f32],
    batches: &[&[f32]],
    launch: &pgnear_device::remote::Launch,
) {
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
            let mut poll = common::Poll::default();
            let mut remote = Remote::start(&launch(), &mut poll).unwrap();
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
