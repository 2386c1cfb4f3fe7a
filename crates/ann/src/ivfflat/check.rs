//! The verifier: reads every page and every link, and reports whatever no writer of ours leaves.
//!
//! Writers and vacuum are kept out by the host meanwhile; what changes under a check could look
//! like damage. The verifier itself never follows a link twice, so that it ends on any bytes.

use std::borrow::Cow;

use super::centroids::{Best, Nearness, for_each_run};
use super::directory::DirectoryEntry;
use super::entry::{Entries, open_linked, open_list_page};
use super::layout::Layout;
use super::meta::Meta;
use super::search::norm_to_keep;
use crate::alloc;
use crate::error::Error;
use crate::page::{FIRST_LIFE, Kind, Link, NO_OWNER, Page, u16_at};
use crate::query::Query;
use crate::row::{Element, Tid, TidState};
use crate::store::{NO_BLOCK, Store};

/// Something that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The page, [`NO_BLOCK`] where it is about no page in particular.
    pub block: u32,
    /// The list, where it is about one.
    pub list: Option<u32>,
    /// The entry's number on its page, from 0, where it is about one.
    pub offset: Option<u32>,
    /// `meta`, `header`, `kind`, `directory`, `chain`, `entry`, `tid`, `norm`, `centroid`,
    /// `unreachable`; and without harm `misplaced` and `orphan`.
    pub kind: &'static str,
    pub message: Cow<'static, str>,
}

impl Finding {
    /// Whether searches are right all the same: a row in another list than the nearest may be
    /// missed by a search that looks at few lists, and orphaned pages waste room until the next
    /// vacuum.
    pub fn is_harmless(&self) -> bool {
        matches!(self.kind, "misplaced" | "orphan")
    }
}

/// Verifies an index. `meta` is what [`Meta::read`] gave; where that failed, only the pages' headers
/// are looked at. `heap` is asked for every row.
///
/// # Errors
/// [`Error::Interrupted`] and [`Error::OutOfMemory`]; whatever else goes wrong is a finding.
pub fn check(
    store: &impl Store,
    meta: &Result<Meta, Error>,
    heap: &mut dyn FnMut(Tid) -> TidState,
    report: &mut dyn FnMut(Finding),
) -> Result<(), Error> {
    let mut checker = Checker {
        store,
        report,
        pages: alloc::filled(State::Unusable, store.blocks() as usize)?,
    };
    let meta = match meta {
        Ok(meta) => Some(meta),
        Err(error) => {
            checker.stop_or_report(error.clone(), 0, "meta")?;
            None
        }
    };
    checker.headers(meta.map(|meta| &meta.layout))?;
    if let Some(meta) = meta {
        checker.lists(meta, heap)?;
        checker.unreached()?;
    }
    Ok(())
}

/// What is known of a page.
#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// Broken, zeroed, free, or of the fixed part.
    Unusable,
    /// A list page that no chain has led to yet.
    List,
    /// A continuing page that no entry has led to yet.
    Cont,
    /// A chain has led here.
    Reached,
}

struct Checker<'a, S: Store> {
    store: &'a S,
    report: &'a mut dyn FnMut(Finding),
    pages: Vec<State>,
}

impl<S: Store> Checker<'_, S> {
    fn find(
        &mut self,
        block: u32,
        list: Option<u32>,
        offset: Option<u32>,
        kind: &'static str,
        message: impl Into<Cow<'static, str>>,
    ) {
        (self.report)(Finding {
            block,
            list,
            offset,
            kind,
            message: message.into(),
        });
    }

    /// Passes on an error that ends the check, and reports any other.
    fn stop_or_report(
        &mut self,
        error: Error,
        block: u32,
        kind: &'static str,
    ) -> Result<(), Error> {
        match error {
            Error::Interrupted | Error::OutOfMemory { .. } => Err(error),
            Error::Corrupt { block, what } => {
                self.find(block, None, None, kind, what);
                Ok(())
            }
            error => {
                self.find(block, None, None, kind, error.to_string());
                Ok(())
            }
        }
    }

    /// Looks at the header of every page, and at its kind where `layout` is known.
    fn headers(&mut self, layout: Option<&Layout>) -> Result<(), Error> {
        let blocks = self.pages.len() as u32;
        if let Some(layout) = layout
            && blocks < layout.lists_start
        {
            self.find(
                NO_BLOCK,
                None,
                None,
                "header",
                format!(
                    "index has {blocks} pages, fewer than the {} of its fixed part",
                    layout.lists_start
                ),
            );
        }
        for block in 0..blocks {
            self.store.check_interrupts()?;
            if let Err(error) = self.header(block, layout) {
                self.stop_or_report(error, block, "header")?;
            }
        }
        Ok(())
    }

    fn header(&mut self, block: u32, layout: Option<&Layout>) -> Result<(), Error> {
        let page = self.store.read(block)?;
        let view = match Page::open(block, &page)? {
            Page::Written(view) => view,
            Page::Zeroed => {
                drop(page);
                if layout.is_some_and(|layout| block < layout.lists_start) {
                    self.find(
                        block,
                        None,
                        None,
                        "kind",
                        "page of the fixed part is zeroed",
                    );
                }
                return Ok(());
            }
        };
        let (kind, used) = (view.kind(), view.used().len());
        let (owner, generation, next) = (view.owner(), view.generation(), view.next());
        drop(page);
        if next.is_none() && next != Link::NONE {
            self.find(
                block,
                None,
                None,
                "header",
                "end of a chain has a generation",
            );
        }
        if kind == Kind::Free && used > 0 {
            self.find(block, None, None, "kind", "free page holds bytes");
        }
        let Some(layout) = layout else {
            return Ok(());
        };
        let expected = if block == 0 {
            kind == Kind::Meta
        } else if block < layout.centroid_start {
            kind == Kind::Directory
        } else if block < layout.lists_start {
            kind == Kind::Centroid
        } else {
            matches!(kind, Kind::List | Kind::Cont | Kind::Free)
        };
        if !expected {
            let message = format!("{kind:?} page lies where none belongs");
            self.find(block, None, None, "kind", message);
        } else if block < layout.lists_start
            && (owner, generation, next) != (NO_OWNER, FIRST_LIFE, Link::NONE)
        {
            let message = "page of the fixed part has another owner, life or next page";
            self.find(block, None, None, "header", message);
        } else {
            self.pages[block as usize] = match kind {
                Kind::List => State::List,
                Kind::Cont => State::Cont,
                _ => State::Unusable,
            };
        }
        Ok(())
    }

    /// Walks every list.
    fn lists(&mut self, meta: &Meta, heap: &mut dyn FnMut(Tid) -> TidState) -> Result<(), Error> {
        let centroids = self.centroids(meta)?;
        let mut walk = Walk {
            meta,
            centroids,
            heap,
            tids: Vec::new(),
        };
        for list in 0..meta.spec().lists {
            self.store.check_interrupts()?;
            if let Err(error) = self.list(&mut walk, list) {
                self.stop_or_report(error, NO_BLOCK, "chain")?;
            }
        }
        walk.tids.sort_unstable();
        for pair in walk.tids.windows(2) {
            if pair[0].0 == pair[1].0 {
                let (tid, block) = pair[1];
                let message = format!("row ({},{}) is indexed twice", tid >> 16, tid & 0xFFFF);
                self.find(block, None, None, "tid", message);
            }
        }
        Ok(())
    }

    /// All centroids, if they can be read.
    fn centroids(&mut self, meta: &Meta) -> Result<Option<Vec<u32>>, Error> {
        let layout = &meta.layout;
        let words = layout.lists as usize * (layout.centroid / 4);
        let mut all: Vec<u32> = alloc::with_capacity(words)?;
        let floats = meta.spec().element != Element::Bit;
        let mut broken = None;
        let result = for_each_run(self.store, layout, |first, run| {
            let words = bytemuck::cast_slice::<u8, u32>(run);
            let bad = |word: &u32| !f32::from_bits(*word).is_finite();
            if floats && let Some(at) = words.iter().position(bad) {
                broken = broken.or(Some(first + (at / (layout.centroid / 4)) as u32));
            }
            all.extend_from_slice(words);
        });
        if let Some(list) = broken {
            let message = "centroid holds a component that is no finite number";
            self.find(NO_BLOCK, Some(list), None, "centroid", message);
        }
        match result {
            Ok(()) => Ok(Some(all)),
            Err(error) => {
                self.stop_or_report(error, NO_BLOCK, "centroid")?;
                Ok(None)
            }
        }
    }

    fn list(&mut self, walk: &mut Walk<'_>, list: u32) -> Result<(), Error> {
        let layout = &walk.meta.layout;
        let entry = DirectoryEntry::read(self.store, layout, list)?;
        let mut link = entry.head;
        let mut hint_is_reached = entry.insert.is_none();
        let (mut copy, mut whole) = (Vec::new(), Vec::new());
        while !link.is_none() {
            self.store.check_interrupts()?;
            if !self.reach(link, State::List, list) {
                return Ok(());
            }
            hint_is_reached |= link == entry.insert;
            // A copy, so that no page is locked while the table is asked.
            copy_page(&mut copy, &self.store.read(link.block)?)?;
            let bytes = bytemuck::cast_slice(&copy);
            let Some(view) = open_list_page(bytes, link, list)? else {
                return Err(Error::corrupt(link.block, STALE));
            };
            let next = view.next();
            let entries = Entries::new(layout, &view)?;
            for at in 0..entries.len() {
                let entry = entries.get(at);
                let found = Row {
                    block: link.block,
                    list,
                    at: at as u32,
                    tid: entry.tid,
                    norm: entry.norm,
                };
                if u16_at(&view.used()[at * layout.slot..], 6) != 0 {
                    found.report(self, "entry", "entry has unknown flags");
                }
                if !layout.is_wide() {
                    self.row(walk, &found, entry.payload)?;
                    continue;
                }
                whole.clear();
                alloc::reserve(&mut whole, layout.payload)?;
                whole.extend_from_slice(entry.payload);
                if self.wide(layout, list, entries.cont(), &mut whole)? {
                    self.row(walk, &found, &whole)?;
                }
            }
            link = next;
        }
        if !hint_is_reached {
            let block = layout.directory_entry(list).0;
            let message = "insert hint leads to a page outside of the list";
            self.find(block, Some(list), None, "directory", message);
        }
        Ok(())
    }

    /// Marks a page as reached; `false`, and a finding, where that cannot be.
    fn reach(&mut self, link: Link, as_what: State, list: u32) -> bool {
        let message = match self.pages.get_mut(link.block as usize) {
            Some(state) if *state == as_what => {
                *state = State::Reached;
                return true;
            }
            None => "link leads past the end of the index",
            Some(State::Reached) => "two links lead to one page",
            Some(_) => "link leads to a page that is not fit for it",
        };
        self.find(link.block, Some(list), None, "chain", message);
        false
    }

    /// Adds what continues a wide entry to its first part in `whole`; `false`, and a finding,
    /// where it can't be had.
    fn wide(
        &mut self,
        layout: &Layout,
        list: u32,
        first: Link,
        whole: &mut Vec<u8>,
    ) -> Result<bool, Error> {
        let mut link = first;
        while whole.len() < layout.payload {
            if !self.reach(link, State::Cont, list) {
                return Ok(false);
            }
            let page = self.store.read(link.block)?;
            let Some(view) = open_linked(&page, link, Kind::Cont, list)? else {
                return Err(Error::corrupt(link.block, STALE));
            };
            let part = view.used();
            if part.len() != (layout.payload - whole.len()).min(layout.body) {
                return Err(Error::corrupt(link.block, "part of a wide entry is short"));
            }
            whole.extend_from_slice(part);
            link = view.next();
        }
        if !link.is_none() {
            self.find(link.block, Some(list), None, "chain", "wide entry goes on");
            return Ok(false);
        }
        Ok(true)
    }

    fn row(&mut self, walk: &mut Walk<'_>, row: &Row, payload: &[u8]) -> Result<(), Error> {
        let tid = row.tid;
        if tid.is_valid() {
            if (walk.heap)(tid) == TidState::Missing {
                let message = format!("row ({},{}) is not in the table", tid.block, tid.offset);
                row.report(self, "tid", message);
            }
            alloc::reserve(&mut walk.tids, 1)?;
            walk.tids.push((tid.to_u64(), row.block));
        } else {
            row.report(self, "tid", "entry leads to no row");
        }
        let spec = walk.meta.spec();
        if row.norm.to_bits() != norm_to_keep(spec, payload).to_bits() {
            row.report(self, "norm", "the norm kept is not that of the vector");
        }
        if let Some(centroids) = &walk.centroids {
            let nearness = Nearness::new(spec, &Query::from_payload(spec, payload)?)?;
            let mut best = Best::default();
            nearness.keys(0, bytemuck::cast_slice(centroids), |list, key| {
                best.offer(list, key);
            });
            if best.list != row.list {
                let message = format!("row belongs to list {}", best.list);
                row.report(self, "misplaced", message);
            }
        }
        Ok(())
    }

    /// Reports pages in use that no chain led to.
    fn unreached(&mut self) -> Result<(), Error> {
        for block in 0..self.pages.len() {
            let (kind, message) = match self.pages[block] {
                State::List => ("unreachable", "no list leads to this page"),
                State::Cont => ("orphan", "no entry leads to this page"),
                State::Unusable | State::Reached => continue,
            };
            self.find(block as u32, None, None, kind, message);
        }
        Ok(())
    }
}

const STALE: &str = "link leads to a page in another life";

/// What a walk over the lists carries along.
struct Walk<'a> {
    meta: &'a Meta,
    centroids: Option<Vec<u32>>,
    heap: &'a mut dyn FnMut(Tid) -> TidState,
    /// Every row, and the page of its entry.
    tids: Vec<(u64, u32)>,
}

/// An entry, and where it lies.
struct Row {
    block: u32,
    list: u32,
    at: u32,
    tid: Tid,
    norm: f32,
}

impl Row {
    fn report<S: Store>(
        &self,
        checker: &mut Checker<'_, S>,
        kind: &'static str,
        message: impl Into<Cow<'static, str>>,
    ) {
        checker.find(self.block, Some(self.list), Some(self.at), kind, message);
    }
}

fn copy_page(copy: &mut Vec<u64>, page: &[u8]) -> Result<(), Error> {
    copy.clear();
    alloc::reserve(copy, page.len() / 8)?;
    copy.resize(page.len() / 8, 0);
    bytemuck::cast_slice_mut(copy).copy_from_slice(page);
    Ok(())
}
