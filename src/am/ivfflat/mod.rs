//! `ivfflat`: inverted lists of whole vectors. The algorithm is in `pgnear-ann`; here it meets
//! rows, settings and the planner.

mod assign;
mod spec;
mod train;

use std::ffi::CStr;

use pgnear_ann::ivfflat::{
    Builder, Centroids, CostInput, IndexSpec, Meta, Query, Scan, ScanOptions, VacuumStats,
};
use pgnear_ann::{Hit, Tid, ivfflat};
use pgnear_device::Pool;
use pgrx::pg_sys;

use crate::am::column::{check_dims, is_skipped, query_bytes};
use crate::pg::am::{IndexAm, VacuumTotals, routine};
use crate::pg::build::{BuildTotals, Builds};
use crate::pg::cost::{IndexCost, PlannedScan, distance_operators};
use crate::pg::index::{AmError, Index};
use crate::pg::parallel::{Assigned, Collected};
use crate::pg::reloptions::{self, IvfflatOptions};
use crate::pg::settings;
use crate::pg::store::{PgBulkWriter, PgStore};
use crate::pg::table::PgTable;
use crate::pg::validate::Support;
use crate::sql_functions;

use self::spec::spec_of;
use self::train::Samples;

struct Ivfflat;

sql_functions! {
    ivfflathandler => |call| Ok(routine::<Ivfflat>(call));
    // What pgvector's operator classes name as support function 5. Ours needs no more than that
    // the functions exist: the element type shows in the distance function.
    ivfflat_halfvec_support => |call| Ok(call.datum(0));
    ivfflat_bit_support => |call| Ok(call.datum(0));
}

/// Bytes that a scan keeps for a row it has found.
const CANDIDATE_BYTES: usize = 16;

const PHASE_KMEANS: usize = 0;
const PHASE_ASSIGN: usize = 1;
const PHASE_LOAD: usize = 2;

impl IndexAm for Ivfflat {
    type Options = IvfflatOptions;
    type Scan = Scan;

    const NAME: &'static str = "ivfflat";
    const SUPPORT: &'static [Support] = &[
        Support::Distance,
        Support::Norm,
        Support::Distance,
        Support::Norm,
        Support::Type,
    ];
    const PHASES: &'static [&'static CStr] = &[
        c"performing k-means",
        c"assigning tuples",
        c"loading tuples",
    ];

    fn options(reloptions: pg_sys::Datum, validate: bool) -> *mut pg_sys::bytea {
        reloptions::ivfflat(reloptions, validate)
    }

    fn build(
        index: Index<'_>,
        options: Option<&IvfflatOptions>,
        builds: &mut Builds<'_>,
    ) -> Result<BuildTotals, AmError> {
        let spec = spec_of(index, options)?;
        builds.phase(PHASE_KMEANS);
        let centroids = train::train(&spec, builds)?;
        builds.phase(PHASE_ASSIGN);
        let shared = assign::shared_words(&spec, &centroids)?;
        let rows = builds.collect(&shared, assign::WORKER, assign::assign)?;
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
        let spec = spec_of(index, options)?;
        let samples = Samples::new(&spec, 0);
        let centroids = samples.train(&spec, &Pool::inline(), usize::MAX, &mut |_| {
            pgrx::check_for_interrupts!();
            Ok(())
        })?;
        Builder::new(writer, &spec, &centroids)?.finish()?;
        Ok(())
    }

    fn insert(store: &PgStore<'_>, row: Tid, dims: u32, elements: &[u8]) -> Result<(), AmError> {
        let meta = Meta::read(store)?;
        let spec = meta.spec();
        check_dims(spec, dims)?;
        if is_skipped(spec.element, spec.metric, elements) {
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
        let mut zeros = Vec::new();
        let query = Query::from_payload(spec, query_bytes(spec, query, &mut zeros)?)?;
        let options = ScanOptions {
            probes: settings::ivfflat_probes(),
            max_candidates: settings::work_mem() / CANDIDATE_BYTES,
            iterative: settings::ivfflat_iterative(),
            max_probes: settings::ivfflat_max_probes(),
        };
        Ok(Scan::new(&meta, query, options)?)
    }

    fn next(scan: &mut Scan, store: &PgStore<'_>, _: &PgTable) -> Result<Option<Hit>, AmError> {
        Ok(scan.next(store)?)
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
