//! Other sessions get in wherever an operation holds no lock.

mod common;

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::rc::Rc;

use common::*;
use pgnear_ann::ivfflat::{self, IndexSpec, Meta, ScanOptions};
use pgnear_ann::memory::MemoryStore;
use pgnear_ann::{Element, Error, Tid};
use pgnear_kernels::Metric;

/// What the other sessions know.
struct World {
    spec: IndexSpec,
    meta: Meta,
    rng: Rng,
    /// Rows that stay alive throughout.
    lasting: Rows,
    /// Rows that nobody sees any more.
    dead: Rows,
    /// Rows alive that came in, or may still be killed.
    passing: Rows,
    /// TIDs that vacuum has freed, to be used again.
    spare: Vec<Tid>,
    next: usize,
    /// How much they will still do.
    actions: usize,
    may_vacuum: bool,
    vacuums: usize,
}

impl World {
    fn new(spec: &IndexSpec, seed: u64, count: usize) -> (Rc<RefCell<World>>, MemoryStore) {
        let mut rng = Rng(seed);
        let rows = rows(spec, count, &mut rng);
        let store = build(spec, &rows, SMALL_PAGE);
        let meta = Meta::read(&store).unwrap();
        // Runs of rows are killed together, so that whole pages are emptied.
        let (lasting, passing) = (rows.into_iter().enumerate())
            .partition::<Vec<_>, _>(|(n, _)| (n / (count / 8)).is_multiple_of(2));
        let world = World {
            spec: spec.clone(),
            meta,
            rng,
            lasting: lasting.into_iter().map(|(_, row)| row).collect(),
            dead: Rows::new(),
            passing: passing.into_iter().map(|(_, row)| row).collect(),
            spare: Vec::new(),
            next: 10_000,
            actions: 150,
            may_vacuum: true,
            vacuums: 0,
        };
        (Rc::new(RefCell::new(world)), store)
    }

    fn insert(&mut self, store: &MemoryStore) -> Result<(), Error> {
        let at = self.spare.pop().unwrap_or_else(|| {
            self.next += 1;
            tid(self.next)
        });
        let row = payload(&self.spec, &mut self.rng);
        ivfflat::insert(store, &self.meta, at, &row)?;
        self.passing.insert(at, row);
        Ok(())
    }

    fn vacuum(&mut self, store: &MemoryStore) -> Result<(), Error> {
        // Kill a run of rows first.
        let skip = self.rng.below(self.passing.len() + 1);
        let run: Vec<Tid> = (self.passing.keys().copied().skip(skip).take(30)).collect();
        for tid in run {
            self.dead.extend(self.passing.remove_entry(&tid));
        }
        let dead = &self.dead;
        let mut is_dead = |tid| dead.contains_key(&tid);
        ivfflat::bulk_delete(store, &self.meta, &mut is_dead, &mut |_, _| ())?;
        self.spare.extend(self.dead.keys());
        self.dead.clear();
        self.vacuums += 1;
        Ok(())
    }

    fn act(&mut self, store: &MemoryStore) -> Result<(), Error> {
        if self.actions == 0 || self.rng.below(3) > 0 {
            return Ok(());
        }
        self.actions -= 1;
        match self.rng.below(8) {
            0 | 1 if self.may_vacuum => self.vacuum(store),
            2 if self.may_vacuum => ivfflat::cleanup(store, &self.meta).map(|_| ()),
            // To wait for a lock in a hook would be to wait for ever.
            _ if store.is_structure_locked() => Ok(()),
            _ => self.insert(store),
        }
    }

    /// The state when all have gone: every row is found, and the verifier is content.
    fn verify(&mut self, store: &MemoryStore) {
        let mut rows = self.lasting.clone();
        rows.extend(self.passing.clone());
        rows.extend(self.dead.clone());
        let query = payload(&self.spec, &mut self.rng);
        assert_eq!(
            search(store, &query),
            brute_force(&self.spec, &rows, &query)
        );
        ivfflat::cleanup(store, &self.meta).unwrap();
        assert_eq!(findings(store), [] as [String; 0]);
    }
}

fn let_others_in(store: &MemoryStore, world: &Rc<RefCell<World>>) {
    let world = world.clone();
    store.set_hook(Some(Rc::new(move |store| world.borrow_mut().act(store))));
}

#[test]
fn a_scan_goes_on_while_pages_are_freed_and_used_again() {
    let (mut restarts, mut rescans, mut vacuums) = (0, 0, 0);
    for spec in small_specs() {
        for seed in 0..30 {
            let (world, store) = World::new(&spec, seed, 160);
            let (meta, query, lasting) = {
                let mut world = world.borrow_mut();
                let query = payload(&spec, &mut world.rng);
                (world.meta.clone(), query, world.lasting.clone())
            };
            let options = ScanOptions {
                max_candidates: if seed % 2 == 0 { 1 << 20 } else { 20 },
                ..everything(&spec)
            };
            let mut scan = scan(&meta, &query, options);
            let_others_in(&store, &world);
            let hits = drain(&mut scan, &store).unwrap();
            store.set_hook(None);

            let tids: BTreeSet<Tid> = hits.iter().map(|hit| hit.tid).collect();
            assert_eq!(tids.len(), hits.len(), "a row was handed out twice");
            let ordered = hits
                .windows(2)
                .all(|pair| (pair[0].distance, pair[0].tid) < (pair[1].distance, pair[1].tid));
            assert!(ordered, "rows are out of order");
            let found: Vec<(Tid, u64)> = (hits.iter())
                .filter(|hit| lasting.contains_key(&hit.tid))
                .map(|hit| (hit.tid, hit.distance.unwrap().to_bits()))
                .collect();
            assert_eq!(found, brute_force(&spec, &lasting, &query));
            restarts += scan.stats().restarts;
            rescans += scan.stats().rescans;
            vacuums += world.borrow().vacuums;
            world.borrow_mut().verify(&store);
        }
    }
    assert!(restarts > 0, "no page was freed under a scan");
    assert!(rescans > 0 && vacuums > 0);
}

#[test]
fn inserts_go_on_while_pages_are_freed_and_used_again() {
    for spec in small_specs() {
        for seed in 0..20 {
            let (world, store) = World::new(&spec, seed, 120);
            let mut rng = Rng(seed + 500);
            let meta = world.borrow().meta.clone();
            let_others_in(&store, &world);
            for n in 0..40 {
                let (tid, row) = (tid(20_000 + n), payload(&spec, &mut rng));
                ivfflat::insert(&store, &meta, tid, &row).unwrap();
                world.borrow_mut().lasting.insert(tid, row);
            }
            store.set_hook(None);
            world.borrow_mut().verify(&store);
        }
    }
}

#[test]
fn a_vacuum_goes_on_while_others_insert_and_asks_for_every_row() {
    for spec in small_specs() {
        for seed in 0..20 {
            let (world, store) = World::new(&spec, seed, 120);
            let (meta, dead, at_start) = {
                let mut world = world.borrow_mut();
                world.may_vacuum = false;
                let dead: BTreeSet<Tid> = world.passing.keys().copied().collect();
                let all = (world.lasting.keys().chain(&dead).copied()).collect::<BTreeSet<Tid>>();
                world.passing.clear();
                (world.meta.clone(), dead, all)
            };
            let mut asked = BTreeSet::new();
            let_others_in(&store, &world);
            let mut is_dead = |tid| {
                asked.insert(tid);
                dead.contains(&tid)
            };
            let stats = ivfflat::bulk_delete(&store, &meta, &mut is_dead, &mut |_, _| ()).unwrap();
            ivfflat::cleanup(&store, &meta).unwrap();
            store.set_hook(None);
            assert_eq!(stats.removed, dead.len() as u64);
            assert!(asked.is_superset(&at_start));
            world.borrow_mut().verify(&store);
        }
    }
}

#[test]
fn an_operation_stopped_anywhere_leaves_a_sound_index() {
    for spec in small_specs() {
        for stop_after in 0..60 {
            let (world, store) = World::new(&spec, 1, 120);
            let meta = world.borrow().meta.clone();
            let dead: BTreeSet<Tid> = world.borrow().passing.keys().copied().collect();
            let row = payload(&spec, &mut Rng(2));
            let left = Rc::new(RefCell::new(0));
            let counter = left.clone();
            store.set_hook(Some(Rc::new(move |_| {
                if *counter.borrow() == 0 {
                    return Err(Error::Interrupted);
                }
                *counter.borrow_mut() -= 1;
                Ok(())
            })));
            *left.borrow_mut() = stop_after;
            let inserted = ivfflat::insert(&store, &meta, tid(9000), &row);
            *left.borrow_mut() = stop_after;
            let mut is_dead = |tid| dead.contains(&tid);
            let vacuumed = ivfflat::bulk_delete(&store, &meta, &mut is_dead, &mut |_, _| ());
            *left.borrow_mut() = stop_after;
            let cleaned = ivfflat::cleanup(&store, &meta);
            for result in [inserted.clone().err(), vacuumed.err(), cleaned.err()] {
                assert!(matches!(result, None | Some(Error::Interrupted)));
            }
            store.set_hook(None);
            if inserted.is_ok() {
                world.borrow_mut().lasting.insert(tid(9000), row);
            }
            ivfflat::bulk_delete(&store, &meta, &mut is_dead, &mut |_, _| ()).unwrap();
            world.borrow_mut().passing.clear();
            world.borrow_mut().verify(&store);
        }
    }
}

/// Runs `main` again and again; at the n-th run `other` gets in at the n-th point where `main` holds
/// no lock. Ends when `main` has no more points; `verify` judges each outcome.
fn at_every_point(
    make: &dyn Fn() -> MemoryStore,
    main: &dyn Fn(&MemoryStore),
    other: fn(&MemoryStore),
    verify: &dyn Fn(&MemoryStore),
) {
    for point in 0.. {
        let store = make();
        let left = Rc::new(Cell::new(Some(point)));
        let counter = left.clone();
        store.set_hook(Some(Rc::new(move |store| {
            match counter.get() {
                Some(0) => {
                    counter.set(None);
                    other(store);
                }
                left => counter.set(left.map(|left: usize| left - 1)),
            }
            Ok(())
        })));
        main(&store);
        store.set_hook(None);
        if left.get().is_some() {
            assert!(point > 5, "there were too few points to get in");
            return;
        }
        verify(&store);
    }
}

fn new_row(spec: &IndexSpec, n: usize) -> (Tid, Vec<u8>) {
    (tid(30_000 + n), payload(spec, &mut Rng(n as u64)))
}

fn insert_one(store: &MemoryStore, n: usize) {
    let meta = Meta::read(store).unwrap();
    let (tid, row) = new_row(meta.spec(), n);
    ivfflat::insert(store, &meta, tid, &row).unwrap();
}

fn insert_two(store: &MemoryStore) {
    insert_one(store, 0);
    insert_one(store, 1);
}

fn insert_other(store: &MemoryStore) {
    insert_one(store, 9);
}

fn is_dead(tid: Tid) -> bool {
    tid >= common::tid(10) && tid < common::tid(60)
}

fn vacuum(store: &MemoryStore) {
    let meta = Meta::read(store).unwrap();
    ivfflat::bulk_delete(store, &meta, &mut is_dead, &mut |_, _| ()).unwrap();
}

fn vacuum_and_reuse(store: &MemoryStore) {
    vacuum(store);
    (0..40).for_each(|n| insert_one(store, 200 + n));
}

#[test]
fn one_list_is_shared_at_every_point() {
    for spec in [
        spec(Element::F32, Metric::L2, 3, 1),
        spec(Element::F32, Metric::Cosine, 300, 1),
    ] {
        let all = rows(&spec, 60, &mut Rng(3));
        let query = payload(&spec, &mut Rng(4));
        let expect = |built: usize, inserted: Vec<usize>| {
            let (all, query, spec) = (&all, &query, &spec);
            move |store: &MemoryStore| {
                let mut expected: Rows = (all.clone().into_iter().take(built))
                    .filter(|(tid, _)| !is_dead(*tid))
                    .collect();
                expected.extend(inserted.iter().map(|n| new_row(spec, *n)));
                vacuum(store);
                assert_eq!(search(store, query), brute_force(spec, &expected, query));
                ivfflat::cleanup(store, &Meta::read(store).unwrap()).unwrap();
                assert_eq!(findings(store), [] as [String; 0]);
            }
        };
        // Of narrow rows 19 fill a page: no page yet; full pages; a last page with room, which the
        // hint leads to. All but the first pages are all dead.
        for built in [0, 57, 60] {
            let rows: Rows = all.clone().into_iter().take(built).collect();
            let make = || build(&spec, &rows, SMALL_PAGE);
            at_every_point(
                &make,
                &insert_two,
                insert_other,
                &expect(built, vec![0, 1, 9]),
            );
            at_every_point(&make, &insert_two, vacuum, &expect(built, vec![0, 1]));
            if built > 0 {
                at_every_point(&make, &vacuum, insert_other, &expect(built, vec![9]));
            }
            // Pages that filled up behind the hint make inserts walk to the right.
            let make = || {
                let store = make();
                vacuum(&store);
                (0..30).for_each(|n| insert_one(&store, 100 + n));
                store
            };
            let inserted = (100..130).chain([0, 1]).collect();
            at_every_point(&make, &insert_two, vacuum, &expect(built, inserted));
        }
        let make = || build(&spec, &all, SMALL_PAGE);
        let scan_all = |store: &MemoryStore| {
            let meta = Meta::read(store).unwrap();
            let hits = drain(&mut scan(&meta, &query, everything(&spec)), store).unwrap();
            let found: BTreeSet<Tid> = hits.iter().map(|hit| hit.tid).collect();
            assert_eq!(found.len(), hits.len());
            assert!(all.keys().all(|tid| is_dead(*tid) || found.contains(tid)));
        };
        let inserted = (200..240).collect();
        at_every_point(&make, &scan_all, vacuum_and_reuse, &expect(60, inserted));
    }
}
