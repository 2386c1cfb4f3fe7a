//! Vectors whose length comes from data: a failed allocation is an error, never an abort.

use crate::error::Error;

/// An empty vector with room for `len` elements.
pub fn with_capacity<T>(len: usize) -> Result<Vec<T>, Error> {
    let mut vec = Vec::new();
    reserve(&mut vec, len)?;
    Ok(vec)
}

/// Makes room for `more` elements, and as many again as `vec` holds.
pub fn reserve<T>(vec: &mut Vec<T>, more: usize) -> Result<(), Error> {
    vec.try_reserve(more).map_err(|_| Error::OutOfMemory {
        bytes: more.saturating_mul(size_of::<T>()),
    })
}

/// `len` copies of `value`.
pub fn filled<T: Clone>(value: T, len: usize) -> Result<Vec<T>, Error> {
    let mut vec = with_capacity(len)?;
    vec.resize(len, value);
    Ok(vec)
}

/// A copy of `slice`.
pub fn copied<T: Copy>(slice: &[T]) -> Result<Vec<T>, Error> {
    let mut vec = with_capacity(slice.len())?;
    vec.extend_from_slice(slice);
    Ok(vec)
}
