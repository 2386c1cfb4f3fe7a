//! A private copy of a server's programs, library folder and shared files.
//!
//! PostgreSQL finds its folders relative to its program, so a copy that keeps their places relative
//! to each other runs by itself, and extensions go into the copy. Files are copied, not linked: an
//! install into the copy must never write through to the system's.

use crate::command::{self, User};
use crate::install::{Placed, Target};
use crate::pg_config::{self, PgConfig};
use crate::project::{Project, hash};
use anyhow::{Context, Result, bail};
use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The programs that commands and tests use; where bindir is /usr/bin nothing else is copied.
const PROGRAMS: [&str; 20] = [
    "postgres",
    "initdb",
    "pg_ctl",
    "pg_config",
    "psql",
    "pg_dump",
    "pg_dumpall",
    "pg_restore",
    "pg_basebackup",
    "pg_isready",
    "pg_checksums",
    "pg_controldata",
    "pg_waldump",
    "pg_amcheck",
    "pg_verifybackup",
    "pg_receivewal",
    "pg_rewind",
    "pg_resetwal",
    "pgbench",
    "createdb",
];

/// What a copy does without: no program of it reads these.
const LEFT_OUT: [&str; 4] = ["bitcode", "pgxs", "man", "doc"];

/// A private server tree.
pub struct Tree {
    pub version: String,
    pub bin: PathBuf,
    pub target: Target,
    /// Where the servers' data and sockets go: the folder that the tree lies in.
    pub home: PathBuf,
    /// `15-demo`: the major and what the tree is for.
    pub name: String,
    pub user: Option<User>,
}

impl Tree {
    /// Describes the tree for one purpose, without making it.
    pub fn at(project: &Project, purpose: &str, pg: &PgConfig) -> Result<Self> {
        let (home, user) = project.servers()?;
        let name = format!("{}-{purpose}", pg.major);
        Ok(Self {
            user,
            ..Self::in_folder(&home, &name, pg)
        })
    }

    /// Describes a tree in a folder of one's own, for its owner to run.
    pub fn in_folder(home: &Path, name: &str, pg: &PgConfig) -> Self {
        let root = home.join(name);
        let prefix = common_folder(&[&pg.bindir, &pg.sharedir, &pg.pkglibdir]);
        let moved = |folder: &Path| match folder.strip_prefix(&prefix) {
            Ok(rest) => root.join(rest),
            Err(_) => root.clone(),
        };
        Self {
            version: pg.version.clone(),
            bin: moved(&pg.bindir),
            target: Target {
                pkglibdir: moved(&pg.pkglibdir),
                sharedir: moved(&pg.sharedir),
            },
            home: home.to_owned(),
            name: name.to_owned(),
            user: None,
        }
    }

    /// Describes a tree that is there, by its name: what it was copied from may be gone.
    pub fn existing(project: &Project, name: &str) -> Result<Self> {
        let (home, user) = project.servers()?;
        let found = pg_config::find_below(&home.join(name), 6)?;
        let config = found
            .first()
            .with_context(|| format!("the server tree {name} is not whole"))?;
        let pg = PgConfig::read(config)?;
        let target = Target {
            pkglibdir: pg.pkglibdir,
            sharedir: pg.sharedir,
        };
        Ok(Self {
            version: pg.version,
            bin: pg.bindir,
            target,
            home,
            name: name.to_owned(),
            user,
        })
    }

    /// The shared libraries that a wheel's programs bring along.
    fn libs(&self) -> PathBuf {
        self.root().join("wheel.libs")
    }

    fn root(&self) -> PathBuf {
        self.home.join(&self.name)
    }

    /// Whether the copy is there and still that of this installation.
    pub fn is_fresh(&self, pg: &PgConfig) -> Result<bool> {
        let stamp = fs::read_to_string(self.root().join("copied-from")).unwrap_or_default();
        Ok(stamp == stamp_of(pg)?)
    }

    /// Makes the copy, in the place of an older one. No server may be running from it.
    pub fn copy(&self, pg: &PgConfig) -> Result<()> {
        let root = self.root();
        if root.exists() {
            fs::remove_dir_all(&root)
                .with_context(|| format!("cannot remove {}", root.display()))?;
        }
        make_folder(&root)?;
        make_folder(&self.bin)?;
        for program in PROGRAMS {
            let from = pg.bindir.join(program);
            if from.is_file() {
                copy_file(&from, &self.bin.join(program), 0o755)?;
            }
        }
        copy_folder(&pg.pkglibdir, &self.target.pkglibdir)?;
        copy_folder(&pg.sharedir, &self.target.sharedir)?;
        if let Some(libs) = &pg.wheel_libs {
            copy_folder(libs, &self.libs())?;
        }
        self.check()?;
        fs::write(root.join("copied-from"), stamp_of(pg)?)?;
        Ok(())
    }

    /// The copy's own pg_config must name the copy's folders.
    fn check(&self) -> Result<()> {
        for (option, expected) in [
            ("--sharedir", &self.target.sharedir),
            ("--pkglibdir", &self.target.pkglibdir),
        ] {
            let said = command::capture(self.program("pg_config").arg(option))?;
            if Path::new(said.trim()) != expected {
                bail!(
                    "this PostgreSQL cannot be moved: {option} is {} and not {}",
                    said.trim(),
                    expected.display()
                );
            }
        }
        Ok(())
    }

    /// Installs the extension into the copy.
    pub fn install(
        &self,
        project: &Project,
        library: &Path,
        replace_pgvector: bool,
    ) -> Result<Placed> {
        self.target.install(project, library, replace_pgvector)
    }

    /// One of the copy's programs, with nothing of the caller's PostgreSQL settings about it. With
    /// RUST_BACKTRACE a server would print backtraces in the details of its errors.
    pub fn program(&self, name: &str) -> Command {
        let mut command = Command::new(self.bin.join(name));
        for (variable, _) in std::env::vars_os() {
            let name = variable.to_string_lossy();
            if name.starts_with("PG") || name.ends_with("_BACKTRACE") {
                command.env_remove(&variable);
            }
        }
        if let Some(path) = self.library_path() {
            command.env("LD_LIBRARY_PATH", path);
        }
        command.env("LC_ALL", "C.UTF-8");
        command
    }

    /// The LD_LIBRARY_PATH that the programs need, if they need one.
    pub fn library_path(&self) -> Option<OsString> {
        self.libs()
            .is_dir()
            .then(|| pg_config::library_path(&self.libs()))
    }

    /// What to write before a program's name to run it from a shell.
    pub fn shell_prefix(&self) -> String {
        if self.libs().is_dir() {
            format!("LD_LIBRARY_PATH={} ", self.libs().display())
        } else {
            String::new()
        }
    }
}

/// Names the installation and tells one build of it from the next.
fn stamp_of(pg: &PgConfig) -> Result<String> {
    let server = fs::metadata(pg.bindir.join("postgres"))?;
    let modified = server
        .modified()?
        .duration_since(std::time::UNIX_EPOCH)?
        .as_nanos();
    let all = format!(
        "{}\n{}\n{} bytes, {modified}\n",
        pg.bindir.display(),
        pg.version,
        server.len()
    );
    Ok(format!(
        "{all}{:016x}\n",
        hash(PROGRAMS.join(" ").as_bytes())
    ))
}

fn common_folder(folders: &[&Path]) -> PathBuf {
    let mut common = folders[0].to_owned();
    while !folders.iter().all(|folder| folder.starts_with(&common)) {
        common.pop();
    }
    common
}

fn make_folder(path: &Path) -> Result<()> {
    fs::create_dir_all(path).with_context(|| format!("cannot make {}", path.display()))?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o755))?;
    Ok(())
}

fn copy_file(from: &Path, to: &Path, mode: u32) -> Result<()> {
    fs::copy(from, to)
        .with_context(|| format!("cannot copy {} to {}", from.display(), to.display()))?;
    fs::set_permissions(to, fs::Permissions::from_mode(mode))?;
    Ok(())
}

/// Copies a folder for everybody to read; a link to a file becomes the file.
fn copy_folder(from: &Path, to: &Path) -> Result<()> {
    make_folder(to)?;
    for entry in fs::read_dir(from).with_context(|| format!("cannot list {}", from.display()))? {
        let entry = entry?;
        if LEFT_OUT.iter().any(|name| entry.file_name() == *name) {
            continue;
        }
        let (path, new) = (entry.path(), to.join(entry.file_name()));
        match fs::metadata(&path) {
            Ok(kind) if kind.is_dir() => copy_folder(&path, &new)?,
            Ok(kind) if kind.is_file() => {
                copy_file(&path, &new, 0o644 | (kind.permissions().mode() & 0o111))?
            }
            // A link to nowhere, as packages leave them for files of other packages.
            Ok(_) | Err(_) => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_common_folder_is_the_nearest_one() {
        let debian = [
            "/usr/lib/postgresql/15/bin",
            "/usr/share/postgresql/15",
            "/usr/lib/postgresql/15/lib",
        ];
        assert_eq!(common_folder(&debian.map(Path::new)), Path::new("/usr"));
        assert_eq!(
            common_folder(&["/opt/pg/bin", "/opt/pg/share", "/opt/pg/lib"].map(Path::new)),
            Path::new("/opt/pg")
        );
    }
}
