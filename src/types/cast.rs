//! Casts between the types, and from and to arrays and JSON.
//!
//! A cast function gets the value, the type modifier of the target, and whether the cast was
//! written out (which makes no difference here).

use pgnear_values::{halfvec, sparsevec, vector};

use crate::pg::array::Numbers;
use crate::sql_functions;

sql_functions! {
    vector => |call| {
        vector::check_typmod(call.vector(0)?.len(), call.typmod(1))?;
        call.return_argument(0)
    };
    halfvec => |call| {
        halfvec::check_typmod(call.halfvec(0)?.len(), call.typmod(1))?;
        call.return_argument(0)
    };
    sparsevec => |call| {
        sparsevec::check_typmod(call.sparsevec(0)?.dims, call.typmod(1))?;
        call.return_argument(0)
    };

    array_to_vector => |call| {
        let typmod = call.typmod(1);
        call.return_vector(&match call.numbers(0)? {
            Numbers::Int8(numbers) => vector::from_i64s(&numbers, typmod)?,
            Numbers::Float4(numbers) => vector::from_f32s(&numbers, typmod)?,
            Numbers::Float8(numbers) => vector::from_f64s(&numbers, typmod)?,
        })
    };
    array_to_halfvec => |call| {
        let typmod = call.typmod(1);
        call.return_halfvec(&match call.numbers(0)? {
            Numbers::Int8(numbers) => halfvec::from_i64s(&numbers, typmod)?,
            Numbers::Float4(numbers) => halfvec::from_f32s(&numbers, typmod)?,
            Numbers::Float8(numbers) => halfvec::from_f64s(&numbers, typmod)?,
        })
    };
    array_to_sparsevec => |call| {
        let typmod = call.typmod(1);
        let value = match call.numbers(0)? {
            Numbers::Int8(numbers) => sparsevec::from_i64s(&numbers, typmod)?,
            Numbers::Float4(numbers) => sparsevec::from_f32s(&numbers, typmod)?,
            Numbers::Float8(numbers) => sparsevec::from_f64s(&numbers, typmod)?,
        };
        call.return_sparsevec(value.as_ref())
    };

    vector_to_float4 => |call| call.return_real_array(call.vector(0)?.iter().copied());
    halfvec_to_float4 => |call| {
        call.return_real_array(halfvec::to_f32s(call.halfvec(0)?)?.into_iter())
    };

    vector_to_halfvec => |call| {
        call.return_halfvec(&halfvec::from_vector(call.vector(0)?, call.typmod(1))?)
    };
    vector_to_sparsevec => |call| {
        call.return_sparsevec(sparsevec::from_vector(call.vector(0)?, call.typmod(1))?.as_ref())
    };
    halfvec_to_vector => |call| {
        call.return_vector(&vector::from_halfvec(call.halfvec(0)?, call.typmod(1))?)
    };
    halfvec_to_sparsevec => |call| {
        call.return_sparsevec(sparsevec::from_halfvec(call.halfvec(0)?, call.typmod(1))?.as_ref())
    };
    sparsevec_to_vector => |call| {
        call.return_vector(&vector::from_sparsevec(call.sparsevec(0)?, call.typmod(1))?)
    };
    sparsevec_to_halfvec => |call| {
        call.return_halfvec(&halfvec::from_sparsevec(call.sparsevec(0)?, call.typmod(1))?)
    };

    // A JSON array of numbers is, as text, what the input functions read.
    jsonb_to_vector => |call| {
        call.return_vector(&vector::parse(&call.jsonb_text(0)?, call.typmod(1))?)
    };
    jsonb_to_halfvec => |call| {
        call.return_halfvec(&halfvec::parse(&call.jsonb_text(0)?, call.typmod(1))?)
    };
}
