//! Exact search of many queries at once: one pass over the rows, whatever the number of queries.
//!
//! Rows come in batches. A block of queries goes through a batch together, so that rows are read from
//! memory once for many of them. Distances are those of the operators to the bit, so that the answers
//! are too.

use std::collections::{BinaryHeap, TryReserveError};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use pgnear_device::{Neighbour, OutOfMemory};
use pgnear_kernels::{CosineSums, Kernels, Metric, code8, exact, kernels};

use crate::job::{Job, QuantError, Stop, unless_cancelled};
use crate::matrix::Matrix;
use crate::sieve::{self, Near, Panels, Queries, Seekers};

/// Queries that go through a batch together.
const QUERIES_A_BLOCK: usize = EIGHTS * code8::QUERIES;
const EIGHTS: usize = 4;

/// The nearest rows of each of many queries.
pub struct Knn {
    metric: Metric,
    k: usize,
    /// Rows farther than this are left out; none where it is NaN.
    within: f64,
    queries: Matrix,
    /// Sums of squares of the queries.
    norms: Vec<f32>,
    /// What tells rows that are far from their codes, where that pays, and the codes of a batch.
    sieve: Option<Queries>,
    panels: Panels,
    /// The farthest on top.
    nearest: Vec<BinaryHeap<Neighbour>>,
    rows: u64,
}

impl Knn {
    /// Searches the `k` rows nearest to each of `queries`, those up to `within` far; `metric` is not
    /// one of bit strings.
    ///
    /// # Errors
    /// [`OutOfMemory`].
    pub fn new(
        metric: Metric,
        k: usize,
        within: Option<f64>,
        queries: Matrix,
    ) -> Result<Knn, OutOfMemory> {
        let (count, dims) = (queries.rows(), queries.dims());
        let no_room = |_| OutOfMemory {
            bytes: count * size_of::<BinaryHeap<Neighbour>>(),
        };
        let mut nearest = Vec::new();
        nearest.try_reserve_exact(count).map_err(no_room)?;
        nearest.resize_with(count, BinaryHeap::new);
        let mut norms = Vec::new();
        norms.try_reserve_exact(count).map_err(no_room)?;
        let kernels = kernels();
        norms.extend((0..count).map(|at| (kernels.f32_norm_squared)(queries.row(at))));
        // Taxicab distances are no products.
        let sieve = if metric != Metric::L1 && sieve::pays(kernels, count) {
            Some(Queries::new(kernels, dims, queries.as_slice())?)
        } else {
            None
        };
        Ok(Knn {
            metric,
            k,
            within: within.unwrap_or(f64::NAN),
            queries,
            norms,
            sieve,
            panels: Panels::default(),
            nearest,
            rows: 0,
        })
    }

    /// The number of queries.
    pub fn queries(&self) -> usize {
        self.queries.rows()
    }

    /// Rows gone through so far.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// Bytes that a query takes at most, beside its vector.
    pub fn bytes_a_query(k: usize) -> usize {
        // A heap grows to twice its size.
        size_of::<BinaryHeap<Neighbour>>() + 4 + 2 * size_of::<Neighbour>() * k
    }

    /// Goes through more rows: whole vectors, one after the other.
    ///
    /// # Errors
    /// [`QuantError::WrongDimensions`], [`QuantError::OutOfMemory`], and how the job ends.
    pub fn offer<E>(&mut self, job: &mut Job<'_, E>, rows: &[f32]) -> Result<(), QuantError<E>> {
        let dims = self.queries.dims();
        if !rows.len().is_multiple_of(dims.max(1)) {
            return Err(QuantError::WrongDimensions {
                expected: dims,
                got: rows.len(),
            });
        }
        let first = self.rows;
        self.rows += (rows.len() / dims.max(1)) as u64;
        if self.k == 0 || self.queries.rows() == 0 {
            return Ok(());
        }
        let (queries, norms, metric, k, within) =
            (&self.queries, &self.norms, self.metric, self.k, self.within);
        let (nearest, sieve, panels) = (&mut self.nearest, self.sieve.as_ref(), &mut self.panels);
        job.run(|workers, budget, _| {
            let kernels = kernels();
            let (mut row_norms, mut row_lengths) = (Vec::new(), Vec::new());
            if metric == Metric::Cosine {
                row_norms = budget.try_vec_filled(rows.len() / dims, 0.0f32)?;
                let complete = workers.for_each_chunk_mut(&mut row_norms, 256, |chunk, norms| {
                    let rows = rows[chunk * 256 * dims..].chunks_exact(dims);
                    for (norm, row) in norms.iter_mut().zip(rows) {
                        *norm = (kernels.f32_norm_squared)(row);
                    }
                });
                unless_cancelled(complete)?;
                row_lengths = budget.try_vec_filled(row_norms.len(), 0.0f32)?;
                for (length, norm) in row_lengths.iter_mut().zip(&row_norms) {
                    *length = norm.sqrt();
                }
            }
            if sieve.is_some() {
                panels.fill(workers, kernels, dims, rows)?;
            }
            let failed = AtomicBool::new(false);
            let complete = workers.for_each_chunk_mut(nearest, QUERIES_A_BLOCK, |chunk, heaps| {
                let block = Block {
                    kernels,
                    metric,
                    k,
                    within,
                    dims,
                    first,
                    rows,
                    row_norms: &row_norms,
                    row_lengths: &row_lengths,
                    queries,
                    norms,
                    start: chunk * QUERIES_A_BLOCK,
                };
                if block
                    .run(heaps, sieve.map(|sieve| (sieve, &*panels)))
                    .is_err()
                {
                    failed.store(true, Relaxed);
                }
            });
            unless_cancelled(complete)?;
            if failed.load(Relaxed) {
                let bytes = Knn::bytes_a_query(k);
                return Err(Stop::OutOfMemory(OutOfMemory { bytes }));
            }
            Ok(())
        })
    }

    /// The neighbours found of each query, nearest first.
    pub fn finish(self) -> impl Iterator<Item = Vec<Neighbour>> {
        self.nearest.into_iter().map(BinaryHeap::into_sorted_vec)
    }

    /// The numbers of rows found so far, from `first` on; some more than once.
    pub fn found_from(&self, first: u64) -> impl Iterator<Item = u64> {
        let all = self.nearest.iter().flatten().map(|found| found.row);
        all.filter(move |row| *row >= first)
    }
}

/// Some queries against a batch of rows.
struct Block<'a> {
    kernels: &'static Kernels,
    metric: Metric,
    k: usize,
    within: f64,
    dims: usize,
    /// The number of the first row.
    first: u64,
    rows: &'a [f32],
    row_norms: &'a [f32],
    row_lengths: &'a [f32],
    queries: &'a Matrix,
    norms: &'a [f32],
    /// The first query's place among all.
    start: usize,
}

type Offered<T> = Result<T, TryReserveError>;

impl<'a> Block<'a> {
    fn run(
        &self,
        heaps: &mut [BinaryHeap<Neighbour>],
        sieve: Option<(&Queries, &Panels)>,
    ) -> Offered<()> {
        let count = self.rows.len() / self.dims;
        let mut limits = [f32::NAN; QUERIES_A_BLOCK];
        for (number, heap) in heaps.iter().enumerate() {
            limits[number] = self.limit(heap, number);
        }
        let mut done = 0;
        if let Some((queries, panels)) = sieve {
            // Until every query has all that it wants, every row may be near.
            let filled = |heap: &BinaryHeap<_>| self.k - heap.len().min(self.k);
            if self.within.is_nan() {
                let missing = heaps.iter().map(filled).max().unwrap_or(0);
                done = missing.next_multiple_of(code8::ROWS).min(count);
                self.measure(heaps, &mut limits, 0..done)?;
            }
            let panels = panels.iter().skip(done / code8::ROWS);
            let mut seeking = Seeking {
                block: self,
                heaps,
                limits: &mut limits,
            };
            let queries = (queries, self.start);
            done = sieve::sift::<EIGHTS, _>(self.kernels, panels, done, queries, &mut seeking)?;
        }
        self.measure(heaps, &mut limits, done..count)
    }

    /// Measures some rows.
    fn measure(
        &self,
        heaps: &mut [BinaryHeap<Neighbour>],
        limits: &mut [f32; QUERIES_A_BLOCK],
        range: std::ops::Range<usize>,
    ) -> Offered<()> {
        // Taxicab distances have no sum to tell what is far: they are measured one by one.
        let fours = match self.metric {
            Metric::L1 => range.start,
            _ => range.start + range.len() / 4 * 4,
        };
        for at in (range.start..fours).step_by(4) {
            let four = [0, 1, 2, 3].map(|offset| self.row(at + offset));
            for (number, heap) in heaps.iter_mut().enumerate() {
                let sums = self.sums(number, four);
                for (offset, sum) in sums.into_iter().enumerate() {
                    self.take(heap, limits, number, sum, at + offset)?;
                }
            }
        }
        for at in fours..range.end {
            for (number, heap) in heaps.iter_mut().enumerate() {
                let distance = exact::distance(self.metric, self.query(number), self.row(at));
                if self.offer(heap, distance.unwrap_or(f64::NAN), at)? {
                    limits[number] = self.limit(heap, number);
                }
            }
        }
        Ok(())
    }

    fn row(&self, at: usize) -> &'a [f32] {
        &self.rows[at * self.dims..][..self.dims]
    }

    fn query(&self, number: usize) -> &'a [f32] {
        self.queries.row(self.start + number)
    }

    /// Offers row `at` with its sum.
    #[inline(always)]
    fn take(
        &self,
        heap: &mut BinaryHeap<Neighbour>,
        limits: &mut [f32; QUERIES_A_BLOCK],
        number: usize,
        sum: f32,
        at: usize,
    ) -> Offered<()> {
        if self.is_beyond(sum, limits[number], at) {
            return Ok(());
        }
        let distance = self.distance(sum, self.norms[self.start + number], at);
        if self.offer(heap, distance, at)? {
            limits[number] = self.limit(heap, number);
        }
        Ok(())
    }

    /// What the distance of a row is computed from; not for L1.
    #[inline(always)]
    fn sum(&self, number: usize, at: usize) -> f32 {
        match self.metric {
            Metric::L2 => (self.kernels.f32_l2_squared)(self.query(number), self.row(at)),
            _ => (self.kernels.f32_dot)(self.query(number), self.row(at)),
        }
    }

    /// What the distances of four rows are computed from; not for L1.
    #[inline(always)]
    fn sums(&self, number: usize, four: [&[f32]; 4]) -> [f32; 4] {
        match self.metric {
            Metric::L2 => (self.kernels.f32_l2_squared_x4)(self.query(number), four),
            _ => (self.kernels.f32_dot_x4)(self.query(number), four),
        }
    }

    /// The operator's distance of row `at`, from its sum.
    #[inline(always)]
    fn distance(&self, sum: f32, norm: f32, at: usize) -> f64 {
        match self.metric {
            Metric::L2 => exact::wide(sum).sqrt(),
            Metric::InnerProduct => exact::wide(-sum),
            _ => exact::cosine_from_sums(&CosineSums {
                dot: sum,
                norm_a: norm,
                norm_b: self.row_norms[at],
            }),
        }
    }

    /// What [`Block::is_beyond`] compares with: beyond it rows are farther than all that a query has, or
    /// than it wants. No row is beyond a limit that is no number.
    fn limit(&self, heap: &BinaryHeap<Neighbour>, number: usize) -> f32 {
        let farthest = match heap.peek() {
            Some(farthest) if heap.len() == self.k => farthest.distance,
            // A limit that is no distance of a row may be rounded.
            _ => self.within + self.within.abs() * 1e-6,
        };
        match self.metric {
            // The sum that it is the root of, to the bit.
            Metric::L2 => (farthest * farthest.abs()) as f32,
            Metric::InnerProduct => -farthest as f32,
            // As a product for rows of length 1, less what rounding takes.
            _ => {
                let norm = f64::from(self.norms[self.start + number]);
                ((1.0 - farthest - 1e-6) * norm.sqrt()) as f32
            }
        }
    }

    /// What a row must have not to be beyond a limit.
    fn near(&self, limit: f32) -> Near {
        match self.metric {
            Metric::L2 => Near::Distance(limit),
            Metric::InnerProduct => Near::Product(limit),
            _ => Near::Cosine(limit),
        }
    }

    /// Whether row `at` is certainly farther than the limit, by its sum alone.
    #[inline(always)]
    fn is_beyond(&self, sum: f32, limit: f32, at: usize) -> bool {
        match self.metric {
            Metric::L2 => sum > limit,
            Metric::InnerProduct => sum < limit,
            _ => sum < limit * self.row_lengths[at],
        }
    }

    /// Takes a row if it is nearer than what the query has; whether it was.
    #[inline(always)]
    fn offer(&self, heap: &mut BinaryHeap<Neighbour>, distance: f64, at: usize) -> Offered<bool> {
        if distance > self.within || (distance.is_nan() && !self.within.is_nan()) {
            return Ok(false);
        }
        let found = Neighbour {
            distance,
            row: self.first + at as u64,
        };
        if heap.len() < self.k {
            heap.try_reserve(1)?;
            heap.push(found);
        } else if let Some(mut farthest) = heap.peek_mut()
            && found < *farthest
        {
            *farthest = found;
        } else {
            return Ok(false);
        }
        Ok(true)
    }
}

/// The queries of a block with what they have found.
struct Seeking<'s, 'a> {
    block: &'s Block<'a>,
    heaps: &'s mut [BinaryHeap<Neighbour>],
    limits: &'s mut [f32; QUERIES_A_BLOCK],
}

impl Seekers for Seeking<'_, '_> {
    type Failed = TryReserveError;

    fn count(&self) -> usize {
        self.heaps.len()
    }

    fn looks_for(&self, at: usize) -> Near {
        self.block.near(self.limits[at])
    }

    #[inline(always)]
    fn measure(&mut self, at: usize, row: usize) -> Offered<bool> {
        let before = self.limits[at];
        let sum = self.block.sum(at, row);
        let heap = &mut self.heaps[at];
        self.block.take(heap, self.limits, at, sum, row)?;
        Ok(self.limits[at].to_bits() != before.to_bits())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pgnear_device::{CancelFlag, MemoryBudget, Pool, Progress};

    fn rows(count: usize, dims: usize, seed: u64) -> Vec<f32> {
        let mut state = seed;
        (0..count * dims)
            .map(|_| {
                state = state
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1);
                // Few values, so that there are ties.
                ((state >> 33) % 5) as f32 - 2.0
            })
            .collect()
    }

    fn find(
        metric: Metric,
        k: usize,
        within: Option<f64>,
        dims: usize,
        threads: usize,
        batch: usize,
    ) -> Vec<Vec<Neighbour>> {
        let (all, queries) = (rows(203, dims, 2), rows(37, dims, 1));
        find_among(
            metric,
            (k, within),
            dims,
            threads,
            queries,
            all.chunks(batch * dims),
        )
    }

    fn find_among<'a>(
        metric: Metric,
        (k, within): (usize, Option<f64>),
        dims: usize,
        threads: usize,
        queries: Vec<f32>,
        batches: impl Iterator<Item = &'a [f32]>,
    ) -> Vec<Vec<Neighbour>> {
        let queries = Matrix::try_from_vec(dims, queries).unwrap();
        let mut knn = Knn::new(metric, k, within, queries).unwrap();
        let (pool, budget) = (Pool::new(threads), MemoryBudget::unlimited());
        let (cancel, progress) = (CancelFlag::new(), Progress::new());
        let mut job = Job::<()> {
            pool: &pool,
            budget: &budget,
            cancel: &cancel,
            progress: &progress,
            poll: &mut || Ok(()),
        };
        for part in batches {
            knn.offer(&mut job, part).unwrap();
        }
        knn.finish().collect()
    }

    /// The nearest `k` of each query by the operator, to the bit.
    fn by_operator(
        metric: Metric,
        k: usize,
        dims: usize,
        queries: &[f32],
        all: &[f32],
    ) -> Vec<Vec<(u64, u64)>> {
        let measured = |query: &[f32]| {
            let mut found: Vec<Neighbour> = (all.chunks(dims).enumerate())
                .map(|(row, vector)| Neighbour {
                    distance: exact::distance(metric, query, vector).unwrap(),
                    row: row as u64,
                })
                .collect();
            found.sort();
            found.truncate(k);
            found
        };
        bits(&queries.chunks(dims).map(measured).collect::<Vec<_>>())
    }

    fn bits(found: &[Vec<Neighbour>]) -> Vec<Vec<(u64, u64)>> {
        let bits =
            |one: &Vec<Neighbour>| one.iter().map(|n| (n.distance.to_bits(), n.row)).collect();
        found.iter().map(bits).collect()
    }

    #[test]
    fn answers_are_those_of_the_operators_to_the_bit() {
        for metric in [Metric::L2, Metric::InnerProduct, Metric::Cosine, Metric::L1] {
            for dims in [1, 3, 16, 100] {
                let (all, queries) = (rows(203, dims, 2), rows(37, dims, 1));
                let expected = by_operator(metric, 9, dims, &queries, &all);
                for (threads, batch) in [(1, 203), (3, 203), (2, 7), (1, 1)] {
                    let found = find(metric, 9, None, dims, threads, batch);
                    assert_eq!(bits(&found), expected, "{metric:?} {dims} {threads}");
                }
            }
        }
    }

    #[test]
    fn numbers_beyond_the_range_of_a_sum_are_in_order_too() {
        let dims = 8;
        let spread = |mut all: Vec<f32>| {
            for (at, vector) in all.chunks_mut(dims).enumerate() {
                let factor = [1.0, 0.0, 1e-30, 1e30, 3e38, 1e-44, 1e-3][at % 7];
                vector.iter_mut().for_each(|x| *x *= factor);
            }
            all
        };
        let (all, asked) = (spread(rows(400, dims, 3)), spread(rows(30, dims, 4)));
        for metric in [Metric::L2, Metric::InnerProduct, Metric::Cosine, Metric::L1] {
            let expected = by_operator(metric, 12, dims, &asked, &all);
            let batches = std::iter::once(all.as_slice());
            let found = find_among(metric, (12, None), dims, 1, asked.clone(), batches);
            assert_eq!(bits(&found), expected, "{metric:?}");
        }
    }

    #[test]
    fn only_rows_near_enough_are_found() {
        let all = find(Metric::L2, 1000, None, 4, 1, 50);
        let near = find(Metric::L2, 1000, Some(2.0), 4, 1, 50);
        for (all, near) in all.iter().zip(&near) {
            let within: Vec<_> = all.iter().filter(|n| n.distance <= 2.0).copied().collect();
            assert_eq!(near, &within);
            assert!(near.len() < all.len());
        }
        assert!(
            find(Metric::L2, 0, None, 4, 2, 50)
                .iter()
                .all(Vec::is_empty)
        );
    }
}
