//! The arithmetic of `avg(vector)` and `avg(halfvec)`.
//!
//! A state is a `float8[]` of the number of rows and then the sum of each element; `{0}` before
//! the first row.

use half::f16;

use crate::dense::{self, Element};
use crate::error::{self, ValueError};
use crate::memory;

/// Checks that an array that came from SQL has the shape of a state; `function` is the SQL
/// function that was called, for the message.
pub fn check_state(
    function: &str,
    array_dimensions: i32,
    has_nulls: bool,
    elements: usize,
) -> Result<(), ValueError> {
    if array_dimensions == 1 && !has_nulls && elements >= 1 {
        Ok(())
    } else {
        Err(error::not_a_state_array(function))
    }
}

/// The state with one more row.
pub fn accumulate<E: Element>(state: &[f64], v: &[E]) -> Result<Vec<f64>, ValueError> {
    let (&count, sums) = split(state, "accumulate")?;
    if sums.is_empty() {
        let mut result = memory::with_capacity(v.len() + 1)?;
        result.push(count + 1.0);
        result.extend(v.iter().map(|x| f64::from(x.to_f32())));
        return Ok(result);
    }
    let mut result = memory::collect(state.iter().copied())?;
    accumulate_in_place(&mut result, v)?;
    Ok(result)
}

/// Adds one more row to a state that has sums already, of the same dimensions.
pub fn accumulate_in_place<E: Element>(state: &mut [f64], v: &[E]) -> Result<(), ValueError> {
    let Some((count, sums)) = state.split_first_mut() else {
        return Err(error::not_a_state_array("accumulate"));
    };
    check_state_dims(sums.len(), v.len())?;
    *count += 1.0;
    for (sum, x) in sums.iter_mut().zip(v) {
        *sum += f64::from(x.to_f32());
    }
    check_sums(sums)
}

/// The state of the rows of both; used for `halfvec`, too, and its messages say `vector`.
pub fn combine(a: &[f64], b: &[f64]) -> Result<Vec<f64>, ValueError> {
    let (count_a, sums_a) = split(a, "combine")?;
    let (count_b, sums_b) = split(b, "combine")?;
    let (longer, other) = if sums_a.is_empty() {
        (sums_b, sums_a)
    } else {
        (sums_a, sums_b)
    };
    if !longer.is_empty() {
        dense::check_dims::<f32>(longer.len())?;
    }
    let mut result = memory::with_capacity(longer.len() + 1)?;
    result.push(count_a + count_b);
    result.extend_from_slice(longer);
    if !other.is_empty() {
        check_state_dims(longer.len(), other.len())?;
        for (sum, x) in result[1..].iter_mut().zip(other) {
            *sum += x;
        }
        check_sums(&result[1..])?;
    }
    Ok(result)
}

/// The average of the rows; `None` (NULL) where there were none.
pub fn finish_vector(state: &[f64]) -> Result<Option<Vec<f32>>, ValueError> {
    finish(state)
}

/// The average of the rows; `None` (NULL) where there were none.
pub fn finish_halfvec(state: &[f64]) -> Result<Option<Vec<f16>>, ValueError> {
    finish(state)
}

fn finish<E: Element>(state: &[f64]) -> Result<Option<Vec<E>>, ValueError> {
    let (&count, sums) = split(state, "finish")?;
    if count == 0.0 {
        return Ok(None);
    }
    dense::from_numbers(sums, -1, |sum| (sum / count) as f32).map(Some)
}

fn split<'a>(state: &'a [f64], function: &str) -> Result<(&'a f64, &'a [f64]), ValueError> {
    state
        .split_first()
        .ok_or_else(|| error::not_a_state_array(function))
}

fn check_state_dims(expected: usize, dims: usize) -> Result<(), ValueError> {
    dense::check_typmod(dims, i32::try_from(expected).unwrap_or(i32::MAX))
}

fn check_sums(sums: &[f64]) -> Result<(), ValueError> {
    if sums.iter().any(|sum| sum.is_infinite()) {
        Err(error::overflow())
    } else {
        Ok(())
    }
}
