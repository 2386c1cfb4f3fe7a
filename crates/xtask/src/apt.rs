//! Debian packages: what is missing is named, installed and said.

use crate::command;
use crate::pg_config::{MAJORS, PgConfig};
use anyhow::{Context, Result, bail};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A package, and what it is needed for.
type Need = (String, &'static str);

/// A PostgreSQL to build and run: the one named, else the one found, else Debian's.
pub fn ensure_server(named: Option<&Path>) -> Result<PgConfig> {
    if let Some(path) = named {
        return PgConfig::named(path);
    }
    if let Some(found) = PgConfig::find() {
        return Ok(found);
    }
    let major = match installed_server() {
        Some(major) => major,
        None => offered_major()?,
    };
    let needs = [
        (
            format!("postgresql-{major}"),
            "the server (a private copy of it runs; the system's is left alone)",
        ),
        (
            format!("postgresql-server-dev-{major}"),
            "its headers, to build the extension",
        ),
    ];
    let without_cluster = NoMainCluster::declare()?;
    let outcome = install(&needs);
    without_cluster.withdraw()?;
    outcome?;
    PgConfig::named(Path::new(&format!(
        "/usr/lib/postgresql/{major}/bin/pg_config"
    )))
}

/// What building the extension needs beside Rust and PostgreSQL.
pub fn ensure_build_tools() -> Result<()> {
    let mut needs: Vec<Need> = Vec::new();
    if command::on_path("cc").is_none() && command::on_path("gcc").is_none() {
        needs.push(("gcc".into(), "linking the extension"));
    }
    if command::on_path("c++").is_none() {
        needs.push(("g++".into(), "the stand-in for a GPU that tests run on"));
    }
    if !has_libclang() {
        needs.push(("libclang-dev".into(), "reading PostgreSQL's headers"));
    }
    install(&needs)
}

/// Python with `venv` and `pip`: the other servers and the clients under test come from PyPI.
pub fn ensure_python() -> Result<()> {
    let mut python = Command::new("python3");
    python
        .args(["-c", "import venv, ensurepip"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    if python.status().is_ok_and(|status| status.success()) {
        return Ok(());
    }
    install(&[(
        "python3-venv".into(),
        "the other PostgreSQL majors and the Python clients under test",
    )])
}

/// Debian's newest server without its headers, if there is one.
fn installed_server() -> Option<u32> {
    let server =
        |major: &u32| Path::new(&format!("/usr/lib/postgresql/{major}/bin/postgres")).is_file();
    MAJORS.into_iter().find(server)
}

/// The newest major that this release of Debian offers.
fn offered_major() -> Result<u32> {
    if command::on_path("apt-cache").is_none() {
        bail!(
            "there is no PostgreSQL 15 to 18 here and no apt to install one; name one with --pg-config PATH"
        );
    }
    if !has_lists() {
        update()?;
    }
    for major in MAJORS {
        let name = format!("postgresql-server-dev-{major}");
        let policy = command::capture(
            Command::new("apt-cache")
                .args(["policy", &name])
                .env("LC_ALL", "C"),
        )?;
        let candidate = policy
            .lines()
            .find_map(|line| line.trim().strip_prefix("Candidate: "));
        if candidate.is_some_and(|version| version != "(none)") {
            return Ok(major);
        }
    }
    bail!("apt offers no PostgreSQL 15 to 18; name one with --pg-config PATH")
}

/// Whether a libclang lies where bindgen looks for it.
fn has_libclang() -> bool {
    let mut folders: Vec<PathBuf> = std::env::var_os("LIBCLANG_PATH")
        .map(PathBuf::from)
        .into_iter()
        .collect();
    for parent in ["/usr/lib", "/usr/lib64", "/usr/local/lib"] {
        folders.push(parent.into());
        folders.extend(entries(Path::new(parent)).filter(|path| path.is_dir()));
    }
    let llvm: Vec<PathBuf> = folders
        .iter()
        .map(|folder| folder.join("lib"))
        .filter(|path| path.is_dir())
        .collect();
    folders.extend(llvm);
    folders.iter().any(|folder| {
        entries(folder).any(|path| {
            let name = path
                .file_name()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned();
            (name.starts_with("libclang.so") || name.starts_with("libclang-"))
                && name.contains(".so")
        })
    })
}

fn entries(folder: &Path) -> impl Iterator<Item = PathBuf> + use<> {
    fs::read_dir(folder)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path())
}

fn has_lists() -> bool {
    entries(Path::new("/var/lib/apt/lists"))
        .any(|path| path.to_string_lossy().contains("_Packages"))
}

fn install(needs: &[Need]) -> Result<()> {
    if needs.is_empty() {
        return Ok(());
    }
    for (package, why) in needs {
        println!("Missing: {package} ({why})");
    }
    let names: Vec<&str> = needs.iter().map(|(package, _)| package.as_str()).collect();
    if command::on_path("apt-get").is_none() {
        bail!(
            "there is no apt here; install what these Debian packages hold: {}",
            names.join(" ")
        );
    }
    if !has_lists() {
        update()?;
    }
    let mut arguments = vec!["install", "-y", "--no-install-recommends"];
    arguments.extend(&names);
    println!(
        "Installing {} and what they need, with apt-get",
        names.join(" ")
    );
    if apt_get(&arguments).is_ok() {
        return Ok(());
    }
    // Old lists name versions that the mirror no longer has.
    update()?;
    apt_get(&arguments)
}

fn update() -> Result<()> {
    println!("Fetching apt's package lists");
    apt_get(&["update"])
}

fn apt_get(arguments: &[&str]) -> Result<()> {
    let mut line = vec!["env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-q"];
    line.extend(arguments);
    command::capture(&mut as_root(&line)?).map(drop)
}

fn as_root(line: &[&str]) -> Result<Command> {
    let sudo = command::uid()? != 0;
    if sudo && command::on_path("sudo").is_none() {
        bail!("this needs root or sudo: {}", line.join(" "));
    }
    let mut command = Command::new(if sudo { "sudo" } else { line[0] });
    command.args(if sudo { line } else { &line[1..] });
    Ok(command)
}

/// Installing Debian's server makes and starts a cluster for the whole system, unless a file says
/// no. The file is there during the install only, and only on a machine that has no such settings
/// yet: somebody's own settings stay as they are.
struct NoMainCluster(bool);

impl NoMainCluster {
    const FOLDER: &'static str = "/etc/postgresql-common/createcluster.d";
    const FILE: &'static str = "/etc/postgresql-common/createcluster.d/pgnear-no-main-cluster.conf";

    fn declare() -> Result<Self> {
        if Path::new("/etc/postgresql-common").exists() {
            return Ok(Self(false));
        }
        command::run(&mut as_root(&["mkdir", "-p", Self::FOLDER])?)?;
        let line = format!("echo 'create_main_cluster = false' > {}", Self::FILE);
        command::run(&mut as_root(&["sh", "-c", &line])?)
            .context("cannot keep Debian from starting a cluster")?;
        Ok(Self(true))
    }

    fn withdraw(self) -> Result<()> {
        if self.0 {
            command::run(&mut as_root(&["rm", "-f", Self::FILE])?)?;
        }
        Ok(())
    }
}
