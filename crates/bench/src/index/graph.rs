//! hnswlib in a process of its own: what a graph of the same kind costs without a database around it.

use super::curve::{RECALLS, grid};
use super::{EF_CONSTRUCTION, M, Options};
use crate::data::{NEIGHBOURS, Set, Truth};
use crate::peer::Peer;
use crate::report::{Table, progress};
use crate::stats::{Point, cost_at, micros};
use anyhow::Result;

/// Builds it, and searches with growing width until it finds 99 %.
pub fn measure(options: &Options, set: &Set, truth: &Truth) -> Result<()> {
    progress("hnswlib");
    let threads = options.workers + 1;
    let arguments = [
        options.metric.word().to_owned(),
        NEIGHBOURS.to_string(),
        threads.to_string(),
        M.to_string(),
        EF_CONSTRUCTION.to_string(),
    ];
    let mut peer = Peer::start("graph.py", set, threads, &arguments)?;
    let [build] = peer.costs()?;
    let queries = set.queries.len();
    let mut curve: Vec<Point> = Vec::new();
    for width in grid(NEIGHBOURS, 1000) {
        peer.ask(&width.to_string())?;
        let [search] = peer.costs()?;
        let found = peer.found()?;
        let hits: usize = (found.chunks(NEIGHBOURS).enumerate())
            .map(|(query, ids)| truth.hits(&set.base, &set.queries, query, ids))
            .sum();
        let recall = hits as f64 / (NEIGHBOURS * queries) as f64;
        curve.push(Point {
            recall,
            cost: micros(search.cpu) / queries as f64,
        });
        if recall >= RECALLS[RECALLS.len() - 1] {
            break;
        }
    }
    let mut table = Table::new(&["hnswlib, in its own process", "CPU"]);
    table.row([
        "build, s".to_owned(),
        format!("{:.2}", build.cpu.as_secs_f64()),
    ]);
    for recall in RECALLS {
        let cost = cost_at(&curve, recall);
        table.row([
            format!("a query at recall@10 {recall:.2}, µs"),
            cost.map_or_else(|| "–".to_owned(), |cost| format!("{cost:.0}")),
        ]);
    }
    table.print(&format!(
        "m = {M}, ef_construction = {EF_CONSTRUCTION}: without a database"
    ));
    Ok(())
}
