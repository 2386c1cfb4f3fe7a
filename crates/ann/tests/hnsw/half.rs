//! Indexes that hold vectors at half of their size: rows leave in the exact order all the same, and the table is
//! asked only where that can't be told without.

use std::cell::Cell;

use pgnear_ann::hnsw::{self, IndexSpec, Iterative, Meta, NoTable, Rerank, Table, TidState};
use pgnear_ann::memory::MemoryStore;
use pgnear_ann::page::HEADER;
use pgnear_ann::{Element, Error, Tid};
use pgnear_kernels::Metric;

use crate::world::*;

fn half(metric: Metric, dims: u32) -> IndexSpec {
    IndexSpec {
        rerank: Rerank::Half,
        ..spec(Element::F32, metric, dims)
    }
}

const METRICS: [Metric; 3] = [Metric::L2, Metric::InnerProduct, Metric::Cosine];

/// A table that counts the rows asked for.
struct Asked<'a>(&'a Rows, Cell<usize>);

impl Table for Asked<'_> {
    fn row(&self, tid: Tid, use_it: &mut dyn FnMut(&[u8])) -> Result<bool, Error> {
        self.1.set(self.1.get() + 1);
        InTable(self.0).row(tid, use_it)
    }
}

/// How many rows of the first `count` are looked at in the table.
fn looks(store: &MemoryStore, rows: &Rows, query: &[u8], count: usize) -> usize {
    let table = Asked(rows, Cell::new(0));
    let meta = Meta::read(store).unwrap();
    let mut scan = scan(&meta, query, options(40, Iterative::Off));
    for _ in 0..count {
        scan.next(store, &table).unwrap().unwrap();
    }
    assert_eq!(scan.stats().exact, table.1.get() as u64);
    table.1.get()
}

#[test]
fn rows_leave_in_the_operators_order_whatever_they_are() {
    for metric in METRICS {
        let spec = half(metric, 40);
        let ordinary = rows(&spec, 900, 2);
        let first: Vec<f32> = bytemuck::pod_collect_to_vec(&ordinary[&tid(0)]);
        let nearly = |n: usize, row: &mut [f32]| {
            for (x, first) in row.iter_mut().zip(&first) {
                *x = first + *x * 1e-6 * (n % 5) as f32;
            }
        };
        let magnitudes = |n: usize, row: &mut [f32]| {
            let factor = [1e-30, 1e-3, 1.0, 100.0, 1e25][n % 5];
            row.iter_mut().for_each(|x| *x *= factor);
        };
        for (kind, rows) in [
            ("ordinary", ordinary.clone()),
            (
                "nearly alike, and copies",
                changed(rows(&spec, 900, 2), nearly),
            ),
            (
                "of many magnitudes",
                changed(rows(&spec, 900, 2), magnitudes),
            ),
            (
                "few values",
                changed(rows(&spec, 900, 2), |_, row| {
                    row.iter_mut().for_each(|x| *x = x.signum())
                }),
            ),
            (
                "far from zero",
                changed(rows(&spec, 900, 2), |_, row| {
                    row.iter_mut().for_each(|x| *x += 50.0)
                }),
            ),
        ] {
            let store = build(&spec, &rows, 2048);
            for query in [rows[&tid(7)].clone(), Source::new(&spec, 5).row()] {
                // Wide enough to meet all.
                let all = search(&store, &rows, &query, options(1000, Iterative::Off));
                assert_eq!(all, brute_force(&spec, &rows, &query), "{metric:?} {kind}");
            }
            let table = InTable(&rows);
            let report = &mut |finding: hnsw::Finding| {
                assert!(finding.is_harmless(), "{metric:?} {kind}: {finding:?}");
            };
            let meta = Meta::read(&store);
            hnsw::check(&store, &meta, &mut |_| TidState::Ok, Some(&table), report).unwrap();
        }
    }
}

#[test]
fn the_table_is_asked_only_where_rows_are_about_as_near() {
    for metric in METRICS {
        let spec = half(metric, 200);
        let rows = rows(&spec, 2000, 2);
        let store = build(&spec, &rows, 8192);
        let whole = IndexSpec {
            rerank: Rerank::Index,
            ..spec.clone()
        };
        let bytes = |store: &MemoryStore| pgnear_ann::Store::blocks(store) as usize * 8192;
        let (halves, wholes) = (bytes(&store), bytes(&build(&whole, &rows, 8192)));
        assert!(halves * 4 < wholes * 3, "{halves} of {wholes}");
        let mut source = Source::new(&spec, 5);
        let all: usize = (0..50)
            .map(|_| looks(&store, &rows, &source.row(), 10))
            .sum();
        println!("{metric:?}: {all} of 500 rows looked at");
        assert!(all < 50, "{metric:?}: {all}");
        // Copies can't be told apart without.
        let copies: Rows = (0..60).map(|n| (tid(n), rows[&tid(0)].clone())).collect();
        let store = build(&spec, &copies, 8192);
        assert!(looks(&store, &copies, &source.row(), 10) >= 10);
    }
}

#[test]
fn a_row_that_the_scan_does_not_see_is_dropped_or_left_to_the_host() {
    for metric in METRICS {
        let spec = half(metric, 40);
        let all = changed(rows(&spec, 600, 2), |n, row| {
            if n % 2 == 0 {
                row.iter_mut().for_each(|x| *x = x.signum());
            }
        });
        let store = build(&spec, &all, 2048);
        let query = Source::new(&spec, 6).row();
        let mut seen = all.clone();
        for (tid, _) in brute_force(&spec, &all, &query)[..60].iter().step_by(2) {
            seen.remove(tid);
        }
        for iterative in [Iterative::Off, Iterative::Relaxed, Iterative::Strict] {
            let mut found = search(&store, &seen, &query, options(600, iterative));
            found.retain(|(tid, _)| seen.contains_key(tid));
            assert_eq!(found, brute_force(&spec, &seen, &query), "{iterative:?}");
        }
    }
}

#[test]
fn where_the_table_has_another_vector_that_is_reported() {
    let spec = half(Metric::L2, 40);
    let copies: Rows = (rows(&spec, 1, 1).into_values())
        .flat_map(|row| (0..60).map(move |n| (tid(n), row.clone())))
        .collect();
    let store = build(&spec, &copies, 2048);
    let meta = Meta::read(&store).unwrap();
    let query = Source::new(&spec, 6).row();
    let ask = |table: &InTable<'_>| {
        drain(
            &mut scan(&meta, &query, options(60, Iterative::Off)),
            &store,
            table,
        )
    };
    assert_eq!(ask(&InTable(&copies)).unwrap().len(), 60);
    let other = changed(rows(&spec, 60, 2), |_, row| row[0] += 1.0);
    assert!(matches!(ask(&InTable(&other)), Err(Error::Corrupt { .. })));
    let short: Rows = copies.keys().map(|tid| (*tid, vec![0; 8])).collect();
    assert!(matches!(
        ask(&InTable(&short)),
        Err(Error::WrongDimensions { .. })
    ));
    let none = drain(
        &mut scan(&meta, &query, options(60, Iterative::Off)),
        &store,
        &NoTable,
    );
    assert!(matches!(none, Err(Error::Invalid(_))));
}

#[test]
fn the_verifier_compares_halves_with_the_table() {
    let spec = half(Metric::Cosine, 40);
    let mut rows = rows(&spec, 300, 4);
    let sound = build(&spec, &rows, 2048);
    let found = |store: &MemoryStore, rows: &Rows| {
        let mut found = Vec::new();
        let (meta, table) = (Meta::read(store), InTable(rows));
        let report = &mut |finding: hnsw::Finding| found.push((finding.kind, finding.node));
        hnsw::check(store, &meta, &mut |_| TidState::Ok, Some(&table), report).unwrap();
        found
    };
    assert_eq!(found(&sound, &rows), []);
    // One bit of the vector of node 0, which begins the first vector page.
    let spot = |pages: &mut Vec<Vec<u8>>| -> usize {
        let head = |page: &Vec<u8>| page[HEADER..HEADER + 8] == [0, 0, 0, 0, 1, 0, 0, 0];
        let after = |page: &usize| *page > 2;
        (0..pages.len())
            .filter(after)
            .rfind(|at| head(&pages[*at]))
            .unwrap()
    };
    let damaged = sound.tampered(|pages| {
        let page = spot(pages);
        pages[page][HEADER + 8 + 12 + 5] ^= 1;
    });
    assert_eq!(found(&damaged, &rows), [("vector", Some(0))]);
    // As if the code of another row stood there.
    rows.insert(tid(7), rows[&tid(8)].clone());
    assert_eq!(found(&sound, &rows), [("code", Some(7))]);
    // What can't be seen can't be compared.
    rows.remove(&tid(7));
    assert_eq!(found(&sound, &rows), []);
}

#[test]
fn vectors_that_are_not_coded_or_half_as_large_already_are_not_halved() {
    for (element, metric) in [
        (Element::F32, Metric::L1),
        (Element::F16, Metric::L2),
        (Element::Bit, Metric::Hamming),
        (Element::Sparse, Metric::L2),
    ] {
        let spec = IndexSpec {
            rerank: Rerank::Half,
            ..spec(element, metric, 40)
        };
        let budget = pgnear_device::MemoryBudget::unlimited();
        let mut writer = pgnear_ann::memory::MemoryWriter::new(2048);
        let centre = hnsw::Centre::new(&spec).unwrap();
        let refused = hnsw::Builder::new(&mut writer, &spec, &centre, &budget).err();
        assert!(matches!(refused, Some(Error::Invalid(_))), "{spec:?}");
    }
}
