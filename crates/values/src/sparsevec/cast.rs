//! Casts between dense and sparse.

use half::f16;

use super::{Sparse, SparseRef, TYPE_NAME, check_dims, check_typmod};
use crate::dense::{self, Element, check_element};
use crate::error::{self, ValueError};
use crate::{SPARSE_MAX_NNZ, memory};

/// The cast from `vector`.
pub fn from_vector(v: &[f32], typmod: i32) -> Result<Sparse, ValueError> {
    from_numbers(v, typmod, |x| x)
}

/// The cast from `halfvec`.
pub fn from_halfvec(v: &[f16], typmod: i32) -> Result<Sparse, ValueError> {
    from_numbers(v, typmod, f16::to_f32)
}

/// The cast from `real[]`.
pub fn from_f32s(numbers: &[f32], typmod: i32) -> Result<Sparse, ValueError> {
    from_numbers(numbers, typmod, |x| x)
}

/// The cast from `double precision[]`.
pub fn from_f64s(numbers: &[f64], typmod: i32) -> Result<Sparse, ValueError> {
    from_numbers(numbers, typmod, |x| x as f32)
}

/// The cast from `smallint[]`, `integer[]` and `bigint[]`.
pub fn from_i64s(numbers: &[i64], typmod: i32) -> Result<Sparse, ValueError> {
    from_numbers(numbers, typmod, |x| x as f32)
}

fn from_numbers<T: Copy>(
    numbers: &[T],
    typmod: i32,
    to_f32: impl Fn(T) -> f32,
) -> Result<Sparse, ValueError> {
    // More than an i32 can count is more than the type allows, too.
    let dims = i32::try_from(numbers.len()).unwrap_or(i32::MAX);
    check_dims(dims)?;
    check_typmod(dims, typmod)?;
    let nnz = numbers.iter().filter(|&&x| to_f32(x) != 0.0).count();
    if nnz > SPARSE_MAX_NNZ {
        return Err(error::sparse_too_many_elements(SPARSE_MAX_NNZ));
    }
    let mut result = Sparse::with_capacity(dims, nnz)?;
    for (index, &number) in (0..dims).zip(numbers) {
        let value = to_f32(number);
        if value != 0.0 {
            check_element(TYPE_NAME, value)?;
            result.push(index, value);
        }
    }
    Ok(result)
}

/// The cast to a dense type; errors name that type.
pub(crate) fn to_dense<E: Element>(v: SparseRef<'_>, typmod: i32) -> Result<Vec<E>, ValueError> {
    let dims = v.dims as usize;
    dense::check_dims::<E>(dims)?;
    dense::check_typmod(dims, typmod)?;
    let mut result = memory::with_capacity(dims)?;
    result.resize(dims, E::ZERO);
    for (&index, &value) in v.indices.iter().zip(v.values) {
        let place = usize::try_from(index)
            .ok()
            .and_then(|index| result.get_mut(index))
            .ok_or_else(|| error::corrupted(TYPE_NAME))?;
        *place = dense::narrow(value)?;
    }
    Ok(result)
}
