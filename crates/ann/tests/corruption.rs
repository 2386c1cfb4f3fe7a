//! Damaged indexes: every operation ends with an answer or a typed error; it never panics, and
//! never runs for ever. What the verifier is there for, it finds.

mod common;

use std::cell::Cell;
use std::rc::Rc;

use common::*;
use pgnear_ann::ivfflat::{self, IndexSpec, Meta};
use pgnear_ann::memory::MemoryStore;
use pgnear_ann::{Error, Store};

/// An index with all kinds of pages: as built, inserted to, vacuumed with pages freed.
fn sample(spec: &IndexSpec) -> MemoryStore {
    let mut rng = Rng(21);
    let rows = rows(spec, 80, &mut rng);
    let store = build(spec, &rows, SMALL_PAGE);
    let meta = Meta::read(&store).unwrap();
    for n in 80..120 {
        ivfflat::insert(&store, &meta, tid(n), &payload(spec, &mut rng)).unwrap();
    }
    let mut is_dead = |t| t < tid(60);
    ivfflat::bulk_delete(&store, &meta, &mut is_dead, &mut |_, _| ()).unwrap();
    ivfflat::cleanup(&store, &meta).unwrap();
    store
}

fn accept<T>(result: Result<T, Error>) -> Option<T> {
    match result {
        Ok(value) => Some(value),
        Err(Error::Corrupt { .. } | Error::NotOurs | Error::UnknownVersion { .. }) => None,
        Err(error) => panic!("unexpected error on a damaged index: {error}"),
    }
}

/// Runs everything; returns the verifier's findings.
fn run_all(store: &MemoryStore, rng: &mut Rng) -> Vec<String> {
    // The hook counts the steps of an operation: more than a sound one could need is for ever.
    let steps = Rc::new(Cell::new(0u64));
    let counter = steps.clone();
    store.set_hook(Some(Rc::new(move |_| {
        counter.set(counter.get() + 1);
        assert!(counter.get() < 100_000, "an operation has no end");
        Ok(())
    })));
    let findings = findings(store);
    let Some(meta) = accept(Meta::read(store)) else {
        return findings;
    };
    for max_candidates in [1 << 20, 16] {
        let options = ivfflat::ScanOptions {
            max_candidates,
            ..everything(meta.spec())
        };
        steps.set(0);
        let query = payload(meta.spec(), rng);
        accept(drain(&mut scan(&meta, &query, options), store));
    }
    for n in 0..3 {
        steps.set(0);
        let row = payload(meta.spec(), rng);
        accept(ivfflat::insert(store, &meta, tid(7000 + n), &row));
    }
    steps.set(0);
    let mut is_dead = |t: pgnear_ann::Tid| t.offset.is_multiple_of(3);
    accept(ivfflat::bulk_delete(
        store,
        &meta,
        &mut is_dead,
        &mut |_, _| (),
    ));
    steps.set(0);
    accept(ivfflat::cleanup(store, &meta));
    findings
}

fn specs() -> [IndexSpec; 2] {
    small_specs()
}

#[test]
fn flipped_bytes_are_survived() {
    for spec in specs() {
        let store = sample(&spec);
        let mut rng = Rng(1);
        for _ in 0..3000 {
            let damaged = store.tampered(|pages| {
                for _ in 0..=rng.below(3) {
                    let page = rng.below(pages.len());
                    // Half of the flips hit the header or the special area.
                    let at = match rng.below(4) {
                        0 => rng.below(24),
                        1 => SMALL_PAGE - 24 + rng.below(24),
                        _ => rng.below(SMALL_PAGE),
                    };
                    pages[page][at] ^= 1 << rng.below(8);
                }
            });
            run_all(&damaged, &mut rng);
        }
    }
}

#[test]
fn what_a_special_area_means_is_verified() {
    const FREE: u8 = 6;
    for spec in specs() {
        let store = sample(&spec);
        let mut in_use = 0;
        for block in 0..store.blocks() as usize {
            // Mark, format, kind, owner, generation, next page; the last 4 bytes are spare.
            for at in SMALL_PAGE - 24..SMALL_PAGE - 4 {
                let mut is_free = false;
                let damaged = store.tampered(|pages| {
                    is_free = pages[block][SMALL_PAGE - 24 + 3] == FREE;
                    pages[block][at] ^= 1;
                });
                if !is_free {
                    in_use += 1;
                    assert_ne!(findings(&damaged).len(), 0, "byte {at} of block {block}");
                }
            }
        }
        assert!(in_use > 0);
    }
}

#[test]
fn wrong_links_and_numbers_are_survived() {
    for spec in specs() {
        let store = sample(&spec);
        let blocks = store.blocks();
        let mut rng = Rng(2);
        for _ in 0..3000 {
            let damaged = store.tampered(|pages| {
                for _ in 0..=rng.below(2) {
                    let page = rng.below(pages.len());
                    let value = match rng.below(5) {
                        0 => rng.next() as u32,
                        1 => u32::MAX,
                        2 => blocks + rng.below(3) as u32,
                        _ => rng.below(blocks as usize) as u32,
                    };
                    let at = match rng.below(3) {
                        0 => SMALL_PAGE - 24 + 4 * rng.below(6),
                        1 => 24 + 4 * rng.below(10),
                        _ => 4 * rng.below(SMALL_PAGE / 4),
                    };
                    pages[page][at..at + 4].copy_from_slice(&value.to_ne_bytes());
                }
            });
            run_all(&damaged, &mut rng);
        }
    }
}

#[test]
fn zeroed_lost_and_exchanged_pages_are_survived_and_found() {
    for spec in specs() {
        let store = sample(&spec);
        let mut rng = Rng(3);
        for block in 0..store.blocks() as usize {
            let mut is_free = false;
            let zeroed = store.tampered(|pages| {
                is_free = pages[block][SMALL_PAGE - 24 + 3] == 6;
                pages[block].fill(0);
            });
            let found = run_all(&zeroed, &mut rng);
            assert_eq!(found.is_empty(), is_free, "block {block} zeroed: {found:?}");
            let mut lost_in_use = false;
            let truncated = store.tampered(|pages| {
                lost_in_use = (pages[block..].iter()).any(|page| page[SMALL_PAGE - 24 + 3] != 6);
                pages.truncate(block);
            });
            let found = run_all(&truncated, &mut rng);
            assert_eq!(
                !found.is_empty(),
                lost_in_use,
                "{block} pages left: {found:?}"
            );
            for _ in 0..5 {
                let exchanged = store.tampered(|pages| {
                    let other = rng.below(pages.len());
                    pages.swap(block, other);
                });
                run_all(&exchanged, &mut rng);
                let doubled = store.tampered(|pages| {
                    let other = rng.below(pages.len());
                    pages[block] = pages[other].clone();
                });
                run_all(&doubled, &mut rng);
            }
        }
    }
}

#[test]
fn random_bytes_are_survived() {
    let mut rng = Rng(4);
    for spec in specs() {
        let store = sample(&spec);
        for _ in 0..500 {
            let damaged = store.tampered(|pages| {
                // The meta page stays, so that there is an index to speak of.
                for page in &mut pages[1..] {
                    if rng.below(3) == 0 {
                        let keep_ends = rng.below(2) == 0;
                        let range = if keep_ends {
                            24..SMALL_PAGE - 24
                        } else {
                            0..SMALL_PAGE
                        };
                        page[range]
                            .iter_mut()
                            .for_each(|byte| *byte = rng.next() as u8);
                    }
                }
            });
            run_all(&damaged, &mut rng);
        }
    }
}

/// The first list page that leads to another.
fn linked_list_page(store: &MemoryStore) -> usize {
    (Meta::read(store).unwrap().fixed_pages()..store.blocks())
        .find(|block| {
            let page = store.read(*block).unwrap();
            let next = SMALL_PAGE - 24 + 12;
            page[next..next + 4] != u32::MAX.to_ne_bytes()
        })
        .unwrap() as usize
}

#[test]
fn the_verifier_names_what_is_wrong() {
    let spec = spec(
        pgnear_ann::Element::F32,
        pgnear_kernels::Metric::Cosine,
        3,
        3,
    );
    let store = build(&spec, &rows(&spec, 80, &mut Rng(5)), SMALL_PAGE);
    let page = linked_list_page(&store);
    let end = SMALL_PAGE - 24;
    let set = |at: usize, value: u32| {
        move |pages: &mut Vec<Vec<u8>>| {
            pages[page][at..at + 4].copy_from_slice(&value.to_ne_bytes());
        }
    };
    let centroid = Meta::read(&store).unwrap().fixed_pages() as usize - 1;
    type Change<'a> = Box<dyn FnOnce(&mut Vec<Vec<u8>>) + 'a>;
    let cases: Vec<(&str, Change<'_>)> = vec![
        ("norm", Box::new(set(24 + 8, 0x3F80_0000))),
        (
            "misplaced",
            Box::new(|pages: &mut Vec<Vec<u8>>| {
                // The opposite vector has the same norm, and another list.
                for at in [24 + 12, 24 + 16, 24 + 20] {
                    pages[page][at + 3] ^= 0x80;
                }
            }),
        ),
        (
            "tid",
            Box::new(|pages: &mut Vec<Vec<u8>>| {
                let first = pages[page][24..30].to_vec();
                pages[page][48..54].copy_from_slice(&first);
            }),
        ),
        ("tid", Box::new(set(24 + 4, 0))),
        (
            "entry",
            Box::new(|pages: &mut Vec<Vec<u8>>| pages[page][24 + 6] = 1),
        ),
        ("chain", Box::new(set(end + 16, 9))),
        ("chain", Box::new(set(end + 4, 77))),
        ("chain", Box::new(set(end + 12, page as u32))),
        ("unreachable", Box::new(set(end + 12, u32::MAX))),
        (
            "header",
            Box::new(|pages: &mut Vec<Vec<u8>>| pages[page][16] ^= 1),
        ),
        (
            "kind",
            Box::new(|pages: &mut Vec<Vec<u8>>| pages[1][end + 3] = 4),
        ),
        (
            "directory",
            Box::new(|pages: &mut Vec<Vec<u8>>| pages[1][24 + 12] ^= 2),
        ),
        (
            "centroid",
            Box::new(|pages: &mut Vec<Vec<u8>>| {
                pages[centroid][24..28].copy_from_slice(&f32::NAN.to_ne_bytes());
            }),
        ),
        (
            "meta",
            Box::new(|pages: &mut Vec<Vec<u8>>| pages[0][40] ^= 1),
        ),
    ];
    assert_eq!(findings(&store), [] as [String; 0]);
    for (kind, change) in cases {
        let found = findings(&store.tampered(change));
        assert!(
            found
                .iter()
                .any(|finding| finding.contains(&format!("kind: \"{kind}\""))),
            "{kind} is not among {found:?}"
        );
    }
    let mut missing = 0;
    ivfflat::check(
        &store,
        &Meta::read(&store),
        &mut |t| {
            if t == tid(7) {
                ivfflat::TidState::Missing
            } else {
                ivfflat::TidState::Ok
            }
        },
        &mut |finding| {
            assert_eq!(finding.kind, "tid");
            missing += 1;
        },
    )
    .unwrap();
    assert_eq!(missing, 1);
}
