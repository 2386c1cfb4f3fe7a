//! Indexes that leave vectors in the table: rows are measured there, and what the scan does not see
//! there is passed over.

use pgnear_ann::hnsw::{self, IndexSpec, Iterative, Meta, NoTable, Rerank, TidState};
use pgnear_ann::memory::MemoryStore;
use pgnear_ann::{Element, Error, Tid};
use pgnear_kernels::Metric;

use crate::world::*;

fn specs() -> Vec<IndexSpec> {
    let mut specs = Vec::new();
    for element in [Element::F32, Element::F16, Element::Sparse] {
        for metric in [Metric::L2, Metric::InnerProduct, Metric::Cosine, Metric::L1] {
            // Without L1 there are no codes of dense vectors; more elements than a code keeps.
            let dims = if element == Element::Sparse { 400 } else { 40 };
            if element == Element::Sparse || metric != Metric::L1 {
                specs.push(IndexSpec {
                    rerank: Rerank::Table,
                    ..spec(element, metric, dims)
                });
            }
        }
    }
    specs
}

#[test]
fn a_search_finds_what_is_near() {
    for spec in specs() {
        let rows = rows(&spec, 3000, 8);
        let store = build(&spec, &rows, 8192);
        let mut source = Source::new(&spec, 9);
        let (mut near, mut all) = (0, 0);
        for _ in 0..40 {
            let query = source.row();
            let truth = brute_force(&spec, &rows, &query);
            let hits = found(&store, &rows, &query, 40);
            let last = f64::from_bits(truth[9].1);
            near += (hits.iter().take(10))
                .filter(|(_, bits)| f64::from_bits(*bits) <= last)
                .count();
            all += 10;
        }
        let recall = f64::from(near as u32) / f64::from(all);
        println!("{:?} {:?}: {recall:.3}", spec.element, spec.metric);
        // Half of the elements of these sparse vectors are not in their codes.
        let least = if spec.element == Element::Sparse {
            0.85
        } else {
            0.95
        };
        assert!(recall > least, "{spec:?}: {recall}");
    }
}

#[test]
fn sparse_vectors_are_any_number_of_elements() {
    let spec = IndexSpec {
        rerank: Rerank::Table,
        ..spec(Element::Sparse, Metric::L2, 1_000_000_000)
    };
    let row = |count: i32| -> Vec<u8> {
        let indices = (0..count).flat_map(|n| (n * 60_000).to_ne_bytes());
        let values = (0..count).flat_map(|n| (1.0 + n as f32).to_ne_bytes());
        indices.chain(values).collect()
    };
    let counts = [0, 1, 63, 64, 65, 1001, 16_000];
    let mut rows: Rows = (0..6).map(|n| (tid(n), row(counts[n]))).collect();
    let store = build(&spec, &rows, 8192);
    let meta = Meta::read(&store).unwrap();
    rows.insert(tid(6), row(16_000));
    hnsw::insert(&store, &meta, tid(6), &rows[&tid(6)]).unwrap();
    for count in counts {
        let query = row(count);
        let all = found(&store, &rows, &query, 10);
        assert_eq!(all, brute_force(&spec, &rows, &query));
    }
    let too_many = row(16_001);
    assert!(matches!(
        hnsw::insert(&store, &meta, tid(7), &too_many),
        Err(Error::WrongDimensions { .. })
    ));
    // Half an element is no vector.
    assert!(hnsw::insert(&store, &meta, tid(7), &too_many[..12]).is_err());
}

fn found(store: &MemoryStore, rows: &Rows, query: &[u8], ef: u32) -> Vec<(Tid, u64)> {
    search(store, rows, query, options(ef, Iterative::Off))
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
fn the_verifier_compares_codes_with_the_table() {
    for spec in specs() {
        let mut rows = rows(&spec, 300, 4);
        let store = build(&spec, &rows, 2048);
        let found = |rows: &Rows| {
            let mut found = Vec::new();
            let (meta, table) = (Meta::read(&store), InTable(rows));
            let report = &mut |finding: hnsw::Finding| found.push((finding.kind, finding.node));
            hnsw::check(&store, &meta, &mut |_| TidState::Ok, Some(&table), report).unwrap();
            found
        };
        assert_eq!(found(&rows), [], "{spec:?}");
        // As if the code of another row stood there.
        let other = rows[&tid(8)].clone();
        rows.insert(tid(7), other);
        assert_eq!(found(&rows), [("code", Some(7))], "{spec:?}");
        // What can't be seen can't be compared.
        rows.remove(&tid(7));
        assert_eq!(found(&rows), []);
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
