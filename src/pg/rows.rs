//! Rows with a vector each that are read once, and of which some are kept; the queries that go through
//! them together, and what those find.

use std::collections::HashMap;

use half::f16;
use pgnear_device::{Neighbour, Wanted};
use pgnear_kernels::kernels;
use pgnear_values::{Code, ValueError, halfvec, vector};

use super::index::value_error;
use super::memory::no_memory;

/// Reads rows.
pub trait Rows {
    type Keeper: Keeper;

    /// Reads up to `most` more rows, and hands each one's vector to `sink`, `None` for NULL, with a way to
    /// keep the row. How many were read: none at the end.
    ///
    /// # Errors
    /// Those of `sink`; PostgreSQL's own are raised.
    fn fetch(
        &mut self,
        most: usize,
        sink: &mut Sink<'_, Self::Keeper>,
    ) -> Result<usize, ValueError>;

    /// What keeps rows of this kind.
    fn keeper(&self) -> Self::Keeper;
}

/// Takes a row: the payload of its vector, and a function that keeps it.
pub type Sink<'s, K> = dyn FnMut(Option<&[u8]>, &mut dyn FnMut() -> <K as Keeper>::Kept) -> Result<(), ValueError>
    + 's;

/// Frees what was kept.
pub trait Keeper: Copy {
    /// What is kept of a row.
    type Kept: Copy;

    fn forget(self, kept: Self::Kept);
}

/// The type of the vectors.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Vector,
    Halfvec,
}

impl Kind {
    /// The kind of a type, by its name.
    pub fn named(name: &str) -> Option<Kind> {
        match name {
            "vector" => Some(Kind::Vector),
            "halfvec" => Some(Kind::Halfvec),
            _ => None,
        }
    }

    /// Appends a vector of `dims` dimensions, or of as many as the first has.
    pub fn append(
        self,
        payload: &[u8],
        dims: &mut usize,
        to: &mut Vec<f32>,
    ) -> Result<(), ValueError> {
        let count = self.dims(payload)?;
        if *dims == 0 {
            *dims = count;
        } else if *dims != count {
            return Err(self.different(*dims, count));
        }
        to.try_reserve(count).map_err(no_memory)?;
        match self {
            Kind::Vector => to.extend_from_slice(vector::view(payload)?),
            Kind::Halfvec => {
                let halves: &[f16] = halfvec::view(payload)?;
                let start = to.len();
                to.resize(start + count, 0.0);
                (kernels().f16_to_f32)(halves, &mut to[start..]);
            }
        }
        Ok(())
    }

    /// That vectors of so many dimensions cannot be compared.
    pub fn different(self, a: usize, b: usize) -> ValueError {
        let name = match self {
            Kind::Vector => "vector",
            Kind::Halfvec => "halfvec",
        };
        let what = format!("different {name} dimensions {a} and {b}");
        value_error(Code::DataException, what, None)
    }

    /// The dimensions of a vector.
    pub fn dims(self, payload: &[u8]) -> Result<usize, ValueError> {
        Ok(match self {
            Kind::Vector => vector::view(payload)?.len(),
            Kind::Halfvec => halfvec::view(payload)?.len(),
        })
    }
}

/// Queries that go through the rows together.
pub struct Together {
    pub wanted: Wanted,
    pub kind: Kind,
    pub dims: usize,
    /// One after the other.
    pub vectors: Vec<f32>,
}

impl Together {
    /// Adds a query, of as many dimensions as the first; or tells how many others it has.
    ///
    /// # Errors
    /// A value that is no vector, or no memory.
    pub fn add(&mut self, payload: &[u8]) -> Result<Option<usize>, ValueError> {
        let own = self.kind.dims(payload)?;
        if self.dims != 0 && own != self.dims {
            return Ok(Some(own));
        }
        (self.kind).append(payload, &mut self.dims, &mut self.vectors)?;
        Ok(None)
    }
}

/// What some queries found.
pub struct Found<K: Keeper> {
    /// Of each query, the nearest first.
    pub neighbours: Vec<Vec<Neighbour>>,
    /// What was kept of the rows found, by number, and of some others.
    pub rows: HashMap<u64, K::Kept>,
    pub keeper: K,
}
