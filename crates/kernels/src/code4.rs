//! Scores of 4-bit codes. Integers only, so any order gives the same result.

/// Sum over the bytes of a code: the low nibble of byte `j` times `query[j]`, and its high nibble
/// times `query[h + j]`, where the code has `h` bytes and the query `2h` numbers.
#[inline(always)]
pub(crate) fn dot(query: &[i8], code: &[u8]) -> i32 {
    let (low, high) = halves(query, code);
    let mut sum = 0;
    for ((byte, low), high) in code.iter().zip(low).zip(high) {
        sum += i32::from(byte & 15) * i32::from(*low) + i32::from(byte >> 4) * i32::from(*high);
    }
    sum
}

/// The numbers for low and for high nibbles: each as long as the code.
///
/// # Panics
/// Where the query is not twice as long as the code: the SIMD levels read by the code's length.
#[inline(always)]
pub(crate) fn halves<'a>(query: &'a [i8], code: &[u8]) -> (&'a [i8], &'a [i8]) {
    assert!(query.len() == 2 * code.len(), "query and code do not match");
    query.split_at(code.len())
}
