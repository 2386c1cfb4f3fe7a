//! `pgnear-gpu`: does batch distance work on a CUDA device for one PostgreSQL backend.
//!
//! The backend starts it (never anybody else), with its process number as the only argument, a socket
//! as standard input and shared memory as standard output. A fault in CUDA ends this program and
//! neither the backend nor the cluster. It ends with its socket, or with the backend, whichever is
//! first. See the README of this crate.

mod cuda;
mod measure;
mod process;
mod search;
mod session;

use std::os::fd::AsRawFd;

use pgnear_device::remote::shared::Shared;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let Some(("measure", sizes)) = (arguments.split_first()).map(|(a, b)| (a.as_str(), b)) {
        std::process::exit(measure::run(sizes));
    }
    let Some(ends) = process::prepare() else {
        eprintln!(
            "pgnear-gpu is started by PostgreSQL, where pgnear.gpu lets it. Alone it does nothing but\n{}",
            measure::USAGE
        );
        std::process::exit(2);
    };
    let socket = ends.socket.as_raw_fd();
    // A panic is a bug, and is told of like any other failure.
    std::panic::set_hook(Box::new(move |panic| {
        session::fail(socket, &format!("the GPU program failed: {panic}"));
    }));
    let ended = std::panic::catch_unwind(|| match Shared::open(&ends.memory) {
        Ok(shared) => session::run(socket, shared),
        Err(error) => session::fail(socket, &format!("no shared memory: {error}")),
    });
    // Without the driver's own clean-up, which may hang: the system does it.
    process::end(if ended.is_ok() { 0 } else { 1 });
}
