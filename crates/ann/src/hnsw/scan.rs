//! Scanning: rows leave in the exact order of the operator among those found.

use std::collections::{HashSet, VecDeque};

use super::layout::RECORD_HEAD;
use super::meta::Meta;
use super::record::{row_of, with_vector};
use super::search::Search;
use super::space::{Aligned, Encoder, Exact, Scorer};
use crate::alloc;
use crate::error::Error;
use crate::page;
use crate::query::{Query, check_length, from_sortable, sortable};
use crate::row::Hit;
use crate::row::{Table, Tid};
use crate::store::Store;

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
    /// The key of the last row handed out.
    last: u64,
    stats: ScanStats,
    done: bool,
}

/// A row found: in the order they are handed out.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Found {
    /// See [`sortable`].
    key: u64,
    tid: Tid,
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
                if self.options.iterative == Iterative::Strict && found.key < self.last {
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
                self.last = found.key;
                let key = from_sortable(found.key);
                return Ok(Some(Hit {
                    tid: found.tid,
                    distance: self.exact.distance(key),
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
        self.measure(store, table)?;
        if self.options.iterative == Iterative::Off {
            self.hits.truncate(rows);
        }
        Ok(())
    }

    fn is_over(&self) -> bool {
        let kept = self.search.discarded.as_ref().map_or(0, Vec::len);
        let bytes = 8 * (self.search.visited.len() + kept) + 16 * self.handed_out.len();
        self.search.visited.len() as u64 >= self.options.max_scan_tuples
            || bytes >= self.options.memory
    }

    /// Computes the exact distances of the rows of the beam.
    fn measure(&mut self, store: &impl Store, table: &impl Table) -> Result<(), Error> {
        let mut found = std::mem::take(&mut self.waiting);
        let before = found.len();
        alloc::reserve(&mut found, self.search.beam.items().len())?;
        if self.meta.layout.in_table {
            self.measure_in_table(store, table, &mut found)?;
        } else {
            self.measure_in_index(store, &mut found)?;
        }
        self.stats.exact += (found.len() - before) as u64;
        found.sort_unstable();
        if self.options.iterative == Iterative::Strict && !self.done {
            self.waiting = alloc::copied(&found[found.len().div_ceil(2)..])?;
            found.truncate(found.len().div_ceil(2));
        }
        self.hits = found.into();
        Ok(())
    }

    fn measure_in_index(
        &mut self,
        store: &impl Store,
        found: &mut Vec<Found>,
    ) -> Result<(), Error> {
        let (layout, exact) = (&self.meta.layout, &self.exact);
        let items = self.search.beam.items();
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
            let measured = |tid, vector: &[u8]| Found {
                key: sortable(exact.key(vector)),
                tid,
            };
            let node = item.node();
            found.extend(with_vector(
                store,
                layout,
                node,
                &mut self.vector,
                measured,
            )?);
            if at % 64 == 63 {
                store.check_interrupts()?;
            }
        }
        Ok(())
    }

    /// A row that the scan does not see takes no other's place.
    fn measure_in_table(
        &mut self,
        store: &impl Store,
        table: &impl Table,
        found: &mut Vec<Found>,
    ) -> Result<(), Error> {
        let (layout, exact, spec) = (&self.meta.layout, &self.exact, self.meta.spec());
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
            let mut wrong = Ok(());
            table.row(*tid, &mut |vector| {
                wrong = check_length(spec, vector);
                if wrong.is_ok() {
                    let key = sortable(exact.key(vector));
                    found.push(Found { key, tid: *tid }); // there is room for all
                }
            })?;
            wrong?;
            if at % 64 == 63 {
                store.check_interrupts()?;
            }
        }
        Ok(())
    }
}
