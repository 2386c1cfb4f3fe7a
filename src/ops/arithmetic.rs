//! Element-wise arithmetic, and functions of one vector.

use pgnear_values::{halfvec, sparsevec, vector};

use crate::sql_functions;

sql_functions! {
    vector_dims => |call| call.return_int4(call.vector(0)?.len() as i32);
    vector_add => |call| {
        let row = call.vector(1)?;
        // Inside sum() the left operand is the state: it is changed, and not copied for each row.
        if let Some(state) = call.vector_state()? {
            vector::add_assign(state, row)?;
            return call.return_argument(0);
        }
        let v = call.vector(0)?;
        call.build_vector(v.len(), |out| vector::add_into(v, row, out))
    };
    vector_sub => |call| {
        let (a, b) = (call.vector(0)?, call.vector(1)?);
        call.build_vector(a.len(), |out| vector::sub_into(a, b, out))
    };
    vector_mul => |call| {
        let (a, b) = (call.vector(0)?, call.vector(1)?);
        call.build_vector(a.len(), |out| vector::mul_into(a, b, out))
    };
    vector_concat => |call| call.return_vector(&vector::concat(call.vector(0)?, call.vector(1)?)?);
    vector_scale => |call| {
        let v = call.vector(0)?;
        call.build_vector(v.len(), |out| vector::scale_into(v, call.float8(1), out))
    };
    vector_scale_commuted => |call| {
        let v = call.vector(1)?;
        call.build_vector(v.len(), |out| vector::scale_into(v, call.float8(0), out))
    };
    vector_divide => |call| {
        let v = call.vector(0)?;
        call.build_vector(v.len(), |out| vector::divide_into(v, call.float8(1), out))
    };
    l2_normalize => |call| {
        let v = call.vector(0)?;
        call.build_vector(v.len(), |out| vector::normalize_into(v, out))
    };
    subvector => |call| {
        call.return_vector(vector::subvector(call.vector(0)?, call.int4(1), call.int4(2))?)
    };
    binary_quantize => |call| {
        let v = call.vector(0)?;
        call.return_bits(v.len(), &vector::binary_quantize(v)?)
    };

    halfvec_vector_dims => |call| call.return_int4(call.halfvec(0)?.len() as i32);
    halfvec_add => |call| {
        let row = call.halfvec(1)?;
        // Inside sum() the left operand is the state: it is changed, and not copied for each row.
        if let Some(state) = call.halfvec_state()? {
            halfvec::add_assign(state, row)?;
            return call.return_argument(0);
        }
        let v = call.halfvec(0)?;
        call.build_halfvec(v.len(), |out| halfvec::add_into(v, row, out))
    };
    halfvec_sub => |call| {
        let (a, b) = (call.halfvec(0)?, call.halfvec(1)?);
        call.build_halfvec(a.len(), |out| halfvec::sub_into(a, b, out))
    };
    halfvec_mul => |call| {
        let (a, b) = (call.halfvec(0)?, call.halfvec(1)?);
        call.build_halfvec(a.len(), |out| halfvec::mul_into(a, b, out))
    };
    halfvec_concat => |call| {
        call.return_halfvec(&halfvec::concat(call.halfvec(0)?, call.halfvec(1)?)?)
    };
    halfvec_scale => |call| {
        let v = call.halfvec(0)?;
        call.build_halfvec(v.len(), |out| halfvec::scale_into(v, call.float8(1), out))
    };
    halfvec_scale_commuted => |call| {
        let v = call.halfvec(1)?;
        call.build_halfvec(v.len(), |out| halfvec::scale_into(v, call.float8(0), out))
    };
    halfvec_divide => |call| {
        let v = call.halfvec(0)?;
        call.build_halfvec(v.len(), |out| halfvec::divide_into(v, call.float8(1), out))
    };
    halfvec_l2_normalize => |call| {
        let v = call.halfvec(0)?;
        call.build_halfvec(v.len(), |out| halfvec::normalize_into(v, out))
    };
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
