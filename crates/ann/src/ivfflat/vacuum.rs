//! Vacuum: [`bulk_delete`] removes rows, [`cleanup`] finds free pages.
//!
//! The lists are walked along their chains, and not the file from its start to its end: unlinking
//! an emptied page needs the page before it, and the insert hint the first page with room. In an
//! index as built a chain is a run of consecutive pages, so that this reads about as a pass over
//! the file does.
//!
//! Rows move only within their page, so that every row that was there when the vacuum began is
//! asked for, also while others insert. Two vacuums of one index at a time are kept out by the host.

use super::directory::DirectoryEntry;
use super::entry::{Entries, open_linked, open_list_page, still_leads};
use super::meta::Meta;
use crate::alloc;
use crate::error::Error;
use crate::page::{Kind, Link, NO_OWNER, Page, PageMut, PageView};
use crate::row::Tid;
use crate::store::{Slot, Store, Txn};

/// What a vacuum found and did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct VacuumStats {
    /// Rows removed.
    pub removed: u64,
    /// Rows left.
    pub live: u64,
    /// Pages of the index.
    pub pages: u32,
    /// Pages freed by [`bulk_delete`]; all free pages after [`cleanup`].
    pub free_pages: u32,
}

/// Removes the rows for which `is_dead` holds, and frees the pages that this empties. `is_dead` is
/// asked at least once for every row that was in the index at the start, with the row's page
/// locked. `progress` gets the lists done and their number.
///
/// # Errors
/// [`Error::Corrupt`], [`Error::OutOfMemory`], [`Error::Interrupted`], [`Error::Io`]. What was
/// removed until then stays removed.
pub fn bulk_delete(
    store: &impl Store,
    meta: &Meta,
    is_dead: &mut dyn FnMut(Tid) -> bool,
    progress: &mut dyn FnMut(u32, u32),
) -> Result<VacuumStats, Error> {
    let mut vacuum = Vacuum {
        store,
        meta,
        list: 0,
        is_dead,
        stats: VacuumStats::default(),
    };
    let lists = meta.spec().lists;
    for list in 0..lists {
        vacuum.list = list;
        while !vacuum.walk()? {}
        progress(list + 1, lists);
    }
    vacuum.stats.pages = store.blocks();
    Ok(vacuum.stats)
}

struct Vacuum<'a, S: Store> {
    store: &'a S,
    meta: &'a Meta,
    list: u32,
    is_dead: &'a mut dyn FnMut(Tid) -> bool,
    stats: VacuumStats,
}

/// Rows of a page, by the look of it.
struct Count {
    dead: usize,
    all: usize,
}

impl<S: Store> Vacuum<'_, S> {
    /// Vacuums a list; `false` where a page of it was freed by somebody else, and the walk must
    /// start anew.
    fn walk(&mut self) -> Result<bool, Error> {
        self.store.check_interrupts()?;
        let (before, layout) = (self.stats, &self.meta.layout);
        let entry = DirectoryEntry::read(self.store, layout, self.list)?;
        let (mut from, mut link) = (None, entry.head);
        let mut room = None;
        let mut pages = 0u32;
        while !link.is_none() {
            self.store.check_interrupts()?;
            let Some((count, mut next)) = self.look(link)? else {
                let damaged = match from {
                    None => true,
                    Some(from) => still_leads(self.store, from, link, self.list)?,
                };
                if damaged {
                    return Err(Error::corrupt(
                        link.block,
                        "link leads to a page in another life",
                    ));
                }
                // Rows will be counted again, but were removed only once.
                self.stats.live = before.live;
                return Ok(false);
            };
            let mut freed = false;
            let mut left = count.all;
            if let Some(from) = from
                && count.dead == count.all
            {
                freed = self.free_page(from, link)?;
            }
            if !freed && count.dead > 0 {
                (left, next) = self.compact(link)?;
            }
            if !freed {
                self.stats.live += left as u64;
                if room.is_none() && left < layout.per_page.max(1) {
                    room = Some(link);
                }
                from = Some(link);
            }
            link = next;
            pages += 1;
            if pages.is_multiple_of(64) && pages > self.store.blocks() {
                return Err(Error::corrupt(link.block, "list has no end"));
            }
        }
        if let Some(room) = room
            && self.stats.removed > before.removed
        {
            self.move_hint(room)?;
        }
        Ok(true)
    }

    /// Counts the rows of a page; `None` where it was freed.
    fn look(&mut self, link: Link) -> Result<Option<(Count, Link)>, Error> {
        let page = self.store.read(link.block)?;
        let Some(view) = open_list_page(&page, link, self.list)? else {
            return Ok(None);
        };
        let layout = &self.meta.layout;
        let entries = Entries::new(layout, &view)?;
        let all = entries.len();
        let dead = (0..all).filter(|at| (self.is_dead)(entries.get(*at).tid));
        let count = Count {
            dead: dead.count(),
            all,
        };
        Ok(Some((count, view.next())))
    }

    /// Removes the dead rows of a page. Returns the rows left, and the link to the next page.
    fn compact(&mut self, link: Link) -> Result<(usize, Link), Error> {
        let layout = &self.meta.layout;
        let mut txn = self.store.begin();
        let slot = txn.lock(link.block)?;
        let view = self.reopen(txn.page(slot), link)?;
        let entries = Entries::new(layout, &view)?;
        let (all, next) = (entries.len(), view.next());
        let cont = orphaned(&entries, layout.is_wide());
        let mut page = PageMut::open(link.block, txn.page_mut(slot))?;
        let mut left = 0;
        for at in 0..all {
            let head = at * layout.slot;
            if (self.is_dead)(Entries::tid_at(page.body_mut(), head)) {
                continue;
            }
            if left < at {
                let body = page.body_mut();
                body.copy_within(head..head + layout.slot, left * layout.slot);
            }
            left += 1;
        }
        if left == all {
            return Ok((all, next));
        }
        page.set_used(left * layout.slot);
        txn.commit()?;
        self.stats.removed += (all - left) as u64;
        self.free_cont(cont)?;
        Ok((left, next))
    }

    /// Unlinks and frees a page whose rows are all dead, if they still are: one record of the page
    /// before it, the page, and the directory if the insert hint leads there.
    fn free_page(&mut self, from: Link, link: Link) -> Result<bool, Error> {
        if from.block == link.block {
            return Err(Error::corrupt(link.block, "page leads to itself"));
        }
        let layout = &self.meta.layout;
        let mut txn = self.store.begin();
        let before = txn.lock(from.block)?;
        let leads = self.reopen(txn.page(before), from)?.next() == link;
        if !leads {
            return Err(Error::corrupt(
                from.block,
                "page was linked anew during a vacuum",
            ));
        }
        let slot = txn.lock(link.block)?;
        let view = self.reopen(txn.page(slot), link)?;
        let entries = Entries::new(layout, &view)?;
        let (all, next) = (entries.len(), view.next());
        if !(0..all).all(|at| (self.is_dead)(entries.get(at).tid)) {
            return Ok(false);
        }
        let cont = orphaned(&entries, layout.is_wide());
        let (directory, mut entry) = DirectoryEntry::lock(&mut txn, layout, self.list)?;
        PageMut::open(from.block, txn.page_mut(before))?.set_next(next);
        free(&mut txn, slot, link);
        if entry.insert == link {
            entry.insert = from;
            entry.write(&mut txn, layout, self.list, directory)?;
        }
        txn.commit()?;
        self.store.note_free(link.block);
        self.stats.removed += all as u64;
        self.stats.free_pages += 1;
        self.free_cont(cont)?;
        Ok(true)
    }

    /// Frees the pages that continued an entry which is gone, one record each. A crash in between
    /// leaves the rest to [`cleanup`].
    fn free_cont(&mut self, first: Link) -> Result<(), Error> {
        let freed = free_chain(self.store, first, Some(self.list))?;
        self.stats.free_pages += freed;
        Ok(())
    }

    /// Makes `room` the page where inserts begin to look, if it is still of this list.
    fn move_hint(&mut self, room: Link) -> Result<(), Error> {
        let layout = &self.meta.layout;
        let mut txn = self.store.begin();
        let slot = txn.lock(room.block)?;
        self.reopen(txn.page(slot), room)?;
        let (directory, mut entry) = DirectoryEntry::lock(&mut txn, layout, self.list)?;
        if entry.insert != room {
            entry.insert = room;
            entry.write(&mut txn, layout, self.list, directory)?;
            txn.commit()?;
        }
        Ok(())
    }

    /// Opens a page seen before in this walk. Only a vacuum frees pages, and there is one at a
    /// time, so that another generation is damage.
    fn reopen<'p>(&self, bytes: &'p [u8], link: Link) -> Result<PageView<'p>, Error> {
        open_list_page(bytes, link, self.list)?
            .ok_or_else(|| Error::corrupt(link.block, "page was freed during a vacuum"))
    }
}

/// The pages that continue the entry of a page, if it is wide.
fn orphaned(entries: &Entries<'_>, wide: bool) -> Link {
    if wide && entries.len() > 0 {
        entries.cont()
    } else {
        Link::NONE
    }
}

/// Ends a life of a page.
fn free(txn: &mut impl Txn, slot: Slot, link: Link) {
    let generation = link.generation.wrapping_add(1).max(1);
    PageMut::init(txn.page_mut(slot), Kind::Free, NO_OWNER, generation);
}

/// Frees a chain of continuing pages. Stops where a page is in another life, or is no such page
/// (of `list`, if given).
fn free_chain(store: &impl Store, first: Link, list: Option<u32>) -> Result<u32, Error> {
    let mut link = first;
    let mut freed = 0;
    while !link.is_none() {
        store.check_interrupts()?;
        let mut txn = store.begin();
        let slot = txn.lock(link.block)?;
        let owner = match (list, Page::open(link.block, txn.page(slot))?) {
            (Some(list), _) => list,
            (None, Page::Written(view)) => view.owner(),
            (None, Page::Zeroed) => break,
        };
        let Some(view) = open_linked(txn.page(slot), link, Kind::Cont, owner)? else {
            break;
        };
        let next = view.next();
        free(&mut txn, slot, link);
        txn.commit()?;
        store.note_free(link.block);
        freed += 1;
        link = next;
    }
    Ok(freed)
}

/// Counts rows and leaves hints to all free pages, in one pass over the file; frees the pages that
/// an insert or vacuum of a row wider than a page left behind when it was cut short.
///
/// # Errors
/// Those of [`bulk_delete`].
pub fn cleanup(store: &impl Store, meta: &Meta) -> Result<VacuumStats, Error> {
    let mut pass = Pass::run(store, meta)?;
    if pass.orphans().next().is_some()
        && let Some(_guard) = store.structure_lock(true, false)
    {
        // Some of them may have been pages of an insert on its way. Now there is none, and what
        // nobody leads to is an orphan.
        pass = Pass::run(store, meta)?;
        let mut freed = 0;
        for orphan in pass.orphans() {
            freed += free_chain(store, orphan, None)?;
        }
        pass.stats.free_pages += freed;
    }
    Ok(pass.stats)
}

/// A pass over the pages behind the fixed part.
struct Pass {
    stats: VacuumStats,
    /// Pages that continue an entry.
    cont: Vec<Link>,
    /// Pages that something leads to as the continuation of an entry; sorted.
    reached: Vec<Link>,
}

impl Pass {
    fn run(store: &impl Store, meta: &Meta) -> Result<Pass, Error> {
        let layout = &meta.layout;
        let mut pass = Pass {
            stats: VacuumStats::default(),
            cont: Vec::new(),
            reached: Vec::new(),
        };
        let blocks = store.blocks();
        for block in layout.lists_start..blocks {
            store.check_interrupts()?;
            let page = store.read(block)?;
            let view = match Page::open(block, &page)? {
                Page::Written(view) => view,
                Page::Zeroed => {
                    drop(page);
                    pass.free(store, block);
                    continue;
                }
            };
            match view.kind() {
                Kind::Free => {
                    drop(page);
                    pass.free(store, block);
                }
                Kind::List => {
                    let entries = Entries::new(layout, &view)?;
                    pass.stats.live += entries.len() as u64;
                    pass.reach(orphaned(&entries, layout.is_wide()))?;
                }
                Kind::Cont => {
                    alloc::reserve(&mut pass.cont, 1)?;
                    pass.cont.push(view.link());
                    pass.reach(view.next())?;
                }
                kind => {
                    return Err(Error::corrupt(
                        block,
                        format!("{kind:?} page lies among the lists"),
                    ));
                }
            }
        }
        pass.reached.sort_unstable();
        pass.stats.pages = blocks;
        Ok(pass)
    }

    fn free(&mut self, store: &impl Store, block: u32) {
        store.note_free(block);
        self.stats.free_pages += 1;
    }

    fn reach(&mut self, link: Link) -> Result<(), Error> {
        if !link.is_none() {
            alloc::reserve(&mut self.reached, 1)?;
            self.reached.push(link);
        }
        Ok(())
    }

    /// Continuing pages that nothing leads to: the first ones of orphaned chains.
    fn orphans(&self) -> impl Iterator<Item = Link> {
        (self.cont.iter().copied()).filter(|link| self.reached.binary_search(link).is_err())
    }
}
