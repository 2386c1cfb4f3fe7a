//! An independent implementation of HNSW builds the same rows with the same m and ef: recall must
//! not be below it by more than half a point.

use hnsw_rs::prelude::{DistCosine, DistL2, Distance, Hnsw};
use pgnear_ann::Element;
use pgnear_ann::hnsw::{IndexSpec, Iterative};
use pgnear_kernels::Metric;

use crate::world::*;

const ROWS: usize = 6000;
const QUERIES: usize = 150;

fn floats(row: &[u8]) -> Vec<f32> {
    bytemuck::pod_collect_to_vec(row)
}

/// Recall at ten of the other implementation, and of ours, for each width.
fn compare<D: Distance<f32> + Send + Sync>(metric: Metric, their: D, efs: &[u32]) -> Vec<[f64; 2]> {
    let spec = IndexSpec {
        m: 16,
        ef_construction: 64,
        ..spec(Element::F32, metric, 48)
    };
    let rows = rows(&spec, ROWS, 1);
    let oracle = Hnsw::<f32, D>::new(16, ROWS, 16, 64, their);
    for (n, row) in rows.values().enumerate() {
        oracle.insert((&floats(row), n));
    }
    let store = build(&spec, &rows, 8192);
    let mut found = vec![[0usize; 2]; efs.len()];
    let mut source = Source::new(&spec, 99);
    for _ in 0..QUERIES {
        let query = source.row();
        let truth = brute_force(&spec, &rows, &query);
        let last = f64::from_bits(truth[9].1);
        for (ef, found) in efs.iter().zip(&mut found) {
            let theirs = oracle.search(&floats(&query), 10, *ef as usize);
            found[0] += (theirs.iter())
                .filter(|hit| distance(&spec, &query, &rows[&tid(hit.d_id)]) <= last)
                .count();
            let ours = search(&store, &rows, &query, options(*ef, Iterative::Off));
            found[1] += (ours.iter().take(10))
                .filter(|(_, bits)| f64::from_bits(*bits) <= last)
                .count();
        }
    }
    (found.iter())
        .map(|found| found.map(|n| n as f64 / (10 * QUERIES) as f64))
        .collect()
}

#[test]
fn recall_is_not_below_that_of_another_implementation() {
    let efs = [10, 20, 40, 80, 160];
    let both = [
        ("l2", compare(Metric::L2, DistL2 {}, &efs)),
        ("cosine", compare(Metric::Cosine, DistCosine {}, &efs)),
    ];
    let mut worse = Vec::new();
    for (metric, recalls) in both {
        for (ef, [theirs, ours]) in efs.iter().zip(recalls) {
            let line = format!("{metric} ef {ef}: theirs {theirs:.4}, ours {ours:.4}");
            println!("{line}");
            if ours < theirs - 0.005 {
                worse.push(line);
            }
        }
    }
    assert_eq!(worse, [] as [String; 0]);
}
