//! `ivfflat`: inverted lists of whole vectors. The algorithm is in `pgnear-ann`; here it meets
//! rows, settings and the planner.

use std::ffi::CStr;

use pgnear_ann::ivfflat::{
    Builder, Centroids, CostInput, IndexSpec, Meta, Query, Scan, ScanOptions, VacuumStats,
};
use pgnear_ann::{Element, Error, Tid, ivfflat};
use pgnear_device::{CancelFlag, MemoryBudget, Pool, Progress};
use pgnear_kernels::Metric;
use pgnear_quant::bits::{self, BitMatrix};
use pgnear_quant::{Assign, Job, KMeansOptions, Matrix, QuantError};
use pgnear_values::{Code, MAX_DIMS};
use pgrx::pg_sys;

use crate::pg::am::{IndexAm, VacuumTotals, routine};
use crate::pg::build::{BuildTotals, Builds, RowScan, SplitMix};
use crate::pg::cost::{IndexCost, PlannedScan, distance_operators};
use crate::pg::index::{AmError, Index, OpClass, value_error};
use crate::pg::parallel::{Assigned, Collected};
use crate::pg::reloptions::{self, IvfflatOptions};
use crate::pg::sort::RowSort;
use crate::pg::store::{PgBulkWriter, PgStore};
use crate::pg::{settings, validate};
use crate::{parallel_worker, sql_functions};

struct Ivfflat;

sql_functions! {
    ivfflathandler => |call| Ok(routine::<Ivfflat>(call));
    // What pgvector's operator classes name as support function 5. Ours needs no more than that
    // the functions exist: the element type shows in the distance function.
    ivfflat_halfvec_support => |call| Ok(call.datum(0));
    ivfflat_bit_support => |call| Ok(call.datum(0));
}

/// Where sampling and k-means start: a rebuild of the same rows repeats.
const SEED: u64 = 0x7067_6E65_6172;
/// Bits of a `bit` column that an index takes at most.
const MAX_BITS: i32 = 64_000;
/// Rows sampled for k-means: so many a list, and so many at least.
const SAMPLES_PER_LIST: usize = 50;
const MIN_SAMPLES: usize = 10_000;
/// Rows assigned to lists at a time: enough for all cores, small beside the sort's memory.
const BATCH_BYTES: usize = 8 << 20;
/// Bytes that a scan keeps for a row it has found.
const CANDIDATE_BYTES: usize = 16;

const PHASE_KMEANS: usize = 0;
const PHASE_ASSIGN: usize = 1;
const PHASE_LOAD: usize = 2;

impl IndexAm for Ivfflat {
    type Options = IvfflatOptions;
    type Scan = Scan;

    const NAME: &'static str = "ivfflat";
    const SUPPORT_FUNCTIONS: u16 = 5;
    const PHASES: &'static [&'static CStr] = &[
        c"performing k-means",
        c"assigning tuples",
        c"loading tuples",
    ];

    fn options(reloptions: pg_sys::Datum, validate: bool) -> *mut pg_sys::bytea {
        reloptions::ivfflat(reloptions, validate)
    }

    fn validate(opclass: pg_sys::Oid) -> bool {
        validate::opclass(opclass, Self::NAME, Self::SUPPORT_FUNCTIONS)
    }

    fn build(
        index: Index<'_>,
        options: Option<&IvfflatOptions>,
        builds: &mut Builds<'_>,
    ) -> Result<BuildTotals, AmError> {
        let spec = spec(index, options)?;
        builds.phase(PHASE_KMEANS);
        let centroids = train(&spec, builds)?;
        builds.phase(PHASE_ASSIGN);
        let shared = shared_words(&spec, &centroids)?;
        let rows = builds.collect(&shared, c"pgnear_ivfflat_build_worker", assign)?;
        let Assigned {
            heap_rows,
            index_rows,
        } = rows.assigned;
        builds.phase(PHASE_LOAD);
        builds.rows_total(index_rows);
        let mut writer = builds.writer();
        load(&spec, &centroids, builds, rows, &mut writer)?;
        writer.log();
        Ok(BuildTotals {
            heap_rows,
            index_rows: index_rows as f64,
        })
    }

    fn build_empty(
        index: Index<'_>,
        options: Option<&IvfflatOptions>,
        writer: &mut PgBulkWriter,
    ) -> Result<(), AmError> {
        let spec = spec(index, options)?;
        let samples = Samples::new(&spec, 0)?;
        let centroids = samples.train(
            &spec,
            &Pool::inline(),
            &MemoryBudget::unlimited(),
            &mut |_| {
                pgrx::check_for_interrupts!();
                Ok(())
            },
        )?;
        Builder::new(writer, &spec, &centroids)?.finish()?;
        Ok(())
    }

    fn insert(store: &PgStore<'_>, row: Tid, dims: u32, elements: &[u8]) -> Result<(), AmError> {
        let meta = Meta::read(store)?;
        let spec = meta.spec();
        check_dims(spec, dims)?;
        if skipped(spec, elements) {
            return Ok(());
        }
        Ok(ivfflat::insert(store, &meta, row, elements)?)
    }

    fn bulk_delete(
        store: &PgStore<'_>,
        is_dead: &mut dyn FnMut(Tid) -> bool,
    ) -> Result<VacuumTotals, AmError> {
        let meta = Meta::read(store)?;
        let totals = ivfflat::bulk_delete(store, &meta, is_dead, &mut |_, _| {})?;
        Ok(vacuum_totals(totals))
    }

    fn cleanup(store: &PgStore<'_>) -> Result<VacuumTotals, AmError> {
        let meta = Meta::read(store)?;
        Ok(vacuum_totals(ivfflat::cleanup(store, &meta)?))
    }

    fn scan(store: &PgStore<'_>, query: Option<(u32, &[u8])>) -> Result<Scan, AmError> {
        let meta = Meta::read(store)?;
        let spec = meta.spec();
        let query = match query {
            Some((dims, elements)) => {
                if dims != spec.dims {
                    return Err(different_dimensions(spec, dims).into());
                }
                Query::from_payload(spec, elements)?
            }
            // NULL is as near to one row as to another.
            None => Query::from_payload(spec, &vec![0; spec.element.bytes(spec.dims)])?,
        };
        let options = ScanOptions {
            probes: settings::ivfflat_probes(),
            max_candidates: settings::work_mem() / CANDIDATE_BYTES,
            iterative: settings::ivfflat_iterative(),
            max_probes: settings::ivfflat_max_probes(),
        };
        Ok(Scan::new(&meta, query, options)?)
    }

    fn next(scan: &mut Scan, store: &PgStore<'_>) -> Result<Option<Tid>, AmError> {
        Ok(scan.next(store)?.map(|hit| hit.tid))
    }

    fn cost(index: Index<'_>, planned: &PlannedScan) -> Result<IndexCost, AmError> {
        let store = index.store();
        let meta = Meta::read(&store)?;
        let spec = meta.spec();
        let probes = settings::ivfflat_probes();
        let figures = ivfflat::estimate(&CostInput {
            rows: planned.rows,
            pages: planned.pages,
            fixed_pages: f64::from(meta.fixed_pages()),
            lists: spec.lists,
            probes,
            max_probes: if settings::ivfflat_iterative() {
                settings::ivfflat_max_probes()
            } else {
                probes
            },
            distance_operators: distance_operators(spec.dims),
        });
        let startup = figures.pages_sequential * planned.sequential_page
            + figures.pages_random * planned.random_page
            + figures.operators * planned.operator;
        Ok(IndexCost {
            startup,
            total: startup + planned.rows * planned.index_row,
            // A scan ends with its lists, but the planner counts on all rows where there is no
            // LIMIT: then this costs what fetching every row in random order does, and a
            // sequential scan wins.
            selectivity: 1.0,
            pages: figures.pages_sequential + figures.pages_random,
        })
    }
}

fn vacuum_totals(stats: VacuumStats) -> VacuumTotals {
    VacuumTotals {
        live: stats.live,
        removed: stats.removed,
        pages: stats.pages,
        free_pages: stats.free_pages,
    }
}

/// What the index is to be, from its column, operator class and options.
fn spec(index: Index<'_>, options: Option<&IvfflatOptions>) -> Result<IndexSpec, AmError> {
    let Some(OpClass { element, metric }) = index.opclass() else {
        return Err(value_error(
            Code::FeatureNotSupported,
            format!(
                "operator class of index \"{}\" is not supported for ivfflat index",
                index.name()
            ),
            Some("Use an operator class of the extension, for example vector_l2_ops."),
        )
        .into());
    };
    if index.column_type() == pg_sys::VARBITOID {
        return Err(value_error(
            Code::FeatureNotSupported,
            "type not supported for ivfflat index",
            Some("Use a column of type bit(n)."),
        )
        .into());
    }
    let supported = match element {
        Element::F32 | Element::F16 => {
            matches!(metric, Metric::L2 | Metric::InnerProduct | Metric::Cosine)
        }
        Element::Bit => metric == Metric::Hamming,
    };
    if !supported {
        return Err(value_error(
            Code::FeatureNotSupported,
            "distance not supported for ivfflat index",
            None,
        )
        .into());
    }
    let dims = index.typmod();
    if dims < 0 {
        return Err(value_error(
            Code::InvalidParameterValue,
            "column does not have dimensions",
            Some("Declare them, as in vector(384), or index an expression such as (embedding::vector(384))."),
        )
        .into());
    }
    let most = if element == Element::Bit {
        MAX_BITS
    } else {
        MAX_DIMS as i32
    };
    if dims > most {
        return Err(value_error(
            Code::ProgramLimitExceeded,
            format!("column cannot have more than {most} dimensions for ivfflat index"),
            None,
        )
        .into());
    }
    if dims < 2 && metric == Metric::Cosine {
        return Err(value_error(
            Code::InvalidParameterValue,
            "dimensions must be greater than one for this opclass",
            None,
        )
        .into());
    }
    Ok(IndexSpec {
        element,
        metric,
        dims: dims as u32,
        lists: options.map_or(reloptions::DEFAULT_LISTS, |options| options.lists) as u32,
        seed: SEED,
    })
}

fn check_dims(spec: &IndexSpec, dims: u32) -> Result<(), AmError> {
    if dims == spec.dims {
        return Ok(());
    }
    Err(AmError::Index(Error::WrongDimensions {
        expected: spec.dims,
        got: dims,
    }))
}

/// What the operator says to a query of other dimensions than the rows.
fn different_dimensions(spec: &IndexSpec, dims: u32) -> pgnear_values::ValueError {
    let message = match spec.element {
        Element::F32 => format!("different vector dimensions {} and {dims}", spec.dims),
        Element::F16 => format!("different halfvec dimensions {} and {dims}", spec.dims),
        Element::Bit => format!("different bit lengths {} and {dims}", spec.dims),
    };
    value_error(Code::DataException, message, None)
}

/// Whether a row is left out: a vector of zeros has no direction to compare by cosine.
fn skipped(spec: &IndexSpec, elements: &[u8]) -> bool {
    // -0.0 counts as zero: the sign bit is the highest of an element's last byte.
    spec.metric == Metric::Cosine
        && match spec.element {
            Element::F32 => elements
                .chunks_exact(4)
                .all(|x| x[..3] == [0; 3] && x[3] & 0x7F == 0),
            Element::F16 => elements
                .chunks_exact(2)
                .all(|x| x[0] == 0 && x[1] & 0x7F == 0),
            Element::Bit => false,
        }
}

/// Chooses the centroids by k-means over a sample of the table.
fn train(spec: &IndexSpec, builds: &mut Builds<'_>) -> Result<Centroids, AmError> {
    let wanted = (spec.lists as usize * SAMPLES_PER_LIST).max(MIN_SAMPLES);
    let limit = builds.memory_limit();
    let needed = Samples::bytes(spec, wanted);
    if needed > limit {
        return Err(value_error(
            Code::ProgramLimitExceeded,
            format!(
                "memory required is {} MB, maintenance_work_mem is {} MB",
                needed / (1 << 20) + 1,
                limit / (1 << 20)
            ),
            Some("Increase maintenance_work_mem, or use fewer lists."),
        )
        .into());
    }
    let mut samples = Samples::new(spec, wanted)?;
    builds.scan_sample(wanted, SEED, &mut |_, dims, elements| {
        check_dims(spec, dims)?;
        if !skipped(spec, elements) {
            samples.offer(elements)?;
        }
        Ok(())
    })?;
    if samples.count() < spec.lists as usize {
        pgrx::ereport!(
            pgrx::PgLogLevel::NOTICE,
            pgrx::PgSqlErrorCode::ERRCODE_SUCCESSFUL_COMPLETION,
            "ivfflat index created with little data",
            "This will cause low recall.\nDrop the index until the table has more data."
        );
    }
    samples.train(
        spec,
        &builds.pool(),
        &MemoryBudget::unlimited(),
        &mut |progress| {
            builds.rows_total(progress.total());
            builds.rows_done(progress.done());
            builds.poll()
        },
    )
}

/// A uniform sample of rows (reservoir sampling: Vitter, "Random sampling with a reservoir", 1985,
/// algorithm R), for floats as `f32`.
struct Samples {
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
            Element::Bit => spec.element.bytes(spec.dims),
        };
        (wanted + 3 * spec.lists as usize) * row + wanted * 64
    }

    fn new(spec: &IndexSpec, wanted: usize) -> Result<Self, AmError> {
        Ok(Samples {
            element: spec.element,
            wanted,
            seen: 0,
            random: SplitMix(SEED),
            width: match spec.element {
                Element::F32 | Element::F16 => spec.dims as usize,
                Element::Bit => spec.element.bytes(spec.dims),
            },
            floats: Vec::new(),
            bits: Vec::new(),
        })
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

    fn train(
        self,
        spec: &IndexSpec,
        pool: &Pool,
        budget: &MemoryBudget,
        poll: &mut dyn FnMut(&Progress) -> Result<(), Error>,
    ) -> Result<Centroids, AmError> {
        let (cancel, progress) = (CancelFlag::new(), Progress::new());
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
            let found = pgnear_quant::kmeans(&mut job, rows, &options).map_err(quant_error)?;
            Ok(Centroids::Float {
                dims: spec.dims,
                data: found.centroids.into_vec(),
            })
        }
    }
}

fn grow<T: Default + Clone>(data: &mut Vec<T>, len: usize) -> Result<(), AmError> {
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
fn widen(element: Element, elements: &[u8], out: &mut [f32]) {
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

fn internal(error: impl std::fmt::Display) -> AmError {
    AmError::Value(value_error(Code::InternalError, error.to_string(), None))
}

fn quant_error(error: QuantError<Error>) -> AmError {
    match error {
        QuantError::Poll(error) => AmError::Index(error),
        QuantError::Cancelled => AmError::Index(Error::Interrupted),
        QuantError::OutOfMemory(error) => AmError::Index(Error::OutOfMemory { bytes: error.bytes }),
        other => internal(other),
    }
}

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
        self.tids.push(tid);
        self.payloads
            .extend_from_slice(&elements[..spec.element.bytes(spec.dims)]);
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

/// Reads rows and gives each to the list of its nearest centroid. `shared` is a [`shared_words`].
fn assign(
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
    let mut flush = |batch: &mut Batch| -> Result<(), AmError> {
        let lists = targets.nearest(&mut job, batch, by)?;
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
        if !skipped(&spec, elements) {
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
const SHARED_HEAD: usize = 3;

/// The specification and the centroids as words, for other processes of this build.
fn shared_words(spec: &IndexSpec, centroids: &Centroids) -> Result<Vec<u64>, AmError> {
    let bytes: &[u8] = match centroids {
        Centroids::Float { data, .. } => bytemuck::cast_slice(data),
        Centroids::Bits { data, .. } => data,
    };
    let mut words = Vec::new();
    grow(&mut words, SHARED_HEAD + bytes.len().div_ceil(8))?;
    let metric = METRICS.iter().position(|metric| *metric == spec.metric);
    let element = ELEMENTS.iter().position(|element| *element == spec.element);
    words[0] = (metric.unwrap_or_default() as u64) << 32 | element.unwrap_or_default() as u64;
    words[1] = u64::from(spec.dims) << 32 | u64::from(spec.lists);
    words[2] = spec.seed;
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
    let lists = spec.lists as usize;
    let targets = if spec.element == Element::Bit {
        let each = spec.element.bytes(spec.dims);
        let data = bytes[..lists * each].to_vec();
        Targets::Bits(BitMatrix::try_from_vec(each, data).map_err(internal)?)
    } else {
        let dims = spec.dims as usize;
        let data = bytemuck::cast_slice::<u8, f32>(bytes)[..lists * dims].to_vec();
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
    fn nearest(
        &self,
        job: &mut Job<'_, Error>,
        batch: &Batch,
        by: Assign,
    ) -> Result<Vec<u32>, AmError> {
        match self {
            Targets::Floats(centroids) => {
                pgnear_quant::nearest_batch(job, centroids, &batch.floats, by)
            }
            Targets::Bits(centroids) => bits::nearest_batch(job, centroids, &batch.payloads),
        }
        .map_err(quant_error)
    }
}

/// Writes the pages of the index.
fn load(
    spec: &IndexSpec,
    centroids: &Centroids,
    builds: &Builds<'_>,
    rows: Collected,
    writer: &mut PgBulkWriter,
) -> Result<(), AmError> {
    let mut builder = Builder::new(writer, spec, centroids)?;
    let mut done = 0;
    rows.drain(&mut |list, tid, payload| {
        builder.push(list, tid, payload)?;
        done += 1;
        if done % 1000 == 0 {
            builds.rows_done(done);
        }
        Ok(())
    })?;
    builder.finish()?;
    builds.rows_done(done);
    Ok(())
}
