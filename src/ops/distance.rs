//! Distances, norms, and the planner's question what they cost.

use half::f16;
use pgnear_kernels::exact;
use pgnear_kernels::sparse::SparseRef;
use pgnear_values::{ValueError, bits, halfvec, sparsevec, vector};

use crate::pg::bits::Bits;
use crate::pg::cost;
use crate::pg::fmgr::Call;
use crate::pg::scan_distance;
use crate::sql_functions;

/// Both arguments, of one length.
#[inline(always)]
fn vectors<'fc>(call: Call<'fc>) -> Result<(&'fc [f32], &'fc [f32]), ValueError> {
    let (a, b) = (call.vector(0)?, call.vector(1)?);
    vector::check_same_dims(a, b)?;
    Ok((a, b))
}

#[inline(always)]
fn halfvecs<'fc>(call: Call<'fc>) -> Result<(&'fc [f16], &'fc [f16]), ValueError> {
    let (a, b) = (call.halfvec(0)?, call.halfvec(1)?);
    halfvec::check_same_dims(a, b)?;
    Ok((a, b))
}

#[inline(always)]
fn sparsevecs<'fc>(call: Call<'fc>) -> Result<(SparseRef<'fc>, SparseRef<'fc>), ValueError> {
    let (a, b) = (call.sparsevec(0)?, call.sparsevec(1)?);
    sparsevec::check_same_dims(a, b)?;
    Ok((a, b))
}

#[inline(always)]
fn bit_strings<'fc>(call: Call<'fc>) -> Result<(Bits<'fc>, Bits<'fc>), ValueError> {
    let (a, b) = (call.bits(0), call.bits(1));
    bits::check_same_lengths(a.len, b.len)?;
    Ok((a, b))
}

/// `arguments(call)?` passed to a function of two, its result as float8.
macro_rules! float8_of {
    ($arguments:ident, $function:path) => {
        |call| {
            let (a, b) = $arguments(call)?;
            call.return_float8($function(a, b))
        }
    };
}

sql_functions! {
    pgnear_scan_distance => scan_distance::answer;
    l2_distance => float8_of!(vectors, exact::l2);
    vector_l2_squared_distance => float8_of!(vectors, exact::l2_squared);
    inner_product => float8_of!(vectors, exact::inner_product);
    vector_negative_inner_product => float8_of!(vectors, exact::negative_inner_product);
    cosine_distance => float8_of!(vectors, exact::cosine_distance);
    vector_spherical_distance => float8_of!(vectors, exact::spherical_distance);
    l1_distance => float8_of!(vectors, exact::l1);
    vector_norm => |call| call.return_float8(exact::norm(call.vector(0)?));

    halfvec_l2_distance => float8_of!(halfvecs, exact::l2);
    halfvec_l2_squared_distance => float8_of!(halfvecs, exact::l2_squared);
    halfvec_inner_product => float8_of!(halfvecs, exact::inner_product);
    halfvec_negative_inner_product => float8_of!(halfvecs, exact::negative_inner_product);
    halfvec_cosine_distance => float8_of!(halfvecs, exact::cosine_distance);
    halfvec_spherical_distance => float8_of!(halfvecs, exact::spherical_distance);
    halfvec_l1_distance => float8_of!(halfvecs, exact::l1);
    halfvec_l2_norm => |call| call.return_float8(exact::norm(call.halfvec(0)?));

    sparsevec_l2_distance => float8_of!(sparsevecs, exact::l2);
    sparsevec_l2_squared_distance => float8_of!(sparsevecs, exact::l2_squared);
    sparsevec_inner_product => float8_of!(sparsevecs, exact::inner_product);
    sparsevec_negative_inner_product => float8_of!(sparsevecs, exact::negative_inner_product);
    sparsevec_cosine_distance => float8_of!(sparsevecs, exact::cosine_distance);
    sparsevec_l1_distance => float8_of!(sparsevecs, exact::l1);
    sparsevec_l2_norm => |call| call.return_float8(exact::norm(call.sparsevec(0)?));

    hamming_distance => |call| {
        let (a, b) = bit_strings(call)?;
        call.return_float8(exact::hamming(a.bytes, b.bytes))
    };
    jaccard_distance => |call| {
        let (a, b) = bit_strings(call)?;
        call.return_float8(exact::jaccard(a.bytes, b.bytes))
    };

    /// The planner's support function of all distances.
    pgnear_distance_support => |call| Ok(cost::distance_support(call.datum(0)));
}
