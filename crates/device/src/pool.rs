//! A rayon pool of our own that lives for one operation, and the wall between it and the caller.

use std::any::Any;
use std::cell::RefCell;
use std::fmt;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Condvar, Mutex, PoisonError, mpsc};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rayon::prelude::*;

use crate::cancel::CancelFlag;
use crate::signals::BlockAllSignals;

/// How often the calling thread polls while work is under way.
const POLL_EVERY: Duration = Duration::from_millis(10);

/// The stack of a thread.
const STACK_BYTES: usize = 2 << 20;
/// What else a thread takes as it starts, up to 1 MiB where its allocator has to map memory. The C library
/// ends the whole process where it finds no room for a thread's own data.
const START_BYTES: usize = (1 << 20) + (256 << 10);

/// Whether there is memory for so many threads to start: mapped, since what is free in the allocator's
/// heap is not there for a stack, nor for a thread whose own heap found no room.
fn has_room(threads: usize) -> bool {
    let bytes = threads * (STACK_BYTES + START_BYTES);
    // SAFETY: a new private mapping without an address or a file; it is unmapped unused.
    unsafe {
        let room = libc::mmap(
            std::ptr::null_mut(),
            bytes,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
            -1,
            0,
        );
        room != libc::MAP_FAILED && libc::munmap(room, bytes) == 0
    }
}

/// A thread that rayon asks to be spawned.
type Worker = rayon::ThreadBuilder;

/// Worker threads, joined when the pool is dropped.
///
/// With one thread there is no worker at all: work runs inline on the caller's thread.
pub struct Pool {
    /// `None`: work runs inline.
    inner: Option<rayon::ThreadPool>,
    handles: Vec<JoinHandle<()>>,
}

/// Why [`Pool::run`] has no result.
#[derive(Debug, PartialEq, Eq)]
pub enum RunError<E> {
    /// The caller's `poll` returned this error; the work was cancelled and waited for.
    Poll(E),
    /// The work panicked with this message. No result of it is kept.
    WorkerPanic(String),
}

impl<E: fmt::Display> fmt::Display for RunError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RunError::Poll(error) => error.fmt(f),
            RunError::WorkerPanic(message) => write!(f, "a worker thread panicked: {message}"),
        }
    }
}

impl<E: fmt::Debug + fmt::Display> std::error::Error for RunError<E> {}

impl Pool {
    /// A pool of `threads` threads. Where the system grants fewer, the pool has fewer; where it
    /// grants none, or `threads` is at most 1, work runs inline.
    pub fn new(threads: usize) -> Pool {
        Pool::with(threads, |worker| {
            let (started, has_started) = mpsc::sync_channel(1);
            let handle = std::thread::Builder::new()
                .name(format!("pgnear-{}", worker.index()))
                .stack_size(STACK_BYTES)
                .spawn(move || {
                    let _ = started.send(());
                    worker.run()
                })?;
            // The room there was is taken up before anything else may take it.
            let _ = has_started.recv();
            Ok(handle)
        })
    }

    /// A pool without threads: work runs on the thread that asks for it.
    pub fn inline() -> Pool {
        Pool {
            inner: None,
            handles: Vec::new(),
        }
    }

    fn with(threads: usize, mut spawn: impl FnMut(Worker) -> io::Result<JoinHandle<()>>) -> Pool {
        // More threads than any machine of today has only cost memory.
        let mut wanted = threads.min(1024);
        while wanted > 1 {
            if has_room(wanted)
                && let Some(pool) = Pool::spawned(wanted, &mut spawn)
            {
                return pool;
            }
            wanted /= 2;
        }
        Pool::inline()
    }

    fn spawned(
        threads: usize,
        spawn: &mut impl FnMut(Worker) -> io::Result<JoinHandle<()>>,
    ) -> Option<Pool> {
        let signals = BlockAllSignals::new();
        if !signals.holds() {
            return None;
        }
        let mut handles = Vec::new();
        // rayon does not join its threads when a pool is dropped: so they are spawned here and
        // their handles kept.
        let built = rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .spawn_handler(|worker| {
                handles.push(spawn(worker)?);
                Ok(())
            })
            .build();
        drop(signals);
        match built {
            Ok(pool) => Some(Pool {
                inner: Some(pool),
                handles,
            }),
            Err(_) => {
                // The threads that did start were told to end by rayon.
                join_all(&mut handles);
                None
            }
        }
    }

    /// How many threads work at once; 1 means inline.
    pub fn threads(&self) -> usize {
        self.inner
            .as_ref()
            .map_or(1, rayon::ThreadPool::current_num_threads)
    }

    /// Runs `work` on the pool while the calling thread calls `poll` about every 10 ms.
    ///
    /// If `poll` returns an error or panics (a PostgreSQL error that unwinds), `cancel` is set, the
    /// workers are waited for, and only then the error or panic leaves this frame. A panic of
    /// `work` becomes [`RunError::WorkerPanic`]. Work that was cancelled from elsewhere returns
    /// what it makes of that: its result is handed on.
    ///
    /// `poll` never runs on a worker: [`Workers`] is neither `Send` nor `Sync`, and reaches `poll`
    /// only where `work` runs inline on the calling thread.
    pub fn run<T: Send, E>(
        &self,
        cancel: &CancelFlag,
        poll: &mut dyn FnMut() -> Result<(), E>,
        work: impl FnOnce(&Workers<'_>) -> T + Send,
    ) -> Result<T, RunError<E>> {
        polled(cancel, poll, |poll_once| match &self.inner {
            None => run_inline(cancel, poll_once, work),
            Some(pool) => run_pooled(pool, cancel, poll_once, work),
        })
    }

    /// Runs `work` on the calling thread, as a pool of one does: for work that waits for something which
    /// belongs to that thread.
    pub fn run_here<T, E>(
        cancel: &CancelFlag,
        poll: &mut dyn FnMut() -> Result<(), E>,
        work: impl FnOnce(&Workers<'_>) -> T,
    ) -> Result<T, RunError<E>> {
        polled(cancel, poll, |poll_once| {
            run_inline(cancel, poll_once, work)
        })
    }
}

/// Runs `run`, and sorts out how it and the polls that it makes ended.
fn polled<T, E>(
    cancel: &CancelFlag,
    poll: &mut dyn FnMut() -> Result<(), E>,
    run: impl FnOnce(&mut dyn FnMut() -> bool) -> Caught<T>,
) -> Result<T, RunError<E>> {
    let mut verdict = Verdict::Go;
    let mut poll_once = || -> bool {
        if matches!(verdict, Verdict::Go) {
            match catch_unwind(AssertUnwindSafe(&mut *poll)) {
                Ok(Ok(())) => return true,
                Ok(Err(error)) => verdict = Verdict::Error(error),
                Err(payload) => verdict = Verdict::Panic(payload),
            }
            cancel.set();
        }
        false
    };
    let outcome = run(&mut poll_once);
    match verdict {
        Verdict::Panic(payload) => resume_unwind(payload),
        Verdict::Error(error) => Err(RunError::Poll(error)),
        Verdict::Go => outcome.map_err(|p| RunError::WorkerPanic(panic_message(p.as_ref()))),
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        // Ends the workers once they are idle, which they are: `run` waits for its work.
        drop(self.inner.take());
        join_all(&mut self.handles);
    }
}

fn join_all(handles: &mut Vec<JoinHandle<()>>) {
    for handle in handles.drain(..) {
        // A worker's panic was already turned into an error where its work was waited for.
        let _ = handle.join();
    }
}

enum Verdict<E> {
    Go,
    Error(E),
    Panic(Box<dyn Any + Send>),
}

type Caught<T> = Result<T, Box<dyn Any + Send>>;

fn run_inline<T>(
    cancel: &CancelFlag,
    poll_once: &mut dyn FnMut() -> bool,
    work: impl FnOnce(&Workers<'_>) -> T,
) -> Caught<T> {
    poll_once();
    let workers = Workers {
        cancel,
        mode: Mode::Inline(RefCell::new(Inline {
            poll_once,
            last: Instant::now(),
        })),
    };
    catch_unwind(AssertUnwindSafe(|| work(&workers)))
}

fn run_pooled<T: Send>(
    pool: &rayon::ThreadPool,
    cancel: &CancelFlag,
    poll_once: &mut dyn FnMut() -> bool,
    work: impl FnOnce(&Workers<'_>) -> T + Send,
) -> Caught<T> {
    let slot: Mutex<Option<Caught<T>>> = Mutex::new(None);
    let ready = Condvar::new();
    let threads = pool.current_num_threads();
    pool.in_place_scope(|scope| {
        scope.spawn(|_| {
            let workers = Workers {
                cancel,
                mode: Mode::Pooled { threads },
            };
            let outcome = catch_unwind(AssertUnwindSafe(|| work(&workers)));
            *slot.lock().unwrap_or_else(PoisonError::into_inner) = Some(outcome);
            ready.notify_one();
        });
        // The scope waits for the work however this loop ends; `poll_once` does not panic.
        let mut polling = true;
        while polling {
            polling = poll_once();
            let done = slot.lock().unwrap_or_else(PoisonError::into_inner);
            let (done, _) = ready
                .wait_timeout_while(done, POLL_EVERY, |done| done.is_none())
                .unwrap_or_else(PoisonError::into_inner);
            polling &= done.is_none();
        }
    });
    slot.into_inner()
        .unwrap_or_else(PoisonError::into_inner)
        .unwrap_or_else(|| Err(Box::new("the work left no result")))
}

fn panic_message(payload: &(dyn Any + Send)) -> String {
    if let Some(text) = payload.downcast_ref::<&str>() {
        (*text).to_owned()
    } else if let Some(text) = payload.downcast_ref::<String>() {
        text.clone()
    } else {
        "unknown panic".to_owned()
    }
}

struct Inline<'a> {
    poll_once: &'a mut dyn FnMut() -> bool,
    last: Instant,
}

enum Mode<'a> {
    Inline(RefCell<Inline<'a>>),
    Pooled { threads: usize },
}

/// What work runs on: loops that are spread over the pool's threads, or run in order where there
/// are none. Work must use these (never rayon by itself, which would fall back to a global pool).
///
/// Every loop calls its closure for each item unless cancelled; a loop returns `false` where it was
/// cut short by cancellation, and then some items were not visited. Items should take at most some
/// milliseconds: polling and cancellation happen between them.
pub struct Workers<'a> {
    cancel: &'a CancelFlag,
    mode: Mode<'a>,
}

impl Workers<'_> {
    /// How many threads share a loop.
    pub fn threads(&self) -> usize {
        match self.mode {
            Mode::Inline(_) => 1,
            Mode::Pooled { threads } => threads,
        }
    }

    /// The flag itself, which (unlike `self`) a loop's closure may look at.
    pub fn cancel_flag(&self) -> &CancelFlag {
        self.cancel
    }

    /// Whether the work has been asked to stop. Call it now and then in sequential stretches:
    /// inline it also polls (at most every 10 ms).
    pub fn is_cancelled(&self) -> bool {
        if let Mode::Inline(inline) = &self.mode {
            // Not available only while `poll` itself runs, and then there is nothing to do.
            if let Ok(mut inline) = inline.try_borrow_mut()
                && inline.last.elapsed() >= POLL_EVERY
            {
                (inline.poll_once)();
                inline.last = Instant::now();
            }
        }
        self.cancel.is_set()
    }

    /// Calls `each(i)` for every `i` below `count`.
    pub fn for_each(&self, count: usize, each: impl Fn(usize) + Sync) -> bool {
        match self.mode {
            Mode::Inline(_) => {
                for i in 0..count {
                    if self.is_cancelled() {
                        return false;
                    }
                    each(i);
                }
                !self.is_cancelled()
            }
            Mode::Pooled { .. } => {
                let cancel = self.cancel;
                (0..count).into_par_iter().for_each(|i| {
                    if !cancel.is_set() {
                        each(i);
                    }
                });
                !cancel.is_set()
            }
        }
    }

    /// Calls `each(i, item)` for every item, with exclusive access to it. Which thread visits which
    /// item is not determined: results must depend on `i` and the item only.
    pub fn for_each_mut<T: Send>(
        &self,
        items: &mut [T],
        each: impl Fn(usize, &mut T) + Sync,
    ) -> bool {
        match self.mode {
            Mode::Inline(_) => {
                for (i, item) in items.iter_mut().enumerate() {
                    if self.is_cancelled() {
                        return false;
                    }
                    each(i, item);
                }
                !self.is_cancelled()
            }
            Mode::Pooled { .. } => {
                let cancel = self.cancel;
                items.par_iter_mut().enumerate().for_each(|(i, item)| {
                    if !cancel.is_set() {
                        each(i, item);
                    }
                });
                !cancel.is_set()
            }
        }
    }

    /// Calls `each(i, chunk)` for the `i`-th run of `size` items (the last may be shorter). Where a
    /// result depends on the partition, it depends on `size` alone, never on the number of threads.
    pub fn for_each_chunk_mut<T: Send>(
        &self,
        items: &mut [T],
        size: usize,
        each: impl Fn(usize, &mut [T]) + Sync,
    ) -> bool {
        let size = size.max(1);
        match self.mode {
            Mode::Inline(_) => {
                for (i, chunk) in items.chunks_mut(size).enumerate() {
                    if self.is_cancelled() {
                        return false;
                    }
                    each(i, chunk);
                }
                !self.is_cancelled()
            }
            Mode::Pooled { .. } => {
                let cancel = self.cancel;
                items
                    .par_chunks_mut(size)
                    .enumerate()
                    .for_each(|(i, chunk)| {
                        if !cancel.is_set() {
                            each(i, chunk);
                        }
                    });
                !cancel.is_set()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn falls_back_to_fewer_threads_and_then_to_none() {
        for (granted, expected) in [(1, 1), (3, 2), (7, 4), (8, 8)] {
            // The system grants so many threads in all for one attempt.
            let mut left = 0;
            let pool = Pool::with(8, |worker| {
                if worker.index() == 0 {
                    left = granted;
                }
                if left == 0 {
                    return Err(io::ErrorKind::WouldBlock.into());
                }
                left -= 1;
                std::thread::Builder::new().spawn(move || worker.run())
            });
            assert_eq!(pool.threads(), expected, "{granted} granted");
            let sum = std::sync::atomic::AtomicUsize::new(0);
            pool.run(&CancelFlag::new(), &mut || Ok::<(), ()>(()), |workers| {
                workers.for_each(100, |i| {
                    sum.fetch_add(i, std::sync::atomic::Ordering::Relaxed);
                })
            })
            .unwrap();
            assert_eq!(sum.into_inner(), 4950);
        }
    }
}
