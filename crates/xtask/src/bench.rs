//! `cargo xtask bench`: a private server with pgvector out of its wheel and pgnear beside it, and
//! the measuring program, crates/bench, run on it.

use crate::apt;
use crate::cluster::Cluster;
use crate::command;
use crate::extension;
use crate::project::Project;
use crate::tree::Tree;
use crate::wheel;
use anyhow::{Result, bail};
use std::ffi::OsString;
use std::process::Command;

/// The major whose wheel carries pgvector 0.8.6.
const MAJOR: u32 = 18;

/// Nothing runs by itself while something is measured, reads count for the backend that asks for
/// them, and everything fits into memory. `full_page_writes` stays on: it is part of WAL's size.
const SETTINGS: &str = "max_connections = 20\nautovacuum = off\n\
                        io_method = sync\nfsync = off\nmax_wal_size = '16GB'\n\
                        checkpoint_timeout = '1h'\nlog_line_prefix = '%m [%p] %d '\n";

/// Builds, makes the cluster anew, and runs the measuring program with the arguments given.
pub fn run(project: &Project, arguments: &[OsString]) -> Result<()> {
    let help = ["help", "-h", "--help"].map(OsString::from);
    if arguments.is_empty() || arguments.iter().any(|word| help.contains(word)) {
        return command::run(measuring(project).args(arguments));
    }
    apt::ensure_build_tools()?;
    let (arguments, buffers) = take_buffers(arguments)?;
    let pg = wheel::server(project, MAJOR)?;
    eprintln!("Building pgnear {} for {}", project.version, pg.version);
    let library = extension::build(project, &pg)?;
    let tree = Tree::at(project, "bench", &pg)?;
    let cluster = Cluster::of(&tree);
    cluster.stop("immediate")?;
    if !tree.is_fresh(&pg)? {
        tree.copy(&pg)?;
    }
    tree.install(project, &library, false)?;
    cluster.create(&format!("shared_buffers = '{buffers}'\n{SETTINGS}"))?;
    cluster.start()?;
    let mut measuring = measuring(project);
    measuring
        .args(&arguments)
        .envs(cluster.client_environment());
    let peers = match arguments[0].to_str() {
        Some("batch") => Some(("python-bench", "crates/bench/peers/requirements.txt")),
        Some("hnsw") => Some(("python-graph", "crates/bench/peers/graph-requirements.txt")),
        _ => None,
    };
    if let Some((environment, list)) = peers {
        match wheel::python_with(project, environment, list) {
            Ok(python) => {
                measuring.env("PGNEAR_BENCH_PYTHON", python);
            }
            Err(error) => eprintln!("what {list} lists cannot be installed: {error:#}"),
        }
    }
    let outcome = command::run(&mut measuring);
    cluster.stop("fast")?;
    outcome
}

/// The arguments without `--buffers SIZE`, which is the server's, and that size.
fn take_buffers(arguments: &[OsString]) -> Result<(Vec<OsString>, String)> {
    let mut rest = arguments.to_vec();
    let Some(at) = rest.iter().position(|word| word == "--buffers") else {
        return Ok((rest, "2GB".to_owned()));
    };
    rest.remove(at);
    if at == 0 || at == rest.len() {
        bail!("--buffers takes a size, as in --buffers 64MB");
    }
    let size = rest.remove(at).to_string_lossy().into_owned();
    if !size.chars().all(|letter| letter.is_ascii_alphanumeric()) {
        bail!("\"{size}\" is no size of shared_buffers");
    }
    Ok((rest, size))
}

/// The measuring program, with its arguments to come.
fn measuring(project: &Project) -> Command {
    let mut cargo = command::cargo();
    cargo
        .args(["run", "--quiet", "--release", "--package", "pgnear-bench"])
        .arg("--target-dir")
        .arg(&project.target)
        .arg("--manifest-path")
        .arg(project.root.join("Cargo.toml"))
        .arg("--");
    cargo
}
