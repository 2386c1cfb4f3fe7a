//! `bench ivfflat` and `bench hnsw`: recall against CPU, builds, size, inserts, vacuum, write-ahead log.

mod build;
mod churn;
mod crowd;
mod curve;
mod graph;

use crate::data::{Metric, Set, Source, Truth};
use crate::report::{self, progress};
use crate::system::{self, System};
use crate::value::Value;
use anyhow::{Result, bail};

/// Enough for both systems' k-means, and graphs, over the largest sets that the bench takes.
const MAINTENANCE_WORK_MEM: &str = "2GB";

/// What every graph is built with: pgvector's defaults.
const M: usize = 16;
const EF_CONSTRUCTION: usize = 64;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    Ivfflat,
    Hnsw,
}

/// One index to be measured.
pub struct Kind {
    pub title: String,
    /// The statement that makes it.
    pub create: String,
    /// What says how much a search looks at, from the least to the most.
    pub setting: &'static str,
    pub grid: Vec<usize>,
    /// The setting without one.
    pub usual: usize,
}

impl Kind {
    fn ivfflat(metric: Metric, lists: usize) -> Self {
        let opclass = metric.opclass();
        Self {
            title: format!("lists = {lists}"),
            create: format!(
                "CREATE INDEX items_index ON items USING ivfflat (embedding {opclass}) WITH (lists = {lists})"
            ),
            setting: "ivfflat.probes",
            grid: curve::grid(1, lists),
            usual: 1,
        }
    }

    fn hnsw(metric: Metric, m: usize, ef_construction: usize) -> Self {
        let opclass = metric.opclass();
        Self {
            title: format!("m = {m}, ef_construction = {ef_construction}"),
            create: format!(
                "CREATE INDEX items_index ON items USING hnsw (embedding {opclass}) \
                 WITH (m = {m}, ef_construction = {ef_construction})"
            ),
            setting: "hnsw.ef_search",
            // A search returns no more rows than it is wide.
            grid: curve::grid(crate::data::NEIGHBOURS, 1000),
            usual: 40,
        }
    }
}

pub struct Options {
    pub method: Method,
    pub source: Source,
    pub rows: Option<usize>,
    pub queries: usize,
    /// Whether rows have a title and a body of 608 bytes too, so that vectors of more than 300 dimensions lie
    /// out of line.
    pub body: bool,
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
    let set = Set::of(&options.source, options.rows, options.queries)?;
    if set.base.len() < 100 || set.queries.len() < options.rounds {
        bail!("a run takes at least 100 rows, and a query for each round");
    }
    let kinds = kinds(options, set.base.len());

    let mut systems = system::both()?;
    let name = match options.method {
        Method::Ivfflat => "ivfflat",
        Method::Hnsw => "hnsw",
    };
    report::head(&format!("bench {name}: beside pgvector"), &mut systems)?;
    println!(
        "\nData: {}{}; {} queries; operator class {}  \n\
         maintenance_work_mem {MAINTENANCE_WORK_MEM}, {} parallel maintenance workers; {} rounds, \
         the systems in turn; ratios: median (range over rounds)",
        set.name,
        if options.body { ", beside text" } else { "" },
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
             CREATE TABLE items (id bigint, embedding vector({}){})",
            options.workers,
            set.base.dims,
            if options.body { text() } else { String::new() }
        ))?;
        system.load(ITEMS, 0, values.iter())?;
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
    for (index, kind) in kinds.iter().enumerate() {
        let title = &kind.title;
        build::measure(&mut systems, options.builds, kind)?;
        progress(&format!("{title}: searching"));
        let curves = curve::measure(&mut systems, &search, &truth, kind, options.rounds)?;
        curve::print(&curves, kind);
        if options.method == Method::Hnsw {
            crowd::measure(&mut systems, &search, &set, kind, options.rounds)?;
            if let Err(why) = graph::measure(options, &set, &truth) {
                println!("\nhnswlib: not measured: {why:#}");
            }
        }
        if index == 0 && options.inserts > 0 {
            churn::measure(&mut systems, options, &set, kind)?;
            // The next index is over the rows that the first one started with.
            for system in &mut systems {
                system.run("DROP INDEX items_index")?;
                churn::restore(system, &set)?;
            }
        }
    }
    Ok(())
}

/// What is loaded of a table.
const ITEMS: &str = "items (id, embedding)";

/// Columns of text, different in each row.
fn text() -> String {
    let hash = "md5(random()::text)";
    let body = [hash; 19].join(" || ");
    format!(", title text DEFAULT {hash}, body text DEFAULT {body}")
}

/// The indexes of a run over so many rows.
fn kinds(options: &Options, rows: usize) -> Vec<Kind> {
    if options.method == Method::Hnsw {
        return vec![Kind::hnsw(options.metric, M, EF_CONSTRUCTION)];
    }
    let root = rows.isqrt();
    let mut lists = options.lists.clone();
    if lists.is_empty() {
        lists = vec![root, 2 * root, 1000.min(rows)];
        lists.dedup();
    }
    let kinds = lists.into_iter();
    kinds
        .map(|lists| Kind::ivfflat(options.metric, lists))
        .collect()
}

/// Brings table and index into the server's memory.
fn warm(system: &mut System, search: &curve::Search<'_>, kind: &Kind) -> Result<()> {
    let most = kind.grid.last().copied().unwrap_or(kind.usual);
    system.run(&format!("SET {} = {most}", kind.setting))?;
    search.find(system, 0)?;
    system.number("SELECT count(embedding) FROM items")?;
    Ok(())
}
