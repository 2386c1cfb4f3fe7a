//! The list of every row: the part of a build that parallel workers do.

use std::ffi::CStr;

use pgnear_ann::ivfflat::{Centroids, IndexSpec};
use pgnear_ann::{Element, Error, Tid};
use pgnear_device::{CancelFlag, MemoryBudget, Pool, Progress, Wanted};
use pgnear_kernels::Metric;
use pgnear_quant::bits::{self, BitMatrix};
use pgnear_quant::{Assign, Job, Matrix};

use crate::am::column::{check_dims, internal, is_skipped, quant_error};
use crate::parallel_worker;
use crate::pg::build::RowScan;
use crate::pg::gpu::Running;
use crate::pg::index::AmError;
use crate::pg::memory::{append, copied};
use crate::pg::parallel::Assigned;
use crate::pg::sort::RowSort;

use super::train::{grow, widen};

/// Rows assigned to lists at a time: enough for all cores, small beside the sort's memory.
const BATCH_BYTES: usize = 8 << 20;

/// Rows that wait for their list.
#[derive(Default)]
struct Batch {
    tids: Vec<Tid>,
    /// As the index stores them, one after the other.
    payloads: Vec<u8>,
    /// The same as `f32`, where they are floats.
    floats: Vec<f32>,
}

impl Batch {
    fn push(&mut self, spec: &IndexSpec, tid: Tid, elements: &[u8]) -> Result<(), AmError> {
        append(&mut self.tids, &[tid])?;
        append(
            &mut self.payloads,
            &elements[..spec.element.bytes(spec.dims)],
        )?;
        if spec.element != Element::Bit {
            let start = self.floats.len();
            grow(&mut self.floats, start + spec.dims as usize)?;
            widen(spec.element, elements, &mut self.floats[start..]);
        }
        Ok(())
    }

    fn clear(&mut self) {
        self.tids.clear();
        self.payloads.clear();
        self.floats.clear();
    }
}

parallel_worker!(pgnear_ivfflat_build_worker => assign);
/// The symbol just exported.
pub const WORKER: &CStr = c"pgnear_ivfflat_build_worker";

/// Reads rows and gives each to the list of its nearest centroid. `shared` is a [`shared_words`].
pub fn assign(
    shared: &[u64],
    scan: &mut RowScan<'_, '_>,
    pool: &Pool,
    sort: &mut RowSort,
) -> Result<Assigned, AmError> {
    let (spec, targets) = from_shared_words(shared)?;
    let width = spec.element.bytes(spec.dims);
    let by = if spec.metric == Metric::L2 {
        Assign::L2
    } else {
        Assign::Dot
    };
    let (cancel, progress) = (CancelFlag::new(), Progress::new());
    let budget = MemoryBudget::unlimited();
    let mut poll = || {
        pgrx::check_for_interrupts!();
        Ok(())
    };
    let mut job = Job {
        pool,
        budget: &budget,
        cancel: &cancel,
        progress: &progress,
        poll: &mut poll,
    };
    let mut batch = Batch::default();
    let mut index_rows = 0;
    // Each process of the build may have a GPU's program of its own.
    let mut gpu = targets.gpu(by, scan.expected_rows())?;
    let mut flush = |batch: &mut Batch| -> Result<(), AmError> {
        let lists = targets.nearest(&mut job, &mut gpu, batch, by)?;
        let payloads = batch.payloads.chunks_exact(width);
        for ((tid, payload), list) in batch.tids.iter().zip(payloads).zip(lists) {
            sort.put(list, *tid, payload);
        }
        index_rows += batch.tids.len() as u64;
        batch.clear();
        Ok(())
    };
    let heap_rows = scan.scan(&mut |tid, dims, elements| {
        check_dims(&spec, dims)?;
        if !is_skipped(spec.element, spec.metric, elements) {
            batch.push(&spec, tid, elements)?;
            if batch.payloads.len() >= BATCH_BYTES {
                flush(&mut batch)?;
            }
        }
        Ok(())
    })?;
    flush(&mut batch)?;
    Ok(Assigned {
        heap_rows,
        index_rows,
    })
}

/// Words before the centroids in [`shared_words`].
const SHARED_HEAD: usize = 4;

/// The specification and the centroids as words, for other processes of this build.
pub fn shared_words(spec: &IndexSpec, centroids: &Centroids) -> Result<Vec<u64>, AmError> {
    let bytes: &[u8] = match centroids {
        Centroids::Float { data, .. } => bytemuck::cast_slice(data),
        Centroids::Bits { data, .. } => data,
        Centroids::Equal { bytes, .. } => bytes,
    };
    let mut words = Vec::new();
    grow(&mut words, SHARED_HEAD + bytes.len().div_ceil(8))?;
    let metric = METRICS.iter().position(|metric| *metric == spec.metric);
    let element = ELEMENTS.iter().position(|element| *element == spec.element);
    words[0] = (metric.unwrap_or_default() as u64) << 32 | element.unwrap_or_default() as u64;
    words[1] = u64::from(spec.dims) << 32 | u64::from(spec.lists);
    words[2] = spec.seed;
    // Of centroids that are all alike the first is enough: it is the nearest.
    words[3] = match centroids {
        Centroids::Equal { .. } => 1,
        _ => u64::from(spec.lists),
    };
    let rest: &mut [u8] = bytemuck::cast_slice_mut(&mut words[SHARED_HEAD..]);
    rest[..bytes.len()].copy_from_slice(bytes);
    Ok(words)
}

const METRICS: [Metric; 4] = [
    Metric::L2,
    Metric::InnerProduct,
    Metric::Cosine,
    Metric::Hamming,
];
const ELEMENTS: [Element; 3] = [Element::F32, Element::F16, Element::Bit];

/// What [`shared_words`] was made of.
fn from_shared_words(words: &[u64]) -> Result<(IndexSpec, Targets), AmError> {
    let spec = IndexSpec {
        element: ELEMENTS[words[0] as u32 as usize],
        metric: METRICS[(words[0] >> 32) as usize],
        dims: (words[1] >> 32) as u32,
        lists: words[1] as u32,
        seed: words[2],
    };
    let bytes: &[u8] = bytemuck::cast_slice(&words[SHARED_HEAD..]);
    let targets = if spec.element == Element::Bit {
        let each = spec.element.bytes(spec.dims);
        let data = copied(&bytes[..words[3] as usize * each])?;
        Targets::Bits(BitMatrix::try_from_vec(each, data).map_err(internal)?)
    } else {
        let dims = spec.dims as usize;
        let data = copied(&bytemuck::cast_slice::<u8, f32>(bytes)[..words[3] as usize * dims])?;
        Targets::Floats(Matrix::try_from_vec(dims, data).map_err(internal)?)
    };
    Ok((spec, targets))
}

/// The centroids in the form that assignment works on.
enum Targets {
    Floats(Matrix),
    Bits(BitMatrix),
}

impl Targets {
    /// A GPU for the assignment of so many rows, where there is one.
    fn gpu(&self, by: Assign, rows: f64) -> Result<Option<Running>, AmError> {
        let Targets::Floats(centroids) = self else {
            return Ok(None);
        };
        let search = (Wanted::nearest(by), centroids.dims());
        let multiplications = rows * centroids.as_slice().len() as f64;
        Ok(Running::start(search, multiplications)?)
    }

    fn nearest(
        &self,
        job: &mut Job<'_, Error>,
        gpu: &mut Option<Running>,
        batch: &Batch,
        by: Assign,
    ) -> Result<Vec<u32>, AmError> {
        match self {
            Targets::Floats(centroids) => {
                if let Some(running) = gpu {
                    let (dims, all) = (centroids.dims(), centroids.as_slice());
                    let lists =
                        running.run(|device| device.nearest(by, dims, all, &batch.floats))?;
                    if let Some(lists) = lists {
                        return Ok(lists);
                    }
                    *gpu = None;
                }
                pgnear_quant::nearest_batch(job, centroids, &batch.floats, by)
            }
            Targets::Bits(centroids) => bits::nearest_batch(job, centroids, &batch.payloads),
        }
        .map_err(quant_error)
    }
}
