//! Datums of the types `vector`, `halfvec`, `sparsevec` and `bytea`, in and out.
//!
//! Their bytes in memory after the 4-byte length are views of `pgnear-values`, which checks them.

use half::f16;
use pgnear_kernels::sparse::SparseRef;
use pgnear_values::{ValueError, halfvec, sparsevec, vector};
use pgrx::pg_sys;

use super::fmgr::{Call, Return, palloc_zeroed};

const HEADER: usize = 4;

/// The bytes of a varlena datum after its 4-byte length, fetched and decompressed where needed.
///
/// # Safety
/// `datum` is a non-null varlena; the slice is used no longer than the memory of the datum (or of
/// the current memory context, where a copy had to be made) lives.
#[inline(always)]
pub(super) unsafe fn payload<'a>(datum: pg_sys::Datum) -> &'a [u8] {
    let pointer: *mut pg_sys::varlena = datum.cast_mut_ptr();
    // SAFETY: the caller passes a varlena. A plain 4-byte header is by far the common case of a
    // hot loop, so it doesn't pay for a call.
    unsafe {
        let plain = if pgrx::varlena::varatt_is_4b_u(pointer) {
            pointer
        } else {
            detoasted(pointer)
        };
        let bytes = pgrx::varlena::varsize_4b(plain).saturating_sub(HEADER);
        std::slice::from_raw_parts(plain.cast::<u8>().add(HEADER), bytes)
    }
}

/// A call of its own, since the jump point makes it long.
///
/// # Safety
/// As for [`payload`].
#[inline(never)]
unsafe fn detoasted(pointer: *mut pg_sys::varlena) -> *mut pg_sys::varlena {
    // SAFETY: the caller's promise.
    unsafe { pg_sys::pg_detoast_datum(pointer) }
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

/// A new varlena in the current memory context, its payload of `bytes` zeros filled by `fill`.
#[inline]
pub(super) fn varlena(bytes: usize, fill: impl FnOnce(&mut [u8])) -> Return {
    let size = HEADER + bytes;
    let pointer = palloc_zeroed(size)?;
    // SAFETY: so many zeroed bytes are there; the header is set before the datum leaves.
    unsafe {
        pgrx::varlena::set_varsize_4b(pointer.cast(), size as i32);
        fill(std::slice::from_raw_parts_mut(pointer.add(HEADER), bytes));
    }
    Ok(pg_sys::Datum::from(pointer))
}

impl<'fc> Call<'fc> {
    /// The payload of varlena argument `n`.
    #[inline(always)]
    pub fn bytes(self, n: usize) -> &'fc [u8] {
        // SAFETY: the SQL declaration says a varlena type, the function is strict, and arguments
        // live for the call.
        unsafe { payload(self.datum(n)) }
    }

    /// Argument `n` of type `vector`.
    #[inline(always)]
    pub fn vector(self, n: usize) -> Result<&'fc [f32], ValueError> {
        vector::view(self.bytes(n))
    }

    /// Argument `n` of type `halfvec`.
    #[inline(always)]
    pub fn halfvec(self, n: usize) -> Result<&'fc [f16], ValueError> {
        halfvec::view(self.bytes(n))
    }

    /// Argument `n` of type `sparsevec`.
    #[inline(always)]
    pub fn sparsevec(self, n: usize) -> Result<SparseRef<'fc>, ValueError> {
        sparsevec::view(self.bytes(n))
    }

    /// A result of type `vector`.
    pub fn return_vector(self, elements: &[f32]) -> Return {
        dense(elements.len(), copy_of(elements))
    }

    /// A result of type `halfvec`.
    pub fn return_halfvec(self, elements: &[f16]) -> Return {
        dense(elements.len(), copy_of(elements))
    }

    /// A result of type `vector` of so many elements, zeros until `fill` writes them.
    #[inline]
    pub fn build_vector(
        self,
        dims: usize,
        fill: impl FnOnce(&mut [f32]) -> Result<(), ValueError>,
    ) -> Return {
        dense(dims, fill)
    }

    /// A result of type `halfvec` of so many elements, zeros until `fill` writes them.
    #[inline]
    pub fn build_halfvec(
        self,
        dims: usize,
        fill: impl FnOnce(&mut [f16]) -> Result<(), ValueError>,
    ) -> Return {
        dense(dims, fill)
    }

    /// The elements of argument 0 of type `vector` where it is the state of the aggregate that this
    /// call is for: it may be changed, and be the result.
    #[inline]
    pub fn vector_state(self) -> Result<Option<&'fc mut [f32]>, ValueError> {
        self.state(vector::view)
    }

    /// As [`Call::vector_state`], of type `halfvec`.
    #[inline]
    pub fn halfvec_state(self) -> Result<Option<&'fc mut [f16]>, ValueError> {
        self.state(halfvec::view)
    }

    #[inline]
    fn state<T>(
        self,
        view: impl Fn(&[u8]) -> Result<&[T], ValueError>,
    ) -> Result<Option<&'fc mut [T]>, ValueError> {
        if self.aggregate_context().is_none() {
            return Ok(None);
        }
        let pointer: *mut pg_sys::varlena = self.datum(0).cast_mut_ptr();
        // SAFETY: the SQL declaration says a varlena type, and the function is strict. PostgreSQL
        // copies the first state, and every result that is another value, into the context of
        // the aggregate, so that nobody else has this one; one with a plain header holds its own
        // bytes. The argument that is added is another value: no slice but this one is of it.
        unsafe {
            if !pgrx::varlena::varatt_is_4b_u(pointer) {
                return Ok(None);
            }
            let dims = view(payload(self.datum(0)))?.len();
            let first = pointer.cast::<u8>().add(HEADER + 4).cast::<T>();
            Ok(Some(std::slice::from_raw_parts_mut(first, dims)))
        }
    }

    /// A result of type `sparsevec`.
    pub fn return_sparsevec(self, value: SparseRef<'_>) -> Return {
        let count = value.indices.len();
        varlena(12 + 8 * count, |out| {
            out[0..4].copy_from_slice(&value.dims.to_ne_bytes());
            out[4..8].copy_from_slice(&(count as i32).to_ne_bytes());
            out[12..12 + 4 * count].copy_from_slice(bytemuck::cast_slice(value.indices));
            out[12 + 4 * count..].copy_from_slice(bytemuck::cast_slice(value.values));
        })
    }

    /// A result of type `bytea`.
    pub fn return_bytea(self, bytes: &[u8]) -> Return {
        varlena(bytes.len(), |out| out.copy_from_slice(bytes))
    }

    /// The argument itself as the result: nothing is copied.
    pub fn return_argument(self, n: usize) -> Return {
        Ok(self.datum(n))
    }
}

/// `vector` and `halfvec` share one shape: i16 dimensions, i16 unused, the elements.
#[inline]
fn dense<T: bytemuck::Pod>(
    dims: usize,
    fill: impl FnOnce(&mut [T]) -> Result<(), ValueError>,
) -> Return {
    vector::check_dims(dims)?;
    let size = HEADER + 4 + dims * size_of::<T>();
    let pointer = palloc_zeroed(size)?;
    // SAFETY: so many bytes are there, zeroed and aligned to 8; the elements begin at 8.
    unsafe {
        pgrx::varlena::set_varsize_4b(pointer.cast(), size as i32);
        pointer.add(HEADER).cast::<i16>().write(dims as i16);
        let elements = pointer.add(HEADER + 4).cast::<T>();
        fill(std::slice::from_raw_parts_mut(elements, dims))?;
    }
    Ok(pg_sys::Datum::from(pointer))
}

fn copy_of<T: Copy>(elements: &[T]) -> impl FnOnce(&mut [T]) -> Result<(), ValueError> {
    |out| {
        out.copy_from_slice(elements);
        Ok(())
    }
}
