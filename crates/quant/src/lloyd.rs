//! The state of one k-means run: centroids, and for every sample its nearest and its bounds.

use pgnear_device::{MemoryBudget, Progress, Workers};

use crate::assign::{Assign, Best, Space};
use crate::bounds::Bounds;
use crate::fill;
use crate::job::{Stop, unless_cancelled};
use crate::matrix::Matrix;
use crate::rng::Rng;

pub(crate) struct Lloyd<'a, 'w> {
    workers: &'a Workers<'w>,
    budget: &'a MemoryBudget,
    space: Space,
    samples: &'a Matrix,
    centroids: Matrix,
    bounds: Bounds,
    /// Whether every chunk keeps lower bounds; they are left away where the budget has no room.
    bounded: bool,
    chunks: Vec<Chunk>,
    /// How far each centroid moved in the last update, in the bounds' units.
    moved: Vec<u16>,
}

/// A fixed run of samples that one task works on. The partition depends on the shape of the data
/// only, so sums over chunks have one order whatever the number of threads.
struct Chunk {
    start: usize,
    best: Vec<Best>,
    /// Sample-major: a lower bound of the distance to every centroid.
    lower: Vec<u16>,
    /// Sum of squared distances to the nearest centroid, in sample order.
    error: f64,
    /// Samples that changed their centroid in the last assignment.
    changed: usize,
    pub computed: usize,
}

/// Centroids that pass over the samples together while seeding: enough to be worth a pass through
/// memory, few enough to stay in the second-level cache.
const SEEDS_A_PASS: usize = 32;

/// Draws in a row that may be rejected before a pass brings the weights up to date.
const REJECTIONS: usize = 32;

impl<'a, 'w> Lloyd<'a, 'w> {
    pub(crate) fn new(
        workers: &'a Workers<'w>,
        budget: &'a MemoryBudget,
        space: Space,
        samples: &'a Matrix,
        mut centroids: Matrix,
        rng: &mut Rng,
    ) -> Result<Lloyd<'a, 'w>, Stop> {
        let (n, k, dims) = (samples.rows(), centroids.rows(), samples.dims());
        centroids
            .row_mut(0)
            .copy_from_slice(samples.row(rng.below(n)));
        // A task that computes every distance stays near some milliseconds of work.
        let rows = (40_000_000 / (k * dims).max(1)).clamp(4, 256);
        let mut chunks = budget.try_vec_with_capacity(n.div_ceil(rows))?;
        for start in (0..n).step_by(rows) {
            chunks.push(Chunk {
                start,
                best: budget.try_vec_filled(rows.min(n - start), Best::NONE)?,
                lower: Vec::new(),
                error: 0.0,
                changed: 0,
                computed: 0,
            });
        }
        let wanted = n.saturating_mul(k).saturating_mul(size_of::<u16>());
        let bounded = wanted <= budget.available();
        if bounded {
            for chunk in &mut chunks {
                chunk.lower = budget.try_vec_filled(chunk.best.len() * k, 0)?;
            }
        }
        let moved = budget.try_vec_filled(k, 0)?;
        let mut lloyd = Lloyd {
            workers,
            budget,
            space,
            samples,
            bounds: Bounds::new(&space, dims, f32::INFINITY),
            centroids,
            bounded,
            chunks,
            moved,
        };
        lloyd.seed_pass(0, 1)?;
        // By the triangle inequality no two samples, and so no sample and mean of samples, are
        // farther apart than twice the distance from any one sample to the farthest.
        let farthest = lloyd
            .chunks
            .iter()
            .flat_map(|chunk| &chunk.best)
            .fold(0.0f32, |far, best| {
                far.max(Bounds::squared(space.by, best.key))
            });
        lloyd.bounds = Bounds::new(&space, dims, 2.0 * farthest.sqrt());
        Ok(lloyd)
    }

    pub(crate) fn into_centroids(self) -> Matrix {
        self.centroids
    }

    /// Sum of squared distances of the samples to the centroids they are assigned to.
    pub(crate) fn error(&self) -> f64 {
        self.chunks.iter().map(|chunk| chunk.error).sum()
    }

    /// k-means++ (Arthur and Vassilvitskii, SODA 2007): each seed is a sample drawn with a
    /// probability proportional to its squared distance from the seeds before it.
    ///
    /// Seeds are drawn from weights that lag behind by up to a pass of seeds, and accepted with
    /// probability (weight now / weight then): the distribution is exactly that of k-means++, but
    /// the samples stream through memory once a pass instead of once a seed. The passes compute
    /// every distance once, and so are the first assignment as well.
    pub(crate) fn seed(&mut self, rng: &mut Rng, progress: &Progress) -> Result<(), Stop> {
        let k = self.centroids.rows();
        let mut done = 1;
        while done < k {
            let total = self.error();
            if !(total > 0.0) {
                // Every sample coincides with a seed already.
                let spherical = self.space.by == Assign::Dot;
                fill::near_samples(&mut self.centroids, done, self.samples, spherical, rng);
                while done < k {
                    let end = k.min(done + SEEDS_A_PASS);
                    self.seed_pass(done, end)?;
                    done = end;
                }
                break;
            }
            let mut end = done;
            let mut rejected = 0;
            while end < k.min(done + SEEDS_A_PASS) && rejected < REJECTIONS {
                let (row, then) = self.draw(total, rng);
                let mut now = then;
                for c in done..end {
                    let key = self.space.key(self.samples.row(row), self.centroids.row(c));
                    now = now.min(Bounds::squared(self.space.by, key));
                }
                if rng.unit() * f64::from(then) < f64::from(now) {
                    self.centroids
                        .row_mut(end)
                        .copy_from_slice(self.samples.row(row));
                    end += 1;
                    rejected = 0;
                } else {
                    rejected += 1;
                }
            }
            self.seed_pass(done, end)?;
            progress.advance((end - done) as u64);
            done = end;
        }
        Ok(())
    }

    /// A sample with probability weight / total, and its weight.
    fn draw(&self, total: f64, rng: &mut Rng) -> (usize, f32) {
        let by = self.space.by;
        let mut left = rng.unit() * total;
        let mut last = (0, 0.0);
        for chunk in &self.chunks {
            if left >= chunk.error && chunk.error.is_finite() {
                left -= chunk.error;
                continue;
            }
            for (i, best) in chunk.best.iter().enumerate() {
                let weight = Bounds::squared(by, best.key);
                if weight > 0.0 {
                    last = (chunk.start + i, weight);
                    left -= f64::from(weight);
                    if left < 0.0 {
                        return last;
                    }
                }
            }
        }
        last
    }

    /// Offers centroids `first..end` to every sample.
    fn seed_pass(&mut self, first: usize, end: usize) -> Result<(), Stop> {
        let (space, bounds, samples, centroids) =
            (self.space, self.bounds, self.samples, &self.centroids);
        let (k, bounded) = (centroids.rows(), self.bounded);
        let complete = self.workers.for_each_mut(&mut self.chunks, |_, chunk| {
            chunk.error = 0.0;
            let mut keys = [0.0f32; SEEDS_A_PASS];
            let keys = &mut keys[..end - first];
            for (i, best) in chunk.best.iter_mut().enumerate() {
                let row = samples.row(chunk.start + i);
                keys_of_range(&space, row, centroids, first, keys);
                for (j, &key) in keys.iter().enumerate() {
                    best.offer(first + j, key);
                }
                if bounded {
                    let lower = &mut chunk.lower[i * k + first..i * k + end];
                    for (lower, &key) in lower.iter_mut().zip(&*keys) {
                        *lower = bounds.lower(key);
                    }
                }
                chunk.error += f64::from(Bounds::squared(space.by, best.key));
            }
        });
        unless_cancelled(complete)
    }

    /// Assigns every sample to its nearest centroid, and says how many changed.
    ///
    /// Elkan (ICML 2003): a centroid whose lower bound, less what it has moved since, is above the
    /// distance to the present centroid cannot be nearer.
    pub(crate) fn assign(&mut self) -> Result<usize, Stop> {
        let (space, bounds, samples, centroids, moved) = (
            self.space,
            self.bounds,
            self.samples,
            &self.centroids,
            &self.moved[..],
        );
        let (k, bounded) = (centroids.rows(), self.bounded);
        let complete = self.workers.for_each_mut(&mut self.chunks, |_, chunk| {
            chunk.error = 0.0;
            chunk.changed = 0;
            for (i, best) in chunk.best.iter_mut().enumerate() {
                let row = samples.row(chunk.start + i);
                let before = best.index;
                if bounded {
                    let lower = &mut chunk.lower[i * k..(i + 1) * k];
                    *best = assign_bounded(
                        &space,
                        &bounds,
                        row,
                        centroids,
                        moved,
                        before,
                        lower,
                        &mut chunk.computed,
                    );
                } else {
                    *best = Best::NONE;
                    let mut keys = [0.0f32; SEEDS_A_PASS];
                    for first in (0..k).step_by(SEEDS_A_PASS) {
                        let keys = &mut keys[..SEEDS_A_PASS.min(k - first)];
                        keys_of_range(&space, row, centroids, first, keys);
                        for (j, &key) in keys.iter().enumerate() {
                            best.offer(first + j, key);
                        }
                    }
                }
                chunk.changed += usize::from(best.index != before);
                chunk.error += f64::from(Bounds::squared(space.by, best.key));
            }
        });
        unless_cancelled(complete)?;
        if std::env::var("KM_TRACE").is_ok() {
            let comp: usize = self.chunks.iter().map(|c| c.computed).sum();
            for c in &mut self.chunks {
                c.computed = 0;
            }
            eprintln!(
                "computed {:.4} of n*k, changed {} error {}",
                comp as f64 / (samples.rows() * k) as f64,
                self.chunks.iter().map(|c| c.changed).sum::<usize>(),
                self.error() / samples.rows() as f64
            );
        }
        Ok(self.chunks.iter().map(|chunk| chunk.changed).sum())
    }

    /// Moves every centroid to the mean of its samples, and empty ones to far samples.
    pub(crate) fn update(&mut self) -> Result<(), Stop> {
        let (n, k, dims) = (
            self.samples.rows(),
            self.centroids.rows(),
            self.samples.dims(),
        );
        let mut count = self.budget.try_vec_filled(k, 0usize)?;
        for best in self.chunks.iter().flat_map(|chunk| &chunk.best) {
            count[best.index] += 1;
        }
        self.refill(&mut count)?;
        // Samples sorted by centroid, in sample order within each.
        let mut next = self.budget.try_vec_filled(k, 0usize)?;
        for c in 1..k {
            next[c] = next[c - 1] + count[c - 1];
        }
        let mut members = self.budget.try_vec_filled(n, 0u32)?;
        for chunk in &self.chunks {
            for (i, best) in chunk.best.iter().enumerate() {
                members[next[best.index]] = (chunk.start + i) as u32;
                next[best.index] += 1;
            }
        }
        let mut tasks: Vec<(&mut [f32], &mut u16, &[u32])> =
            self.budget.try_vec_with_capacity(k)?;
        let mut rest = &members[..];
        for ((centroid, moved), count) in self
            .centroids
            .as_mut_slice()
            .chunks_exact_mut(dims)
            .zip(&mut self.moved)
            .zip(&count)
        {
            let (mine, others) = rest.split_at(*count);
            tasks.push((centroid, moved, mine));
            rest = others;
        }
        let (space, bounds, samples) = (self.space, self.bounds, self.samples);
        let complete = self
            .workers
            .for_each_mut(&mut tasks, |_, (centroid, moved, members)| {
                let mut mean = centroid.to_vec();
                if mean_of(samples, members, &mut mean, space.by == Assign::Dot) {
                    **moved = bounds.moved((space.kernels.f32_l2_squared)(centroid, &mean));
                    centroid.copy_from_slice(&mean);
                } else {
                    **moved = 0;
                }
            });
        drop(tasks);
        self.budget.give_back(
            k * (2 * size_of::<usize>() + size_of::<(&mut [f32], &mut u16, &[u32])>()) + n * 4,
        );
        unless_cancelled(complete)
    }

    /// Gives every empty centroid the sample that is farthest from its own (ties: the first), if
    /// that is not the only one there and not at distance 0.
    fn refill(&mut self, count: &mut [usize]) -> Result<(), Stop> {
        let empty = count.iter().filter(|&&count| count == 0).count();
        if empty == 0 {
            return Ok(());
        }
        let by = self.space.by;
        let mut far: Vec<(f32, usize, usize)> =
            self.budget.try_vec_with_capacity(self.samples.rows())?;
        for (number, chunk) in self.chunks.iter().enumerate() {
            far.extend(
                chunk
                    .best
                    .iter()
                    .enumerate()
                    .map(|(i, best)| (Bounds::squared(by, best.key), number, i)),
            );
        }
        far.sort_unstable_by(|a, b| b.0.total_cmp(&a.0).then((a.1, a.2).cmp(&(b.1, b.2))));
        let mut far = far.into_iter();
        for c in 0..count.len() {
            if count[c] > 0 {
                continue;
            }
            let Some((_, number, i)) = far.find(|&(squared, number, i)| {
                squared > 0.0 && count[self.chunks[number].best[i].index] > 1
            }) else {
                break;
            };
            let best = &mut self.chunks[number].best[i];
            count[best.index] -= 1;
            count[c] = 1;
            best.index = c;
        }
        self.budget
            .give_back(self.samples.rows() * size_of::<(f32, usize, usize)>());
        Ok(())
    }
}

/// Keys of `row` against the centroids from `first` on, as many as `keys` holds.
fn keys_of_range(space: &Space, row: &[f32], centroids: &Matrix, first: usize, keys: &mut [f32]) {
    let mut c = first;
    let mut fours = keys.chunks_exact_mut(4);
    for four in &mut fours {
        let quad = std::array::from_fn(|j| centroids.row(c + j));
        four.copy_from_slice(&space.keys4(row, quad));
        c += 4;
    }
    for key in fours.into_remainder() {
        *key = space.key(row, centroids.row(c));
        c += 1;
    }
}

#[allow(clippy::too_many_arguments)]
fn assign_bounded(
    space: &Space,
    bounds: &Bounds,
    row: &[f32],
    centroids: &Matrix,
    moved: &[u16],
    before: usize,
    lower: &mut [u16],
    computed: &mut usize,
) -> Best {
    let mut best = Best::NONE;
    best.offer(before, space.key(row, centroids.row(before)));
    let mut upper = bounds.upper(best.key);
    let mut quad = [0usize; 4];
    let mut waiting = 0;
    for start in (0..lower.len()).step_by(32) {
        let end = lower.len().min(start + 32);
        let mut least = u16::MAX;
        for (lower, moved) in lower[start..end].iter_mut().zip(&moved[start..end]) {
            *lower = lower.saturating_sub(*moved);
            least = least.min(*lower);
        }
        if least > upper {
            continue;
        }
        for c in start..end {
            if lower[c] <= upper && c != before {
                quad[waiting] = c;
                waiting += 1;
                if waiting == 4 {
                    waiting = 0;
                    *computed += 4;
                    let keys = space.keys4(row, quad.map(|c| centroids.row(c)));
                    for (c, key) in quad.into_iter().zip(keys) {
                        lower[c] = bounds.lower(key);
                        best.offer(c, key);
                    }
                    upper = bounds.upper(best.key);
                }
            }
        }
    }
    for &c in &quad[..waiting] {
        *computed += 1;
        let key = space.key(row, centroids.row(c));
        lower[c] = bounds.lower(key);
        best.offer(c, key);
    }
    best
}

/// The mean of some samples, summed in double precision in their order; scaled to unit length where
/// `spherical`. `false` (and `mean` as it was) where there is none.
fn mean_of(samples: &Matrix, members: &[u32], mean: &mut [f32], spherical: bool) -> bool {
    if members.is_empty() {
        return false;
    }
    let mut sums = vec![0.0f64; mean.len()];
    for &member in members {
        for (sum, &x) in sums.iter_mut().zip(samples.row(member as usize)) {
            *sum += f64::from(x);
        }
    }
    let divisor = if spherical {
        sums.iter().map(|x| x * x).sum::<f64>().sqrt()
    } else {
        members.len() as f64
    };
    if !(divisor > 0.0) {
        return false;
    }
    for (mean, sum) in mean.iter_mut().zip(&sums) {
        *mean = (sum / divisor) as f32;
    }
    true
}
