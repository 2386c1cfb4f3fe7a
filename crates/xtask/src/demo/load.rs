//! The demo's database: extension, dictionary, indexes.

use super::DATABASE;
use super::state::State;
use crate::cluster::Cluster;
use crate::install::Placed;
use crate::npy::{Matrix, vector_text};
use crate::project::{Project, hash};
use anyhow::{Context, Result, bail};
use std::fmt::Write;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

/// One way to index the entries.
pub struct Method {
    pub name: &'static str,
    pub index: &'static str,
    definition: &'static str,
    /// What says how much a search looks at, and values of it to compare.
    pub setting: &'static str,
    pub values: &'static [u32],
}

/// Both kinds of index, the one that searches use by itself first. 100 lists are the square root of
/// 10,000 rows.
pub const METHODS: &[Method] = &[
    Method {
        name: "hnsw",
        index: "entries_hnsw",
        definition: "hnsw (embedding vector_ip_ops)",
        setting: "hnsw.ef_search",
        values: &[10, 20, 40, 80, 160],
    },
    Method {
        name: "ivfflat",
        index: "entries_ivfflat",
        definition: "ivfflat (embedding vector_ip_ops) WITH (lists = 100)",
        setting: "ivfflat.probes",
        values: &[1, 2, 5, 10, 20, 50],
    },
];

/// Makes the database with the extension, anew when the install script has changed since.
pub fn database(cluster: &Cluster, state: &mut State, placed: &Placed) -> Result<()> {
    let server = cluster.psql("postgres");
    let exists = server.query(&format!(
        "SELECT 1 FROM pg_database WHERE datname = '{DATABASE}'"
    ))? == "1";
    if exists && state.is("scripts", placed.scripts) {
        return Ok(());
    }
    if exists {
        let aside = format!(
            "{DATABASE}_{}",
            server.query("SELECT to_char(now(), 'YYYYMMDDHH24MISS')")?
        );
        println!("The extension's SQL has changed: a new database; the former one is now {aside}");
        server.query(&format!("ALTER DATABASE {DATABASE} RENAME TO {aside}"))?;
    }
    *state = State::default();
    server.query(&format!("CREATE DATABASE {DATABASE}"))?;
    cluster.psql(DATABASE).query("CREATE EXTENSION pgnear")?;
    state.set("scripts", placed.scripts);
    Ok(())
}

/// Loads the dictionary and the questions with COPY.
pub fn entries(project: &Project, cluster: &Cluster, state: &mut State) -> Result<()> {
    let folder = project.root.join("demo/dictionary");
    let entries = table(&folder, "entries", 4)?;
    let questions = table(&folder, "questions", 1)?;
    let stamp = hash(entries.as_bytes()) ^ hash(questions.as_bytes()).rotate_left(1);
    if state.is("entries", stamp) {
        return Ok(());
    }
    let started = Instant::now();
    let database = cluster.psql(DATABASE);
    database.script(
        "DROP TABLE IF EXISTS entries, questions;
         CREATE TABLE entries (
             id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
             word text NOT NULL, part_of_speech text NOT NULL, category text NOT NULL, definition text NOT NULL,
             embedding vector(384) NOT NULL);
         CREATE TABLE questions (
             id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
             question text NOT NULL, embedding vector(384) NOT NULL);",
    )?;
    let columns = "word, part_of_speech, category, definition, embedding";
    database.copy_in(
        &format!("COPY entries ({columns}) FROM STDIN"),
        entries.as_bytes(),
    )?;
    database.copy_in(
        "COPY questions (question, embedding) FROM STDIN",
        questions.as_bytes(),
    )?;
    database.query("VACUUM (ANALYZE) entries")?;
    database.query("VACUUM (ANALYZE) questions")?;
    let count = database.query("SELECT count(*) FROM entries")?;
    println!(
        "Loaded {count} dictionary entries in {:.1} s",
        started.elapsed().as_secs_f64()
    );
    state.set("entries", stamp);
    Ok(())
}

/// The rows of `NAME.tsv` with the vectors of `NAME.f16.npy`, in COPY's text format.
fn table(folder: &Path, name: &str, columns: usize) -> Result<String> {
    let path = folder.join(format!("{name}.tsv"));
    let text =
        fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let matrix = Matrix::read(&folder.join(format!("{name}.f16.npy")))?;
    let lines: Vec<&str> = text.lines().skip(1).collect();
    if lines.len() != matrix.rows().len() {
        bail!(
            "{}: {} rows, but {} vectors",
            path.display(),
            lines.len(),
            matrix.rows().len()
        );
    }
    let mut copy = String::new();
    for (line, row) in lines.iter().zip(matrix.rows()) {
        if line.split('\t').count() != columns {
            bail!("{}: not {columns} fields: {line}", path.display());
        }
        writeln!(copy, "{}\t{}", line.replace('\\', "\\\\"), vector_text(row))?;
    }
    Ok(copy)
}

/// Builds the indexes that are missing or of another build of the library.
pub fn indexes(cluster: &Cluster, state: &mut State, placed: &Placed) -> Result<()> {
    for method in METHODS {
        index(cluster, state, placed, method)?;
    }
    Ok(())
}

/// Builds one index with its progress shown.
fn index(cluster: &Cluster, state: &mut State, placed: &Placed, method: &Method) -> Result<()> {
    let database = cluster.psql(DATABASE);
    let name = method.index;
    let valid =
        format!("SELECT 1 FROM pg_index WHERE indexrelid = to_regclass('{name}') AND indisvalid");
    if state.is(name, placed.library) && database.query(&valid)? == "1" {
        return Ok(());
    }
    database.query(&format!("DROP INDEX IF EXISTS {name}"))?;
    let statement = format!("CREATE INDEX {name} ON entries USING {}", method.definition);
    println!("{statement}");
    let started = Instant::now();
    let mut child = database.start(&statement)?;
    let mut last = String::new();
    while child.try_wait()?.is_none() {
        let line = database.query(
            // Only the heap's rows are rows; other phases count units of their own work.
            "SELECT phase || CASE
                    WHEN tuples_total > 0 AND phase LIKE '%loading tuples%'
                    THEN format(': %s of %s rows', tuples_done, tuples_total)
                    WHEN tuples_total > 0 THEN format(': %s %%', 100 * tuples_done / tuples_total)
                    WHEN blocks_total > 0 THEN format(': %s of %s blocks', blocks_done, blocks_total)
                    ELSE '' END
             FROM pg_stat_progress_create_index WHERE datname = current_database()",
        )?;
        if !line.is_empty() && line != last {
            println!("  {line}");
            last = line;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    let output = child.wait_with_output()?;
    if !output.status.success() {
        bail!(
            "the index was not built: {}",
            String::from_utf8_lossy(&output.stderr).trim_end()
        );
    }
    let size = database.query(&format!(
        "SELECT pg_size_pretty(pg_relation_size('{name}'))"
    ))?;
    println!("Built in {:.1} s, {size}", started.elapsed().as_secs_f64());
    state.set(name, placed.library);
    Ok(())
}
