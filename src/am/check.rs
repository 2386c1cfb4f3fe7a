//! `pgnear_index_check(regclass)`: the verifier of every access method, as SQL.

use pgnear_ann::{Error, NO_BLOCK, Tid, TidState, hnsw, ivfflat};

use crate::pg::admin::{Column, OpenIndex, Rows};
use crate::pg::error::wrong_object;
use crate::pg::fmgr::{Call, Return};
use crate::pg::index::AmError;
use crate::sql_functions;

sql_functions! {
    pgnear_index_check => index_check;
}

/// Returns a row for each finding: block, list, entry (a node of a graph), kind, whether it is
/// harmless, message.
fn index_check(call: Call<'_>) -> Return {
    let open = OpenIndex::quiet(call, 0);
    let store = open.index().store();
    let mut rows = call.rows();
    let mut heap = |tid: Tid| {
        if open.has_row(tid) {
            TidState::Ok
        } else {
            TidState::Missing
        }
    };
    let done = match open.handler().as_deref() {
        Some("ivfflathandler") => {
            let meta = readable(&open, ivfflat::Meta::read(&store));
            ivfflat::check(
                &store,
                &meta,
                &mut heap,
                &mut |finding: ivfflat::Finding| {
                    let harmless = finding.is_harmless();
                    let (list, entry) = (finding.list, finding.offset);
                    push(
                        &mut rows,
                        finding.block,
                        list,
                        entry,
                        finding.kind,
                        harmless,
                        &finding.message,
                    );
                },
            )
        }
        Some("hnswhandler") => {
            let meta = readable(&open, hnsw::Meta::read(&store));
            let table = open.table();
            let table = Some(&*table as &dyn hnsw::Table);
            hnsw::check(
                &store,
                &meta,
                &mut heap,
                table,
                &mut |finding: hnsw::Finding| {
                    let harmless = finding.is_harmless();
                    let node = finding.node;
                    push(
                        &mut rows,
                        finding.block,
                        None,
                        node,
                        finding.kind,
                        harmless,
                        &finding.message,
                    );
                },
            )
        }
        _ => wrong_object(format!(
            "index \"{}\" is not one of pgnear",
            open.index().name()
        )),
    };
    done.unwrap_or_else(|error| open.index().fail(AmError::Index(error)));
    rows.finish()
}

/// An index that isn't ours can't be verified; a damaged meta page is a finding.
fn readable<M>(open: &OpenIndex, meta: Result<M, Error>) -> Result<M, Error> {
    if let Err(error @ (Error::NotOurs | Error::UnknownVersion { .. })) = &meta {
        open.index().fail(AmError::Index(error.clone()));
    }
    meta
}

fn push(
    rows: &mut Rows,
    block: u32,
    list: Option<u32>,
    entry: Option<u32>,
    kind: &str,
    harmless: bool,
    message: &str,
) {
    let number = |n: Option<u32>| n.map_or(Column::Null, |n| Column::Int4(n as i32));
    let block = (block != NO_BLOCK).then_some(block);
    rows.push(&[
        block.map_or(Column::Null, |block| Column::Int8(block.into())),
        number(list),
        number(entry),
        Column::Text(kind),
        Column::Bool(harmless),
        Column::Text(message),
    ]);
}
