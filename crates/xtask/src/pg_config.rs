//! One PostgreSQL installation, as its `pg_config` describes it.

use crate::command;
use anyhow::{Context, Result, bail};
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The majors that the extension builds for, newest first.
pub const MAJORS: [u32; 4] = [18, 17, 16, 15];

/// What `pg_config` says of one installation.
#[derive(Clone, Debug)]
pub struct PgConfig {
    pub path: PathBuf,
    pub major: u32,
    /// As in `PostgreSQL 15.20 (Debian 15.20-0+deb12u1)`.
    pub version: String,
    pub bindir: PathBuf,
    pub sharedir: PathBuf,
    pub pkglibdir: PathBuf,
    pub includedir_server: PathBuf,
    /// The folder of shared libraries that a Python wheel carries beside its package, if this
    /// installation is one: what its programs need on LD_LIBRARY_PATH once they are moved.
    pub wheel_libs: Option<PathBuf>,
}

impl PgConfig {
    /// Asks a `pg_config`.
    pub fn read(path: &Path) -> Result<Self> {
        let wheel_libs = wheel_libs(path);
        let ask = |option: &str| -> Result<String> {
            let mut command = Command::new(path);
            command.arg(option);
            if let Some(libs) = &wheel_libs {
                command.env("LD_LIBRARY_PATH", library_path(libs));
            }
            Ok(command::capture(&mut command)?.trim().to_owned())
        };
        let version = ask("--version")?;
        let major = parse_major(&version)
            .with_context(|| format!("{}: no major in \"{version}\"", path.display()))?;
        if !MAJORS.contains(&major) {
            bail!(
                "{}: {version}; pgnear builds for PostgreSQL 15 to 18",
                path.display()
            );
        }
        Ok(Self {
            major,
            version,
            bindir: ask("--bindir")?.into(),
            sharedir: ask("--sharedir")?.into(),
            pkglibdir: ask("--pkglibdir")?.into(),
            includedir_server: ask("--includedir-server")?.into(),
            path: path.to_owned(),
            wheel_libs,
        })
    }

    /// What is missing here to build and run a server: a word for the user, or nothing.
    pub fn missing(&self) -> Option<String> {
        if !self.bindir.join("postgres").is_file() {
            return Some(format!("no server in {}", self.bindir.display()));
        }
        let header = self.includedir_server.join("postgres.h");
        (!header.is_file())
            .then(|| format!("no server headers in {}", self.includedir_server.display()))
    }

    /// The installation to use when the user names none: the one on PATH, else Debian's newest.
    pub fn find() -> Option<Self> {
        let on_path = command::on_path("pg_config");
        let debian = MAJORS
            .iter()
            .map(|major| PathBuf::from(format!("/usr/lib/postgresql/{major}/bin/pg_config")));
        on_path
            .into_iter()
            .chain(debian)
            .filter(|path| path.is_file())
            .filter_map(|path| Self::read(&path).ok())
            .find(|config| config.missing().is_none())
    }

    /// The installation that the user named.
    pub fn named(path: &Path) -> Result<Self> {
        let config = Self::read(path)?;
        match config.missing() {
            None => Ok(config),
            Some(missing) => bail!("{}: {missing}", path.display()),
        }
    }
}

/// LD_LIBRARY_PATH with one folder put before what is there.
pub fn library_path(first: &Path) -> OsString {
    let mut path = first.as_os_str().to_owned();
    if let Some(rest) = std::env::var_os("LD_LIBRARY_PATH").filter(|rest| !rest.is_empty()) {
        path.push(":");
        path.push(rest);
    }
    path
}

fn parse_major(version: &str) -> Option<u32> {
    let number = version.strip_prefix("PostgreSQL ")?;
    number
        .split(|c: char| !c.is_ascii_digit())
        .next()?
        .parse()
        .ok()
}

/// `site/package/pginstall/bin/pg_config` has its libraries in `site/package.libs`.
fn wheel_libs(pg_config: &Path) -> Option<PathBuf> {
    pg_config.ancestors().skip(2).take(3).find_map(|folder| {
        let name = folder.file_name()?.to_str()?;
        Some(folder.with_file_name(format!("{name}.libs"))).filter(|libs| libs.is_dir())
    })
}

/// Every file named pg_config in a folder `bin`, down to a depth.
pub fn find_below(folder: &Path, depth: usize) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in
        fs::read_dir(folder).with_context(|| format!("cannot list {}", folder.display()))?
    {
        let path = entry?.path();
        if path.is_dir() && depth > 0 {
            found.extend(find_below(&path, depth - 1)?);
        } else if path.ends_with("bin/pg_config") {
            found.push(path);
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn majors_are_read_from_releases_and_betas() {
        assert_eq!(
            parse_major("PostgreSQL 15.20 (Debian 15.20-0+deb12u1)"),
            Some(15)
        );
        assert_eq!(parse_major("PostgreSQL 18beta1"), Some(18));
        assert_eq!(parse_major("something else"), None);
    }
}
