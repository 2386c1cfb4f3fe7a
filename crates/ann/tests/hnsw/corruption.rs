//! Damaged pages: an error or an answer, never a panic or an endless loop.

use pgnear_ann::Error;
use pgnear_ann::hnsw::{self, Iterative, Meta, TidState};
use pgnear_ann::memory::MemoryStore;
use pgnear_ann::page::{HEADER, SPECIAL};

use crate::world::*;

/// Everything that can be done with an index.
fn use_it(store: &MemoryStore, spec: &hnsw::IndexSpec, rows: &Rows, seed: u64) -> Vec<Error> {
    let table = InTable(rows);
    let mut errors = Vec::new();
    let meta = Meta::read(store);
    hnsw::check(
        store,
        &meta,
        &mut |_| TidState::Ok,
        Some(&table),
        &mut |_| (),
    )
    .unwrap();
    let meta = match meta {
        Ok(meta) if meta.spec() == spec => meta,
        Ok(_) => return errors,
        Err(error) => return vec![error],
    };
    let row = Source::new(spec, seed).row();
    for iterative in [Iterative::Off, Iterative::Relaxed] {
        let mut scan = scan(&meta, &row, options(20, iterative));
        errors.extend(drain(&mut scan, store, &table).err());
    }
    errors.extend(hnsw::insert(store, &meta, tid(9000), &row).err());
    errors.extend(
        hnsw::bulk_delete(store, &meta, &mut |tid| tid.offset % 5 == 0, &mut |_, _| ()).err(),
    );
    errors.extend(hnsw::cleanup(store, &meta).err());
    errors.extend(hnsw::insert(store, &meta, tid(9001), &row).err());
    errors
}

#[test]
fn any_bytes_in_any_page_do_no_harm() {
    let mut seen = 0;
    for spec in small_specs() {
        let all = rows(&spec, 530, 1);
        let sound = build(&spec, &all, SMALL_PAGE);
        let meta = Meta::read(&sound).unwrap();
        hnsw::bulk_delete(&sound, &meta, &mut |tid| tid.offset == 7, &mut |_, _| ()).unwrap();
        hnsw::cleanup(&sound, &meta).unwrap();
        let mut rng = Rng(9);
        for round in 0..120 {
            let damaged = sound.tampered(|pages| {
                for _ in 0..1 + round % 4 {
                    // Often one of the first pages, on which all others depend.
                    let many = pages.len();
                    let page = match rng.below(3) {
                        0 => rng.below(8.min(many)),
                        _ => rng.below(many),
                    };
                    let bytes = &mut pages[page];
                    match rng.below(4) {
                        0 => bytes.fill(0),
                        1 => (HEADER..bytes.len()).for_each(|at| bytes[at] = rng.next() as u8),
                        2 => {
                            let at = rng.below(bytes.len() - 4);
                            bytes[at..at + 4].copy_from_slice(&(rng.next() as u32).to_ne_bytes());
                        }
                        _ => {
                            let at = rng.below(bytes.len());
                            bytes[at] ^= 1 << rng.below(8);
                        }
                    }
                }
            });
            seen += use_it(&damaged, &spec, &all, round as u64).len();
        }
    }
    assert!(seen > 100, "the damage was not noticed: {seen}");
}

/// The page and offset of the first neighbour of a node, found by what the layout says of small
/// specification 0: 5 dimensions, 6 neighbours.
fn first_neighbour(store: &MemoryStore, node: usize) -> (usize, usize) {
    // Records of 8 + 12 + 24 bytes; a page of 464 holds 10. The centre is on block 2.
    let meta = Meta::read(store).unwrap();
    assert_eq!(meta.spec().dims, 5);
    (3 + node / 10, HEADER + node % 10 * 44 + 20)
}

#[test]
fn links_that_lead_nowhere_are_errors() {
    let spec = &small_specs()[0];
    let rows = rows(spec, 530, 1);
    let sound = build(spec, &rows, SMALL_PAGE);
    let query = rows[&tid(0)].clone();
    for bad in [0u32, 1 << 31, u32::MAX - 1, 1_000_000] {
        let damaged = sound.tampered(|pages| {
            let (page, at) = first_neighbour(&sound, 0);
            pages[page][at..at + 4].copy_from_slice(&bad.to_ne_bytes());
        });
        // To itself, out of range, past the end: met when node 0 is expanded, as it is nearest.
        let meta = Meta::read(&damaged).unwrap();
        let result = drain(
            &mut scan(&meta, &query, options(20, Iterative::Off)),
            &damaged,
            &InTable(&rows),
        );
        assert!(
            matches!(result, Err(Error::Corrupt { .. })),
            "{bad}: {result:?}"
        );
        assert!(!harm(&damaged).is_empty(), "{bad}");
    }
}

#[test]
fn the_verifier_sees_what_is_wrong() {
    let spec = &small_specs()[0];
    let rows = rows(spec, 530, 1);
    let sound = build(spec, &rows, SMALL_PAGE);
    let kinds = |change: &dyn Fn(&mut Vec<Vec<u8>>)| -> Vec<&'static str> {
        let damaged = sound.tampered(|pages| change(pages));
        let mut kinds = Vec::new();
        let meta = Meta::read(&damaged);
        hnsw::check(&damaged, &meta, &mut |_| TidState::Ok, None, &mut |f| {
            kinds.push(f.kind)
        })
        .unwrap();
        kinds.sort_unstable();
        kinds.dedup();
        kinds
    };
    let (page, link) = first_neighbour(&sound, 3);
    let record = link - 20;
    assert_eq!(kinds(&|_| ()), [] as [&str; 0]);
    assert_eq!(kinds(&|pages| pages[page][record + 16] ^= 1), ["code"]);
    assert!(kinds(&|pages| pages[page][record + 6] = 9).contains(&"record"));
    assert!(kinds(&|pages| pages[page][record] ^= 1).contains(&"vector"));
    assert!(kinds(&|pages| pages[page].copy_within(link..link + 4, link + 4)).contains(&"link"));
    assert!(kinds(&|pages| pages[1][HEADER + 4] = 3).contains(&"state"));
    assert!(kinds(&|pages| pages[page].fill(0)).contains(&"record"));
    let last = sound.tampered(|_| ());
    let end = pgnear_ann::Store::blocks(&last) as usize - 1;
    assert!(!kinds(&|pages| pages[end].fill(7)).is_empty());
    assert!(
        !kinds(&|pages| {
            let special = pages[end].len() - SPECIAL;
            pages[end][special + 8] ^= 1;
        })
        .is_empty()
    );
    assert_eq!(kinds(&|pages| pages[0][HEADER] ^= 1), ["meta"]);
}

#[test]
fn entry_points_in_the_place_of_others_are_seen() {
    let spec = &small_specs()[0];
    let rows = rows(spec, 900, 1);
    let sound = build(spec, &rows, SMALL_PAGE);
    let mut first = 0;
    // Where the state page says that the table begins: a page of leaders, then two of members.
    sound.tampered(|pages| {
        let place: [u8; 4] = pages[1][HEADER + 16..HEADER + 20].try_into().unwrap();
        first = u32::from_ne_bytes(place) as usize;
    });
    assert_eq!(pgnear_ann::Store::blocks(&sound) as usize, first + 3);
    let query = rows[&tid(0)].clone();
    for (from, to, misleads) in [(1, 0, true), (0, 1, true), (1, 2, false), (2, 1, true)] {
        let damaged = sound.tampered(|pages| {
            let page = pages[first + from].clone();
            pages[first + to] = page;
        });
        assert!(!harm(&damaged).is_empty(), "{from} over {to}");
        let meta = Meta::read(&damaged).unwrap();
        let mut scan = scan(&meta, &query, options(20, Iterative::Off));
        let result = drain(&mut scan, &damaged, &InTable(&rows));
        // Members that are others only steer.
        let noticed = matches!(result, Err(Error::Corrupt { .. }));
        let answered = result.is_ok_and(|hits| hits.len() == 20);
        assert!(
            if misleads { noticed } else { answered },
            "{from} over {to}"
        );
    }
}
