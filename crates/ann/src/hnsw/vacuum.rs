//! Vacuum: [`bulk_delete`] removes rows, [`cleanup`] repairs the neighbourhoods of what was removed
//! and makes its nodes free.
//!
//! `bulk_delete` is one pass over the record pages: it asks for every row, and marks those that are
//! gone; they stay routes. `cleanup` looks at every record once more, but only in memory is there
//! work for each: lists that name a removed node are repaired, and the nodes are chained as free.
//! Two vacuums of one index at a time are kept out by the host.

use std::ops::Range;

use super::entries;
use super::graph::mix;
use super::insert::Links;
use super::layout::{Layout, STATE_BLOCK};
use super::meta::Meta;
use super::record::{NodeState, Record, RecordMut, clear_vector};
use super::refresh;
use super::state::State;
use crate::alloc;
use crate::error::Error;
use crate::page::{Kind, NO_OWNER, Page, PageView};
use crate::row::Tid;
use crate::store::{MAX_RECORD_PAGES, Store, Txn};

/// What a vacuum found and did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct VacuumStats {
    /// Rows removed.
    pub removed: u64,
    /// Rows left.
    pub live: u64,
    /// Pages of the index.
    pub pages: u32,
    /// Nodes that may be used again.
    pub free_nodes: u64,
    /// Lists repaired.
    pub repaired: u64,
}

/// Removes the rows for which `is_dead` holds. `is_dead` is asked at least once for every row that
/// was in the index at the start, with the row's page locked. `progress` gets the nodes done and
/// their number.
///
/// # Errors
/// [`Error::Corrupt`], [`Error::OutOfMemory`], [`Error::Interrupted`], [`Error::Io`]. What was
/// removed until then stays removed.
pub fn bulk_delete(
    store: &impl Store,
    meta: &Meta,
    is_dead: &mut dyn FnMut(Tid) -> bool,
    progress: &mut dyn FnMut(u32, u32),
) -> Result<VacuumStats, Error> {
    let layout = &meta.layout;
    let state = State::read(store, layout)?;
    let mut stats = VacuumStats::default();
    let mut dead = alloc::with_capacity(layout.records_per_page as usize)?;
    for nodes in pages(layout, &state) {
        store.check_interrupts()?;
        let end = nodes.end;
        let page = read_page(store, layout, &nodes)?;
        let view = open(layout, &nodes, &page)?;
        for node in nodes {
            let record = Record::on_page(layout, &view, layout.record_place(node).1, node)?;
            match record.state() {
                NodeState::Live | NodeState::Reserved if is_dead(record.tid()) => dead.push(node),
                NodeState::Live | NodeState::Reserved => stats.live += 1,
                NodeState::Free => stats.free_nodes += 1,
                NodeState::Dead | NodeState::Empty => {}
            }
        }
        drop(page);
        while !dead.is_empty() {
            store.check_interrupts()?;
            let (done, removed) = remove(store, layout, &dead, is_dead)?;
            stats.removed += removed;
            dead.drain(..done);
        }
        progress(end, state.next_node);
    }
    stats.pages = store.blocks();
    Ok(stats)
}

/// Marks the first of `nodes`, all on one page, as removed, if they still are rows that are dead:
/// as many as one record holds. Returns how many nodes are done with, and rows removed.
fn remove(
    store: &impl Store,
    layout: &Layout,
    nodes: &[u32],
    is_dead: &mut dyn FnMut(Tid) -> bool,
) -> Result<(usize, u64), Error> {
    let mut txn = store.begin();
    let slot = txn.lock(layout.record_place(nodes[0]).0)?;
    let mut vectors: Vec<(u32, crate::store::Slot)> = alloc::with_capacity(MAX_RECORD_PAGES)?;
    let (mut done, mut removed) = (0, 0);
    for node in nodes {
        let record = Record::open(layout, txn.page(slot), *node)?;
        let state = record.state();
        if !matches!(state, NodeState::Live | NodeState::Reserved) || !is_dead(record.tid()) {
            done += 1;
            continue;
        }
        if layout.vector > 0 {
            let (block, at) = layout.vector_place(*node);
            let locked = vectors.iter().find(|(other, _)| *other == block);
            let vector_slot = match locked {
                Some((_, slot)) => *slot,
                None if vectors.len() + 1 == MAX_RECORD_PAGES => break,
                None => {
                    let slot = txn.lock(block)?;
                    vectors.push((block, slot));
                    slot
                }
            };
            // A node only reserved may have no vector page yet.
            match Page::open(block, txn.page(vector_slot))? {
                Page::Written(view) if view.kind() == Kind::Vector => {
                    clear_vector(block, txn.page_mut(vector_slot), at)?;
                }
                _ if state == NodeState::Reserved => {}
                _ => return Err(Error::corrupt(block, "page holds no vectors")),
            }
        }
        RecordMut::open(layout, txn.page_mut(slot), *node)?.set_state(NodeState::Dead);
        done += 1;
        removed += 1;
    }
    txn.commit()?;
    Ok((done, removed))
}

/// Repairs lists that name removed nodes, makes these free, and renews the entry points where many
/// were removed.
///
/// # Errors
/// Those of [`bulk_delete`]. What was done until then is kept, and the next call goes on.
pub fn cleanup(store: &impl Store, meta: &Meta) -> Result<VacuumStats, Error> {
    let layout = &meta.layout;
    let state = State::read(store, layout)?;
    let mut stats = VacuumStats::default();
    let mut gone = Bits::new(state.next_node)?;
    let mut count = 0u32;
    // A random sample of the rows left (reservoir sampling).
    let mut sample = alloc::with_capacity(entries::MOST_MEMBERS as usize)?;
    for nodes in pages(layout, &state) {
        store.check_interrupts()?;
        let page = read_page(store, layout, &nodes)?;
        let view = open(layout, &nodes, &page)?;
        for node in nodes {
            let record = Record::on_page(layout, &view, layout.record_place(node).1, node)?;
            match record.state() {
                NodeState::Live | NodeState::Reserved => {
                    stats.live += 1;
                    let random = mix(meta.spec().seed ^ u64::from(node));
                    let place = (u128::from(random) * u128::from(stats.live)) >> 64;
                    if sample.len() < entries::MOST_MEMBERS as usize {
                        sample.push(node);
                    } else if let Some(place) = sample.get_mut(place as usize) {
                        *place = node;
                    }
                }
                NodeState::Free => stats.free_nodes += 1,
                NodeState::Dead => {
                    gone.set(node);
                    count += 1;
                }
                NodeState::Empty => {}
            }
        }
    }
    if count > 0 {
        stats.repaired = repair(store, meta, &state, &gone)?;
        stats.free_nodes += free(store, layout, &state, &gone)?;
        if u64::from(count) * 8 >= stats.live && state.table().is_some() {
            // The first are not random while the sample is all rows: they would be the leaders.
            let most = entries::count(layout, stats.live) as usize;
            for at in 0..most.min(sample.len()) {
                let random = mix(meta.spec().seed.wrapping_add(at as u64));
                let rest = (sample.len() - at) as u128;
                sample.swap(at, at + ((u128::from(random) * rest) >> 64) as usize);
            }
            sample.truncate(most);
            refresh::refresh(store, meta, Some(&sample))?;
        }
    }
    stats.pages = store.blocks();
    Ok(stats)
}

fn repair(store: &impl Store, meta: &Meta, state: &State, gone: &Bits) -> Result<u64, Error> {
    let layout = &meta.layout;
    let mut links = Links::new(meta)?;
    let mut repaired = 0;
    let mut broken = alloc::with_capacity(layout.records_per_page as usize)?;
    for nodes in pages(layout, state) {
        let page = read_page(store, layout, &nodes)?;
        let view = open(layout, &nodes, &page)?;
        for node in nodes {
            let record = Record::on_page(layout, &view, layout.record_place(node).1, node)?;
            if matches!(record.state(), NodeState::Live | NodeState::Reserved) {
                for near in record.neighbours() {
                    if gone.get(near?) {
                        broken.push(node);
                        break;
                    }
                }
            }
        }
        drop(page);
        store.check_interrupts()?;
        for node in broken.drain(..) {
            store.check_interrupts()?;
            repaired += u64::from(links.repair(store, node, &|near| gone.get(near))?);
        }
    }
    Ok(repaired)
}

/// Chains the removed nodes as free, a page at a time.
fn free(store: &impl Store, layout: &Layout, state: &State, gone: &Bits) -> Result<u64, Error> {
    let mut freed = 0;
    for nodes in pages(layout, state) {
        if !nodes.clone().any(|node| gone.get(node)) {
            continue;
        }
        store.check_interrupts()?;
        let mut txn = store.begin();
        let state_slot = txn.lock(STATE_BLOCK)?;
        let mut state = State::from_page(layout, txn.page(state_slot))?;
        let slot = txn.lock(layout.record_place(nodes.start).0)?;
        for node in nodes.rev().filter(|node| gone.get(*node)) {
            if Record::open(layout, txn.page(slot), node)?.state() != NodeState::Dead {
                continue;
            }
            let mut record = RecordMut::open(layout, txn.page_mut(slot), node)?;
            record.set_state(NodeState::Free);
            record.set_neighbours([state.free_head]);
            state.free_head = node;
            state.free_count += 1;
            freed += 1;
        }
        state.write(txn.page_mut(state_slot))?;
        txn.commit()?;
    }
    Ok(freed)
}

/// A set of nodes.
struct Bits(Vec<u64>);

impl Bits {
    fn new(nodes: u32) -> Result<Bits, Error> {
        Ok(Bits(alloc::filled(0, nodes.div_ceil(64) as usize)?))
    }

    fn set(&mut self, node: u32) {
        self.0[node as usize / 64] |= 1 << (node % 64);
    }

    fn get(&self, node: u32) -> bool {
        let word = self.0.get(node as usize / 64);
        word.is_some_and(|word| word >> (node % 64) & 1 == 1)
    }
}

/// The nodes of every record page in use.
pub(super) fn pages(layout: &Layout, state: &State) -> impl Iterator<Item = Range<u32>> {
    let mut first = state.skip_tables(layout, 0);
    std::iter::from_fn(move || {
        if first >= state.next_node {
            return None;
        }
        let nodes = first..(first + layout.records_per_page).min(state.next_node);
        first = state.skip_tables(layout, nodes.end);
        Some(nodes)
    })
}

fn read_page<'s, S: Store>(
    store: &'s S,
    layout: &Layout,
    nodes: &Range<u32>,
) -> Result<S::Read<'s>, Error> {
    store.read(layout.record_place(nodes.start).0)
}

fn open<'p>(layout: &Layout, nodes: &Range<u32>, page: &'p [u8]) -> Result<PageView<'p>, Error> {
    let (block, _) = layout.record_place(nodes.start);
    PageView::open_as(block, page, Kind::Record, NO_OWNER)
}
