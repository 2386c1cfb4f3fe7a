//! `hnsw` indexes that pgvector built, in a database whose pgvector was replaced by this library.
//!
//! Such a table must stay readable: so the symbols that its catalog names exist, and the indexes are
//! left alone. The planner passes them over, writing to them is an error that says what to do, and
//! vacuum skips them with a warning. The extension `pgnear` itself has no access method `hnsw` yet.

use std::ffi::CStr;

use pgnear_ann::{Error, Tid};
use pgnear_values::Code;
use pgrx::pg_sys;

use crate::pg::am::{IndexAm, VacuumTotals, routine};
use crate::pg::build::{BuildTotals, Builds};
use crate::pg::cost::{IndexCost, PlannedScan};
use crate::pg::index::{AmError, Index, value_error};
use crate::pg::store::{PgBulkWriter, PgStore};
use crate::pg::validate;
use crate::sql_functions;

struct PgvectorHnsw;

sql_functions! {
    hnswhandler => |call| Ok(routine::<PgvectorHnsw>(call));
    // Support function 3 of pgvector's operator classes, which nothing here calls.
    hnsw_halfvec_support => |call| Ok(call.datum(0));
    hnsw_bit_support => |call| Ok(call.datum(0));
    hnsw_sparsevec_support => |call| Ok(call.datum(0));
}

fn cannot_build() -> AmError {
    value_error(
        Code::FeatureNotSupported,
        "this version of pgnear cannot build hnsw indexes",
        Some("Drop the index, and create one that uses ivfflat."),
    )
    .into()
}

fn not_ours() -> AmError {
    AmError::Index(Error::NotOurs)
}

impl IndexAm for PgvectorHnsw {
    type Options = ();
    type Scan = ();

    const NAME: &'static str = "hnsw";
    const SUPPORT_FUNCTIONS: u16 = 3;
    const PHASES: &'static [&'static CStr] = &[];

    fn options(_: pg_sys::Datum, _: bool) -> *mut pg_sys::bytea {
        std::ptr::null_mut()
    }

    fn validate(opclass: pg_sys::Oid) -> bool {
        validate::opclass(opclass, Self::NAME, Self::SUPPORT_FUNCTIONS)
    }

    fn build(_: Index<'_>, _: Option<&()>, _: &mut Builds<'_>) -> Result<BuildTotals, AmError> {
        Err(cannot_build())
    }

    fn build_empty(_: Index<'_>, _: Option<&()>, _: &mut PgBulkWriter) -> Result<(), AmError> {
        Err(cannot_build())
    }

    fn insert(_: &PgStore<'_>, _: Tid, _: u32, _: &[u8]) -> Result<(), AmError> {
        Err(not_ours())
    }

    fn bulk_delete(
        _: &PgStore<'_>,
        _: &mut dyn FnMut(Tid) -> bool,
    ) -> Result<VacuumTotals, AmError> {
        Err(not_ours())
    }

    fn cleanup(_: &PgStore<'_>) -> Result<VacuumTotals, AmError> {
        Err(not_ours())
    }

    fn scan(_: &PgStore<'_>, _: Option<(u32, &[u8])>) -> Result<(), AmError> {
        Err(not_ours())
    }

    fn next((): &mut (), _: &PgStore<'_>) -> Result<Option<Tid>, AmError> {
        Ok(None)
    }

    fn cost(_: Index<'_>, _: &PlannedScan) -> Result<IndexCost, AmError> {
        Err(not_ours())
    }
}
