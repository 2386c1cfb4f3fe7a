//! The directory: where each list begins, and where its next row should go.

use super::layout::Layout;
use crate::error::Error;
use crate::page::{Kind, Link, NO_OWNER, PageMut, PageView, put_u32, u32_at};
use crate::store::{Slot, Store, Txn};

/// A list's entry in the directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct DirectoryEntry {
    /// The first page, [`Link::NONE`] until the list gets its first row. Never changes afterwards.
    pub head: Link,
    /// A page of the list from which a walk to the right finds room. Always a page in its present
    /// life: whoever frees it changes the hint in the same record.
    pub insert: Link,
}

impl DirectoryEntry {
    pub const EMPTY: DirectoryEntry = DirectoryEntry {
        head: Link::NONE,
        insert: Link::NONE,
    };

    fn decode(bytes: &[u8]) -> DirectoryEntry {
        let link = |at| Link {
            block: u32_at(bytes, at),
            generation: u32_at(bytes, at + 4),
        };
        DirectoryEntry {
            head: link(0),
            insert: link(8),
        }
    }

    pub fn encode(&self, bytes: &mut [u8]) {
        put_u32(bytes, 0, self.head.block);
        put_u32(bytes, 4, self.head.generation);
        put_u32(bytes, 8, self.insert.block);
        put_u32(bytes, 12, self.insert.generation);
        // Bytes 16 to 24 are spare, and zero.
    }

    /// Decodes the entry of `list` from its directory page.
    pub fn from_page(layout: &Layout, list: u32, bytes: &[u8]) -> Result<DirectoryEntry, Error> {
        let (block, at) = layout.directory_entry(list);
        let view = PageView::open_as(block, bytes, Kind::Directory, NO_OWNER)?;
        let Some(bytes) = view.used().get(at..at + super::layout::DIRECTORY_ENTRY) else {
            return Err(Error::corrupt(block, "directory page is too short"));
        };
        let entry = DirectoryEntry::decode(bytes);
        let fixed = |link: Link| !link.is_none() && link.block < layout.lists_start;
        if fixed(entry.head)
            || fixed(entry.insert)
            || entry.head.is_none() != entry.insert.is_none()
        {
            return Err(Error::corrupt(
                block,
                format!("directory entry of list {list} is broken"),
            ));
        }
        Ok(entry)
    }

    /// Reads the entry of `list`.
    pub fn read(store: &impl Store, layout: &Layout, list: u32) -> Result<DirectoryEntry, Error> {
        let page = store.read(layout.directory_entry(list).0)?;
        DirectoryEntry::from_page(layout, list, &page)
    }

    /// Locks the page of the entry of `list` for a record, and reads the entry.
    pub fn lock(
        txn: &mut impl Txn,
        layout: &Layout,
        list: u32,
    ) -> Result<(Slot, DirectoryEntry), Error> {
        let slot = txn.lock(layout.directory_entry(list).0)?;
        let entry = DirectoryEntry::from_page(layout, list, txn.page(slot))?;
        Ok((slot, entry))
    }

    /// Makes this the entry of `list`, on the page that [`DirectoryEntry::lock`] locked.
    pub fn write(
        &self,
        txn: &mut impl Txn,
        layout: &Layout,
        list: u32,
        slot: Slot,
    ) -> Result<(), Error> {
        let (block, at) = layout.directory_entry(list);
        let mut page = PageMut::open(block, txn.page_mut(slot))?;
        self.encode(&mut page.body_mut()[at..]);
        Ok(())
    }
}
