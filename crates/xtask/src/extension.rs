//! What the extension consists of: its library, control file and SQL scripts.

use crate::command;
use crate::pg_config::PgConfig;
use crate::project::Project;
use anyhow::{Context, Result, bail};
use std::fs;
use std::path::{Path, PathBuf};

/// The release of pgvector whose contract the extension answers to when installed under its name.
pub const PGVECTOR_VERSION: &str = "0.8.6";

/// In the first line of each file that is installed under pgvector's name: how a later install
/// tells its own files from a real pgvector's.
pub const OURS: &str = "pgnear";

/// One file of sharedir/extension.
pub struct File {
    pub name: String,
    pub text: String,
}

/// Where the program that drives a GPU is, once built.
pub fn gpu_program(project: &Project) -> PathBuf {
    project.target.join("release/pgnear-gpu")
}

/// Builds the library for one server, and the program beside it; returns the library's file.
pub fn build(project: &Project, pg: &PgConfig) -> Result<PathBuf> {
    // Cargo gives the libraries for all majors one file name and then takes that of another major
    // for this one's: whatever is not known to be this major's goes.
    let (compiled, kept) = (
        project.target.join("release/deps/libpgnear.so"),
        project.target.join(format!("pgnear-pg{}.so", pg.major)),
    );
    if compiled.exists() && fs::read(&compiled)? != fs::read(&kept).unwrap_or_default() {
        fs::remove_file(&compiled)?;
    }
    let mut cargo = for_server(project, pg, "build");
    command::run(cargo.arg("--release"))?;
    let mut program = command::cargo();
    program
        .args([
            "build",
            "--quiet",
            "--release",
            "--package",
            "pgnear-gpu",
            "--bins",
        ])
        .arg("--target-dir")
        .arg(&project.target)
        .current_dir(&project.root);
    command::run(&mut program)?;
    fs::copy(&compiled, &kept)
        .with_context(|| format!("the build made no {}", compiled.display()))?;
    Ok(kept)
}

/// A Cargo command on the extension crate, against one server's headers.
pub fn for_server(project: &Project, pg: &PgConfig, what: &str) -> std::process::Command {
    let mut cargo = command::cargo();
    cargo
        .arg(what)
        .args([
            "--quiet",
            "--lib",
            "--package",
            "pgnear",
            "--no-default-features",
            "--features",
        ])
        .arg(format!("pg{}", pg.major))
        .arg("--target-dir")
        .arg(&project.target)
        .current_dir(&project.root)
        .env("PGRX_PG_CONFIG_PATH", &pg.path);
    cargo
}

/// The control file and the scripts, under the extension's own name.
pub fn files(project: &Project) -> Result<Vec<File>> {
    let version = project.version;
    let control = read(&project.root.join("pgnear.control"))?.replace("@VERSION@", version);
    let mut files = vec![
        File {
            name: "pgnear.control".into(),
            text: control,
        },
        File {
            name: format!("pgnear--{version}.sql"),
            text: install_script(project, "pgnear")?,
        },
    ];
    for upgrade in sql_files(&project.root.join("sql/upgrade"))? {
        let name = upgrade
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        files.push(File {
            name,
            text: read(&upgrade)?,
        });
    }
    Ok(files)
}

/// The same objects under pgvector's name, so that `CREATE EXTENSION vector` finds them.
pub fn files_as_pgvector(project: &Project) -> Result<Vec<File>> {
    let control = format!(
        "# {OURS} under pgvector's name\n\
         comment = 'vector data type and ivfflat and hnsw access methods (pgnear)'\n\
         default_version = '{PGVECTOR_VERSION}'\n\
         module_pathname = '$libdir/vector'\n\
         relocatable = true\n"
    );
    let script = format!(
        "-- {OURS} under pgvector's name\n{}",
        install_script(project, "vector")?
    );
    Ok(vec![
        File {
            name: "vector.control".into(),
            text: control,
        },
        File {
            name: format!("vector--{PGVECTOR_VERSION}.sql"),
            text: script,
        },
    ])
}

/// The install script: every file of sql/ in the order of its name.
fn install_script(project: &Project, extension: &str) -> Result<String> {
    let mut script =
        format!("\\echo Use \"CREATE EXTENSION {extension}\" to load this file. \\quit\n");
    let parts = sql_files(&project.root.join("sql"))?;
    if parts.is_empty() {
        bail!("no install script in sql/");
    }
    for part in parts {
        let name = part.file_name().unwrap_or_default().to_string_lossy();
        script.push_str(&format!("\n-- from sql/{name}\n{}", read(&part)?));
    }
    Ok(script)
}

/// The `.sql` files of a folder by name; none where there is no folder.
pub fn sql_files(folder: &Path) -> Result<Vec<PathBuf>> {
    if !folder.is_dir() {
        return Ok(Vec::new());
    }
    let mut files = Vec::new();
    for entry in
        fs::read_dir(folder).with_context(|| format!("cannot list {}", folder.display()))?
    {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "sql") && path.is_file() {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

fn read(path: &Path) -> Result<String> {
    fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
}
