//! The text form: `{1:1.5,3:2}/5`.

use super::{Sparse, SparseRef, TYPE_NAME, check_dims, check_index, check_typmod};
use crate::dense::check_element;
use crate::error::{self, ValueError};
use crate::print::{self, MAX_F32_LEN, MAX_I32_LEN, ROOM};
use crate::text::Scanner;
use crate::{SPARSE_MAX_NNZ, memory};

/// Reads the text form; elements may come in any order, and zeros are dropped. A `typmod` other
/// than -1 asks for that many dimensions.
pub fn parse(text: &[u8], typmod: i32) -> Result<Sparse, ValueError> {
    let mut scanner = Scanner::new(TYPE_NAME, text);
    // Before anything is looked at, since it bounds the memory; zeros count, too.
    let capacity = scanner.count_ahead(b',') + 1;
    if capacity > SPARSE_MAX_NNZ {
        return Err(error::sparse_too_many_elements(SPARSE_MAX_NNZ));
    }
    scanner.skip_spaces();
    if !scanner.take(b'{') {
        return Err(scanner
            .syntax_error()
            .with_detail("Vector contents must start with \"{\"."));
    }
    let mut elements: Vec<(i32, f32)> = memory::with_capacity(capacity)?;
    scanner.skip_spaces();
    if !scanner.take(b'}') {
        loop {
            scanner.skip_spaces();
            let index = scanner.integer()?;
            scanner.skip_spaces();
            if !scanner.take(b':') {
                return Err(scanner.syntax_error());
            }
            scanner.skip_spaces();
            let number = scanner.number()?;
            if number.overflowed() || number.underflowed() {
                return Err(error::out_of_range(TYPE_NAME, number.token));
            }
            check_element(TYPE_NAME, number.value)?;
            if number.value != 0.0 {
                // An index at the lower end stays out of bounds, which is checked below.
                elements.push((index.saturating_sub(1), number.value));
            }
            scanner.skip_spaces();
            if scanner.take(b',') {
                continue;
            }
            if scanner.take(b'}') {
                break;
            }
            return Err(scanner.syntax_error());
        }
    }
    scanner.skip_spaces();
    if !scanner.take(b'/') {
        return Err(scanner
            .syntax_error()
            .with_detail("Unexpected end of input."));
    }
    scanner.skip_spaces();
    let dims = scanner.integer()?;
    scanner.skip_spaces();
    if !scanner.at_end() {
        return Err(scanner.syntax_error().with_detail("Junk after closing."));
    }
    check_dims(dims)?;
    check_typmod(dims, typmod)?;
    elements.sort_unstable_by_key(|&(index, _)| index);
    let mut result = Sparse::with_capacity(dims, elements.len())?;
    for (index, value) in elements {
        check_index(index, result.indices.last().copied(), dims)?;
        result.push(index, value);
    }
    Ok(result)
}

/// Appends the text form.
pub fn print(v: SparseRef<'_>, out: &mut Vec<u8>) -> Result<(), ValueError> {
    print::append(out, print_room(v.indices.len()), |out| print_into(v, out))
}

/// The bytes that [`print_into`] needs for so many elements that are not zero.
pub fn print_room(nnz: usize) -> usize {
    nnz * (MAX_I32_LEN + MAX_F32_LEN + 2) + MAX_I32_LEN + 3 + ROOM
}

/// Writes the text form into `out`, which has [`print_room`], and returns its length.
pub fn print_into(v: SparseRef<'_>, out: &mut [u8]) -> usize {
    out[0] = b'{';
    let mut at = 1;
    for (i, (&index, &value)) in v.indices.iter().zip(v.values).enumerate() {
        if i > 0 {
            out[at] = b',';
            at += 1;
        }
        at = print::put_i32(index.saturating_add(1), out, at);
        out[at] = b':';
        at = print::put_f32(value, out, at + 1);
    }
    out[at..at + 2].copy_from_slice(b"}/");
    print::put_i32(v.dims, out, at + 2)
}
