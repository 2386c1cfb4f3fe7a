//! Inserting one row: search its neighbours, write its node with links to them, then enter the
//! links back, one record each. Every state in between is sound: a node without links back is found
//! by no path yet, and belongs to a transaction that has not committed.

use super::layout::{Layout, STATE_BLOCK};
use super::meta::Meta;
use super::near::Near;
use super::record::{NodeState, Record, RecordMut, ensure_kind, vector_parts, write_vector};
use super::refresh;
use super::search::Search;
use super::space::{Aligned, Encoder, Scorer};
use super::state::{NO_NODE, State};
use crate::alloc;
use crate::error::Error;
use crate::page::{Kind, PageMut};
use crate::query::check_length;
use crate::row::Tid;
use crate::store::{MAX_RECORD_PAGES, Store, Txn};

/// Files a row. `payload` are the bytes of its vector in the element type of the index.
///
/// # Errors
/// [`Error::WrongDimensions`], [`Error::OutOfMemory`], [`Error::Interrupted`],
/// [`Error::TooLarge`] where the index is full, [`Error::Corrupt`], [`Error::Io`]. After an error the
/// row may be in the index all the same: its transaction aborts, and vacuum removes it.
pub fn insert(store: &impl Store, meta: &Meta, tid: Tid, payload: &[u8]) -> Result<(), Error> {
    check_length(meta.spec(), payload)?;
    let mut encoder = Encoder::read(store, meta)?;
    add(store, meta, &mut encoder, tid, payload, LinksBack::Most)
}

/// Which of a new row's neighbours get a link back to it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum LinksBack {
    /// Those in different directions, and at least half of the places: each costs a record.
    Most,
    All,
}

/// Files a row of the right length, whose code `encoder` makes.
pub(super) fn add(
    store: &impl Store,
    meta: &Meta,
    encoder: &mut Encoder,
    tid: Tid,
    payload: &[u8],
    links_back: LinksBack,
) -> Result<(), Error> {
    let layout = &meta.layout;
    let mut blob = Aligned::zeroed(layout.blob)?;
    encoder.encode(payload, blob.as_mut_slice())?;
    let mut scorer = Scorer::new(meta)?;
    scorer.set_vector(encoder, payload)?;
    let width = usize::from(meta.spec().ef_construction);
    // What is found is read again, under locks, before it is linked.
    let mut search = Search::new(meta, scorer, width, false)?.peeking(layout)?;
    search.run(store, layout, width, 0)?;
    let mut near = Near::new(meta)?;
    for item in search.beam.items() {
        match links_back {
            LinksBack::Most => near.add(store, layout, &search.scorer, item.node())?,
            // Nobody else is there to change what the search saw.
            LinksBack::All => near.add_linked(store, layout, &search.scorer, item.node())?,
        };
    }
    let copies = search.scorer.score_of_copies(blob.as_slice());
    let (neighbours, diverse) = near.choose(copies, layout.degree, layout.degree)?;
    let insertion = Insertion {
        store,
        layout,
        tid,
        blob: blob.as_slice(),
        payload,
    };
    let (node, state) = insertion.write(&neighbours)?;
    let back = match links_back {
        LinksBack::Most => diverse.max(layout.degree / 2).min(neighbours.len()),
        LinksBack::All => neighbours.len(),
    };
    let mut links = Links::new(meta)?;
    let targets = neighbours[..back].iter().filter(|near| **near != node);
    for (at, target) in targets.enumerate() {
        store.check_interrupts()?;
        links.enter(store, *target, node, insertion.blob, at == 0)?;
    }
    refresh::after_insert(store, meta, &state, node)
}

struct Insertion<'a, S: Store> {
    store: &'a S,
    layout: &'a Layout,
    tid: Tid,
    blob: &'a [u8],
    payload: &'a [u8],
}

impl<S: Store> Insertion<'_, S> {
    /// Takes a node and writes it: one record, but for a vector on three pages or more. Returns the
    /// node, and the state after it was taken.
    fn write(&self, neighbours: &[u32]) -> Result<(u32, State), Error> {
        let layout = self.layout;
        loop {
            self.store.check_interrupts()?;
            let mut txn = self.store.begin();
            let slot = txn.lock(STATE_BLOCK)?;
            let mut state = State::from_page(layout, txn.page(slot))?;
            let reused = state.free_head != NO_NODE;
            let node = if reused {
                state.free_head
            } else {
                state.skip_tables(layout, state.next_node)
            };
            if node >= layout.max_nodes() {
                return Err(Error::TooLarge {
                    what: "node count",
                    value: u64::from(node) + 1,
                    limit: layout.max_nodes().into(),
                });
            }
            let last = layout.last_block(node);
            if self.store.blocks() <= last {
                drop(txn);
                extend_to(self.store, last)?;
                continue;
            }
            let (block, _) = layout.record_place(node);
            let record_slot = txn.lock(block)?;
            ensure_kind(layout, block, txn.page_mut(record_slot), Kind::Record)?;
            let record = Record::open(layout, txn.page(record_slot), node)?;
            let expected = if reused {
                NodeState::Free
            } else {
                NodeState::Empty
            };
            if record.state() != expected {
                let what = format!("node {node} is in use where it was to be taken");
                return Err(Error::corrupt(block, what));
            }
            if reused {
                state.free_head = record.next_free();
                state.free_count = state.free_count.saturating_sub(1);
                let ends = state.free_head == NO_NODE;
                if ends != (state.free_count == 0) || (!ends && state.free_head >= state.next_node)
                {
                    return Err(Error::corrupt(block, "list of free nodes is broken"));
                }
            } else {
                state.next_node = node + 1;
            }
            state.write(txn.page_mut(slot))?;
            let mut vector = Aligned::zeroed(layout.vector)?;
            let parts = if layout.vector > 0 {
                write_vector(layout, self.tid, self.payload, vector.as_mut_slice());
                vector_parts(layout, node).len()
            } else {
                0
            };
            let at_once = parts + 2 <= MAX_RECORD_PAGES;
            let row_state = if at_once {
                NodeState::Live
            } else {
                NodeState::Reserved
            };
            let mut record = RecordMut::open(layout, txn.page_mut(record_slot), node)?;
            record.set_row(row_state, self.tid, self.blob);
            // A neighbour found may have been removed and freed, and be this very node now.
            record.set_neighbours(neighbours.iter().copied().filter(|near| *near != node));
            if at_once {
                for number in 0..parts {
                    self.write_part(&mut txn, node, number, vector.as_slice())?;
                }
                txn.commit()?;
            } else {
                txn.commit()?;
                self.write_wide(node, parts, vector.as_slice())?;
            }
            return Ok((node, state));
        }
    }

    fn write_part(
        &self,
        txn: &mut impl Txn,
        node: u32,
        number: usize,
        vector: &[u8],
    ) -> Result<(), Error> {
        let mut parts = vector_parts(self.layout, node);
        let Some((block, offset, range)) = parts.nth(number) else {
            return Ok(());
        };
        let slot = txn.lock(block)?;
        let bytes = txn.page_mut(slot);
        ensure_kind(self.layout, block, bytes, Kind::Vector)?;
        let mut page = PageMut::open(block, bytes)?;
        page.body_mut()[offset..offset + range.len()].copy_from_slice(&vector[range]);
        Ok(())
    }

    /// A vector on many pages: its first page last, and with it the node becomes a row.
    fn write_wide(&self, node: u32, parts: usize, vector: &[u8]) -> Result<(), Error> {
        for number in (1..parts).rev() {
            self.store.check_interrupts()?;
            let mut txn = self.store.begin();
            self.write_part(&mut txn, node, number, vector)?;
            txn.commit()?;
        }
        let (block, _) = self.layout.record_place(node);
        let mut txn = self.store.begin();
        let slot = txn.lock(block)?;
        if Record::open(self.layout, txn.page(slot), node)?.state() != NodeState::Reserved {
            return Err(Error::corrupt(block, "node was taken while it was written"));
        }
        let mut record = RecordMut::open(self.layout, txn.page_mut(slot), node)?;
        record.set_state(NodeState::Live);
        self.write_part(&mut txn, node, 0, vector)?;
        txn.commit()
    }
}

/// Makes the index so long that there is a block `last`. The new pages are zeroed, as after a crash.
pub(super) fn extend_to(store: &impl Store, last: u32) -> Result<(), Error> {
    while store.blocks() <= last {
        store.check_interrupts()?;
        store.begin().extend()?;
    }
    Ok(())
}

/// Enters links.
pub(super) struct Links<'m> {
    meta: &'m Meta,
    /// Of the node whose list is cut.
    scorer: Scorer,
    near: Near,
    list: Vec<u32>,
}

/// A list that others change all the time is let be.
const ATTEMPTS: usize = 4;

impl<'m> Links<'m> {
    pub fn new(meta: &'m Meta) -> Result<Links<'m>, Error> {
        Ok(Links {
            meta,
            scorer: Scorer::new(meta)?,
            near: Near::new(meta)?,
            list: alloc::with_capacity(meta.layout.degree)?,
        })
    }

    /// Enters the link from `target` to `node`, whose blob is `blob`. Where the list of `target` is
    /// full it is cut, and the new link may be the one to go, unless it is `wanted`.
    pub fn enter(
        &mut self,
        store: &impl Store,
        target: u32,
        node: u32,
        blob: &[u8],
        wanted: bool,
    ) -> Result<(), Error> {
        let layout = &self.meta.layout;
        let (block, _) = layout.record_place(target);
        for _ in 0..ATTEMPTS {
            let mut txn = store.begin();
            let slot = txn.lock(block)?;
            if !self.read_list(txn.page(slot), target)? || self.list.contains(&node) {
                return Ok(());
            }
            if self.list.len() < layout.degree {
                self.list.push(node);
                let mut record = RecordMut::open(layout, txn.page_mut(slot), target)?;
                record.set_neighbours(self.list.iter().copied());
                return txn.commit();
            }
            drop(txn);
            store.check_interrupts()?;
            let chosen = self.cut(store, target, node, blob, wanted)?;
            if self.replace(store, target, &chosen)? {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Reads the neighbours of a node to `self.list`; `false` where it is no row.
    fn read_list(&mut self, page: &[u8], node: u32) -> Result<bool, Error> {
        let record = Record::open(&self.meta.layout, page, node)?;
        self.list.clear();
        for neighbour in record.neighbours() {
            self.list.push(neighbour?);
        }
        Ok(matches!(
            record.state(),
            NodeState::Live | NodeState::Reserved
        ))
    }

    /// What is to be left of the list just read, with one more node. Leaves some room, so that the
    /// next links are entered without a cut.
    fn cut(
        &mut self,
        store: &impl Store,
        target: u32,
        node: u32,
        blob: &[u8],
        wanted: bool,
    ) -> Result<Vec<u32>, Error> {
        let layout = &self.meta.layout;
        let Some(copies) = self.aim(store, target)? else {
            return alloc::copied(&self.list);
        };
        self.near.clear();
        for at in 0..self.list.len() {
            let near = self.list[at];
            self.near.add_linked(store, layout, &self.scorer, near)?;
        }
        self.near.push(&self.scorer, node, blob)?;
        let limit = layout.degree - layout.degree / 16;
        let (mut chosen, _) = self.near.choose(copies, limit, limit)?;
        if wanted && !chosen.contains(&node) {
            chosen.pop();
            chosen.push(node);
        }
        Ok(chosen)
    }

    /// Points the scorer at a node; the score of its copies. `None` where it is no row any more.
    pub fn aim(&mut self, store: &impl Store, node: u32) -> Result<Option<f32>, Error> {
        self.near.clear();
        if !self
            .near
            .add(store, &self.meta.layout, &self.scorer, node)?
        {
            return Ok(None);
        }
        let blob = self.near.blob(0);
        self.scorer.set_blob(blob);
        Ok(Some(self.scorer.score_of_copies(blob)))
    }

    /// Replaces the list last read, if it is still that; `false` where it is not.
    pub fn replace(
        &mut self,
        store: &impl Store,
        target: u32,
        chosen: &[u32],
    ) -> Result<bool, Error> {
        let layout = &self.meta.layout;
        let mut txn = store.begin();
        let slot = txn.lock(layout.record_place(target).0)?;
        let before = std::mem::take(&mut self.list);
        let is_row = self.read_list(txn.page(slot), target)?;
        if !is_row || before == chosen {
            return Ok(true);
        }
        if before != self.list {
            return Ok(false);
        }
        let mut record = RecordMut::open(layout, txn.page_mut(slot), target)?;
        record.set_neighbours(chosen.iter().copied());
        txn.commit()?;
        Ok(true)
    }

    /// Repairs the list of a node: neighbours that are no rows make way for their own neighbours.
    /// Returns whether there was something to repair.
    pub fn repair(
        &mut self,
        store: &impl Store,
        node: u32,
        is_gone: &dyn Fn(u32) -> bool,
    ) -> Result<bool, Error> {
        for _ in 0..ATTEMPTS {
            let (block, _) = self.meta.layout.record_place(node);
            if !self.read_list(&store.read(block)?, node)?
                || !self.list.iter().any(|near| is_gone(*near))
            {
                return Ok(false);
            }
            let Some(chosen) = self.without(store, node, is_gone)? else {
                return Ok(false);
            };
            if self.replace(store, node, &chosen)? {
                return Ok(true);
            }
            store.check_interrupts()?;
        }
        Ok(true)
    }

    /// What is to become of the list just read.
    fn without(
        &mut self,
        store: &impl Store,
        node: u32,
        is_gone: &dyn Fn(u32) -> bool,
    ) -> Result<Option<Vec<u32>>, Error> {
        let layout = &self.meta.layout;
        let Some(copies) = self.aim(store, node)? else {
            return Ok(None);
        };
        let mut candidates = alloc::with_capacity(self.list.len())?;
        for near in self.list.iter().filter(|near| !is_gone(**near)) {
            candidates.push(*near);
        }
        for gone in self.list.iter().filter(|near| is_gone(**near)) {
            let page = store.read(layout.record_place(*gone).0)?;
            let mut taken = 0;
            for near in Record::open(layout, &page, *gone)?.neighbours() {
                let near = near?;
                if near != node && !is_gone(near) && taken < HEIRS {
                    taken += 1;
                    alloc::reserve(&mut candidates, 1)?;
                    candidates.push(near);
                }
            }
        }
        candidates.sort_unstable();
        candidates.dedup();
        if candidates.len() < layout.degree / 2 {
            self.search(store, node, &mut candidates)?;
        }
        self.near.clear();
        for near in candidates {
            self.near.add(store, layout, &self.scorer, near)?;
        }
        let (chosen, _) = self.near.choose(copies, layout.degree, layout.degree)?;
        Ok(Some(chosen))
    }

    /// Adds what a search for the node finds.
    fn search(
        &mut self,
        store: &impl Store,
        node: u32,
        candidates: &mut Vec<u32>,
    ) -> Result<(), Error> {
        let width = usize::from(self.meta.spec().ef_construction);
        let mut scorer = Scorer::new(self.meta)?;
        scorer.set_blob(self.near.blob(0));
        let layout = &self.meta.layout;
        let mut search = Search::new(self.meta, scorer, width, false)?.peeking(layout)?;
        search.run(store, layout, width, 0)?;
        alloc::reserve(candidates, search.beam.items().len())?;
        let found = search.beam.items().iter().map(|item| item.node());
        candidates.extend(found.filter(|near| *near != node));
        candidates.sort_unstable();
        candidates.dedup();
        Ok(())
    }
}

/// Neighbours of a neighbour gone that may take its place: its list has those in different
/// directions first.
const HEIRS: usize = 8;
