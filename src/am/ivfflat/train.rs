//! Centroids: a sample of the table, and k-means over it.

use pgnear_ann::Element;
use pgnear_ann::Error;
use pgnear_ann::ivfflat::{Centroids, IndexSpec};
use pgnear_device::{CancelFlag, MemoryBudget, Pool, Progress, Wanted};
use pgnear_kernels::Metric;
use pgnear_quant::bits::{self, BitMatrix};
use pgnear_quant::{
    Job, KMeans, KMeansOptions, Matrix, Prepared, kmeans_on, kmeans_prepared, prepared,
};
use pgnear_values::{Code, ValueError};

use crate::pg::build::{Builds, SplitMix};
use crate::pg::error::notice;
use crate::pg::gpu::Running;
use crate::pg::index::{AmError, value_error};

use crate::am::column::{check_dims, internal, is_skipped, quant_error};

/// Where sampling and k-means start: a rebuild of the same rows repeats.
pub const SEED: u64 = 0x7067_6E65_6172;
/// Rows sampled for k-means: so many a list, and so many at least.
const SAMPLES_PER_LIST: usize = 50;
const MIN_SAMPLES: usize = 10_000;

/// Chooses the centroids by k-means over a sample of the table.
pub fn train(spec: &IndexSpec, builds: &mut Builds<'_>) -> Result<Centroids, AmError> {
    let limit = builds.memory_limit();
    let most = builds.most_rows();
    let least = (spec.lists as usize * SAMPLES_PER_LIST).min(most);
    // More than that where it fits.
    let fits = Samples::most(spec, limit);
    let wanted = least.max(MIN_SAMPLES.min(fits)).min(most);
    // Pages say how many rows there can be; there may be fewer, and they are few: so count them.
    if wanted > fits && wanted < most {
        return Err(too_little_memory(spec, wanted, limit));
    }
    let mut samples = Samples::new(spec, wanted.min(fits));
    builds.scan_sample(wanted, SEED, &mut |_, dims, elements| {
        check_dims(spec, dims)?;
        if !is_skipped(spec.element, spec.metric, elements) {
            samples.offer(elements)?;
        }
        Ok(())
    })?;
    let found = wanted.min(samples.seen as usize);
    if found > fits {
        return Err(too_little_memory(spec, found, limit));
    }
    if samples.count() < spec.lists as usize {
        notice(
            "ivfflat index created with little data",
            "This will cause low recall.",
            "Drop the index until the table has more data.",
        );
    }
    samples.train(spec, &builds.pool(), limit, &mut |progress| {
        builds.rows_total(progress.total());
        builds.rows_done(progress.done());
        builds.poll()
    })
}

fn too_little_memory(spec: &IndexSpec, samples: usize, limit: usize) -> AmError {
    value_error(
        Code::ProgramLimitExceeded,
        format!(
            "memory required is {} MB, maintenance_work_mem is {} MB",
            Samples::bytes(spec, samples) / (1 << 20) + 1,
            limit / (1 << 20)
        ),
        Some("Increase maintenance_work_mem, or use fewer lists."),
    )
    .into()
}

/// A uniform sample of rows (reservoir sampling: Vitter, "Random sampling with a reservoir", 1985,
/// algorithm R), for floats as `f32`.
pub struct Samples {
    element: Element,
    wanted: usize,
    seen: u64,
    random: SplitMix,
    width: usize,
    floats: Vec<f32>,
    bits: Vec<u8>,
}

impl Samples {
    /// What k-means over so many samples takes, in bytes: the samples, centroids, sums and bounds.
    fn bytes(spec: &IndexSpec, wanted: usize) -> usize {
        let row = match spec.element {
            Element::F32 | Element::F16 => 4 * spec.dims as usize,
            Element::Bit | Element::Sparse => spec.element.bytes(spec.dims),
        };
        (wanted + 3 * spec.lists as usize) * row + wanted * 64
    }

    /// The most samples whose k-means takes up to `memory` bytes.
    fn most(spec: &IndexSpec, memory: usize) -> usize {
        let sample = Self::bytes(spec, 2) - Self::bytes(spec, 1);
        memory.saturating_sub(Self::bytes(spec, 1) - sample) / sample
    }

    /// An empty sample that keeps up to `wanted` rows.
    pub fn new(spec: &IndexSpec, wanted: usize) -> Self {
        Samples {
            element: spec.element,
            wanted,
            seen: 0,
            random: SplitMix(SEED),
            width: match spec.element {
                Element::F32 | Element::F16 => spec.dims as usize,
                Element::Bit | Element::Sparse => spec.element.bytes(spec.dims),
            },
            floats: Vec::new(),
            bits: Vec::new(),
        }
    }

    /// Without samples there is nothing to compute, and hardly any memory needed.
    fn equal_centroids(&self, spec: &IndexSpec) -> Result<Centroids, AmError> {
        let mut bytes = Vec::new();
        if self.element == Element::Bit {
            grow(&mut bytes, self.width)?;
        } else {
            grow(&mut bytes, 4 * self.width)?;
            // Of unit length, as the metrics that compare directions want it.
            bytes[..4].copy_from_slice(&1f32.to_ne_bytes());
        }
        Ok(Centroids::Equal {
            lists: spec.lists,
            bytes,
        })
    }

    fn held_bytes(&self) -> usize {
        size_of_val(&self.floats[..]) + self.bits.len()
    }

    fn count(&self) -> usize {
        (self.floats.len() + self.bits.len()) / self.width
    }

    fn offer(&mut self, elements: &[u8]) -> Result<(), AmError> {
        self.seen += 1;
        let count = self.count();
        let place = if count < self.wanted {
            count
        } else {
            let place = self.random.below(self.seen);
            if place >= self.wanted as u64 {
                return Ok(());
            }
            place as usize
        };
        let at = place * self.width;
        if self.element == Element::Bit {
            grow(&mut self.bits, at + self.width)?;
            self.bits[at..at + self.width].copy_from_slice(&elements[..self.width]);
        } else {
            grow(&mut self.floats, at + self.width)?;
            widen(
                self.element,
                elements,
                &mut self.floats[at..at + self.width],
            );
        }
        Ok(())
    }

    /// k-means over the sample; where it is empty, centroids that are all equal: then every row
    /// goes to the first list, which every search reads, and none is missed until a rebuild. What it needs beside the
    /// sample fits the rest of `memory` bytes.
    pub fn train(
        self,
        spec: &IndexSpec,
        pool: &Pool,
        memory: usize,
        poll: &mut dyn FnMut(&Progress) -> Result<(), Error>,
    ) -> Result<Centroids, AmError> {
        if self.count() == 0 {
            return self.equal_centroids(spec);
        }
        let (cancel, progress) = (CancelFlag::new(), Progress::new());
        let budget = &MemoryBudget::new(memory.saturating_sub(self.held_bytes()));
        let mut job = Job {
            pool,
            budget,
            cancel: &cancel,
            progress: &progress,
            poll: &mut || poll(&progress),
        };
        let options = KMeansOptions {
            k: spec.lists as usize,
            seed: spec.seed,
            spherical: matches!(spec.metric, Metric::InnerProduct | Metric::Cosine),
            ..KMeansOptions::default()
        };
        if self.element == Element::Bit {
            let rows = BitMatrix::try_from_vec(self.width, self.bits).map_err(internal)?;
            let found = bits::kmeans(&mut job, rows, &options).map_err(quant_error)?;
            Ok(Centroids::Bits {
                bytes_each: self.width,
                data: found.centroids.into_vec(),
            })
        } else {
            let rows = Matrix::try_from_vec(self.width, self.floats).map_err(internal)?;
            let (count, dims) = (rows.rows(), rows.dims());
            let samples = prepared(&mut job, rows, &options).map_err(quant_error)?;
            let on_gpu = kmeans_on_gpu(&mut job, &samples, (count, dims), &options)?;
            let found = match on_gpu {
                Some(found) => found,
                None => kmeans_prepared(&mut job, &samples, &options).map_err(quant_error)?,
            };
            Ok(Centroids::Float {
                dims: spec.dims,
                data: found.centroids.into_vec(),
            })
        }
    }
}

/// Rounds of all distances that k-means is about.
const ROUNDS: usize = 10;

/// k-means on a GPU; `None` where it is the CPU's work.
fn kmeans_on_gpu(
    job: &mut Job<'_, Error>,
    samples: &Prepared,
    (count, dims): (usize, usize),
    options: &KMeansOptions,
) -> Result<Option<KMeans>, AmError> {
    let multiplications = (count * options.k * ROUNDS) as f64 * dims as f64;
    let wanted = Wanted::nearest(options.by());
    let Some(mut gpu) = Running::start((wanted, dims), multiplications)? else {
        return Ok(None);
    };
    let found = gpu.run(|device| {
        let poll = &mut *job.poll;
        let mut job = Job::<ValueError> {
            pool: job.pool,
            budget: job.budget,
            cancel: job.cancel,
            progress: job.progress,
            poll: &mut || {
                let interrupted =
                    |error: Error| value_error(Code::InternalError, error.to_string(), None);
                poll().map_err(interrupted)
            },
        };
        kmeans_on(device, &mut job, samples, options)
    })?;
    if found.is_some() {
        gpu.tell(&format!(
            "k-means of {} lists over {count} rows ran",
            options.k
        ));
    }
    Ok(found)
}

/// Lengthens `data` to `len` elements, or reports that there is no memory for them.
pub fn grow<T: Default + Clone>(data: &mut Vec<T>, len: usize) -> Result<(), AmError> {
    if len > data.len() {
        data.try_reserve(len - data.len()).map_err(|_| {
            AmError::Index(Error::OutOfMemory {
                bytes: len * size_of::<T>(),
            })
        })?;
        data.resize(len, T::default());
    }
    Ok(())
}

/// The elements of a float vector as `f32`, from their bytes at any alignment.
pub fn widen(element: Element, elements: &[u8], out: &mut [f32]) {
    if element == Element::F16 {
        for (to, from) in out.iter_mut().zip(elements.chunks_exact(2)) {
            *to = half::f16::from_ne_bytes([from[0], from[1]]).to_f32();
        }
    } else {
        let bytes: &mut [u8] = bytemuck::cast_slice_mut(out);
        let len = bytes.len();
        bytes.copy_from_slice(&elements[..len]);
    }
}
