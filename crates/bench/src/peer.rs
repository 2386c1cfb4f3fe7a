//! A library that searches in its own memory, in a Python process that `cargo xtask bench` prepared.

use crate::data::{NEIGHBOURS, Rows, Set};
use crate::system::Cost;
use anyhow::{Context, Result, bail};
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

/// The process, with the vectors loaded.
pub struct Peer {
    child: Child,
    lines: BufReader<ChildStdout>,
    folder: PathBuf,
}

impl Peer {
    /// Starts a program of `peers/` over the set; `arguments` follow the folder of its vectors.
    pub fn start(program: &str, set: &Set, threads: usize, arguments: &[String]) -> Result<Self> {
        let python = std::env::var("PGNEAR_BENCH_PYTHON")
            .context("PGNEAR_BENCH_PYTHON is not set: cargo xtask bench says why")?;
        let folder = std::env::temp_dir().join(format!("pgnear-bench-{}", std::process::id()));
        fs::create_dir_all(&folder)?;
        write(&folder.join("rows.f32"), &set.base)?;
        write(&folder.join("queries.f32"), &set.queries)?;
        fs::write(folder.join("dims"), set.base.dims.to_string())?;
        let mut child = Command::new(python)
            .arg(format!("{}/peers/{program}", env!("CARGO_MANIFEST_DIR")))
            .arg(&folder)
            .args(arguments)
            .env("OPENBLAS_NUM_THREADS", threads.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot start Python")?;
        let lines = BufReader::new(child.stdout.take().context("Python has no output")?);
        Ok(Self {
            child,
            lines,
            folder,
        })
    }

    /// The numbers of its next line: CPU and time, in seconds, of one thing after the other. None where it
    /// only says that it is ready.
    pub fn costs<const N: usize>(&mut self) -> Result<[Cost; N]> {
        let mut line = String::new();
        if self.lines.read_line(&mut line)? == 0 {
            bail!("the Python process failed");
        }
        let numbers: Result<Vec<f64>, _> = line.split_whitespace().map(str::parse).collect();
        let Some(numbers) = numbers.ok().filter(|numbers| numbers.len() == 2 * N) else {
            bail!("the Python process failed: {line}");
        };
        Ok(std::array::from_fn(|at| Cost {
            cpu: Duration::from_secs_f64(numbers[2 * at]),
            wall: Duration::from_secs_f64(numbers[2 * at + 1]),
        }))
    }

    /// Asks for one more line.
    pub fn ask(&mut self, what: &str) -> Result<()> {
        let input = self.child.stdin.as_mut().context("Python has no input")?;
        writeln!(input, "{what}")?;
        Ok(())
    }

    /// The neighbours that it found last, query by query.
    pub fn found(&self) -> Result<Vec<i64>> {
        let bytes = fs::read(self.folder.join("ids.i64"))?;
        let (numbers, _) = bytes.as_chunks::<8>();
        Ok(numbers
            .iter()
            .map(|bytes| i64::from_ne_bytes(*bytes))
            .collect())
    }

    /// The share of neighbours, query by query, that both found.
    pub fn shared_with(&self, found: &[i64]) -> Result<f64> {
        let ids = self.found()?;
        if ids.len() != found.len() {
            bail!(
                "the peer found {} neighbours, pgnear {}",
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

impl Drop for Peer {
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
