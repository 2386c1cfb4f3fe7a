//! What an index knows about a row: where it lies in the table, and the type of its components.

use crate::error::Error;

/// Where a row lies in the table: its block and its line number there (from 1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tid {
    pub block: u32,
    pub offset: u16,
}

impl Tid {
    /// Both numbers in one, in the order of `Tid`.
    pub fn to_u64(self) -> u64 {
        u64::from(self.block) << 16 | u64::from(self.offset)
    }

    /// Whether a row can lie there at all: no host block has this many lines or this number.
    pub fn is_valid(self) -> bool {
        self.block != u32::MAX && self.offset != 0
    }
}

/// The type of a vector's components as the index stores them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Element {
    /// 4-byte floats, native byte order.
    F32,
    /// 2-byte floats (IEEE binary16), native byte order.
    F16,
    /// Packed bits, the first in the highest bit of the first byte; spare bits are zero.
    Bit,
    /// 4-byte floats that are not zero: their indices (4 bytes each, from 0, ascending), then the
    /// floats, both in native byte order.
    Sparse,
}

impl Element {
    /// Bytes of a vector of `dims` components; of a sparse one, those that all have: none.
    pub fn bytes(self, dims: u32) -> usize {
        let dims = dims as usize;
        match self {
            Element::F32 => dims * 4,
            Element::F16 => dims * 2,
            Element::Bit => dims.div_ceil(8),
            Element::Sparse => 0,
        }
    }
}

/// The rows of the table, for an index that leaves their vectors there.
pub trait Table {
    /// Calls `use_it` with a row's vector, as the index would store it; `false` where the scan does
    /// not see the row.
    ///
    /// # Errors
    /// Those of the host.
    fn row(&self, tid: Tid, use_it: &mut dyn FnMut(&[u8])) -> Result<bool, Error>;

    /// Hints that a row will be asked for; `soon` where it is one of the next.
    fn prefetch(&self, tid: Tid, soon: bool) {
        let _ = (tid, soon);
    }
}

/// The table of an index that keeps vectors itself.
pub struct NoTable;

impl Table for NoTable {
    fn row(&self, _: Tid, _: &mut dyn FnMut(&[u8])) -> Result<bool, Error> {
        Err(Error::Invalid("index needs its table"))
    }
}

/// A row found, and its distance as the operator gives it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Hit {
    pub tid: Tid,
    /// Not known where the index did not need it to tell that no other row is nearer.
    pub distance: Option<f64>,
}

/// What the table says of a row that the index leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TidState {
    /// There is a row, dead or alive.
    Ok,
    /// There is no such place in the table.
    Missing,
}
