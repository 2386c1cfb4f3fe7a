//! Element-wise arithmetic, and functions of one vector.

use pgnear_values::{halfvec, sparsevec, vector};

use crate::sql_functions;

sql_functions! {
    vector_dims => |call| call.return_int4(call.vector(0)?.len() as i32);
    vector_add => |call| call.return_vector(&vector::add(call.vector(0)?, call.vector(1)?)?);
    vector_sub => |call| call.return_vector(&vector::sub(call.vector(0)?, call.vector(1)?)?);
    vector_mul => |call| call.return_vector(&vector::mul(call.vector(0)?, call.vector(1)?)?);
    vector_concat => |call| call.return_vector(&vector::concat(call.vector(0)?, call.vector(1)?)?);
    vector_scale => |call| call.return_vector(&vector::scale(call.vector(0)?, call.float8(1))?);
    vector_scale_commuted => |call| {
        call.return_vector(&vector::scale(call.vector(1)?, call.float8(0))?)
    };
    vector_divide => |call| call.return_vector(&vector::divide(call.vector(0)?, call.float8(1))?);
    l2_normalize => |call| call.return_vector(&vector::normalize(call.vector(0)?)?);
    subvector => |call| {
        call.return_vector(vector::subvector(call.vector(0)?, call.int4(1), call.int4(2))?)
    };
    binary_quantize => |call| {
        let v = call.vector(0)?;
        call.return_bits(v.len(), &vector::binary_quantize(v)?)
    };

    halfvec_vector_dims => |call| call.return_int4(call.halfvec(0)?.len() as i32);
    halfvec_add => |call| call.return_halfvec(&halfvec::add(call.halfvec(0)?, call.halfvec(1)?)?);
    halfvec_sub => |call| call.return_halfvec(&halfvec::sub(call.halfvec(0)?, call.halfvec(1)?)?);
    halfvec_mul => |call| call.return_halfvec(&halfvec::mul(call.halfvec(0)?, call.halfvec(1)?)?);
    halfvec_concat => |call| {
        call.return_halfvec(&halfvec::concat(call.halfvec(0)?, call.halfvec(1)?)?)
    };
    halfvec_scale => |call| call.return_halfvec(&halfvec::scale(call.halfvec(0)?, call.float8(1))?);
    halfvec_scale_commuted => |call| {
        call.return_halfvec(&halfvec::scale(call.halfvec(1)?, call.float8(0))?)
    };
    halfvec_divide => |call| {
        call.return_halfvec(&halfvec::divide(call.halfvec(0)?, call.float8(1))?)
    };
    halfvec_l2_normalize => |call| call.return_halfvec(&halfvec::normalize(call.halfvec(0)?)?);
    halfvec_subvector => |call| {
        call.return_halfvec(halfvec::subvector(call.halfvec(0)?, call.int4(1), call.int4(2))?)
    };
    halfvec_binary_quantize => |call| {
        let v = call.halfvec(0)?;
        call.return_bits(v.len(), &halfvec::binary_quantize(v)?)
    };

    sparsevec_l2_normalize => |call| {
        call.return_sparsevec(sparsevec::normalize(call.sparsevec(0)?)?.as_ref())
    };
}
