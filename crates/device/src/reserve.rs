//! Memory for what must not fail.
//!
//! Whatever grows with data is allocated fallibly, and a build that finds no room raises an error. But
//! the standard library, rayon and crossbeam allocate pieces of some hundred bytes infallibly: where one
//! of those finds no room the process aborts, and with it every session of the server. They are served
//! from a piece of memory that was always there.

use std::alloc::{GlobalAlloc, Layout};
use std::cell::UnsafeCell;
use std::ptr::{null_mut, with_exposed_provenance_mut};
use std::sync::Mutex;

/// The memory that is set aside. Pages never touched cost address space only.
const RESERVE: usize = 512 << 10;
/// The largest piece that is served from it. What grows with data is larger, or soon is.
const LARGEST: usize = 4 << 10;
/// What every piece is aligned to.
const ALIGN: usize = 16;

/// An allocator that serves small pieces from memory set aside where `inner` has none left.
pub struct Reserved<A> {
    inner: A,
    memory: Memory,
    used: Mutex<Used>,
}

#[repr(C, align(4096))]
struct Memory(UnsafeCell<[u8; RESERVE]>);

// SAFETY: the bytes are never looked at here; which piece of them belongs to whom is decided under the
// lock of `used`.
unsafe impl Sync for Memory {}

/// Pieces are cut off one after the other; once all of them were given back, from the start again.
struct Used {
    end: usize,
    pieces: usize,
}

impl<A> Reserved<A> {
    /// In front of `inner`.
    pub const fn new(inner: A) -> Reserved<A> {
        Reserved {
            inner,
            memory: Memory(UnsafeCell::new([0; RESERVE])),
            used: Mutex::new(Used { end: 0, pieces: 0 }),
        }
    }

    fn start(&self) -> usize {
        self.memory.0.get().expose_provenance()
    }

    fn owns(&self, piece: *mut u8) -> bool {
        piece.addr().wrapping_sub(self.start()) < RESERVE
    }

    fn used(&self) -> std::sync::MutexGuard<'_, Used> {
        // Nothing in between can panic.
        self.used
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    #[cold]
    fn cut(&self, layout: Layout) -> *mut u8 {
        if layout.size() > LARGEST || layout.align() > ALIGN {
            return null_mut();
        }
        let mut used = self.used();
        let piece = used.end;
        let end = piece + layout.size().next_multiple_of(ALIGN);
        if end > RESERVE {
            return null_mut();
        }
        used.end = end;
        used.pieces += 1;
        with_exposed_provenance_mut(self.start() + piece)
    }

    #[cold]
    fn give_back(&self) {
        let mut used = self.used();
        used.pieces -= 1;
        if used.pieces == 0 {
            used.end = 0;
        }
    }
}

// SAFETY: a piece is either `inner`'s, and then all that is done with it is done by `inner`; or it is
// cut from the reserve: aligned, inside of it, and nobody else's until all pieces have been given back.
unsafe impl<A: GlobalAlloc> GlobalAlloc for Reserved<A> {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promises are `inner`'s conditions.
        let piece = unsafe { self.inner.alloc(layout) };
        if piece.is_null() {
            return self.cut(layout);
        }
        piece
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as above.
        let piece = unsafe { self.inner.alloc_zeroed(layout) };
        if !piece.is_null() {
            return piece;
        }
        let piece = self.cut(layout);
        if !piece.is_null() {
            // SAFETY: the piece was cut for `layout.size()` bytes.
            unsafe { piece.write_bytes(0, layout.size()) };
        }
        piece
    }

    unsafe fn dealloc(&self, piece: *mut u8, layout: Layout) {
        if self.owns(piece) {
            self.give_back();
        } else {
            // SAFETY: as above; the piece is `inner`'s.
            unsafe { self.inner.dealloc(piece, layout) };
        }
    }

    unsafe fn realloc(&self, piece: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        if !self.owns(piece) {
            // SAFETY: as above; the piece is `inner`'s.
            let grown = unsafe { self.inner.realloc(piece, layout, size) };
            if !grown.is_null() {
                return grown;
            }
        }
        // SAFETY: the caller promises that the size is not zero and, rounded up to the alignment, no
        // more than an `isize` holds.
        let wanted = unsafe { Layout::from_size_align_unchecked(size, layout.align()) };
        // SAFETY: the size is not zero.
        let moved = unsafe { self.alloc(wanted) };
        if !moved.is_null() {
            // SAFETY: both hold so many bytes, and the new piece is nobody else's.
            unsafe { moved.copy_from_nonoverlapping(piece, size.min(layout.size())) };
            // SAFETY: the caller's piece, allocated here with that layout.
            unsafe { self.dealloc(piece, layout) };
        }
        moved
    }
}

#[cfg(test)]
mod tests {
    use std::alloc::System;
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    /// An allocator that has no memory left while it is told so.
    #[derive(Default)]
    struct Empty(AtomicBool);

    // SAFETY: the system's allocator, or no memory.
    unsafe impl GlobalAlloc for Empty {
        unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
            if self.0.load(Ordering::Relaxed) {
                return null_mut();
            }
            // SAFETY: the caller's promises are its conditions.
            unsafe { System.alloc(layout) }
        }

        unsafe fn dealloc(&self, piece: *mut u8, layout: Layout) {
            // SAFETY: as above.
            unsafe { System.dealloc(piece, layout) }
        }
    }

    fn layout(size: usize) -> Layout {
        Layout::from_size_align(size, 8).unwrap()
    }

    fn empty() -> Box<Reserved<Empty>> {
        let reserved = Box::new(Reserved::new(Empty::default()));
        reserved.inner.0.store(true, Ordering::Relaxed);
        reserved
    }

    #[test]
    fn small_pieces_are_found_where_there_is_no_memory() {
        let reserved = empty();
        for _ in 0..3 {
            let mut pieces = Vec::new();
            loop {
                // SAFETY: the size is not zero.
                let piece = unsafe { reserved.alloc_zeroed(layout(1520)) };
                if piece.is_null() {
                    break;
                }
                assert!(reserved.owns(piece) && piece.addr() % ALIGN == 0);
                for i in 0..1520 {
                    // SAFETY: inside the piece.
                    assert_eq!(unsafe { piece.add(i).read() }, 0, "byte {i}");
                }
                // SAFETY: as above.
                unsafe { piece.write_bytes(pieces.len() as u8 | 1, 1520) };
                pieces.push(piece);
            }
            // All of it is handed out, nothing twice, and then all of it once more.
            assert_eq!(pieces.len(), RESERVE / 1520);
            for (i, piece) in pieces.into_iter().enumerate() {
                // SAFETY: as above; then it is given back.
                unsafe {
                    assert_eq!(piece.read(), i as u8 | 1);
                    assert_eq!(piece.add(1519).read(), i as u8 | 1);
                    reserved.dealloc(piece, layout(1520));
                }
            }
        }
    }

    #[test]
    fn large_pieces_are_refused() {
        let reserved = empty();
        // SAFETY: the sizes are not zero.
        unsafe {
            assert!(reserved.alloc(layout(LARGEST + 1)).is_null());
            assert!(reserved.alloc_zeroed(layout(1 << 20)).is_null());
            let wide = Layout::from_size_align(64, 64).unwrap();
            assert!(reserved.alloc(wide).is_null());
        }
    }

    #[test]
    fn pieces_grow_across_the_border() {
        let reserved = empty();
        // SAFETY: sizes are not zero, layouts are those that the pieces have.
        unsafe {
            reserved.inner.0.store(false, Ordering::Relaxed);
            let piece = reserved.alloc(layout(100));
            piece.write_bytes(7, 100);
            reserved.inner.0.store(true, Ordering::Relaxed);
            let piece = reserved.realloc(piece, layout(100), 200);
            assert!(reserved.owns(piece) && piece.add(99).read() == 7);
            piece.write_bytes(8, 200);
            assert!(reserved.realloc(piece, layout(200), 1 << 20).is_null());
            reserved.inner.0.store(false, Ordering::Relaxed);
            let piece = reserved.realloc(piece, layout(200), 1 << 20);
            assert!(!reserved.owns(piece) && piece.add(199).read() == 8);
            reserved.dealloc(piece, layout(1 << 20));
        }
        assert_eq!(reserved.used().pieces, 0);
    }
}
