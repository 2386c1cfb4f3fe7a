//! The steps of a test run, their outcomes and the closing line.

use anyhow::{Error, Result};
use std::io::Write;
use std::time::Instant;

/// How many tests a step ran, by outcome.
#[derive(Clone, Copy, Default, Debug, PartialEq, Eq)]
pub struct Counts {
    pub passed: usize,
    pub failed: usize,
    pub skipped: usize,
}

impl Counts {
    pub const ONE: Self = Self {
        passed: 1,
        failed: 0,
        skipped: 0,
    };

    fn add(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped += other.skipped;
    }
}

/// A step that ran tests, some of which failed: their counts and what to show.
#[derive(Debug)]
pub struct Failed {
    pub counts: Counts,
    pub shown: String,
}

impl std::fmt::Display for Failed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.shown)
    }
}

impl std::error::Error for Failed {}

/// What has run so far.
pub struct Report {
    filter: Option<String>,
    counts: Counts,
    failures: Vec<String>,
}

impl Report {
    pub fn new(filter: Option<String>) -> Self {
        Self {
            filter,
            counts: Counts::default(),
            failures: Vec::new(),
        }
    }

    /// Whether the command line asks for this step.
    pub fn wants(&self, name: &str) -> bool {
        self.filter
            .as_ref()
            .is_none_or(|filter| name.contains(filter.as_str()))
    }

    /// Runs a step, if it is asked for, and prints its line.
    pub fn step(&mut self, name: &str, run: impl FnOnce() -> Result<Counts>) {
        if !self.wants(name) {
            return;
        }
        let started = Instant::now();
        match run() {
            Ok(counts) => {
                let tests = if counts == Counts::ONE {
                    String::new()
                } else {
                    format!(", {}", line(counts))
                };
                println!(
                    "ok      {name} ({:.1} s{tests})",
                    started.elapsed().as_secs_f64()
                );
                self.counts.add(counts);
            }
            Err(error) => self.fail(name, &error),
        }
        // A run in a pipe shows how far it is.
        let _ = std::io::stdout().flush();
    }

    /// Runs what other steps need, whatever the filter; it counts as one test.
    pub fn setup<T>(&mut self, name: &str, run: impl FnOnce() -> Result<T>) -> Option<T> {
        let started = Instant::now();
        match run() {
            Ok(made) => {
                println!("ok      {name} ({:.1} s)", started.elapsed().as_secs_f64());
                self.counts.add(Counts::ONE);
                Some(made)
            }
            Err(error) => {
                self.fail(name, &error);
                None
            }
        }
    }

    /// Counts a failure and shows it.
    pub fn fail(&mut self, name: &str, error: &Error) {
        println!("FAILED  {name}");
        for text in format!("{error:#}").lines() {
            println!("        {text}");
        }
        self.failures.push(name.to_owned());
        let counts = error.downcast_ref::<Failed>().map_or(
            Counts {
                failed: 1,
                ..Counts::default()
            },
            |f| f.counts,
        );
        self.counts.add(Counts {
            failed: counts.failed.max(1),
            ..counts
        });
    }

    /// Prints the failed steps and the closing line; true when nothing failed.
    pub fn close(mut self) -> bool {
        if self.counts == Counts::default() {
            let filter = self.filter.take().unwrap_or_default();
            self.fail(
                "filter",
                &anyhow::anyhow!("no test has \"{filter}\" in its name"),
            );
        }
        for name in &self.failures {
            println!("failed: {name}");
        }
        println!("{}", line(self.counts));
        self.counts.failed == 0
    }
}

fn line(counts: Counts) -> String {
    let skipped = if counts.skipped > 0 {
        format!(", {} skipped", counts.skipped)
    } else {
        String::new()
    };
    format!(
        "{} passed, {} failed{skipped}",
        counts.passed, counts.failed
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_closing_line_counts() {
        assert_eq!(
            line(Counts {
                passed: 3,
                failed: 0,
                skipped: 0
            }),
            "3 passed, 0 failed"
        );
        assert_eq!(
            line(Counts {
                passed: 3,
                failed: 1,
                skipped: 2
            }),
            "3 passed, 1 failed, 2 skipped"
        );
    }

    #[test]
    fn a_failed_step_counts_at_least_once() {
        let mut report = Report::new(None);
        report.step("a", || Ok(Counts::ONE));
        report.step("b", || {
            Err(Failed {
                counts: Counts {
                    passed: 4,
                    ..Counts::default()
                },
                shown: "x".into(),
            }
            .into())
        });
        report.step("c", || anyhow::bail!("y"));
        assert_eq!(
            report.counts,
            Counts {
                passed: 5,
                failed: 2,
                skipped: 0
            }
        );
        assert!(!report.close());
    }

    #[test]
    fn only_what_the_filter_names_is_run() {
        let mut report = Report::new(Some("sql".into()));
        report.step("unit", || Ok(Counts::ONE));
        assert_eq!(report.counts, Counts::default());
        assert!(!report.close(), "a filter that names nothing is a mistake");
    }
}
