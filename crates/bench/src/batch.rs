//! `bench batch`: exact search of many queries at once, beside pgvector's scan for each of them, faiss in a
//! process of its own, and what the machine's arithmetic can do.

use crate::data::{Metric, NEIGHBOURS, Set, Source};
use crate::peer::Peer;
use crate::report::{self, Table, progress};
use crate::stats::{Spread, micros};
use crate::system::{self, Cost, System};
use crate::value::Value;
use anyhow::{Context, Result, bail};
use std::time::Duration;

pub struct Options {
    pub source: Source,
    pub rows: Option<usize>,
    pub queries: usize,
    pub metric: Metric,
    pub rounds: usize,
    /// Let pgnear use a GPU, and fail where there is none.
    pub gpu: bool,
}

/// Queries that pgvector scans the table for in a round: each takes long, and they cost alike.
const SAMPLE: usize = 10;

/// What a round found out, of all queries.
struct Round {
    pgnear: Cost,
    /// The same as a join in plain SQL.
    join: Cost,
    /// The same statement with one query: what it takes to read the table.
    reading: Cost,
    pgvector: Cost,
    /// faiss, and a product of matrices with as many multiplications.
    faiss: Option<[Cost; 2]>,
}

pub fn run(options: &Options) -> Result<()> {
    let set = Set::of(&options.source, options.rows, options.queries)?;
    if set.base.len() < NEIGHBOURS || set.queries.len() < options.rounds {
        bail!("a run takes at least {NEIGHBOURS} rows, and a query for each round");
    }
    let mut systems = system::both()?;
    report::head("bench batch: many queries at once", &mut systems)?;
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    println!(
        "\nData: {}; {} queries, {NEIGHBOURS} neighbours, operator {}  \n\
         {} rounds, all in turn; {cores} threads; ratios: median (range over rounds)",
        set.name,
        set.queries.len(),
        options.metric.operator(),
        options.rounds
    );
    progress("loading");
    for system in &mut systems {
        load(system, &set)?;
    }
    systems[0].run(&format!(
        "SET pgnear.max_threads = {cores}; SET pgnear.gpu = {}",
        if options.gpu { "on" } else { "off" }
    ))?;
    let mut flat = match start_faiss(&set, options.metric, cores) {
        Ok(flat) => Some(flat),
        Err(why) => {
            println!("\nfaiss: not measured: {why:#}");
            None
        }
    };
    let mut rounds = Vec::new();
    let mut found = Vec::new();
    for round in 0..options.rounds {
        progress(&format!("round {}", round + 1));
        rounds.push(Round {
            reading: all_at_once(&mut systems[0], options.metric, 1, &mut found)?,
            pgnear: all_at_once(
                &mut systems[0],
                options.metric,
                set.queries.len(),
                &mut found,
            )?,
            join: joined(&mut systems[0], options.metric, &found)?,
            pgvector: one_by_one(&mut systems[1], options.metric, &set, round, &found)?,
            faiss: flat.as_mut().map(round_of_faiss).transpose()?,
        });
    }
    if let Some(flat) = flat {
        let same = flat.shared_with(&found)?;
        println!(
            "\nfaiss and pgnear share {:.2} % of the neighbours.",
            100.0 * same
        );
    }
    if options.gpu {
        let device: String = (systems[0].client)
            .query_one(
                "SELECT coalesce(device, problem) FROM pgnear_gpu_info()",
                &[],
            )?
            .get(0);
        println!("\nGPU: {device}");
    }
    print(&rounds, set.queries.len());
    Ok(())
}

fn start_faiss(set: &Set, metric: Metric, threads: usize) -> Result<Peer> {
    let arguments = [
        metric.word().to_owned(),
        NEIGHBOURS.to_string(),
        threads.to_string(),
    ];
    let mut peer = Peer::start("flat.py", set, threads, &arguments)?;
    peer.costs::<0>()?;
    Ok(peer)
}

fn round_of_faiss(peer: &mut Peer) -> Result<[Cost; 2]> {
    peer.ask("")?;
    peer.costs()
}

fn load(system: &mut System, set: &Set) -> Result<()> {
    let dims = set.base.dims;
    system.run(&format!(
        "CREATE TABLE items (id bigint, embedding vector({dims})); \
         CREATE TABLE questions (id bigint, embedding vector({dims}))"
    ))?;
    for (table, rows) in [("items", &set.base), ("questions", &set.queries)] {
        let values: Vec<Value> = rows.iter().map(|row| Value::Vector(row.to_vec())).collect();
        system.load(table, 0, values.iter())?;
        system.run(&format!("VACUUM (FREEZE, ANALYZE) {table}"))?;
    }
    system.number("SELECT count(embedding) FROM items")?;
    Ok(())
}

/// So many queries in one statement; the ids found go to `found`, query by query.
fn all_at_once(
    system: &mut System,
    metric: Metric,
    queries: usize,
    found: &mut Vec<i64>,
) -> Result<Cost> {
    let sql = format!(
        "SELECT id FROM pgnear_knn(\
         'SELECT id, embedding FROM questions WHERE id < {queries} ORDER BY id', \
         'SELECT id, embedding FROM items', {NEIGHBOURS}, '{}') \
         AS near(question bigint, id bigint, distance float8)",
        metric.operator()
    );
    let mut rows = Vec::new();
    let cost = system.measure_all(|system| {
        rows = system.client.query(sql.as_str(), &[])?;
        Ok(())
    })?;
    *found = rows.iter().map(|row| row.get(0)).collect();
    Ok(cost)
}

/// All queries by a join, which must find the same.
fn joined(system: &mut System, metric: Metric, found: &[i64]) -> Result<Cost> {
    let sql = format!(
        "SELECT near.id FROM questions CROSS JOIN LATERAL (SELECT items.id FROM items \
         ORDER BY items.embedding {} questions.embedding LIMIT {NEIGHBOURS}) AS near",
        metric.operator()
    );
    system.expect_plan(&sql, "KnnJoin")?;
    let mut rows = Vec::new();
    let cost = system.measure_all(|system| {
        rows = system.client.query(sql.as_str(), &[])?;
        Ok(())
    })?;
    if !rows
        .iter()
        .map(|row| row.get::<_, i64>(0))
        .eq(found.iter().copied())
    {
        bail!("the join found other rows than pgnear_knn");
    }
    Ok(cost)
}

/// A scan for each query of a sample, which must find the same; the cost is that of all queries.
fn one_by_one(
    system: &mut System,
    metric: Metric,
    set: &Set,
    round: usize,
    found: &[i64],
) -> Result<Cost> {
    let sql = format!(
        "SELECT id FROM items ORDER BY embedding {} $1 LIMIT {NEIGHBOURS}",
        metric.operator()
    );
    system.expect_plan(&sql, "Seq Scan on items")?;
    let statement = system.prepare(&sql)?;
    let count = set.queries.len();
    let sample: Vec<usize> = (0..SAMPLE.min(count))
        .map(|n| (n * count / SAMPLE.min(count) + round) % count)
        .collect();
    let mut answers = Vec::new();
    let cost = system.measure(|system| {
        for query in &sample {
            let value = Value::Vector(set.queries.row(*query).to_vec());
            answers.push(system.client.query(&statement, &[&value])?);
        }
        Ok(())
    })?;
    for (query, rows) in sample.iter().zip(&answers) {
        let ids: Vec<i64> = rows.iter().map(|row| row.get(0)).collect();
        let mine = found
            .get(query * NEIGHBOURS..(query + 1) * NEIGHBOURS)
            .context("pgnear found too few rows")?;
        let missing = ids.iter().filter(|id| !mine.contains(id)).count();
        // Sums are rounded otherwise: the last ones may change places.
        if missing > 1 {
            bail!("query {query}: pgnear found {mine:?}, pgvector {ids:?}");
        }
    }
    let scale = count as f64 / sample.len() as f64;
    Ok(Cost {
        cpu: cost.cpu.mul_f64(scale),
        wall: cost.wall.mul_f64(scale),
    })
}

fn print(rounds: &[Round], queries: usize) {
    let mut table = Table::new(&[
        "",
        "CPU µs a query",
        "time µs a query",
        "pgnear's CPU to it",
        "to reach",
    ]);
    let median = |values: Vec<f64>| {
        Spread::of(values).map_or_else(|| "–".into(), |spread| format!("{:.0}", spread.median))
    };
    let ratio = |mine: &[f64], theirs: &[f64]| {
        Spread::of_ratios(mine, theirs).map_or_else(
            || "–".into(),
            |spread| {
                format!(
                    "{:.3} ({:.3}–{:.3})",
                    spread.median, spread.low, spread.high
                )
            },
        )
    };
    let mine: Vec<f64> = rounds
        .iter()
        .map(|round| micros(round.pgnear.cpu))
        .collect();
    let mut row = |name: &str, goal: &str, cost: &dyn Fn(&Round) -> Option<Cost>| {
        let costs: Option<Vec<Cost>> = rounds.iter().map(cost).collect();
        let Some(costs) = costs else { return };
        let theirs: Vec<f64> = costs.iter().map(|cost| micros(cost.cpu)).collect();
        let a_query = |time: Duration| micros(time) / queries as f64;
        table.row([
            name.to_owned(),
            median(costs.iter().map(|cost| a_query(cost.cpu)).collect()),
            median(costs.iter().map(|cost| a_query(cost.wall)).collect()),
            ratio(&mine, &theirs),
            goal.to_owned(),
        ]);
    };
    row("pgnear_knn, with reading the table", "", &|round| {
        Some(round.pgnear)
    });
    row("pgnear_knn, without that", "", &|round| {
        Some(Cost {
            cpu: round.pgnear.cpu.saturating_sub(round.reading.cpu),
            wall: round.pgnear.wall.saturating_sub(round.reading.wall),
        })
    });
    row("pgnear, a join, with reading the table", "", &|round| {
        Some(round.join)
    });
    row("pgvector, a scan for each", "0.033", &|round| {
        Some(round.pgvector)
    });
    row("faiss, rows in memory", "1.5", &|round| {
        round.faiss.map(|faiss| faiss[0])
    });
    row(
        "as many multiplications in a product of matrices",
        "1.67",
        &|round| round.faiss.map(|faiss| faiss[1]),
    );
    table.print("Exact search of many queries");
}
