//! One page: the host's header, a body, and our special area.
//!
//! ```text
//! 0        12     14     16       18            20    24                 lower      upper = special
//! +--------+------+------+--------+-------------+-----+-------------------+----------+---------+
//! | host's | lower| upper| special| size | 4    | host| body: used bytes  | hole: 0  | special |
//! +--------+------+------+--------+-------------+-----+-------------------+----------+---------+
//!
//! special area, 24 bytes at the end:
//! 0        2       3      4        8             12          16                20      24
//! +--------+-------+------+--------+-------------+-----------+-----------------+-------+
//! | magic  | format| kind | owner  | generation  | next block| next generation | extra |
//! +--------+-------+------+--------+-------------+-----------+-----------------+-------+
//! ```
//! Numbers are in the machine's byte order, as the host's own are. The header is laid out so that
//! the host's tools and its write-ahead log understand it: a record drops the bytes between lower
//! and upper, so a writer says how much of the body it uses with [`PageMut::set_used`].
//!
//! A page of zeros was extended but never written (the extension of a file is in no record); it
//! belongs to nobody, and every reader tolerates it.
//!
//! A generation counts the lives of a block: a link carries the generation it expects, so that
//! whoever follows an old link sees that the page has been freed, or freed and used again.

use crate::error::Error;
use crate::store::NO_BLOCK;

/// Bytes before the body.
pub const HEADER: usize = 24;
/// Bytes after the body.
pub const SPECIAL: usize = 24;
/// "PN", the mark of a page of ours.
pub const MAGIC: u16 = 0x504E;
/// Version of the header and special area.
pub const FORMAT: u8 = 1;
/// The owner of a page that belongs to no list.
pub const NO_OWNER: u32 = u32::MAX;

/// Generation of a page in its first life, as a build leaves it.
pub const FIRST_LIFE: u32 = 1;

const LOWER: usize = 12;
const UPPER: usize = 14;
const SPECIAL_AT: usize = 16;
const SIZE_VERSION: usize = 18;
const HOST_LAYOUT_VERSION: u16 = 4;

/// What a page is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    Meta = 1,
    Directory = 2,
    Centroid = 3,
    List = 4,
    /// Continues an entry wider than a page.
    Cont = 5,
    Free = 6,
    /// What changes about an index as a whole.
    State = 7,
    /// Records of a graph's nodes.
    Record = 8,
    /// Vectors of a graph's nodes.
    Vector = 9,
    /// Entry points of a graph.
    Entry = 10,
}

impl Kind {
    fn from_u8(n: u8) -> Option<Kind> {
        Some(match n {
            1 => Kind::Meta,
            2 => Kind::Directory,
            3 => Kind::Centroid,
            4 => Kind::List,
            5 => Kind::Cont,
            6 => Kind::Free,
            7 => Kind::State,
            8 => Kind::Record,
            9 => Kind::Vector,
            10 => Kind::Entry,
            _ => return None,
        })
    }
}

/// A link to a page in one of its lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Link {
    pub block: u32,
    pub generation: u32,
}

impl Link {
    /// The end of a chain.
    pub const NONE: Link = Link {
        block: NO_BLOCK,
        generation: 0,
    };

    /// Whether this is the end of a chain.
    pub fn is_none(self) -> bool {
        self.block == NO_BLOCK
    }
}

/// Bytes of the body of a page of `page_size` bytes.
pub fn body_size(page_size: usize) -> usize {
    page_size.saturating_sub(HEADER + SPECIAL)
}

#[inline]
pub(crate) fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_ne_bytes([bytes[at], bytes[at + 1]])
}

#[inline]
pub(crate) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_ne_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

pub(crate) fn put_u16(bytes: &mut [u8], at: usize, value: u16) {
    bytes[at..at + 2].copy_from_slice(&value.to_ne_bytes());
}

pub(crate) fn put_u32(bytes: &mut [u8], at: usize, value: u32) {
    bytes[at..at + 4].copy_from_slice(&value.to_ne_bytes());
}

/// Whether the page was extended but never written. `bytes` is a whole page.
pub fn is_zeroed(bytes: &[u8]) -> bool {
    // `upper` first: it is never 0 in a written page, so that the whole page is seldom read.
    u16_at(bytes, UPPER) == 0 && bytes.iter().all(|byte| *byte == 0)
}

/// Whether a page may be given a new life: never written, or free.
pub fn is_reusable(bytes: &[u8]) -> bool {
    matches!(Page::open(0, bytes), Ok(Page::Zeroed))
        || matches!(Page::open(0, bytes), Ok(Page::Written(view)) if view.kind() == Kind::Free)
}

/// The generation of the next life of a page: [`FIRST_LIFE`] for a page never written, else one more than the
/// last. Never 0, which stands for "no page".
pub fn next_generation(bytes: &[u8]) -> u32 {
    match Page::open(0, bytes) {
        Ok(Page::Written(view)) => view.generation().wrapping_add(1).max(FIRST_LIFE),
        _ => FIRST_LIFE,
    }
}

/// A page as it was found.
pub enum Page<'a> {
    Zeroed,
    Written(PageView<'a>),
}

impl<'a> Page<'a> {
    /// Checks header and special area of the page at `block`.
    ///
    /// # Errors
    /// [`Error::Corrupt`] for anything no writer of ours leaves, [`Error::UnknownVersion`] for a
    /// later format of the special area.
    pub fn open(block: u32, bytes: &'a [u8]) -> Result<Page<'a>, Error> {
        if is_zeroed(bytes) {
            return Ok(Page::Zeroed);
        }
        let special = bytes.len() - SPECIAL;
        if usize::from(u16_at(bytes, SPECIAL_AT)) != special
            || usize::from(u16_at(bytes, UPPER)) != special
        {
            return Err(Error::corrupt(
                block,
                "special area is not where it belongs",
            ));
        }
        if usize::from(u16_at(bytes, SIZE_VERSION) & 0xFF00) != bytes.len() & 0xFF00 {
            return Err(Error::corrupt(block, "page size is wrong"));
        }
        let lower = usize::from(u16_at(bytes, LOWER));
        if !(HEADER..=special).contains(&lower) {
            return Err(Error::corrupt(
                block,
                "end of the used bytes is out of range",
            ));
        }
        if u16_at(bytes, special) != MAGIC {
            return Err(Error::corrupt(block, "special area lacks our mark"));
        }
        let format = bytes[special + 2];
        if format != FORMAT {
            return Err(Error::UnknownVersion {
                found: u32::from(format),
                known: u32::from(FORMAT),
            });
        }
        let Some(kind) = Kind::from_u8(bytes[special + 3]) else {
            return Err(Error::corrupt(block, "page kind is unknown"));
        };
        Ok(Page::Written(PageView {
            block,
            bytes,
            lower,
            special,
            kind,
        }))
    }
}

/// Asks for the bytes that [`Page::open`] checks: they lie at both ends of the page.
pub fn prefetch_checked(store: &impl crate::store::Store, block: u32) {
    store.prefetch(block, 0, HEADER);
    store.prefetch(block, store.page_size() - SPECIAL, SPECIAL);
}

/// A written page whose header and special area have been checked.
#[derive(Clone, Copy)]
pub struct PageView<'a> {
    block: u32,
    bytes: &'a [u8],
    lower: usize,
    special: usize,
    kind: Kind,
}

impl<'a> PageView<'a> {
    /// Opens a page that must be of one kind and owner.
    ///
    /// # Errors
    /// [`Error::Corrupt`] where it is zeroed, broken or something else.
    pub fn open_as(
        block: u32,
        bytes: &'a [u8],
        kind: Kind,
        owner: u32,
    ) -> Result<PageView<'a>, Error> {
        match Page::open(block, bytes)? {
            Page::Zeroed => Err(Error::corrupt(
                block,
                format!("page is zeroed where a {kind:?} page belongs"),
            )),
            Page::Written(view) if view.kind != kind => Err(Error::corrupt(
                block,
                format!("page is {:?} where {kind:?} belongs", view.kind),
            )),
            Page::Written(view) if view.owner() != owner => Err(Error::corrupt(
                block,
                format!("page belongs to {} instead of {owner}", view.owner()),
            )),
            Page::Written(view) => Ok(view),
        }
    }

    /// Number of the page.
    pub fn block(&self) -> u32 {
        self.block
    }

    /// What the page is for.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The list the page belongs to, or [`NO_OWNER`].
    pub fn owner(&self) -> u32 {
        u32_at(self.bytes, self.special + 4)
    }

    /// Which life of the block this is.
    pub fn generation(&self) -> u32 {
        u32_at(self.bytes, self.special + 8)
    }

    /// The next page of the chain.
    pub fn next(&self) -> Link {
        Link {
            block: u32_at(self.bytes, self.special + 12),
            generation: u32_at(self.bytes, self.special + 16),
        }
    }

    /// Spare bits for the kind.
    pub fn extra(&self) -> u32 {
        u32_at(self.bytes, self.special + 20)
    }

    /// The used bytes of the body.
    pub fn used(&self) -> &'a [u8] {
        &self.bytes[HEADER..self.lower]
    }

    /// A link to this life of this page.
    pub fn link(&self) -> Link {
        Link {
            block: self.block,
            generation: self.generation(),
        }
    }
}

/// A page to change. Holds a page whose header and special area are sound.
pub struct PageMut<'a> {
    bytes: &'a mut [u8],
    special: usize,
}

impl<'a> PageMut<'a> {
    /// Formats a page: an empty body, no next page. The host's log position and checksum
    /// (bytes 0 to 10) are left alone.
    pub fn init(bytes: &'a mut [u8], kind: Kind, owner: u32, generation: u32) -> PageMut<'a> {
        let size = bytes.len();
        let special = size - SPECIAL;
        bytes[10..].fill(0);
        put_u16(bytes, LOWER, HEADER as u16);
        put_u16(bytes, UPPER, special as u16);
        put_u16(bytes, SPECIAL_AT, special as u16);
        put_u16(bytes, SIZE_VERSION, size as u16 | HOST_LAYOUT_VERSION);
        put_u16(bytes, special, MAGIC);
        bytes[special + 2] = FORMAT;
        bytes[special + 3] = kind as u8;
        put_u32(bytes, special + 4, owner);
        put_u32(bytes, special + 8, generation);
        let mut page = PageMut { bytes, special };
        page.set_next(Link::NONE);
        page
    }

    /// Opens a written page for changes; checks what [`Page::open`] checks.
    ///
    /// # Errors
    /// Those of [`Page::open`], and [`Error::Corrupt`] for a zeroed page.
    pub fn open(block: u32, bytes: &'a mut [u8]) -> Result<PageMut<'a>, Error> {
        match Page::open(block, bytes)? {
            Page::Zeroed => Err(Error::corrupt(block, "page is zeroed")),
            Page::Written(view) => {
                let special = view.special;
                Ok(PageMut { bytes, special })
            }
        }
    }

    /// Says that the first `used` bytes of the body count; what lies behind is zeroed when the
    /// used part shrinks, so that the hole holds nothing.
    ///
    /// # Panics
    /// If the body is smaller: the caller computes `used` from the body's size.
    pub fn set_used(&mut self, used: usize) {
        let lower = HEADER + used;
        assert!(lower <= self.special, "used bytes outgrow the page");
        let old = usize::from(u16_at(self.bytes, LOWER));
        if lower < old {
            self.bytes[lower..old].fill(0);
        }
        put_u16(self.bytes, LOWER, lower as u16);
    }

    /// The whole body, used or not.
    pub fn body_mut(&mut self) -> &mut [u8] {
        &mut self.bytes[HEADER..self.special]
    }

    /// Makes `link` the next page of the chain.
    pub fn set_next(&mut self, link: Link) {
        put_u32(self.bytes, self.special + 12, link.block);
        put_u32(self.bytes, self.special + 16, link.generation);
    }

    /// Sets the spare bits.
    pub fn set_extra(&mut self, extra: u32) {
        put_u32(self.bytes, self.special + 20, extra);
    }
}

/// The bytes between the used ones and the special area, which a record loses.
pub(crate) fn hole(bytes: &[u8]) -> &[u8] {
    &bytes[hole_range(bytes)]
}

/// Does to the hole what a record does.
pub(crate) fn clear_hole(bytes: &mut [u8]) {
    let hole = hole_range(bytes);
    bytes[hole].fill(0);
}

fn hole_range(bytes: &[u8]) -> std::ops::Range<usize> {
    let special = bytes.len() - SPECIAL;
    usize::from(u16_at(bytes, LOWER)).min(special)..special
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Vec<u8> {
        let mut bytes = vec![0xAA; 1024];
        let mut page = PageMut::init(&mut bytes, Kind::List, 7, 3);
        page.body_mut()[..5].copy_from_slice(b"hello");
        page.set_used(5);
        page.set_next(Link {
            block: 11,
            generation: 4,
        });
        page.set_extra(9);
        bytes
    }

    #[test]
    fn a_page_reads_as_it_was_written() {
        let bytes = sample();
        let view = PageView::open_as(6, &bytes, Kind::List, 7).unwrap();
        assert_eq!(view.used(), b"hello");
        assert_eq!((view.generation(), view.extra()), (3, 9));
        let next = Link {
            block: 11,
            generation: 4,
        };
        assert_eq!(view.next(), next);
        assert_eq!((view.link().block, view.link().generation), (6, 3));
        // As the host reads it: lower, upper, special, size and version.
        let header: Vec<u16> = (12..20).step_by(2).map(|at| u16_at(&bytes, at)).collect();
        assert_eq!(header, [29, 1000, 1000, 1024 | 4]);
        assert_eq!(
            bytes[..10],
            [0xAA; 10],
            "log position and checksum are the host's"
        );
        assert!(PageView::open_as(6, &bytes, Kind::Cont, 7).is_err());
        assert!(PageView::open_as(6, &bytes, Kind::List, 8).is_err());
    }

    #[test]
    fn bytes_no_longer_used_are_zeroed() {
        let mut bytes = sample();
        PageMut::open(0, &mut bytes).unwrap().set_used(2);
        assert!(hole(&bytes).iter().all(|byte| *byte == 0));
        assert_eq!(&bytes[24..27], b"he\0");
    }

    #[test]
    fn only_zeroed_and_free_pages_are_used_again_in_a_later_generation() {
        let mut bytes = sample();
        assert!(!is_reusable(&bytes));
        PageMut::init(&mut bytes, Kind::Free, NO_OWNER, 4);
        assert!(is_reusable(&bytes));
        assert_eq!(next_generation(&bytes), 5);
        let zeroed = vec![0; 1024];
        assert!(is_zeroed(&zeroed) && is_reusable(&zeroed));
        assert_eq!(next_generation(&zeroed), 1);
        // A generation never comes round to that of "no page".
        PageMut::init(&mut bytes, Kind::Free, NO_OWNER, u32::MAX);
        assert_eq!(next_generation(&bytes), 1);
        // A damaged free page is nobody's to take.
        bytes[16] ^= 1;
        assert!(!is_reusable(&bytes));
    }

    #[test]
    fn any_change_to_the_header_is_seen_or_harmless() {
        let sound = sample();
        for at in (10..24).chain(1000..1024) {
            for bit in 0..8 {
                let mut bytes = sound.clone();
                bytes[at] ^= 1 << bit;
                let opened = Page::open(0, &bytes);
                // Flags (10, 11), prune (20 to 24) and the layout version (18) are the host's;
                // owner, generation, next and extra are judged by who reads them.
                let judged = matches!(at, 12..=17 | 19 | 1000..=1003);
                match opened {
                    Ok(Page::Written(view)) => {
                        let _ = (view.used(), view.next());
                        assert!(!judged || at == 12 || at == 13 || at == 1003, "byte {at}");
                    }
                    Ok(Page::Zeroed) => panic!("byte {at} made the page a zeroed one"),
                    Err(_) => assert!(judged, "byte {at}"),
                }
            }
        }
    }

    #[test]
    fn random_bytes_never_panic() {
        let mut state = 1u64;
        let mut random = || {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            (state >> 33) as u8
        };
        let sound = sample();
        for round in 0..20_000 {
            let mut bytes = sound.clone();
            if round % 2 == 0 {
                bytes.iter_mut().for_each(|byte| *byte = random());
            } else {
                for _ in 0..4 {
                    let at = [random() as usize % 24, 1000 + random() as usize % 24];
                    bytes[at[round / 2 % 2]] = random();
                }
            }
            if let Ok(Page::Written(view)) = Page::open(3, &bytes) {
                assert!(view.used().len() <= body_size(bytes.len()));
            }
            let _ = (is_reusable(&bytes), next_generation(&bytes));
            if let Ok(mut page) = PageMut::open(3, &mut bytes) {
                page.set_used(1);
            }
        }
    }
}
