//! One-dimensional SQL arrays of numbers, in and out.

use std::borrow::Cow;

use pgnear_values::{Code, ValueError};
use pgrx::pg_sys;

use super::fmgr::{Call, Return};
use super::memory::{collect, copied};
use super::raw;

/// The elements of an array of numbers, as their own type.
pub enum Numbers {
    Int8(Vec<i64>),
    Float4(Vec<f32>),
    Float8(Vec<f64>),
}

/// A `double precision[]` argument.
pub struct Float8Array<'a> {
    pub dimensions: i32,
    pub has_nulls: bool,
    pub elements: &'a mut [f64],
}

fn error(code: Code, message: &'static str) -> ValueError {
    ValueError {
        code,
        message: Cow::Borrowed(message),
        detail: None,
        hint: None,
    }
}

impl Call<'_> {
    fn array(self, n: usize) -> *mut pg_sys::ArrayType {
        let pointer: *mut pg_sys::varlena = self.datum(n).cast_mut_ptr();
        // SAFETY: the SQL declaration says an array type, and the function is strict. An array with
        // a plain header is what the call would return.
        unsafe {
            if pgrx::varlena::varatt_is_4b_u(pointer) {
                return pointer.cast();
            }
            pg_sys::pg_detoast_datum(pointer).cast()
        }
    }

    /// Argument `n`, an array of smallint, integer, bigint, real, double precision or numeric.
    ///
    /// Errors: more than one dimension, NULL elements, another element type, no memory.
    pub fn numbers(self, n: usize) -> Result<Numbers, ValueError> {
        let array = self.array(n);
        // SAFETY: `array` is a detoasted array; deconstruct_array allocates what it returns.
        unsafe {
            if (*array).ndim > 1 {
                return Err(error(Code::DataException, "array must be 1-D"));
            }
            if pg_sys::array_contains_nulls(array) {
                return Err(error(
                    Code::NullValueNotAllowed,
                    "array must not contain nulls",
                ));
            }
            let kind = (*array).elemtype;
            let (mut len, mut by_value, mut align) = (0i16, false, 0 as std::ffi::c_char);
            pg_sys::get_typlenbyvalalign(kind, &raw mut len, &raw mut by_value, &raw mut align);
            let (mut datums, mut count) = (std::ptr::null_mut(), 0);
            pg_sys::deconstruct_array(
                array,
                kind,
                len.into(),
                by_value,
                align,
                &raw mut datums,
                std::ptr::null_mut(),
                &raw mut count,
            );
            let datums: &[pg_sys::Datum] = if count > 0 {
                std::slice::from_raw_parts(datums, count as usize)
            } else {
                &[]
            };
            let words = datums.iter().map(|datum| datum.value());
            Ok(match kind {
                pg_sys::INT2OID => {
                    Numbers::Int8(collect(words.map(|word| i64::from(word as i16)))?)
                }
                pg_sys::INT4OID => {
                    Numbers::Int8(collect(words.map(|word| i64::from(word as i32)))?)
                }
                pg_sys::INT8OID => Numbers::Int8(collect(words.map(|word| word as i64))?),
                pg_sys::FLOAT4OID => {
                    Numbers::Float4(collect(words.map(|word| f32::from_bits(word as u32)))?)
                }
                pg_sys::FLOAT8OID => {
                    Numbers::Float8(collect(words.map(|word| f64::from_bits(word as u64)))?)
                }
                pg_sys::NUMERICOID => {
                    let float4 = |datum: &pg_sys::Datum| {
                        let result = pg_sys::DirectFunctionCall1Coll(
                            Some(raw::numeric_float4),
                            pg_sys::InvalidOid,
                            *datum,
                        );
                        f32::from_bits(result.value() as u32)
                    };
                    Numbers::Float4(collect(datums.iter().map(float4))?)
                }
                _ => return Err(error(Code::DataException, "unsupported array type")),
            })
        }
    }

    /// Argument `n`, a `double precision[]`.
    ///
    /// `elements` are empty where the array has NULLs, another element type, or bytes that don't
    /// hold what its header says.
    pub fn float8_array(self, n: usize) -> Float8Array<'static> {
        let array = self.array(n);
        // SAFETY: a detoasted array without a null bitmap holds its elements, aligned to 8, after
        // the header and a (length, bound) pair for each dimension.
        unsafe {
            let dimensions = (*array).ndim;
            let has_nulls = (*array).dataoffset != 0 && pg_sys::array_contains_nulls(array);
            let mut found = Float8Array {
                dimensions,
                has_nulls,
                elements: &mut [],
            };
            if dimensions == 1 && (*array).dataoffset == 0 && (*array).elemtype == pg_sys::FLOAT8OID
            {
                let header = size_of::<pg_sys::ArrayType>();
                let head = pg_sys::MAXALIGN(header + 8);
                let count = *array.cast::<u8>().add(header).cast::<i32>();
                let room = pgrx::varlena::varsize_4b(array.cast()).saturating_sub(head) / 8;
                if count >= 0 && count as usize <= room {
                    let first = array.cast::<u8>().add(head).cast::<f64>();
                    found.elements = std::slice::from_raw_parts_mut(first, count as usize);
                }
            }
            found
        }
    }

    /// Argument `n`, an array, as a result: the one that was changed in place.
    pub fn array_argument(self, n: usize) -> pg_sys::Datum {
        pg_sys::Datum::from(self.array(n))
    }

    /// The modifiers of a type, as its typmod_in function gets them.
    pub fn modifiers(self, n: usize) -> Vec<i32> {
        let mut count = 0;
        // SAFETY: the SQL declaration says cstring[]; the function returns `count` integers or
        // raises an error.
        unsafe {
            let modifiers = pg_sys::ArrayGetIntegerTypmods(self.array(n), &raw mut count);
            std::slice::from_raw_parts(modifiers, count.max(0) as usize).to_vec()
        }
    }

    /// Argument `n` of type `jsonb`, as text.
    pub fn jsonb_text(self, n: usize) -> Result<Vec<u8>, ValueError> {
        // SAFETY: the SQL declaration says jsonb; jsonb_out returns a zero-terminated string.
        unsafe {
            let text = pg_sys::DirectFunctionCall1Coll(
                Some(raw::jsonb_out),
                pg_sys::InvalidOid,
                self.datum(n),
            );
            copied(std::ffi::CStr::from_ptr(text.cast_mut_ptr()).to_bytes())
        }
    }

    /// A result of type `double precision[]`.
    pub fn return_state(self, values: &[f64]) -> Return {
        let datums: Vec<pg_sys::Datum> = values
            .iter()
            .map(|value| pg_sys::Datum::from(value.to_bits()))
            .collect();
        Ok(construct(datums, pg_sys::FLOAT8OID, 8, b'd'))
    }

    /// A result of type `real[]`.
    pub fn return_real_array(self, values: impl Iterator<Item = f32>) -> Return {
        let datums: Vec<pg_sys::Datum> = values
            .map(|value| pg_sys::Datum::from(value.to_bits() as usize))
            .collect();
        Ok(construct(datums, pg_sys::FLOAT4OID, 4, b'i'))
    }
}

fn construct(
    mut datums: Vec<pg_sys::Datum>,
    kind: pg_sys::Oid,
    len: i32,
    align: u8,
) -> pg_sys::Datum {
    // SAFETY: the element type, its width and its alignment belong together; both types are
    // passed by value.
    unsafe {
        pg_sys::Datum::from(pg_sys::construct_array(
            datums.as_mut_ptr(),
            datums.len() as i32,
            kind,
            len,
            true,
            align as std::ffi::c_char,
        ))
    }
}
