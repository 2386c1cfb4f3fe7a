//! What a program inherits from a backend, and must not keep.

use std::os::fd::{FromRawFd, OwnedFd};

/// The two ends that this program works with.
pub struct Ends {
    /// Its end of the socket.
    pub socket: OwnedFd,
    /// The memory that it shares with the backend.
    pub memory: OwnedFd,
}

/// Frees the process of all that is the backend's: its signals' dispositions and mask, every other
/// descriptor; lets it end with the backend. `None` where no backend started it.
pub fn prepare() -> Option<Ends> {
    let parent: libc::pid_t = std::env::args().nth(1)?.parse().ok()?;
    // SAFETY: plain system calls with constant arguments, in a process of one thread. The descriptors
    // that are closed belong to nothing here: nothing was opened yet.
    unsafe {
        libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL as libc::c_ulong);
        // It may have died before that call.
        if libc::getppid() != parent || !is_socket(0) {
            return None;
        }
        for signal in 1..64 {
            libc::signal(signal, libc::SIG_DFL);
        }
        let mut none: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&mut none);
        libc::sigprocmask(libc::SIG_SETMASK, &none, std::ptr::null_mut());
        let socket = libc::fcntl(0, libc::F_DUPFD_CLOEXEC, 3);
        close_from(3, socket);
        let memory = libc::fcntl(1, libc::F_DUPFD_CLOEXEC, 3);
        // Libraries that print do it nowhere.
        let nowhere = libc::open(c"/dev/null".as_ptr(), libc::O_RDWR | libc::O_CLOEXEC);
        if socket < 0 || memory < 0 || nowhere < 0 {
            return None;
        }
        for standard in 0..3 {
            libc::dup2(nowhere, standard);
        }
        Some(Ends {
            socket: OwnedFd::from_raw_fd(socket),
            memory: OwnedFd::from_raw_fd(memory),
        })
    }
}

/// Whether a descriptor is one end of a pair of sockets.
unsafe fn is_socket(fd: i32) -> bool {
    let mut kind = 0i32;
    let mut length = size_of::<i32>() as libc::socklen_t;
    // SAFETY: room for an integer, whose size is told.
    let failed = unsafe {
        let value = (&raw mut kind).cast();
        libc::getsockopt(fd, libc::SOL_SOCKET, libc::SO_TYPE, value, &mut length)
    };
    failed == 0 && kind == libc::SOCK_SEQPACKET
}

/// Closes every descriptor from `first` on but one.
unsafe fn close_from(first: u32, keep: i32) {
    let keep = keep as u32;
    let close = |from: u32, to: u32| {
        if from <= to {
            // SAFETY: closing descriptors that nothing here uses.
            unsafe { libc::syscall(libc::SYS_close_range, from, to, 0) }
        } else {
            0
        }
    };
    if close(first, keep.saturating_sub(1)) == 0 && close(keep + 1, u32::MAX) == 0 {
        return;
    }
    // A kernel before 5.9.
    let Ok(open) = std::fs::read_dir("/proc/self/fd") else {
        return;
    };
    let numbers = open.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    let numbers: Vec<u32> = numbers.collect();
    for number in numbers {
        if number >= first && number != keep {
            // SAFETY: as above.
            unsafe { libc::close(number as i32) };
        }
    }
}

/// Ends the process without running anything else.
pub fn end(status: i32) -> ! {
    // SAFETY: it does not return.
    unsafe { libc::_exit(status) }
}
