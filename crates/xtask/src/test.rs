//! `cargo xtask test`: everything that must pass.

mod checks;
mod report;
mod server;
mod sql;

use crate::apt;
use crate::pg_config::{MAJORS, PgConfig};
use crate::project::Project;
use crate::wheel;
use anyhow::{Context, Result, bail};
use report::Report;
use std::path::PathBuf;

/// What the command line asks for.
pub struct Options {
    pub pg_config: Option<PathBuf>,
    /// The majors to run the suite on; by default the system's and the newest.
    pub majors: Option<Vec<u32>>,
    /// Make what was printed the expected output.
    pub accept: bool,
    /// Run only the steps whose names contain this.
    pub filter: Option<String>,
}

/// The majors in a list like `15,18`.
pub fn parse_majors(list: &str) -> Result<Vec<u32>> {
    let major = |word: &str| match word.trim().parse() {
        Ok(major) if MAJORS.contains(&major) => Ok(major),
        _ => bail!("--majors takes 15 to 18, as in 15,18, and not \"{list}\""),
    };
    list.split(',').map(major).collect()
}

/// Runs the steps, ends with the line of counts; true when nothing failed.
pub fn run(project: &Project, options: &Options) -> Result<bool> {
    let mut report = Report::new(options.filter.clone());
    let system = apt::ensure_server(options.pg_config.as_deref()).and_then(|pg| {
        apt::ensure_build_tools()?;
        Ok(pg)
    });
    let system = match system {
        Ok(pg) => pg,
        Err(error) => {
            report.fail("server", &error);
            return Ok(report.close());
        }
    };
    checks::run(project, &system, &mut report);

    let majors = options
        .majors
        .clone()
        .unwrap_or_else(|| vec![system.major, MAJORS[0]]);
    // A major that only has to compile; those that the suite runs on are built there.
    for major in MAJORS
        .into_iter()
        .rev()
        .filter(|major| !majors.contains(major))
    {
        if options.majors.is_none() {
            report.step(&format!("check/{major}"), || {
                checks::compiles(project, &headers(project, &system, major)?)
            });
        }
    }
    for (index, major) in majors.iter().enumerate() {
        if !majors[..index].contains(major) {
            server::suite(
                project,
                *major,
                || headers(project, &system, *major),
                options.accept,
                &mut report,
            );
        }
    }
    checks::benches(project, &mut report);
    Ok(report.close())
}

/// A server of one major with its headers: the system's, another of Debian's, or a wheel's.
fn headers(project: &Project, system: &PgConfig, major: u32) -> Result<PgConfig> {
    if system.major == major {
        return Ok(system.clone());
    }
    let debian = PathBuf::from(format!("/usr/lib/postgresql/{major}/bin/pg_config"));
    if debian.is_file()
        && let Ok(config) = PgConfig::named(&debian)
    {
        return Ok(config);
    }
    wheel::server(project, major).with_context(|| format!("no PostgreSQL {major}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn majors_are_a_list_of_known_ones() {
        assert_eq!(parse_majors("15,18").unwrap(), [15, 18]);
        assert!(parse_majors("14").is_err());
        assert!(parse_majors("15,").is_err());
    }
}
