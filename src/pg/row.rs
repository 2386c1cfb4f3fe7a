//! A row as an index sees it: its address in the table, and the value of its column in parts.

use pgnear_ann::{Element, Tid};
use pgrx::pg_sys;

use super::index::{AmError, Index};

/// How a value's payload begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ValueKind {
    /// `vector`, `halfvec`: dimensions and an unused word, two bytes each.
    Dense,
    /// `bit`: the count of bits, four bytes.
    Bits,
    /// `sparsevec`: dimensions, number of elements and an unused word, four bytes each.
    Sparse,
}

impl ValueKind {
    /// That of an index's column.
    pub fn of(index: Index<'_>) -> ValueKind {
        if matches!(index.column_type(), pg_sys::BITOID | pg_sys::VARBITOID) {
            ValueKind::Bits
        } else if (index.opclass()).is_some_and(|class| class.element == Element::Sparse) {
            ValueKind::Sparse
        } else {
            ValueKind::Dense
        }
    }
}

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
pub(super) fn split_value(kind: ValueKind, payload: &[u8]) -> Result<(u32, &[u8]), AmError> {
    let head = match kind {
        ValueKind::Dense | ValueKind::Bits => 4,
        ValueKind::Sparse => 12,
    };
    let Some((head, elements)) = payload.split_at_checked(head) else {
        return Err(AmError::Index(pgnear_ann::Error::WrongDimensions {
            expected: 1,
            got: 0,
        }));
    };
    let dims = match kind {
        ValueKind::Dense => u32::from(u16::from_ne_bytes([head[0], head[1]])),
        ValueKind::Bits | ValueKind::Sparse => {
            i32::from_ne_bytes([head[0], head[1], head[2], head[3]]).max(0) as u32
        }
    };
    Ok((dims, elements))
}
