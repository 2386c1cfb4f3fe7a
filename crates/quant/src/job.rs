//! What every long operation is given, and how it can fail.

use std::fmt;

use pgnear_device::{CancelFlag, MemoryBudget, OutOfMemory, Pool, Progress, RunError, Workers};

/// The surroundings of one operation: threads, memory, and how it is interrupted and watched.
pub struct Job<'a, E> {
    /// Threads to work on.
    pub pool: &'a Pool,
    /// Memory for everything whose size comes from data. A call may use what is left of it, and
    /// takes nothing from it for longer than the call lasts: results are the caller's to count.
    pub budget: &'a MemoryBudget,
    /// Set by `poll`'s failure, or by somebody else who wants the work to stop.
    pub cancel: &'a CancelFlag,
    /// Written by the work; read it inside `poll`.
    pub progress: &'a Progress,
    /// Called on the calling thread about every 10 ms; an error or a panic ends the work.
    pub poll: &'a mut dyn FnMut() -> Result<(), E>,
}

/// Why an operation has no result.
#[derive(Debug, PartialEq, Eq)]
pub enum QuantError<E> {
    /// `poll` returned this.
    Poll(E),
    /// The cancel flag was set by somebody else than `poll`.
    Cancelled,
    /// The work panicked: a bug, with its message.
    WorkerPanic(String),
    /// The memory budget does not hold what the work needs.
    OutOfMemory(OutOfMemory),
    /// A component of this row is infinite or not a number.
    NotFinite {
        /// Row number, from 0.
        row: usize,
    },
    /// Two things that belong together differ in dimensions (or bytes).
    WrongDimensions {
        /// What was expected.
        expected: usize,
        /// What came.
        got: usize,
    },
}

impl<E> QuantError<E> {
    /// Words for what is not `poll`'s.
    pub(crate) fn without_poll(&self) -> String {
        match self {
            QuantError::Poll(_) => "interrupted".into(),
            QuantError::Cancelled => "cancelled".into(),
            QuantError::WorkerPanic(message) => format!("a worker thread panicked: {message}"),
            QuantError::OutOfMemory(error) => error.to_string(),
            QuantError::NotFinite { row } => {
                format!("sample {row} has an infinite or NaN component")
            }
            QuantError::WrongDimensions { expected, got } => {
                format!("expected {expected} dimensions, not {got}")
            }
        }
    }
}

impl<E: fmt::Display> fmt::Display for QuantError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            QuantError::Poll(error) => error.fmt(f),
            other => f.write_str(&other.without_poll()),
        }
    }
}

impl<E: fmt::Debug + fmt::Display> std::error::Error for QuantError<E> {}

impl<E> From<OutOfMemory> for QuantError<E> {
    fn from(error: OutOfMemory) -> Self {
        QuantError::OutOfMemory(error)
    }
}

/// Why work on the pool stopped, before it is known what `poll` said.
#[derive(Debug)]
pub(crate) enum Stop {
    Cancelled,
    OutOfMemory(OutOfMemory),
    NotFinite { row: usize },
}

impl From<OutOfMemory> for Stop {
    fn from(error: OutOfMemory) -> Stop {
        Stop::OutOfMemory(error)
    }
}

/// `Ok` while a loop ran to its end.
pub(crate) fn unless_cancelled(complete: bool) -> Result<(), Stop> {
    if complete {
        Ok(())
    } else {
        Err(Stop::Cancelled)
    }
}

impl<E> Job<'_, E> {
    /// Runs `work` on the calling thread and sorts out how it ended.
    pub(crate) fn run_here<T>(
        &mut self,
        work: impl FnOnce(&Workers<'_>, &MemoryBudget, &Progress) -> Result<T, Stop>,
    ) -> Result<T, QuantError<E>> {
        let budget = &MemoryBudget::new(self.budget.available());
        let progress = self.progress;
        let outcome = Pool::run_here(self.cancel, self.poll, |workers| {
            work(workers, budget, progress)
        });
        sorted_out(outcome)
    }

    /// Runs `work` on the pool and sorts out how it ended.
    pub(crate) fn run<T: Send>(
        &mut self,
        work: impl FnOnce(&Workers<'_>, &MemoryBudget, &Progress) -> Result<T, Stop> + Send,
    ) -> Result<T, QuantError<E>> {
        let budget = &MemoryBudget::new(self.budget.available());
        let progress = self.progress;
        sorted_out(self.pool.run(self.cancel, self.poll, |workers| {
            work(workers, budget, progress)
        }))
    }
}

fn sorted_out<T, E>(outcome: Result<Result<T, Stop>, RunError<E>>) -> Result<T, QuantError<E>> {
    outcome
        .map_err(|error| match error {
            RunError::Poll(error) => QuantError::Poll(error),
            RunError::WorkerPanic(message) => QuantError::WorkerPanic(message),
        })?
        .map_err(|stop| match stop {
            Stop::Cancelled => QuantError::Cancelled,
            Stop::OutOfMemory(error) => QuantError::OutOfMemory(error),
            Stop::NotFinite { row } => QuantError::NotFinite { row },
        })
}
