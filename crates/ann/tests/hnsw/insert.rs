//! Inserting row by row.

use pgnear_ann::hnsw::{self, IndexSpec, Iterative, LateRows, Meta, Rerank};
use pgnear_ann::{Element, Store};
use pgnear_kernels::Metric;

use crate::world::*;

#[test]
fn an_index_grown_row_by_row_finds_what_a_built_one_does() {
    for spec in all_specs() {
        let rows = rows(&spec, 2500, 1);
        let store = build(&spec, &Rows::new(), 8192);
        let meta = Meta::read(&store).unwrap();
        for (tid, row) in &rows {
            hnsw::insert(&store, &meta, *tid, row).unwrap();
        }
        assert_eq!(harm(&store), [] as [String; 0], "{spec:?}");
        let built = recall(&spec, &build(&spec, &rows, 8192), &rows, 40);
        let grown = recall(&spec, &store, &rows, 40);
        assert!(grown > built - 0.03, "{spec:?}: {grown}, built {built}");
        let query = Source::new(&spec, 3).row();
        // By paths from entry points, not by looking at every row.
        let mut narrow = scan(&meta, &query, options(1, Iterative::Off));
        drain(&mut narrow, &store, &InTable(&rows)).unwrap();
        let met = narrow.stats().met;
        assert!(met < 1250, "{spec:?}: {met}");
        assert!(
            everything(&store, &rows, &query).iter().eq(rows.keys()),
            "{spec:?}"
        );
    }
}

#[test]
fn the_late_rows_of_a_build_are_found_as_if_they_had_been_there() {
    for spec in all_specs() {
        let rows = rows(&spec, 2500, 1);
        let first: Rows = rows.clone().into_iter().take(400).collect();
        let store = build(&spec, &first, 8192);
        let mut late = LateRows::new(&store).unwrap();
        for (tid, row) in rows.iter().skip(400) {
            late.insert(*tid, row).unwrap();
        }
        assert!(late.insert(tid(1), &[1]).is_err());
        late.finish().unwrap();
        assert_eq!(harm(&store), [] as [String; 0], "{spec:?}");
        let built = recall(&spec, &build(&spec, &rows, 8192), &rows, 40);
        let grown = recall(&spec, &store, &rows, 40);
        assert!(grown > built - 0.02, "{spec:?}: {grown}, built {built}");
        let query = Source::new(&spec, 3).row();
        assert!(
            everything(&store, &rows, &query).iter().eq(rows.keys()),
            "{spec:?}"
        );
    }
}

#[test]
fn rows_of_any_width_are_inserted_on_small_pages() {
    for spec in small_specs() {
        let rows = rows(&spec, 600, 1);
        let (first, later): (Rows, Rows) =
            (rows.clone().into_iter()).partition(|(t, _)| t.block < 3);
        let store = build(&spec, &first, SMALL_PAGE);
        let meta = Meta::read(&store).unwrap();
        for (tid, row) in &later {
            hnsw::insert(&store, &meta, *tid, row).unwrap();
        }
        assert_eq!(harm(&store), [] as [String; 0], "{spec:?}");
        let query = Source::new(&spec, 3).row();
        let found = search(&store, &rows, &query, options(600, Iterative::Off));
        assert_eq!(found, brute_force(&spec, &rows, &query), "{spec:?}");
    }
}

#[test]
fn entry_points_follow_the_rows() {
    // Rows elsewhere than those the index was built of.
    let spec = spec(Element::F32, Metric::L2, 16);
    let store = build(&spec, &rows(&spec, 600, 1), 8192);
    let meta = Meta::read(&store).unwrap();
    let mut source = Source::new(&spec, 2);
    let mut far = Rows::new();
    for n in 600..4000 {
        let mut floats: Vec<f32> = bytemuck::pod_collect_to_vec(&source.row());
        floats.iter_mut().for_each(|x| *x += 1.5);
        let row: Vec<u8> = bytemuck::cast_slice(&floats).to_vec();
        hnsw::insert(&store, &meta, tid(n), &row).unwrap();
        far.insert(tid(n), row);
    }
    assert_eq!(harm(&store), [] as [String; 0]);
    let mut found = 0;
    for (_, row) in far.iter().step_by(50) {
        let hits = search(&store, &far, row, options(40, Iterative::Off));
        let truth = brute_force(&spec, &far, row);
        found += hits
            .iter()
            .take(10)
            .filter(|hit| truth[..10].contains(hit))
            .count();
    }
    assert!(found > 640, "{found} of 680");
}

#[test]
fn a_row_that_does_not_fit_is_refused_and_leaves_nothing() {
    let spec = spec(Element::F32, Metric::L2, 16);
    let store = build(&spec, &rows(&spec, 60, 1), 8192);
    let meta = Meta::read(&store).unwrap();
    assert!(hnsw::insert(&store, &meta, tid(99), &[0; 60]).is_err());
    assert_eq!(store.records(), 0);
}

#[test]
fn tables_of_entry_points_that_move_leave_their_room_to_nodes() {
    // Groups of a page each, so that a table soon needs more of them.
    let specs = [
        small_specs().remove(4),
        IndexSpec {
            rerank: Rerank::Table,
            ..small_specs().remove(0)
        },
        small_specs().remove(0),
    ];
    for spec in specs {
        let store = build(&spec, &Rows::new(), SMALL_PAGE);
        let meta = Meta::read(&store).unwrap();
        let mut source = Source::new(&spec, 3);
        let mut rows = Rows::new();
        for n in 0..4300 {
            rows.insert(tid(n), source.row());
            hnsw::insert(&store, &meta, tid(n), &rows[&tid(n)]).unwrap();
        }
        assert_eq!(harm(&store), [] as [String; 0], "{spec:?}");
        assert_eq!(count(&store, "leaked"), 0);
        let blocks = store.blocks();
        // Every row is met by vacuum, and none is lost.
        let mut seen = 0;
        let stats = hnsw::bulk_delete(
            &store,
            &meta,
            &mut |tid| {
                seen += 1;
                tid.block % 2 == 0
            },
            &mut |_, _| {},
        );
        assert!(seen >= 4300 && stats.unwrap().live == 2150);
        hnsw::cleanup(&store, &meta).unwrap();
        for n in 4300..6400 {
            rows.insert(tid(n), source.row());
            hnsw::insert(&store, &meta, tid(n), &rows[&tid(n)]).unwrap();
        }
        assert_eq!(store.blocks(), blocks);
        assert_eq!(harm(&store), [] as [String; 0], "{spec:?}");
    }
}

#[test]
fn tables_of_entry_points_that_shrink_leave_their_room_to_nodes() {
    let spec = small_specs().remove(4);
    let store = build(&spec, &Rows::new(), SMALL_PAGE);
    let meta = Meta::read(&store).unwrap();
    let mut source = Source::new(&spec, 3);
    let mut next = 0;
    let mut insert = |count: usize| {
        for _ in 0..count {
            hnsw::insert(&store, &meta, tid(next), &source.row()).unwrap();
            next += 1;
        }
    };
    insert(4200);
    // So many are removed that a small table is made, and with the next one another.
    for keep in [40, 80, 160] {
        hnsw::bulk_delete(
            &store,
            &meta,
            &mut |tid| tid.block % keep != 0,
            &mut |_, _| {},
        )
        .unwrap();
        hnsw::cleanup(&store, &meta).unwrap();
        assert_eq!(harm(&store), [] as [String; 0], "one row of {keep} kept");
        insert(100);
        assert_eq!(harm(&store), [] as [String; 0], "one row of {keep} kept");
    }
    let blocks = store.blocks();
    insert(3900);
    assert_eq!(harm(&store), [] as [String; 0]);
    assert_eq!(count(&store, "leaked"), 0);
    assert!(store.blocks() <= blocks + 20, "room was not used again");
}
