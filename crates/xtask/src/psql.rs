//! psql as the client of a private cluster.

use crate::command;
use crate::tree::Tree;
use anyhow::{Context, Result, bail};
use std::io::Write;
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// How to reach one database.
pub struct Psql<'c> {
    pub tree: &'c Tree,
    pub socket: &'c Path,
    pub database: String,
}

impl Psql<'_> {
    /// psql connected to the database, reading no startup file.
    pub fn command(&self) -> Command {
        let mut psql = self.tree.program("psql");
        psql.arg("-X").arg("-h").arg(self.socket).args([
            "-p",
            "5432",
            "-U",
            "postgres",
            "-d",
            &self.database,
        ]);
        psql
    }

    /// psql that gives bare rows, fields apart by a tab, and stops at the first error.
    fn rows_command(&self) -> Command {
        let mut psql = self.command();
        psql.args(["-A", "-t", "-q", "-F", "\t", "-v", "ON_ERROR_STOP=1"]);
        psql
    }

    /// Runs statements; returns what they print as bare rows.
    pub fn query(&self, sql: &str) -> Result<String> {
        let printed = command::capture(self.rows_command().arg("-c").arg(sql))?;
        Ok(printed.trim_end_matches('\n').to_owned())
    }

    /// Runs a script of any length; returns what it prints as bare rows.
    pub fn script(&self, text: &str) -> Result<String> {
        self.feed(self.rows_command(), text.as_bytes())
    }

    /// Runs one COPY ... FROM STDIN with its data.
    pub fn copy_in(&self, statement: &str, data: &[u8]) -> Result<()> {
        let mut psql = self.rows_command();
        psql.arg("-c").arg(statement);
        self.feed(psql, data).map(drop)
    }

    /// Starts a statement without waiting for it.
    pub fn start(&self, sql: &str) -> Result<Child> {
        let mut psql = self.rows_command();
        psql.arg("-c")
            .arg(sql)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        psql.spawn().context("cannot run psql")
    }

    fn feed(&self, mut psql: Command, input: &[u8]) -> Result<String> {
        psql.stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = psql.spawn().context("cannot run psql")?;
        let mut stdin = child.stdin.take().context("psql has no input")?;
        // psql may print while it still reads: write from a thread, or both wait for ever.
        let output = std::thread::scope(|scope| {
            scope.spawn(move || {
                // A failed write means that psql ended early; its own message says why.
                let _ = stdin.write_all(input);
            });
            child.wait_with_output()
        })?;
        if !output.status.success() {
            bail!(
                "psql failed: {}",
                String::from_utf8_lossy(&output.stderr).trim_end()
            );
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }
}
