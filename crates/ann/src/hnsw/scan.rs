//! Scanning: rows leave in the exact order of the operator among those found.

use std::cmp::Reverse;
use std::collections::{HashSet, VecDeque};

use super::beam::Item;
use super::halves::Measure;
use super::layout::{Layout, RECORD_HEAD};
use super::meta::Meta;
use super::record::{row_of, with_vector};
use super::search::Search;
use super::space::{Aligned, Encoder, Exact, Scorer, elements};
use crate::alloc;
use crate::error::Error;
use crate::page;
use crate::query::{Query, check_length, from_sortable, sortable};
use crate::row::Hit;
use crate::row::{Table, Tid};
use crate::store::{NO_BLOCK, Store};

/// What happens when the rows found first are used up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Iterative {
    /// The scan ends.
    Off,
    /// It goes on; rows of a later round may be nearer than those of an earlier one.
    Relaxed,
    /// It goes on; rows nearer than one handed out already are left out. So that these are few, the
    /// farther half of what was found waits for what the next round finds.
    Strict,
}

/// Codes are not exact: with so many rows more than asked for, those at the edge are decided by
/// exact distances too, and a search of a small width finds what one over vectors does. Of these,
/// so many are expanded.
const MARGIN: usize = 8;
const EXPANDED_MARGIN: usize = 4;

/// Rows between the one that is measured and the one whose bytes are asked for: far enough ahead for
/// them to arrive.
const AHEAD: usize = 4;

/// How far a scan goes.
#[derive(Debug, Clone, Copy)]
pub struct ScanOptions {
    /// Rows of a round: without `iterative`, most rows of the scan.
    pub ef_search: u32,
    pub iterative: Iterative,
    /// An iterative scan begins no further round when it has met so many rows.
    pub max_scan_tuples: u64,
    /// Nor when it takes so many bytes.
    pub memory: usize,
}

/// What a scan did so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ScanStats {
    /// Nodes met, most of them scored by their codes.
    pub met: u64,
    /// Nodes whose neighbours were looked at.
    pub expanded: u64,
    /// Exact distances computed.
    pub exact: u64,
    pub rounds: u64,
}

/// A scan. It holds no lock between calls.
pub struct Scan {
    meta: Meta,
    exact: Exact,
    search: Search,
    options: ScanOptions,
    /// Rows to hand out.
    hits: VecDeque<Found>,
    /// Rows that wait for the next round.
    waiting: Vec<Found>,
    vector: Aligned,
    handed_out: HashSet<u64>,
    /// The most that the key of the last row handed out may be.
    last: u64,
    stats: ScanStats,
    done: bool,
}

/// A row found: in the order they are handed out, or looked at where their keys are not known.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Found {
    /// The least that its key may be, see [`sortable`].
    least: u64,
    /// And the most. Those that are known come behind those that may turn out to be as near.
    most: Reverse<u64>,
    tid: Tid,
}

impl Found {
    fn known(key: u64, tid: Tid) -> Found {
        Found {
            least: key,
            most: Reverse(key),
            tid,
        }
    }

    fn key(&self) -> Option<u64> {
        (self.least == self.most.0).then_some(self.least)
    }
}

impl Scan {
    /// A scan for the rows nearest to `query`.
    ///
    /// # Errors
    /// [`Error::WrongDimensions`] and [`Error::Invalid`] where the query does not fit the index,
    /// [`Error::OutOfMemory`].
    pub fn new(meta: &Meta, query: Query, options: ScanOptions) -> Result<Scan, Error> {
        query.check(meta.spec())?;
        let mut exact = Exact::new(meta.spec())?;
        exact.set(query.payload())?;
        let scorer = Scorer::new(meta)?;
        Ok(Scan {
            search: Search::new(
                meta,
                scorer,
                options.ef_search as usize + MARGIN,
                options.iterative != Iterative::Off,
            )?
            .peeking(&meta.layout)?,
            vector: Aligned::zeroed(meta.layout.vector)?,
            meta: meta.clone(),
            exact,
            options,
            hits: VecDeque::new(),
            waiting: Vec::new(),
            handed_out: HashSet::new(),
            last: 0,
            stats: ScanStats::default(),
            done: false,
        })
    }

    /// What the scan did so far.
    pub fn stats(&self) -> ScanStats {
        ScanStats {
            met: self.search.visited.len() as u64,
            expanded: self.search.expanded,
            ..self.stats
        }
    }

    /// The next row: by distance, then by place in the table; NaN last. `None` at the end. No row
    /// is handed out twice.
    ///
    /// # Errors
    /// [`Error::Corrupt`], [`Error::OutOfMemory`], [`Error::Interrupted`], [`Error::Io`].
    pub fn next(&mut self, store: &impl Store, table: &impl Table) -> Result<Option<Hit>, Error> {
        loop {
            while let Some(found) = self.hits.pop_front() {
                let strict = self.options.iterative == Iterative::Strict;
                if strict && found.most.0 < self.last {
                    continue;
                }
                let is_next = (self.hits.front()).is_none_or(|next| found.most.0 < next.least);
                if found.key().is_none() && (strict || !is_next) {
                    if let Some(known) = self.look(table, &found)? {
                        let place = self.hits.partition_point(|other| *other < known);
                        self.hits.insert(place, known); // in the place of `found`
                    }
                    continue;
                }
                self.handed_out
                    .try_reserve(1)
                    .map_err(|_| Error::OutOfMemory {
                        bytes: self.handed_out.len().saturating_mul(16),
                    })?;
                if !self.handed_out.insert(found.tid.to_u64()) {
                    continue;
                }
                self.last = found.most.0;
                let rows = self.options.ef_search.max(1) as usize;
                if self.options.iterative == Iterative::Off && self.handed_out.len() == rows {
                    self.hits.clear();
                }
                let key = found.key().map(from_sortable);
                return Ok(Some(Hit {
                    tid: found.tid,
                    distance: key.map(|key| self.exact.distance(key)),
                }));
            }
            if self.done {
                return Ok(None);
            }
            self.round(store, table)?;
        }
    }

    /// Finds more rows, or is done.
    fn round(&mut self, store: &impl Store, table: &impl Table) -> Result<(), Error> {
        let layout = &self.meta.layout;
        let rows = self.options.ef_search.max(1) as usize;
        let width = rows + MARGIN;
        if self.stats.rounds == 0 {
            let mut encoder = Encoder::read(store, &self.meta)?;
            (self.search.scorer).set_vector(&mut encoder, self.exact.vector())?;
            // What is not expanded in the first round never is: an iterative scan may not go on
            // from there.
            let margin = match self.options.iterative {
                Iterative::Off => MARGIN - EXPANDED_MARGIN,
                Iterative::Relaxed | Iterative::Strict => 0,
            };
            self.search.run(store, layout, width - margin, margin)?;
            self.done = self.options.iterative == Iterative::Off;
        } else if self.is_over() {
            self.done = true;
            self.hits = std::mem::take(&mut self.waiting).into();
            return Ok(());
        } else {
            self.search.resume(store, layout, width)?;
        }
        self.stats.rounds += 1;
        // Where the graph leads to no more: rows that no path leads to, one after the other.
        while !self.search.beam.is_full() && self.search.sweep(store, layout)? {}
        if self.search.beam.items().is_empty() {
            self.done = true;
        }
        self.measure(store, table)
    }

    fn is_over(&self) -> bool {
        let kept = self.search.discarded.as_ref().map_or(0, Vec::len);
        let bytes = 8 * (self.search.visited.len() + kept) + 16 * self.handed_out.len();
        self.search.visited.len() as u64 >= self.options.max_scan_tuples
            || bytes >= self.options.memory
    }

    /// Computes the distances of the rows of the beam, or their bounds.
    fn measure(&mut self, store: &impl Store, table: &impl Table) -> Result<(), Error> {
        let mut found = std::mem::take(&mut self.waiting);
        let before = found.len();
        alloc::reserve(&mut found, self.search.beam.items().len())?;
        let (meta, exact) = (&self.meta, &self.exact);
        if meta.layout.in_table {
            self.measure_in_table(store, table, &mut found)?;
        } else {
            let query = elements(exact.vector());
            let measure = (meta.layout.halved).then(|| Measure::new(meta.spec().metric, &query));
            let items = self.search.beam.items();
            measure_in_index(
                store,
                &meta.layout,
                items,
                &mut self.vector,
                |tid, vector| {
                    let (least, most) = match &measure {
                        Some(measure) => measure.keys(vector),
                        None => {
                            let key = sortable(exact.key(vector));
                            (key, key)
                        }
                    };
                    let most = Reverse(most);
                    found.push(Found { least, most, tid }); // there is room for all
                },
            )?;
        }
        let known = found[before..].iter().filter(|found| found.key().is_some());
        self.stats.exact += known.count() as u64;
        found.sort_unstable();
        if self.options.iterative == Iterative::Strict && !self.done {
            self.waiting = alloc::copied(&found[found.len().div_ceil(2)..])?;
            found.truncate(found.len().div_ceil(2));
        }
        self.hits = found.into();
        Ok(())
    }

    /// A row that the scan does not see takes no other's place.
    fn measure_in_table(
        &self,
        store: &impl Store,
        table: &impl Table,
        found: &mut Vec<Found>,
    ) -> Result<(), Error> {
        let layout = &self.meta.layout;
        let items = self.search.beam.items();
        let mut tids = alloc::with_capacity(items.len())?;
        for (at, item) in items.iter().enumerate() {
            if let Some(later) = items.get(at + AHEAD) {
                let (block, at) = layout.record_place(later.node());
                store.prefetch(block, page::HEADER + at, RECORD_HEAD);
                page::prefetch_checked(store, block);
            }
            if let Some(tid) = row_of(store, layout, item.node())? {
                table.prefetch(tid, false);
                tids.push(tid);
            }
        }
        for (at, tid) in tids.iter().enumerate() {
            if let Some(later) = tids.get(at + AHEAD) {
                table.prefetch(*later, true);
            }
            found.extend(self.measured(table, *tid)?); // there is room for all
            if at % 64 == 63 {
                store.check_interrupts()?;
            }
        }
        Ok(())
    }

    /// Measures a row by its vector in the table; `None` where the scan does not see it.
    fn measured(&self, table: &impl Table, tid: Tid) -> Result<Option<Found>, Error> {
        let mut measured = Ok(None);
        table.row(tid, &mut |vector| {
            measured = check_length(self.meta.spec(), vector)
                .map(|()| Some(Found::known(sortable(self.exact.key(vector)), tid)));
        })?;
        measured
    }

    /// Measures a row of which only bounds are known.
    fn look(&mut self, table: &impl Table, found: &Found) -> Result<Option<Found>, Error> {
        let Some(known) = self.measured(table, found.tid)? else {
            return Ok(None);
        };
        self.stats.exact += 1;
        if !(found.least..=found.most.0).contains(&known.least) {
            let Tid { block, offset } = found.tid;
            let what = format!("vector of row ({block},{offset}) is not the one in the table");
            return Err(Error::corrupt(NO_BLOCK, what));
        }
        Ok(Some(known))
    }
}

/// Calls `measured` with each row and its vector as the index stores it.
fn measure_in_index(
    store: &impl Store,
    layout: &Layout,
    items: &[Item],
    scratch: &mut Aligned,
    mut measured: impl FnMut(Tid, &[u8]),
) -> Result<(), Error> {
    for (at, item) in items.iter().enumerate() {
        if let Some(later) = items.get(at + AHEAD) {
            let (block, at, bytes) = if layout.vector > 0 {
                let (block, at) = layout.vector_place(later.node());
                (block, at, layout.vector.min(layout.body - at))
            } else {
                let (block, at) = layout.record_place(later.node());
                (block, at, layout.record)
            };
            store.prefetch(block, page::HEADER + at, bytes);
            page::prefetch_checked(store, block);
        }
        with_vector(store, layout, item.node(), scratch, &mut measured)?;
        if at % 64 == 63 {
            store.check_interrupts()?;
        }
    }
    Ok(())
}
