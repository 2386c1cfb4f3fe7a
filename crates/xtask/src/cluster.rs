//! A private cluster: its data, its socket, its start and its end. No TCP.

use crate::command;
use crate::project::hash;
use crate::psql::Psql;
use crate::tree::Tree;
use anyhow::{Context, Result, bail};
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

/// The longest path of a Unix socket that Linux takes.
const SOCKET_PATH_LIMIT: usize = 107;

/// A cluster of one private server tree.
pub struct Cluster<'t> {
    pub tree: &'t Tree,
    data: PathBuf,
    socket: PathBuf,
}

impl<'t> Cluster<'t> {
    /// The tree's cluster, whether made already or not.
    pub fn of(tree: &'t Tree) -> Self {
        let data = tree.home.join(format!("{}-data", tree.name));
        let beside = tree.home.join(format!("{}-socket", tree.name));
        let longest = beside.join(".s.PGSQL.5432.lock");
        let socket = if longest.as_os_str().len() <= SOCKET_PATH_LIMIT {
            beside
        } else {
            PathBuf::from(format!(
                "/tmp/pgnear-{:016x}",
                hash(beside.as_os_str().as_encoded_bytes())
            ))
        };
        Self { tree, data, socket }
    }

    pub fn log(&self) -> PathBuf {
        self.data.join("server.log")
    }

    pub fn data(&self) -> &Path {
        &self.data
    }

    pub fn exists(&self) -> bool {
        self.data.join("PG_VERSION").is_file()
    }

    /// Makes the cluster's data, with page checksums and the given settings.
    pub fn create(&self, settings: &str) -> Result<()> {
        self.remove()?;
        fs::create_dir(&self.data)
            .with_context(|| format!("cannot make {}", self.data.display()))?;
        self.give_to_server(&self.data)?;
        let mut initdb = self.tree.program("initdb");
        initdb.arg("-D").arg(&self.data);
        // The socket's folder is closed to other users, so whoever can connect is trusted.
        initdb.args([
            "-U",
            "postgres",
            "-A",
            "trust",
            "-k",
            "-E",
            "UTF8",
            "--locale=C",
            "--no-sync",
        ]);
        self.as_server(&mut initdb);
        command::capture(&mut initdb)?;
        let path = self.data.join("postgresql.conf");
        let mut configuration = fs::read_to_string(&path)?;
        configuration.push_str(&format!(
            "\nlisten_addresses = ''\nport = 5432\n{settings}\ninclude_if_exists 'socket.conf'\n"
        ));
        fs::write(&path, configuration)?;
        Ok(())
    }

    /// Removes the data; the server must be stopped.
    pub fn remove(&self) -> Result<()> {
        if self.data.exists() {
            if self.running()? {
                bail!("the server in {} is running", self.data.display());
            }
            fs::remove_dir_all(&self.data)
                .with_context(|| format!("cannot remove {}", self.data.display()))?;
        }
        Ok(())
    }

    pub fn running(&self) -> Result<bool> {
        if !self.exists() || !self.tree.bin.join("pg_ctl").is_file() {
            return Ok(false);
        }
        let mut status = self.pg_ctl("status");
        Ok(status
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()?
            .success())
    }

    /// Starts the server and waits until it answers.
    pub fn start(&self) -> Result<()> {
        self.make_socket_folder()?;
        let folder = self.socket.display().to_string().replace('\'', "''");
        let path = self.data.join("socket.conf");
        fs::write(&path, format!("unix_socket_directories = '{folder}'\n"))?;
        self.give_to_server(&path)?;
        let mut start = self.pg_ctl("start");
        start
            .arg("-l")
            .arg(self.log())
            .args(["-w", "-t", "120", "-s"]);
        // The server keeps what it inherits: a pipe of ours would stay open as long as it runs.
        let status = start
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()?;
        if !status.success() {
            let log = fs::read_to_string(self.log()).unwrap_or_default();
            let last: Vec<&str> = log.lines().rev().take(20).collect();
            bail!(
                "the server did not start:\n{}",
                last.into_iter().rev().collect::<Vec<_>>().join("\n")
            );
        }
        Ok(())
    }

    /// Waits while the server recovers from a crash.
    pub fn wait_until_ready(&self) -> Result<()> {
        let mut tries = 0;
        loop {
            match self.psql("postgres").query("SELECT 1") {
                Ok(_) => return Ok(()),
                Err(error) if tries == 300 => return Err(error),
                Err(_) => tries += 1,
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// Stops the server if it runs: `fast` ends sessions and writes a checkpoint, `immediate` does neither.
    pub fn stop(&self, mode: &str) -> Result<bool> {
        if !self.running()? {
            return Ok(false);
        }
        command::capture(
            self.pg_ctl("stop")
                .args(["-m", mode, "-w", "-t", "120", "-s"]),
        )?;
        Ok(true)
    }

    /// A client of one database.
    pub fn psql(&self, database: &str) -> Psql<'_> {
        Psql {
            tree: self.tree,
            socket: &self.socket,
            database: database.to_owned(),
        }
    }

    /// The environment by which any client finds this cluster.
    pub fn client_environment(&self) -> [(&'static str, String); 3] {
        [
            ("PGHOST", self.socket.display().to_string()),
            ("PGPORT", "5432".into()),
            ("PGUSER", "postgres".into()),
        ]
    }

    fn pg_ctl(&self, what: &str) -> Command {
        let mut command = self.tree.program("pg_ctl");
        command.arg(what).arg("-D").arg(&self.data);
        self.as_server(&mut command);
        command
    }

    fn as_server(&self, command: &mut Command) {
        command::run_as(command, self.tree.user.as_ref());
    }

    fn give_to_server(&self, path: &Path) -> Result<()> {
        if let Some(user) = &self.tree.user {
            chown(path, Some(user.uid), Some(user.gid))
                .with_context(|| format!("cannot chown {}", path.display()))?;
        }
        Ok(())
    }

    /// Other users must not reach the socket; in /tmp the folder could be somebody else's.
    fn make_socket_folder(&self) -> Result<()> {
        let owner = match &self.tree.user {
            Some(user) => user.uid,
            None => command::uid()?,
        };
        match fs::create_dir(&self.socket) {
            Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => {
                return Err(error)
                    .with_context(|| format!("cannot make {}", self.socket.display()));
            }
            Err(_) => {
                let found = fs::symlink_metadata(&self.socket)?;
                if !found.is_dir() || found.uid() != owner {
                    bail!("{} exists and is not the server's", self.socket.display());
                }
            }
            Ok(()) => self.give_to_server(&self.socket)?,
        }
        fs::set_permissions(&self.socket, fs::Permissions::from_mode(0o700))?;
        Ok(())
    }
}
