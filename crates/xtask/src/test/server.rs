//! The suite on one major: build, private server, SQL tests, Python tests, a look at the log; then
//! crashes, replicas and damage on servers that those tests start themselves.

use super::report::{Counts, Failed, Report};
use super::sql;
use crate::cluster::Cluster;
use crate::extension;
use crate::pg_config::PgConfig;
use crate::project::Project;
use crate::tree::Tree;
use crate::wheel;
use anyhow::{Context, Result, bail};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Fast, since a test's data may be lost; a restart after a crash, so that one test's crash is not
/// the failure of all that follow.
const SETTINGS: &str = "fsync = off\nmax_connections = 50\nrestart_after_crash = on\n\
                        timezone = 'UTC'\ndatestyle = 'ISO, MDY'\nlog_line_prefix = '%m [%p] %d '\n";

pub fn suite(
    project: &Project,
    major: u32,
    headers: impl FnOnce() -> Result<PgConfig>,
    accept: bool,
    report: &mut Report,
) {
    let (build, python, log, recovery) = (
        format!("build/{major}"),
        format!("python/{major}"),
        format!("log/{major}"),
        format!("recovery/{major}"),
    );
    let name_of = |path: &PathBuf| {
        path.file_stem()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned()
    };
    let found = match extension::sql_files(&project.root.join("tests/sql")) {
        Ok(files) => files,
        Err(error) => return report.fail(&format!("sql/{major}"), &error),
    };
    let tests: Vec<(String, PathBuf)> = found
        .into_iter()
        .map(|path| (format!("sql/{major}/{}", name_of(&path)), path))
        .collect();
    if !tests
        .iter()
        .map(|(name, _)| name)
        .chain([&build, &python, &log, &recovery])
        .any(|name| report.wants(name))
    {
        return;
    }

    let Some(tree) = report.setup(&build, || installed(project, headers)) else {
        return;
    };
    let server = Server {
        cluster: Cluster::of(&tree),
    };
    if report
        .setup(&format!("start/{major}"), || server.start())
        .is_none()
    {
        return;
    }
    for (name, path) in &tests {
        report.step(name, || {
            sql::test(project, &server.cluster, major, path, accept)
        });
    }
    if project.root.join("tests/python").is_dir() {
        report.step(&python, || python_tests(project, &server.cluster));
    }
    report.step(&log, || no_crash(&server.cluster.log()));
    if project.root.join("tests/recovery").is_dir() {
        report.step(&recovery, || recovery_tests(project, &tree));
    }
}

/// A private tree with this build in it, under both names. Its server is stopped.
fn installed(project: &Project, headers: impl FnOnce() -> Result<PgConfig>) -> Result<Tree> {
    let pg = headers()?;
    println!("Building for {}", pg.version);
    let library = extension::build(project, &pg)?;
    let tree = Tree::at(project, "test", &pg)?;
    Cluster::of(&tree).stop("immediate")?;
    if !tree.is_fresh(&pg)? {
        tree.copy(&pg)?;
    }
    tree.install(project, &library, true)?;
    Ok(tree)
}

/// A cluster that runs as long as this lives.
struct Server<'t> {
    cluster: Cluster<'t>,
}

impl Server<'_> {
    fn start(&self) -> Result<()> {
        self.cluster.create(SETTINGS)?;
        self.cluster.start()
    }
}

impl Drop for Server<'_> {
    fn drop(&mut self) {
        if let Err(error) = self.cluster.stop("immediate") {
            eprintln!("the test server was not stopped: {error:#}");
        }
    }
}

/// A test may pass although a backend died beside it.
fn no_crash(log: &Path) -> Result<Counts> {
    let text = fs::read_to_string(log).with_context(|| format!("cannot read {}", log.display()))?;
    let crashes = crashes(&text);
    if !crashes.is_empty() {
        bail!("{}", crashes.join("\n"));
    }
    Ok(Counts::ONE)
}

/// The lines of a server's log that say that a process of it died.
pub fn crashes(log: &str) -> Vec<&str> {
    let signs = [
        "was terminated by signal",
        "PANIC: ",
        "TRAP: ",
        "terminating connection because of crash",
    ];
    log.lines()
        .filter(|line| signs.iter().any(|sign| line.contains(sign)))
        .collect()
}

/// tests/python under pytest, on the server that the other tests use.
fn python_tests(project: &Project, cluster: &Cluster) -> Result<Counts> {
    let mut pytest = pytest(project, cluster.tree, "tests/python")?;
    let database = "python";
    cluster
        .psql("postgres")
        .query(&format!("CREATE DATABASE {database}"))?;
    pytest
        .envs(cluster.client_environment())
        .env("PGDATABASE", database);
    counted(&mut pytest)
}

/// tests/recovery under pytest: it crashes and damages servers, which are its own.
fn recovery_tests(project: &Project, tree: &Tree) -> Result<Counts> {
    let mut pytest = pytest(project, tree, "tests/recovery")?;
    pytest.env(
        "PGNEAR_CLUSTERS",
        tree.home.join(format!("{}-recovery", tree.name)),
    );
    if let Some(user) = &tree.user {
        pytest.env("PGNEAR_SERVER_USER", &user.name);
    }
    counted(&mut pytest)
}

/// Pytest over one folder, in a virtual environment with tests/python/requirements.txt.
fn pytest(project: &Project, tree: &Tree, folder: &str) -> Result<Command> {
    let python = wheel::python_with(project, "python", "tests/python/requirements.txt")?;
    let mut pytest = Command::new(&python);
    pytest
        .args(["-m", "pytest", "-q", "-p", "no:cacheprovider"])
        .arg(project.root.join(folder))
        .current_dir(&project.root);
    // pg_dump and its like, of the server's own version.
    pytest
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env("PGBIN", &tree.bin)
        .stdin(Stdio::null());
    if let Some(path) = tree.library_path() {
        pytest.env("LD_LIBRARY_PATH", path);
    }
    Ok(pytest)
}

/// Runs pytest and counts its tests.
fn counted(pytest: &mut Command) -> Result<Counts> {
    let output = pytest.output().context("cannot run pytest")?;
    let printed = String::from_utf8_lossy(&output.stdout);
    let counts = pytest_counts(&printed);
    if output.status.success() && counts.failed == 0 && counts.passed > 0 {
        return Ok(counts);
    }
    Err(Failed {
        counts,
        shown: format!("{printed}{}", String::from_utf8_lossy(&output.stderr)),
    }
    .into())
}

/// From pytest's last line, as in `1 failed, 3 passed, 1 skipped, 1 error in 0.5s`.
fn pytest_counts(printed: &str) -> Counts {
    let last = printed
        .lines()
        .rev()
        .find(|line| !line.trim().is_empty())
        .unwrap_or_default();
    let mut counts = Counts::default();
    let words = last.split([' ', ',', '=']).filter(|word| !word.is_empty());
    let mut number = None;
    for word in words {
        match (number, word) {
            (Some(n), "passed") => counts.passed += n,
            (Some(n), "failed" | "error" | "errors") => counts.failed += n,
            (Some(n), "skipped" | "xfailed" | "deselected") => counts.skipped += n,
            _ => {}
        }
        number = word.parse::<usize>().ok();
    }
    counts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pytests_last_line_is_counted() {
        let counts = pytest_counts("..F\n1 failed, 3 passed, 2 skipped, 1 error in 0.52s\n");
        assert_eq!(
            counts,
            Counts {
                passed: 3,
                failed: 2,
                skipped: 2
            }
        );
        assert_eq!(pytest_counts("no tests ran in 0.01s"), Counts::default());
    }

    #[test]
    fn a_dead_backend_is_found_in_the_log() {
        let log = "LOG:  server process (PID 7) was terminated by signal 11: Segmentation fault\nLOG:  ready\n";
        assert_eq!(crashes(log).len(), 1);
        assert!(crashes("ERROR:  vector must have at least 1 dimension\n").is_empty());
    }
}
