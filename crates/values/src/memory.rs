//! Allocation that fails with an error: a failed Rust allocation would abort the server.

use crate::error::{self, ValueError};

/// An empty vector with room for `len` elements.
pub(crate) fn with_capacity<T>(len: usize) -> Result<Vec<T>, ValueError> {
    let mut vec = Vec::new();
    reserve(&mut vec, len)?;
    Ok(vec)
}

/// Room for `additional` elements more, so that pushing them cannot allocate.
pub(crate) fn reserve<T>(vec: &mut Vec<T>, additional: usize) -> Result<(), ValueError> {
    vec.try_reserve(additional)
        .map_err(|_| error::out_of_memory())
}

/// The elements of an iterator that knows its length.
pub(crate) fn collect<T>(elements: impl ExactSizeIterator<Item = T>) -> Result<Vec<T>, ValueError> {
    let mut vec = with_capacity(elements.len())?;
    vec.extend(elements);
    Ok(vec)
}
