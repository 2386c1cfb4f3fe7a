//! Where everything lies: sizes and positions that follow from the specification of an index and
//! the page size alone.

use pgnear_kernels::Metric;

use super::meta::IndexSpec;
use crate::error::Error;
use crate::page::body_size;
use crate::row::Element;

/// Most dimensions of an index on floats.
pub const MAX_DIMS: u32 = 16_000;
/// Most dimensions of an index on bits.
pub const MAX_BITS: u32 = 64_000;
/// Most lists of an index.
pub const MAX_LISTS: u32 = 32_768;

/// Bytes of an entry before its vector.
pub(super) const SLOT_HEAD: usize = 12;
/// Bytes of an entry before the first part of its vector where it is wider than a page.
pub(super) const WIDE_HEAD: usize = 20;
/// Bytes of a list's entry in the directory.
pub(super) const DIRECTORY_ENTRY: usize = 24;

/// Sizes and positions of one index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Layout {
    pub page_size: usize,
    /// Bytes of a page's body.
    pub body: usize,
    /// Bytes of a vector.
    pub payload: usize,
    /// Bytes of an entry, padded to 4. Also where it is wider than a page.
    pub slot: usize,
    /// Entries of a page; 0 where one entry is wider than a page.
    pub per_page: usize,
    pub lists: u32,
    /// Directory entries of a page.
    pub directory_per_page: usize,
    pub directory_start: u32,
    pub directory_pages: u32,
    /// Bytes of a centroid, padded to 4.
    pub centroid: usize,
    pub centroid_start: u32,
    pub centroid_pages: u32,
    /// The first block after the fixed part.
    pub lists_start: u32,
}

impl Layout {
    /// # Errors
    /// [`Error::TooLarge`] and [`Error::Invalid`] for a specification outside of the limits.
    pub fn new(spec: &IndexSpec, page_size: usize) -> Result<Layout, Error> {
        let fits = match spec.element {
            Element::F32 | Element::F16 => matches!(
                spec.metric,
                Metric::L2 | Metric::InnerProduct | Metric::Cosine
            ),
            Element::Bit => spec.metric == Metric::Hamming,
            Element::Sparse => false,
        };
        if !fits {
            return Err(Error::Invalid(
                "ivfflat does not know this metric for this type",
            ));
        }
        let limit = match spec.element {
            Element::F32 | Element::F16 => MAX_DIMS,
            Element::Bit | Element::Sparse => MAX_BITS,
        };
        within("dimension count", spec.dims, limit)?;
        within("list count", spec.lists, MAX_LISTS)?;
        let body = body_size(page_size);
        if body < 8 * DIRECTORY_ENTRY || !page_size.is_multiple_of(256) || page_size > 32_768 {
            return Err(Error::Invalid("ivfflat does not know this page size"));
        }
        let payload = spec.element.bytes(spec.dims);
        let slot = (SLOT_HEAD + payload).next_multiple_of(4);
        let centroid = match spec.element {
            Element::F32 | Element::F16 => spec.dims as usize * 4,
            Element::Bit | Element::Sparse => payload.next_multiple_of(4),
        };
        let directory_per_page = body / DIRECTORY_ENTRY;
        let directory_pages = (spec.lists as usize).div_ceil(directory_per_page) as u32;
        // At most 32,768 * 64,000 bytes: far from overflowing even in pages of 256 bytes.
        let centroid_pages = (spec.lists as usize * centroid).div_ceil(body) as u32;
        let directory_start = 1;
        let centroid_start = directory_start + directory_pages;
        Ok(Layout {
            page_size,
            body,
            payload,
            slot,
            per_page: body / slot,
            lists: spec.lists,
            directory_per_page,
            directory_start,
            directory_pages,
            centroid,
            centroid_start,
            centroid_pages,
            lists_start: centroid_start + centroid_pages,
        })
    }

    /// Whether an entry is wider than a page.
    pub fn is_wide(&self) -> bool {
        self.per_page == 0
    }

    /// Bytes of a wide vector that lie on its head page.
    pub fn wide_first(&self) -> usize {
        self.body - WIDE_HEAD
    }

    /// Pages that continue a wide vector.
    pub fn wide_pages(&self) -> usize {
        (self.payload - self.wide_first()).div_ceil(self.body)
    }

    /// Block and body offset of a list's directory entry.
    pub fn directory_entry(&self, list: u32) -> (u32, usize) {
        let per_page = self.directory_per_page as u32;
        (
            self.directory_start + list / per_page,
            (list % per_page) as usize * DIRECTORY_ENTRY,
        )
    }
}

fn within(what: &'static str, value: u32, limit: u32) -> Result<(), Error> {
    if value == 0 {
        return Err(Error::Invalid("dimensions and lists start at 1"));
    }
    if value > limit {
        return Err(Error::TooLarge {
            what,
            value: u64::from(value),
            limit: u64::from(limit),
        });
    }
    Ok(())
}
