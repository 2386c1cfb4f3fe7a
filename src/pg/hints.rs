//! Where pages were last: a buffer number for each block of the indexes searched lately.
//!
//! A graph search reads hundreds of pages in no order, and looking each up in the shared buffer table
//! costs more than all else. A hint saves that: `ReadRecentBuffer` pins the buffer if it still holds
//! the block. And a page's bytes can be asked for before they are needed without a pin: a buffer's
//! memory is always mapped, and what is loaded in vain does no harm.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use pgrx::pg_sys;

use super::compat::{RelationFile, relation_file};

/// Files remembered by a backend: indexes, and tables that hold their vectors.
const FILES: usize = 8;
/// `ReadRecentBuffer` doesn't count as a use, so that pages read only through hints would be evicted
/// first: every so many reads go the long way.
const LONG_WAY: u32 = 64;

/// The hints of one file; a new file (REINDEX, TRUNCATE) starts anew.
pub struct Hints {
    file: RelationFile,
    /// Buffer by block; 0 where unknown.
    buffers: RefCell<Vec<pg_sys::Buffer>>,
    reads: Cell<u32>,
}

thread_local! {
    /// The latest first.
    static KNOWN: RefCell<Vec<Rc<Hints>>> = const { RefCell::new(Vec::new()) };
}

impl Hints {
    /// The hints of an open relation's file.
    ///
    /// # Safety
    /// `relation` is open.
    pub unsafe fn of(relation: pg_sys::Relation) -> Rc<Hints> {
        // SAFETY: the caller's promise.
        let file = unsafe { relation_file(relation) };
        KNOWN.with_borrow_mut(|known| {
            let hints = match known.iter().position(|hints| hints.file == file) {
                Some(at) => known.remove(at),
                None => Rc::new(Hints {
                    file,
                    buffers: RefCell::default(),
                    reads: Cell::new(0),
                }),
            };
            known.truncate(FILES - 1);
            known.insert(0, hints.clone());
            hints
        })
    }

    pub fn file(&self) -> RelationFile {
        self.file
    }

    /// Where a block was last, for a prefetch.
    pub fn last(&self, block: u32) -> Option<pg_sys::Buffer> {
        let buffers = self.buffers.borrow();
        buffers
            .get(block as usize)
            .copied()
            .filter(|buffer| *buffer != 0)
    }

    /// Where to try a read of a block; `None` where it should go the long way.
    pub fn to_try(&self, block: u32) -> Option<pg_sys::Buffer> {
        let reads = self.reads.get().wrapping_add(1);
        self.reads.set(reads);
        if reads.is_multiple_of(LONG_WAY) {
            None
        } else {
            self.last(block)
        }
    }

    /// Remembers where a block is. Without memory for it, it is forgotten.
    pub fn remember(&self, block: u32, buffer: pg_sys::Buffer) {
        let mut buffers = self.buffers.borrow_mut();
        let at = block as usize;
        if at >= buffers.len() {
            let missing = at + 1 - buffers.len();
            if buffers.try_reserve(missing).is_err() {
                return;
            }
            buffers.resize(at + 1, 0);
        }
        buffers[at] = buffer;
    }
}
