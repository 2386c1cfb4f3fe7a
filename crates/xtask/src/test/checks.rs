//! The steps that need no running server: format, rules, lints, the pure crates' tests.

use super::report::{Counts, Failed, Report};
use crate::command;
use crate::extension;
use crate::kernels;
use crate::pg_config::PgConfig;
use crate::project::Project;
use crate::tidy;
use anyhow::{Context, Result, bail};
use std::process::{Command, Stdio};

pub fn run(project: &Project, pg: &PgConfig, report: &mut Report) {
    report.step("fmt", || {
        quiet(cargo(project, "fmt").args(["--all", "--", "--check"]))
    });
    report.step("tidy", || {
        if tidy::run(project)? {
            Ok(Counts::ONE)
        } else {
            bail!("the findings are above")
        }
    });
    report.step("clippy/crates", || {
        quiet(cargo(project, "clippy").args(["--quiet", "--all-targets", "--", "-D", "warnings"]))
    });
    report.step("clippy/extension", || {
        quiet(extension::for_server(project, pg, "clippy").args(["--", "-D", "warnings"]))
    });
    report.step("kernels", || match kernels::check(project)? {
        None => Ok(Counts::ONE),
        Some(why) => {
            println!("kernels: not run: {why}");
            Ok(Counts {
                skipped: 1,
                ..Counts::default()
            })
        }
    });
    report.step("unit", || unit_tests(project));
}

/// The measuring program, which is no default member, and a small run of each bench: that they work, not
/// what they measure.
pub fn benches(project: &Project, report: &mut Report) {
    let of_bench = ["--quiet", "--package", "pgnear-bench"];
    report.step("bench/clippy", || {
        let lints = ["--all-targets", "--", "-D", "warnings"];
        quiet(cargo(project, "clippy").args(of_bench).args(lints))
    });
    report.step("bench/unit", || {
        quiet(cargo(project, "test").args(of_bench).arg("--release"))
    });
    for name in ["types", "ivfflat", "hnsw", "batch"] {
        report.step(&format!("bench/{name}"), || {
            let mut bench = Command::new(std::env::current_exe()?);
            let printed = command::capture(bench.args(["bench", name, "--quick"]))?;
            // A table, whatever is in it.
            if !printed.contains("\n|--") {
                bail!("bench {name} printed no table:\n{printed}");
            }
            Ok(Counts::ONE)
        });
    }
}

/// The extension compiles against one major.
pub fn compiles(project: &Project, pg: &PgConfig) -> Result<Counts> {
    quiet(&mut extension::for_server(project, pg, "check"))
}

/// A command that passes as one test; what it prints is shown when it fails.
fn quiet(command: &mut Command) -> Result<Counts> {
    command::capture(command)?;
    Ok(Counts::ONE)
}

fn cargo(project: &Project, what: &str) -> Command {
    let mut cargo = command::cargo();
    cargo.arg(what).current_dir(&project.root);
    if what != "fmt" {
        cargo.arg("--target-dir").arg(&project.target);
    }
    cargo
}

/// The default members' tests: each counts.
fn unit_tests(project: &Project) -> Result<Counts> {
    let mut cargo = cargo(project, "test");
    cargo.arg("--no-fail-fast").stdin(Stdio::null());
    let output = cargo.output().context("cannot run cargo test")?;
    let printed = String::from_utf8_lossy(&output.stdout);
    let counts = sum_of_results(&printed);
    if output.status.success() && counts.failed == 0 && counts.passed > 0 {
        return Ok(counts);
    }
    let passed = |line: &&str| !line.ends_with("... ok") && !line.trim().is_empty();
    let shown = printed
        .lines()
        .filter(passed)
        .collect::<Vec<_>>()
        .join("\n");
    Err(Failed {
        counts,
        shown: format!("{shown}\n{}", String::from_utf8_lossy(&output.stderr)),
    }
    .into())
}

/// Adds up lines like `test result: ok. 7 passed; 0 failed; 1 ignored; 0 measured; …`.
fn sum_of_results(printed: &str) -> Counts {
    let mut sum = Counts::default();
    for line in printed
        .lines()
        .filter(|line| line.starts_with("test result:"))
    {
        let numbers = line
            .split(['.', ';'])
            .filter_map(|part| part.trim().split_once(' '));
        for (number, outcome) in numbers {
            let Ok(number) = number.parse::<usize>() else {
                continue;
            };
            match outcome {
                "passed" => sum.passed += number,
                "failed" => sum.failed += number,
                "ignored" => sum.skipped += number,
                _ => {}
            }
        }
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cargos_results_are_added_up() {
        let printed = "test a ... ok\ntest result: ok. 7 passed; 0 failed; 1 ignored; 0 measured; 2 filtered out; finished in 0.00s\n\
                       test result: FAILED. 2 passed; 3 failed; 0 ignored; 0 measured; 0 filtered out; finished in 1.25s\n";
        assert_eq!(
            sum_of_results(printed),
            Counts {
                passed: 9,
                failed: 3,
                skipped: 1
            }
        );
    }
}
