//! The demo's database: extension, dictionary, index.

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

/// The number of lists for 10,000 rows: their square root.
pub const LISTS: u32 = 100;

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

/// Builds the index with its progress shown; says so and returns false where the extension has no
/// such access method.
pub fn index(cluster: &Cluster, state: &mut State, placed: &Placed) -> Result<bool> {
    let database = cluster.psql(DATABASE);
    if database.query("SELECT 1 FROM pg_am WHERE amname = 'ivfflat'")? != "1" {
        println!("This build has no ivfflat access method yet: every search below is exact.");
        return Ok(false);
    }
    let valid = "SELECT 1 FROM pg_index WHERE indexrelid = to_regclass('entries_embedding_idx') AND indisvalid";
    if state.is("index", placed.library) && database.query(valid)? == "1" {
        return Ok(true);
    }
    database.query("DROP INDEX IF EXISTS entries_embedding_idx")?;
    let statement = format!(
        "CREATE INDEX entries_embedding_idx ON entries USING ivfflat (embedding vector_ip_ops) WITH (lists = {LISTS})"
    );
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
    let size =
        database.query("SELECT pg_size_pretty(pg_relation_size('entries_embedding_idx'))")?;
    println!("Built in {:.1} s, {size}", started.elapsed().as_secs_f64());
    state.set("index", placed.library);
    Ok(true)
}
