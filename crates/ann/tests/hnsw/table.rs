//! Indexes that leave vectors in the table: rows are measured there, and what the scan does not see
//! there is passed over.

use pgnear_ann::hnsw::{self, IndexSpec, Iterative, Meta, NoTable, Rerank};
use pgnear_ann::memory::MemoryStore;
use pgnear_ann::{Element, Error, Tid};
use pgnear_kernels::Metric;

use crate::world::*;

fn specs() -> Vec<IndexSpec> {
    let mut specs = Vec::new();
    for element in [Element::F32, Element::F16] {
        for metric in [Metric::L2, Metric::InnerProduct, Metric::Cosine] {
            specs.push(IndexSpec {
                rerank: Rerank::Table,
                ..spec(element, metric, 40)
            });
        }
    }
    specs
}

fn found(store: &MemoryStore, rows: &Rows, query: &[u8], ef: u32) -> Vec<(Tid, u64)> {
    let meta = Meta::read(store).unwrap();
    let mut scan = scan(&meta, query, options(ef, Iterative::Off));
    let hits = drain_with(&mut scan, store, &InTable(rows)).unwrap();
    let hits = hits.iter();
    hits.map(|hit| (hit.tid, hit.distance.to_bits())).collect()
}

#[test]
fn rows_leave_in_the_exact_order_of_their_vectors_in_the_table() {
    for spec in specs() {
        let mut rows = rows(&spec, 900, 1);
        let store = build(&spec, &rows, 2048);
        assert_eq!(Meta::read(&store).unwrap().spec(), &spec);
        let mut source = Source::new(&spec, 5);
        for n in 900..1000 {
            rows.insert(tid(n), source.row());
            hnsw::insert(&store, &Meta::read(&store).unwrap(), tid(n), &rows[&tid(n)]).unwrap();
        }
        let query = source.row();
        // Wide enough to meet all.
        let all = found(&store, &rows, &query, 1000);
        assert_eq!(all, brute_force(&spec, &rows, &query), "{spec:?}");
        assert_eq!(harm(&store), [] as [String; 0]);
    }
}

#[test]
fn a_row_that_is_not_seen_takes_no_others_place() {
    for spec in specs() {
        let mut rows = rows(&spec, 600, 2);
        let store = build(&spec, &rows, 2048);
        let query = Source::new(&spec, 6).row();
        let nearest = brute_force(&spec, &rows, &query);
        // Of the nearest thirty every other is gone from the table, and not yet from the index.
        for (tid, _) in nearest[..30].iter().step_by(2) {
            rows.remove(tid);
        }
        let left = brute_force(&spec, &rows, &query);
        assert_eq!(found(&store, &rows, &query, 600), left);
    }
}

#[test]
fn removed_rows_are_not_asked_for() {
    let spec = &specs()[0];
    let rows = rows(spec, 300, 3);
    let store = build(spec, &rows, 2048);
    let meta = Meta::read(&store).unwrap();
    hnsw::bulk_delete(
        &store,
        &meta,
        &mut |tid| tid.offset % 2 == 0,
        &mut |_, _| {},
    )
    .unwrap();
    hnsw::cleanup(&store, &meta).unwrap();
    let query = Source::new(spec, 7).row();
    let all = found(&store, &rows, &query, 300);
    assert_eq!(all.len(), 150);
    assert!(all.iter().all(|(tid, _)| tid.offset % 2 == 1));
}

#[test]
fn vectors_that_are_not_coded_cannot_be_left_in_the_table() {
    let spec = IndexSpec {
        rerank: Rerank::Table,
        ..spec(Element::Bit, Metric::Hamming, 40)
    };
    let budget = pgnear_device::MemoryBudget::unlimited();
    let mut writer = pgnear_ann::memory::MemoryWriter::new(2048);
    let centre = hnsw::Centre::new(&spec).unwrap();
    let refused = hnsw::Builder::new(&mut writer, &spec, &centre, &budget).err();
    assert!(matches!(refused, Some(Error::Invalid(_))));
}

#[test]
fn an_index_without_its_table_says_so() {
    let spec = &specs()[0];
    let rows = rows(spec, 20, 3);
    let store = build(spec, &rows, 2048);
    let meta = Meta::read(&store).unwrap();
    let mut scan = scan(&meta, &rows[&tid(0)], options(10, Iterative::Off));
    assert!(matches!(
        scan.next(&store, &NoTable),
        Err(Error::Invalid(_))
    ));
}
