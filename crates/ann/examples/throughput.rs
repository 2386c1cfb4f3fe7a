//! Prints the CPU time that build, search and insert take on the memory twin, without any
//! host's buffers. `cargo run --release -p pgnear-ann --example throughput [rows] [dims] [lists]`

use pgnear_ann::ivfflat::{self, Builder, Centroids, IndexSpec, Meta, Query, Scan, ScanOptions};
use pgnear_ann::memory::MemoryWriter;
use pgnear_ann::{Element, Error, Tid};
use pgnear_kernels::Metric;

/// CPU time of this thread so far, in nanoseconds (Linux only): steadier than the clock on the wall.
fn cpu_ns() -> f64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    (text.split(' ').next()).map_or(f64::NAN, |field| field.parse().unwrap_or(f64::NAN))
}

fn main() -> Result<(), Error> {
    let mut arguments = std::env::args()
        .skip(1)
        .map(|a| a.parse::<u32>().unwrap_or(0));
    let rows = arguments.next().unwrap_or(100_000);
    let dims = arguments.next().unwrap_or(384);
    let lists = arguments.next().unwrap_or(316);
    let mut state = 1u64;
    let mut float = || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (state >> 40) as f32 / 8_388_608.0 - 1.0
    };
    for metric in [Metric::L2, Metric::Cosine] {
        let spec = IndexSpec {
            element: Element::F32,
            metric,
            dims,
            lists,
            seed: 1,
        };
        let data = (0..lists * dims).map(|_| float()).collect();
        let centroids = Centroids::Float { dims, data };
        let row: Vec<Vec<f32>> = (0..1000)
            .map(|_| (0..dims).map(|_| float()).collect())
            .collect();
        let tid = |n: u32| Tid {
            block: n / 50,
            offset: (n % 50) as u16 + 1,
        };

        let start = cpu_ns();
        let mut writer = MemoryWriter::new(8192);
        let mut builder = Builder::new(&mut writer, &spec, &centroids)?;
        for n in 0..rows {
            let list = (u64::from(n) * u64::from(lists) / u64::from(rows)) as u32;
            let payload = bytemuck::cast_slice(&row[n as usize % 1000]);
            builder.push(list, tid(n), payload)?;
        }
        let stats = builder.finish()?;
        println!(
            "{metric:?}: build (rows assigned before): {:.0} ns a row, {} pages",
            (cpu_ns() - start) / f64::from(rows),
            stats.pages
        );
        let store = writer.into_store();
        let meta = Meta::read(&store)?;
        for probes in [1, 10] {
            let start = cpu_ns();
            let mut scored = 0;
            for query in row.iter().take(100) {
                let options = ScanOptions {
                    probes,
                    max_candidates: 1 << 20,
                    iterative: false,
                    max_probes: 0,
                };
                let query = Query::F32(query.clone());
                let mut scan = Scan::new(&meta, query, options)?;
                for _ in 0..10 {
                    scan.next(&store)?;
                }
                scored += scan.stats().rows;
            }
            let nanos = cpu_ns() - start;
            println!(
                "  search, {probes} probes: {:.1} us a query, {:.1} ns a row",
                nanos / 1e5,
                nanos / scored as f64
            );
        }
        let start = cpu_ns();
        for n in 0..1000 {
            let payload = bytemuck::cast_slice(&row[n as usize]);
            ivfflat::insert(&store, &meta, tid(rows + n), payload)?;
        }
        println!("  insert: {:.1} us a row", (cpu_ns() - start) / 1e6);
    }
    Ok(())
}
