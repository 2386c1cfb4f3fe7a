//! Answers against a plain loop over the rows.

use pgnear_ann::hnsw::{IndexSpec, Iterative, Meta, Query, Scan};
use pgnear_ann::{Element, Error, Tid};
use pgnear_kernels::Metric;

use crate::world::*;

#[test]
fn most_of_the_nearest_rows_are_found_and_wider_searches_find_more() {
    for spec in all_specs() {
        let rows = rows(&spec, 4000, 1);
        let store = build(&spec, &rows, 8192);
        let (narrow, wide) = (
            recall(&spec, &store, &rows, 20),
            recall(&spec, &store, &rows, 100),
        );
        assert!(narrow >= 0.85, "{spec:?}: {narrow} at 20");
        assert!(wide >= 0.98, "{spec:?}: {wide} at 100");
        assert_eq!(harm(&store), [] as [String; 0], "{spec:?}");
        if spec.metric != Metric::InnerProduct {
            assert_eq!(count(&store, "unreached"), 0, "{spec:?}");
        }
    }
}

#[test]
fn rows_leave_in_the_operators_order_to_the_bit() {
    for spec in all_specs() {
        let rows = rows(&spec, 1500, 2);
        let store = build(&spec, &rows, 8192);
        let query = Source::new(&spec, 77).row();
        let truth = brute_force(&spec, &rows, &query);
        let found = search(&store, &rows, &query, options(50, Iterative::Off));
        assert_eq!(found.len(), 50);
        // Among the rows found, exactly the order and the bits of the plain loop.
        let expected: Vec<_> = (truth.into_iter())
            .filter(|(tid, _)| found.iter().any(|(other, _)| other == tid))
            .collect();
        assert_eq!(found, expected, "{spec:?}");
    }
}

#[test]
fn a_small_table_is_searched_in_full_at_any_width_of_row() {
    let mut specs = all_specs();
    for (element, dims) in [
        (Element::F32, 1),
        (Element::F32, 768),
        (Element::F32, 1536),
        (Element::F16, 2500),
        (Element::F32, 16_000),
        (Element::Bit, 64_000),
    ] {
        let metric = if element == Element::Bit {
            Metric::Hamming
        } else {
            Metric::L2
        };
        specs.push(spec(element, metric, dims));
    }
    for spec in specs {
        for count in [0, 1, 2, 60] {
            let rows = rows(&spec, count, 3);
            let store = build(&spec, &rows, 8192);
            let query = Source::new(&spec, 5).row();
            let found = search(&store, &rows, &query, options(60, Iterative::Off));
            assert_eq!(found, brute_force(&spec, &rows, &query), "{spec:?} {count}");
            assert_eq!(harm(&store), [] as [String; 0], "{spec:?}");
        }
    }
}

#[test]
fn small_pages_hold_the_same() {
    for spec in small_specs() {
        let rows = rows(&spec, 700, 3);
        let store = build(&spec, &rows, SMALL_PAGE);
        let query = Source::new(&spec, 5).row();
        let wide = search(&store, &rows, &query, options(700, Iterative::Off));
        assert_eq!(wide, brute_force(&spec, &rows, &query), "{spec:?}");
        assert_eq!(harm(&store), [] as [String; 0], "{spec:?}");
    }
}

#[test]
fn without_iteration_a_scan_returns_as_many_rows_as_its_width() {
    let spec = spec(Element::F32, Metric::L2, 20);
    let rows = rows(&spec, 2000, 1);
    let store = build(&spec, &rows, 8192);
    let query = Source::new(&spec, 8).row();
    for ef in [1, 10, 40, 333] {
        let found = search(&store, &rows, &query, options(ef, Iterative::Off));
        assert_eq!(found.len(), ef as usize);
    }
}

#[test]
fn an_iterative_scan_goes_on_to_the_last_row() {
    for spec in all_specs() {
        let rows = rows(&spec, 1500, 4);
        let store = build(&spec, &rows, 8192);
        let query = Source::new(&spec, 9).row();
        let relaxed = search(&store, &rows, &query, options(20, Iterative::Relaxed));
        let mut tids: Vec<_> = relaxed.iter().map(|(tid, _)| *tid).collect();
        tids.sort();
        assert!(
            tids.iter().eq(rows.keys()),
            "{spec:?}: a row is missing or twice"
        );

        let strict = search(&store, &rows, &query, options(20, Iterative::Strict));
        let distances: Vec<f64> = strict.iter().map(|(_, d)| f64::from_bits(*d)).collect();
        assert!(distances.is_sorted(), "{spec:?}: out of order");
        assert!(strict.len() > rows.len() / 2, "{spec:?}: {}", strict.len());
        assert_eq!(strict[..10], relaxed[..10]);
    }
}

#[test]
fn an_iterative_scan_keeps_to_its_bounds() {
    let spec = spec(Element::F32, Metric::L2, 20);
    let rows = rows(&spec, 4000, 1);
    let store = build(&spec, &rows, 8192);
    let query = Source::new(&spec, 8).row();
    let rows_with = |max_scan_tuples, memory| {
        let bounded = pgnear_ann::hnsw::ScanOptions {
            max_scan_tuples,
            memory,
            ..options(20, Iterative::Relaxed)
        };
        search(&store, &rows, &query, bounded).len()
    };
    let first = rows_with(1, usize::MAX);
    assert!((20..40).contains(&first), "{first}");
    let some = rows_with(1000, usize::MAX);
    assert!((21..2000).contains(&some), "{some}");
    let less = rows_with(u64::MAX, 20_000);
    assert!((21..2000).contains(&less), "{less}");
    assert_eq!(rows_with(u64::MAX, usize::MAX), 4000);
}

#[test]
fn every_copy_of_a_row_can_be_reached() {
    for metric in [Metric::L2, Metric::InnerProduct, Metric::Cosine] {
        let spec = spec(Element::F32, metric, 24);
        let mut all = rows(&spec, 3000, 6);
        let copy = all[&tid(0)].clone();
        for (n, row) in all.values_mut().enumerate() {
            if n % 3 != 0 {
                row.clone_from(&copy);
            }
        }
        let store = build(&spec, &all, 8192);
        assert!(
            everything(&store, &all, &copy).iter().eq(all.keys()),
            "{metric:?}"
        );
        // The others are not cut off by the crowd.
        assert!(recall(&spec, &store, &all, 100) > 0.95, "{metric:?}");
    }
}

#[test]
fn rows_far_from_zero_are_told_apart() {
    for metric in [Metric::L2, Metric::Cosine] {
        let spec = spec(Element::F32, metric, 16);
        let all = changed(rows(&spec, 3000, 1), |_, row| {
            row.iter_mut().for_each(|x| *x += 20.0);
        });
        let store = build(&spec, &all, 8192);
        let mut found = 0;
        for row in all.values().step_by(60) {
            let truth = brute_force(&spec, &all, row);
            let hits = search(&store, &all, row, options(40, Iterative::Off));
            found += hits
                .iter()
                .take(10)
                .filter(|hit| truth[..10].contains(hit))
                .count();
        }
        assert!(found > 470, "{metric:?}: {found} of 500");
    }
}

#[test]
fn rows_without_direction_come_last() {
    let spec = spec(Element::F32, Metric::Cosine, 8);
    let mut all = rows(&spec, 900, 6);
    for n in [5, 500] {
        all.insert(tid(n), vec![0; 32]);
    }
    let store = build(&spec, &all, 8192);
    let query = Source::new(&spec, 5).row();
    let found = search(&store, &all, &query, options(50, Iterative::Relaxed));
    assert_eq!(found.len(), 900);
    let nan = found.iter().filter(|(_, d)| f64::from_bits(*d).is_nan());
    assert_eq!(nan.count(), 2);
    // A query without direction returns rows in some order.
    let zero = search(&store, &all, &[0; 32], options(50, Iterative::Relaxed));
    assert_eq!(zero.len(), 900);
}

#[test]
fn numbers_at_the_end_of_their_range_lose_nothing() {
    for metric in [Metric::L2, Metric::InnerProduct, Metric::Cosine, Metric::L1] {
        let spec = spec(Element::F32, metric, 6);
        let mut all = rows(&spec, 700, 2);
        for (n, row) in all.values_mut().enumerate().filter(|(n, _)| n % 7 == 0) {
            let x = [f32::MAX, f32::MIN, 1e-45, 1e30][n % 4];
            *row = [x; 6].iter().flat_map(|x| x.to_ne_bytes()).collect();
        }
        let store = build(&spec, &all, 8192);
        for query in [all[&tid(0)].clone(), Source::new(&spec, 1).row()] {
            assert!(
                everything(&store, &all, &query).iter().eq(all.keys()),
                "{metric:?}"
            );
        }
        assert_eq!(harm(&store), [] as [String; 0]);
    }
}

#[test]
fn a_query_that_does_not_fit_is_refused() {
    let f32s = spec(Element::F32, Metric::L2, 3);
    let store = build(&f32s, &rows(&f32s, 5, 1), 8192);
    let meta = Meta::read(&store).unwrap();
    let ask = |query| Scan::new(&meta, query, options(10, Iterative::Off)).err();
    assert_eq!(
        ask(Query::F32(vec![1.0; 4])),
        Some(Error::WrongDimensions {
            expected: 3,
            got: 4
        })
    );
    assert!(matches!(ask(Query::Bit(vec![1])), Some(Error::Invalid(_))));
    assert_eq!(ask(Query::F32(vec![1.0; 3])), None);
}

#[test]
fn specifications_outside_of_the_limits_are_refused() {
    let base = spec(Element::F32, Metric::L2, 100);
    let refused = |spec: IndexSpec| {
        let mut writer = pgnear_ann::memory::MemoryWriter::new(8192);
        let budget = pgnear_device::MemoryBudget::unlimited();
        let centre = centre(&spec, &Rows::new());
        pgnear_ann::hnsw::Builder::new(&mut writer, &spec, &centre, &budget).is_err()
    };
    assert!(!refused(base.clone()));
    let with = |change: fn(&mut IndexSpec)| {
        let mut spec = base.clone();
        change(&mut spec);
        spec
    };
    assert!(refused(with(|spec| spec.dims = 0)));
    assert!(refused(with(|spec| spec.dims = 16_001)));
    assert!(refused(with(|spec| spec.m = 1)));
    assert!(refused(with(|spec| spec.m = 101)));
    assert!(refused(with(|spec| spec.ef_construction = 3)));
    assert!(refused(with(|spec| spec.ef_construction = 1001)));
    assert!(refused(with(|spec| spec.metric = Metric::Hamming)));
    assert!(refused(with(|spec| (spec.dims, spec.m) = (16_000, 100))));
    // Less than the usual two times m is no mistake.
    assert!(!refused(with(
        |spec| (spec.m, spec.ef_construction) = (100, 4)
    )));
}

#[test]
fn looks_without_a_lock_only_steer() {
    for spec in small_specs() {
        let all = rows(&spec, 2000, 1);
        let store = build(&spec, &all, 8192);
        let locked = recall(&spec, &store, &all, 40);
        // Looks that show what is there change nothing.
        store.set_tearing(0);
        assert_eq!(recall(&spec, &store, &all, 40), locked, "{spec:?}");
        // Torn ones cost recall at most: distances are exact and in order, and no row is lost.
        store.set_tearing(3);
        let torn = recall(&spec, &store, &all, 40);
        assert!(
            torn > locked - 0.3,
            "{spec:?}: {torn} with torn looks, {locked} without"
        );
        let query = Source::new(&spec, 9).row();
        let hits = search(&store, &all, &query, options(40, Iterative::Off));
        for (tid, bits) in &hits {
            let exact = distance(&spec, &query, &all[tid]);
            assert_eq!(*bits, exact.to_bits(), "{spec:?}");
        }
        let order = |(tid, bits): &(Tid, u64)| (f64::from_bits(*bits), *tid);
        assert!(hits.iter().map(order).is_sorted(), "{spec:?}");
        assert!(
            everything(&store, &all, &query).iter().eq(all.keys()),
            "{spec:?}"
        );
    }
}
