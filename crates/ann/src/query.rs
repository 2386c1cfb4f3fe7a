//! A vector to search for, and the order in which distances sort: what every algorithm shares.

use half::f16;

use crate::alloc;
use crate::error::Error;
use crate::row::Element;

/// Most elements of a sparse vector.
pub const MAX_NON_ZERO: usize = 16_000;

/// What an index says of its vectors.
pub trait Shape {
    /// The type of their components.
    fn element(&self) -> Element;
    /// How many there are.
    fn dims(&self) -> u32;
}

/// A vector to search for, or to file: owned, in the element type of the index.
#[derive(Debug, Clone, PartialEq)]
pub enum Query {
    F32(Vec<f32>),
    F16(Vec<f16>),
    Bit(Vec<u8>),
    Sparse(Vec<u32>),
}

impl Query {
    /// From the bytes of a vector as the index stores them, at any alignment.
    ///
    /// # Errors
    /// [`Error::WrongDimensions`] where the length is not that of the index's vectors,
    /// [`Error::OutOfMemory`].
    pub fn from_payload(shape: &impl Shape, payload: &[u8]) -> Result<Query, Error> {
        check_length(shape, payload)?;
        Ok(match shape.element() {
            Element::F32 => Query::F32(copied_as(payload)?),
            Element::F16 => Query::F16(copied_as(payload)?),
            Element::Bit => Query::Bit(alloc::copied(payload)?),
            Element::Sparse => Query::Sparse(copied_as(payload)?),
        })
    }

    /// The bytes of the vector as the index stores them.
    pub fn payload(&self) -> &[u8] {
        match self {
            Query::F32(row) => bytemuck::cast_slice(row),
            Query::F16(row) => bytemuck::cast_slice(row),
            Query::Bit(row) => row,
            Query::Sparse(row) => bytemuck::cast_slice(row),
        }
    }

    /// Whether this is a vector of such an index.
    pub(crate) fn check(&self, shape: &impl Shape) -> Result<(), Error> {
        let element = match self {
            Query::F32(_) => Element::F32,
            Query::F16(_) => Element::F16,
            Query::Bit(_) => Element::Bit,
            Query::Sparse(_) => Element::Sparse,
        };
        if element != shape.element() {
            return Err(Error::Invalid("query has another type than the index"));
        }
        check_length(shape, self.payload())
    }
}

pub(crate) fn check_length(shape: &impl Shape, payload: &[u8]) -> Result<(), Error> {
    let fits = match shape.element() {
        Element::Sparse => {
            payload.len().is_multiple_of(8)
                && payload.len() / 8 <= MAX_NON_ZERO.min(shape.dims() as usize)
        }
        element => payload.len() == element.bytes(shape.dims()),
    };
    if fits {
        return Ok(());
    }
    Err(Error::WrongDimensions {
        expected: shape.dims(),
        got: match shape.element() {
            Element::F32 => payload.len() / 4,
            Element::F16 => payload.len() / 2,
            Element::Bit => payload.len().saturating_mul(8),
            Element::Sparse => payload.len() / 8,
        }
        .try_into()
        .unwrap_or(u32::MAX),
    })
}

fn copied_as<T: bytemuck::Pod>(bytes: &[u8]) -> Result<Vec<T>, Error> {
    let mut row = alloc::filled(T::zeroed(), bytes.len() / size_of::<T>())?;
    bytemuck::cast_slice_mut(&mut row).copy_from_slice(bytes);
    Ok(row)
}

/// A number that sorts as `key` does among `float8` values: NaN after everything else.
pub(crate) fn sortable(key: f64) -> u64 {
    if key.is_nan() {
        return u64::MAX;
    }
    let bits = key.to_bits();
    if bits >> 63 == 0 {
        bits | 1 << 63
    } else {
        !bits
    }
}

/// The inverse of [`sortable`].
pub(crate) fn from_sortable(sortable: u64) -> f64 {
    if sortable == u64::MAX {
        f64::NAN
    } else if sortable >> 63 == 1 {
        f64::from_bits(sortable & !(1 << 63))
    } else {
        f64::from_bits(!sortable)
    }
}
