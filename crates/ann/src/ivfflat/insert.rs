//! Inserting one row: find its list, walk from the insert hint to the right until a page has room,
//! or put a new page at the end. One record a row; more only for the pages that continue an entry
//! wider than a page, which are written before anything leads to them.

use super::centroids::nearest_list;
use super::directory::DirectoryEntry;
use super::entry::{Entries, cont_parts, open_list_page, still_leads, write_entry};
use super::meta::Meta;
use super::search::norm_to_keep;
use crate::error::Error;
use crate::page::{Kind, Link, PageMut, next_generation};
use crate::query::Query;
use crate::row::Tid;
use crate::store::{Slot, Store, Txn};

/// After so many pages in a row all locks are let go, so that the host may stop the operation.
const HOPS: u32 = 32;

/// Files a row. `payload` are the bytes of its vector in the element type of the index.
///
/// # Errors
/// [`Error::WrongDimensions`], [`Error::OutOfMemory`], [`Error::Interrupted`],
/// [`Error::Corrupt`], [`Error::Io`]. After an error the row is not in the index.
pub fn insert(store: &impl Store, meta: &Meta, tid: Tid, payload: &[u8]) -> Result<(), Error> {
    let row = Query::from_payload(meta.spec(), payload)?;
    let list = nearest_list(store, meta, &row)?;
    let insertion = Insertion {
        store,
        meta,
        list,
        tid,
        norm: norm_to_keep(meta.spec(), row.payload()),
        payload,
    };
    if meta.layout.is_wide() {
        // Held until the entry leads to its pages, so that cleanup does not take them for orphans.
        let _guard = store.structure_lock(false, true);
        let cont = insertion.write_cont()?;
        insertion.place(cont)
    } else {
        insertion.place(Link::NONE)
    }
}

struct Insertion<'a, S: Store> {
    store: &'a S,
    meta: &'a Meta,
    list: u32,
    tid: Tid,
    norm: f32,
    payload: &'a [u8],
}

impl<S: Store> Insertion<'_, S> {
    /// Writes the pages that continue a wide entry, the last one first, and returns a link to the
    /// first.
    fn write_cont(&self) -> Result<Link, Error> {
        let mut next = Link::NONE;
        for part in cont_parts(&self.meta.layout, self.payload).rev() {
            self.store.check_interrupts()?;
            let mut txn = self.store.begin();
            let slot = txn.extend()?;
            let link = fresh_link(&txn, slot);
            let bytes = txn.page_mut(slot);
            let mut page = PageMut::init(bytes, Kind::Cont, self.list, link.generation);
            page.body_mut()[..part.len()].copy_from_slice(part);
            page.set_used(part.len());
            page.set_next(next);
            txn.commit()?;
            next = link;
        }
        Ok(next)
    }

    /// Puts the entry on a page of its list.
    fn place(&self, cont: Link) -> Result<(), Error> {
        loop {
            self.store.check_interrupts()?;
            let entry = DirectoryEntry::read(self.store, &self.meta.layout, self.list)?;
            if entry.head.is_none() {
                if self.start_list(cont)? {
                    return Ok(());
                }
                continue;
            }
            let mut at = Position {
                from: None,
                link: entry.insert,
            };
            let mut hops = 0;
            loop {
                match self.walk(entry.insert, &mut at, cont)? {
                    Walk::Placed => return Ok(()),
                    Walk::Paused => {
                        hops += HOPS;
                        if hops > self.store.blocks() {
                            return Err(Error::corrupt(at.link.block, "list has no end"));
                        }
                        self.store.check_interrupts()?;
                    }
                    Walk::Stale => {
                        self.verify_stale(at)?;
                        break;
                    }
                }
            }
        }
    }

    /// Tells a page freed since its link was read from damage: whoever frees a page changes what
    /// leads to it in the same record.
    fn verify_stale(&self, at: Position) -> Result<(), Error> {
        let layout = &self.meta.layout;
        let still = match at.from {
            None => DirectoryEntry::read(self.store, layout, self.list)?.insert == at.link,
            Some(from) => still_leads(self.store, from, at.link, self.list)?,
        };
        if still {
            return Err(Error::corrupt(
                at.link.block,
                "link leads to a page in another life",
            ));
        }
        Ok(())
    }

    /// Gives an empty list its first page. `false` where somebody else did.
    fn start_list(&self, cont: Link) -> Result<bool, Error> {
        let layout = &self.meta.layout;
        let mut txn = self.store.begin();
        let (directory, entry) = DirectoryEntry::lock(&mut txn, layout, self.list)?;
        if !entry.head.is_none() {
            return Ok(false);
        }
        let link = self.add_page(&mut txn, cont)?;
        let entry = DirectoryEntry {
            head: link,
            insert: link,
        };
        entry.write(&mut txn, layout, self.list, directory)?;
        txn.commit()?;
        Ok(true)
    }

    /// Looks for room on the page at `at` and those to its right, one lock at a time. `hint` is
    /// the insert hint that the directory was seen to hold.
    fn walk(&self, hint: Link, at: &mut Position, cont: Link) -> Result<Walk, Error> {
        let layout = &self.meta.layout;
        let mut txn = self.store.begin();
        for _ in 0..HOPS {
            let link = at.link;
            let slot = txn.lock(link.block)?;
            let Some(view) = open_list_page(txn.page(slot), link, self.list)? else {
                return Ok(Walk::Stale);
            };
            let used = view.used().len();
            let next = view.next();
            if Entries::new(layout, &view)?.has_room() {
                let directory = if link == hint {
                    None
                } else {
                    Some(DirectoryEntry::lock(&mut txn, layout, self.list)?)
                };
                let mut page = PageMut::open(link.block, txn.page_mut(slot))?;
                self.write(&mut page, used, cont);
                if let Some((directory, mut entry)) = directory {
                    entry.insert = link;
                    entry.write(&mut txn, layout, self.list, directory)?;
                }
                txn.commit()?;
                return Ok(Walk::Placed);
            }
            if next.is_none() {
                let (directory, mut entry) = DirectoryEntry::lock(&mut txn, layout, self.list)?;
                let new = self.add_page(&mut txn, cont)?;
                PageMut::open(link.block, txn.page_mut(slot))?.set_next(new);
                entry.insert = new;
                entry.write(&mut txn, layout, self.list, directory)?;
                txn.commit()?;
                return Ok(Walk::Placed);
            }
            txn.release(slot);
            *at = Position {
                from: Some(link),
                link: next,
            };
        }
        Ok(Walk::Paused)
    }

    /// Extends the index by a list page that holds the entry.
    fn add_page(&self, txn: &mut impl Txn, cont: Link) -> Result<Link, Error> {
        let slot = txn.extend()?;
        let link = fresh_link(txn, slot);
        let bytes = txn.page_mut(slot);
        let mut page = PageMut::init(bytes, Kind::List, self.list, link.generation);
        self.write(&mut page, 0, cont);
        Ok(link)
    }

    fn write(&self, page: &mut PageMut<'_>, used: usize, cont: Link) {
        let used = write_entry(
            &self.meta.layout,
            page.body_mut(),
            used,
            self.tid,
            self.norm,
            self.payload,
            cont,
        );
        page.set_used(used);
    }
}

/// A page to look at, and the one that led there (the directory, if none).
#[derive(Clone, Copy)]
struct Position {
    from: Option<Link>,
    link: Link,
}

enum Walk {
    Placed,
    /// The page was freed since its link was read.
    Stale,
    /// Many pages were full.
    Paused,
}

/// A link to the next life of a freshly extended page.
fn fresh_link(txn: &impl Txn, slot: Slot) -> Link {
    Link {
        block: txn.block(slot),
        generation: next_generation(txn.page(slot)),
    }
}
