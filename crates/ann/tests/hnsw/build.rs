//! Building.

use pgnear_ann::hnsw::{Builder, build_bytes};
use pgnear_ann::memory::{MemoryStore, MemoryWriter};
use pgnear_ann::{Element, Error, Store};
use pgnear_device::{CancelFlag, MemoryBudget, Pool, Progress};
use pgnear_kernels::{Level, Metric, kernels};
use pgnear_quant::Job;

use crate::world::*;

fn bytes_of(store: &MemoryStore) -> Vec<Vec<u8>> {
    (0..store.blocks())
        .map(|block| store.read(block).unwrap().to_vec())
        .collect()
}

#[test]
fn the_same_rows_make_the_same_index_on_any_number_of_threads() {
    for metric in [Metric::Cosine, Metric::L1] {
        let spec = spec(Element::F32, metric, 30);
        let rows = rows(&spec, 3000, 1);
        let one = bytes_of(&build_with(&spec, &rows, 8192, 1));
        for threads in [1, 2, 5] {
            assert!(
                bytes_of(&build_with(&spec, &rows, 8192, threads)) == one,
                "{metric:?}, {threads} threads"
            );
        }
    }
}

#[test]
fn a_build_says_what_it_takes_and_keeps_to_it() {
    let spec = spec(Element::F32, Metric::L2, 30);
    let rows = rows(&spec, 5000, 1);
    let needed = build_bytes(&spec, 8192, 5000, 1).unwrap() as usize;
    for (limit, fits) in [(needed, true), (needed / 2, false)] {
        let budget = MemoryBudget::new(limit);
        let mut writer = MemoryWriter::new(8192);
        let mut builder = Builder::new(&mut writer, &spec, &centre(&spec, &rows), &budget).unwrap();
        let mut pushed = 0;
        for (tid, row) in &rows {
            if !builder.has_room() {
                let refused = builder.push(*tid, row);
                assert!(matches!(refused, Err(Error::OutOfMemory { .. })));
                break;
            }
            builder.push(*tid, row).unwrap();
            pushed += 1;
        }
        assert_eq!(pushed == 5000, fits, "{limit}");
        assert_eq!(builder.rows(), pushed);
    }
}

/// With memory for no more than the graph, nodes are added one by one, and else many together.
#[test]
fn graphs_are_alike_however_their_nodes_find_each_other() {
    let spec = spec(Element::F32, Metric::Cosine, 40);
    let rows = rows(&spec, 6000, 3);
    let least = build_bytes(&spec, 8192, 6000, 1).unwrap() as usize;
    let one_by_one = build_within(&spec, &rows, 8192, 1, MemoryBudget::new(least));
    let together = build(&spec, &rows, 8192);
    assert!(bytes_of(&one_by_one) != bytes_of(&together) || kernels().level == Level::Scalar);
    for store in [&one_by_one, &together] {
        assert_eq!(harm(store), [] as [String; 0]);
        assert_eq!(count(store, "unreached"), 0);
    }
    for ef in [10, 40] {
        let recalls = [&one_by_one, &together].map(|store| recall(&spec, store, &rows, ef));
        assert!(recalls[1] >= recalls[0] - 0.02, "{ef}: {recalls:?}");
    }
}

/// Copies are at one distance from each other, and from every row: none is nearer than another, and yet
/// they should not all have the same few neighbours.
#[test]
fn paths_lead_to_copies_however_many() {
    let spec = spec(Element::F32, Metric::L2, 16);
    let three = rows(&spec, 3, 9);
    let three: Vec<_> = three.into_values().collect();
    let rows: Rows = (0..6000).map(|n| (tid(n), three[n % 3].clone())).collect();
    let store = build(&spec, &rows, 8192);
    assert_eq!(harm(&store), [] as [String; 0]);
    let unreached = count(&store, "unreached");
    assert!(
        unreached < 600 || kernels().level == Level::Scalar,
        "{unreached}"
    );
}

#[test]
fn a_build_without_memory_makes_an_empty_index() {
    let spec = spec(Element::F32, Metric::L2, 30);
    let rows = rows(&spec, 10, 1);
    let budget = MemoryBudget::new(0);
    let mut writer = MemoryWriter::new(8192);
    let builder = Builder::new(&mut writer, &spec, &centre(&spec, &rows), &budget).unwrap();
    assert!(!builder.has_room());
    let (pool, cancel, progress) = (Pool::inline(), CancelFlag::new(), Progress::new());
    let built = builder.finish(&mut Job {
        pool: &pool,
        budget: &budget,
        cancel: &cancel,
        progress: &progress,
        poll: &mut || Ok(()),
    });
    assert_eq!(built.unwrap().rows, 0);
}

#[test]
fn a_build_that_is_stopped_says_so() {
    let spec = spec(Element::F32, Metric::L2, 30);
    let rows = rows(&spec, 3000, 1);
    for threads in [1, 2] {
        let budget = MemoryBudget::unlimited();
        let mut writer = MemoryWriter::new(8192);
        let mut builder = Builder::new(&mut writer, &spec, &centre(&spec, &rows), &budget).unwrap();
        for (tid, row) in &rows {
            builder.push(*tid, row).unwrap();
        }
        let (pool, cancel, progress) = (Pool::new(threads), CancelFlag::new(), Progress::new());
        let result = builder.finish(&mut Job {
            pool: &pool,
            budget: &budget,
            cancel: &cancel,
            progress: &progress,
            poll: &mut || Err(Error::Interrupted),
        });
        assert_eq!(result, Err(Error::Interrupted));
        assert!(progress.done() < 3000);
    }
}
