//! What users see of the GPU: `pgnear_gpu_info`, `pgnear_gpu_stats`.

use crate::pg::admin::Column;
use crate::pg::fmgr::{Call, Return};
use crate::pg::gpu;
use crate::sql_functions;

sql_functions! {
    pgnear_gpu_info => info;
    pgnear_gpu_stats => stats;
}

/// One row: the device, or why there is none.
fn info(call: Call<'_>) -> Return {
    let mut rows = call.rows();
    match gpu::info()? {
        Ok(info) => rows.push(&[
            Column::Text(&info.name),
            Column::Text(&dotted(info.capability, 10)),
            Column::Text(&dotted(info.driver / 10, 100)),
            Column::Int8(info.memory as i64),
            Column::Int8(info.free as i64),
            Column::Null,
        ]),
        Err(why) => rows.push(&[
            Column::Null,
            Column::Null,
            Column::Null,
            Column::Null,
            Column::Null,
            Column::Text(&why),
        ]),
    }
    rows.finish()
}

/// `90` with a base of 10 is `9.0`.
fn dotted(version: u32, base: u32) -> String {
    format!("{}.{}", version / base, version % base)
}

/// One row: what the GPU did in this session.
fn stats(call: Call<'_>) -> Return {
    let stats = gpu::stats();
    let mut rows = call.rows();
    rows.push(&[
        Column::Int8(stats.tally.requests as i64),
        Column::Int8(stats.tally.vectors as i64),
        Column::Int8(stats.tally.bytes as i64),
        Column::Int8(stats.time.as_millis() as i64),
        Column::Int8(stats.fallbacks as i64),
        match &stats.last_error {
            Some(why) => Column::Text(why),
            None => Column::Null,
        },
    ]);
    rows.finish()
}
