//! What is printed: a head that says what was measured on what, and Markdown tables.

use crate::system::System;
use anyhow::Result;
use std::process::Command;

/// A Markdown table; the first column is text, the others are numbers.
pub struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    pub fn new(columns: &[&str]) -> Self {
        Self {
            rows: vec![columns.iter().map(|name| (*name).to_owned()).collect()],
        }
    }

    pub fn row(&mut self, fields: impl IntoIterator<Item = String>) {
        self.rows.push(fields.into_iter().collect());
    }

    pub fn print(&self, title: &str) {
        println!("\n## {title}\n\n{}", self.text());
    }

    /// Columns padded, so that the table also reads as plain text.
    fn text(&self) -> String {
        let width = |column: usize| {
            let cells = self.rows.iter().filter_map(|row| row.get(column));
            cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..self.rows[0].len()).map(width).collect();
        let line = |row: &Vec<String>| {
            let mut line = String::from("|");
            for (column, (cell, width)) in row.iter().zip(&widths).enumerate() {
                if column == 0 {
                    line.push_str(&format!(" {cell:<width$} |"));
                } else {
                    line.push_str(&format!(" {cell:>width$} |"));
                }
            }
            line
        };
        let mut lines = vec![line(&self.rows[0])];
        let mut rule = String::from("|");
        for (column, width) in widths.iter().enumerate() {
            let colon = if column == 0 { '-' } else { ':' };
            rule.push_str(&format!("-{}{colon}|", "-".repeat(*width)));
        }
        lines.push(rule);
        lines.extend(self.rows[1..].iter().map(line));
        lines.join("\n")
    }
}

/// Prints the head of a run.
pub fn head(title: &str, systems: &mut [System; 2]) -> Result<()> {
    let row = systems[0].client.query_one(
        "SELECT current_setting('server_version'), to_char(now() AT TIME ZONE 'UTC', 'YYYY-MM-DD')",
        &[],
    )?;
    let (server, date): (String, String) = (row.get(0), row.get(1));
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    println!("# {title}\n");
    println!("CPU: {} ({cores} cores)  ", cpu_model());
    println!("Server: PostgreSQL {server}  ");
    for system in systems {
        println!("{}: {}  ", system.name, system.version);
    }
    println!("Commit: {}  ", commit());
    println!("Date: {date}  ");
    Ok(())
}

fn cpu_model() -> String {
    let text = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let field = |name: &str| {
        let line = text.lines().find(|line| line.starts_with(name))?;
        Some(line.split_once(':')?.1.trim().to_owned())
    };
    let model = field("model name").unwrap_or_else(|| std::env::consts::ARCH.to_owned());
    let flags = field("flags").unwrap_or_default();
    let best = ["avx512f", "avx2"]
        .into_iter()
        .find(|level| flags.split(' ').any(|flag| flag == *level));
    match best {
        Some(level) => format!("{model}, {level}"),
        None => model,
    }
}

/// The checkout's commit, with a plus where files differ from it.
fn commit() -> String {
    let git = |arguments: &[&str]| {
        let output = Command::new("git").args(arguments).output().ok()?;
        let text = String::from_utf8(output.stdout).ok()?;
        output.status.success().then(|| text.trim().to_owned())
    };
    match git(&["rev-parse", "--short=10", "HEAD"]) {
        Some(commit) => {
            let changed = git(&["status", "--porcelain", "--untracked-files=no"]);
            let plus = if changed.is_some_and(|changed| changed.is_empty()) {
                ""
            } else {
                " + changes"
            };
            format!("{commit}{plus}")
        }
        None => "unknown".to_owned(),
    }
}

/// Tells whoever waits what is going on; not part of the report.
pub fn progress(what: &str) {
    eprintln!("… {what}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_markdown_with_numbers_to_the_right() {
        let mut table = Table::new(&["what", "µs"]);
        table.row(["a longer name".to_owned(), "7".to_owned()]);
        assert_eq!(
            table.text(),
            "| what          | µs |\n|---------------|---:|\n| a longer name |  7 |"
        );
    }
}
