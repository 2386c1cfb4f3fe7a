//! The SQL type `sparsevec`: the non-zero elements of an array of f32 numbers.
//!
//! A stored payload, which is a varlena's content after its 4-byte length, is
//! `i32 dimensions, i32 elements, i32 unused (0), elements * i32 index, elements * f32 value`,
//! in the machine's byte order; indices are 0-based and ascend, values are not zero. The wire
//! form is the same in network byte order. The text form counts from 1.

mod cast;
mod order;
mod storage;
mod text;
mod wire;

pub(crate) use cast::to_dense;
pub use cast::{from_f32s, from_f64s, from_halfvec, from_i64s, from_vector};
pub use order::{cmp, hash, hash_extended};
pub use storage::{payload_len, view, write_payload};
pub use text::{parse, print, print_into, print_room};
pub use wire::{from_wire, to_wire};

/// A value that lies elsewhere, such as in a stored payload.
pub use pgnear_kernels::sparse::SparseRef;

use crate::error::{self, ValueError};
use crate::{SPARSE_MAX_DIMS, SPARSE_MAX_NNZ, dense, memory};

const TYPE_NAME: &str = "sparsevec";

/// A value of its own.
#[derive(Clone, Debug, PartialEq)]
pub struct Sparse {
    /// All dimensions, zero elements included.
    pub dims: i32,
    /// Ascending 0-based indices of the elements that are not zero.
    pub indices: Vec<i32>,
    /// The element at each index.
    pub values: Vec<f32>,
}

impl Sparse {
    /// The same value, borrowed.
    pub fn as_ref(&self) -> SparseRef<'_> {
        SparseRef {
            dims: self.dims,
            indices: &self.indices,
            values: &self.values,
        }
    }

    fn with_capacity(dims: i32, nnz: usize) -> Result<Self, ValueError> {
        Ok(Sparse {
            dims,
            indices: memory::with_capacity(nnz)?,
            values: memory::with_capacity(nnz)?,
        })
    }

    /// Adds an element into room that was reserved.
    fn push(&mut self, index: i32, value: f32) {
        self.indices.push(index);
        self.values.push(value);
    }
}

/// Checks that the type can have so many dimensions.
pub fn check_dims(dims: i32) -> Result<(), ValueError> {
    if dims < 1 {
        Err(error::no_dimensions(TYPE_NAME))
    } else if dims as usize > SPARSE_MAX_DIMS {
        Err(error::too_many_dimensions(TYPE_NAME, SPARSE_MAX_DIMS))
    } else {
        Ok(())
    }
}

/// Checks dimensions, which [`check_dims`] has allowed, against a type modifier; -1 allows all.
pub fn check_typmod(dims: i32, typmod: i32) -> Result<(), ValueError> {
    dense::check_typmod(dims as usize, typmod)
}

/// Checks that two operands have the same dimensions.
#[inline(always)]
pub fn check_same_dims(a: SparseRef<'_>, b: SparseRef<'_>) -> Result<(), ValueError> {
    if a.dims == b.dims {
        Ok(())
    } else {
        Err(error::different_dimensions(
            TYPE_NAME,
            a.dims as usize,
            b.dims as usize,
        ))
    }
}

/// The type modifier that the integers in a declaration such as `sparsevec(3)` stand for.
pub fn typmod_in(modifiers: &[i32]) -> Result<i32, ValueError> {
    dense::typmod_in(TYPE_NAME, SPARSE_MAX_DIMS, modifiers)
}

/// `v` divided by its L2 norm; elements that become zero are dropped, and the zero vector stays
/// as it is.
pub fn normalize(v: SparseRef<'_>) -> Result<Sparse, ValueError> {
    let norm = pgnear_kernels::exact::norm(v);
    let mut result = Sparse::with_capacity(v.dims, v.indices.len())?;
    if norm > 0.0 {
        for (&index, &value) in v.indices.iter().zip(v.values) {
            let value = (f64::from(value) / norm) as f32;
            if value.is_infinite() {
                return Err(error::overflow());
            }
            if value != 0.0 {
                result.push(index, value);
            }
        }
    }
    Ok(result)
}

fn check_nnz(nnz: i32, dims: i32) -> Result<(), ValueError> {
    if nnz < 0 {
        Err(error::sparse_negative_nnz())
    } else if nnz as usize > SPARSE_MAX_NNZ {
        Err(error::sparse_too_many_elements(SPARSE_MAX_NNZ))
    } else if nnz > dims {
        Err(error::sparse_more_elements_than_dimensions())
    } else {
        Ok(())
    }
}

/// Checks an index against the dimensions and the index before it.
fn check_index(index: i32, previous: Option<i32>, dims: i32) -> Result<(), ValueError> {
    if index < 0 || index >= dims {
        return Err(error::sparse_index_out_of_bounds());
    }
    match previous {
        Some(previous) if index < previous => Err(error::sparse_indices_not_ascending()),
        Some(previous) if index == previous => Err(error::sparse_duplicate_indices()),
        _ => Ok(()),
    }
}
