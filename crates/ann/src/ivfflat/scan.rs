//! Scanning: rank the lists, read the nearest ones, hand out their rows in the order of distance.
//!
//! One page is locked at a time. A list is read while others insert and vacuum: a page freed
//! between reading a link and following it shows another generation, and the list is read anew.

use super::candidates::{Candidate, Candidates, Emitted, Rank, nearest};
use super::centroids::{Nearness, for_each_run};
use super::directory::DirectoryEntry;
use super::entry::{Entries, Entry, WideHead, open_list_page, still_leads};
use super::meta::Meta;
use super::search::Scorer;
use crate::alloc;
use crate::error::Error;
use crate::page::PageView;
use crate::query::{Query, from_sortable, sortable};
use crate::row::{Hit, Tid};
use crate::store::Store;

/// How far a scan goes.
#[derive(Debug, Clone, Copy)]
pub struct ScanOptions {
    /// Lists read at first, and in each further round.
    pub probes: u32,
    /// Rows kept in memory, 16 bytes each.
    pub max_candidates: usize,
    /// Whether further lists are read once the rows of the first are used up. Rows of a later
    /// round may be nearer than those of an earlier one.
    pub iterative: bool,
    /// Lists read in all rounds together, if `iterative`.
    pub max_probes: u32,
}

/// What a scan did so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ScanStats {
    /// Lists read, and read again.
    pub lists: u64,
    /// List pages read.
    pub pages: u64,
    /// Distances to rows computed.
    pub rows: u64,
    /// Lists started anew because a page was freed under the scan.
    pub restarts: u64,
    /// Passes over lists read before, because not all rows fitted in memory.
    pub rescans: u64,
}

/// A scan. It holds no lock between calls.
pub struct Scan {
    meta: Meta,
    scorer: Scorer,
    options: ScanOptions,
    /// Lists by nearness, as many as may be read; `None` before the first call.
    lists: Option<Vec<u32>>,
    /// The lists of the present round: `lists[round.0..round.1]`.
    round: (usize, usize),
    candidates: Candidates,
    /// The last row taken from the candidates of the present round.
    last: Option<Rank>,
    emitted: Emitted,
    stats: ScanStats,
    whole: Vec<u32>,
}

impl Scan {
    /// A scan for the rows nearest to `query`.
    ///
    /// # Errors
    /// [`Error::WrongDimensions`] and [`Error::Invalid`] where the query does not fit the index.
    pub fn new(meta: &Meta, query: Query, options: ScanOptions) -> Result<Scan, Error> {
        Ok(Scan {
            scorer: Scorer::new(meta.spec(), query)?,
            meta: meta.clone(),
            options,
            lists: None,
            round: (0, 0),
            candidates: Candidates::new(options.max_candidates),
            last: None,
            emitted: Emitted::default(),
            stats: ScanStats::default(),
            whole: Vec::new(),
        })
    }

    /// What the scan did so far.
    pub fn stats(&self) -> ScanStats {
        self.stats
    }

    /// The next row: by distance, then by place in the table; NaN last. `None` at the end. No row
    /// is handed out twice.
    ///
    /// # Errors
    /// [`Error::Corrupt`], [`Error::OutOfMemory`], [`Error::Interrupted`], [`Error::Io`].
    pub fn next(&mut self, store: &impl Store) -> Result<Option<Hit>, Error> {
        loop {
            if let Some(candidate) = self.candidates.pop() {
                self.last = Some(candidate.rank());
                if self.emitted.insert(candidate.tid())? {
                    let key = from_sortable(candidate.key);
                    return Ok(Some(Hit {
                        tid: candidate.tid(),
                        distance: Some(self.scorer.distance(key)),
                    }));
                }
            } else if self.candidates.overflowed() {
                self.stats.rescans += 1;
                self.read_round(store)?;
            } else if self.next_round(store)? {
                self.last = None;
                self.read_round(store)?;
            } else {
                return Ok(None);
            }
        }
    }

    /// Goes on to the next lists; `false` where there are none.
    fn next_round(&mut self, store: &impl Store) -> Result<bool, Error> {
        // A round numbers its lists in 16 bits.
        let probes = self.options.probes.clamp(1, 1 << 15) as usize;
        let lists = match &self.lists {
            Some(lists) => lists,
            None => {
                let count = if self.options.iterative {
                    probes.max(self.options.max_probes as usize)
                } else {
                    probes
                };
                let ranked = self.rank_lists(store, count)?;
                self.lists.insert(ranked)
            }
        };
        let start = self.round.1;
        self.round = (start, lists.len().min(start + probes));
        Ok(start < self.round.1)
    }

    fn rank_lists(&self, store: &impl Store, count: usize) -> Result<Vec<u32>, Error> {
        let nearness = Nearness::new(self.meta.spec(), self.scorer.query())?;
        let mut keys = alloc::with_capacity(self.meta.spec().lists as usize)?;
        for_each_run(store, &self.meta.layout, |first, run| {
            nearness.keys(first, run, |list, key| keys.push((key, list)));
        })?;
        nearest(keys, count)
    }

    /// Collects the rows of the lists of the present round that come after the last one taken.
    fn read_round(&mut self, store: &impl Store) -> Result<(), Error> {
        self.candidates.clear();
        for at in self.round.0..self.round.1 {
            let Some(list) = self.lists.as_ref().and_then(|lists| lists.get(at)) else {
                break;
            };
            self.read_list(store, *list, (at - self.round.0) as u16)?;
        }
        Ok(())
    }

    fn read_list(&mut self, store: &impl Store, list: u32, ordinal: u16) -> Result<(), Error> {
        loop {
            store.check_interrupts()?;
            self.stats.lists += 1;
            if self.try_list(store, list, ordinal)? {
                return Ok(());
            }
            self.stats.restarts += 1;
            self.candidates.forget_list(ordinal);
        }
    }

    /// Reads a list from its head; `false` where a page was freed under the scan.
    fn try_list(&mut self, store: &impl Store, list: u32, ordinal: u16) -> Result<bool, Error> {
        let mut from = None;
        let mut link = DirectoryEntry::read(store, &self.meta.layout, list)?.head;
        let mut pages = 0u32;
        while !link.is_none() {
            store.check_interrupts()?;
            let page = store.read(link.block)?;
            let Some(view) = open_list_page(&page, link, list)? else {
                drop(page);
                // The head of a list is never freed.
                let damaged = match from {
                    None => true,
                    Some(from) => still_leads(store, from, link, list)?,
                };
                if damaged {
                    return Err(Error::corrupt(
                        link.block,
                        "link leads to a page in another life",
                    ));
                }
                return Ok(false);
            };
            let next = view.next();
            if self.meta.layout.is_wide() {
                let head = WideHead::read(&self.meta.layout, &view, &mut self.whole)?;
                drop(page);
                if let Some(head) = head
                    && !self.take_wide(store, list, ordinal, head)?
                {
                    return Ok(false);
                }
            } else {
                self.take_page(&view, ordinal)?;
            }
            self.stats.pages += 1;
            pages += 1;
            if pages.is_multiple_of(64) && pages > store.blocks() {
                return Err(Error::corrupt(link.block, "list has no end"));
            }
            (from, link) = (Some(link), next);
        }
        Ok(true)
    }

    /// Scores the rows of a page.
    fn take_page(&mut self, view: &PageView<'_>, ordinal: u16) -> Result<(), Error> {
        let Scan {
            meta,
            scorer,
            candidates,
            last,
            stats,
            ..
        } = self;
        let entries = Entries::new(&meta.layout, view)?;
        stats.rows += entries.len() as u64;
        let mut take = |entry: &Entry<'_>, key: f64| {
            offer(candidates, *last, view.block(), entry.tid, key, ordinal)
        };
        let mut at = 0;
        while at + 4 <= entries.len() {
            let four: [Entry<'_>; 4] = std::array::from_fn(|i| entries.get(at + i));
            let [a, b, c, d] = &four;
            let keys = scorer.keys_x4([a, b, c, d]);
            for (entry, key) in four.iter().zip(keys) {
                take(entry, key)?;
            }
            at += 4;
        }
        for at in at..entries.len() {
            let entry = entries.get(at);
            take(&entry, scorer.key(entry.payload, entry.norm))?;
        }
        Ok(())
    }

    /// Scores a row wider than a page; `false` where it was removed meanwhile.
    fn take_wide(
        &mut self,
        store: &impl Store,
        list: u32,
        ordinal: u16,
        head: WideHead,
    ) -> Result<bool, Error> {
        let layout = &self.meta.layout;
        if !head.read_rest(store, layout, list, &mut self.whole)? {
            return Ok(false);
        }
        let payload = &bytemuck::cast_slice(&self.whole)[..layout.payload];
        let key = self.scorer.key(payload, head.norm);
        self.stats.rows += 1;
        let block = head.page.block;
        offer(
            &mut self.candidates,
            self.last,
            block,
            head.tid,
            key,
            ordinal,
        )?;
        Ok(true)
    }
}

fn offer(
    candidates: &mut Candidates,
    last: Option<Rank>,
    block: u32,
    tid: Tid,
    key: f64,
    ordinal: u16,
) -> Result<(), Error> {
    if !tid.is_valid() {
        return Err(Error::corrupt(block, "entry leads to no row"));
    }
    let candidate = Candidate::new(sortable(key), tid, ordinal);
    if last.is_some_and(|last| candidate.rank() <= last) {
        return Ok(());
    }
    candidates.offer(candidate)
}
