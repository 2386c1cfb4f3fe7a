//! The stored form; its bytes are drawn in the module above.

use super::{SparseRef, TYPE_NAME, check_dims, check_nnz};
use crate::error::{self, ValueError};

const HEADER: usize = 12;

/// The bytes of a stored payload with so many elements that are not zero.
pub fn payload_len(nnz: usize) -> usize {
    HEADER + nnz * (size_of::<i32>() + size_of::<f32>())
}

/// The value in a stored payload, which must be aligned to 4 bytes. Bytes that are not such a
/// payload are an error, never a panic. That the indices ascend is not looked at, since it would
/// cost a pass: whoever uses one as a position checks it.
#[inline(always)]
pub fn view(payload: &[u8]) -> Result<SparseRef<'_>, ValueError> {
    let corrupted = || error::corrupted(TYPE_NAME);
    let (header, elements) = payload
        .split_first_chunk::<HEADER>()
        .ok_or_else(corrupted)?;
    let field = |at: usize| {
        i32::from_ne_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]])
    };
    let (dims, nnz) = (field(0), field(4));
    if check_dims(dims).is_err()
        || check_nnz(nnz, dims).is_err()
        || payload.len() != payload_len(nnz as usize)
    {
        return Err(corrupted());
    }
    let (indices, values) = elements.split_at(elements.len() / 2);
    let indices: &[i32] = bytemuck::try_cast_slice(indices).map_err(|_| corrupted())?;
    let values: &[f32] = bytemuck::try_cast_slice(values).map_err(|_| corrupted())?;
    if indices.first().is_some_and(|&first| first < 0)
        || indices.last().is_some_and(|&last| last >= dims)
    {
        return Err(corrupted());
    }
    Ok(SparseRef {
        dims,
        indices,
        values,
    })
}

/// Fills `out`, whose length must be [`payload_len`], with the payload to store.
pub fn write_payload(v: SparseRef<'_>, out: &mut [u8]) -> Result<(), ValueError> {
    let nnz = v.indices.len();
    if v.values.len() != nnz || out.len() != payload_len(nnz) {
        return Err(error::corrupted(TYPE_NAME));
    }
    let (header, elements) = out.split_at_mut(HEADER);
    header[..4].copy_from_slice(&v.dims.to_ne_bytes());
    header[4..8].copy_from_slice(&(nnz as i32).to_ne_bytes());
    header[8..].fill(0);
    let (indices, values) = elements.split_at_mut(size_of_val(v.indices));
    indices.copy_from_slice(bytemuck::cast_slice(v.indices));
    values.copy_from_slice(bytemuck::cast_slice(v.values));
    Ok(())
}
