//! After a crash behind any record of any operation: no acknowledged row is lost, nothing that was
//! never inserted is found, and the index goes on.

mod common;

use std::collections::BTreeSet;

use common::*;
use pgnear_ann::ivfflat::{self, IndexSpec, Meta};
use pgnear_ann::memory::MemoryStore;
use pgnear_ann::{Store, Tid};

fn vacuum(store: &MemoryStore, dead: &dyn Fn(Tid) -> bool) {
    let meta = Meta::read(store).unwrap();
    ivfflat::bulk_delete(store, &meta, &mut |tid| dead(tid), &mut |_, _| ()).unwrap();
}

/// A life: rows inserted, killed, vacuumed, the pages used again.
struct Life {
    store: MemoryStore,
    /// All rows ever, with the number of records after which each was acknowledged.
    rows: Rows,
    acknowledged: Vec<(usize, Tid)>,
    /// Rows that a vacuum which began after so many records may have removed.
    killed: Vec<(usize, Tid)>,
}

fn live(spec: &IndexSpec) -> Life {
    let mut rng = Rng(11);
    let rows = rows(spec, 40, &mut rng);
    let store = build(spec, &rows, SMALL_PAGE);
    let meta = Meta::read(&store).unwrap();
    let mut life = Life {
        acknowledged: rows.keys().map(|tid| (0, *tid)).collect(),
        killed: Vec::new(),
        store,
        rows,
    };
    let mut next = 40;
    for round in 0..2 {
        for _ in 0..30 {
            let (tid, row) = (tid(next), payload(spec, &mut rng));
            next += 1;
            ivfflat::insert(&life.store, &meta, tid, &row).unwrap();
            life.rows.insert(tid, row);
            life.acknowledged.push((life.store.records(), tid));
        }
        let records = life.store.records();
        let dead: BTreeSet<Tid> = (life.rows.keys().copied())
            .enumerate()
            .filter(|(n, _)| if round == 0 { *n < 35 } else { n % 4 != 0 })
            .map(|(_, tid)| tid)
            .filter(|tid| life.killed.iter().all(|(_, killed)| killed != tid))
            .collect();
        life.killed.extend(dead.iter().map(|tid| (records, *tid)));
        vacuum(&life.store, &|tid| dead.contains(&tid));
        ivfflat::cleanup(&life.store, &meta).unwrap();
    }
    life
}

#[test]
fn a_crash_after_any_record_loses_nothing() {
    for spec in small_specs() {
        let life = live(&spec);
        assert!(life.store.records() > 50, "the life has too few records");
        let mut zeroed_pages = 0;
        for records in 0..=life.store.records() {
            let store = life.store.crash_after(records);
            zeroed_pages += usize::from(store.blocks() > life.store.crash_after(0).blocks());
            let meta = Meta::read(&store).unwrap();
            let killed: BTreeSet<Tid> = (life.killed.iter())
                .filter(|(at, _)| *at <= records)
                .map(|(_, tid)| *tid)
                .collect();
            let mut expected: Rows = (life.acknowledged.iter())
                .filter(|(at, tid)| *at <= records && !killed.contains(tid))
                .map(|(_, tid)| (*tid, life.rows[tid].clone()))
                .collect();
            let context = format!("{spec:?}, after record {records}");

            // What is found: all that is alive; maybe what was being removed; nothing else.
            let query = payload(&spec, &mut Rng(records as u64));
            let found = search(&store, &query);
            let alive: Vec<_> = (found.iter().copied())
                .filter(|(tid, _)| expected.contains_key(tid))
                .collect();
            assert_eq!(alive, brute_force(&spec, &expected, &query), "{context}");
            for (tid, _) in &found {
                let known = expected.contains_key(tid) || killed.contains(tid);
                assert!(known, "{context}: {tid:?} was never acknowledged");
            }
            let harmful: Vec<String> = (findings(&store).into_iter())
                .filter(|finding| !finding.contains("\"orphan\""))
                .collect();
            assert_eq!(harmful, [] as [String; 0], "{context}");

            // The index goes on: an insert, then the vacuum that follows a crash.
            let (tid, row) = (tid(5000), payload(&spec, &mut Rng(1)));
            ivfflat::insert(&store, &meta, tid, &row).unwrap();
            expected.insert(tid, row);
            vacuum(&store, &|tid| !expected.contains_key(&tid));
            let stats = ivfflat::cleanup(&store, &meta).unwrap();
            assert_eq!(stats.live, expected.len() as u64, "{context}");
            assert_eq!(
                search(&store, &query),
                brute_force(&spec, &expected, &query),
                "{context}"
            );
            assert_eq!(findings(&store), [] as [String; 0], "{context}");

            // No page is lost: with all rows gone, all but the heads of lists are free.
            vacuum(&store, &|_| true);
            let stats = ivfflat::cleanup(&store, &meta).unwrap();
            assert_eq!(stats.live, 0, "{context}");
            assert!(
                stats.pages - stats.free_pages - meta.fixed_pages() <= spec.lists,
                "{context}: {stats:?}"
            );
        }
        assert!(zeroed_pages > 0, "no crash left a page extended");
    }
}
