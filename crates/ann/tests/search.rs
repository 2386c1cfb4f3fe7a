//! Build, insert and search: the index answers as a loop over all rows does, in order and to the
//! bit, when it looks at all lists.

mod common;

use common::*;
use pgnear_ann::ivfflat::{self, Meta};

fn count_for(dims: u32) -> usize {
    if dims > 1000 { 25 } else { 300 }
}

#[test]
fn a_built_index_answers_as_a_plain_loop() {
    for spec in all_specs() {
        let mut rng = Rng(u64::from(spec.dims));
        let rows = rows(&spec, count_for(spec.dims), &mut rng);
        let store = build(&spec, &rows, 8192);
        let meta = Meta::read(&store).unwrap();
        assert_eq!(meta.spec(), &spec);
        for _ in 0..3 {
            let query = payload(&spec, &mut rng);
            assert_eq!(
                search(&store, &query),
                brute_force(&spec, &rows, &query),
                "{spec:?}"
            );
        }
    }
}

#[test]
fn inserted_rows_are_found() {
    for spec in all_specs() {
        let mut rng = Rng(u64::from(spec.dims));
        let mut rows = rows(&spec, count_for(spec.dims) / 5, &mut rng);
        let store = build(&spec, &rows, 8192);
        let meta = Meta::read(&store).unwrap();
        for n in rows.len()..count_for(spec.dims) {
            let row = payload(&spec, &mut rng);
            ivfflat::insert(&store, &meta, tid(n), &row).unwrap();
            rows.insert(tid(n), row);
        }
        let query = payload(&spec, &mut rng);
        assert_eq!(
            search(&store, &query),
            brute_force(&spec, &rows, &query),
            "{spec:?}"
        );
    }
}
