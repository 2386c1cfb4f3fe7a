//! A small world: seeded clustered rows, an index over them, and the answers that a plain loop over
//! the rows with the operators' own functions gives.

use std::collections::BTreeMap;

use half::f16;
use pgnear_ann::hnsw::{
    self, Builder, Centre, Hit, IndexSpec, Iterative, Meta, Query, Rerank, Scan, ScanOptions,
    Table, TidState,
};
use pgnear_ann::memory::{MemoryStore, MemoryWriter};
use pgnear_ann::{Element, Error, Tid};
use pgnear_device::{CancelFlag, MemoryBudget, Pool, Progress};
use pgnear_kernels::sparse::SparseRef;
use pgnear_kernels::{Metric, exact};
use pgnear_quant::Job;

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

    /// In -1..1.
    pub fn float(&mut self) -> f32 {
        (self.next() >> 40) as f32 / (1 << 23) as f32 - 1.0
    }
}

pub fn spec(element: Element, metric: Metric, dims: u32) -> IndexSpec {
    IndexSpec {
        element,
        metric,
        dims,
        m: 8,
        ef_construction: 40,
        seed: 7,
        rerank: Rerank::Index,
    }
}

/// Rows around centres, which themselves lie around a few: neighbours are no matter of chance.
pub struct Source {
    spec: IndexSpec,
    centres: Vec<Vec<f32>>,
    rng: Rng,
}

impl Source {
    pub fn new(spec: &IndexSpec, seed: u64) -> Source {
        // The same centres whatever the seed.
        let mut rng = Rng(1);
        let mut centre = |spread: f32, around: Option<&Vec<f32>>| -> Vec<f32> {
            (0..spec.dims as usize)
                .map(|at| around.map_or(0.0, |around| around[at]) + spread * rng.float())
                .collect()
        };
        let few: Vec<Vec<f32>> = (0..5).map(|_| centre(1.0, None)).collect();
        let centres = (0..40).map(|n| centre(0.7, Some(&few[n % 5]))).collect();
        Source {
            spec: spec.clone(),
            centres,
            rng: Rng(seed),
        }
    }

    /// The bytes of one more row.
    pub fn row(&mut self) -> Vec<u8> {
        let rng = &mut self.rng;
        let centre = &self.centres[rng.below(40)];
        let floats: Vec<f32> = centre.iter().map(|x| x + 0.6 * rng.float()).collect();
        match self.spec.element {
            Element::F32 => floats.iter().flat_map(|x| x.to_ne_bytes()).collect(),
            Element::F16 => (floats.iter())
                .flat_map(|x| f16::from_f32(*x).to_ne_bytes())
                .collect(),
            Element::Bit => {
                let mut bytes = vec![0; floats.len().div_ceil(8)];
                for (at, x) in floats.iter().enumerate() {
                    bytes[at / 8] |= u8::from(*x > 0.0) << (7 - at % 8);
                }
                bytes
            }
            Element::Sparse => {
                // About a third of them.
                let some = |x: &&(usize, f32)| x.1.abs() > 0.9;
                let all: Vec<(usize, f32)> = floats.into_iter().enumerate().collect();
                let indices = (all.iter().filter(some)).flat_map(|x| (x.0 as i32).to_ne_bytes());
                let values = (all.iter().filter(some)).flat_map(|x| x.1.to_ne_bytes());
                indices.chain(values).collect()
            }
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

pub fn rows(spec: &IndexSpec, count: usize, seed: u64) -> Rows {
    let mut source = Source::new(spec, seed);
    (0..count).map(|n| (tid(n), source.row())).collect()
}

/// Rows of floats with their numbers changed, each told by its place.
pub fn changed(mut all: Rows, change: impl Fn(usize, &mut [f32])) -> Rows {
    for (n, row) in all.values_mut().enumerate() {
        let mut floats: Vec<f32> = bytemuck::pod_collect_to_vec(row);
        change(n, &mut floats);
        *row = bytemuck::cast_slice(&floats).to_vec();
    }
    all
}

/// The centre of a sample of the rows.
pub fn centre(spec: &IndexSpec, rows: &Rows) -> Centre {
    let mut centre = Centre::new(spec).unwrap();
    for row in rows.values().step_by(5) {
        centre.add(row).unwrap();
    }
    centre
}

pub fn build_with(spec: &IndexSpec, rows: &Rows, page: usize, threads: usize) -> MemoryStore {
    build_within(spec, rows, page, threads, MemoryBudget::unlimited())
}

pub fn build_within(
    spec: &IndexSpec,
    rows: &Rows,
    page: usize,
    threads: usize,
    budget: MemoryBudget,
) -> MemoryStore {
    let mut writer = MemoryWriter::new(page);
    let mut builder = Builder::new(&mut writer, spec, &centre(spec, rows), &budget).unwrap();
    for (tid, row) in rows {
        builder.push(*tid, row).unwrap();
    }
    let (pool, cancel, progress) = (Pool::new(threads), CancelFlag::new(), Progress::new());
    let stats = builder.finish(&mut Job {
        pool: &pool,
        budget: &budget,
        cancel: &cancel,
        progress: &progress,
        poll: &mut || Ok(()),
    });
    assert_eq!(stats.unwrap().rows, rows.len() as u64);
    let store = writer.into_store();
    store.set_lock_order(hnsw::lock_order);
    store
}

pub fn build(spec: &IndexSpec, rows: &Rows, page: usize) -> MemoryStore {
    build_with(spec, rows, page, 1)
}

/// What the operator returns.
pub fn distance(spec: &IndexSpec, query: &[u8], row: &[u8]) -> f64 {
    match spec.element {
        Element::F32 => dense::<f32>(spec.metric, query, row),
        Element::F16 => dense::<f16>(spec.metric, query, row),
        Element::Bit if spec.metric == Metric::Jaccard => exact::jaccard(query, row),
        Element::Bit => exact::hamming(query, row),
        Element::Sparse => {
            let (query, row) = (Sparse::of(query), Sparse::of(row));
            exact::distance(spec.metric, query.view(), row.view()).unwrap()
        }
    }
}

struct Sparse(Vec<i32>, Vec<f32>);

impl Sparse {
    fn of(payload: &[u8]) -> Sparse {
        let (indices, values) = payload.split_at(payload.len() / 2);
        Sparse(
            bytemuck::pod_collect_to_vec(indices),
            bytemuck::pod_collect_to_vec(values),
        )
    }

    fn view(&self) -> SparseRef<'_> {
        SparseRef {
            dims: 1_000_000,
            indices: &self.0,
            values: &self.1,
        }
    }
}

fn dense<E: pgnear_kernels::Element + bytemuck::Pod>(metric: Metric, a: &[u8], b: &[u8]) -> f64 {
    let (a, b): (Vec<E>, Vec<E>) = (
        bytemuck::pod_collect_to_vec(a),
        bytemuck::pod_collect_to_vec(b),
    );
    exact::distance(metric, &a[..], &b[..]).unwrap()
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

pub fn options(ef_search: u32, iterative: Iterative) -> ScanOptions {
    ScanOptions {
        ef_search,
        iterative,
        max_scan_tuples: u64::MAX,
        memory: usize::MAX,
    }
}

pub fn scan(meta: &Meta, query: &[u8], options: ScanOptions) -> Scan {
    let query: Query = Query::from_payload(meta.spec(), query).unwrap();
    Scan::new(meta, query, options).unwrap()
}

/// The rows as a table of which the scan sees all.
pub struct InTable<'a>(pub &'a Rows);

impl Table for InTable<'_> {
    fn row(&self, tid: Tid, use_it: &mut dyn FnMut(&[u8])) -> Result<bool, Error> {
        Ok(self.0.get(&tid).map(|row| use_it(row)).is_some())
    }
}

pub fn drain(scan: &mut Scan, store: &MemoryStore, table: &impl Table) -> Result<Vec<Hit>, Error> {
    let mut hits = Vec::new();
    while let Some(hit) = scan.next(store, table)? {
        hits.push(hit);
    }
    Ok(hits)
}

/// What a scan hands out, and the bits of its distances; those of rows that are not in the table are NaN where
/// the index does not know them.
pub fn search(
    store: &MemoryStore,
    rows: &Rows,
    query: &[u8],
    options: ScanOptions,
) -> Vec<(Tid, u64)> {
    let meta = Meta::read(store).unwrap();
    let hits = drain(&mut scan(&meta, query, options), store, &InTable(rows)).unwrap();
    let with_bits = |hit: &Hit| {
        let row = rows.get(&hit.tid);
        let exact = row.map(|row| distance(meta.spec(), query, row).to_bits());
        let told = hit.distance.map(f64::to_bits);
        // What an index tells is right.
        assert!(told.is_none() || exact.is_none() || told == exact);
        (hit.tid, told.or(exact).unwrap_or(f64::NAN.to_bits()))
    };
    hits.iter().map(with_bits).collect()
}

/// Every row, by scanning to the end; sorted by TID.
pub fn everything(store: &MemoryStore, rows: &Rows, query: &[u8]) -> Vec<Tid> {
    let mut all: Vec<Tid> = search(store, rows, query, options(10, Iterative::Relaxed))
        .iter()
        .map(|(tid, _)| *tid)
        .collect();
    all.sort();
    all
}

/// The share of the nearest ten that a scan returns among its first ten; ties count.
pub fn recall(spec: &IndexSpec, store: &MemoryStore, rows: &Rows, ef: u32) -> f64 {
    let mut source = Source::new(spec, 4242);
    let (mut found, mut all) = (0, 0);
    for _ in 0..60 {
        let query = source.row();
        let truth = brute_force(spec, rows, &query);
        let k = truth.len().min(10);
        let last = f64::from_bits(truth[k - 1].1);
        let hits = search(store, rows, &query, options(ef, Iterative::Off));
        found += (hits.iter().take(10))
            .filter(|(_, bits)| f64::from_bits(*bits) <= last)
            .count();
        all += k;
    }
    found as f64 / all as f64
}

/// What the verifier reports that is not harmless.
pub fn harm(store: &MemoryStore) -> Vec<String> {
    let mut all = Vec::new();
    hnsw::check(
        store,
        &Meta::read(store),
        &mut |_| TidState::Ok,
        None,
        &mut |finding| {
            if !finding.is_harmless() {
                all.push(format!("{finding:?}"));
            }
        },
    )
    .unwrap();
    all
}

/// How many findings there are of a kind.
pub fn count(store: &MemoryStore, kind: &str) -> usize {
    let mut count = 0;
    hnsw::check(
        store,
        &Meta::read(store),
        &mut |_| TidState::Ok,
        None,
        &mut |finding| count += usize::from(finding.kind == kind),
    )
    .unwrap();
    count
}

/// Every type and metric, narrow.
pub fn all_specs() -> Vec<IndexSpec> {
    let mut specs = Vec::new();
    for element in [Element::F32, Element::F16] {
        for metric in [Metric::L2, Metric::InnerProduct, Metric::Cosine, Metric::L1] {
            specs.push(spec(element, metric, 40));
        }
    }
    specs.push(spec(Element::Bit, Metric::Hamming, 250));
    specs.push(spec(Element::Bit, Metric::Jaccard, 250));
    for metric in [Metric::L2, Metric::InnerProduct, Metric::Cosine] {
        specs.push(IndexSpec {
            rerank: Rerank::Half,
            ..spec(Element::F32, metric, 40)
        });
    }
    specs
}

/// Pages so small that few rows make many.
pub const SMALL_PAGE: usize = 512;

/// Several records and vectors on a small page; vectors that run on over pages; vectors of so many
/// pages that one record does not hold them; vectors in the records.
pub fn small_specs() -> Vec<IndexSpec> {
    let small = |element, metric, dims| IndexSpec {
        m: 3,
        ef_construction: 12,
        ..spec(element, metric, dims)
    };
    vec![
        small(Element::F32, Metric::L2, 5),
        small(Element::F32, Metric::Cosine, 80),
        small(Element::F32, Metric::L2, 500),
        small(Element::F16, Metric::L1, 9),
        small(Element::Bit, Metric::Hamming, 70),
        // Halves: several a page, and on several pages.
        IndexSpec {
            rerank: Rerank::Half,
            ..small(Element::F32, Metric::InnerProduct, 30)
        },
        IndexSpec {
            rerank: Rerank::Half,
            ..small(Element::F32, Metric::L2, 500)
        },
    ]
}
