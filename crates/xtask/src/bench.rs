//! `cargo xtask bench`: a private server with pgvector out of its wheel and pgnear beside it, and
//! the measuring program, crates/bench, run on it.

use crate::apt;
use crate::cluster::Cluster;
use crate::command;
use crate::extension;
use crate::project::Project;
use crate::tree::Tree;
use crate::wheel;
use anyhow::Result;
use std::ffi::OsString;
use std::process::Command;

/// The major whose wheel carries pgvector 0.8.6.
const MAJOR: u32 = 18;

/// Nothing runs by itself while something is measured, reads count for the backend that asks for
/// them, and everything fits into memory. `full_page_writes` stays on: it is part of WAL's size.
const SETTINGS: &str = "shared_buffers = '2GB'\nmax_connections = 20\nautovacuum = off\n\
                        io_method = sync\nfsync = off\nmax_wal_size = '16GB'\n\
                        checkpoint_timeout = '1h'\nlog_line_prefix = '%m [%p] %d '\n";

/// Builds, makes the cluster anew, and runs the measuring program with the arguments given.
pub fn run(project: &Project, arguments: &[OsString]) -> Result<()> {
    let help = ["help", "-h", "--help"].map(OsString::from);
    if arguments.is_empty() || arguments.iter().any(|word| help.contains(word)) {
        return command::run(measuring(project).args(arguments));
    }
    apt::ensure_build_tools()?;
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
    cluster.create(SETTINGS)?;
    cluster.start()?;
    let mut measuring = measuring(project);
    measuring.args(arguments).envs(cluster.client_environment());
    if arguments.first().is_some_and(|name| name == "batch") {
        let peers = "crates/bench/peers/requirements.txt";
        match wheel::python_with(project, "python-bench", peers) {
            Ok(python) => {
                measuring.env("PGNEAR_BENCH_PYTHON", python);
            }
            Err(error) => eprintln!("faiss cannot be installed: {error:#}"),
        }
    }
    let outcome = command::run(&mut measuring);
    cluster.stop("fast")?;
    outcome
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
