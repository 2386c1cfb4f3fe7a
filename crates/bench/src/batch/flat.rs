//! faiss in a Python process of its own.

use crate::data::{Metric, NEIGHBOURS, Rows, Set};
use crate::system::Cost;
use anyhow::{Context, Result, bail};
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

/// What a round cost.
#[derive(Clone, Copy)]
pub struct Figures {
    /// The search of all queries.
    pub search: Cost,
    /// A product of matrices with as many multiplications.
    pub product: Cost,
}

/// The process, with the vectors loaded.
pub struct Flat {
    child: Child,
    lines: BufReader<ChildStdout>,
    folder: PathBuf,
}

impl Flat {
    /// Starts it with the Python that `cargo xtask bench` prepared.
    pub fn start(set: &Set, metric: Metric, threads: usize) -> Result<Self> {
        let python = std::env::var("PGNEAR_BENCH_PYTHON")
            .context("PGNEAR_BENCH_PYTHON is not set: cargo xtask bench says why")?;
        let folder = std::env::temp_dir().join(format!("pgnear-bench-{}", std::process::id()));
        fs::create_dir_all(&folder)?;
        write(&folder.join("rows.f32"), &set.base)?;
        write(&folder.join("queries.f32"), &set.queries)?;
        fs::write(folder.join("dims"), set.base.dims.to_string())?;
        let mut child = Command::new(python)
            .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/peers/flat.py"))
            .arg(&folder)
            .args([metric.word(), &NEIGHBOURS.to_string(), &threads.to_string()])
            .env("OPENBLAS_NUM_THREADS", threads.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot start Python")?;
        let lines = BufReader::new(child.stdout.take().context("Python has no output")?);
        let mut flat = Self {
            child,
            lines,
            folder,
        };
        if flat.line()? != "ready" {
            bail!("the Python process failed");
        }
        Ok(flat)
    }

    fn line(&mut self) -> Result<String> {
        let mut line = String::new();
        self.lines.read_line(&mut line)?;
        Ok(line.trim().to_owned())
    }

    /// Measures one round.
    pub fn round(&mut self) -> Result<Figures> {
        let input = self.child.stdin.as_mut().context("Python has no input")?;
        writeln!(input)?;
        let line = self.line()?;
        let numbers: Vec<f64> = line
            .split(' ')
            .filter_map(|word| word.parse().ok())
            .collect();
        let [cpu, wall, product_cpu, product_wall] = numbers[..] else {
            bail!("the Python process failed: {line}");
        };
        let cost = |cpu, wall| Cost {
            cpu: Duration::from_secs_f64(cpu),
            wall: Duration::from_secs_f64(wall),
        };
        Ok(Figures {
            search: cost(cpu, wall),
            product: cost(product_cpu, product_wall),
        })
    }

    /// The share of neighbours, query by query, that both found.
    pub fn shared_with(&self, found: &[i64]) -> Result<f64> {
        let bytes = fs::read(self.folder.join("ids.i64"))?;
        let (numbers, _) = bytes.as_chunks::<8>();
        let ids: Vec<i64> = numbers
            .iter()
            .map(|bytes| i64::from_ne_bytes(*bytes))
            .collect();
        if ids.len() != found.len() {
            bail!(
                "faiss found {} neighbours, pgnear {}",
                ids.len(),
                found.len()
            );
        }
        let queries = ids.chunks(NEIGHBOURS).zip(found.chunks(NEIGHBOURS));
        let same: usize = queries
            .map(|(theirs, mine)| mine.iter().filter(|id| theirs.contains(id)).count())
            .sum();
        Ok(same as f64 / found.len() as f64)
    }
}

impl Drop for Flat {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(&self.folder);
    }
}

fn write(path: &Path, rows: &Rows) -> Result<()> {
    let bytes: Vec<u8> = rows
        .iter()
        .flatten()
        .flat_map(|x| x.to_ne_bytes())
        .collect();
    fs::write(path, bytes).with_context(|| format!("cannot write {}", path.display()))
}
