//! Running other programs: checked, captured, or as the server's user.

use anyhow::{Context, Result, bail};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A user other than root that a server runs as.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    pub name: String,
    pub uid: u32,
    pub gid: u32,
}

/// The effective user id of this process.
pub fn uid() -> Result<u32> {
    id(&["-u"])?.context("`id -u` gave no number")
}

fn id(arguments: &[&str]) -> Result<Option<u32>> {
    let output = Command::new("id")
        .args(arguments)
        .output()
        .context("cannot run `id`")?;
    Ok(String::from_utf8_lossy(&output.stdout)
        .trim()
        .parse()
        .ok()
        .filter(|_| output.status.success()))
}

/// The user that a server runs as when this process is root: `postgres`, else `nobody`.
pub fn server_user() -> Result<Option<User>> {
    if uid()? != 0 {
        return Ok(None);
    }
    for name in ["postgres", "nobody"] {
        if let (Some(uid), Some(gid)) = (id(&["-u", name])?, id(&["-g", name])?) {
            return Ok(Some(User {
                name: name.to_owned(),
                uid,
                gid,
            }));
        }
    }
    bail!("PostgreSQL does not run as root, and there is neither a user postgres nor nobody")
}

/// Makes the command run as `user` (without root's groups), from a folder that it can enter.
pub fn run_as(command: &mut Command, user: Option<&User>) {
    if let Some(user) = user {
        command
            .uid(user.uid)
            .gid(user.gid)
            .current_dir("/")
            .env("HOME", "/");
    }
}

/// Whether `user` can enter the folder.
pub fn reachable(folder: &Path, user: &User) -> Result<bool> {
    let mut command = Command::new("test");
    command.arg("-x").arg(folder);
    run_as(&mut command, Some(user));
    Ok(command.status().context("cannot run `test`")?.success())
}

/// Runs a command whose output goes to the terminal; fails when it fails.
pub fn run(command: &mut Command) -> Result<()> {
    let status = command
        .stdin(Stdio::null())
        .status()
        .with_context(|| format!("cannot run {}", show(command)))?;
    if !status.success() {
        bail!("{} failed: {status}", show(command));
    }
    Ok(())
}

/// Runs a command and returns what it printed; fails, with everything that it printed, when it fails.
pub fn capture(command: &mut Command) -> Result<String> {
    let output = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("cannot run {}", show(command)))?;
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    if !output.status.success() {
        let errors = String::from_utf8_lossy(&output.stderr);
        bail!(
            "{} failed: {}\n{printed}{errors}",
            show(command),
            output.status
        );
    }
    Ok(printed)
}

/// The command as one would type it, cut to a readable length.
fn show(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    let line = words
        .map(|word| word.to_string_lossy())
        .collect::<Vec<_>>()
        .join(" ");
    match line.char_indices().nth(300) {
        Some((cut, _)) => format!("{}…", &line[..cut]),
        None => line,
    }
}

/// Where on PATH a program is.
pub fn on_path(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .map(|folder| folder.join(program))
        .find(|file| file.is_file())
}

/// The Cargo that runs this command.
pub fn cargo() -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    // Set by `cargo run` for this package; a build script that watches one would run again each time.
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("CARGO_PKG_")
            || text == "CARGO_MANIFEST_DIR"
            || text == "CARGO_MANIFEST_PATH"
        {
            command.env_remove(&name);
        }
    }
    command
}
