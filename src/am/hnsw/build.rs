//! Building an hnsw index: a sample for the centre of the codes, then the rows, then the graph.

use pgnear_ann::hnsw::{Builder, Centre, IndexSpec, LateRows, Rerank};
use pgnear_ann::{Element, hnsw};
use pgnear_device::{CancelFlag, MemoryBudget, Pool, Progress};
use pgnear_kernels::Metric;
use pgnear_quant::Job;
use pgnear_values::Code;

use crate::am::column::{Column, check_dims, column_of, is_skipped};
use crate::pg::build::{BuildTotals, Builds, RowScan, SplitMix};
use crate::pg::error::notice;
use crate::pg::index::{AmError, Index, value_error};
use crate::pg::reloptions::{
    DEFAULT_EF_CONSTRUCTION, DEFAULT_M, HnswOptions, RERANK_AUTO, RERANK_HALF, RERANK_HEAP,
    RERANK_INDEX,
};
use crate::pg::sort::RowSort;
use crate::pg::store::{PAGE_SIZE, PgBulkWriter};

/// Where the rotation, the sample and the order of the build start: a rebuild repeats.
const SEED: u64 = 0x7067_6E65_6172;
/// Rows whose mean is the centre of the codes.
const CENTRE_SAMPLES: usize = 1000;

const PHASE_LOAD: usize = 0;
const PHASE_GRAPH: usize = 1;

/// What the index is to be, from its column, operator class and options.
fn spec_of(index: Index<'_>, options: Option<&HnswOptions>) -> Result<IndexSpec, AmError> {
    let Column {
        element,
        metric,
        dims,
    } = column_of(index, "hnsw", |element, metric| match element {
        Element::F32 | Element::F16 | Element::Sparse => matches!(
            metric,
            Metric::L2 | Metric::InnerProduct | Metric::Cosine | Metric::L1
        ),
        Element::Bit => matches!(metric, Metric::Hamming | Metric::Jaccard),
    })?;
    let m = options.map_or(DEFAULT_M, |options| options.m);
    let ef_construction =
        options.map_or(DEFAULT_EF_CONSTRUCTION, |options| options.ef_construction);
    if ef_construction < 2 * m {
        return Err(value_error(
            Code::InvalidParameterValue,
            "ef_construction must be greater than or equal to 2 * m",
            None,
        )
        .into());
    }
    Ok(IndexSpec {
        element,
        metric,
        dims,
        m: m as u16,
        ef_construction: ef_construction as u16,
        seed: SEED,
        rerank: Rerank::Index,
    })
}

/// Bytes of a vector up to which rows of an empty table are expected to hold it.
const EXPECTED_INLINE: usize = 1000;

/// Where the rows found are to be measured: as asked for; or in the table where nearly all of
/// `sampled` rows hold their vector themselves, which makes the index a fifth as large; or else by halves
/// of them in the index. To fetch every vector from out of line would make a search twice as long.
fn rerank_of(
    spec: &IndexSpec,
    options: Option<&HnswOptions>,
    builds: &Builds<'_>,
    sampled: u64,
) -> Result<Rerank, AmError> {
    let coded = matches!(spec.element, Element::F32 | Element::F16) && spec.metric != Metric::L1;
    let asked = options.map_or(RERANK_AUTO, |options| options.rerank);
    if spec.element == Element::Sparse {
        return sparse_rerank(builds, asked);
    }
    let unsupported = |what: &'static str, hint: &'static str| -> Result<Rerank, AmError> {
        Err(value_error(Code::FeatureNotSupported, what, Some(hint)).into())
    };
    let halves = coded && spec.element == Element::F32;
    match asked {
        RERANK_INDEX => Ok(Rerank::Index),
        RERANK_HEAP if !coded => unsupported(
            "hnsw cannot rerank from the heap for this operator class",
            "Leave the option rerank out.",
        ),
        RERANK_HALF if !halves => unsupported(
            "hnsw cannot rerank by halves for this operator class",
            "Leave the option rerank out.",
        ),
        RERANK_HEAP | RERANK_HALF if !builds.is_readable_later() => unsupported(
            "hnsw cannot rerank an expression from the heap",
            "Leave the option rerank out, or index a generated column.",
        ),
        RERANK_HEAP => Ok(Rerank::Table),
        RERANK_HALF => Ok(Rerank::Half),
        _ => {
            let inline = if sampled == 0 {
                spec.element.bytes(spec.dims) <= EXPECTED_INLINE
            } else {
                builds.out_of_line() * 20 <= sampled
            };
            Ok(match builds.is_readable_later() {
                true if coded && inline => Rerank::Table,
                true if halves => Rerank::Half,
                _ => Rerank::Index,
            })
        }
    }
}

/// Sparse vectors differ in length, and have no place in an index.
fn sparse_rerank(builds: &Builds<'_>, asked: i32) -> Result<Rerank, AmError> {
    let (what, hint) = if asked == RERANK_INDEX {
        (
            "hnsw does not keep sparse vectors in the index",
            "Leave the option rerank out.",
        )
    } else if !builds.is_on_heap() {
        (
            "hnsw supports type sparsevec in tables of access method heap only",
            "Use such a table.",
        )
    } else {
        return Ok(Rerank::Table);
    };
    Err(value_error(Code::FeatureNotSupported, what, Some(hint)).into())
}

pub fn build(
    index: Index<'_>,
    options: Option<&HnswOptions>,
    builds: &mut Builds<'_>,
) -> Result<BuildTotals, AmError> {
    let mut spec = spec_of(index, options)?;
    builds.phase(PHASE_LOAD);
    let mut centre = Centre::new(&spec)?;
    let mut sampled = 0;
    builds.scan_sample(CENTRE_SAMPLES, SEED, &mut |_, dims, elements| {
        check_dims(&spec, dims)?;
        sampled += 1;
        if !is_skipped(spec.element, spec.metric, elements) {
            centre.add(elements)?;
        }
        Ok(())
    })?;
    spec.rerank = rerank_of(&spec, options, builds, sampled)?;
    let mut writer = builds.writer();
    let budget = MemoryBudget::new(builds.memory_limit());
    let mut builder = Builder::new(&mut writer, &spec, &centre, &budget)?;
    // Rows that the graph has no memory for wait here, and join it on its pages afterwards.
    // Made here: what is made while a row is looked at goes with that row.
    let mut late = RowSort::new(budget.limit_bytes() / 8, None);
    let (mut late_rows, mut order) = (0u64, SplitMix(SEED));
    let all = expected(builds, &spec);
    let heap_rows = RowScan::whole(builds).scan(&mut |tid, dims, elements| {
        check_dims(&spec, dims)?;
        if is_skipped(spec.element, spec.metric, elements) {
            return Ok(());
        }
        if late_rows == 0 {
            if builder.has_room() {
                return Ok(builder.push(tid, elements)?);
            }
            no_more_room(builder.rows(), all);
        }
        // In an order that repeats, and has nothing to do with that of the table.
        late.put(order.next() as u32, tid, elements);
        late_rows += 1;
        Ok(())
    })?;
    builds.phase(PHASE_GRAPH);
    let built = finish(builder, &builds.pool(), &budget, &mut |progress| {
        builds.rows_total(progress.total());
        builds.rows_done(progress.done());
        builds.poll()
    })?;
    if late_rows > 0 {
        let store = index.store().unlogged();
        let mut rows = LateRows::new(&store)?;
        let mut done = built;
        builds.rows_total(built + late_rows);
        late.drain(&mut |_, tid, elements| {
            done += 1;
            if done.is_multiple_of(256) {
                builds.rows_done(done);
            }
            rows.insert(tid, elements)
        })?;
        rows.finish()?;
    }
    writer.log();
    Ok(BuildTotals {
        heap_rows,
        index_rows: (built + late_rows) as f64,
    })
}

/// The rows that the planner expects of the table, and the bytes of memory that a graph of them takes.
fn expected(builds: &Builds<'_>, spec: &IndexSpec) -> (u64, u64) {
    let rows = builds.expected_rows() as u64;
    let bytes = hnsw::build_bytes(spec, PAGE_SIZE, rows, builds.threads());
    (rows, bytes.unwrap_or(u64::MAX))
}

/// Says that the rest of the rows will take longer, and what would help.
fn no_more_room(rows: u64, (expected, bytes): (u64, u64)) {
    notice(
        format!("hnsw graph no longer fits into maintenance_work_mem after {rows} tuples"),
        "Building will take significantly more time.",
        format!(
            "Increase maintenance_work_mem to speed up builds: about {expected} tuples take {} MB.",
            bytes.div_ceil(1 << 20)
        ),
    );
}

/// Writes an index without rows.
pub fn build_empty(
    index: Index<'_>,
    options: Option<&HnswOptions>,
    writer: &mut PgBulkWriter,
) -> Result<(), AmError> {
    let mut spec = spec_of(index, options)?;
    if spec.element == Element::Sparse {
        spec.rerank = Rerank::Table;
    }
    let centre = Centre::new(&spec)?;
    let budget = MemoryBudget::unlimited();
    let builder = Builder::new(writer, &spec, &centre, &budget)?;
    finish(builder, &Pool::inline(), &budget, &mut |_| Ok(()))?;
    Ok(())
}

/// Builds the graph and writes the rest of the pages. Returns the rows in it.
fn finish(
    builder: Builder<'_, '_, PgBulkWriter>,
    pool: &Pool,
    budget: &MemoryBudget,
    poll: &mut dyn FnMut(&Progress) -> Result<(), pgnear_ann::Error>,
) -> Result<u64, AmError> {
    let (cancel, progress) = (CancelFlag::new(), Progress::new());
    let mut job = Job {
        pool,
        budget,
        cancel: &cancel,
        progress: &progress,
        poll: &mut || poll(&progress),
    };
    Ok(builder.finish(&mut job)?.rows)
}
