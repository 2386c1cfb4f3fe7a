//! `pgnear_knn`: exact search of many queries in one pass over the rows, on all cores.

use std::collections::HashMap;

use half::f16;
use pgnear_device::{CancelFlag, MemoryBudget, Pool, Progress};
use pgnear_kernels::{Metric, kernels};
use pgnear_quant::{Job, Knn, Matrix, QuantError};
use pgnear_values::{Code, ValueError, error, halfvec, vector};
use pgrx::pg_sys;

use crate::pg::fmgr::{Call, Return};
use crate::pg::index::value_error;
use crate::pg::query::{Cursor, Id, Matches, Queries, type_name};
use crate::pg::settings;
use crate::sql_functions;

sql_functions! {
    pgnear_knn => knn;
}

/// Rows fetched from a cursor at a time.
const FETCH: usize = 1000;
/// Bytes of vectors that threads go through at a time.
const BATCH_BYTES: usize = 4 << 20;

/// What a search was asked for.
struct Asked {
    metric: Metric,
    k: usize,
    within: Option<f64>,
}

fn knn(call: Call<'_>) -> Return {
    let mut matches = call.matches();
    let asked = arguments(call)?;
    let connection = Queries::connect();
    let mut queries = connection.open("argument \"queries\"", call.text(0))?;
    let kind = Kind::of(&queries)?;
    let types = |rows: &Cursor<'_>| [queries.id_type, rows.id_type, pg_sys::FLOAT8OID];
    {
        let rows = connection.open("argument \"rows\"", call.text(1))?;
        matches.check(types(&rows))?;
        if Kind::of(&rows)? != kind {
            return Err(value_error(
                Code::InvalidParameterValue,
                "queries and rows of pgnear_knn are of different types",
                Some("Cast one to the type of the other."),
            ));
        }
        rows.close();
    }
    let pool = Pool::new(settings::search_threads());
    let keeper = queries.keeper();
    let budget = MemoryBudget::new(settings::work_mem());
    // As many queries as work_mem holds go through the rows together.
    loop {
        let some = some_queries(&mut queries, kind, &asked, &budget)?;
        let Some((ids, vectors)) = some else {
            break;
        };
        let rows = connection.open("argument \"rows\"", call.text(1))?;
        search(&pool, &asked, kind, &ids, vectors, rows, &mut matches)?;
        ids.into_iter().for_each(|id| keeper.forget(id));
    }
    queries.close();
    drop(connection);
    matches.finish()
}

fn arguments(call: Call<'_>) -> Result<Asked, ValueError> {
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
    Ok(Asked {
        metric,
        k,
        within: (!call.is_null(4)).then(|| call.float8(4)),
    })
}

/// The type of the vectors.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Vector,
    Halfvec,
}

impl Kind {
    fn of(cursor: &Cursor<'_>) -> Result<Kind, ValueError> {
        match type_name(cursor.value_type).as_str() {
            "vector" => Ok(Kind::Vector),
            "halfvec" => Ok(Kind::Halfvec),
            other => Err(value_error(
                Code::InvalidParameterValue,
                format!("pgnear_knn searches vector and halfvec, not {other}"),
                Some("Let the second column be a vector."),
            )),
        }
    }

    /// Appends a vector of `dims` dimensions, or of as many as the first has.
    fn append(self, payload: &[u8], dims: &mut usize, to: &mut Vec<f32>) -> Result<(), ValueError> {
        let count = match self {
            Kind::Vector => vector::view(payload)?.len(),
            Kind::Halfvec => halfvec::view(payload)?.len(),
        };
        if *dims == 0 {
            *dims = count;
        } else if *dims != count {
            let name = match self {
                Kind::Vector => "vector",
                Kind::Halfvec => "halfvec",
            };
            return Err(value_error(
                Code::DataException,
                format!("different {name} dimensions {dims} and {count}"),
                None,
            ));
        }
        to.try_reserve(count).map_err(|_| error::out_of_memory())?;
        match self {
            Kind::Vector => to.extend_from_slice(vector::view(payload)?),
            Kind::Halfvec => {
                let halves: &[f16] = halfvec::view(payload)?;
                let start = to.len();
                to.resize(start + count, 0.0);
                (kernels().f16_to_f32)(halves, &mut to[start..]);
            }
        }
        Ok(())
    }
}

/// The next queries, as many as the budget holds with what they find; `None` at the end. Queries
/// that are NULL find nothing.
fn some_queries(
    queries: &mut Cursor<'_>,
    kind: Kind,
    asked: &Asked,
    budget: &MemoryBudget,
) -> Result<Option<(Vec<Id>, Matrix)>, ValueError> {
    let keeper = queries.keeper();
    let (mut ids, mut data, mut dims) = (Vec::new(), Vec::new(), 0);
    loop {
        let bytes = dims * 4 + Knn::bytes_a_query(asked.k.min(1000));
        let most = (budget.limit_bytes() / bytes).max(FETCH);
        let room = most.saturating_sub(ids.len());
        if room == 0 {
            break;
        }
        let fetched = queries.fetch(room.min(FETCH), &mut |row| {
            if let Some(payload) = row.value {
                kind.append(payload, &mut dims, &mut data)?;
                ids.try_reserve(1).map_err(no_memory_again)?;
                ids.push(keeper.keep(&row));
            }
            Ok(())
        })?;
        if fetched == 0 {
            break;
        }
    }
    if ids.is_empty() {
        return Ok(None);
    }
    let vectors = Matrix::try_from_vec(dims, data).map_err(internal)?;
    Ok(Some((ids, vectors)))
}

fn internal(error: impl std::fmt::Display) -> ValueError {
    value_error(Code::InternalError, error.to_string(), None)
}

/// Takes some queries through all rows.
fn search(
    pool: &Pool,
    asked: &Asked,
    kind: Kind,
    ids: &[Id],
    vectors: Matrix,
    mut rows: Cursor<'_>,
    matches: &mut Matches,
) -> Result<(), ValueError> {
    let mut dims = vectors.dims();
    let no_memory = |_| error::out_of_memory();
    let mut knn = Knn::new(asked.metric, asked.k, asked.within, vectors).map_err(no_memory)?;
    let (cancel, progress, budget) = (
        CancelFlag::new(),
        Progress::new(),
        MemoryBudget::unlimited(),
    );
    let mut poll = || {
        pgrx::check_for_interrupts!();
        Ok(())
    };
    let mut job = Job::<ValueError> {
        pool,
        budget: &budget,
        cancel: &cancel,
        progress: &progress,
        poll: &mut poll,
    };
    let (mut batch, mut batch_ids) = (Vec::new(), Vec::new());
    // Ids of the rows found so far, and of some that were found.
    let mut found: HashMap<u64, Id> = HashMap::new();
    let (mut first, mut keep_at_most) = (0u64, 1 << 16);
    let keeper = rows.keeper();
    loop {
        let fetched = rows.fetch(FETCH, &mut |row| {
            if let Some(payload) = row.value {
                kind.append(payload, &mut dims, &mut batch)?;
                batch_ids.try_reserve(1).map_err(no_memory_again)?;
                batch_ids.push(keeper.keep(&row));
            }
            Ok(())
        })?;
        if fetched > 0 && batch.len() * 4 < BATCH_BYTES {
            continue;
        }
        knn.offer(&mut job, &batch).map_err(job_error)?;
        let mut wanted: Vec<bool> = Vec::new();
        wanted
            .try_reserve_exact(batch_ids.len())
            .map_err(no_memory_again)?;
        wanted.resize(batch_ids.len(), false);
        knn.found_from(first)
            .for_each(|row| wanted[(row - first) as usize] = true);
        found
            .try_reserve(batch_ids.len())
            .map_err(no_memory_again)?;
        for (at, id) in batch_ids.drain(..).enumerate() {
            if wanted[at] {
                found.insert(first + at as u64, id);
            } else {
                keeper.forget(id);
            }
        }
        first += wanted.len() as u64;
        batch.clear();
        if found.len() > keep_at_most {
            let mut still: HashMap<u64, Id> = HashMap::new();
            still.try_reserve(found.len()).map_err(no_memory_again)?;
            for row in knn.found_from(0) {
                if let Some(id) = found.remove(&row) {
                    still.insert(row, id);
                }
            }
            found.drain().for_each(|(_, id)| keeper.forget(id));
            found = still;
            keep_at_most = (2 * found.len()).max(keep_at_most);
        }
        if fetched == 0 {
            break;
        }
    }
    for (query, neighbours) in ids.iter().zip(knn.finish()) {
        for neighbour in neighbours {
            if let Some(id) = found.get(&neighbour.row) {
                matches.push(*query, *id, neighbour.distance);
            }
        }
        pgrx::check_for_interrupts!();
    }
    for (_, id) in found {
        keeper.forget(id);
    }
    rows.close();
    Ok(())
}

fn no_memory_again(_: std::collections::TryReserveError) -> ValueError {
    error::out_of_memory()
}

fn job_error(failed: QuantError<ValueError>) -> ValueError {
    match failed {
        QuantError::Poll(error) => error,
        QuantError::OutOfMemory(_) => error::out_of_memory(),
        other => internal(other),
    }
}
