//! `hnsw`: a graph over 4-bit codes. The algorithm is in `pgnear-ann`; here it meets rows, settings
//! and the planner.

mod build;

use std::ffi::CStr;

use pgnear_ann::hnsw::{CostInput, Iterative, Meta, Query, Scan, ScanOptions, VacuumStats};
use pgnear_ann::{Element, Hit, Tid, hnsw};
use pgrx::pg_sys;

use crate::am::column::{check_dims, is_skipped, query_bytes};
use crate::pg::am::{IndexAm, VacuumTotals, routine};
use crate::pg::build::{BuildTotals, Builds};
use crate::pg::cost::{IndexCost, PlannedScan, distance_operators, sparse_distance_operators};
use crate::pg::index::{AmError, Index};
use crate::pg::reloptions::{self, HnswOptions};
use crate::pg::settings::{self, HnswIterativeScan};
use crate::pg::store::{PgBulkWriter, PgStore};
use crate::pg::table::PgTable;
use crate::pg::validate::Support;
use crate::sql_functions;

struct Hnsw;

sql_functions! {
    hnswhandler => |call| Ok(routine::<Hnsw>(call));
    // What pgvector's operator classes name as support function 3. Ours needs no more than that
    // the functions exist: the element type shows in the distance function.
    hnsw_halfvec_support => |call| Ok(call.datum(0));
    hnsw_bit_support => |call| Ok(call.datum(0));
    hnsw_sparsevec_support => |call| Ok(call.datum(0));
}

impl IndexAm for Hnsw {
    type Options = HnswOptions;
    type Scan = Scan;

    const NAME: &'static str = "hnsw";
    const SUPPORT: &'static [Support] = &[Support::Distance, Support::Norm, Support::Type];
    const PHASES: &'static [&'static CStr] = &[c"loading tuples", c"building graph"];

    fn options(reloptions: pg_sys::Datum, validate: bool) -> *mut pg_sys::bytea {
        reloptions::hnsw(reloptions, validate)
    }

    fn build(
        index: Index<'_>,
        options: Option<&HnswOptions>,
        builds: &mut Builds<'_>,
    ) -> Result<BuildTotals, AmError> {
        build::build(index, options, builds)
    }

    fn build_empty(
        index: Index<'_>,
        options: Option<&HnswOptions>,
        writer: &mut PgBulkWriter,
    ) -> Result<(), AmError> {
        build::build_empty(index, options, writer)
    }

    fn insert(store: &PgStore<'_>, row: Tid, dims: u32, elements: &[u8]) -> Result<(), AmError> {
        let meta = Meta::read(store)?;
        let spec = meta.spec();
        check_dims(spec, dims)?;
        if is_skipped(spec.element, spec.metric, elements) {
            return Ok(());
        }
        Ok(hnsw::insert(store, &meta, row, elements)?)
    }

    fn bulk_delete(
        store: &PgStore<'_>,
        is_dead: &mut dyn FnMut(Tid) -> bool,
    ) -> Result<VacuumTotals, AmError> {
        let meta = Meta::read(store)?;
        let stats = hnsw::bulk_delete(store, &meta, is_dead, &mut |_, _| {})?;
        Ok(vacuum_totals(stats))
    }

    fn cleanup(store: &PgStore<'_>) -> Result<VacuumTotals, AmError> {
        let meta = Meta::read(store)?;
        Ok(vacuum_totals(hnsw::cleanup(store, &meta)?))
    }

    fn scan(store: &PgStore<'_>, query: Option<(u32, &[u8])>) -> Result<Scan, AmError> {
        let meta = Meta::read(store)?;
        let spec = meta.spec();
        let mut zeros = Vec::new();
        let query = Query::from_payload(spec, query_bytes(spec, query, &mut zeros)?)?;
        let options = ScanOptions {
            ef_search: settings::hnsw_ef_search(),
            iterative: match settings::hnsw_iterative_scan() {
                HnswIterativeScan::Off => Iterative::Off,
                HnswIterativeScan::RelaxedOrder => Iterative::Relaxed,
                HnswIterativeScan::StrictOrder => Iterative::Strict,
            },
            max_scan_tuples: settings::hnsw_max_scan_tuples(),
            memory: (settings::work_mem() as f64 * settings::hnsw_scan_mem_multiplier()) as usize,
        };
        Ok(Scan::new(&meta, query, options)?)
    }

    fn next(scan: &mut Scan, store: &PgStore<'_>, table: &PgTable) -> Result<Option<Hit>, AmError> {
        Ok(scan.next(store, table)?)
    }

    fn cost(index: Index<'_>, planned: &PlannedScan) -> Result<IndexCost, AmError> {
        let store = index.store();
        let meta = Meta::read(&store)?;
        let iterative = settings::hnsw_iterative_scan() != HnswIterativeScan::Off;
        let figures = hnsw::estimate(
            &meta,
            &CostInput {
                rows: planned.rows,
                pages: planned.pages,
                ef_search: settings::hnsw_ef_search(),
                max_scan_tuples: if iterative {
                    settings::hnsw_max_scan_tuples() as f64
                } else {
                    0.0
                },
                distance_operators: match meta.spec().element {
                    Element::Sparse => sparse_distance_operators(),
                    _ => distance_operators(meta.spec().dims),
                },
            },
        );
        // The graph is small and visited by every search, so most of its pages are in memory: a
        // page costs like one read in order, not like a seek.
        let startup =
            figures.pages_random * planned.sequential_page + figures.operators * planned.operator;
        Ok(IndexCost {
            startup,
            total: startup + planned.rows * planned.index_row,
            // As for ivfflat: without a LIMIT all rows are counted on, and a sequential scan wins.
            selectivity: 1.0,
            pages: figures.pages_random,
        })
    }
}

fn vacuum_totals(stats: VacuumStats) -> VacuumTotals {
    VacuumTotals {
        live: stats.live,
        removed: stats.removed,
        pages: stats.pages,
        // Freed nodes are reused in their place; pages are never given back.
        free_pages: 0,
    }
}
