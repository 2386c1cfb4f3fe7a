//! Index files written by earlier versions stay readable, and the layout does not change unnoticed.
//!
//! A layout that changes on purpose gets a new number and a new fixture beside the old ones:
//! `PGNEAR_WRITE_FIXTURES=1 cargo test -p pgnear-ann --test fixtures` writes those that are missing.
#![cfg(target_endian = "little")] // pages are in the machine's byte order

mod common;

use std::path::PathBuf;

use common::*;
use pgnear_ann::ivfflat::{IndexSpec, Meta};
use pgnear_ann::memory::{MemoryStore, MemoryWriter};
use pgnear_ann::{BulkWriter, Element, Store};
use pgnear_kernels::Metric;

/// Pages of these files.
const PAGE: usize = 512;

fn cases() -> [(&'static str, IndexSpec, usize); 3] {
    [
        (
            "ivfflat-1-f32-wide-l2.bin",
            spec(Element::F32, Metric::L2, 200, 3),
            6,
        ),
        (
            "ivfflat-1-f16-cosine.bin",
            spec(Element::F16, Metric::Cosine, 7, 4),
            60,
        ),
        (
            "ivfflat-1-bit-hamming.bin",
            spec(Element::Bit, Metric::Hamming, 21, 4),
            60,
        ),
    ]
}

fn path(name: &str) -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "tests", "fixtures", name]
        .iter()
        .collect()
}

fn bytes_of(store: &MemoryStore) -> Vec<u8> {
    (0..store.blocks())
        .flat_map(|block| store.read(block).unwrap().to_vec())
        .collect()
}

#[test]
fn layout_1_is_read_and_written_as_ever() {
    for (name, spec, count) in cases() {
        let mut rng = Rng(17);
        let rows = rows(&spec, count, &mut rng);
        let query = payload(&spec, &mut rng);
        let built = bytes_of(&build(&spec, &rows, PAGE));
        if !path(name).exists() && std::env::var_os("PGNEAR_WRITE_FIXTURES").is_some() {
            std::fs::write(path(name), &built).unwrap();
        }
        let file = std::fs::read(path(name)).unwrap();
        let mut writer = MemoryWriter::new(PAGE);
        for page in file.chunks_exact(PAGE) {
            writer.append(page).unwrap();
        }
        let store = writer.into_store();
        assert_eq!(Meta::read(&store).unwrap().spec(), &spec, "{name}");
        assert_eq!(search(&store, &query), brute_force(&spec, &rows, &query));
        assert_eq!(findings(&store), [] as [String; 0]);
        assert!(
            built == file,
            "{name}: the same rows are written otherwise now"
        );
    }
}
