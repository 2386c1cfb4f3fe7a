//! The state of one k-means run: centroids, and for every sample its nearest and its bounds.

use pgnear_device::{Assign, MemoryBudget, Nearest, Progress, Workers};

use crate::assign::{Best, ROWS_A_BLOCK, Sieve, Space};
use crate::bounds::Bounds;
use crate::fill;
use crate::job::{Stop, unless_cancelled};
use crate::matrix::Matrix;
use crate::rng::Rng;
use crate::sieve::{self, Panels, Queries};

/// Finds the centroid nearest to each sample, of some centroids that lie one after the other, somewhere
/// else than on the workers; `false` where it could not.
pub(crate) type Elsewhere<'e> = dyn FnMut(&[f32], &mut [Nearest]) -> bool + 'e;

pub(crate) struct Lloyd<'a, 'w, 'e> {
    /// With room for what it finds.
    elsewhere: Option<(&'a mut Elsewhere<'e>, Vec<Nearest>)>,
    workers: &'a Workers<'w>,
    budget: &'a MemoryBudget,
    space: Space,
    samples: &'a Matrix,
    centroids: Matrix,
    bounds: Bounds,
    /// Codes of the samples, where that pays and the budget has room: then most distances are ruled out by them.
    codes: Option<Queries>,
    /// Codes of centroids.
    panels: Panels,
    /// Whether every chunk keeps lower bounds instead; they are left away where the budget has no room.
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
    /// What the samples were assigned to before (scratch).
    before: Vec<u32>,
    /// Samples that changed their centroid in the last assignment.
    changed: usize,
}

impl Chunk {
    /// Forgets what the samples were assigned to, but for [`Chunk::count_changed`].
    fn forget(&mut self) {
        self.before.clear();
        // Stays within its capacity.
        self.before.extend(self.best.iter().map(|best| best.index));
        self.best.fill(Best::NONE);
    }

    /// Compares with what was before [`Chunk::forget`].
    fn count_changed(&mut self) {
        let pairs = self.best.iter().zip(&self.before);
        self.changed = pairs
            .filter(|(best, before)| best.index != **before)
            .count();
    }
}

/// A centroid, how far it moved, and its samples.
type Task<'t> = (&'t mut [f32], &'t mut u16, &'t [u32]);

/// Centroids that pass over the samples together while seeding: enough to be worth a pass through
/// memory, few enough to stay in the second-level cache.
const SEEDS_A_PASS: usize = 32;

/// Draws in a row that may be rejected before a pass brings the weights up to date.
const REJECTIONS: usize = 32;

impl<'a, 'w, 'e> Lloyd<'a, 'w, 'e> {
    pub(crate) fn new(
        workers: &'a Workers<'w>,
        budget: &'a MemoryBudget,
        space: Space,
        samples: &'a Matrix,
        mut centroids: Matrix,
        elsewhere: Option<&'a mut Elsewhere<'e>>,
        rng: &mut Rng,
    ) -> Result<Lloyd<'a, 'w, 'e>, Stop> {
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
                before: budget.try_vec_with_capacity(rows.min(n - start))?,
                changed: 0,
            });
        }
        let moved = budget.try_vec_filled(k, 0)?;
        // What an update takes must still fit beside the bounds.
        let update = n * (size_of::<u32>() + size_of::<(f32, u32)>())
            + k * (2 * size_of::<usize>() + size_of::<Task<'_>>());
        let bounds = n.saturating_mul(k).saturating_mul(size_of::<u16>());
        let codes = n * Queries::bytes_a_query(dims);
        // Whoever computes all distances elsewhere skips none.
        let here = elsewhere.is_none();
        let fits = |bytes: usize| here && bytes.saturating_add(update) <= budget.available();
        let codes = if sieve::pays(space.kernels, n) && k >= 2 * SEEDS_A_PASS && fits(codes) {
            budget.charge(codes)?;
            Some(Queries::new(space.kernels, dims, samples.as_slice())?)
        } else {
            None
        };
        let bounded = codes.is_none() && fits(bounds);
        if bounded {
            for chunk in &mut chunks {
                chunk.lower = budget.try_vec_filled(chunk.best.len() * k, 0)?;
            }
        }
        let elsewhere = match elsewhere {
            Some(elsewhere) => {
                let room = budget.try_vec_filled(n, Nearest::NONE)?;
                Some((elsewhere, room))
            }
            None => None,
        };
        let mut lloyd = Lloyd {
            elsewhere,
            workers,
            budget,
            space,
            samples,
            bounds: Bounds::new(&space, dims, f32::INFINITY),
            centroids,
            codes,
            panels: Panels::default(),
            bounded,
            chunks,
            moved,
        };
        lloyd.offer(0, 1)?;
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
            if total <= 0.0 {
                // Every sample coincides with a seed already.
                let spherical = self.space.by == Assign::Dot;
                fill::near_samples(
                    self.workers,
                    &mut self.centroids,
                    done,
                    self.samples,
                    spherical,
                    rng,
                )?;
                while done < k {
                    let end = k.min(done + SEEDS_A_PASS);
                    self.offer(done, end)?;
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
                // An overflowed weight is infinite, and infinity times a share compares with nothing.
                if now == then || rng.unit() * f64::from(then) < f64::from(now) {
                    self.centroids
                        .row_mut(end)
                        .copy_from_slice(self.samples.row(row));
                    end += 1;
                    rejected = 0;
                } else {
                    rejected += 1;
                }
            }
            self.offer(done, end)?;
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

    /// Does `work` on every chunk.
    fn each_chunk(&mut self, work: impl Fn(&View<'_>, &mut Chunk) + Sync) -> Result<(), Stop> {
        let view = View {
            space: self.space,
            bounds: self.bounds,
            bounded: self.bounded,
            codes: self.codes.as_ref(),
            panels: &self.panels,
            samples: self.samples,
            centroids: &self.centroids,
            moved: &self.moved,
        };
        let complete = self
            .workers
            .for_each_mut(&mut self.chunks, |_, chunk| work(&view, chunk));
        unless_cancelled(complete)
    }

    fn changed(&self) -> usize {
        self.chunks.iter().map(|chunk| chunk.changed).sum()
    }

    /// Offers centroids `first..end` to every sample.
    fn offer(&mut self, first: usize, end: usize) -> Result<(), Stop> {
        if self.elsewhere.is_some() {
            return self.offer_elsewhere(first, end);
        }
        if self.codes.is_some() {
            let dims = self.samples.dims();
            let centroids = &self.centroids.as_slice()[first * dims..end * dims];
            let kernels = self.space.kernels;
            self.panels.fill(self.workers, kernels, dims, centroids)?;
        }
        self.each_chunk(|view, chunk| view.offer(chunk, first, end))
    }

    /// The same result as that of [`View::offer`] for every chunk.
    fn offer_elsewhere(&mut self, first: usize, end: usize) -> Result<(), Stop> {
        let Some((elsewhere, nearest)) = &mut self.elsewhere else {
            return Ok(());
        };
        if first == end {
            return Ok(());
        }
        let dims = self.samples.dims();
        let centroids = &self.centroids.as_slice()[first * dims..end * dims];
        unless_cancelled(elsewhere(centroids, nearest))?;
        let by = self.space.by;
        for chunk in &mut self.chunks {
            chunk.error = 0.0;
            for (best, nearest) in chunk.best.iter_mut().zip(&nearest[chunk.start..]) {
                best.offer(first + nearest.index as usize, nearest.key);
                chunk.error += f64::from(Bounds::squared(by, best.key));
            }
        }
        unless_cancelled(!self.workers.is_cancelled())
    }

    /// Assigns every sample to its nearest centroid by computing every distance, and says how many
    /// changed.
    pub(crate) fn assign_plainly(&mut self) -> Result<usize, Stop> {
        self.chunks.iter_mut().for_each(Chunk::forget);
        if self.codes.is_some() {
            // The former centroid tells what is near.
            self.each_chunk(|view, chunk| view.offer_former(chunk))?;
        }
        self.offer(0, self.centroids.rows())?;
        self.chunks.iter_mut().for_each(Chunk::count_changed);
        Ok(self.changed())
    }

    /// The same result as [`Self::assign_plainly`], from fewer distances where there are bounds.
    ///
    /// Elkan (ICML 2003): a centroid whose lower bound, less what it has moved since, is above the
    /// distance to the present centroid cannot be nearer.
    pub(crate) fn assign(&mut self) -> Result<usize, Stop> {
        if !self.bounded {
            return self.assign_plainly();
        }
        self.each_chunk(|view, chunk| {
            let rows = chunk.lower.chunks_exact_mut(view.centroids.rows());
            chunk.error = 0.0;
            chunk.changed = 0;
            for (i, (best, lower)) in chunk.best.iter_mut().zip(rows).enumerate() {
                let before = best.index;
                *best = view.nearest_bounded(chunk.start + i, before as usize, lower);
                chunk.changed += usize::from(best.index != before);
                chunk.error += f64::from(Bounds::squared(view.space.by, best.key));
            }
        })?;
        Ok(self.changed())
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
            count[best.index as usize] += 1;
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
                let at = &mut next[best.index as usize];
                members[*at] = (chunk.start + i) as u32;
                *at += 1;
            }
        }
        let mut tasks: Vec<Task<'_>> = self.budget.try_vec_with_capacity(k)?;
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
        let of_a_centroid = 2 * size_of::<usize>() + size_of::<Task<'_>>();
        self.budget
            .give_back(k * of_a_centroid + n * size_of::<u32>());
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
        let mut far: Vec<(f32, u32)> = self.budget.try_vec_with_capacity(self.samples.rows())?;
        for chunk in &self.chunks {
            let squared = chunk.best.iter().map(|best| Bounds::squared(by, best.key));
            far.extend(squared.zip(chunk.start as u32..).filter(|far| far.0 > 0.0));
        }
        far.sort_unstable_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
        let rows_a_chunk = self.chunks[0].best.len();
        let mut far = far
            .into_iter()
            .map(|(_, row)| (row as usize / rows_a_chunk, row as usize % rows_a_chunk));
        for c in 0..count.len() {
            if count[c] > 0 {
                continue;
            }
            let Some((chunk, i)) = far.find(|&(chunk, i)| {
                let list = self.chunks[chunk].best[i].index;
                count[list as usize] > 1
            }) else {
                break;
            };
            let best = &mut self.chunks[chunk].best[i];
            count[best.index as usize] -= 1;
            count[c] = 1;
            best.index = c as u32;
        }
        self.budget
            .give_back(self.samples.rows() * size_of::<(f32, u32)>());
        Ok(())
    }
}

/// What a task reads while it has one chunk to itself.
#[derive(Clone, Copy)]
struct View<'s> {
    space: Space,
    bounds: Bounds,
    bounded: bool,
    codes: Option<&'s Queries>,
    panels: &'s Panels,
    samples: &'s Matrix,
    centroids: &'s Matrix,
    moved: &'s [u16],
}

impl View<'_> {
    /// Offers centroids `first..end` to the samples of a chunk, and sums the chunk's error.
    ///
    /// Goes four centroids at a time over a block of samples that stays in the first-level cache.
    fn offer(&self, chunk: &mut Chunk, first: usize, end: usize) {
        let k = self.centroids.rows();
        for (block, best) in chunk.best.chunks_mut(ROWS_A_BLOCK).enumerate() {
            let block = block * ROWS_A_BLOCK;
            let mut c = first;
            if let Some(rows) = self.codes {
                let sieve = Sieve {
                    space: self.space,
                    centroids: self.centroids,
                    panels: self.panels,
                    first,
                    rows,
                };
                let (start, dims) = (chunk.start + block, self.samples.dims());
                let samples = &self.samples.as_slice()[start * dims..][..best.len() * dims];
                c = sieve.offer(start, samples, best);
            }
            while c < end {
                let count = if end - c >= 4 { 4 } else { 1 };
                let four: [&[f32]; 4] = std::array::from_fn(|j| self.centroids.row(c + j % count));
                for (i, best) in best.iter_mut().enumerate() {
                    let row = self.samples.row(chunk.start + block + i);
                    let mut keys = [0.0; 4];
                    if count == 4 {
                        keys = self.space.keys4(row, four);
                    } else {
                        keys[0] = self.space.key(row, four[0]);
                    }
                    for (j, &key) in keys[..count].iter().enumerate() {
                        best.offer(c + j, key);
                    }
                    if self.bounded {
                        let at = (block + i) * k + c;
                        let lower = &mut chunk.lower[at..at + count];
                        for (lower, &key) in lower.iter_mut().zip(&keys) {
                            *lower = self.bounds.lower(key);
                        }
                    }
                }
                c += count;
            }
        }
        let errors = chunk.best.iter();
        chunk.error = errors
            .map(|best| f64::from(Bounds::squared(self.space.by, best.key)))
            .sum();
    }

    /// Offers to each sample of a chunk the centroid that it was assigned to.
    fn offer_former(&self, chunk: &mut Chunk) {
        for (i, (best, before)) in chunk.best.iter_mut().zip(&chunk.before).enumerate() {
            let row = self.samples.row(chunk.start + i);
            let before = *before as usize;
            best.offer(before, self.space.key(row, self.centroids.row(before)));
        }
    }

    /// The nearest centroid of a sample that was assigned to `before`. `lower` holds the sample's
    /// bounds from before the last update, and is brought up to date.
    fn nearest_bounded(&self, sample: usize, before: usize, lower: &mut [u16]) -> Best {
        const RUN: usize = 64;
        let row = self.samples.row(sample);
        let mut best = Best::NONE;
        best.offer(before, self.space.key(row, self.centroids.row(before)));
        let mut upper = self.bounds.upper(best.key);
        // Centroids that are not ruled out; up to three wait for a fourth.
        let mut open = [0usize; RUN + 4];
        let mut count = 0;
        for start in (0..lower.len()).step_by(RUN) {
            let end = lower.len().min(start + RUN);
            let mut least = u16::MAX;
            for (lower, moved) in lower[start..end].iter_mut().zip(&self.moved[start..end]) {
                *lower = lower.saturating_sub(*moved);
                least = least.min(*lower);
            }
            if least > upper {
                continue;
            }
            for (c, &lower) in (start..end).zip(&lower[start..end]) {
                // No branch: which centroids stay open cannot be predicted.
                open[count] = c;
                count += usize::from((lower <= upper) & (c != before));
            }
            let whole = count / 4 * 4;
            for four in open[..whole].chunks_exact(4) {
                let centroids = std::array::from_fn(|j| self.centroids.row(four[j]));
                let keys = self.space.keys4(row, centroids);
                for (&c, key) in four.iter().zip(keys) {
                    lower[c] = self.bounds.lower(key);
                    best.offer(c, key);
                }
            }
            if whole > 0 {
                upper = self.bounds.upper(best.key);
            }
            open.copy_within(whole..count, 0);
            count -= whole;
        }
        for &c in &open[..count] {
            let key = self.space.key(row, self.centroids.row(c));
            lower[c] = self.bounds.lower(key);
            best.offer(c, key);
        }
        best
    }
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
    if divisor <= 0.0 {
        return false;
    }
    for (mean, sum) in mean.iter_mut().zip(&sums) {
        *mean = (sum / divisor) as f32;
    }
    true
}

#[cfg(test)]
mod tests {
    use pgnear_device::{CancelFlag, Pool};

    use super::*;

    #[test]
    fn empty_lists_take_the_farthest_samples() {
        // Three equal centroids: the first takes all, the others are empty.
        let samples = Matrix::try_from_vec(1, vec![0.0, 1.0, 50.0, 10.0, 50.0, 60.0]).unwrap();
        Pool::inline()
            .run(&CancelFlag::new(), &mut || Ok::<(), ()>(()), |workers| {
                let budget = MemoryBudget::unlimited();
                let centroids = Matrix::try_zeroed(&budget, 3, 1).unwrap();
                let space = Space::new(Assign::L2);
                let mut rng = Rng::new(0);
                let mut lloyd =
                    Lloyd::new(workers, &budget, space, &samples, centroids, None, &mut rng)
                        .unwrap();
                lloyd.centroids.as_mut_slice().fill(0.0);
                assert_eq!(lloyd.assign_plainly().unwrap(), 0);
                lloyd.update().unwrap();
                // 60 is farthest; of the two at 50 the first; the others' mean is 61 / 4.
                assert_eq!(lloyd.centroids.as_slice(), [15.25, 60.0, 50.0]);
                // Bounds still hold after such a jump.
                lloyd.assign().unwrap();
                let bounded: Vec<u32> = lloyd.chunks[0].best.iter().map(|b| b.index).collect();
                assert_eq!(bounded, [0, 0, 2, 0, 2, 1]);
                assert_eq!(lloyd.assign_plainly().unwrap(), 0);
            })
            .unwrap();
    }
}
