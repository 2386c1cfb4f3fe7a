//! Memory that two processes share, and the socket that they talk over. All `unsafe` of the folder.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

use super::protocol::{MOST_BYTES, MOST_TEXT, Message, SLOTS};

/// A file in memory, mapped here: [`SLOTS`] slots of equal size, zero at first.
pub struct Shared {
    start: *mut u8,
    slot_bytes: usize,
}

impl Shared {
    /// Makes the memory; the descriptor is for the other process.
    pub fn create(slot_bytes: usize) -> io::Result<(Shared, OwnedFd)> {
        // SAFETY: a constant name; the descriptor is checked.
        let fd = unsafe { libc::memfd_create(c"pgnear".as_ptr(), libc::MFD_CLOEXEC) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the descriptor was just made, and is nobody else's.
        let fd = unsafe { OwnedFd::from_raw_fd(fd) };
        let bytes = (slot_bytes * SLOTS) as libc::off_t;
        // Memory is taken now: a page for which there is none later would end the process.
        // SAFETY: plain calls on an open descriptor.
        let failed = unsafe { libc::posix_fallocate(fd.as_raw_fd(), 0, bytes) };
        if failed != 0 {
            return Err(io::Error::from_raw_os_error(failed));
        }
        Ok((Shared::map(&fd, slot_bytes)?, fd))
    }

    /// Maps the memory that another process made.
    pub fn open(fd: &OwnedFd) -> io::Result<Shared> {
        // SAFETY: `stat` is plain data that `fstat` fills.
        let bytes = unsafe {
            let mut stat: libc::stat = std::mem::zeroed();
            if libc::fstat(fd.as_raw_fd(), &mut stat) != 0 {
                return Err(io::Error::last_os_error());
            }
            stat.st_size as usize
        };
        if bytes == 0 || !bytes.is_multiple_of(SLOTS * 8) {
            return Err(io::Error::other("shared memory of an unexpected size"));
        }
        Shared::map(fd, bytes / SLOTS)
    }

    fn map(fd: &OwnedFd, slot_bytes: usize) -> io::Result<Shared> {
        // SAFETY: a new mapping at an address of the system's choice, of the whole file.
        let start = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                slot_bytes * SLOTS,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED,
                fd.as_raw_fd(),
                0,
            )
        };
        if start == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        Ok(Shared {
            start: start.cast(),
            slot_bytes,
        })
    }

    /// Bytes of a slot.
    pub fn slot_bytes(&self) -> usize {
        self.slot_bytes
    }

    /// A slot that is this process's at present, as the messages say: the other one does not touch
    /// it. One that breaks that rule can spoil bytes, which are checked, and no more.
    pub fn slot(&mut self, slot: usize) -> &mut [u8] {
        assert!(slot < SLOTS);
        // SAFETY: within the mapping, which lives as long as `self`; borrowed for as long.
        unsafe {
            std::slice::from_raw_parts_mut(self.start.add(slot * self.slot_bytes), self.slot_bytes)
        }
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        // SAFETY: the mapping that `map` made, in full; no slice of it outlives `self`.
        unsafe { libc::munmap(self.start.cast(), self.slot_bytes * SLOTS) };
    }
}

/// Two connected sockets whose messages keep their bounds.
pub fn socket_pair() -> io::Result<(OwnedFd, OwnedFd)> {
    let mut fds = [-1; 2];
    // SAFETY: room for two descriptors.
    let failed = unsafe {
        let kind = libc::SOCK_SEQPACKET | libc::SOCK_CLOEXEC;
        libc::socketpair(libc::AF_UNIX, kind, 0, fds.as_mut_ptr())
    };
    if failed != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: both were just made, and are nobody else's.
    Ok(unsafe { (OwnedFd::from_raw_fd(fds[0]), OwnedFd::from_raw_fd(fds[1])) })
}

/// Sends a message; text that is too long is cut.
pub fn send(socket: RawFd, message: &Message, text: &str) -> io::Result<()> {
    let mut bytes = bytemuck::bytes_of(message).to_vec();
    bytes.extend_from_slice(&text.as_bytes()[..text.len().min(MOST_TEXT)]);
    loop {
        // SAFETY: the bytes are there; a closed socket is an error, not a signal.
        let sent = unsafe {
            libc::send(
                socket,
                bytes.as_ptr().cast(),
                bytes.len(),
                libc::MSG_NOSIGNAL,
            )
        };
        if sent == bytes.len() as isize {
            return Ok(());
        }
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
}

/// Receives a message and its text, waiting for it where `wait` says so; `None` where the other end is
/// closed. Without `wait`, an error of kind `WouldBlock` says that there is none yet.
pub fn receive(socket: RawFd, wait: bool) -> io::Result<Option<(Message, String)>> {
    let mut bytes = [0u8; MOST_BYTES];
    let flags = if wait { 0 } else { libc::MSG_DONTWAIT };
    loop {
        // SAFETY: room for as many bytes.
        let got = unsafe { libc::recv(socket, bytes.as_mut_ptr().cast(), bytes.len(), flags) };
        if got == 0 {
            return Ok(None);
        }
        if got > 0 {
            let (head, text) = bytes[..got as usize]
                .split_at_checked(size_of::<Message>())
                .ok_or_else(|| io::Error::other("a message that is too short"))?;
            let message = bytemuck::pod_read_unaligned(head);
            return Ok(Some((message, String::from_utf8_lossy(text).into_owned())));
        }
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ends_see_the_same() {
        let (mut here, fd) = Shared::create(4096).unwrap();
        let mut there = Shared::open(&fd).unwrap();
        here.slot(1)[4095] = 7;
        assert_eq!((there.slot_bytes(), there.slot(1)[4095]), (4096, 7));
        assert_eq!(there.slot(0)[4095], 0);
    }

    #[test]
    fn messages_arrive_whole() {
        let (a, b) = socket_pair().unwrap();
        let message = Message {
            kind: 5,
            real: f64::INFINITY,
            ..Message::default()
        };
        let none = receive(b.as_raw_fd(), false).unwrap_err();
        assert_eq!(none.kind(), io::ErrorKind::WouldBlock);
        send(a.as_raw_fd(), &message, &"x".repeat(2000)).unwrap();
        let (got, text) = receive(b.as_raw_fd(), true).unwrap().unwrap();
        assert_eq!((got, text.len()), (message, MOST_TEXT));
        drop(a);
        assert_eq!(receive(b.as_raw_fd(), true).unwrap(), None);
        assert!(send(b.as_raw_fd(), &message, "").is_err());
    }
}
