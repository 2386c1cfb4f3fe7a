//! Keeps a process's signals away from threads that are about to be spawned.

use std::mem::MaybeUninit;

/// While it lives, the calling thread has every signal blocked; threads spawned meanwhile inherit
/// that and keep it. Dropping it restores the caller's mask.
///
/// PostgreSQL's handlers set latches and flags that belong to the backend's main thread: a signal
/// delivered to a worker would run them on the wrong stack, or be lost to the main thread's sleep.
pub(crate) struct BlockAllSignals {
    before: Option<libc::sigset_t>,
}

impl BlockAllSignals {
    pub(crate) fn new() -> BlockAllSignals {
        let mut all = MaybeUninit::<libc::sigset_t>::uninit();
        let mut before = MaybeUninit::<libc::sigset_t>::uninit();
        // SAFETY: `sigfillset` initialises the set behind the valid pointer it is given.
        // `pthread_sigmask` reads that initialised set and writes the old mask through the second
        // valid pointer; it touches only the calling thread's mask, and on success (0) `before` is
        // initialised.
        let before = unsafe {
            libc::sigfillset(all.as_mut_ptr());
            let rc = libc::pthread_sigmask(libc::SIG_SETMASK, all.as_ptr(), before.as_mut_ptr());
            (rc == 0).then(|| before.assume_init())
        };
        BlockAllSignals { before }
    }

    /// Whether signals are in fact blocked (the call can only fail for a bad argument).
    pub(crate) fn holds(&self) -> bool {
        self.before.is_some()
    }
}

impl Drop for BlockAllSignals {
    fn drop(&mut self) {
        if let Some(before) = &self.before {
            // SAFETY: `before` is the initialised mask this thread had; a null third argument is
            // allowed and means that the old mask is not wanted.
            unsafe {
                libc::pthread_sigmask(libc::SIG_SETMASK, before, std::ptr::null_mut());
            }
        }
    }
}
