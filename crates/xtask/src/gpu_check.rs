//! `cargo xtask gpu-check`: an archive that checks everything on a machine with a GPU, where nothing can be
//! built or fetched.

use crate::command;
use crate::extension;
use crate::project::Project;
use crate::tree::Tree;
use crate::wheel;
use anyhow::{Context, Result};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The server's major.
const MAJOR: u32 = 18;

/// Writes `target/gpu-check.tar.gz`.
pub fn run(project: &Project) -> Result<()> {
    let folder = project.target.join("gpu-check");
    if folder.exists() {
        fs::remove_dir_all(&folder)?;
    }
    fs::create_dir_all(&folder)?;
    let pg = wheel::server(project, MAJOR)?;
    let library = extension::build(project, &pg)?;
    let tree = Tree::in_folder(&folder, "postgres", &pg);
    tree.copy(&pg)?;
    tree.install(project, &library, false)?;
    fs::copy(extension::gpu_program(project), folder.join("pgnear-gpu"))?;
    for name in ["conformance", "faults"] {
        fs::copy(test_program(project, name)?, folder.join(name))?;
    }
    for name in ["check.sh", "check.sql"] {
        let from = project.root.join("crates/gpu/check").join(name);
        fs::copy(&from, folder.join(name))
            .with_context(|| format!("cannot copy {}", from.display()))?;
    }
    let archive = folder.with_extension("tar.gz");
    let mut tar = Command::new("tar");
    tar.arg("-czf").arg(&archive);
    tar.args(["--owner=0", "--group=0", "-C"])
        .arg(&project.target)
        .arg("gpu-check");
    command::run(&mut tar)?;
    println!(
        "{}: unpack it on a machine with a GPU and run gpu-check/check.sh",
        archive.display()
    );
    Ok(())
}

/// Builds one of the program's tests.
fn test_program(project: &Project, name: &str) -> Result<PathBuf> {
    let mut cargo = command::cargo();
    cargo
        .args(["test", "--quiet", "--release", "--package", "pgnear-gpu"])
        .args(["--no-run", "--message-format=json", "--test", name])
        .arg("--target-dir")
        .arg(&project.target)
        .current_dir(&project.root);
    let said = command::capture(&mut cargo)?;
    // Of Cargo's messages, that about the test: another is about the program itself.
    let paths = said.split("\"executable\":\"").skip(1);
    let mut paths = paths.filter_map(|rest| Some(Path::new(rest.split_once('"')?.0)));
    let is_test = |path: &Path| {
        let file = path.file_name().unwrap_or_default().to_string_lossy();
        file.starts_with(&format!("{name}-"))
    };
    let path = paths.find(|path| is_test(path));
    let path = path.with_context(|| format!("cargo names no program of the test {name}"))?;
    Ok(path.to_owned())
}
