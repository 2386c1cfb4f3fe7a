//! Builds an hnsw index over real vectors in plain memory, and prints what it costs and finds:
//! `cargo run --release -p pgnear-ann --example hnsw_bench -- --data DIR [--threads N] [--m N]
//! [--ef-construction N] [--rows N] [--rerank index|table|half]`, where DIR holds `minilm384/{base,queries}.f16.npy`.
//!
//! CPU times are those of the algorithm on pages, without any host's buffers, pins and locks.

use std::cell::RefCell;
use std::error::Error as StdError;
use std::path::PathBuf;
use std::time::Instant;

use half::f16;
use pgnear_ann::hnsw::{
    self, Builder, Centre, IndexSpec, Iterative, Meta, Query, Rerank, Scan, ScanOptions, ScanStats,
    Table,
};
use pgnear_ann::memory::MemoryWriter;
use pgnear_ann::store::{Store, Txn};
use pgnear_ann::{BulkWriter, Element, Error, Slot, Tid};
use pgnear_device::{CancelFlag, MemoryBudget, Pool, Progress};
use pgnear_kernels::{Metric, exact, kernels, prefetch};
use pgnear_quant::Job;

const PAGE: usize = 8192;
const K: usize = 10;

fn main() -> Result<(), Box<dyn StdError>> {
    let (mut data, mut threads, mut m, mut ef, mut rows) = (None, 1, 16, 64, usize::MAX);
    let mut rerank = Rerank::Index;
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        let value = args.next().ok_or(format!("{arg} needs a value"))?;
        match arg.as_str() {
            "--data" => data = Some(PathBuf::from(value)),
            "--threads" => threads = value.parse()?,
            "--m" => m = value.parse()?,
            "--ef-construction" => ef = value.parse()?,
            "--rows" => rows = value.parse()?,
            "--rerank" => {
                rerank = match value.as_str() {
                    "index" => Rerank::Index,
                    "table" => Rerank::Table,
                    "half" => Rerank::Half,
                    _ => return Err(format!("unknown rerank {value}").into()),
                }
            }
            _ => return Err(format!("unknown argument {arg}").into()),
        }
    }
    let folder = data.ok_or("--data DIR is missing")?.join("minilm384");
    let (dims, mut base) = read_npy(&folder.join("base.f16.npy"))?;
    base.truncate(rows.saturating_mul(dims));
    let (_, queries) = read_npy(&folder.join("queries.f16.npy"))?;
    let count = base.len() / dims;
    println!(
        "{count} rows of {dims} dimensions, m {m}, ef_construction {ef}, {threads} thread(s), {}",
        kernels().level
    );

    let spec = IndexSpec {
        element: Element::F32,
        metric: Metric::Cosine,
        dims: dims as u32,
        m,
        ef_construction: ef,
        seed: 1,
        rerank,
    };
    let budget = MemoryBudget::unlimited();
    let mut pages = Pages::default();
    let (cpu, wall) = (cpu_seconds(), Instant::now());
    let mut centre = Centre::new(&spec)?;
    for row in base.chunks_exact(dims).step_by(50) {
        centre.add(bytemuck::cast_slice(row))?;
    }
    let mut builder = Builder::new(&mut pages, &spec, &centre, &budget)?;
    for (n, row) in base.chunks_exact(dims).enumerate() {
        builder.push(tid(n), bytemuck::cast_slice(row))?;
    }
    println!("rows taken in: {:.2} s CPU", cpu_seconds() - cpu);
    let (pool, cancel, progress) = (Pool::new(threads), CancelFlag::new(), Progress::new());
    let stats = builder.finish(&mut Job {
        pool: &pool,
        budget: &budget,
        cancel: &cancel,
        progress: &progress,
        poll: &mut || Ok(()),
    })?;
    let cpu = cpu_seconds() - cpu;
    println!(
        "build: {cpu:.2} s CPU, {:.2} s wall, {:.0} vectors a CPU second, {:.0} bytes a vector, {} entry points",
        wall.elapsed().as_secs_f64(),
        count as f64 / cpu,
        f64::from(stats.pages) * PAGE as f64 / count as f64,
        stats.entry_points,
    );

    let truth = truth(&base, &queries[..500 * dims], dims);
    let meta = Meta::read(&pages)?;
    let table = Rows { base: &base, dims };
    println!("  ef   recall   us/query   met  expanded  exact");
    for ef in [10, 20, 28, 40, 57, 80, 113, 160, 226, 400, 800] {
        let (mut found, mut total, mut best) = (0, ScanStats::default(), f64::INFINITY);
        for round in 0..3 {
            let start = cpu_seconds();
            for (query, truth) in queries.chunks_exact(dims).zip(&truth) {
                let options = ScanOptions {
                    ef_search: ef,
                    iterative: Iterative::Off,
                    max_scan_tuples: 20_000,
                    memory: 1 << 22,
                };
                let mut scan = Scan::new(&meta, Query::F32(query.to_vec()), options)?;
                for _ in 0..K {
                    if let Some(hit) = scan.next(&pages, &table)?
                        && round == 0
                    {
                        let distance = exact::cosine_distance(query, table.row_at(hit.tid));
                        // Ties at the last distance count.
                        found += usize::from(distance <= *truth + 1e-9);
                    }
                }
                total.met += scan.stats().met;
                total.expanded += scan.stats().expanded;
                total.exact += scan.stats().exact;
            }
            best = best.min((cpu_seconds() - start) / truth.len() as f64 * 1e6);
        }
        println!(
            "{ef:4}   {:.4}   {best:8.1} {:6} {:6} {:8.1}",
            found as f64 / (K * truth.len()) as f64,
            total.met / 3 / truth.len() as u64,
            total.expanded / 3 / truth.len() as u64,
            total.exact as f64 / 3.0 / truth.len() as f64,
        );
    }

    writers(&spec, &base, dims)?;
    Ok(())
}

/// Inserts into, and vacuums, an index over 20,000 rows on the memory twin, whose own bookkeeping is
/// part of the figures.
fn writers(spec: &IndexSpec, base: &[f32], dims: usize) -> Result<(), Box<dyn StdError>> {
    let rows: Vec<&[f32]> = base.chunks_exact(dims).take(22_000).collect();
    let (built, later) = rows.split_at(rows.len() * 10 / 11);
    let budget = MemoryBudget::unlimited();
    let mut centre = Centre::new(spec)?;
    for row in built {
        centre.add(bytemuck::cast_slice(row))?;
    }
    let mut writer = MemoryWriter::new(PAGE);
    let mut builder = Builder::new(&mut writer, spec, &centre, &budget)?;
    for (n, row) in built.iter().enumerate() {
        builder.push(tid(n), bytemuck::cast_slice(row))?;
    }
    let (pool, cancel, progress) = (Pool::new(1), CancelFlag::new(), Progress::new());
    builder.finish(&mut Job {
        pool: &pool,
        budget: &budget,
        cancel: &cancel,
        progress: &progress,
        poll: &mut || Ok(()),
    })?;
    let store = writer.into_store();
    let meta = Meta::read(&store)?;
    let (start, reads, records) = (cpu_seconds(), store.reads(), store.records());
    for (n, row) in later.iter().enumerate() {
        hnsw::insert(
            &store,
            &meta,
            tid(built.len() + n),
            bytemuck::cast_slice(row),
        )?;
    }
    let count = later.len() as f64;
    println!(
        "insert: {:.0} us, {:.0} pages read, {:.1} records a row",
        (cpu_seconds() - start) / count * 1e6,
        (store.reads() - reads) as f64 / count,
        (store.records() - records) as f64 / count,
    );
    let (start, reads) = (cpu_seconds(), store.reads());
    let mut is_dead = |tid: Tid| tid.offset.is_multiple_of(5);
    let removed = hnsw::bulk_delete(&store, &meta, &mut is_dead, &mut |_, _| ())?.removed;
    let marked = cpu_seconds() - start;
    let stats = hnsw::cleanup(&store, &meta)?;
    println!(
        "vacuum of {removed} in {}: marking {marked:.2} s CPU, cleanup {:.2} s, {} lists repaired, {} pages read",
        rows.len(),
        cpu_seconds() - start - marked,
        stats.repaired,
        store.reads() - reads,
    );
    Ok(())
}

fn tid(n: usize) -> Tid {
    Tid {
        block: (n / 50) as u32,
        offset: (n % 50) as u16 + 1,
    }
}

/// The table.
struct Rows<'a> {
    base: &'a [f32],
    dims: usize,
}

impl Rows<'_> {
    fn row_at(&self, tid: Tid) -> &[f32] {
        let at = tid.block as usize * 50 + usize::from(tid.offset) - 1;
        &self.base[at * self.dims..][..self.dims]
    }
}

impl Table for Rows<'_> {
    fn row(&self, tid: Tid, use_it: &mut dyn FnMut(&[u8])) -> Result<bool, Error> {
        use_it(bytemuck::cast_slice(self.row_at(tid)));
        Ok(true)
    }
}

/// The distance of the `K`th nearest row of each query.
fn truth(base: &[f32], queries: &[f32], dims: usize) -> Vec<f64> {
    let rows: Vec<&[f32]> = base.chunks_exact(dims).collect();
    let mut truth = Vec::new();
    for query in queries.chunks_exact(dims) {
        let mut all: Vec<f64> = (rows.iter())
            .map(|row| exact::cosine_distance(query, *row))
            .collect();
        let (_, kth, _) = all.select_nth_unstable_by(K - 1, f64::total_cmp);
        truth.push(*kth);
    }
    truth
}

/// CPU seconds of the whole process (Linux only), in steps of a clock tick for threads that ended.
fn cpu_seconds() -> f64 {
    let mut total = 0.0;
    let threads = std::fs::read_dir("/proc/self/task").into_iter().flatten();
    for thread in threads.flatten() {
        let text = std::fs::read_to_string(thread.path().join("schedstat")).unwrap_or_default();
        total += (text.split(' ').next())
            .and_then(|ns| ns.parse::<f64>().ok())
            .unwrap_or(0.0);
    }
    total / 1e9
}

/// Rows of a two-dimensional `.npy` of f16, as f32.
fn read_npy(path: &std::path::Path) -> Result<(usize, Vec<f32>), Box<dyn StdError>> {
    let bytes = std::fs::read(path)?;
    let header = usize::from(u16::from_le_bytes([bytes[8], bytes[9]])) + 10;
    let text = std::str::from_utf8(&bytes[10..header])?;
    let shape = text
        .split('(')
        .nth(1)
        .and_then(|rest| rest.split(')').next());
    let dims = shape
        .and_then(|shape| shape.split(',').nth(1))
        .ok_or("no shape")?
        .trim()
        .parse()?;
    let halves: Vec<f16> = bytemuck::pod_collect_to_vec(&bytes[header..]);
    Ok((dims, halves.iter().map(|half| half.to_f32()).collect()))
}

/// Pages in plain memory, to be read only once they are written.
#[derive(Default)]
struct Pages {
    pages: Vec<Vec<u64>>,
    free: RefCell<Vec<u32>>,
}

impl BulkWriter for Pages {
    fn page_size(&self) -> usize {
        PAGE
    }

    fn append(&mut self, page: &[u8]) -> Result<u32, Error> {
        self.pages.push(bytemuck::pod_collect_to_vec(page));
        Ok(self.pages.len() as u32 - 1)
    }

    fn overwrite(&mut self, block: u32, page: &[u8]) -> Result<(), Error> {
        self.pages[block as usize] = bytemuck::pod_collect_to_vec(page);
        Ok(())
    }

    fn check_interrupts(&self) -> Result<(), Error> {
        Ok(())
    }
}

impl Store for Pages {
    type Read<'a> = &'a [u8];
    type Txn<'a> = NoTxn;
    type Guard<'a> = ();

    fn page_size(&self) -> usize {
        PAGE
    }

    fn blocks(&self) -> u32 {
        self.pages.len() as u32
    }

    fn read(&self, block: u32) -> Result<&[u8], Error> {
        match self.pages.get(block as usize) {
            Some(page) => Ok(bytemuck::cast_slice(page)),
            None => Err(Error::Io(format!("no block {block}"))),
        }
    }

    fn prefetch(&self, block: u32, at: usize, bytes: usize) {
        if let Some(page) = self.pages.get(block as usize) {
            let page: &[u8] = bytemuck::cast_slice(page);
            prefetch(page[at..at + bytes].as_ptr(), bytes);
        }
    }

    fn begin(&self) -> NoTxn {
        NoTxn
    }

    fn take_free(&self) -> Option<u32> {
        self.free.borrow_mut().pop()
    }

    fn note_free(&self, block: u32) {
        self.free.borrow_mut().push(block);
    }

    fn structure_lock(&self, _: bool, _: bool) -> Option<()> {
        Some(())
    }

    fn check_interrupts(&self) -> Result<(), Error> {
        Ok(())
    }
}

/// Nothing is written here after the build.
struct NoTxn;

impl Txn for NoTxn {
    fn lock(&mut self, _: u32) -> Result<Slot, Error> {
        Err(Error::Invalid("read only"))
    }
    fn extend(&mut self) -> Result<Slot, Error> {
        Err(Error::Invalid("read only"))
    }
    fn block(&self, _: Slot) -> u32 {
        0
    }
    fn page(&self, _: Slot) -> &[u8] {
        &[]
    }
    fn page_mut(&mut self, _: Slot) -> &mut [u8] {
        &mut []
    }
    fn release(&mut self, _: Slot) {}
    fn commit(self) -> Result<(), Error> {
        Ok(())
    }
}
