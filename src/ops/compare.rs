//! Order, equality and hashing: elements first, then length.

use std::cmp::Ordering;

use pgnear_values::{ValueError, halfvec, sparsevec, vector};

use crate::pg::fmgr::Call;
use crate::sql_functions;

fn order_vectors(call: Call<'_>) -> Result<Ordering, ValueError> {
    Ok(vector::cmp(call.vector(0)?, call.vector(1)?))
}

fn order_halfvecs(call: Call<'_>) -> Result<Ordering, ValueError> {
    Ok(halfvec::cmp(call.halfvec(0)?, call.halfvec(1)?))
}

fn order_sparsevecs(call: Call<'_>) -> Result<Ordering, ValueError> {
    Ok(sparsevec::cmp(call.sparsevec(0)?, call.sparsevec(1)?))
}

sql_functions! {
    vector_cmp => |call| call.return_int4(order_vectors(call)? as i32);
    vector_lt => |call| call.return_bool(order_vectors(call)?.is_lt());
    vector_le => |call| call.return_bool(order_vectors(call)?.is_le());
    vector_eq => |call| call.return_bool(order_vectors(call)?.is_eq());
    vector_ne => |call| call.return_bool(order_vectors(call)?.is_ne());
    vector_ge => |call| call.return_bool(order_vectors(call)?.is_ge());
    vector_gt => |call| call.return_bool(order_vectors(call)?.is_gt());
    vector_hash => |call| call.return_int4(vector::hash(call.vector(0)?) as i32);
    vector_hash_extended => |call| {
        call.return_int8(vector::hash_extended(call.vector(0)?, call.int8(1) as u64) as i64)
    };
    halfvec_cmp => |call| call.return_int4(order_halfvecs(call)? as i32);
    halfvec_lt => |call| call.return_bool(order_halfvecs(call)?.is_lt());
    halfvec_le => |call| call.return_bool(order_halfvecs(call)?.is_le());
    halfvec_eq => |call| call.return_bool(order_halfvecs(call)?.is_eq());
    halfvec_ne => |call| call.return_bool(order_halfvecs(call)?.is_ne());
    halfvec_ge => |call| call.return_bool(order_halfvecs(call)?.is_ge());
    halfvec_gt => |call| call.return_bool(order_halfvecs(call)?.is_gt());
    halfvec_hash => |call| call.return_int4(halfvec::hash(call.halfvec(0)?) as i32);
    halfvec_hash_extended => |call| {
        call.return_int8(halfvec::hash_extended(call.halfvec(0)?, call.int8(1) as u64) as i64)
    };
    sparsevec_cmp => |call| call.return_int4(order_sparsevecs(call)? as i32);
    sparsevec_lt => |call| call.return_bool(order_sparsevecs(call)?.is_lt());
    sparsevec_le => |call| call.return_bool(order_sparsevecs(call)?.is_le());
    sparsevec_eq => |call| call.return_bool(order_sparsevecs(call)?.is_eq());
    sparsevec_ne => |call| call.return_bool(order_sparsevecs(call)?.is_ne());
    sparsevec_ge => |call| call.return_bool(order_sparsevecs(call)?.is_ge());
    sparsevec_gt => |call| call.return_bool(order_sparsevecs(call)?.is_gt());
    sparsevec_hash => |call| call.return_int4(sparsevec::hash(call.sparsevec(0)?) as i32);
    sparsevec_hash_extended => |call| {
        call.return_int8(sparsevec::hash_extended(call.sparsevec(0)?, call.int8(1) as u64) as i64)
    };
}
