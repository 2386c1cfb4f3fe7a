//! `cargo xtask demo`: from nothing to similarity search in SQL.

mod answers;
mod load;
mod state;

use crate::apt;
use crate::cluster::Cluster;
use crate::extension;
use crate::project::Project;
use crate::tree::Tree;
use anyhow::{Context, Result};
use state::State;
use std::path::PathBuf;

/// The demo's database.
const DATABASE: &str = "demo";

/// Durable, as a user's own server would be.
const SETTINGS: &str = "max_connections = 20\nlog_line_prefix = '%m [%p] '\n";

/// Runs every step that is not done yet, and then the searches.
pub fn run(project: &Project, pg_config: Option<PathBuf>) -> Result<()> {
    let pg = apt::ensure_server(pg_config.as_deref())?;
    apt::ensure_build_tools()?;
    println!("Building pgnear {} for {}", project.version, pg.version);
    let library = extension::build(project, &pg)?;

    let tree = Tree::at(project, "demo", &pg)?;
    let cluster = Cluster::of(&tree);
    if !tree.is_fresh(&pg)? {
        cluster.stop("fast")?;
        println!("Copying the server to {}", tree.bin.display());
        tree.copy(&pg)?;
    }
    let placed = tree.install(project, &library, false)?;
    start(&cluster)?;

    let state_file = cluster.data().join("demo-state");
    let mut state = State::read(&state_file)?;
    load::database(&cluster, &mut state, &placed)?;
    load::entries(project, &cluster, &mut state)?;
    load::indexes(&cluster, &mut state, &placed)?;
    state.write(&state_file)?;
    answers::show(&cluster)?;
    how_to_connect(&cluster);
    Ok(())
}

/// Ends the servers of the demo, of whichever major.
pub fn stop(project: &Project) -> Result<()> {
    let (home, _) = project.servers()?;
    let mut stopped = false;
    for entry in
        std::fs::read_dir(&home).with_context(|| format!("cannot list {}", home.display()))?
    {
        let entry = entry?;
        if !entry.file_name().to_string_lossy().ends_with("-demo") {
            continue;
        }
        let tree = Tree::existing(project, &entry.file_name().to_string_lossy())?;
        stopped |= Cluster::of(&tree).stop("fast")?;
    }
    println!(
        "{}",
        if stopped {
            "The demo's server is stopped."
        } else {
            "No server of the demo was running."
        }
    );
    Ok(())
}

fn start(cluster: &Cluster) -> Result<()> {
    if !cluster.exists() {
        println!("Making a private cluster in {}", cluster.data().display());
        cluster.create(SETTINGS)?;
    }
    if !cluster.running()? {
        println!("Starting {}", cluster.tree.version);
        cluster.start()?;
    }
    Ok(())
}

fn how_to_connect(cluster: &Cluster) {
    let psql = cluster.tree.bin.join("psql");
    let environment: Vec<String> = cluster
        .client_environment()
        .iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    println!(
        "\nPlay on with:\n  {}{} {} {DATABASE}",
        cluster.tree.shell_prefix(),
        environment.join(" "),
        psql.display()
    );
    println!("End the server with:\n  cargo xtask demo --stop");
}
