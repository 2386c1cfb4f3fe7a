//! Other sessions, at every point where an operation holds no lock.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::rc::Rc;

use pgnear_ann::Tid;
use pgnear_ann::hnsw::{self, IndexSpec, Iterative, Meta};
use pgnear_ann::memory::MemoryStore;

use crate::world::*;

/// Rows inserted and removed by the others meanwhile.
#[derive(Default)]
struct Others {
    inserted: RefCell<Rows>,
    /// Dead in the table; gone from the index once a vacuum has run.
    dead: RefCell<BTreeSet<Tid>>,
    calls: Cell<usize>,
}

/// Every so many points another session inserts a row, or kills some rows and vacuums.
fn others(store: &MemoryStore, spec: &IndexSpec, every: usize, vacuums: bool) -> Rc<Others> {
    let others = Rc::new(Others::default());
    let (shared, meta) = (others.clone(), Meta::read(store).unwrap());
    let source = RefCell::new(Source::new(spec, 500 + every as u64));
    store.set_hook(Some(Rc::new(move |store: &MemoryStore| {
        let calls = shared.calls.get() + 1;
        shared.calls.set(calls);
        if calls.is_multiple_of(every) {
            let (tid, row) = (tid(10_000 + calls), source.borrow_mut().row());
            hnsw::insert(store, &meta, tid, &row)?;
            shared.inserted.borrow_mut().insert(tid, row);
        }
        if vacuums && calls.is_multiple_of(5 * every) {
            let some = shared
                .inserted
                .borrow()
                .keys()
                .copied()
                .step_by(2)
                .collect::<Vec<_>>();
            for tid in some {
                shared.inserted.borrow_mut().remove(&tid);
                shared.dead.borrow_mut().insert(tid);
            }
            let dead = shared.dead.borrow();
            hnsw::bulk_delete(store, &meta, &mut |tid| dead.contains(&tid), &mut |_, _| ())?;
            hnsw::cleanup(store, &meta)?;
        }
        Ok(())
    })));
    others
}

fn settled(store: &MemoryStore, spec: &IndexSpec, rows: &Rows, others: &Others) {
    store.set_hook(None);
    let mut expected = rows.clone();
    expected.extend(others.inserted.borrow().clone());
    let query = Source::new(spec, 1).row();
    assert!(
        everything(store, &expected, &query)
            .iter()
            .eq(expected.keys()),
        "{spec:?}"
    );
    assert_eq!(harm(store), [] as [String; 0], "{spec:?}");
}

#[test]
fn a_scan_among_writers_returns_each_row_once_and_loses_none() {
    for spec in small_specs() {
        for every in [3, 17] {
            let rows = rows(&spec, 540, 1);
            let store = build(&spec, &rows, SMALL_PAGE);
            let others = others(&store, &spec, every, true);
            let query = Source::new(&spec, 2).row();
            let found = search(&store, &rows, &query, options(10, Iterative::Relaxed));
            assert!(others.calls.get() > 100);
            let tids: BTreeSet<Tid> = found.iter().map(|(tid, _)| *tid).collect();
            assert_eq!(tids.len(), found.len(), "{spec:?}: a row left twice");
            for (tid, bits) in &found {
                // Whatever was removed while the scan ran may have been found before.
                if let Some(row) = rows.get(tid) {
                    assert_eq!(distance(&spec, &query, row).to_bits(), *bits, "{spec:?}");
                }
            }
            for tid in rows.keys() {
                assert!(tids.contains(tid), "{spec:?}: {tid:?} is lost");
            }
            settled(&store, &spec, &rows, &others);
        }
    }
}

#[test]
fn inserts_among_writers_lose_nothing() {
    for spec in small_specs() {
        let first = rows(&spec, 100, 1);
        let mut all = rows(&spec, 130, 1);
        let store = build(&spec, &first, SMALL_PAGE);
        let others = others(&store, &spec, 40, true);
        let meta = Meta::read(&store).unwrap();
        for (tid, row) in all.iter().filter(|(tid, _)| !first.contains_key(tid)) {
            hnsw::insert(&store, &meta, *tid, row).unwrap();
        }
        assert!(!others.inserted.borrow().is_empty());
        all.extend(first);
        settled(&store, &spec, &all, &others);
    }
}

#[test]
fn a_vacuum_among_inserts_removes_what_was_dead() {
    for spec in small_specs() {
        let all = rows(&spec, 300, 1);
        let store = build(&spec, &all, SMALL_PAGE);
        let others = others(&store, &spec, 50, false);
        let meta = Meta::read(&store).unwrap();
        let kept: Rows = (all.clone().into_iter())
            .filter(|(tid, _)| tid.offset % 3 != 0)
            .collect();
        let mut is_dead = |tid: Tid| all.contains_key(&tid) && !kept.contains_key(&tid);
        hnsw::bulk_delete(&store, &meta, &mut is_dead, &mut |_, _| ()).unwrap();
        hnsw::cleanup(&store, &meta).unwrap();
        assert!(!others.inserted.borrow().is_empty());
        settled(&store, &spec, &kept, &others);
    }
}

#[test]
fn an_operation_stops_where_it_is_asked_to_and_the_next_goes_on() {
    for spec in small_specs() {
        let all = rows(&spec, 200, 1);
        let store = build(&spec, &all, SMALL_PAGE);
        let meta = Meta::read(&store).unwrap();
        let query = Source::new(&spec, 1).row();
        let stop_after = |points: usize| {
            let left = Cell::new(points);
            store.set_hook(Some(Rc::new(move |_: &MemoryStore| {
                if left.get() == 0 {
                    return Err(pgnear_ann::Error::Interrupted);
                }
                left.set(left.get() - 1);
                Ok(())
            })));
        };
        let mut stopped = 0;
        for points in (0..400).step_by(7) {
            stop_after(points);
            let row = Source::new(&spec, points as u64).row();
            let result = hnsw::insert(&store, &meta, tid(20_000 + points), &row);
            stopped += usize::from(result == Err(pgnear_ann::Error::Interrupted));
            stop_after(points);
            let mut is_dead = |tid: Tid| !all.contains_key(&tid);
            let result = hnsw::bulk_delete(&store, &meta, &mut is_dead, &mut |_, _| ())
                .and_then(|_| hnsw::cleanup(&store, &meta));
            stopped += usize::from(result == Err(pgnear_ann::Error::Interrupted));
            store.set_hook(None);
            assert_eq!(harm(&store), [] as [String; 0], "{spec:?}");
        }
        assert!(stopped > 20, "{stopped}");
        hnsw::bulk_delete(
            &store,
            &meta,
            &mut |tid| !all.contains_key(&tid),
            &mut |_, _| (),
        )
        .unwrap();
        hnsw::cleanup(&store, &meta).unwrap();
        assert!(
            everything(&store, &all, &query).iter().eq(all.keys()),
            "{spec:?}"
        );
        assert_eq!(count(&store, "unfinished"), 0);
    }
}

#[test]
fn a_row_handed_out_does_not_leave_again_when_its_place_is_used_anew() {
    for spec in small_specs() {
        let all = rows(&spec, 540, 1);
        let store = build(&spec, &all, SMALL_PAGE);
        let meta = Meta::read(&store).unwrap();
        let query = Source::new(&spec, 2).row();
        let mut open = scan(&meta, &query, options(10, Iterative::Relaxed));
        let first: Vec<Tid> = (0..100)
            .map(|_| open.next(&store, &InTable(&all)).unwrap().unwrap().tid)
            .collect();
        let mut is_dead = |tid: Tid| first.contains(&tid);
        hnsw::bulk_delete(&store, &meta, &mut is_dead, &mut |_, _| ()).unwrap();
        hnsw::cleanup(&store, &meta).unwrap();
        // The nodes freed go to other rows, the places in the table to nodes not met yet.
        let far = all.iter().last().unwrap().1;
        for n in 0..first.len() {
            hnsw::insert(&store, &meta, tid(30_000 + n), far).unwrap();
        }
        for tid in &first {
            hnsw::insert(&store, &meta, *tid, far).unwrap();
        }
        // Nor does the scan see the rows that are there now in the table.
        let mut seen = all.clone();
        seen.retain(|tid, _| !first.contains(tid));
        let rest = drain(&mut open, &store, &InTable(&seen)).unwrap();
        assert!(rest.iter().all(|hit| !first.contains(&hit.tid)), "{spec:?}");
        let found: BTreeSet<Tid> = rest.iter().map(|hit| hit.tid).chain(first).collect();
        assert!(all.keys().all(|tid| found.contains(tid)), "{spec:?}");
    }
}
