//! One SQL test: a script through psql in a database of its own, its output beside the expected.

use super::report::Counts;
use super::server::crashes;
use crate::cluster::Cluster;
use crate::project::Project;
use anyhow::{Context, Result, bail};
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

/// A difference is shown up to this many lines; the file holds the rest.
const SHOWN_LINES: usize = 120;

/// Runs `tests/sql/NAME.sql` and compares with `tests/expected/NAME.out`; with `accept` the output
/// becomes the expected one.
pub fn test(
    project: &Project,
    cluster: &Cluster,
    major: u32,
    script: &Path,
    accept: bool,
) -> Result<Counts> {
    let name = script
        .file_stem()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned();
    let results = project.target.join("test-results").join(major.to_string());
    fs::create_dir_all(&results)?;
    let printed = results.join(format!("{name}.out"));
    let database = format!("t_{name}");
    let server = cluster.psql("postgres");
    cluster.wait_until_ready()?;
    let log_before = fs::read(cluster.log())?.len();
    server.query(&format!(
        "CREATE DATABASE \"{database}\" TEMPLATE template0"
    ))?;

    let output = fs::File::create(&printed)?;
    let mut psql = cluster.psql(&database).command();
    psql.args(["-a", "-q", "-v", "ON_ERROR_STOP=0"])
        .current_dir(project.root.join("tests"));
    // From standard input errors are printed without file and line, so that a line added above
    // does not change the expected output of all that follow.
    psql.stdin(fs::File::open(script)?)
        .stdout(output.try_clone()?)
        .stderr(Stdio::from(output));
    let status = psql.status().context("cannot run psql")?;

    if !status.success() {
        // The connection was lost; the log says why once the server is back.
        cluster.wait_until_ready()?;
    }
    let log = fs::read(cluster.log())?;
    let log = String::from_utf8_lossy(log.get(log_before..).unwrap_or_default());
    let crashes = crashes(&log);
    if !crashes.is_empty() {
        bail!(
            "{}\nits last output:\n{}",
            crashes.join("\n"),
            tail(&printed, 10)?
        );
    }

    let expected = project
        .root
        .join("tests/expected")
        .join(format!("{name}.out"));
    if accept && status.success() {
        fs::create_dir_all(project.root.join("tests/expected"))?;
        fs::copy(&printed, &expected)?;
    }
    if !expected.is_file() {
        bail!(
            "there is no tests/expected/{name}.out; --accept makes it of {}",
            printed.display()
        );
    }
    let difference = difference(&expected, &printed)?;
    if !difference.is_empty() {
        let lines: Vec<&str> = difference.lines().collect();
        let rest = lines.len().saturating_sub(SHOWN_LINES);
        let shown = lines[..lines.len() - rest].join("\n");
        bail!(
            "{shown}{}",
            if rest > 0 {
                format!("\n… {rest} more lines")
            } else {
                String::new()
            }
        );
    }
    if !status.success() {
        bail!("psql: {status}");
    }
    server.query(&format!("DROP DATABASE \"{database}\""))?;
    Ok(Counts::ONE)
}

fn tail(path: &Path, lines: usize) -> Result<String> {
    let bytes = fs::read(path)?;
    let text = String::from_utf8_lossy(&bytes);
    let all: Vec<&str> = text.lines().collect();
    Ok(all[all.len().saturating_sub(lines)..].join("\n"))
}

/// What `diff -u` prints; empty when the files are equal.
fn difference(expected: &Path, printed: &Path) -> Result<String> {
    let output = Command::new("diff")
        .arg("-u")
        .arg(expected)
        .arg(printed)
        .output()
        .context("cannot run diff")?;
    match output.status.code() {
        Some(0 | 1) => Ok(String::from_utf8_lossy(&output.stdout).into_owned()),
        _ => bail!("diff: {}", String::from_utf8_lossy(&output.stderr)),
    }
}
