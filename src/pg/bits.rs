//! PostgreSQL's own `bit` type: an i32 count of bits, then the bits, first bit highest.

use super::fmgr::{Call, Return};
use super::value::{payload_anywhere, varlena};

/// A `bit` value: `bytes` holds `len` bits, first bit highest, the rest of the last byte zero.
#[derive(Clone, Copy)]
pub struct Bits<'a> {
    pub len: u32,
    pub bytes: &'a [u8],
}

/// Splits a payload into count and bits; never reads past it, whatever the count says.
pub fn view(payload: &[u8]) -> Bits<'_> {
    let Some((head, bytes)) = payload.split_first_chunk::<4>() else {
        return Bits { len: 0, bytes: &[] };
    };
    let len = i32::from_ne_bytes(*head).max(0) as u32;
    let used = (len as usize).div_ceil(8).min(bytes.len());
    Bits {
        len,
        bytes: &bytes[..used],
    }
}

impl<'fc> Call<'fc> {
    /// Argument `n` of type `bit`.
    #[inline]
    pub fn bits(self, n: usize) -> Bits<'fc> {
        // SAFETY: the SQL declaration says bit, the function is strict, and arguments live for the
        // call.
        view(unsafe { payload_anywhere(self.datum(n)) })
    }

    /// A result of type `bit` of `len` bits.
    pub fn return_bits(self, len: usize, bits: &[u8]) -> Return {
        varlena(4 + bits.len(), |out| {
            out[0..4].copy_from_slice(&(len as i32).to_ne_bytes());
            out[4..].copy_from_slice(bits);
        })
    }
}
