//! Values of the built-in type `bit`, as far as this extension works on them.

use crate::error::{self, ValueError};

/// Checks that two bit strings are equally long; lengths in bits.
#[inline(always)]
pub fn check_same_lengths(a: u32, b: u32) -> Result<(), ValueError> {
    if a == b {
        Ok(())
    } else {
        Err(error::different_bit_lengths(a, b))
    }
}

/// The bytes that a bit string of `bits` bits takes.
pub fn byte_len(bits: usize) -> usize {
    bits.div_ceil(8)
}
