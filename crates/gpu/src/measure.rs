//! `pgnear-gpu measure`: where the time of a search goes on this machine's device.

use std::time::{Duration, Instant};

use crate::cuda::{Cuda, Failure};
use crate::search::{Asked, Search};

/// How it is called.
pub const USAGE: &str = "    pgnear-gpu measure [QUERIES ROWS DIMENSIONS K [ROWS_AT_ONCE]]
which times an exact search of made-up vectors, by cosine distance, on the first GPU.";

/// Bytes that are copied at once, as for a backend.
const SLOT_BYTES: usize = 16 << 20;
/// Vectors lie around so many centres.
const CENTRES: usize = 1000;

/// Measures and prints; the exit status.
pub fn run(sizes: &[String]) -> i32 {
    let numbers: Result<Vec<usize>, _> = sizes.iter().map(|size| size.parse()).collect();
    let sizes = match numbers.as_deref() {
        Ok([]) => [1000, 100_000, 384, 10, usize::MAX],
        Ok(&[queries, rows, dims, k]) => [queries, rows, dims, k, usize::MAX],
        Ok(&[queries, rows, dims, k, at_once]) => [queries, rows, dims, k, at_once],
        _ => [0; 5],
    };
    if sizes.contains(&0) || sizes[3] > 1024 || sizes[2] > SLOT_BYTES / 4 {
        eprintln!("{USAGE}");
        return 2;
    }
    match measure(sizes) {
        Ok(()) => 0,
        Err(failure) => {
            eprintln!("{failure}");
            1
        }
    }
}

fn measure([queries, rows, dims, k, at_once]: [usize; 5]) -> Result<(), Failure> {
    let start = Instant::now();
    let cuda = Cuda::open(0, 0)?;
    println!("{}: opened in {}", cuda.name, ms(start.elapsed()));
    let asked = Asked {
        metric: 2,
        k,
        dims,
        queries,
        within: f64::NAN,
    };
    let mut made = Made::new(dims);
    // The memory that a backend shares is pinned.
    let mut slot = vec![0f32; SLOT_BYTES / 4];
    cuda.pin(bytemuck::cast_slice_mut(&mut slot));
    let a_slot = slot.len() / dims;
    let mut search = Search::new(&cuda, asked, at_once.min(rows))?;
    for first in (0..queries).step_by(a_slot) {
        let some = &mut slot[..a_slot.min(queries - first) * dims];
        made.fill(some);
        search.load(some)?;
    }
    let [mut copying, mut preparing, mut searching] = [Duration::ZERO; 3];
    let piece = search.piece();
    for first in (0..rows).step_by(piece) {
        let count = piece.min(rows - first);
        for first in (0..count).step_by(a_slot) {
            let some = &mut slot[..a_slot.min(count - first) * dims];
            made.fill(some);
            let start = Instant::now();
            search.place(first, some)?;
            cuda.finish()?;
            copying += start.elapsed();
        }
        let start = Instant::now();
        let mut prepared = start;
        search.search_placed(count, || prepared = Instant::now())?;
        preparing += prepared - start;
        searching += prepared.elapsed();
    }
    let bytes = (rows * dims * 4) as f64;
    let operations = 2.0 * queries as f64 * rows as f64 * dims as f64;
    println!("{queries} queries x {rows} rows x {dims} dimensions, k = {k}, {piece} rows at once");
    println!(
        "copying {} ({:.1} GB/s), preparing {}, searching {} ({:.1} Tflop/s)",
        ms(copying),
        bytes / copying.as_secs_f64() / 1e9,
        ms(preparing),
        ms(searching),
        operations / searching.as_secs_f64() / 1e12
    );
    Ok(())
}

fn ms(time: Duration) -> String {
    format!("{:.1} ms", time.as_secs_f64() * 1e3)
}

/// Makes vectors from a seed.
struct Made {
    state: u64,
    centres: Vec<f32>,
    dims: usize,
}

impl Made {
    fn new(dims: usize) -> Made {
        let mut made = Made {
            state: 1,
            centres: Vec::new(),
            dims,
        };
        made.centres = (0..CENTRES * dims).map(|_| made.number()).collect();
        made
    }

    /// In [-1, 1).
    fn number(&mut self) -> f32 {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        (self.state >> 40) as f32 / (1u32 << 23) as f32 - 1.0
    }

    fn fill(&mut self, vectors: &mut [f32]) {
        for vector in vectors.chunks_mut(self.dims) {
            let centre = (self.number().abs() * CENTRES as f32) as usize % CENTRES * self.dims;
            for (at, x) in vector.iter_mut().enumerate() {
                let noise = self.number();
                *x = self.centres[centre + at] + noise;
            }
        }
    }
}
