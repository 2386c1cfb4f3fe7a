//! The functions of `avg`: its state is a `double precision[]` of the count and the sums.

use pgnear_values::{Element, ValueError, avg};

use crate::pg::fmgr::{Call, Return};
use crate::sql_functions;

/// The state in argument `n`.
fn state<'fc>(call: Call<'fc>, n: usize, function: &str) -> Result<&'fc mut [f64], ValueError> {
    let array = call.float8_array(n);
    avg::check_state(
        function,
        array.dimensions,
        array.has_nulls,
        array.elements.len(),
    )?;
    Ok(array.elements)
}

fn accumulate<E: Element>(call: Call<'_>, function: &str, row: &[E]) -> Return {
    let sums = state(call, 0, function)?;
    // Inside an aggregate the state is ours to change; elsewhere it is somebody's value.
    if sums.len() > 1 && call.aggregate_context().is_some() {
        avg::accumulate_in_place(sums, row)?;
        return Ok(call.array_argument(0));
    }
    call.return_state(&avg::accumulate(sums, row)?)
}

sql_functions! {
    vector_accum => |call| accumulate(call, "vector_accum", call.vector(1)?);
    halfvec_accum => |call| accumulate(call, "halfvec_accum", call.halfvec(1)?);
    vector_combine => |call| {
        let (a, b) = (state(call, 0, "vector_combine")?, state(call, 1, "vector_combine")?);
        call.return_state(&avg::combine(a, b)?)
    };
    vector_avg => |call| match avg::finish_vector(state(call, 0, "vector_avg")?)? {
        Some(average) => call.return_vector(&average),
        None => call.null(),
    };
    halfvec_avg => |call| match avg::finish_halfvec(state(call, 0, "halfvec_avg")?)? {
        Some(average) => call.return_halfvec(&average),
        None => call.null(),
    };
}
