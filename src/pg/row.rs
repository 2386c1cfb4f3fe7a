//! A row as an index sees it: its address in the table, and the value of its column in parts.

use pgnear_ann::Tid;
use pgrx::pg_sys;

use super::index::{AmError, Index};

/// Bytes at the start of a value's payload before its elements: every type of ours, and `bit`, has
/// four (dimensions and an unused word, or the count of bits).
const VALUE_HEAD: usize = 4;

/// A heap row's address, from PostgreSQL's form.
pub(super) fn tid_from(pointer: &pg_sys::ItemPointerData) -> Tid {
    Tid {
        block: (u32::from(pointer.ip_blkid.bi_hi) << 16) | u32::from(pointer.ip_blkid.bi_lo),
        offset: pointer.ip_posid,
    }
}

/// A heap row's address, in PostgreSQL's form.
pub(super) fn tid_to(tid: Tid) -> pg_sys::ItemPointerData {
    pg_sys::ItemPointerData {
        ip_blkid: pg_sys::BlockIdData {
            bi_hi: (tid.block >> 16) as u16,
            bi_lo: tid.block as u16,
        },
        ip_posid: tid.offset,
    }
}

/// Splits a value's payload into its dimensions and its elements. Dimensions of `bit` are its bits.
pub(super) fn split_value<'a>(
    index: Index<'_>,
    payload: &'a [u8],
) -> Result<(u32, &'a [u8]), AmError> {
    let Some((head, elements)) = payload.split_first_chunk::<VALUE_HEAD>() else {
        return Err(AmError::Index(pgnear_ann::Error::WrongDimensions {
            expected: 1,
            got: 0,
        }));
    };
    let bits = matches!(index.column_type(), pg_sys::BITOID | pg_sys::VARBITOID);
    let dims = if bits {
        i32::from_ne_bytes(*head).max(0) as u32
    } else {
        u32::from(u16::from_ne_bytes([head[0], head[1]]))
    };
    Ok((dims, elements))
}
