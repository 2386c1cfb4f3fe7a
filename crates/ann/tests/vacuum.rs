//! Vacuum: dead rows go, live rows stay, pages are used again.

mod common;

use std::collections::BTreeSet;

use common::*;
use pgnear_ann::ivfflat::{self, Meta};
use pgnear_ann::memory::MemoryStore;
use pgnear_ann::{Store, Tid};

fn vacuum(store: &MemoryStore, dead: &BTreeSet<Tid>) -> ivfflat::VacuumStats {
    let meta = Meta::read(store).unwrap();
    ivfflat::bulk_delete(store, &meta, &mut |tid| dead.contains(&tid), &mut |_, _| ()).unwrap()
}

#[test]
fn dead_rows_go_and_live_rows_stay() {
    for spec in small_specs() {
        let mut rng = Rng(3);
        let mut rows = rows(&spec, 200, &mut rng);
        let store = build(&spec, &rows, SMALL_PAGE);
        let dead: BTreeSet<Tid> = (0..200).filter(|n| n % 3 == 0).map(tid).collect();
        let stats = vacuum(&store, &dead);
        rows.retain(|tid, _| !dead.contains(tid));
        assert_eq!(stats.removed, dead.len() as u64);
        assert_eq!(stats.live, rows.len() as u64);
        assert_eq!(stats.pages, store.blocks());
        let query = payload(&spec, &mut rng);
        assert_eq!(search(&store, &query), brute_force(&spec, &rows, &query));
        assert_eq!(findings(&store), [] as [String; 0]);
        // Nothing is left to do.
        let records = store.records();
        assert_eq!(vacuum(&store, &dead).removed, 0);
        assert_eq!(store.records(), records);
    }
}

#[test]
fn emptied_pages_are_used_again() {
    for spec in small_specs() {
        let mut rng = Rng(4);
        let mut rows = rows(&spec, 200, &mut rng);
        let store = build(&spec, &rows, SMALL_PAGE);
        let meta = Meta::read(&store).unwrap();
        let blocks = store.blocks();
        for round in 0..3 {
            let dead: BTreeSet<Tid> = rows.keys().copied().take(150).collect();
            let stats = vacuum(&store, &dead);
            assert!(stats.free_pages > 0);
            assert_eq!(
                ivfflat::cleanup(&store, &meta).unwrap().free_pages,
                stats.free_pages,
                "no free page is forgotten"
            );
            rows.retain(|tid, _| !dead.contains(tid));
            for n in 0..150 {
                let (tid, row) = (tid(1000 * (round + 1) + n), payload(&spec, &mut rng));
                ivfflat::insert(&store, &meta, tid, &row).unwrap();
                rows.insert(tid, row);
            }
            assert!(
                store.blocks() <= blocks + blocks / 5,
                "grew from {blocks} to {} pages",
                store.blocks()
            );
            let query = payload(&spec, &mut rng);
            assert_eq!(search(&store, &query), brute_force(&spec, &rows, &query));
            assert_eq!(findings(&store), [] as [String; 0]);
        }
    }
}

#[test]
fn an_index_vacuumed_empty_takes_rows_again() {
    for spec in small_specs() {
        let mut rng = Rng(5);
        let rows = rows(&spec, 100, &mut rng);
        let store = build(&spec, &rows, SMALL_PAGE);
        let stats = vacuum(&store, &rows.keys().copied().collect());
        assert_eq!((stats.removed, stats.live), (100, 0));
        let query = payload(&spec, &mut rng);
        assert_eq!(search(&store, &query), []);
        let meta = Meta::read(&store).unwrap();
        for (tid, row) in &rows {
            ivfflat::insert(&store, &meta, *tid, row).unwrap();
        }
        assert_eq!(search(&store, &query), brute_force(&spec, &rows, &query));
        assert_eq!(findings(&store), [] as [String; 0]);
    }
}

#[test]
fn every_row_is_asked_for() {
    for spec in all_specs() {
        let rows = rows(&spec, 30, &mut Rng(6));
        let store = build(&spec, &rows, 8192);
        let meta = Meta::read(&store).unwrap();
        let mut asked = BTreeSet::new();
        let mut ask = |tid| {
            asked.insert(tid);
            false
        };
        ivfflat::bulk_delete(&store, &meta, &mut ask, &mut |_, _| ()).unwrap();
        assert_eq!(asked, rows.keys().copied().collect());
        assert_eq!(
            store.records(),
            0,
            "nothing is written where nothing is dead"
        );
    }
}

#[test]
fn progress_counts_the_lists() {
    let spec = &small_specs()[0];
    let store = build(spec, &rows(spec, 30, &mut Rng(6)), SMALL_PAGE);
    let meta = Meta::read(&store).unwrap();
    let mut seen = Vec::new();
    ivfflat::bulk_delete(&store, &meta, &mut |_| false, &mut |done, of| {
        seen.push((done, of));
    })
    .unwrap();
    assert_eq!(seen, [(1, 3), (2, 3), (3, 3)]);
}
