//! A search on the device: what lies where in its memory, and which kernel runs when.

use std::ffi::c_void;

use pgnear_device::remote::protocol::Results;

use crate::cuda::{Buffer, Cuda, Failure, Kernel};

/// Queries and rows of a block of `tile_candidates`.
const TILE: usize = 128;
/// Warps of a block: what a block of the other kernels takes of rows or candidates at a time.
const WARPS: usize = 8;
/// Threads of a block.
const THREADS: usize = 256;
/// Most rows that a merge takes, those a query has and candidates together.
const MERGED: usize = 2048;
/// Bytes that candidates may take before slots become fewer.
const CANDIDATE_BYTES: usize = 256 << 20;
/// Most rows of a piece: `tile_candidates` takes them along the second axis of a grid, which has so many
/// blocks at most.
const MOST_ROWS: usize = 65_535 * TILE;
/// Rows that are tried at first, when nothing bounds the candidates: each is one.
const FIRST_STEP: usize = 128;
/// Most times as many rows that are tried after a step whose candidates fit.
const MOST_GROWTH: usize = 8;
/// Most blocks a query of `scan_candidates`, whose warps take rows until there are no more.
const SCAN_BLOCKS: usize = 2048;

/// What a search looks for, as the backend asked.
#[derive(Clone, Copy)]
pub struct Asked {
    /// As `protocol::metric_number` numbers them.
    pub metric: u32,
    pub k: usize,
    pub dims: usize,
    pub queries: usize,
    /// NaN for any distance.
    pub within: f64,
}

const COSINE: u32 = 2;
const L1: u32 = 3;

/// Vectors on the device, with what products of matrices and their bounds need of them.
struct Vectors<'c> {
    floats: Buffer<'c, f32>,
    halves: Buffer<'c, u16>,
    norms: Buffer<'c, f32>,
    lengths: Buffer<'c, f32>,
    scales: Buffer<'c, f32>,
}

impl<'c> Vectors<'c> {
    fn alloc(
        cuda: &'c Cuda,
        count: usize,
        dims: usize,
        padded: usize,
    ) -> Result<Vectors<'c>, Failure> {
        Ok(Vectors {
            floats: cuda.alloc(count * dims)?,
            halves: cuda.alloc(count * padded)?,
            norms: cuda.alloc(count)?,
            lengths: cuda.alloc(count)?,
            scales: cuda.alloc(count)?,
        })
    }
}

struct Kernels {
    prep_rows: Kernel,
    tile_candidates: Kernel,
    scan_candidates: Kernel,
    exact_candidates: Kernel,
    merge_nearest: Kernel,
    mark_found: Kernel,
}

/// A search under way.
pub struct Search<'c> {
    cuda: &'c Cuda,
    kernels: Kernels,
    asked: Asked,
    /// Dimensions, filled up to whole steps of the matrix kernel.
    padded: usize,
    /// Bounds of errors, relative to the lengths of both vectors: see the README.
    relative: f32,
    rounding: f32,
    queries: Vectors<'c>,
    loaded: usize,
    /// Rows that a piece holds at most.
    piece: usize,
    rows: Vectors<'c>,
    /// Candidates a query has room for.
    slots: usize,
    counts: Buffer<'c, u32>,
    candidates: Buffer<'c, u32>,
    distances: Buffer<'c, u64>,
    overflow: Buffer<'c, u32>,
    found: Buffer<'c, u32>,
    found_distances: Buffer<'c, u64>,
    found_rows: Buffer<'c, u64>,
    thresholds: Buffer<'c, f32>,
    marks: Buffer<'c, u32>,
    /// Rows gone through so far.
    offered: u64,
    /// Rows tried at a time.
    step: usize,
    /// How much larger the next step is where candidates fit.
    growth: usize,
    /// Queries whose results were told.
    told: usize,
}

/// Bounds of the errors of a distance computed from halves, and of a canonical sum.
///
/// A component rounded to half precision is off by at most 2^-11 of itself, or, below 2^-14 of the
/// largest, by 2^-25 of that; so a product of two vectors is off by at most 2^-10 (and a little) of the
/// product of their lengths, by Cauchy and Schwarz. The matrix unit adds in single precision, and may
/// cut in place of rounding: 2^-22 a dimension is more than that. A canonical sum adds dims / 32 terms a
/// lane and 5 levels of a tree, each off by half of 2^-23 at most.
fn bounds(dims: usize) -> (f32, f32) {
    let dims = dims as f32;
    let relative = 1.01 * 2.0f32.powi(-10) + (dims + 64.0) * 2.0f32.powi(-22);
    let rounding = (dims / 32.0 + 24.0) * 2.0f32.powi(-23);
    (relative, rounding)
}

/// A list of kernel arguments.
macro_rules! arguments {
    ($($value:expr),* $(,)?) => {
        &mut [$(std::ptr::from_ref(&$value).cast_mut().cast::<c_void>()),*]
    };
}

impl<'c> Search<'c> {
    /// Makes room for a search whose rows come in pieces of up to `piece`, which are cut where that is more
    /// than a grid has room for, or the device's memory.
    pub fn new(cuda: &'c Cuda, asked: Asked, piece: usize) -> Result<Search<'c>, Failure> {
        let mut piece = piece.min(MOST_ROWS);
        loop {
            match Search::with(cuda, asked, piece) {
                Err(Failure::OutOfMemory(_)) if piece > 2 * TILE => piece /= 2,
                other => return other,
            }
        }
    }

    fn with(cuda: &'c Cuda, asked: Asked, piece: usize) -> Result<Search<'c>, Failure> {
        let (count, k) = (asked.queries, asked.k);
        let padded = asked.dims.next_multiple_of(32);
        let (relative, rounding) = bounds(asked.dims);
        let wanted = (CANDIDATE_BYTES / 12 / count.max(1)).clamp(64, 1024);
        let slots = wanted
            .max(2 * k)
            .min(MERGED - k)
            .min(1024)
            .min(piece.max(64));
        let mut search = Search {
            cuda,
            kernels: Kernels {
                prep_rows: cuda.kernel("prep_rows")?,
                tile_candidates: cuda.kernel("tile_candidates")?,
                scan_candidates: cuda.kernel("scan_candidates")?,
                exact_candidates: cuda.kernel("exact_candidates")?,
                merge_nearest: cuda.kernel("merge_nearest")?,
                mark_found: cuda.kernel("mark_found")?,
            },
            asked,
            padded,
            relative,
            rounding,
            queries: Vectors::alloc(cuda, count, asked.dims, padded)?,
            loaded: 0,
            piece,
            rows: Vectors::alloc(cuda, piece, asked.dims, padded)?,
            slots,
            counts: cuda.alloc(count)?,
            candidates: cuda.alloc(count * slots)?,
            distances: cuda.alloc(count * slots)?,
            overflow: cuda.alloc(1)?,
            found: cuda.alloc(count)?,
            found_distances: cuda.alloc(count * k)?,
            found_rows: cuda.alloc(count * k)?,
            thresholds: cuda.alloc(count)?,
            marks: cuda.alloc(piece.div_ceil(32))?,
            offered: 0,
            step: 0,
            growth: 0,
            told: 0,
        };
        search.again()?;
        Ok(search)
    }

    /// Begins anew with the same queries.
    pub fn again(&mut self) -> Result<(), Failure> {
        self.cuda.zero(&self.counts)?;
        self.cuda.zero(&self.overflow)?;
        self.cuda.zero(&self.found)?;
        let thresholds = vec![self.first_threshold(); self.asked.queries];
        self.cuda.upload(&self.thresholds, 0, &thresholds)?;
        self.cuda.finish()?;
        (self.offered, self.told) = (0, 0);
        self.step = FIRST_STEP.max(2 * self.asked.k).min(self.slots);
        // Of `growth` times as many rows as before, about `growth * k` are candidates.
        self.growth = (self.slots / (4 * self.asked.k)).clamp(2, MOST_GROWTH);
        Ok(())
    }

    /// Beyond `within`, in the space of the bounds and a little up; infinite where any distance will do.
    fn first_threshold(&self) -> f32 {
        let within = self.asked.within;
        if within.is_nan() {
            return f32::INFINITY;
        }
        let key = match self.asked.metric {
            // No distance is negative.
            0 if within < 0.0 => -1.0,
            0 => within * within,
            _ => within,
        };
        let slack = if self.asked.metric == COSINE {
            1e-6
        } else {
            1e-37
        };
        (key + key.abs() * 1e-6 + slack) as f32
    }

    /// Dimensions of its vectors.
    pub fn dims(&self) -> usize {
        self.asked.dims
    }

    /// Adds queries.
    pub fn load(&mut self, vectors: &[f32]) -> Result<(), Failure> {
        let count = vectors.len() / self.asked.dims;
        if self.loaded + count > self.asked.queries {
            return Err(Failure::Other("more queries came than were told".into()));
        }
        self.cuda
            .upload(&self.queries.floats, self.loaded * self.asked.dims, vectors)?;
        self.prepare(&self.queries, self.loaded, count)?;
        self.cuda.finish()?;
        self.loaded += count;
        Ok(())
    }

    /// Goes through more rows, and says in `marks`, a bit a row, which of them are held by a query.
    pub fn offer(&mut self, rows: &[f32], count: usize) -> Result<Vec<u32>, Failure> {
        if self.loaded != self.asked.queries {
            return Err(Failure::Other("rows came before all queries".into()));
        }
        let dims = self.asked.dims;
        let mut marks = vec![0u32; count.div_ceil(32)];
        // Pieces of whole words of marks.
        let piece = self.piece / 32 * 32;
        for first in (0..count).step_by(piece) {
            let some = piece.min(count - first);
            self.place(0, &rows[first * dims..][..some * dims])?;
            self.prepare(&self.rows, 0, some)?;
            self.go_through(some)?;
            self.mark(some, &mut marks[first / 32..][..some.div_ceil(32)])?;
            self.offered += some as u64;
        }
        Ok(marks)
    }

    /// Rows that a piece holds.
    pub fn piece(&self) -> usize {
        self.piece
    }

    /// Copies rows into the piece, from `first` on; they may change only after `finish`.
    pub fn place(&self, first: usize, rows: &[f32]) -> Result<(), Failure> {
        self.cuda
            .upload(&self.rows.floats, first * self.asked.dims, rows)
    }

    /// Goes through the first rows of the piece, which lie on the device; what it takes to prepare them
    /// comes first, and is told to `prepared`.
    pub fn search_placed(&mut self, count: usize, prepared: impl FnOnce()) -> Result<(), Failure> {
        self.prepare(&self.rows, 0, count)?;
        self.cuda.finish()?;
        prepared();
        self.go_through(count)?;
        self.offered += count as u64;
        Ok(())
    }

    fn prepare(&self, of: &Vectors<'_>, first: usize, count: usize) -> Result<(), Failure> {
        let (dims, padded) = (self.asked.dims, self.padded);
        let blocks = count.div_ceil(WARPS) as u32;
        // SAFETY: `prep_rows(rows, count, dims, padded, halves, norms, lengths, scales)`; all buffers hold
        // `first + count` vectors.
        unsafe {
            self.cuda.launch(
                &self.kernels.prep_rows,
                (blocks, 1),
                arguments![
                    of.floats.at(first * dims),
                    count as u32,
                    dims as u32,
                    padded as u32,
                    of.halves.at(first * padded),
                    of.norms.at(first),
                    of.lengths.at(first),
                    of.scales.at(first),
                ],
            )
        }
    }

    /// Takes the rows of a piece a step at a time. Steps grow while candidates fit. Where they don't,
    /// nothing was changed, and fewer rows are tried; as few as there are slots always fit.
    fn go_through(&mut self, count: usize) -> Result<(), Failure> {
        let mut first = 0;
        while first < count {
            let some = self.step.min(count - first);
            self.collect(first, some)?;
            self.merge(first)?;
            let mut overflow = [0u32];
            self.cuda.download(&mut overflow, &self.overflow, 0)?;
            if overflow[0] == 0 {
                first += some;
                if some == self.step {
                    self.step = (self.step * self.growth).min(self.piece.max(self.slots));
                }
            } else {
                if some <= self.slots {
                    return Err(Failure::Other("the GPU counts wrong".into()));
                }
                (self.step, self.growth) = ((some / 2).max(self.slots), 2);
                self.cuda.zero(&self.counts)?;
                self.cuda.zero(&self.overflow)?;
            }
        }
        Ok(())
    }

    /// Finds the candidates among the rows of the piece from `first` on.
    fn collect(&self, first: usize, count: usize) -> Result<(), Failure> {
        let Asked {
            metric,
            dims,
            queries,
            ..
        } = self.asked;
        if metric == L1 {
            let blocks = count.div_ceil(WARPS).min(SCAN_BLOCKS);
            // SAFETY: `scan_candidates(metric, queries, rows, row_count, dims, thresholds,
            // slots, counts, candidates, overflow)`; the rows are those of the piece.
            return unsafe {
                self.cuda.launch(
                    &self.kernels.scan_candidates,
                    (queries as u32, blocks as u32),
                    arguments![
                        metric,
                        self.queries.floats.at(0),
                        self.rows.floats.at(first * dims),
                        count as u32,
                        dims as u32,
                        self.thresholds.at(0),
                        self.slots as u32,
                        self.counts.at(0),
                        self.candidates.at(0),
                        self.overflow.at(0),
                    ],
                )
            };
        }
        let grid = (queries.div_ceil(TILE) as u32, count.div_ceil(TILE) as u32);
        // SAFETY: `tile_candidates(metric, queries, query_lengths, query_scales, query_count, rows,
        // row_lengths, row_scales, row_count, padded, relative, rounding, thresholds, slots, counts,
        // candidates, overflow)`.
        unsafe {
            self.cuda.launch(
                &self.kernels.tile_candidates,
                grid,
                arguments![
                    metric,
                    self.queries.halves.at(0),
                    self.queries.lengths.at(0),
                    self.queries.scales.at(0),
                    queries as u32,
                    self.rows.halves.at(first * self.padded),
                    self.rows.lengths.at(first),
                    self.rows.scales.at(first),
                    count as u32,
                    self.padded as u32,
                    self.relative,
                    self.rounding,
                    self.thresholds.at(0),
                    self.slots as u32,
                    self.counts.at(0),
                    self.candidates.at(0),
                    self.overflow.at(0),
                ],
            )
        }
    }

    /// Measures the candidates, and takes the nearest into what each query has. Does nothing where
    /// candidates did not fit.
    fn merge(&self, first: usize) -> Result<(), Failure> {
        let Asked {
            metric,
            k,
            dims,
            queries,
            within,
        } = self.asked;
        // SAFETY: `exact_candidates(metric, queries, query_norms, rows, row_norms, dims, slots, counts,
        // candidates, distances, overflow)`.
        unsafe {
            self.cuda.launch(
                &self.kernels.exact_candidates,
                (queries as u32, 1),
                arguments![
                    metric,
                    self.queries.floats.at(0),
                    self.queries.norms.at(0),
                    self.rows.floats.at(first * dims),
                    self.rows.norms.at(first),
                    dims as u32,
                    self.slots as u32,
                    self.counts.at(0),
                    self.candidates.at(0),
                    self.distances.at(0),
                    self.overflow.at(0),
                ],
            )?;
        }
        // SAFETY: `merge_nearest(metric, k, within, first_row, slots, counts, candidates, distances,
        // found, found_distances, found_rows, thresholds, overflow)`; k and slots together are at most
        // what its shared memory holds.
        unsafe {
            self.cuda.launch(
                &self.kernels.merge_nearest,
                (queries as u32, 1),
                arguments![
                    metric,
                    k as u32,
                    within,
                    self.offered + first as u64,
                    self.slots as u32,
                    self.counts.at(0),
                    self.candidates.at(0),
                    self.distances.at(0),
                    self.found.at(0),
                    self.found_distances.at(0),
                    self.found_rows.at(0),
                    self.thresholds.at(0),
                    self.overflow.at(0),
                ],
            )
        }
    }

    /// Which rows of the piece, which was gone through, some query holds.
    fn mark(&self, count: usize, marks: &mut [u32]) -> Result<(), Failure> {
        self.cuda.zero(&self.marks)?;
        let Asked { k, queries, .. } = self.asked;
        let blocks = (queries * k).div_ceil(THREADS) as u32;
        // SAFETY: `mark_found(query_count, k, found, found_rows, first_row, row_count, marks)`.
        unsafe {
            self.cuda.launch(
                &self.kernels.mark_found,
                (blocks, 1),
                arguments![
                    queries as u32,
                    k as u32,
                    self.found.at(0),
                    self.found_rows.at(0),
                    self.offered,
                    count as u32,
                    self.marks.at(0),
                ],
            )?;
        }
        self.cuda.download(marks, &self.marks, 0)
    }

    /// Writes the next queries' results; the number of queries, 0 after the last.
    pub fn tell(&mut self, slot: &mut [u8]) -> Result<usize, Failure> {
        let k = self.asked.k;
        let count = Results::fit(slot.len(), k).min(self.asked.queries - self.told);
        let layout = Results::of(count, k);
        let (rows_at, distances_at) = (layout.rows_at(), layout.distances_at());
        let counts = bytemuck::cast_slice_mut(&mut slot[..count * 4]);
        self.cuda.download(counts, &self.found, self.told)?;
        let rows = bytemuck::cast_slice_mut(&mut slot[rows_at..][..count * k * 8]);
        self.cuda.download(rows, &self.found_rows, self.told * k)?;
        let distances: &mut [u64] =
            bytemuck::cast_slice_mut(&mut slot[distances_at..][..count * k * 8]);
        self.cuda
            .download(distances, &self.found_distances, self.told * k)?;
        for key in distances {
            // From the kernels' integers of the same order.
            *key = match *key >> 63 {
                1 => *key & (u64::MAX >> 1),
                _ => !*key,
            };
        }
        self.told += count;
        Ok(count)
    }
}
