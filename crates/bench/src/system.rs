//! The two systems that are measured: one database each of one cluster, one session each.

use crate::cpu;
use crate::value::Value;
use anyhow::{Context, Result, bail};
use postgres::{Client, Config, NoTls, Statement};
use std::io::Write;
use std::time::{Duration, Instant};

/// The extension under test and its peer, in the order of every table.
pub const EXTENSIONS: [&str; 2] = ["pgnear", "vector"];

/// The columns' names for [`EXTENSIONS`].
pub const NAMES: [&str; 2] = ["pgnear", "pgvector"];

/// The same for both sessions; nothing here speaks for one of them.
const SETTINGS: &str = "SET jit = off; SET max_parallel_workers_per_gather = 0; \
    SET plan_cache_mode = force_generic_plan; SET enable_seqscan = on; SET work_mem = '64MB'; \
    SET synchronous_commit = off; SET statement_timeout = 0; SET client_min_messages = warning";

/// What a piece of work cost.
#[derive(Clone, Copy, Debug, Default)]
pub struct Cost {
    pub cpu: Duration,
    pub wall: Duration,
}

/// A session in a database of its own that has one extension.
pub struct System {
    pub name: &'static str,
    extension: &'static str,
    /// As `CREATE EXTENSION` reports it.
    pub version: String,
    pub client: Client,
    pid: i32,
    postmaster: i32,
}

/// Makes both databases anew, on the cluster that the usual variables (PGHOST, PGPORT, PGUSER) name.
pub fn both() -> Result<[System; 2]> {
    let [one, two] = EXTENSIONS;
    let [name_one, name_two] = NAMES;
    Ok([System::new(name_one, one)?, System::new(name_two, two)?])
}

fn config(database: &str) -> Result<Config> {
    let mut config = Config::new();
    let variable = |name: &str| {
        std::env::var(name)
            .with_context(|| format!("{name} is not set: run this by `cargo xtask bench`"))
    };
    config
        .host(&variable("PGHOST")?)
        .port(variable("PGPORT")?.parse().context("PGPORT")?)
        .user(&variable("PGUSER")?)
        .dbname(database)
        .application_name("pgnear-bench");
    Ok(config)
}

impl System {
    fn new(name: &'static str, extension: &'static str) -> Result<Self> {
        let mut admin = config("postgres")?
            .connect(NoTls)
            .context("cannot connect")?;
        admin.batch_execute(&format!("DROP DATABASE IF EXISTS bench_{extension}"))?;
        admin.batch_execute(&format!("CREATE DATABASE bench_{extension}"))?;
        Self::open(name, extension)
    }

    fn open(name: &'static str, extension: &'static str) -> Result<Self> {
        let mut client = config(&format!("bench_{extension}"))?
            .connect(NoTls)
            .context("cannot connect")?;
        client.batch_execute(SETTINGS)?;
        client.batch_execute(&format!("CREATE EXTENSION IF NOT EXISTS {extension}"))?;
        let row = client.query_one(
            "SELECT extversion, pg_backend_pid() FROM pg_extension WHERE extname = $1",
            &[&extension],
        )?;
        let pid = row.get(1);
        Ok(Self {
            name,
            extension,
            version: row.get(0),
            client,
            pid,
            postmaster: cpu::parent(pid)?,
        })
    }

    /// One more session in the same database.
    pub fn another(&self) -> Result<Self> {
        Self::open(self.name, self.extension)
    }

    /// The backend's process id.
    pub fn pid(&self) -> i32 {
        self.pid
    }

    /// Runs statements.
    pub fn run(&mut self, sql: &str) -> Result<()> {
        self.client
            .batch_execute(sql)
            .with_context(|| format!("{}: {sql}", self.name))
    }

    /// One number.
    pub fn number(&mut self, sql: &str) -> Result<i64> {
        let row = self
            .client
            .query_one(sql, &[])
            .with_context(|| format!("{}: {sql}", self.name))?;
        Ok(row.get(0))
    }

    /// Prepares a statement.
    pub fn prepare(&mut self, sql: &str) -> Result<Statement> {
        self.client
            .prepare(sql)
            .with_context(|| format!("{}: {sql}", self.name))
    }

    /// Fills a table `(id, value)`, ids from `first` on.
    pub fn load<'v>(
        &mut self,
        table: &str,
        first: i64,
        values: impl Iterator<Item = &'v Value>,
    ) -> Result<()> {
        let data = crate::value::copy_binary(first, values);
        self.copy_in(
            &format!("COPY {table} FROM STDIN WITH (FORMAT binary)"),
            &data,
        )
    }

    /// Runs a COPY FROM STDIN with its data.
    pub fn copy_in(&mut self, sql: &str, data: &[u8]) -> Result<()> {
        let mut writer = self.client.copy_in(sql)?;
        for piece in data.chunks(1 << 16) {
            writer.write_all(piece)?;
        }
        writer
            .finish()
            .with_context(|| format!("{}: {sql}", self.name))?;
        Ok(())
    }

    /// Runs work of the backend alone, and gives its CPU time to the nanosecond.
    pub fn measure(&mut self, work: impl FnOnce(&mut Self) -> Result<()>) -> Result<Cost> {
        let (start, before) = (Instant::now(), cpu::process(self.pid)?);
        work(self)?;
        let wall = start.elapsed();
        Ok(Cost {
            cpu: cpu::process(self.pid)?.saturating_sub(before),
            wall,
        })
    }

    /// Runs work that may start workers and threads, and gives the CPU time of them all.
    pub fn measure_all(&mut self, work: impl FnOnce(&mut Self) -> Result<()>) -> Result<Cost> {
        let (start, before) = (Instant::now(), cpu::cluster(self.postmaster)?);
        work(self)?;
        let wall = start.elapsed();
        Ok(Cost {
            cpu: cpu::cluster(self.postmaster)?.saturating_sub(before),
            wall,
        })
    }

    /// Fails unless the statement's plan has the node, as in `Index Scan using items_index`.
    pub fn expect_plan(&mut self, sql: &str, node: &str) -> Result<()> {
        let explain = format!("EXPLAIN (GENERIC_PLAN, COSTS OFF) {sql}");
        let messages = self
            .client
            .simple_query(&explain)
            .with_context(|| format!("{}: {explain}", self.name))?;
        let lines: Vec<&str> = messages
            .iter()
            .filter_map(|message| match message {
                postgres::SimpleQueryMessage::Row(row) => row.get(0),
                _ => None,
            })
            .collect();
        if !lines.iter().any(|line| line.contains(node)) {
            bail!(
                "{}: nothing was measured, because the plan of\n  {sql}\nhas no {node}:\n  {}",
                self.name,
                lines.join("\n  ")
            );
        }
        Ok(())
    }
}
