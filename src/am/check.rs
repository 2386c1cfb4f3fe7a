//! `pgnear_index_check(regclass)`: the verifier of every access method, as SQL.

use pgnear_ann::Tid;
use pgnear_ann::ivfflat::{self, Finding, Meta, TidState};
use pgnear_ann::{Error, NO_BLOCK};

use crate::pg::admin::{Column, OpenIndex};
use crate::pg::error::wrong_object;
use crate::pg::fmgr::{Call, Return};
use crate::pg::index::AmError;
use crate::sql_functions;

sql_functions! {
    pgnear_index_check => index_check;
}

/// Returns a row for each finding: block, list, entry, kind, whether it is harmless, message.
fn index_check(call: Call<'_>) -> Return {
    let open = OpenIndex::quiet(call, 0);
    if open.handler().as_deref() != Some("ivfflathandler") {
        wrong_object(format!(
            "index \"{}\" is not an ivfflat index",
            open.index().name()
        ));
    }
    let store = open.index().store();
    let mut rows = call.rows();
    let mut heap = |tid: Tid| {
        if open.has_row(tid) {
            TidState::Ok
        } else {
            TidState::Missing
        }
    };
    let mut report = |finding: Finding| {
        let number = |n: Option<u32>| n.map_or(Column::Null, |n| Column::Int4(n as i32));
        rows.push(&[
            if finding.block == NO_BLOCK {
                Column::Null
            } else {
                Column::Int8(finding.block.into())
            },
            number(finding.list),
            number(finding.offset),
            Column::Text(finding.kind),
            Column::Bool(finding.is_harmless()),
            Column::Text(&finding.message),
        ]);
    };
    let meta: Result<Meta, Error> = Meta::read(&store);
    if let Err(error @ (Error::NotOurs | Error::UnknownVersion { .. })) = &meta {
        open.index().fail(AmError::Index(error.clone()));
    }
    ivfflat::check(&store, &meta, &mut heap, &mut report)
        .unwrap_or_else(|error| open.index().fail(AmError::Index(error)));
    rows.finish()
}
