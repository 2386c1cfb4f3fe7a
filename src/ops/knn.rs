//! `pgnear_knn`: many queries in one statement, in one pass over the rows.

use pgnear_device::{MemoryBudget, Wanted};
use pgnear_kernels::Metric;
use pgnear_values::{Code, ValueError};
use pgrx::pg_sys;

use super::batch::{FETCH, most_queries};
use crate::pg::fmgr::{Call, Return};
use crate::pg::index::value_error;
use crate::pg::memory::no_memory;
use crate::pg::query::{Cursor, Id, IdKeeper, Matches, Queries, type_name};
use crate::pg::rows::{Found, Keeper, Kind, Together};
use crate::pg::settings;
use crate::sql_functions;

sql_functions! {
    pgnear_knn => knn;
}

fn knn(call: Call<'_>) -> Return {
    let mut matches = call.matches();
    let wanted = arguments(call)?;
    let connection = Queries::connect();
    let mut queries = connection.open("argument \"queries\"", call.text(0))?;
    let kind = kind_of(&queries)?;
    let types = |rows: &Cursor<'_>| [queries.id_type, rows.id_type, pg_sys::FLOAT8OID];
    let expected_rows = {
        let rows = connection.open("argument \"rows\"", call.text(1))?;
        matches.check(types(&rows))?;
        if kind_of(&rows)? != kind {
            return Err(value_error(
                Code::InvalidParameterValue,
                "queries and rows of pgnear_knn are of different types",
                Some("Cast one to the type of the other."),
            ));
        }
        rows.expected_rows()
    };
    let keeper = queries.id_keeper();
    let budget = MemoryBudget::new(settings::work_mem());
    // As many queries as work_mem holds go through the rows together.
    while let Some((ids, some)) = some_queries(&mut queries, kind, wanted, &budget)? {
        let found = some.search(expected_rows, &mut || {
            connection.open("argument \"rows\"", call.text(1))
        })?;
        tell(found, &ids, &mut matches);
        ids.into_iter().for_each(|id| keeper.forget(id));
    }
    drop(queries);
    drop(connection);
    matches.finish()
}

fn arguments(call: Call<'_>) -> Result<Wanted, ValueError> {
    let names = ["queries", "rows", "k", "operator"];
    if let Some(at) = (0..names.len()).find(|at| call.is_null(*at)) {
        let what = format!("argument \"{}\" of pgnear_knn is NULL", names[at]);
        return Err(value_error(Code::NullValueNotAllowed, what, None));
    }
    let metric = match call.text(3) {
        b"<->" => Metric::L2,
        b"<#>" => Metric::InnerProduct,
        b"<=>" => Metric::Cosine,
        b"<+>" => Metric::L1,
        other => {
            return Err(value_error(
                Code::InvalidParameterValue,
                format!(
                    "pgnear_knn knows no operator {}",
                    String::from_utf8_lossy(other)
                ),
                Some("Use '<->', '<#>', '<=>' or '<+>'."),
            ));
        }
    };
    let k = usize::try_from(call.int4(2)).map_err(|_| {
        let what = format!("k is {}, and cannot be negative", call.int4(2));
        value_error(Code::InvalidParameterValue, what, None)
    })?;
    Ok(Wanted {
        metric,
        k,
        within: (!call.is_null(4)).then(|| call.float8(4)),
    })
}

fn kind_of(cursor: &Cursor<'_>) -> Result<Kind, ValueError> {
    let name = type_name(cursor.value_type);
    Kind::named(&name).ok_or_else(|| {
        value_error(
            Code::InvalidParameterValue,
            format!("pgnear_knn searches vector and halfvec, not {name}"),
            Some("Let the second column be a vector."),
        )
    })
}

/// The next queries with their ids, as many as the budget holds; `None` at the end. Queries that are NULL
/// find nothing.
fn some_queries(
    queries: &mut Cursor<'_>,
    kind: Kind,
    wanted: Wanted,
    budget: &MemoryBudget,
) -> Result<Option<(Vec<Id>, Together)>, ValueError> {
    let keeper = queries.id_keeper();
    let (mut ids, mut vectors, mut dims) = (Vec::new(), Vec::new(), 0);
    loop {
        let room = most_queries(&wanted, dims, budget).saturating_sub(ids.len());
        if room == 0 {
            break;
        }
        let fetched = queries.read(room.min(FETCH), &mut |row| {
            if let Some(payload) = row.value {
                kind.append(payload, &mut dims, &mut vectors)?;
                ids.try_reserve(1).map_err(no_memory)?;
                ids.push(keeper.keep(&row));
            }
            Ok(())
        })?;
        if fetched == 0 {
            break;
        }
    }
    let together = Together {
        wanted,
        kind,
        dims,
        vectors,
    };
    Ok((!ids.is_empty()).then_some((ids, together)))
}

/// Adds what was found to the result.
fn tell(found: Found<IdKeeper>, queries: &[Id], matches: &mut Matches) {
    for (query, neighbours) in queries.iter().zip(&found.neighbours) {
        for neighbour in neighbours {
            if let Some(id) = found.rows.get(&neighbour.row) {
                matches.push(*query, *id, neighbour.distance);
            }
        }
        pgrx::check_for_interrupts!();
    }
    for (_, id) in found.rows {
        found.keeper.forget(id);
    }
}
