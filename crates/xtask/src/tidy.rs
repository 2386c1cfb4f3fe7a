//! `cargo xtask tidy`: the rules of the source tree that the compiler does not know.

mod rules;
mod source;

use crate::project::Project;
use anyhow::{Context, Result};
use std::fs;
use std::path::Path;

/// A file of the tree, by its path relative to the root with `/` between the parts.
pub struct File {
    pub path: String,
    pub text: String,
}

/// A place where a rule is broken.
#[derive(Debug, PartialEq, Eq)]
pub struct Finding {
    pub path: String,
    /// Counted from 1.
    pub line: usize,
    pub message: String,
}

/// Prints every finding; true when there is none.
pub fn run(project: &Project) -> Result<bool> {
    let findings = rules::check(&tree(&project.root)?);
    for Finding {
        path,
        line,
        message,
    } in &findings
    {
        println!("{path}:{line}: {message}");
    }
    Ok(findings.is_empty())
}

/// The files that the rules speak of.
fn tree(root: &Path) -> Result<Vec<File>> {
    let mut files = Vec::new();
    for top in ["Cargo.toml", ".cargo", "build.rs", "crates", "src", "tests"] {
        collect(root, top, &mut files)?;
    }
    files.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(files)
}

fn collect(root: &Path, relative: &str, files: &mut Vec<File>) -> Result<()> {
    let path = root.join(relative);
    if path.is_dir() {
        for entry in fs::read_dir(&path).with_context(|| format!("cannot list {relative}"))? {
            let name = entry?.file_name().to_string_lossy().into_owned();
            if name != "target" {
                collect(root, &format!("{relative}/{name}"), files)?;
            }
        }
    } else if [".rs", ".toml", "README.md"]
        .iter()
        .any(|end| relative.ends_with(end))
        && path.is_file()
    {
        let text = fs::read_to_string(&path).with_context(|| format!("cannot read {relative}"))?;
        files.push(File {
            path: relative.to_owned(),
            text,
        });
    }
    Ok(())
}
