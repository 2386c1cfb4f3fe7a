//! A small world for tests: seeded rows, an index over them, and the answers that a plain loop over
//! the rows with the operators' own functions gives.
#![allow(dead_code)] // each test binary uses its part

use std::collections::BTreeMap;

use half::f16;
use pgnear_ann::ivfflat::{
    self, Builder, Centroids, Hit, IndexSpec, Meta, Query, Scan, ScanOptions,
};
use pgnear_ann::memory::{MemoryStore, MemoryWriter};
use pgnear_ann::{Element, Error, Tid};
use pgnear_kernels::{Metric, exact};

/// splitmix64.
pub struct Rng(pub u64);

impl Rng {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }

    /// In -1..1, in steps coarse enough for equal distances to happen.
    pub fn float(&mut self) -> f32 {
        self.below(2001) as f32 / 1000.0 - 1.0
    }
}

pub fn spec(element: Element, metric: Metric, dims: u32, lists: u32) -> IndexSpec {
    IndexSpec {
        element,
        metric,
        dims,
        lists,
        seed: 7,
    }
}

/// A random row as the index stores it.
pub fn payload(spec: &IndexSpec, rng: &mut Rng) -> Vec<u8> {
    let dims = spec.dims as usize;
    match spec.element {
        Element::F32 => (0..dims).flat_map(|_| rng.float().to_ne_bytes()).collect(),
        Element::F16 => (0..dims)
            .flat_map(|_| f16::from_f32(rng.float()).to_ne_bytes())
            .collect(),
        Element::Sparse => panic!("ivfflat knows no sparse vectors"),
        Element::Bit => {
            let mut bytes: Vec<u8> = (0..dims.div_ceil(8)).map(|_| rng.next() as u8).collect();
            if !dims.is_multiple_of(8) {
                *bytes.last_mut().unwrap() &= 0xFF << (8 - dims % 8);
            }
            bytes
        }
    }
}

pub fn tid(n: usize) -> Tid {
    Tid {
        block: (n / 50) as u32,
        offset: (n % 50) as u16 + 1,
    }
}

pub type Rows = BTreeMap<Tid, Vec<u8>>;

pub fn rows(spec: &IndexSpec, count: usize, rng: &mut Rng) -> Rows {
    (0..count).map(|n| (tid(n), payload(spec, rng))).collect()
}

/// Random centroids, as an index on an empty table gets.
pub fn centroids(spec: &IndexSpec, rng: &mut Rng) -> Centroids {
    let lists = spec.lists as usize;
    match spec.element {
        Element::F32 | Element::F16 => {
            let mut data = Vec::new();
            for _ in 0..lists {
                let mut row: Vec<f32> = (0..spec.dims).map(|_| rng.float()).collect();
                if spec.metric == Metric::Cosine {
                    let norm = row.iter().map(|x| x * x).sum::<f32>().sqrt().max(1e-6);
                    row.iter_mut().for_each(|x| *x /= norm);
                }
                data.extend(row);
            }
            Centroids::Float {
                dims: spec.dims,
                data,
            }
        }
        Element::Sparse => panic!("ivfflat knows no sparse vectors"),
        Element::Bit => Centroids::Bits {
            bytes_each: Element::Bit.bytes(spec.dims),
            data: (0..lists).flat_map(|_| payload(spec, rng)).collect(),
        },
    }
}

pub fn build_with(
    spec: &IndexSpec,
    rows: &Rows,
    centroids: &Centroids,
    page: usize,
) -> MemoryStore {
    let mut writer = MemoryWriter::new(page);
    let mut filed: Vec<(u32, Tid)> = rows
        .iter()
        .map(|(tid, row)| (centroids.assign(spec, row).unwrap(), *tid))
        .collect();
    filed.sort();
    let mut builder = Builder::new(&mut writer, spec, centroids).unwrap();
    for (list, tid) in filed {
        builder.push(list, tid, &rows[&tid]).unwrap();
    }
    let stats = builder.finish().unwrap();
    assert_eq!(stats.rows, rows.len() as u64);
    let store = writer.into_store();
    store.set_lock_order(ivfflat::lock_order);
    store
}

pub fn build(spec: &IndexSpec, rows: &Rows, page: usize) -> MemoryStore {
    build_with(spec, rows, &centroids(spec, &mut Rng(99)), page)
}

fn floats<T: bytemuck::Pod>(bytes: &[u8]) -> Vec<T> {
    bytemuck::pod_collect_to_vec(bytes)
}

/// What the operator returns.
pub fn distance(spec: &IndexSpec, query: &[u8], row: &[u8]) -> f64 {
    match spec.element {
        Element::F32 => {
            let (q, r) = (floats::<f32>(query), floats::<f32>(row));
            match spec.metric {
                Metric::L2 => exact::l2(&q[..], &r[..]),
                Metric::InnerProduct => exact::negative_inner_product(&q[..], &r[..]),
                _ => exact::cosine_distance(&q[..], &r[..]),
            }
        }
        Element::F16 => {
            let (q, r) = (floats::<f16>(query), floats::<f16>(row));
            match spec.metric {
                Metric::L2 => exact::l2(&q[..], &r[..]),
                Metric::InnerProduct => exact::negative_inner_product(&q[..], &r[..]),
                _ => exact::cosine_distance(&q[..], &r[..]),
            }
        }
        Element::Bit => exact::hamming(query, row),
        Element::Sparse => panic!("ivfflat knows no sparse vectors"),
    }
}

/// All rows by distance, then TID; NaN last.
pub fn brute_force(spec: &IndexSpec, rows: &Rows, query: &[u8]) -> Vec<(Tid, u64)> {
    let mut all: Vec<(f64, Tid)> = rows
        .iter()
        .map(|(tid, row)| (distance(spec, query, row), *tid))
        .collect();
    all.sort_by(|a, b| {
        (a.0.is_nan().cmp(&b.0.is_nan()))
            .then(a.0.partial_cmp(&b.0).unwrap_or(std::cmp::Ordering::Equal))
            .then(a.1.cmp(&b.1))
    });
    all.iter().map(|(d, tid)| (*tid, d.to_bits())).collect()
}

pub fn everything(spec: &IndexSpec) -> ScanOptions {
    ScanOptions {
        probes: spec.lists,
        max_candidates: 1 << 20,
        iterative: false,
        max_probes: 0,
    }
}

pub fn scan(meta: &Meta, query: &[u8], options: ScanOptions) -> Scan {
    Scan::new(
        meta,
        Query::from_payload(meta.spec(), query).unwrap(),
        options,
    )
    .unwrap()
}

pub fn drain(scan: &mut Scan, store: &MemoryStore) -> Result<Vec<Hit>, Error> {
    let mut hits = Vec::new();
    while let Some(hit) = scan.next(store)? {
        hits.push(hit);
    }
    Ok(hits)
}

pub fn search(store: &MemoryStore, query: &[u8]) -> Vec<(Tid, u64)> {
    let meta = Meta::read(store).unwrap();
    let options = everything(meta.spec());
    let hits = drain(&mut scan(&meta, query, options), store).unwrap();
    hits.iter()
        .map(|hit| (hit.tid, hit.distance.unwrap().to_bits()))
        .collect()
}

/// Every type, metric and width the index knows: one page holds many, one, or part of a row.
pub fn all_specs() -> Vec<IndexSpec> {
    let mut specs = Vec::new();
    for metric in [Metric::L2, Metric::InnerProduct, Metric::Cosine] {
        for dims in [1, 3, 384, 2500, 16_000] {
            specs.push(spec(Element::F32, metric, dims, 5));
            specs.push(spec(Element::F16, metric, dims, 5));
        }
    }
    for dims in [1, 3, 13, 384, 64_000] {
        specs.push(spec(Element::Bit, Metric::Hamming, dims, 5));
    }
    specs
}

/// Options of the verifier's answer that tests look at: every finding as text.
pub fn findings(store: &MemoryStore) -> Vec<String> {
    let mut all = Vec::new();
    ivfflat::check(
        store,
        &Meta::read(store),
        &mut |_| ivfflat::TidState::Ok,
        &mut |finding| all.push(format!("{finding:?}")),
    )
    .unwrap();
    all
}

/// Small pages, so that few rows make long chains: narrow rows of 24 bytes, and rows of three pages.
pub const SMALL_PAGE: usize = 512;

pub fn small_specs() -> [IndexSpec; 2] {
    [
        spec(Element::F32, Metric::L2, 3, 3),
        spec(Element::F32, Metric::Cosine, 300, 3),
    ]
}
