//! Making the table of entry points anew, when rows have doubled or vacuum has removed many.

use std::collections::HashMap;

use super::beam::Visited;
use super::entries::{Groups, LEAST_NODES, count};
use super::graph::mix;
use super::insert::extend_to;
use super::layout::{Layout, Role, STATE_BLOCK};
use super::meta::Meta;
use super::near::Near;
use super::record::{NodeState, Record, RecordMut, format_record_page, format_vector_page};
use super::space::Scorer;
use super::state::{State, Table};
use super::table;
use crate::alloc;
use crate::error::Error;
use crate::store::{Store, Txn};

/// Makes a table anew after an insert, if rows have become so many that it is worth its cost.
///
/// # Errors
/// Those of [`refresh`].
pub(super) fn after_insert(
    store: &impl Store,
    meta: &Meta,
    state: &State,
    node: u32,
) -> Result<(), Error> {
    let used = state.used_nodes();
    if used / 2 < state.nodes_at_table || state.next_node < LEAST_NODES {
        return Ok(());
    }
    // A few rows among many free nodes are not met by chance.
    let known = [node];
    refresh(store, meta, (used < LEAST_NODES).then_some(&known))
}

/// Makes a table of a random sample of the rows (of those in `known`, if given), unless somebody else
/// is at it. Without rows there is none.
///
/// # Errors
/// [`Error::Corrupt`], [`Error::OutOfMemory`], [`Error::Interrupted`], and those of the store.
pub(super) fn refresh(store: &impl Store, meta: &Meta, known: Option<&[u32]>) -> Result<(), Error> {
    let layout = &meta.layout;
    // Held against a second one at the same time.
    let Some(_guard) = store.structure_lock(true, false) else {
        return Ok(());
    };
    let state = State::read(store, layout)?;
    let sample = match known {
        Some(nodes) => gather(store, meta, nodes)?,
        None => sample(store, meta, &state)?,
    };
    let before = state.table().map_or(0, |table| table.members as usize);
    if sample.len() == 0 || (known.is_none() && sample.len() < before) {
        // Too few were met: not to be tried again at every insert.
        return finish(store, meta, |state| {
            if known.is_some() {
                state.current = None;
            }
        });
    }
    let numbers: HashMap<u32, usize> = {
        let mut numbers = HashMap::new();
        numbers
            .try_reserve(sample.len())
            .map_err(|_| Error::OutOfMemory {
                bytes: 16 * sample.len(),
            })?;
        numbers.extend(
            sample
                .nodes()
                .iter()
                .enumerate()
                .map(|(at, node)| (*node, at)),
        );
        numbers
    };
    let blob = |node: u32| sample.blob(numbers.get(&node).copied().unwrap_or(0));
    let groups = Groups::new(meta, sample.nodes(), blob)?;
    let (place, made) = reserve(store, meta, &groups)?;
    let mut page = alloc::filled(0u64, layout.page_size / 8)?;
    for number in 0..made.pages(layout) {
        store.check_interrupts()?;
        let bytes: &mut [u8] = bytemuck::cast_slice_mut(&mut page);
        table::format_page(layout, &made, &groups, number, blob, bytes);
        let block = made.first_block + number;
        extend_to(store, block)?;
        let mut txn = store.begin();
        let slot = txn.lock(block)?;
        // What comes first is the host's: log position and checksum.
        txn.page_mut(slot)[10..].copy_from_slice(&bytes[10..]);
        txn.commit()?;
    }
    finish(store, meta, |state| state.current = Some(place))
}

/// Writes to the state that a table was made, or tried, for the present rows.
fn finish(store: &impl Store, meta: &Meta, change: impl FnOnce(&mut State)) -> Result<(), Error> {
    let mut txn = store.begin();
    let slot = txn.lock(STATE_BLOCK)?;
    let mut state = State::from_page(&meta.layout, txn.page(slot))?;
    change(&mut state);
    state.nodes_at_table = state.used_nodes();
    state.write(txn.page_mut(slot))?;
    txn.commit()
}

/// Rows with their blobs: those of `nodes` that are rows.
fn gather(store: &impl Store, meta: &Meta, nodes: &[u32]) -> Result<Near, Error> {
    let mut near = Near::new(meta)?;
    let scorer = Scorer::new(meta)?;
    for node in nodes {
        store.check_interrupts()?;
        near.add(store, &meta.layout, &scorer, *node)?;
    }
    Ok(near)
}

/// Rows picked at random, with their blobs.
fn sample(store: &impl Store, meta: &Meta, state: &State) -> Result<Near, Error> {
    let layout = &meta.layout;
    let wanted = count(layout, state.used_nodes().into()) as usize;
    let mut near = Near::new(meta)?;
    let mut seen = Visited::default();
    let scorer = Scorer::new(meta)?;
    let seed = mix(meta.spec().seed ^ u64::from(state.next_node));
    for attempt in 0..8 * wanted as u64 {
        if near.len() == wanted {
            break;
        }
        let random = mix(seed.wrapping_add(attempt));
        let node = ((u128::from(random) * u128::from(state.next_node)) >> 64) as u32;
        if state.skip_tables(layout, node) == node && seen.insert(node)? {
            store.check_interrupts()?;
            near.add(store, layout, &scorer, node)?;
        }
    }
    Ok(near)
}

/// Takes the place that is not in use for a new table: its old groups if they suffice, else new
/// ones behind all that is in use. Old groups that are not needed are for nodes then.
fn reserve(store: &impl Store, meta: &Meta, groups: &Groups) -> Result<(usize, Table), Error> {
    let layout = &meta.layout;
    let state = State::read(store, layout)?;
    let place = state.current.map_or(0, |current| 1 - current);
    let old = state.tables[place];
    let made = Table {
        first_block: old.first_block,
        leaders: groups.leaders().len() as u32,
        members: groups.members().len() as u32,
        version: (state.tables.iter().map(|table| table.version).max())
            .map_or(1, |version| version.wrapping_add(1).max(1)),
    };
    let (first, end) = old.groups(layout);
    let (_, new_end) = made.groups(layout);
    let moves = made.first_block == 0 || new_end > end;
    let released = if moves { first..end } else { new_end..end };
    // Before they count as pages of nodes.
    for block in layout.group_block(released.start)..layout.group_block(released.end) {
        store.check_interrupts()?;
        format_for_nodes(store, layout, block)?;
    }
    let (made, next_node) = take(store, layout, place, made, moves)?;
    // Nodes of groups that lie further on are taken in their turn.
    let behind = next_node / layout.group_nodes();
    for group in released.filter(|group| *group < behind) {
        chain(store, layout, group)?;
    }
    Ok((place, made))
}

/// Writes to the state where the new table is to lie. Returns it, and the next node of that moment.
fn take(
    store: &impl Store,
    layout: &Layout,
    place: usize,
    table: Table,
    moves: bool,
) -> Result<(Table, u32), Error> {
    let mut made = table;
    let mut txn = store.begin();
    let slot = txn.lock(STATE_BLOCK)?;
    let mut state = State::from_page(layout, txn.page(slot))?;
    if moves {
        let (first, end) = state.tables[place].groups(layout);
        let (_, other) = state.tables[1 - place].groups(layout);
        let behind = (state.next_node.div_ceil(layout.group_nodes()))
            .max(other)
            .max(end);
        // Nodes in front of the old place end there.
        let behind = if state.next_node <= first.saturating_mul(layout.group_nodes()) {
            behind.max(first)
        } else {
            behind
        };
        let last = layout.max_nodes() / layout.group_nodes();
        if behind + made.pages(layout).div_ceil(layout.group_pages()) >= last {
            return Err(Error::TooLarge {
                what: "node count",
                value: u64::from(behind) * u64::from(layout.group_nodes()),
                limit: layout.max_nodes().into(),
            });
        }
        made.first_block = layout.group_block(behind);
    }
    state.tables[place] = made;
    state.write(txn.page_mut(slot))?;
    txn.commit()?;
    Ok((made, state.next_node))
}

/// Makes a page of a table that is given up one of nodes, none of which is used.
fn format_for_nodes(store: &impl Store, layout: &Layout, block: u32) -> Result<(), Error> {
    if block >= store.blocks() {
        return Ok(());
    }
    let mut bytes = alloc::filled(0u64, layout.page_size / 8)?;
    let bytes: &mut [u8] = bytemuck::cast_slice_mut(&mut bytes);
    match layout.role(block) {
        Some(Role::Records { .. }) => format_record_page(layout, bytes),
        Some(Role::Vectors) => format_vector_page(layout, bytes),
        None => return Ok(()),
    }
    let mut txn = store.begin();
    let slot = txn.lock(block)?;
    // What comes first is the host's: log position and checksum.
    txn.page_mut(slot)[10..].copy_from_slice(&bytes[10..]);
    txn.commit()
}

/// Chains the nodes of a group that held a table, and has nodes behind it, as free.
fn chain(store: &impl Store, layout: &Layout, group: u32) -> Result<(), Error> {
    for page in 0..layout.record_pages {
        store.check_interrupts()?;
        let start = group * layout.group_nodes() + page * layout.records_per_page;
        let mut txn = store.begin();
        let state_slot = txn.lock(STATE_BLOCK)?;
        let mut state = State::from_page(layout, txn.page(state_slot))?;
        let slot = txn.lock(layout.record_place(start).0)?;
        for node in (start..start + layout.records_per_page).rev() {
            if Record::open(layout, txn.page(slot), node)?.state() == NodeState::Empty {
                let mut record = RecordMut::open(layout, txn.page_mut(slot), node)?;
                record.set_state(NodeState::Free);
                record.set_neighbours([state.free_head]);
                state.free_head = node;
                state.free_count += 1;
            }
        }
        state.write(txn.page_mut(state_slot))?;
        txn.commit()?;
    }
    Ok(())
}
