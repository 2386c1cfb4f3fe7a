//! The seam's twin over shared buffers: pages under locks, records through generic WAL.
//!
//! A guard releases nothing while an error unwinds: PostgreSQL's resource owner and its lightweight
//! locks are cleaned up by the abort, and doing it twice underflows counters.

use std::cell::Cell;
use std::marker::PhantomData;
use std::ops::Deref;
use std::rc::Rc;
use std::sync::atomic::{Ordering, fence};

use pgnear_ann::store::{MAX_LOCKS, MAX_RECORD_PAGES};
use pgnear_ann::{BulkWriter, Error, Slot, Store, Txn, page};
use pgrx::pg_sys;

use super::hints::Hints;
use super::raw;

const SHARE: i32 = pg_sys::BUFFER_LOCK_SHARE as i32;
const EXCLUSIVE: i32 = pg_sys::BUFFER_LOCK_EXCLUSIVE as i32;
const NEW_BLOCK: pg_sys::BlockNumber = pg_sys::InvalidBlockNumber;
pub const PAGE_SIZE: usize = pg_sys::BLCKSZ as usize;

/// The pages of an open index.
pub struct PgStore<'rel> {
    relation: pg_sys::Relation,
    strategy: pg_sys::BufferAccessStrategy,
    /// Whether interrupts are checked with vacuum's cost delay.
    vacuum: bool,
    hints: Rc<Hints>,
    /// Whether changes are logged one by one; else [`PgBulkWriter::log`] does it for all, and they are
    /// made in place.
    logged: bool,
    /// Whether pages may be looked at without a lock, where that only steers.
    unlocked_reads: bool,
    /// Blocks seen last: asking the file system for each page read would cost a system call.
    blocks: Cell<u32>,
    open: PhantomData<&'rel ()>,
}

impl PgStore<'_> {
    /// # Safety
    /// `relation` stays open, locked as the operation asks, for as long as the store is used, and
    /// `strategy` is null or valid for as long.
    pub unsafe fn new(
        relation: pg_sys::Relation,
        strategy: pg_sys::BufferAccessStrategy,
        vacuum: bool,
    ) -> Self {
        PgStore {
            relation,
            strategy,
            vacuum,
            logged: true,
            // SAFETY: the relation is open.
            hints: unsafe { Hints::of(relation) },
            unlocked_reads: super::settings::unlocked_reads(),
            blocks: Cell::new(0),
            open: PhantomData,
        }
    }

    /// The pages of an index in the making, which nobody else sees and an error does away with: a
    /// [`PgBulkWriter`] logs them in the end.
    pub fn unlogged(self) -> Self {
        PgStore {
            logged: false,
            ..self
        }
    }

    fn check_block(&self, block: u32) -> Result<(), Error> {
        if block < self.blocks.get() || block < self.blocks() {
            Ok(())
        } else {
            Err(Error::corrupt(
                block,
                "link to a block past the end of the index",
            ))
        }
    }
}

/// Pins a block of a relation's main fork and locks it for sharing.
///
/// # Safety
/// As for [`read_locked`].
pub(super) unsafe fn read_shared(
    relation: pg_sys::Relation,
    strategy: pg_sys::BufferAccessStrategy,
    hints: &Hints,
    block: u32,
) -> pg_sys::Buffer {
    // SAFETY: the caller's promise.
    unsafe { read_locked(relation, strategy, hints, block, SHARE) }
}

/// Pins a block of a relation's main fork and locks it: where it was last, or the long way.
///
/// # Safety
/// `relation` is open, `hints` are its own, `strategy` is null or valid, and the block is there.
unsafe fn read_locked(
    relation: pg_sys::Relation,
    strategy: pg_sys::BufferAccessStrategy,
    hints: &Hints,
    block: u32,
    mode: i32,
) -> pg_sys::Buffer {
    let (file, hint) = (hints.file().0, hints.to_try(block));
    let main = pg_sys::ForkNumber::MAIN_FORKNUM;
    // SAFETY: the caller's promise, and the hint was a buffer of this server; the closure owns
    // nothing.
    let buffer = unsafe {
        raw::guarded(move || {
            let buffer = match hint {
                Some(hint) if raw::ReadRecentBuffer(file, main, block, hint) => hint,
                _ => raw::ReadBufferExtended(
                    relation,
                    main,
                    block,
                    pg_sys::ReadBufferMode::RBM_NORMAL,
                    strategy,
                ),
            };
            raw::LockBuffer(buffer, mode);
            buffer
        })
    };
    if hint != Some(buffer) {
        hints.remember(block, buffer);
    }
    buffer
}

/// A pinned, share-locked page.
pub struct PgRead<'store> {
    buffer: pg_sys::Buffer,
    open: PhantomData<&'store ()>,
}

impl Deref for PgRead<'_> {
    type Target = [u8];
    #[inline]
    fn deref(&self) -> &[u8] {
        // SAFETY: the buffer is pinned and share-locked, so the page stays and nobody writes it.
        unsafe {
            std::slice::from_raw_parts(pg_sys::BufferGetPage(self.buffer).cast::<u8>(), PAGE_SIZE)
        }
    }
}

impl Drop for PgRead<'_> {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            // SAFETY: this guard owns one pin and the lock.
            unsafe { raw::guarded(|| raw::UnlockReleaseBuffer(self.buffer)) }
        }
    }
}

/// The index's heavyweight lock, held by a page lock on block 0.
pub struct PgGuard<'store> {
    relation: pg_sys::Relation,
    mode: pg_sys::LOCKMODE,
    open: PhantomData<&'store ()>,
}

impl Drop for PgGuard<'_> {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            // SAFETY: this guard owns the lock.
            unsafe { pg_sys::UnlockPage(self.relation, 0, self.mode) }
        }
    }
}

impl<'rel> Store for PgStore<'rel> {
    type Read<'a>
        = PgRead<'a>
    where
        Self: 'a;
    type Txn<'a>
        = PgTxn<'a>
    where
        Self: 'a;
    type Guard<'a>
        = PgGuard<'a>
    where
        Self: 'a;

    fn page_size(&self) -> usize {
        PAGE_SIZE
    }

    fn blocks(&self) -> u32 {
        // SAFETY: the relation is open.
        let blocks = unsafe {
            pg_sys::RelationGetNumberOfBlocksInFork(self.relation, pg_sys::ForkNumber::MAIN_FORKNUM)
        };
        self.blocks.set(blocks);
        blocks
    }

    fn read(&self, block: u32) -> Result<PgRead<'_>, Error> {
        self.check_block(block)?;
        // SAFETY: the relation is open.
        let buffer = unsafe { read_shared(self.relation, self.strategy, &self.hints, block) };
        Ok(PgRead {
            buffer,
            open: PhantomData,
        })
    }

    fn peek(&self, block: u32, at: usize, into: &mut [u8]) -> bool {
        if !self.unlocked_reads || at + into.len() > PAGE_SIZE {
            return false;
        }
        let Some(buffer) = self.hints.to_try(block) else {
            return false;
        };
        let file = self.hints.file();
        // SAFETY: a shared buffer's descriptor and memory are always mapped, whatever they hold.
        // The bytes are copied while others may write them: what comes out is only used to steer a
        // search, and was the block's if the buffer held it before and after.
        unsafe {
            if !super::compat::buffer_holds(buffer, file, block) {
                return false;
            }
            fence(Ordering::Acquire);
            let page = pg_sys::BufferGetPage(buffer).cast::<u8>().cast_const();
            std::ptr::copy_nonoverlapping(page.add(at), into.as_mut_ptr(), into.len());
            fence(Ordering::Acquire);
            super::compat::buffer_holds(buffer, file, block)
        }
    }

    fn prefetch(&self, block: u32, at: usize, bytes: usize) {
        let Some(buffer) = self.hints.last(block) else {
            return;
        };
        // SAFETY: the address of a buffer's memory, which is not read here: a prefetch of any
        // address is harmless.
        let page = unsafe { pg_sys::BufferGetPage(buffer) }
            .cast::<u8>()
            .cast_const();
        let end = (at + bytes).min(PAGE_SIZE);
        pgnear_kernels::prefetch(super::compat::buffer_descriptor(buffer), 1);
        pgnear_kernels::prefetch(page.wrapping_add(at), end.saturating_sub(at));
    }

    fn begin(&self) -> PgTxn<'_> {
        PgTxn {
            store: self,
            state: std::ptr::null_mut(),
            slots: Default::default(),
        }
    }

    fn take_free(&self) -> Option<u32> {
        // SAFETY: the relation is open.
        let block = unsafe { pg_sys::GetFreeIndexPage(self.relation) };
        (block != pg_sys::InvalidBlockNumber).then_some(block)
    }

    fn note_free(&self, block: u32) {
        // SAFETY: the relation is open.
        unsafe { pg_sys::RecordFreeIndexPage(self.relation, block) }
    }

    fn structure_lock(&self, exclusive: bool, wait: bool) -> Option<PgGuard<'_>> {
        let mode = if exclusive {
            pg_sys::ExclusiveLock
        } else {
            pg_sys::ShareLock
        } as pg_sys::LOCKMODE;
        // SAFETY: the relation is open.
        unsafe {
            if wait {
                pg_sys::LockPage(self.relation, 0, mode);
            } else if !pg_sys::ConditionalLockPage(self.relation, 0, mode) {
                return None;
            }
        }
        Some(PgGuard {
            relation: self.relation,
            mode,
            open: PhantomData,
        })
    }

    fn check_interrupts(&self) -> Result<(), Error> {
        if self.vacuum {
            super::compat::vacuum_delay_point();
        } else {
            pgrx::check_for_interrupts!();
        }
        Ok(())
    }
}

#[derive(Clone, Copy)]
struct Locked {
    buffer: pg_sys::Buffer,
    /// The page itself, or its copy in the record once it is registered.
    page: *mut u8,
    registered: bool,
    new: bool,
}

/// A record in the making: nothing is changed before `commit`, and a drop forgets it.
pub struct PgTxn<'store> {
    store: &'store PgStore<'store>,
    /// Null until the first page is changed: the state is some 32 kB.
    state: *mut pg_sys::GenericXLogState,
    slots: [Option<Locked>; MAX_LOCKS],
}

impl PgTxn<'_> {
    fn add(&mut self, buffer: pg_sys::Buffer, new: bool) -> Slot {
        let free = self
            .slots
            .iter()
            .position(Option::is_none)
            .expect("too many pages locked");
        // SAFETY: the buffer is pinned and locked.
        let page = unsafe { pg_sys::BufferGetPage(buffer) }.cast::<u8>();
        self.slots[free] = Some(Locked {
            buffer,
            page,
            registered: false,
            new,
        });
        Slot(free as u8)
    }

    fn locked(&self, slot: Slot) -> &Locked {
        self.slots[slot.0 as usize]
            .as_ref()
            .expect("slot is not locked")
    }

    fn release_all(&mut self) {
        for locked in self.slots.iter_mut().filter_map(Option::take) {
            // SAFETY: this transaction owns one pin and the lock.
            unsafe { raw::guarded(|| raw::UnlockReleaseBuffer(locked.buffer)) }
        }
    }
}

impl Txn for PgTxn<'_> {
    fn lock(&mut self, block: u32) -> Result<Slot, Error> {
        self.store.check_block(block)?;
        let store = self.store;
        // SAFETY: the relation is open, and the block is there.
        let buffer = unsafe {
            read_locked(
                store.relation,
                store.strategy,
                &store.hints,
                block,
                EXCLUSIVE,
            )
        };
        Ok(self.add(buffer, false))
    }

    fn extend(&mut self) -> Result<Slot, Error> {
        let relation = self.store.relation;
        while let Some(block) = self.store.take_free() {
            if self.store.check_block(block).is_err() {
                continue; // a hint from before a crash
            }
            // SAFETY: the relation is open; the closure owns nothing. Waiting for the lock of a
            // page that may be in use could deadlock, so it is only tried.
            let buffer = unsafe {
                raw::guarded(move || {
                    let buffer = raw::ReadBufferExtended(
                        relation,
                        pg_sys::ForkNumber::MAIN_FORKNUM,
                        block,
                        pg_sys::ReadBufferMode::RBM_NORMAL,
                        std::ptr::null_mut(),
                    );
                    if raw::ConditionalLockBuffer(buffer) {
                        buffer
                    } else {
                        raw::ReleaseBuffer(buffer);
                        0
                    }
                })
            };
            if buffer == 0 {
                continue;
            }
            let slot = self.add(buffer, true);
            if page::is_reusable(self.page(slot)) {
                return Ok(slot);
            }
            self.release(slot);
        }
        // SAFETY: as above. The lock on the relation's extension is held for the call only.
        let buffer = unsafe {
            raw::guarded(move || {
                let mode = pg_sys::ExclusiveLock as pg_sys::LOCKMODE;
                raw::LockRelationForExtension(relation, mode);
                let buffer = raw::ReadBufferExtended(
                    relation,
                    pg_sys::ForkNumber::MAIN_FORKNUM,
                    NEW_BLOCK,
                    pg_sys::ReadBufferMode::RBM_ZERO_AND_LOCK,
                    std::ptr::null_mut(),
                );
                raw::UnlockRelationForExtension(relation, mode);
                buffer
            })
        };
        Ok(self.add(buffer, true))
    }

    fn block(&self, slot: Slot) -> u32 {
        // SAFETY: the buffer is pinned.
        unsafe { pg_sys::BufferGetBlockNumber(self.locked(slot).buffer) }
    }

    fn page(&self, slot: Slot) -> &[u8] {
        // SAFETY: the page is locked exclusively by us, or its copy is the record's; both are
        // BLCKSZ bytes and live until commit or drop.
        unsafe { std::slice::from_raw_parts(self.locked(slot).page, PAGE_SIZE) }
    }

    fn page_mut(&mut self, slot: Slot) -> &mut [u8] {
        let locked = *self.locked(slot);
        let page = if locked.registered {
            locked.page
        } else if !self.store.logged {
            if locked.new {
                // SAFETY: the page is locked exclusively by us, BLCKSZ bytes long.
                unsafe { locked.page.write_bytes(0, PAGE_SIZE) };
            }
            self.slots[slot.0 as usize] = Some(Locked {
                registered: true,
                ..locked
            });
            locked.page
        } else {
            let flags = if locked.new {
                pg_sys::GENERIC_XLOG_FULL_IMAGE as i32
            } else {
                0
            };
            // SAFETY: the buffer is locked exclusively and not yet registered; the relation is
            // open. PostgreSQL refuses a fifth page with an ERROR.
            let page = unsafe {
                if self.state.is_null() {
                    self.state = pg_sys::GenericXLogStart(self.store.relation);
                }
                pg_sys::GenericXLogRegisterBuffer(self.state, locked.buffer, flags).cast::<u8>()
            };
            self.slots[slot.0 as usize] = Some(Locked {
                page,
                registered: true,
                ..locked
            });
            debug_assert!(
                self.slots.iter().flatten().filter(|l| l.registered).count() <= MAX_RECORD_PAGES
            );
            page
        };
        // SAFETY: the record's copy of the page, borrowed mutably through self.
        unsafe { std::slice::from_raw_parts_mut(page, PAGE_SIZE) }
    }

    fn release(&mut self, slot: Slot) {
        let locked = self.slots[slot.0 as usize]
            .take()
            .expect("slot is not locked");
        assert!(!locked.registered, "a page of the record can't be released");
        // SAFETY: this transaction owns one pin and the lock.
        unsafe { raw::guarded(|| raw::UnlockReleaseBuffer(locked.buffer)) }
    }

    fn commit(mut self) -> Result<(), Error> {
        if !self.store.logged {
            for locked in self.slots.iter().flatten().filter(|slot| slot.registered) {
                let buffer = locked.buffer;
                // SAFETY: pinned, and locked exclusively.
                unsafe { raw::guarded(move || raw::MarkBufferDirty(buffer)) }
            }
        }
        let state = std::mem::replace(&mut self.state, std::ptr::null_mut());
        if !state.is_null() {
            // SAFETY: the state was started here and is used for the last time.
            unsafe { pg_sys::GenericXLogFinish(state) };
        }
        self.release_all();
        Ok(())
    }
}

impl Drop for PgTxn<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            return;
        }
        if !self.state.is_null() {
            // SAFETY: the state was started here and not finished.
            unsafe { pg_sys::GenericXLogAbort(self.state) };
        }
        self.release_all();
    }
}

/// Writes the pages of a new index into one of its forks.
pub struct PgBulkWriter {
    relation: pg_sys::Relation,
    fork: pg_sys::ForkNumber::Type,
    blocks: u32,
}

impl PgBulkWriter {
    /// # Safety
    /// `relation` is a new index, open and locked against everybody, its fork without pages.
    pub unsafe fn new(relation: pg_sys::Relation, fork: pg_sys::ForkNumber::Type) -> Self {
        PgBulkWriter {
            relation,
            fork,
            blocks: 0,
        }
    }

    /// Logs what was written, also by a store that is [`PgStore::unlogged`], where the relation (or an
    /// init fork, always) needs it.
    pub fn log(self) {
        // SAFETY: the relation is open, and all its pages have a standard header.
        unsafe {
            if super::compat::relation_needs_wal(self.relation)
                || self.fork == pg_sys::ForkNumber::INIT_FORKNUM
            {
                let blocks = pg_sys::RelationGetNumberOfBlocksInFork(self.relation, self.fork);
                pg_sys::log_newpage_range(self.relation, self.fork, 0, blocks, true);
            }
        }
    }

    fn put(&self, block: pg_sys::BlockNumber, bytes: &[u8]) {
        assert_eq!(bytes.len(), PAGE_SIZE);
        let (relation, fork) = (self.relation, self.fork);
        let extend = block == NEW_BLOCK;
        // SAFETY: the relation is ours alone; the buffer is locked while its BLCKSZ bytes are
        // copied; the closure owns nothing.
        unsafe {
            raw::guarded(move || {
                let mode = pg_sys::ExclusiveLock as pg_sys::LOCKMODE;
                if extend {
                    raw::LockRelationForExtension(relation, mode);
                }
                let buffer = raw::ReadBufferExtended(
                    relation,
                    fork,
                    block,
                    pg_sys::ReadBufferMode::RBM_ZERO_AND_LOCK,
                    std::ptr::null_mut(),
                );
                if extend {
                    raw::UnlockRelationForExtension(relation, mode);
                }
                let page = pg_sys::BufferGetPage(buffer).cast::<u8>();
                std::ptr::copy_nonoverlapping(bytes.as_ptr(), page, PAGE_SIZE);
                raw::MarkBufferDirty(buffer);
                raw::UnlockReleaseBuffer(buffer);
            });
        }
    }
}

impl BulkWriter for PgBulkWriter {
    fn page_size(&self) -> usize {
        PAGE_SIZE
    }

    fn append(&mut self, page: &[u8]) -> Result<u32, Error> {
        self.put(NEW_BLOCK, page);
        self.blocks += 1;
        Ok(self.blocks - 1)
    }

    fn overwrite(&mut self, block: u32, page: &[u8]) -> Result<(), Error> {
        assert!(
            block < self.blocks,
            "overwrite of a block that was not appended"
        );
        self.put(block, page);
        Ok(())
    }

    fn check_interrupts(&self) -> Result<(), Error> {
        pgrx::check_for_interrupts!();
        Ok(())
    }
}
