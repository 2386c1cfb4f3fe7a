//! Datums of the types `vector`, `halfvec`, `sparsevec` and `bytea`, in and out.
//!
//! Their bytes in memory after the 4-byte length are views of `pgnear-values`, which checks them.

use half::f16;
use pgnear_kernels::sparse::SparseRef;
use pgnear_values::{ValueError, halfvec, sparsevec, vector};
use pgrx::pg_sys;

use super::fmgr::{Call, Return};

const HEADER: usize = 4;

/// The bytes of a varlena datum after its 4-byte length, fetched and decompressed where needed.
///
/// # Safety
/// `datum` is a non-null varlena; the slice is used no longer than the memory of the datum (or of
/// the current memory context, where a copy had to be made) lives.
#[inline]
pub(super) unsafe fn payload<'a>(datum: pg_sys::Datum) -> &'a [u8] {
    let pointer: *mut pg_sys::varlena = datum.cast_mut_ptr();
    // SAFETY: the caller passes a varlena. A plain 4-byte header is by far the common case of a
    // hot loop, so it doesn't pay for a call.
    unsafe {
        let plain = if pgrx::varlena::varatt_is_4b_u(pointer) {
            pointer
        } else {
            pg_sys::pg_detoast_datum(pointer)
        };
        let bytes = pgrx::varlena::varsize_4b(plain).saturating_sub(HEADER);
        std::slice::from_raw_parts(plain.cast::<u8>().add(HEADER), bytes)
    }
}

/// [`payload`] of a type whose elements lie anywhere: a short value is not copied.
///
/// # Safety
/// As for [`payload`].
#[inline]
pub(super) unsafe fn payload_anywhere<'a>(datum: pg_sys::Datum) -> &'a [u8] {
    let pointer: *mut pg_sys::varlena = datum.cast_mut_ptr();
    // SAFETY: the caller passes a varlena; one with a header of one byte holds its own bytes.
    unsafe {
        if pgrx::varlena::varatt_is_1b(pointer) && !pgrx::varlena::varatt_is_1b_e(pointer) {
            let bytes = pgrx::varlena::varsize_1b(pointer).saturating_sub(1);
            return std::slice::from_raw_parts(pointer.cast::<u8>().add(1), bytes);
        }
        payload(datum)
    }
}

/// A new varlena in the current memory context, its payload of `bytes` bytes filled by `fill`.
pub(super) fn new_varlena(bytes: usize, fill: impl FnOnce(&mut [u8])) -> pg_sys::Datum {
    // SAFETY: palloc0 returns zeroed memory of that size or raises an error; the header is set
    // before the datum leaves.
    unsafe {
        let pointer = pg_sys::palloc0(HEADER + bytes).cast::<pg_sys::varlena>();
        pgrx::varlena::set_varsize_4b(pointer, (HEADER + bytes) as i32);
        fill(std::slice::from_raw_parts_mut(
            pointer.cast::<u8>().add(HEADER),
            bytes,
        ));
        pg_sys::Datum::from(pointer)
    }
}

impl<'fc> Call<'fc> {
    /// The payload of varlena argument `n`.
    #[inline]
    pub fn bytes(self, n: usize) -> &'fc [u8] {
        // SAFETY: the SQL declaration says a varlena type, the function is strict, and arguments
        // live for the call.
        unsafe { payload(self.datum(n)) }
    }

    /// Argument `n` of type `vector`.
    #[inline]
    pub fn vector(self, n: usize) -> Result<&'fc [f32], ValueError> {
        vector::view(self.bytes(n))
    }

    /// Argument `n` of type `halfvec`.
    #[inline]
    pub fn halfvec(self, n: usize) -> Result<&'fc [f16], ValueError> {
        halfvec::view(self.bytes(n))
    }

    /// Argument `n` of type `sparsevec`.
    #[inline]
    pub fn sparsevec(self, n: usize) -> Result<SparseRef<'fc>, ValueError> {
        sparsevec::view(self.bytes(n))
    }

    /// A result of type `vector`.
    pub fn return_vector(self, elements: &[f32]) -> Return {
        Ok(dense(elements))
    }

    /// A result of type `halfvec`.
    pub fn return_halfvec(self, elements: &[f16]) -> Return {
        Ok(dense(elements))
    }

    /// A result of type `sparsevec`.
    pub fn return_sparsevec(self, value: SparseRef<'_>) -> Return {
        let count = value.indices.len();
        Ok(new_varlena(12 + 8 * count, |out| {
            out[0..4].copy_from_slice(&value.dims.to_ne_bytes());
            out[4..8].copy_from_slice(&(count as i32).to_ne_bytes());
            out[12..12 + 4 * count].copy_from_slice(bytemuck::cast_slice(value.indices));
            out[12 + 4 * count..].copy_from_slice(bytemuck::cast_slice(value.values));
        }))
    }

    /// A result of type `bytea`.
    pub fn return_bytea(self, bytes: &[u8]) -> Return {
        Ok(new_varlena(bytes.len(), |out| out.copy_from_slice(bytes)))
    }

    /// The argument itself as the result: nothing is copied.
    pub fn return_argument(self, n: usize) -> Return {
        Ok(self.datum(n))
    }
}

/// `vector` and `halfvec` share one shape: i16 dimensions, i16 unused, the elements.
fn dense<T: bytemuck::Pod>(elements: &[T]) -> pg_sys::Datum {
    let bytes = std::mem::size_of_val(elements);
    // SAFETY: palloc returns room for so many bytes or raises an error; all of them are written.
    unsafe {
        let size = HEADER + 4 + bytes;
        let pointer = pg_sys::palloc(size).cast::<u8>();
        pgrx::varlena::set_varsize_4b(pointer.cast(), size as i32);
        let dims = elements.len() as i16;
        pointer.add(HEADER).cast::<[i16; 2]>().write([dims, 0]);
        let to = pointer.add(HEADER + 4);
        std::ptr::copy_nonoverlapping(elements.as_ptr().cast::<u8>(), to, bytes);
        pg_sys::Datum::from(pointer)
    }
}
