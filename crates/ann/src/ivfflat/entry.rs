//! Entries on list pages.
//!
//! ```text
//! 0           4        6       8        12
//! +-----------+--------+-------+--------+------------------+-----+
//! | tid block | offset | flags | norm²  | vector           | pad |   to a multiple of 4
//! +-----------+--------+-------+--------+------------------+-----+
//!
//! wider than a page: one entry a page
//! 0           4        6       8        12           16                20
//! +-----------+--------+-------+--------+------------+-----------------+----------------------+
//! | tid block | offset | flags | norm²  | cont block | cont generation | vector to the page's |
//! +-----------+--------+-------+--------+------------+-----------------+ end -----------------+
//! ```

use super::layout::{Layout, SLOT_HEAD, WIDE_HEAD};
use crate::alloc;
use crate::error::Error;
use crate::page::{Kind, Link, Page, PageView, put_u16, put_u32, u16_at, u32_at};
use crate::row::Tid;
use crate::store::Store;

/// An entry as it lies on a page.
pub(super) struct Entry<'a> {
    pub tid: Tid,
    /// The canonical `f32` sum of squares for cosine, else 0.
    pub norm: f32,
    /// The vector; of a wide entry, its first part.
    pub payload: &'a [u8],
}

/// Opens a list page that a link led to. `None` where the page has another generation than the
/// link: it was freed since the link was read.
///
/// # Errors
/// [`Error::Corrupt`] for a page in the expected generation that is no page of this list.
pub(super) fn open_list_page<'a>(
    bytes: &'a [u8],
    link: Link,
    list: u32,
) -> Result<Option<PageView<'a>>, Error> {
    open_linked(bytes, link, Kind::List, list)
}

pub(super) fn open_linked<'a>(
    bytes: &'a [u8],
    link: Link,
    kind: Kind,
    list: u32,
) -> Result<Option<PageView<'a>>, Error> {
    match Page::open(link.block, bytes)? {
        Page::Written(view) if view.generation() != link.generation => Ok(None),
        // Never legitimate: a page is written in the record that links to it.
        _ => PageView::open_as(link.block, bytes, kind, list).map(Some),
    }
}

/// The entries of a list page.
pub(super) struct Entries<'a> {
    bytes: &'a [u8],
    layout: &'a Layout,
}

impl<'a> Entries<'a> {
    /// # Errors
    /// [`Error::Corrupt`] where the used bytes are no whole number of entries.
    pub fn new(layout: &'a Layout, view: &PageView<'a>) -> Result<Entries<'a>, Error> {
        let bytes = view.used();
        let sound = if layout.is_wide() {
            bytes.is_empty() || bytes.len() == layout.body
        } else {
            bytes.len().is_multiple_of(layout.slot)
        };
        if !sound {
            return Err(Error::corrupt(
                view.block(),
                "used bytes are no whole number of entries",
            ));
        }
        Ok(Entries { bytes, layout })
    }

    pub fn len(&self) -> usize {
        if self.layout.is_wide() {
            usize::from(!self.bytes.is_empty())
        } else {
            self.bytes.len() / self.layout.slot
        }
    }

    /// Whether one more entry fits on the page.
    pub fn has_room(&self) -> bool {
        self.len() < self.layout.per_page.max(1)
    }

    #[inline]
    pub fn get(&self, index: usize) -> Entry<'a> {
        let layout = self.layout;
        let (head, payload) = if layout.is_wide() {
            (WIDE_HEAD, layout.wide_first())
        } else {
            (SLOT_HEAD, layout.payload)
        };
        let bytes = &self.bytes[index * layout.slot..];
        Entry {
            tid: Entries::tid_at(bytes, 0),
            norm: f32::from_bits(u32_at(bytes, 8)),
            payload: &bytes[head..head + payload],
        }
    }

    /// The row of the entry that begins at `at` in the body of a page.
    #[inline]
    pub fn tid_at(body: &[u8], at: usize) -> Tid {
        Tid {
            block: u32_at(body, at),
            offset: u16_at(body, at + 4),
        }
    }

    /// The first page that continues the entry of a wide page.
    pub fn cont(&self) -> Link {
        Link {
            block: u32_at(self.bytes, 12),
            generation: u32_at(self.bytes, 16),
        }
    }
}

/// Writes an entry's head at the start of `bytes`.
pub(super) fn write_head(bytes: &mut [u8], tid: Tid, norm: f32) {
    put_u32(bytes, 0, tid.block);
    put_u16(bytes, 4, tid.offset);
    put_u16(bytes, 6, 0);
    put_u32(bytes, 8, norm.to_bits());
}

/// Writes a whole entry to the body of a list page whose first `used` bytes are taken; returns the
/// bytes used afterwards. `cont` continues a wide entry.
pub(super) fn write_entry(
    layout: &Layout,
    body: &mut [u8],
    used: usize,
    tid: Tid,
    norm: f32,
    payload: &[u8],
    cont: Link,
) -> usize {
    let bytes = &mut body[used..];
    write_head(bytes, tid, norm);
    if layout.is_wide() {
        put_u32(bytes, 12, cont.block);
        put_u32(bytes, 16, cont.generation);
        bytes[WIDE_HEAD..].copy_from_slice(&payload[..layout.wide_first()]);
        layout.body
    } else {
        bytes[SLOT_HEAD..SLOT_HEAD + layout.payload].copy_from_slice(payload);
        bytes[SLOT_HEAD + layout.payload..layout.slot].fill(0);
        used + layout.slot
    }
}

/// The parts of a wide vector that lie on its continuing pages.
pub(super) fn cont_parts<'a>(
    layout: &Layout,
    payload: &'a [u8],
) -> impl DoubleEndedIterator<Item = &'a [u8]> + ExactSizeIterator {
    payload[layout.wide_first()..].chunks(layout.body)
}

/// Whether the page at `from`, if still in that life, leads to `link`. Asked after `link` turned out
/// to be stale: a page is unlinked in the record that frees it, so that `true` means damage.
pub(super) fn still_leads(
    store: &impl Store,
    from: Link,
    link: Link,
    list: u32,
) -> Result<bool, Error> {
    let page = store.read(from.block)?;
    Ok(open_list_page(&page, from, list)?.is_some_and(|view| view.next() == link))
}

/// A wide entry whose head page was read; what continues it is read with no lock on that page.
#[derive(Clone, Copy)]
pub(super) struct WideHead {
    /// The head page.
    pub page: Link,
    pub tid: Tid,
    pub norm: f32,
    cont: Link,
}

impl WideHead {
    /// Copies the first part of the vector on the head page to `whole`. `None` for an empty page.
    pub fn read(
        layout: &Layout,
        view: &PageView<'_>,
        whole: &mut Vec<u32>,
    ) -> Result<Option<WideHead>, Error> {
        let entries = Entries::new(layout, view)?;
        if entries.len() == 0 {
            return Ok(None);
        }
        let words = layout.payload.div_ceil(4);
        whole.clear();
        alloc::reserve(whole, words)?;
        whole.resize(words, 0);
        let entry = entries.get(0);
        bytemuck::cast_slice_mut(whole)[..layout.wide_first()].copy_from_slice(entry.payload);
        Ok(Some(WideHead {
            page: view.link(),
            tid: entry.tid,
            norm: entry.norm,
            cont: entries.cont(),
        }))
    }

    /// Reads the rest of the vector to `whole`. `false` where the entry was removed meanwhile.
    pub fn read_rest(
        &self,
        store: &impl Store,
        layout: &Layout,
        list: u32,
        whole: &mut [u32],
    ) -> Result<bool, Error> {
        let whole: &mut [u8] = &mut bytemuck::cast_slice_mut(whole)[..layout.payload];
        let mut rest = &mut whole[layout.wide_first()..];
        let mut link = self.cont;
        while !rest.is_empty() {
            let page = store.read(link.block)?;
            let Some(view) = open_linked(&page, link, Kind::Cont, list)? else {
                drop(page);
                if self.is_still_there(store, layout, list)? {
                    return Err(Error::corrupt(link.block, "wide entry lost a page"));
                }
                return Ok(false);
            };
            let part = view.used();
            if part.len() != rest.len().min(layout.body) {
                return Err(Error::corrupt(link.block, "part of a wide entry is short"));
            }
            let (here, after) = rest.split_at_mut(part.len());
            here.copy_from_slice(part);
            rest = after;
            link = view.next();
        }
        if !link.is_none() {
            return Err(Error::corrupt(link.block, "wide entry has too many pages"));
        }
        Ok(true)
    }

    /// Pages that continue an entry are freed after the entry is gone, so that an entry which is
    /// still there and lost one of them is damaged.
    fn is_still_there(
        &self,
        store: &impl Store,
        layout: &Layout,
        list: u32,
    ) -> Result<bool, Error> {
        let page = store.read(self.page.block)?;
        let Some(view) = open_list_page(&page, self.page, list)? else {
            return Ok(false);
        };
        let entries = Entries::new(layout, &view)?;
        Ok(entries.len() > 0 && entries.cont() == self.cont)
    }
}
