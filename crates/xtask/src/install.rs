//! `cargo xtask install`, and the placing of files that the private servers share with it.

use crate::apt;
use crate::command;
use crate::extension::{self, File, OURS, PGVECTOR_VERSION};
use crate::pg_config::PgConfig;
use crate::project::{self, Project};
use anyhow::{Context, Result, bail};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Builds for an existing server and installs into it.
pub fn run(project: &Project, pg_config: Option<PathBuf>, replace_pgvector: bool) -> Result<()> {
    let pg = match pg_config {
        Some(path) => PgConfig::named(&path)?,
        None => PgConfig::find().context(
            "no PostgreSQL 15 to 18 with its server headers was found; name one with --pg-config PATH",
        )?,
    };
    apt::ensure_build_tools()?;
    println!("Building pgnear {} for {}", project.version, pg.version);
    let library = extension::build(project, &pg)?;
    let target = Target {
        pkglibdir: pg.pkglibdir.clone(),
        sharedir: pg.sharedir.clone(),
    };
    let placed = target.install(project, &library, replace_pgvector)?;
    for line in placed.said {
        println!("{line}");
    }
    println!("Now, in a database: CREATE EXTENSION pgnear;");
    Ok(())
}

/// The two folders of a server that an extension is installed into.
pub struct Target {
    pub pkglibdir: PathBuf,
    pub sharedir: PathBuf,
}

/// What an install did.
pub struct Placed {
    /// Lines for the user.
    pub said: Vec<String>,
    /// A stamp of the library's bytes.
    pub library: u64,
    /// A stamp of the scripts.
    pub scripts: u64,
}

impl Target {
    /// Places the library, the program that drives a GPU, the control file and the scripts; with
    /// `replace_pgvector` also under pgvector's file names, and only then.
    pub fn install(
        &self,
        project: &Project,
        library: &Path,
        replace_pgvector: bool,
    ) -> Result<Placed> {
        let own = extension::files(project)?;
        let bytes = read(library)?;
        let program = read(&extension::gpu_program(project))?;
        let all_text: String = own.iter().map(|file| file.text.as_str()).collect();
        let mut said = Vec::new();
        for (name, bytes) in [("pgnear.so", &bytes), ("pgnear-gpu", &program)] {
            let path = self.pkglibdir.join(name);
            self.place(bytes, &path, 0o755)?;
            said.push(format!("{} installed", path.display()));
        }
        self.place_files(&own, &mut said)?;
        if replace_pgvector {
            self.place_as_pgvector(project, &mut said)?;
        }
        Ok(Placed {
            said,
            library: project::hash(&bytes),
            scripts: project::hash(all_text.as_bytes()),
        })
    }

    fn place_files(&self, files: &[File], said: &mut Vec<String>) -> Result<()> {
        for file in files {
            let path = self.sharedir.join("extension").join(&file.name);
            self.place(file.text.as_bytes(), &path, 0o644)?;
            said.push(format!("{} installed", path.display()));
        }
        Ok(())
    }

    /// A real pgvector's files are moved aside, not lost.
    fn place_as_pgvector(&self, project: &Project, said: &mut Vec<String>) -> Result<()> {
        let extension_dir = self.sharedir.join("extension");
        let library = self.pkglibdir.join("vector.so");
        let library_is_ours =
            fs::read_link(&library).is_ok_and(|link| link == Path::new("pgnear.so"));
        let script = format!("vector--{PGVECTOR_VERSION}.sql");
        let mut theirs = Vec::new();
        if fs::symlink_metadata(&library).is_ok() && !library_is_ours {
            theirs.push(library.clone());
        }
        for path in [
            extension_dir.join("vector.control"),
            extension_dir.join(&script),
        ] {
            if path.exists() && !is_ours(&path)? {
                theirs.push(path);
            }
        }
        for path in theirs {
            let aside = PathBuf::from(format!("{}.before-pgnear", path.display()));
            rename(&path, &aside)?;
            said.push(format!(
                "{} was pgvector's: kept as {}",
                path.display(),
                aside.display()
            ));
        }
        self.place_files(&extension::files_as_pgvector(project)?, said)?;
        if !library_is_ours {
            link("pgnear.so", &library)?;
        }
        said.push(format!("{} is a link to pgnear.so", library.display()));
        Ok(())
    }

    /// Writes beside the place and renames: a server that has the old file open keeps it whole.
    fn place(&self, bytes: &[u8], path: &Path, mode: u32) -> Result<()> {
        let new = PathBuf::from(format!("{}.new", path.display()));
        match fs::write(&new, bytes) {
            Ok(()) => {
                fs::set_permissions(&new, fs::Permissions::from_mode(mode))?;
                fs::rename(&new, path).with_context(|| format!("cannot place {}", path.display()))
            }
            Err(error) if needs_sudo(&error) => {
                let staged =
                    std::env::temp_dir().join(format!("pgnear-install-{}", std::process::id()));
                fs::write(&staged, bytes)?;
                let mut sudo = Command::new("sudo");
                sudo.arg("install")
                    .arg("-m")
                    .arg(format!("{mode:o}"))
                    .arg(&staged)
                    .arg(path);
                let outcome = command::run(&mut sudo);
                fs::remove_file(&staged)?;
                outcome
            }
            Err(error) => Err(error).with_context(|| {
                format!(
                    "cannot write {}; install as its owner, or as root",
                    path.display()
                )
            }),
        }
    }
}

fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).with_context(|| format!("cannot read {}", path.display()))
}

fn is_ours(path: &Path) -> Result<bool> {
    let text =
        fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    Ok(text.lines().next().is_some_and(|line| line.contains(OURS)))
}

fn needs_sudo(error: &std::io::Error) -> bool {
    error.kind() == std::io::ErrorKind::PermissionDenied && command::on_path("sudo").is_some()
}

fn rename(from: &Path, to: &Path) -> Result<()> {
    match fs::rename(from, to) {
        Err(error) if needs_sudo(&error) => {
            command::run(Command::new("sudo").arg("mv").arg(from).arg(to))
        }
        other => other.with_context(|| format!("cannot rename {}", from.display())),
    }
}

fn link(to: &str, path: &Path) -> Result<()> {
    match std::os::unix::fs::symlink(to, path) {
        Err(error) if needs_sudo(&error) => {
            command::run(Command::new("sudo").args(["ln", "-s", to]).arg(path))
        }
        Err(error) => bail!("cannot link {}: {error}", path.display()),
        Ok(()) => Ok(()),
    }
}
