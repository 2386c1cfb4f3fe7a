//! The form of the binary protocol.

use super::{
    Sparse, SparseRef, TYPE_NAME, check_dims, check_index, check_nnz, check_typmod, payload_len,
};
use crate::dense::check_element;
use crate::error::{self, ValueError};
use crate::memory;
use crate::wire::Message;

/// Reads a whole message of the binary protocol; a `typmod` other than -1 asks for that many
/// dimensions.
pub fn from_wire(message: &[u8], typmod: i32) -> Result<Sparse, ValueError> {
    let mut message = Message(message);
    let dims = message.i32()?;
    let nnz = message.i32()?;
    let unused = message.i32()?;
    check_dims(dims)?;
    check_nnz(nnz, dims)?;
    check_typmod(dims, typmod)?;
    if unused != 0 {
        return Err(error::unused_not_zero(unused.into()));
    }
    let mut result = Sparse::with_capacity(dims, nnz as usize)?;
    for _ in 0..nnz {
        let index = message.i32()?;
        check_index(index, result.indices.last().copied(), dims)?;
        result.indices.push(index);
    }
    for _ in 0..nnz {
        let value = message.f32()?;
        check_element(TYPE_NAME, value)?;
        if value == 0.0 {
            return Err(error::sparse_zero_on_wire());
        }
        result.values.push(value);
    }
    message.finish()?;
    Ok(result)
}

/// Appends the binary protocol's form.
pub fn to_wire(v: SparseRef<'_>, out: &mut Vec<u8>) -> Result<(), ValueError> {
    memory::reserve(out, payload_len(v.indices.len()))?;
    for header in [v.dims, v.indices.len() as i32, 0] {
        out.extend_from_slice(&header.to_be_bytes());
    }
    for index in v.indices {
        out.extend_from_slice(&index.to_be_bytes());
    }
    for value in v.values {
        out.extend_from_slice(&value.to_be_bytes());
    }
    Ok(())
}
