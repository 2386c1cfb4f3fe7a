//! Records of nodes on record pages, and vectors on vector pages.
//!
//! ```text
//! record
//! 0           4        6       7         8                        record - 4 * degree
//! +-----------+--------+-------+---------+------------------------+---------------------+
//! | tid block | offset | state | version | blob, padded to 4      | neighbours, u32 each |
//! +-----------+--------+-------+---------+------------------------+---------------------+
//!
//! vector
//! 0           4        6      8
//! +-----------+--------+------+-----------------------+-----+
//! | tid block | offset | zero | vector                | pad | to a multiple of 8
//! +-----------+--------+------+-----------------------+-----+
//! ```
//! Neighbours come first, then `0xFFFFFFFF`. The head of a vector names its row too, so that a
//! row and its vector are read under one lock; its offset is 0 while there is none.

use super::halves;
use super::layout::{CodeKind, Layout, RECORD_HEAD, VECTOR_HEAD};
use super::space::{Aligned, elements};
use super::state::NO_NODE;
use crate::alloc;
use crate::error::Error;
use crate::page::{Kind, NO_OWNER, Page, PageMut, PageView, put_u16, put_u32, u16_at, u32_at};
use crate::row::Tid;
use crate::store::Store;

/// What a slot holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum NodeState {
    /// Never used.
    Empty = 0,
    /// A row.
    Live = 1,
    /// A row that vacuum removed: only a route, until neighbours are repaired.
    Dead = 2,
    /// May be used again; the first neighbour is the next of these.
    Free = 3,
    /// A row whose vector is being written: not yet a row.
    Reserved = 4,
}

/// A node's record.
#[derive(Clone, Copy)]
pub(super) struct Record<'a> {
    layout: &'a Layout,
    bytes: &'a [u8],
    block: u32,
    node: u32,
}

impl<'a> Record<'a> {
    /// The record of `node` on its page.
    ///
    /// # Errors
    /// [`Error::Corrupt`] where the page is no record page, or the state is unknown.
    #[inline]
    pub fn open(layout: &'a Layout, page: &'a [u8], node: u32) -> Result<Record<'a>, Error> {
        let (block, at) = layout.record_place(node);
        let view = PageView::open_as(block, page, Kind::Record, NO_OWNER)?;
        Record::on_page(layout, &view, at, node)
    }

    /// The record at `at` of a page that is open.
    pub fn on_page(
        layout: &'a Layout,
        view: &PageView<'a>,
        at: usize,
        node: u32,
    ) -> Result<Record<'a>, Error> {
        let block = view.block();
        let Some(bytes) = view.used().get(at..at + layout.record) else {
            return Err(Error::corrupt(block, "record page is too short"));
        };
        if bytes[6] > NodeState::Reserved as u8 {
            return Err(Error::corrupt(
                block,
                format!("node {node} is in no state that there is"),
            ));
        }
        Ok(Record {
            layout,
            bytes,
            block,
            node,
        })
    }

    pub fn state(&self) -> NodeState {
        state_of(self.bytes[6])
    }

    pub fn tid(&self) -> Tid {
        tid_at(self.bytes)
    }

    /// What a search scores, where records hold it.
    #[inline(always)]
    pub fn blob(&self) -> &'a [u8] {
        &self.bytes[RECORD_HEAD..RECORD_HEAD + self.layout.blob]
    }

    /// The neighbours.
    ///
    /// # Errors
    /// Each may be [`Error::Corrupt`]: itself, or out of range.
    #[inline]
    pub fn neighbours(&self) -> impl Iterator<Item = Result<u32, Error>> + use<'a> {
        let (layout, block, own) = (self.layout, self.block, self.node);
        let links = &self.bytes[layout.record - 4 * layout.degree..];
        let most = layout.max_nodes();
        (links.chunks_exact(4).map(|link| u32_at(link, 0)))
            .take_while(|link| *link != NO_NODE)
            .map(move |link| {
                if link >= most || link == own {
                    let what = format!("node {own} has {link} as its neighbour");
                    return Err(Error::corrupt(block, what));
                }
                Ok(link)
            })
    }

    /// The next freed node.
    pub fn next_free(&self) -> u32 {
        u32_at(self.bytes, self.layout.record - 4 * self.layout.degree)
    }
}

/// What a search scores of a record, without a look at its page.
pub(super) struct Peeked<'a> {
    pub state: NodeState,
    pub blob: &'a [u8],
}

impl<'a> Peeked<'a> {
    /// Bytes of a record to look at.
    pub fn len(layout: &Layout) -> usize {
        RECORD_HEAD + layout.blob
    }

    /// From the first [`Peeked::len`] bytes of a record.
    #[inline(always)]
    pub fn of(bytes: &'a [u8]) -> Peeked<'a> {
        Peeked {
            state: state_of(bytes[6]),
            blob: &bytes[RECORD_HEAD..],
        }
    }

    /// The record at `at` of the body of `page`; `None` past its end.
    #[inline(always)]
    pub fn at(layout: &Layout, page: &'a [u8], at: usize) -> Option<Peeked<'a>> {
        let start = crate::page::HEADER + at;
        page.get(start..start + Peeked::len(layout)).map(Peeked::of)
    }
}

/// Room for [`peek`]; none where codes are the vectors themselves, and there is nothing to look at.
pub(super) fn room_to_peek(layout: &Layout) -> Result<Vec<u8>, Error> {
    match layout.code {
        CodeKind::Plain => Ok(Vec::new()),
        _ => alloc::filled(0, Peeked::len(layout)),
    }
}

/// A look at a node's record without a lock ([`Store::peek`]); `None` where that can't be done, and
/// where `room` is none.
#[inline(always)]
pub(super) fn peek<'a>(
    store: &impl Store,
    layout: &Layout,
    node: u32,
    room: &'a mut [u8],
) -> Option<Peeked<'a>> {
    if room.is_empty() {
        return None;
    }
    let (block, at) = layout.record_place(node);
    store
        .peek(block, crate::page::HEADER + at, room)
        .then(|| Peeked::of(room))
}

#[inline(always)]
fn state_of(byte: u8) -> NodeState {
    match byte {
        1 => NodeState::Live,
        2 => NodeState::Dead,
        3 => NodeState::Free,
        4 => NodeState::Reserved,
        _ => NodeState::Empty,
    }
}

fn tid_at(bytes: &[u8]) -> Tid {
    Tid {
        block: u32_at(bytes, 0),
        offset: u16_at(bytes, 4),
    }
}

fn put_tid(bytes: &mut [u8], tid: Tid) {
    put_u32(bytes, 0, tid.block);
    put_u16(bytes, 4, tid.offset);
}

/// A record to change.
pub(super) struct RecordMut<'a> {
    layout: &'a Layout,
    bytes: &'a mut [u8],
}

impl<'a> RecordMut<'a> {
    /// The record of `node` on its page, which [`Record::open`] has accepted.
    pub fn open(layout: &'a Layout, page: &'a mut [u8], node: u32) -> Result<RecordMut<'a>, Error> {
        let (_, at) = layout.record_place(node);
        Record::open(layout, page, node)?;
        let body = crate::page::HEADER + at;
        Ok(RecordMut {
            layout,
            bytes: &mut page[body..body + layout.record],
        })
    }

    /// Writes a new row: all but the neighbours.
    pub fn set_row(&mut self, state: NodeState, tid: Tid, blob: &[u8]) {
        put_tid(self.bytes, tid);
        self.set_state(state);
        self.bytes[7] = self.bytes[7].wrapping_add(1);
        let end = RECORD_HEAD + self.layout.blob_in_record;
        let own = &mut self.bytes[RECORD_HEAD..end];
        own.fill(0);
        if !own.is_empty() {
            own[..self.layout.blob].copy_from_slice(blob);
        }
    }

    pub fn set_state(&mut self, state: NodeState) {
        self.bytes[6] = state as u8;
    }

    /// Writes the neighbours; those beyond the degree are left out.
    pub fn set_neighbours(&mut self, neighbours: impl IntoIterator<Item = u32>) {
        let at = self.layout.record - 4 * self.layout.degree;
        let mut links = self.bytes[at..].chunks_exact_mut(4);
        for (neighbour, link) in neighbours.into_iter().zip(&mut links) {
            put_u32(link, 0, neighbour);
        }
        for link in links {
            put_u32(link, 0, NO_NODE);
        }
    }
}

/// Formats a record page: every slot empty.
pub(super) fn format_record_page(layout: &Layout, bytes: &mut [u8]) {
    let mut page = PageMut::init(bytes, Kind::Record, NO_OWNER, 1);
    page.set_used(layout.records_per_page as usize * layout.record);
}

/// Bytes used of every vector page.
fn vector_page_used(layout: &Layout) -> usize {
    match layout.vectors_per_page {
        0 => layout.body,
        count => count as usize * layout.vector,
    }
}

/// Formats a vector page: no vector.
pub(super) fn format_vector_page(layout: &Layout, bytes: &mut [u8]) {
    let mut page = PageMut::init(bytes, Kind::Vector, NO_OWNER, 1);
    page.set_used(vector_page_used(layout));
}

/// Formats a page locked for a node unless it is one of the kind already: a page never written, or
/// one of a table of entry points given up.
pub(super) fn ensure_kind(
    layout: &Layout,
    block: u32,
    bytes: &mut [u8],
    kind: Kind,
) -> Result<(), Error> {
    match Page::open(block, bytes)? {
        Page::Written(view) if view.kind() == kind => Ok(()),
        Page::Written(view) if view.kind() != Kind::Entry => Err(Error::corrupt(
            block,
            format!("page is {:?} where {kind:?} belongs", view.kind()),
        )),
        _ if kind == Kind::Record => {
            format_record_page(layout, bytes);
            Ok(())
        }
        _ => {
            format_vector_page(layout, bytes);
            Ok(())
        }
    }
}

/// A node's vector slot cut into what lies on each of its pages: block, offset in the body, and
/// the range of the slot's bytes.
pub(super) fn vector_parts(
    layout: &Layout,
    node: u32,
) -> impl DoubleEndedIterator<Item = (u32, usize, std::ops::Range<usize>)> + ExactSizeIterator + use<>
{
    let (first, at) = layout.vector_place(node);
    let (body, vector) = (layout.body, layout.vector);
    (0..layout.vector_span(at)).map(move |number| {
        let start = (number as usize * body).saturating_sub(at);
        let end = ((number as usize + 1) * body - at).min(vector);
        let offset = if number == 0 { at } else { 0 };
        (first + number, offset, start..end)
    })
}

/// Writes a vector's slot, of which `payload` are the bytes in the table.
pub(super) fn write_vector(layout: &Layout, tid: Tid, payload: &[u8], slot: &mut [u8]) {
    slot.fill(0);
    put_tid(slot, tid);
    let stored = &mut slot[VECTOR_HEAD..VECTOR_HEAD + layout.stored];
    if layout.halved {
        halves::write(&elements(payload), stored);
    } else {
        stored.copy_from_slice(payload);
    }
}

/// Says that there is no row any more in a slot that begins at `at` of a page's body.
pub(super) fn clear_vector(block: u32, page: &mut [u8], at: usize) -> Result<(), Error> {
    let mut page = PageMut::open(block, page)?;
    page.body_mut()[at..at + VECTOR_HEAD].fill(0);
    Ok(())
}

/// A vector's part of a page.
fn part<'a>(
    layout: &Layout,
    block: u32,
    page: &'a [u8],
    range: std::ops::Range<usize>,
) -> Result<&'a [u8], Error> {
    let view = PageView::open_as(block, page, Kind::Vector, NO_OWNER)?;
    let used = view.used();
    if used.len() != vector_page_used(layout) {
        return Err(Error::corrupt(block, "vector page has the wrong length"));
    }
    Ok(&used[range])
}

/// The row of a node; `None` where it is no row now.
///
/// # Errors
/// [`Error::Corrupt`], and those of the store.
pub(super) fn row_of(store: &impl Store, layout: &Layout, node: u32) -> Result<Option<Tid>, Error> {
    let (block, _) = layout.record_place(node);
    let page = store.read(block)?;
    let record = Record::open(layout, &page, node)?;
    if record.state() != NodeState::Live {
        return Ok(None);
    }
    valid(record.tid(), block).map(Some)
}

/// Calls `use_it` with the row of a node and its vector as the index stores it. `None` where the node
/// is no row now.
///
/// # Errors
/// [`Error::Corrupt`], and those of the store.
pub(super) fn with_vector<T>(
    store: &impl Store,
    layout: &Layout,
    node: u32,
    scratch: &mut Aligned,
    use_it: impl FnOnce(Tid, &[u8]) -> T,
) -> Result<Option<T>, Error> {
    if layout.vector == 0 {
        let page = store.read(layout.record_place(node).0)?;
        let record = Record::open(layout, &page, node)?;
        if record.state() != NodeState::Live {
            return Ok(None);
        }
        let tid = valid(record.tid(), record.block)?;
        return Ok(Some(use_it(tid, record.blob())));
    }
    let (block, at) = layout.vector_place(node);
    // Held to the end: who writes or removes a vector in parts does so with its first page last
    // or first.
    let first = store.read(block)?;
    let end = (at + layout.vector).min(layout.body);
    let bytes = part(layout, block, &first, at..end)?;
    let tid = tid_at(bytes);
    if tid.offset == 0 {
        return Ok(None);
    }
    let tid = valid(tid, block)?;
    if bytes.len() == layout.vector {
        let stored = &bytes[VECTOR_HEAD..VECTOR_HEAD + layout.stored];
        return Ok(Some(use_it(tid, stored)));
    }
    let whole = scratch.as_mut_slice();
    whole[..bytes.len()].copy_from_slice(bytes);
    for (block, offset, range) in vector_parts(layout, node).skip(1) {
        let page = store.read(block)?;
        let end = offset + range.len();
        whole[range].copy_from_slice(part(layout, block, &page, offset..end)?);
    }
    let stored = &whole[VECTOR_HEAD..VECTOR_HEAD + layout.stored];
    Ok(Some(use_it(tid, stored)))
}

fn valid(tid: Tid, block: u32) -> Result<Tid, Error> {
    if tid.is_valid() {
        Ok(tid)
    } else {
        Err(Error::corrupt(block, "node leads to no row"))
    }
}
