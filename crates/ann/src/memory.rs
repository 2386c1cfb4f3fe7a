//! The memory twin of [`Store`]: pages in memory, a log of every record, and a policeman.
//!
//! It serves tests. It runs on one thread: other sessions are played by a hook that the store
//! calls wherever the operation under test holds no lock, which are all the points where another
//! session could get in between. It panics where a real host would deadlock, lose bytes or refuse:
//! a page locked twice, locks out of order, more than four pages in a record, bytes in the hole,
//! a lock held while interrupts are checked.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::ops::Deref;
use std::rc::Rc;

use crate::error::Error;
use crate::page::{self, Kind, Page};
use crate::store::{BulkWriter, MAX_LOCKS, MAX_RECORD_PAGES, Slot, Store, Txn};

/// A page's bytes, 8-byte aligned as the host's buffers are.
type Bytes = Rc<[u64]>;

fn zeroed(page_size: usize) -> Bytes {
    vec![0u64; page_size / 8].into()
}

fn from_slice(bytes: &[u8]) -> Bytes {
    bytemuck::pod_collect_to_vec::<u8, u64>(bytes).into()
}

/// A locked page as a [`LockOrder`] sees it.
pub struct Held<'a> {
    pub block: u32,
    pub bytes: &'a [u8],
    /// Extended by this record: nobody else can wait for it.
    pub fresh: bool,
}

/// Judges whether `wanted` may be locked while the `held` pages are; the message says why not.
pub type LockOrder = fn(held: &[Held<'_>], wanted: &Held<'_>) -> Result<(), String>;

/// What other sessions do when they get in between.
pub type Hook = Rc<dyn Fn(&MemoryStore) -> Result<(), Error>>;

#[derive(Clone)]
struct Record {
    /// Pages of the store when the record was committed.
    blocks: usize,
    images: Vec<(u32, Bytes)>,
}

enum Lock {
    Shared(u32),
    Exclusive,
}

struct Inner {
    pages: Vec<Bytes>,
    free: Vec<u32>,
    locks: HashMap<u32, Lock>,
    /// Locked pages in the order they were locked, and whether they are fresh.
    held: Vec<(u32, bool)>,
    structure: Vec<bool>,
    initial: Vec<Bytes>,
    log: Vec<Record>,
    reads: u64,
}

/// See [`MemoryStore::set_tearing`].
#[derive(Debug, Clone, Copy)]
struct Tearing {
    one_in: u64,
    looks: u64,
}

/// See the module's documentation.
pub struct MemoryStore {
    page_size: usize,
    inner: RefCell<Inner>,
    order: Cell<Option<LockOrder>>,
    hook: RefCell<Option<Hook>>,
    in_hook: Cell<bool>,
    /// How often a look without a lock shows something else; `None` where there are no such looks.
    tearing: Cell<Option<Tearing>>,
    /// Whether the pages were tampered with, so that writers cannot be blamed for broken ones.
    tampered: Cell<bool>,
}

impl MemoryStore {
    fn new(page_size: usize, pages: Vec<Bytes>) -> MemoryStore {
        MemoryStore {
            page_size,
            inner: RefCell::new(Inner {
                initial: pages.clone(),
                pages,
                free: Vec::new(),
                locks: HashMap::new(),
                held: Vec::new(),
                structure: Vec::new(),
                log: Vec::new(),
                reads: 0,
            }),
            order: Cell::new(None),
            hook: RefCell::new(None),
            in_hook: Cell::new(false),
            tearing: Cell::new(None),
            tampered: Cell::new(false),
        }
    }

    /// Registers the lock order of the algorithm under test.
    pub fn set_lock_order(&self, order: LockOrder) {
        self.order.set(Some(order));
    }

    /// Registers what other sessions do; `None` silences them. While the hook runs, the store
    /// does not call it again.
    pub fn set_hook(&self, hook: Option<Hook>) {
        *self.hook.borrow_mut() = hook;
    }

    /// Allows looks without a lock ([`Store::peek`]), of which one in `one_in` is torn: a part of
    /// what it shows is something else. 0: none is.
    pub fn set_tearing(&self, one_in: u64) {
        self.tearing.set(Some(Tearing { one_in, looks: 0 }));
    }

    /// Whether somebody holds the structure lock exclusively, so that to wait for it in a hook
    /// would be to wait for ever.
    pub fn is_structure_locked(&self) -> bool {
        self.inner.borrow().structure.contains(&true)
    }

    /// Number of records committed since the store was made.
    pub fn records(&self) -> usize {
        self.inner.borrow().log.len()
    }

    /// Number of pages read under a share lock since the store was made.
    pub fn reads(&self) -> u64 {
        self.inner.borrow().reads
    }

    /// The store as it is found after a crash right after the first `records` records: what they
    /// wrote is there, the file is as long as it was at the next commit (so that pages extended
    /// by an unfinished record are there, zeroed), and hints are lost.
    pub fn crash_after(&self, records: usize) -> MemoryStore {
        let inner = self.inner.borrow();
        let blocks = inner
            .log
            .get(records)
            .map_or(inner.pages.len(), |record| record.blocks);
        let mut pages = inner.initial.clone();
        pages.resize(blocks, zeroed(self.page_size));
        for (block, image) in inner.log[..records].iter().flat_map(|r| &r.images) {
            pages[*block as usize] = image.clone();
        }
        drop(inner);
        let store = MemoryStore::new(self.page_size, pages);
        store.order.set(self.order.get());
        store
    }

    /// A copy with pages changed at will, for tests of corrupted indexes. Of the policeman's duties
    /// only the double lock is left.
    pub fn tampered(&self, change: impl FnOnce(&mut Vec<Vec<u8>>)) -> MemoryStore {
        let mut pages: Vec<Vec<u8>> = (self.inner.borrow().pages.iter())
            .map(|page| bytemuck::cast_slice(page).to_vec())
            .collect();
        change(&mut pages);
        let store = MemoryStore::new(
            self.page_size,
            pages.iter().map(|page| from_slice(page)).collect(),
        );
        store.tampered.set(true);
        store
    }

    fn yield_to_others(&self) -> Result<(), Error> {
        if self.in_hook.get() || !self.inner.borrow().held.is_empty() {
            return Ok(());
        }
        let Some(hook) = self.hook.borrow().clone() else {
            return Ok(());
        };
        self.in_hook.set(true);
        let result = hook(self);
        self.in_hook.set(false);
        result
    }

    fn acquire(&self, block: u32, exclusive: bool, fresh: bool) -> Result<Bytes, Error> {
        let mut inner = self.inner.borrow_mut();
        let Some(page) = inner.pages.get(block as usize).cloned() else {
            return Err(Error::corrupt(block, "block is past the end of the index"));
        };
        if let Some(order) = self.order.get() {
            let held: Vec<Held<'_>> = (inner.held.iter())
                .map(|(block, fresh)| Held {
                    block: *block,
                    bytes: bytemuck::cast_slice(&inner.pages[*block as usize]),
                    fresh: *fresh,
                })
                .collect();
            let wanted = Held {
                block,
                bytes: bytemuck::cast_slice(&page),
                fresh,
            };
            if let Err(why) = order(&held, &wanted) {
                panic!("lock order: block {block}: {why}");
            }
        }
        match (inner.locks.get_mut(&block), exclusive) {
            (None, true) => {
                inner.locks.insert(block, Lock::Exclusive);
            }
            (None, false) => {
                inner.locks.insert(block, Lock::Shared(1));
            }
            (Some(Lock::Shared(readers)), false) => *readers += 1,
            (Some(_), _) => panic!("deadlock: block {block} is locked already"),
        }
        inner.held.push((block, fresh));
        assert!(inner.held.len() <= MAX_LOCKS, "too many locks at a time");
        Ok(page)
    }

    fn unlock(&self, block: u32) {
        let mut inner = self.inner.borrow_mut();
        if let Some(at) = inner.held.iter().rposition(|(held, _)| *held == block) {
            inner.held.remove(at);
        }
        match inner.locks.get_mut(&block) {
            Some(Lock::Shared(readers)) if *readers > 1 => *readers -= 1,
            _ => {
                inner.locks.remove(&block);
            }
        }
    }
}

/// A page of a [`MemoryStore`] under a share lock.
pub struct MemoryRead<'a> {
    store: &'a MemoryStore,
    block: u32,
    page: Bytes,
}

impl Deref for MemoryRead<'_> {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        bytemuck::cast_slice(&self.page)
    }
}

impl Drop for MemoryRead<'_> {
    fn drop(&mut self) {
        self.store.unlock(self.block);
    }
}

/// The structure lock of a [`MemoryStore`].
pub struct MemoryGuard<'a> {
    store: &'a MemoryStore,
    exclusive: bool,
}

impl Drop for MemoryGuard<'_> {
    fn drop(&mut self) {
        let structure = &mut self.store.inner.borrow_mut().structure;
        if let Some(at) = structure.iter().position(|held| *held == self.exclusive) {
            structure.remove(at);
        }
    }
}

impl Store for MemoryStore {
    type Read<'a> = MemoryRead<'a>;
    type Txn<'a> = MemoryTxn<'a>;
    type Guard<'a> = MemoryGuard<'a>;

    fn page_size(&self) -> usize {
        self.page_size
    }

    fn blocks(&self) -> u32 {
        self.inner.borrow().pages.len() as u32
    }

    fn read(&self, block: u32) -> Result<MemoryRead<'_>, Error> {
        self.yield_to_others()?;
        let page = self.acquire(block, false, false)?;
        self.inner.borrow_mut().reads += 1;
        Ok(MemoryRead {
            store: self,
            block,
            page,
        })
    }

    fn peek(&self, block: u32, at: usize, into: &mut [u8]) -> bool {
        let Some(Tearing { one_in, looks }) = self.tearing.get() else {
            return false;
        };
        let looks = looks + 1;
        self.tearing.set(Some(Tearing { one_in, looks }));
        let inner = self.inner.borrow();
        let page = inner.pages.get(block as usize);
        let Some(bytes) = page.and_then(|page| bytemuck::cast_slice(page).get(at..at + into.len()))
        else {
            return false;
        };
        into.copy_from_slice(bytes);
        if one_in != 0 && looks.is_multiple_of(one_in) {
            // Every byte can be hit, with any value, over the looks of a test.
            let start = (looks as usize).wrapping_mul(0x9E37_79B9) % into.len();
            for (n, byte) in into[start..].iter_mut().enumerate() {
                *byte = (looks as u8).wrapping_mul(31).wrapping_add(n as u8);
            }
        }
        true
    }

    fn begin(&self) -> MemoryTxn<'_> {
        MemoryTxn {
            store: self,
            held: Vec::new(),
        }
    }

    fn take_free(&self) -> Option<u32> {
        self.inner.borrow_mut().free.pop()
    }

    fn note_free(&self, block: u32) {
        let free = &mut self.inner.borrow_mut().free;
        if !free.contains(&block) {
            free.push(block);
        }
    }

    fn structure_lock(&self, exclusive: bool, wait: bool) -> Option<MemoryGuard<'_>> {
        let mut inner = self.inner.borrow_mut();
        assert!(
            inner.held.is_empty(),
            "structure lock taken with a page locked"
        );
        let conflict = inner.structure.iter().any(|held| *held || exclusive);
        if conflict {
            assert!(!wait, "deadlock: the structure lock is held already");
            return None;
        }
        inner.structure.push(exclusive);
        Some(MemoryGuard {
            store: self,
            exclusive,
        })
    }

    fn check_interrupts(&self) -> Result<(), Error> {
        assert!(
            self.inner.borrow().held.is_empty(),
            "interrupts checked with a page locked"
        );
        self.yield_to_others()
    }
}

struct HeldPage {
    block: u32,
    before: Bytes,
    after: Option<Box<[u64]>>,
}

/// A record of a [`MemoryStore`] in the making.
pub struct MemoryTxn<'a> {
    store: &'a MemoryStore,
    held: Vec<Option<HeldPage>>,
}

impl MemoryTxn<'_> {
    fn hold(&mut self, block: u32, before: Bytes) -> Slot {
        let page = HeldPage {
            block,
            before,
            after: None,
        };
        let free = self.held.iter().position(Option::is_none);
        let at = free.unwrap_or(self.held.len());
        if at == self.held.len() {
            self.held.push(Some(page));
        } else {
            self.held[at] = Some(page);
        }
        Slot(at as u8)
    }

    fn get(&self, slot: Slot) -> &HeldPage {
        (self.held[usize::from(slot.0)].as_ref()).expect("page is used after its release")
    }

    fn unlock_all(&mut self) {
        for page in self.held.drain(..).flatten() {
            self.store.unlock(page.block);
        }
    }
}

impl Drop for MemoryTxn<'_> {
    fn drop(&mut self) {
        self.unlock_all();
    }
}

impl Txn for MemoryTxn<'_> {
    fn lock(&mut self, block: u32) -> Result<Slot, Error> {
        self.store.yield_to_others()?;
        let before = self.store.acquire(block, true, false)?;
        Ok(self.hold(block, before))
    }

    fn extend(&mut self) -> Result<Slot, Error> {
        while let Some(block) = self.store.take_free() {
            let usable = {
                let inner = self.store.inner.borrow();
                !inner.locks.contains_key(&block)
                    && (inner.pages.get(block as usize))
                        .is_some_and(|page| page::is_reusable(bytemuck::cast_slice(page)))
            };
            if usable {
                let before = self.store.acquire(block, true, true)?;
                return Ok(self.hold(block, before));
            }
        }
        let block = {
            let mut inner = self.store.inner.borrow_mut();
            inner.pages.push(zeroed(self.store.page_size));
            inner.pages.len() as u32 - 1
        };
        let before = self.store.acquire(block, true, true)?;
        Ok(self.hold(block, before))
    }

    fn block(&self, slot: Slot) -> u32 {
        self.get(slot).block
    }

    fn page(&self, slot: Slot) -> &[u8] {
        let page = self.get(slot);
        bytemuck::cast_slice(page.after.as_deref().unwrap_or(&page.before))
    }

    fn page_mut(&mut self, slot: Slot) -> &mut [u8] {
        let registered = self.held.iter().flatten().filter(|p| p.after.is_some());
        let registered = registered.count();
        let page = (self.held[usize::from(slot.0)].as_mut()).expect("page is used after release");
        if page.after.is_none() {
            assert!(
                registered < MAX_RECORD_PAGES,
                "too many pages in one record"
            );
            page.after = Some(Box::from(&*page.before));
        }
        bytemuck::cast_slice_mut(page.after.as_deref_mut().expect("set above"))
    }

    fn release(&mut self, slot: Slot) {
        let page = self.held[usize::from(slot.0)].take();
        let page = page.expect("page is released twice");
        assert!(page.after.is_none(), "page of a record released");
        self.store.unlock(page.block);
    }

    fn commit(mut self) -> Result<(), Error> {
        let mut images = Vec::new();
        for page in self.held.iter_mut().flatten() {
            let Some(mut after) = page.after.take() else {
                continue;
            };
            if self.store.tampered.get() {
                page::clear_hole(bytemuck::cast_slice_mut(&mut after));
            } else {
                assert_sound(page.block, bytemuck::cast_slice(&after));
            }
            images.push((page.block, Bytes::from(after)));
        }
        if !images.is_empty() {
            let mut inner = self.store.inner.borrow_mut();
            for (block, image) in &images {
                inner.pages[*block as usize] = image.clone();
            }
            let blocks = inner.pages.len();
            inner.log.push(Record { blocks, images });
        }
        self.unlock_all();
        Ok(())
    }
}

/// Panics where a page to be written is not well formed, or holds bytes that a record would lose.
fn assert_sound(block: u32, bytes: &[u8]) {
    match Page::open(block, bytes) {
        Ok(Page::Written(view)) => {
            let hole = page::hole(bytes);
            assert!(
                hole.iter().all(|byte| *byte == 0),
                "bytes of block {block} lie in the hole and would be lost"
            );
            assert!(
                view.kind() != Kind::Free || view.used().is_empty(),
                "free block {block} holds bytes"
            );
        }
        Ok(Page::Zeroed) => panic!("block {block} is part of a record but was not written"),
        Err(error) => panic!("a record writes a broken page: {error}"),
    }
}

/// The memory twin of [`BulkWriter`].
pub struct MemoryWriter {
    page_size: usize,
    pages: Vec<Bytes>,
}

impl MemoryWriter {
    /// A writer of pages of `page_size` bytes, a multiple of 256.
    pub fn new(page_size: usize) -> MemoryWriter {
        assert!(page_size.is_multiple_of(256), "page size is odd");
        MemoryWriter {
            page_size,
            pages: Vec::new(),
        }
    }

    /// The finished index.
    pub fn into_store(self) -> MemoryStore {
        MemoryStore::new(self.page_size, self.pages)
    }
}

impl BulkWriter for MemoryWriter {
    fn page_size(&self) -> usize {
        self.page_size
    }

    fn append(&mut self, page: &[u8]) -> Result<u32, Error> {
        assert_sound(self.pages.len() as u32, page);
        self.pages.push(from_slice(page));
        Ok(self.pages.len() as u32 - 1)
    }

    fn overwrite(&mut self, block: u32, page: &[u8]) -> Result<(), Error> {
        assert_sound(block, page);
        self.pages[block as usize] = from_slice(page);
        Ok(())
    }

    fn check_interrupts(&self) -> Result<(), Error> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::page::{NO_OWNER, PageMut};

    fn store(pages: usize) -> MemoryStore {
        let mut writer = MemoryWriter::new(512);
        let mut bytes = [0; 512];
        for _ in 0..pages {
            PageMut::init(&mut bytes, Kind::List, 0, 1);
            writer.append(&bytes).unwrap();
        }
        writer.into_store()
    }

    fn write(txn: &mut MemoryTxn<'_>, slot: Slot, byte: u8) {
        let mut page = PageMut::init(txn.page_mut(slot), Kind::List, 0, 1);
        page.body_mut()[0] = byte;
        page.set_used(1);
    }

    #[test]
    fn a_record_is_all_or_nothing() {
        let store = store(2);
        let mut txn = store.begin();
        let slot = txn.lock(0).unwrap();
        write(&mut txn, slot, 5);
        assert_eq!(txn.page(slot)[24], 5);
        drop(txn);
        assert_eq!((store.read(0).unwrap()[24], store.records()), (0, 0));
        let mut txn = store.begin();
        for block in 0..2 {
            let slot = txn.lock(block).unwrap();
            write(&mut txn, slot, 6);
        }
        txn.commit().unwrap();
        assert_eq!(store.read(0).unwrap()[24], 6);
        assert_eq!(store.read(1).unwrap()[24], 6);
        assert_eq!(store.crash_after(0).read(0).unwrap()[24], 0);
        assert_eq!(store.crash_after(1).read(1).unwrap()[24], 6);
    }

    #[test]
    fn a_page_extended_before_a_crash_is_zeroed_after_it() {
        let store = store(1);
        let mut txn = store.begin();
        let slot = txn.extend().unwrap();
        assert_eq!(txn.block(slot), 1);
        write(&mut txn, slot, 5);
        txn.commit().unwrap();
        let crashed = store.crash_after(0);
        assert_eq!(crashed.blocks(), 2);
        assert!(page::is_zeroed(&crashed.read(1).unwrap()));
        assert_eq!(crashed.take_free(), None);
    }

    #[test]
    fn a_hint_is_followed_only_to_a_free_page() {
        let store = store(2);
        let mut txn = store.begin();
        let slot = txn.lock(1).unwrap();
        PageMut::init(txn.page_mut(slot), Kind::Free, NO_OWNER, 2);
        txn.commit().unwrap();
        store.note_free(1);
        store.note_free(0); // in use
        store.note_free(77); // not there
        let mut txn = store.begin();
        let first = txn.extend().unwrap();
        let second = txn.extend().unwrap();
        assert_eq!((txn.block(first), txn.block(second)), (1, 2));
    }

    #[test]
    fn the_structure_lock_is_shared_or_exclusive() {
        let store = store(1);
        let shared = store.structure_lock(false, true);
        assert!(store.structure_lock(false, true).is_some());
        assert!(store.structure_lock(true, false).is_none());
        drop(shared);
        let exclusive = store.structure_lock(true, false);
        assert!(exclusive.is_some() && store.structure_lock(false, false).is_none());
    }

    #[test]
    #[should_panic(expected = "locked already")]
    fn a_page_is_not_locked_twice() {
        let store = store(1);
        let _read = store.read(0).unwrap();
        let _ = store.begin().lock(0);
    }

    #[test]
    #[should_panic(expected = "too many pages in one record")]
    fn a_record_has_four_pages() {
        let store = store(5);
        let mut txn = store.begin();
        for block in 0..5 {
            let slot = txn.lock(block).unwrap();
            write(&mut txn, slot, 1);
        }
    }

    #[test]
    #[should_panic(expected = "lie in the hole")]
    fn bytes_that_a_record_would_lose_are_not_written() {
        let store = store(1);
        let mut txn = store.begin();
        let slot = txn.lock(0).unwrap();
        PageMut::open(0, txn.page_mut(slot)).unwrap().body_mut()[3] = 1;
        let _ = txn.commit();
    }

    #[test]
    #[should_panic(expected = "interrupts checked with a page locked")]
    fn no_lock_is_held_while_interrupts_are_checked() {
        let store = store(1);
        let _read = store.read(0).unwrap();
        let _ = store.check_interrupts();
    }

    #[test]
    #[should_panic(expected = "lock order")]
    fn locks_are_taken_in_order() {
        let store = store(2);
        store.set_lock_order(crate::ivfflat::lock_order);
        let mut txn = store.begin();
        txn.lock(1).unwrap();
        // Nothing links block 1 to block 0.
        let _ = txn.lock(0);
    }
}
