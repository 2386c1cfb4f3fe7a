//! Vacuum.

use std::collections::BTreeSet;

use pgnear_ann::hnsw::{self, IndexSpec, Iterative, Meta};
use pgnear_ann::memory::MemoryStore;
use pgnear_ann::{Element, Store, Tid};
use pgnear_kernels::Metric;

use crate::world::*;

/// Removes the rows that are not in `rows`; returns how many rows were asked for.
fn vacuum(store: &MemoryStore, rows: &Rows) -> usize {
    let meta = Meta::read(store).unwrap();
    let mut asked = BTreeSet::new();
    let mut is_dead = |tid: Tid| {
        asked.insert(tid);
        !rows.contains_key(&tid)
    };
    hnsw::bulk_delete(store, &meta, &mut is_dead, &mut |_, _| ()).unwrap();
    let stats = hnsw::cleanup(store, &meta).unwrap();
    assert_eq!(stats.live, rows.len() as u64);
    asked.len()
}

#[test]
fn removed_rows_are_gone_at_once_and_all_others_stay() {
    for spec in all_specs().into_iter().chain(small_specs()) {
        let page = if spec.m == 3 { SMALL_PAGE } else { 8192 };
        let all = rows(&spec, 900, 1);
        let store = build(&spec, &all, page);
        let meta = Meta::read(&store).unwrap();
        let kept: Rows = (all.clone().into_iter())
            .filter(|(tid, _)| tid.offset % 3 != 0)
            .collect();
        let stats = hnsw::bulk_delete(
            &store,
            &meta,
            &mut |tid| !kept.contains_key(&tid),
            &mut |_, _| (),
        );
        assert_eq!(stats.unwrap().removed, (all.len() - kept.len()) as u64);
        let query = Source::new(&spec, 9).row();
        // Before and after the cleanup.
        for round in 0..2 {
            assert!(
                everything(&store, &all, &query).iter().eq(kept.keys()),
                "{spec:?} {round}"
            );
            assert_eq!(harm(&store), [] as [String; 0], "{spec:?} {round}");
            let stats = hnsw::cleanup(&store, &meta).unwrap();
            assert_eq!(stats.live, kept.len() as u64);
            assert_eq!(stats.free_nodes, (all.len() - kept.len()) as u64);
        }
        assert_eq!(count(&store, "dangling"), 0, "{spec:?}");
        // With very short lists recall is a matter of chance.
        if spec.m > 3 {
            let fresh = recall(&spec, &build(&spec, &kept, page), &kept, 60);
            let found = recall(&spec, &store, &kept, 60);
            assert!(found > fresh - 0.01, "{spec:?}: {found}, fresh {fresh}");
        }
    }
}

#[test]
fn every_row_is_asked_for() {
    let spec = spec(Element::F32, Metric::L2, 16);
    let all = rows(&spec, 1200, 1);
    let store = build(&spec, &all, 8192);
    assert_eq!(vacuum(&store, &all), 1200);
    assert_eq!(
        store.records(),
        0,
        "a vacuum without dead rows writes nothing"
    );
}

/// Replaces half of the rows ten times.
fn churn(spec: &IndexSpec, page: usize, count: usize) -> (MemoryStore, Rows) {
    let mut live = rows(spec, count, 1);
    let store = build(spec, &live, page);
    let meta = Meta::read(&store).unwrap();
    let mut source = Source::new(spec, 100);
    let mut next = count;
    for round in 0..10 {
        let dead: Vec<Tid> = (live.keys().copied())
            .enumerate()
            .filter(|(n, _)| (n + round) % 2 == 0)
            .map(|(_, tid)| tid)
            .collect();
        for tid in &dead {
            live.remove(tid);
        }
        vacuum(&store, &live);
        for _ in 0..dead.len() {
            let row = source.row();
            hnsw::insert(&store, &meta, tid(next), &row).unwrap();
            live.insert(tid(next), row);
            next += 1;
        }
    }
    (store, live)
}

#[test]
fn recall_stays_and_space_is_used_again_when_half_is_replaced_ten_times() {
    let spec = spec(Element::F32, Metric::Cosine, 32);
    let (store, live) = churn(&spec, 8192, 3000);
    assert_eq!(harm(&store), [] as [String; 0]);
    let fresh = build(&spec, &live, 8192);
    for ef in [20, 40, 80] {
        let (old, new) = (
            recall(&spec, &store, &live, ef),
            recall(&spec, &fresh, &live, ef),
        );
        assert!(
            old >= new - 0.01,
            "{ef}: {old} after the churn, {new} fresh"
        );
    }
    // Room for two more tables of entry points, and for rows inserted before the first vacuum.
    let (pages, pages_fresh) = (store.blocks(), fresh.blocks());
    assert!(
        pages < pages_fresh + pages_fresh / 5 + 10,
        "{pages}, fresh {pages_fresh}"
    );
    let query = Source::new(&spec, 9).row();
    assert!(everything(&store, &live, &query).iter().eq(live.keys()));
}

#[test]
fn an_index_emptied_and_filled_again_is_as_good() {
    for spec in small_specs() {
        let all = rows(&spec, 700, 1);
        let store = build(&spec, &all, SMALL_PAGE);
        let meta = Meta::read(&store).unwrap();
        vacuum(&store, &Rows::new());
        let query = Source::new(&spec, 9).row();
        assert_eq!(
            search(&store, &all, &query, options(10, Iterative::Relaxed)),
            []
        );
        let again = rows(&spec, 700, 2);
        for (tid, row) in &again {
            hnsw::insert(&store, &meta, *tid, row).unwrap();
        }
        assert_eq!(harm(&store), [] as [String; 0], "{spec:?}");
        assert!(
            everything(&store, &again, &query).iter().eq(again.keys()),
            "{spec:?}"
        );
        let grown = build(&spec, &Rows::new(), SMALL_PAGE);
        for (tid, row) in &again {
            hnsw::insert(&grown, &meta, *tid, row).unwrap();
        }
        let (found, fresh) = (
            recall(&spec, &store, &again, 60),
            recall(&spec, &grown, &again, 60),
        );
        assert!(found > fresh - 0.1, "{spec:?}: {found}, fresh {fresh}");
    }
}
