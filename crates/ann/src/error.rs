//! The one error type of this crate. Nothing here panics on what it reads from a page.

use std::borrow::Cow;
use std::fmt;

/// Why an index operation stopped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Error {
    /// A page holds what no writer of ours leaves there. The remedy is to rebuild the index.
    Corrupt { block: u32, what: Cow<'static, str> },
    /// A page or index layout of a later (or unknown) version.
    UnknownVersion { found: u32, known: u32 },
    /// Block 0 is no meta page of ours, e.g. an index that another extension wrote.
    NotOurs,
    /// An allocation whose size came from data could not be had.
    OutOfMemory { bytes: usize },
    /// The host asked the operation to stop.
    Interrupted,
    /// A row or query of another length than the index holds.
    WrongDimensions { expected: u32, got: u32 },
    /// A number that outgrew what the layout can hold.
    TooLarge {
        what: &'static str,
        value: u64,
        limit: u64,
    },
    /// The caller asked for what this index cannot do; the message says what.
    Invalid(&'static str),
    /// The host could not read or write.
    Io(String),
}

impl Error {
    /// A [`Error::Corrupt`] for `block`.
    pub fn corrupt(block: u32, what: impl Into<Cow<'static, str>>) -> Error {
        Error::Corrupt {
            block,
            what: what.into(),
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Corrupt { block, what } => {
                write!(f, "index is corrupted at block {block}: {what}")
            }
            Error::UnknownVersion { found, known } => write!(
                f,
                "index has layout version {found}, but this library knows version {known}"
            ),
            Error::NotOurs => write!(f, "index was not written by this extension"),
            Error::OutOfMemory { bytes } => {
                write!(f, "out of memory: could not allocate {bytes} bytes")
            }
            Error::Interrupted => write!(f, "operation was interrupted"),
            Error::WrongDimensions { expected, got } => {
                write!(f, "expected {expected} dimensions, not {got}")
            }
            Error::TooLarge { what, value, limit } => {
                write!(f, "{what} {value} is over the limit of {limit}")
            }
            Error::Invalid(what) => f.write_str(what),
            Error::Io(message) => f.write_str(message),
        }
    }
}

impl std::error::Error for Error {}
