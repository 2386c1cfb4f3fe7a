//! Build, insert and search: the index answers as a loop over all rows does, in order and to the
//! bit, when it looks at all lists.

mod common;

use common::*;
use pgnear_ann::ivfflat::{self, Builder, Centroids, Meta, Query, Scan, ScanOptions};
use pgnear_ann::memory::MemoryWriter;
use pgnear_ann::{Element, Error};
use pgnear_kernels::Metric;

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

#[test]
fn few_probes_find_the_rows_of_the_nearest_lists_in_order() {
    for (element, metric) in [
        (Element::F32, Metric::L2),
        (Element::F32, Metric::InnerProduct),
        (Element::F16, Metric::Cosine),
        (Element::Bit, Metric::Hamming),
    ] {
        let spec = spec(element, metric, 24, 16);
        let mut rng = Rng(5);
        let rows = rows(&spec, 400, &mut rng);
        let centroids = centroids(&spec, &mut Rng(99));
        let store = build_with(&spec, &rows, &centroids, 1024);
        let meta = Meta::read(&store).unwrap();
        // A row that is a member of the database lies in the list that is nearest to it.
        for (tid, row) in rows.iter().take(50) {
            let list = centroids.assign(&spec, row).unwrap();
            let members: Rows = (rows.iter())
                .filter(|(_, row)| centroids.assign(&spec, row).unwrap() == list)
                .map(|(tid, row)| (*tid, row.clone()))
                .collect();
            assert!(members.contains_key(tid) && members.len() < rows.len());
            let options = ScanOptions {
                probes: 1,
                ..everything(&spec)
            };
            let hits = drain(&mut scan(&meta, row, options), &store).unwrap();
            let hits: Vec<_> = (hits.iter())
                .map(|hit| (hit.tid, hit.distance.unwrap().to_bits()))
                .collect();
            assert_eq!(hits, brute_force(&spec, &members, row), "{spec:?}");
        }
    }
}

#[test]
fn an_iterative_scan_goes_on_to_further_lists_up_to_its_limit() {
    let spec = spec(Element::F32, Metric::L2, 8, 10);
    let mut rng = Rng(6);
    let rows = rows(&spec, 500, &mut rng);
    let store = build(&spec, &rows, 1024);
    let meta = Meta::read(&store).unwrap();
    let query = payload(&spec, &mut rng);
    let found = |probes, max_probes| {
        let options = ScanOptions {
            probes,
            iterative: true,
            max_probes,
            ..everything(&spec)
        };
        let mut scan = scan(&meta, &query, options);
        let hits = drain(&mut scan, &store).unwrap();
        assert_eq!(
            scan.stats().lists,
            u64::from(max_probes.max(probes).min(10))
        );
        hits
    };
    let fixed = |probes| {
        let options = ScanOptions {
            probes,
            ..everything(&spec)
        };
        drain(&mut scan(&meta, &query, options), &store).unwrap()
    };
    let sorted = |mut hits: Vec<ivfflat::Hit>| {
        hits.sort_by_key(|hit| hit.tid);
        hits
    };
    // Rounds of 3, 3 and 1 lists: the first is what a plain scan of 3 gives; together what one of
    // 7 gives.
    let hits = found(3, 7);
    let first = fixed(3);
    assert_eq!(hits[..first.len()], first);
    assert_eq!(sorted(hits), sorted(fixed(7)));
    assert_eq!(sorted(found(4, 1000)), sorted(fixed(10)));
    assert_eq!(found(3, 0), fixed(3));
}

#[test]
fn little_memory_changes_the_work_and_not_the_answer() {
    for spec in [
        spec(Element::F32, Metric::L2, 3, 4),
        // Many equal distances.
        spec(Element::Bit, Metric::Hamming, 5, 4),
    ] {
        let mut rng = Rng(8);
        let rows = rows(&spec, 1000, &mut rng);
        let store = build(&spec, &rows, 8192);
        let meta = Meta::read(&store).unwrap();
        let query = payload(&spec, &mut rng);
        for max_candidates in [0, 16, 100, 999, 1000] {
            let options = ScanOptions {
                max_candidates,
                ..everything(&spec)
            };
            let mut scan = scan(&meta, &query, options);
            let hits = drain(&mut scan, &store).unwrap();
            let hits: Vec<_> = (hits.iter())
                .map(|hit| (hit.tid, hit.distance.unwrap().to_bits()))
                .collect();
            assert_eq!(hits, brute_force(&spec, &rows, &query));
            assert_eq!(scan.stats().rescans > 0, max_candidates < 1000);
        }
    }
}

#[test]
fn rows_without_a_distance_come_last() {
    for metric in [Metric::L2, Metric::InnerProduct, Metric::Cosine] {
        let spec = spec(Element::F32, metric, 3, 2);
        let mut rng = Rng(8);
        let mut rows = rows(&spec, 50, &mut rng);
        for (n, bad) in [f32::NAN, f32::INFINITY, -f32::NAN, f32::MAX]
            .iter()
            .enumerate()
        {
            rows.insert(
                tid(n * 10),
                bytemuck::cast_slice(&[*bad, 0.0, 1.0]).to_vec(),
            );
        }
        let store = build(&spec, &rows, 8192);
        let query = payload(&spec, &mut rng);
        let found = search(&store, &query);
        assert_eq!(found, brute_force(&spec, &rows, &query));
        assert!(
            found[48..]
                .iter()
                .all(|(_, bits)| f64::from_bits(*bits).is_nan())
        );
        // To a query that is no number, all rows are equal.
        let query: [f32; 3] = [f32::NAN; 3];
        let query = bytemuck::cast_slice(&query);
        assert_eq!(search(&store, query), brute_force(&spec, &rows, query));
    }
}

#[test]
fn a_few_rows_are_had_without_sorting_all() {
    let spec = spec(Element::F32, Metric::L2, 3, 1);
    let mut rng = Rng(9);
    let rows = rows(&spec, 5000, &mut rng);
    let store = build(&spec, &rows, 8192);
    let meta = Meta::read(&store).unwrap();
    let query = payload(&spec, &mut rng);
    let expected = brute_force(&spec, &rows, &query);
    let mut scan = scan(&meta, &query, everything(&spec));
    for expected in &expected[..10] {
        let hit = scan.next(&store).unwrap().unwrap();
        assert_eq!((hit.tid, hit.distance.unwrap().to_bits()), *expected);
    }
    assert_eq!(scan.stats().rows, 5000);
    assert_eq!(scan.stats().rescans, 0);
}

#[test]
fn an_empty_index_takes_rows() {
    for spec in all_specs() {
        let store = build(&spec, &Rows::new(), 8192);
        let meta = Meta::read(&store).unwrap();
        let row = payload(&spec, &mut Rng(1));
        assert_eq!(search(&store, &row), []);
        ivfflat::insert(&store, &meta, tid(1), &row).unwrap();
        let rows = Rows::from([(tid(1), row.clone())]);
        assert_eq!(search(&store, &row), brute_force(&spec, &rows, &row));
        assert_eq!(findings(&store), [] as [String; 0]);
    }
}

#[test]
fn many_lists_span_directory_and_centroid_pages() {
    let spec = spec(Element::F16, Metric::L2, 7, 2000);
    let mut rng = Rng(9);
    let mut rows = rows(&spec, 1500, &mut rng);
    let store = build(&spec, &rows, 1024);
    let meta = Meta::read(&store).unwrap();
    assert_eq!(meta.fixed_pages(), 1 + 2000_u32.div_ceil(40) + 58);
    for n in 1500..1600 {
        let row = payload(&spec, &mut rng);
        ivfflat::insert(&store, &meta, tid(n), &row).unwrap();
        rows.insert(tid(n), row);
    }
    let query = payload(&spec, &mut rng);
    assert_eq!(search(&store, &query), brute_force(&spec, &rows, &query));
    assert_eq!(findings(&store), [] as [String; 0]);
}

#[test]
fn what_does_not_fit_is_refused() {
    let floats = spec(Element::F32, Metric::L2, 3, 2);
    let store = build(&floats, &Rows::new(), 8192);
    let meta = Meta::read(&store).unwrap();
    let wrong = Error::WrongDimensions {
        expected: 3,
        got: 4,
    };
    assert_eq!(
        ivfflat::insert(&store, &meta, tid(0), &[0; 16]),
        Err(wrong.clone())
    );
    assert_eq!(Query::from_payload(&floats, &[0; 16]), Err(wrong));
    let bits = Query::Bit(vec![0]);
    assert!(matches!(
        Scan::new(&meta, bits, everything(&floats)),
        Err(Error::Invalid(_))
    ));
    for spec in [
        spec(Element::F32, Metric::Hamming, 3, 2),
        spec(Element::Bit, Metric::L2, 3, 2),
        spec(Element::F32, Metric::L2, 0, 2),
        spec(Element::F32, Metric::L2, 3, 0),
    ] {
        let mut writer = MemoryWriter::new(8192);
        let centroids = Centroids::Float {
            dims: 3,
            data: vec![0.0; 6],
        };
        let built = Builder::new(&mut writer, &spec, &centroids).err();
        assert!(matches!(built, Some(Error::Invalid(_))), "{spec:?}");
    }
    for spec in [
        spec(Element::F32, Metric::L2, 16_001, 2),
        spec(Element::Bit, Metric::Hamming, 64_001, 2),
        spec(Element::F32, Metric::L2, 3, 32_769),
    ] {
        let mut writer = MemoryWriter::new(8192);
        let centroids = centroids(&spec, &mut Rng(1));
        let built = Builder::new(&mut writer, &spec, &centroids).err();
        assert!(matches!(built, Some(Error::TooLarge { .. })), "{spec:?}");
    }
    // Rows out of order, and a list that is not there.
    let mut writer = MemoryWriter::new(8192);
    let centroids = centroids(&floats, &mut Rng(1));
    let mut builder = Builder::new(&mut writer, &floats, &centroids).unwrap();
    builder.push(1, tid(0), &[0; 12]).unwrap();
    assert!(matches!(
        builder.push(0, tid(1), &[0; 12]),
        Err(Error::Invalid(_))
    ));
    assert!(matches!(
        builder.push(2, tid(1), &[0; 12]),
        Err(Error::Invalid(_))
    ));
}

#[test]
fn an_index_of_somebody_else_is_named_as_such() {
    let spec = spec(Element::F32, Metric::L2, 3, 2);
    let store = build(&spec, &Rows::new(), 8192);
    // pgvector's meta page: its number at the start of the body, and no special area of our size.
    let theirs = store.tampered(|pages| {
        pages[0].fill(0);
        pages[0][12..20].copy_from_slice(&[48, 0, 0xF8, 0x1F, 0xF8, 0x1F, 4, 0x20]);
        pages[0][24..28].copy_from_slice(&0x014F_F1A7_u32.to_ne_bytes());
    });
    assert_eq!(Meta::read(&theirs), Err(Error::NotOurs));
    let later = store.tampered(|pages| pages[0][28] = 2);
    assert_eq!(
        Meta::read(&later),
        Err(Error::UnknownVersion { found: 2, known: 1 })
    );
    for damaged in [
        store.tampered(|pages| pages[0].fill(0)),
        store.tampered(|pages| pages[0][24] ^= 1),
        store.tampered(|pages| pages[0][40] ^= 1),
        store.tampered(|pages| pages[0][8192 - 24] ^= 1),
        store.tampered(|pages| pages.clear()),
    ] {
        assert!(matches!(
            Meta::read(&damaged),
            Err(Error::Corrupt { block: 0, .. })
        ));
    }
}
