//! `cargo xtask package`: a tarball to unpack over a server's folders.

use crate::command;
use crate::extension;
use crate::pg_config::PgConfig;
use crate::project::Project;
use anyhow::{Context, Result};
use std::fs;
use std::path::PathBuf;
use std::process::Command;

/// Builds for one server and writes `target/package/pgnear-VERSION-pgMAJOR-ARCH.tar.gz`.
pub fn run(project: &Project, pg_config: Option<PathBuf>) -> Result<()> {
    let pg = match pg_config {
        Some(path) => PgConfig::named(&path)?,
        None => PgConfig::find()
            .context("no PostgreSQL 15 to 18 with its server headers; name one with --pg-config")?,
    };
    let library = extension::build(project, &pg)?;
    let name = format!(
        "pgnear-{}-pg{}-{}",
        project.version,
        pg.major,
        std::env::consts::ARCH
    );
    let packages = project.target.join("package");
    let folder = packages.join(&name);
    if folder.exists() {
        fs::remove_dir_all(&folder)?;
    }
    fs::create_dir_all(folder.join("lib"))?;
    fs::create_dir_all(folder.join("extension"))?;
    fs::copy(&library, folder.join("lib/pgnear.so"))?;
    fs::copy(
        extension::gpu_program(project),
        folder.join("lib/pgnear-gpu"),
    )?;
    for file in extension::files(project)? {
        fs::write(folder.join("extension").join(&file.name), file.text)?;
    }
    fs::copy(project.root.join("LICENSE"), folder.join("LICENSE"))
        .context("cannot copy LICENSE")?;
    let archive = packages.join(format!("{name}.tar.gz"));
    let mut tar = Command::new("tar");
    tar.arg("-czf")
        .arg(&archive)
        .args(["--owner=0", "--group=0", "--sort=name", "-C"])
        .arg(&packages)
        .arg(&name);
    command::run(&mut tar)?;
    println!(
        "{}: lib/* goes to `pg_config --pkglibdir`, extension/* to `pg_config --sharedir`/extension",
        archive.display()
    );
    Ok(())
}
