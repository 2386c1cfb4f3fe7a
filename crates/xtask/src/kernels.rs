//! `cargo xtask kernels`: the GPU kernels, compiled ahead by NVRTC out of its wheel, which needs no GPU.

use crate::command;
use crate::project::Project;
use crate::wheel;
use anyhow::{Context, Result, bail};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The oldest NVRTC whose PTX has what the kernels use, so that drivers from 525 on take it. There is none
/// for Arm.
const NVRTC: (&str, &str) = (
    "nvidia-cuda-nvrtc-cu12==12.0.140",
    "8e94e991d85c422de4da87bdc7472fdc1364367bd4aace7000b559cd33122071",
);

fn folder(project: &Project) -> PathBuf {
    project.root.join("crates/gpu/kernels")
}

/// Compiles the kernels and writes the files that are committed.
pub fn run(project: &Project) -> Result<()> {
    print!("{}", compile(project, &folder(project))?);
    Ok(())
}

/// Makes sure that the committed files are what the source makes; why they were not looked at.
pub fn check(project: &Project) -> Result<Option<&'static str>> {
    if std::env::consts::ARCH != "x86_64" {
        return Ok(Some("NVRTC 12.0 is there for x86-64 only"));
    }
    let fresh = project.target.join("kernels");
    compile(project, &fresh)?;
    for made in fs::read_dir(&fresh)?.flatten() {
        let committed = folder(project).join(made.file_name());
        if fs::read(made.path())? != fs::read(&committed).unwrap_or_default() {
            bail!(
                "{} is not what search.cu makes: run cargo xtask kernels",
                committed.display()
            );
        }
    }
    Ok(None)
}

/// Compiles into a folder; what the compiler says of registers.
fn compile(project: &Project, to: &Path) -> Result<String> {
    let (requirement, hash) = NVRTC;
    let wheel = wheel::unpacked(project, requirement, &[hash], "compiling GPU kernels")?;
    let mut python = Command::new(wheel::python(project)?);
    python
        .arg(folder(project).join("compile.py"))
        .arg(wheel.join("nvidia/cuda_nvrtc/lib"))
        .arg(folder(project).join("search.cu"))
        .arg(to);
    command::capture(&mut python).context("the GPU kernels do not compile")
}
