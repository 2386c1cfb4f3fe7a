//! The seam between an algorithm and the pages it lives on.
//!
//! There are two twins: [`crate::memory::MemoryStore`] here, and the host's buffers with its
//! write-ahead log in the glue. An algorithm is written once, against these traits.
//!
//! Rules that both twins rely on:
//! * No lock (a [`Store::Read`] or an open [`Txn`] with locks) is held across
//!   [`Store::check_interrupts`] or [`Store::structure_lock`].
//! * Locks are taken in the order that the algorithm's README gives.
//! * The bytes of a page between its `lower` and `upper` offsets are lost at commit; see
//!   [`crate::page`].

use crate::error::Error;

/// The number no block has.
pub const NO_BLOCK: u32 = u32::MAX;

/// A page that a [`Txn`] has locked; only valid in the transaction that returned it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slot(pub u8);

/// Most pages in one record.
pub const MAX_RECORD_PAGES: usize = 4;
/// Most pages locked by one transaction at a time.
pub const MAX_LOCKS: usize = 5;

/// An index's pages.
pub trait Store {
    /// A page under a share lock, which its drop releases. The bytes are 8-byte aligned.
    type Read<'a>: std::ops::Deref<Target = [u8]>
    where
        Self: 'a;
    /// A record in the making.
    type Txn<'a>: Txn
    where
        Self: 'a;
    /// A structure lock, which its drop releases.
    type Guard<'a>
    where
        Self: 'a;

    /// Bytes of a page.
    fn page_size(&self) -> usize;

    /// Pages there are now; other writers may add more at any time.
    fn blocks(&self) -> u32;

    /// Reads a page under a share lock. [`Error::Corrupt`] where there is no such block (looked
    /// up afresh, since the index may have grown).
    fn read(&self, block: u32) -> Result<Self::Read<'_>, Error>;

    /// Copies bytes of a page, from offset `at` on, without locking or pinning it: for what only
    /// steers a search. They may be torn by a writer, or even be those of another page. `false`,
    /// with `into` in any state, where that can't be done now: then [`Store::read`] does it. By
    /// default it never can.
    fn peek(&self, block: u32, at: usize, into: &mut [u8]) -> bool {
        let _ = (block, at, into);
        false
    }

    /// Says that bytes of a page are going to be read soon, from offset `at` of the page on. Only a
    /// hint that reads nothing and locks nothing; by default nothing happens.
    fn prefetch(&self, block: u32, at: usize, bytes: usize) {
        let _ = (block, at, bytes);
    }

    /// Starts a record.
    fn begin(&self) -> Self::Txn<'_>;

    /// A block that may be free. Only a hint, lost in a crash: whoever takes it looks at the page
    /// under its lock ([`crate::page::is_reusable`]) and tries elsewhere if it is in use.
    fn take_free(&self) -> Option<u32>;

    /// Leaves a hint for [`Store::take_free`].
    fn note_free(&self, block: u32);

    /// Takes the index's one heavyweight lock, which the algorithm's README gives a meaning.
    /// `None` only where `wait` is false and somebody else is in the way.
    fn structure_lock(&self, exclusive: bool, wait: bool) -> Option<Self::Guard<'_>>;

    /// Lets the host stop the operation. Called between pages, with no page locked.
    fn check_interrupts(&self) -> Result<(), Error>;
}

/// One atomic record of up to [`MAX_RECORD_PAGES`] pages. Dropped without a commit it changes
/// nothing and releases its locks.
pub trait Txn {
    /// Locks a page exclusively. [`Error::Corrupt`] where there is no such block.
    fn lock(&mut self, block: u32) -> Result<Slot, Error>;

    /// Locks a page that nobody uses: a recycled one ([`Store::take_free`], locked without
    /// waiting, then verified by [`crate::page::is_reusable`]), or else a new zeroed one at the
    /// end. The caller initialises it with [`crate::page::PageMut::init`] and the generation from
    /// [`crate::page::next_generation`].
    fn extend(&mut self) -> Result<Slot, Error>;

    /// The block of a locked page.
    fn block(&self, slot: Slot) -> u32;

    /// The bytes of a locked page, with this record's changes.
    fn page(&self, slot: Slot) -> &[u8];

    /// The bytes to change; the first call makes the page part of the record.
    fn page_mut(&mut self, slot: Slot) -> &mut [u8];

    /// Unlocks a page that is not part of the record.
    fn release(&mut self, slot: Slot);

    /// Writes the record and releases all locks. A record without pages writes nothing.
    fn commit(self) -> Result<(), Error>
    where
        Self: Sized;
}

/// Writes a new index that nobody else sees yet; the host logs all of its pages at the end.
pub trait BulkWriter {
    /// Bytes of a page.
    fn page_size(&self) -> usize;

    /// Appends a page; blocks are numbered from 0 without gaps.
    fn append(&mut self, page: &[u8]) -> Result<u32, Error>;

    /// Replaces a page appended before.
    fn overwrite(&mut self, block: u32, page: &[u8]) -> Result<(), Error>;

    /// Lets the host stop the operation.
    fn check_interrupts(&self) -> Result<(), Error>;
}
