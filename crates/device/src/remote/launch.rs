//! Starting the program that drives the GPU, and ending it whatever happened.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use super::shared::{Shared, socket_pair};

/// How the program is started, and what it may use.
#[derive(Debug, Clone)]
pub struct Launch {
    /// The program's file.
    pub program: PathBuf,
    /// A folder whose `libcuda.so.1` is used; the system's where `None`.
    pub library_folder: Option<PathBuf>,
    /// Which of the machine's GPUs, from 0.
    pub ordinal: u32,
    /// Bytes of GPU memory to use at most; 0 for what is free.
    pub memory: u64,
    /// Bytes of a slot of shared memory, a multiple of 4096.
    pub slot_bytes: usize,
    /// A program that says nothing for so long hangs, and is ended.
    pub patience: Duration,
    /// More variables for its environment.
    pub environment: Vec<(String, String)>,
}

/// A running program, with what connects it to this process. Dropping it ends the program.
pub(super) struct Program {
    child: Child,
    socket: OwnedFd,
    pub(super) shared: Shared,
}

impl Program {
    /// Starts the program: its standard input is its end of the socket, its standard output the shared
    /// memory. It inherits nothing else that it would keep.
    pub(super) fn start(launch: &Launch) -> io::Result<Program> {
        let (here, there) = socket_pair()?;
        let (shared, memory) = Shared::create(launch.slot_bytes)?;
        let mut command = Command::new(&launch.program);
        command
            .arg(std::process::id().to_string())
            .stdin(Stdio::from(there))
            .stdout(Stdio::from(memory))
            .stderr(Stdio::null())
            // PostgreSQL signals the group of a backend: cancel and terminate are not for the program.
            .process_group(0);
        if let Some(folder) = &launch.library_folder {
            command.env("LD_LIBRARY_PATH", folder);
        }
        for (name, value) in &launch.environment {
            command.env(name, value);
        }
        Ok(Program {
            child: command.spawn()?,
            socket: here,
            shared,
        })
    }

    /// This process's end of the socket.
    pub(super) fn socket(&self) -> RawFd {
        self.socket.as_raw_fd()
    }

    /// Words for a program that closed its end.
    pub(super) fn ended(&mut self) -> String {
        // Its sockets close a little before it is gone.
        for _ in 0..50 {
            if let Ok(Some(status)) = self.child.try_wait() {
                return format!("the GPU program ended with {status}");
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        "the GPU program closed its connection".into()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // Whatever it does now, nobody waits for it. The system frees what it has on the device.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
