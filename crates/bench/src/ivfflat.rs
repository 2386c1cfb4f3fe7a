//! `bench ivfflat`: recall against CPU, builds, size, inserts, vacuum, write-ahead log.

mod build;
mod churn;
mod curve;

use crate::data::{Metric, Set, Truth};
use crate::report::{self, progress};
use crate::system::{self, System};
use crate::value::Value;
use anyhow::{Result, bail};
use std::path::PathBuf;

/// Enough for both systems' k-means over the largest sets that the bench takes.
const MAINTENANCE_WORK_MEM: &str = "2GB";

pub struct Options {
    /// The folder with the sets; a seeded one is made without it.
    pub data: Option<PathBuf>,
    pub rows: Option<usize>,
    /// Dimensions of the seeded set.
    pub dims: usize,
    pub queries: usize,
    pub metric: Metric,
    /// Numbers of lists; √n, 2√n and 1,000 when empty.
    pub lists: Vec<usize>,
    pub rounds: usize,
    pub builds: usize,
    /// `max_parallel_maintenance_workers`.
    pub workers: usize,
    /// Rows inserted into the finished index.
    pub inserts: usize,
}

pub fn run(options: &Options) -> Result<()> {
    let set = match &options.data {
        Some(folder) => Set::minilm(folder, options.rows, options.queries)?,
        None => Set::seeded(
            options.rows.unwrap_or(100_000),
            options.dims,
            options.queries,
        ),
    };
    if set.base.len() < 100 || set.queries.len() < options.rounds {
        bail!("a run takes at least 100 rows, and a query for each round");
    }
    let root = set.base.len().isqrt();
    let lists = if options.lists.is_empty() {
        let mut lists = vec![root, 2 * root, 1000.min(set.base.len())];
        lists.dedup();
        lists
    } else {
        options.lists.clone()
    };

    let mut systems = system::both()?;
    report::head("bench ivfflat: beside pgvector", &mut systems)?;
    println!(
        "\nData: {}; {} queries; operator class {}  \n\
         maintenance_work_mem {MAINTENANCE_WORK_MEM}, {} parallel maintenance workers; {} rounds, \
         the systems in turn; ratios: median (range over rounds)",
        set.name,
        set.queries.len(),
        options.metric.opclass(),
        options.workers,
        options.rounds
    );

    progress("loading");
    let values: Vec<Value> = set
        .base
        .iter()
        .map(|row| Value::Vector(row.to_vec()))
        .collect();
    for system in &mut systems {
        system.run(&format!(
            "SET maintenance_work_mem = '{MAINTENANCE_WORK_MEM}'; \
             SET max_parallel_maintenance_workers = {}; \
             CREATE TABLE items (id bigint, embedding vector({}))",
            options.workers, set.base.dims
        ))?;
        system.load("items", 0, values.iter())?;
        system.run("VACUUM (FREEZE, ANALYZE) items")?;
    }
    drop(values);
    progress("exact answers");
    let truth = Truth::find(options.metric, &set.base, &set.queries, |_| true);

    let search = curve::Search {
        metric: options.metric,
        base: &set.base,
        queries: &set.queries,
    };
    for (index, &lists) in lists.iter().enumerate() {
        let title = format!("lists = {lists}");
        build::measure(&mut systems, options, lists, &title)?;
        progress(&format!("{title}: searching"));
        let curves = curve::measure(&mut systems, &search, &truth, lists, options.rounds)?;
        curve::print(&curves, &title);
        if index == 0 && options.inserts > 0 {
            churn::measure(&mut systems, options, &set, lists)?;
            // The next index is over the rows that the first one started with.
            for system in &mut systems {
                system.run("DROP INDEX items_index")?;
                churn::restore(system, &set)?;
            }
        }
    }
    Ok(())
}

/// The statement that makes the index.
fn create_index(options: &Options, lists: usize) -> String {
    format!(
        "CREATE INDEX items_index ON items USING ivfflat (embedding {}) WITH (lists = {lists})",
        options.metric.opclass()
    )
}

/// Brings table and index into the server's memory.
fn warm(system: &mut System, search: &curve::Search<'_>, lists: usize) -> Result<()> {
    system.run(&format!("SET ivfflat.probes = {lists}"))?;
    search.find(system, 0)?;
    system.number("SELECT count(embedding) FROM items")?;
    Ok(())
}
