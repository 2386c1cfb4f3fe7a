//! The SQL type `halfvec`: an array of f16 numbers.
//!
//! A stored payload, which is a varlena's content after its 4-byte length, is
//! `i16 dimensions, i16 unused (0), dimensions * f16`, in the machine's byte order. The wire
//! form is the same in network byte order.
//!
//! Arithmetic is done in f32 and rounded to f16, ties to even.

use std::cmp::Ordering;

use half::f16;

use crate::error::ValueError;
use crate::sparsevec::{self, SparseRef};
use crate::{MAX_DIMS, dense};

/// Reads the text form, such as `[1,2.5,-3]`; a `typmod` other than -1 asks for that many
/// dimensions.
pub fn parse(text: &[u8], typmod: i32) -> Result<Vec<f16>, ValueError> {
    dense::parse(text, typmod)
}

/// Appends the text form.
pub fn print(v: &[f16], out: &mut Vec<u8>) -> Result<(), ValueError> {
    dense::print(v, out)
}

/// The bytes that [`print_into`] needs for so many elements.
pub fn print_room(dims: usize) -> usize {
    dense::print_room(dims)
}

/// Writes the text form into `out`, which has [`print_room`], and returns its length.
pub fn print_into(v: &[f16], out: &mut [u8]) -> usize {
    dense::print_into(v, out)
}

/// Reads a whole message of the binary protocol; a `typmod` other than -1 asks for that many
/// dimensions.
pub fn from_wire(message: &[u8], typmod: i32) -> Result<Vec<f16>, ValueError> {
    dense::from_wire(message, typmod)
}

/// Appends the binary protocol's form.
pub fn to_wire(v: &[f16], out: &mut Vec<u8>) -> Result<(), ValueError> {
    dense::to_wire(v, out)
}

/// The elements of a stored payload, which must be aligned to 2 bytes. Bytes that are not
/// such a payload are an error, never a panic.
#[inline(always)]
pub fn view(payload: &[u8]) -> Result<&[f16], ValueError> {
    dense::view(payload)
}

/// The bytes of a stored payload.
pub fn payload_len(dims: usize) -> usize {
    dense::payload_len::<f16>(dims)
}

/// Fills `out`, whose length must be [`payload_len`], with the payload to store.
pub fn write_payload(v: &[f16], out: &mut [u8]) -> Result<(), ValueError> {
    dense::write_payload(v, out)
}

/// Checks that the type can have so many dimensions.
#[inline]
pub fn check_dims(dims: usize) -> Result<(), ValueError> {
    dense::check_dims::<f16>(dims)
}

/// Checks dimensions against a type modifier; -1 allows all.
pub fn check_typmod(dims: usize, typmod: i32) -> Result<(), ValueError> {
    dense::check_typmod(dims, typmod)
}

/// Checks that two operands have the same dimensions.
#[inline(always)]
pub fn check_same_dims(a: &[f16], b: &[f16]) -> Result<(), ValueError> {
    dense::check_same_dims(a, b)
}

/// The type modifier that the integers in a declaration such as `halfvec(3)` stand for.
pub fn typmod_in(modifiers: &[i32]) -> Result<i32, ValueError> {
    dense::typmod_in("halfvec", MAX_DIMS, modifiers)
}

/// The cast from `real[]`.
pub fn from_f32s(numbers: &[f32], typmod: i32) -> Result<Vec<f16>, ValueError> {
    dense::from_numbers(numbers, typmod, |x| x)
}

/// The cast from `double precision[]`.
pub fn from_f64s(numbers: &[f64], typmod: i32) -> Result<Vec<f16>, ValueError> {
    dense::from_numbers(numbers, typmod, |x| x as f32)
}

/// The cast from `smallint[]`, `integer[]` and `bigint[]`.
pub fn from_i64s(numbers: &[i64], typmod: i32) -> Result<Vec<f16>, ValueError> {
    dense::from_numbers(numbers, typmod, |x| x as f32)
}

/// The cast from `vector`; a number too large for f16 is an error.
pub fn from_vector(v: &[f32], typmod: i32) -> Result<Vec<f16>, ValueError> {
    dense::from_numbers(v, typmod, |x| x)
}

/// The cast from `sparsevec`; a number too large for f16 is an error.
pub fn from_sparsevec(v: SparseRef<'_>, typmod: i32) -> Result<Vec<f16>, ValueError> {
    sparsevec::to_dense(v, typmod)
}

/// The elements as f32, without loss.
pub fn to_f32s(v: &[f16]) -> Result<Vec<f32>, ValueError> {
    dense::to_f32s(v)
}

/// `out = a + b`, of one length; too large a sum is an error.
pub fn add_into(a: &[f16], b: &[f16], out: &mut [f16]) -> Result<(), ValueError> {
    dense::add_into(a, b, out)
}

/// `a += b`; errors as for [`add_into`], which leave `a` changed.
pub fn add_assign(a: &mut [f16], b: &[f16]) -> Result<(), ValueError> {
    dense::add_assign(a, b)
}

/// `out = a - b`, of one length; too large a difference is an error.
pub fn sub_into(a: &[f16], b: &[f16], out: &mut [f16]) -> Result<(), ValueError> {
    dense::sub_into(a, b, out)
}

/// `out = a * b`, element by element; too large a product is an error, and so is one that became
/// zero though no factor was.
pub fn mul_into(a: &[f16], b: &[f16], out: &mut [f16]) -> Result<(), ValueError> {
    dense::mul_into(a, b, out)
}

/// `out = v * factor`, in f64 and then rounded; errors as for [`mul_into`], and for a factor that is not
/// finite.
pub fn scale_into(v: &[f16], factor: f64, out: &mut [f16]) -> Result<(), ValueError> {
    dense::scale_into(v, factor, out)
}

/// `out = v / divisor`, in f64 and then rounded; errors as for [`scale_into`], and for a divisor of zero.
pub fn divide_into(v: &[f16], divisor: f64, out: &mut [f16]) -> Result<(), ValueError> {
    dense::divide_into(v, divisor, out)
}

/// `a || b`
pub fn concat(a: &[f16], b: &[f16]) -> Result<Vec<f16>, ValueError> {
    dense::concat(a, b)
}

/// `count` elements from the 1-based `start`; what lies outside of `v` is left out, and an
/// error where nothing is left.
pub fn subvector(v: &[f16], start: i32, count: i32) -> Result<&[f16], ValueError> {
    dense::subvector(v, start, count)
}

/// `out = v` divided by its L2 norm; the zero vector stays as it is.
pub fn normalize_into(v: &[f16], out: &mut [f16]) -> Result<(), ValueError> {
    dense::normalize_into(v, out)
}

/// One bit an element, set where it is positive; packed from the most significant bit on, the
/// last byte filled up with zeros.
pub fn binary_quantize(v: &[f16]) -> Result<Vec<u8>, ValueError> {
    dense::binary_quantize(v)
}

/// The element at a 1-based index.
pub fn get(v: &[f16], index: i32) -> Option<f32> {
    dense::get(v, index)
}

/// The order of the type: by elements first, then by dimensions.
pub fn cmp(a: &[f16], b: &[f16]) -> Ordering {
    dense::cmp(a, b)
}

/// The hash of the default hash operator class: the lower half of [`hash_extended`] with seed 0.
pub fn hash(v: &[f16]) -> u32 {
    dense::hash_extended(v, 0) as u32
}

/// The 64-bit hash with a seed; the same for ever, since partitioned tables rely on it.
pub fn hash_extended(v: &[f16], seed: u64) -> u64 {
    dense::hash_extended(v, seed)
}
