//! After a crash behind any record of any operation: no acknowledged row is lost, nothing that was
//! removed is found, and the index goes on.

use std::collections::BTreeSet;

use pgnear_ann::Tid;
use pgnear_ann::hnsw::{self, IndexSpec, Meta};
use pgnear_ann::memory::MemoryStore;

use crate::world::*;

fn vacuum(store: &MemoryStore, dead: &dyn Fn(Tid) -> bool) {
    let meta = Meta::read(store).unwrap();
    hnsw::bulk_delete(store, &meta, &mut |tid| dead(tid), &mut |_, _| ()).unwrap();
    hnsw::cleanup(store, &meta).unwrap();
}

/// A life: rows inserted, killed, vacuumed, their nodes used again; entry points made anew.
struct Life {
    store: MemoryStore,
    /// All rows ever, with the number of records after which each was acknowledged.
    rows: Rows,
    acknowledged: Vec<(usize, Tid)>,
    /// Rows that a vacuum which began after so many records may have removed, and which are gone
    /// after so many.
    killed: Vec<(usize, usize, Tid)>,
}

fn live(spec: &IndexSpec, count: usize) -> Life {
    let rows = rows(spec, count, 11);
    let store = build(spec, &rows, SMALL_PAGE);
    let meta = Meta::read(&store).unwrap();
    let mut life = Life {
        acknowledged: rows.keys().map(|tid| (0, *tid)).collect(),
        killed: Vec::new(),
        store,
        rows,
    };
    let mut source = Source::new(spec, 12);
    let mut next = count;
    for round in 0..2 {
        for _ in 0..12 {
            let (tid, row) = (tid(next), source.row());
            next += 1;
            hnsw::insert(&life.store, &meta, tid, &row).unwrap();
            life.rows.insert(tid, row);
            life.acknowledged.push((life.store.records(), tid));
        }
        let began = life.store.records();
        let dead: BTreeSet<Tid> = (life.rows.keys().copied())
            .enumerate()
            .filter(|(n, _)| n % 7 == round)
            .map(|(_, tid)| tid)
            .filter(|tid| life.killed.iter().all(|(_, _, killed)| killed != tid))
            .collect();
        hnsw::bulk_delete(
            &life.store,
            &meta,
            &mut |tid| dead.contains(&tid),
            &mut |_, _| (),
        )
        .unwrap();
        let ended = life.store.records();
        life.killed
            .extend(dead.iter().map(|tid| (began, ended, *tid)));
        hnsw::cleanup(&life.store, &meta).unwrap();
    }
    life
}

#[test]
fn a_crash_after_any_record_loses_nothing() {
    for (number, spec) in small_specs().into_iter().enumerate() {
        // One of them around the size where entry points begin.
        let count = if number == 0 { 505 } else { 60 };
        let life = live(&spec, count);
        assert!(life.store.records() > 100, "the life has too few records");
        // The longer life every few records, so that its many rows are not read too often.
        let step = if number == 0 { 7 } else { 1 };
        for records in (0..=life.store.records()).step_by(step) {
            let store = life.store.crash_after(records);
            let meta = Meta::read(&store).unwrap();
            let context = format!("{spec:?}, after record {records}");
            let mut expected: Rows = (life.acknowledged.iter())
                .filter(|(at, _)| *at <= records)
                .map(|(_, tid)| (*tid, life.rows[tid].clone()))
                .collect();
            for (began, _, tid) in &life.killed {
                if *began <= records {
                    expected.remove(tid);
                }
            }
            // What is found: all that is alive; nothing that a vacuum has been done with.
            let query = Source::new(&spec, records as u64).row();
            let found: BTreeSet<Tid> = everything(&store, &life.rows, &query).into_iter().collect();
            for tid in expected.keys() {
                assert!(found.contains(tid), "{context}: {tid:?} is lost");
            }
            for (_, ended, tid) in &life.killed {
                let gone = *ended <= records && !expected.contains_key(tid);
                assert!(!gone || !found.contains(tid), "{context}: {tid:?} is back");
            }
            assert_eq!(harm(&store), [] as [String; 0], "{context}");

            // The index goes on: an insert, then the vacuum that follows a crash.
            let (tid, row) = (tid(5000), Source::new(&spec, 1).row());
            hnsw::insert(&store, &meta, tid, &row).unwrap();
            expected.insert(tid, row);
            vacuum(&store, &|tid| !expected.contains_key(&tid));
            assert!(
                everything(&store, &expected, &query)
                    .iter()
                    .eq(expected.keys()),
                "{context}"
            );
            assert_eq!(harm(&store), [] as [String; 0], "{context}");
            for kind in ["unfinished", "leaked"] {
                assert_eq!(count_of(&store, kind), 0, "{context}: {kind}");
            }
        }
    }
}

#[test]
fn a_crash_while_the_table_of_entry_points_moves_loses_nothing() {
    // Records hold the vectors: groups are small, and a table soon takes more of them.
    let spec = small_specs().remove(4);
    let store = build(&spec, &Rows::new(), SMALL_PAGE);
    let meta = Meta::read(&store).unwrap();
    let mut source = Source::new(&spec, 3);
    let mut rows = Rows::new();
    let mut moved = 0;
    for n in 0..4000 {
        let before = store.records();
        let row = source.row();
        hnsw::insert(&store, &meta, tid(n), &row).unwrap();
        // With a new table an insert has a record for each of its pages too; one that moves, most.
        let after = store.records();
        if after - before > 20 {
            moved += 1;
            for records in before..after {
                let store = store.crash_after(records);
                let meta = Meta::read(&store).unwrap();
                let context = format!("row {n}, after record {records}");
                assert_eq!(harm(&store), [] as [String; 0], "{context}");
                let found: BTreeSet<Tid> = everything(&store, &rows, &row).into_iter().collect();
                assert!(rows.keys().all(|tid| found.contains(tid)), "{context}");
                for more in 0..30 {
                    hnsw::insert(&store, &meta, tid(9000 + more), &row).unwrap();
                }
                vacuum(&store, &|tid| !rows.contains_key(&tid));
                assert!(
                    everything(&store, &rows, &row).iter().eq(rows.keys()),
                    "{context}"
                );
                assert_eq!(harm(&store), [] as [String; 0], "{context}");
            }
        }
        rows.insert(tid(n), row);
    }
    assert!(moved > 0, "no table has moved");
}

fn count_of(store: &MemoryStore, kind: &str) -> usize {
    count(store, kind)
}
