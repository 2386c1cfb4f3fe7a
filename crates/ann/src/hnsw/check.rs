//! The verifier: reads every page and every link, and reports whatever no writer of ours leaves.
//!
//! Writers and vacuum are kept out by the host meanwhile; what changes under a check could look
//! like damage. Every node is visited once, so that it ends on any bytes.

use std::borrow::Cow;

use super::halves;
use super::layout::{CodeKind, Layout, Role, STATE_BLOCK};
use super::meta::Meta;
use super::record::{NodeState, Record, with_vector};
use super::space::{Aligned, Encoder, elements};
use super::state::{NO_NODE, State};
use super::table;
use super::vacuum::pages;
use crate::alloc;
use crate::error::Error;
use crate::page::{Kind, NO_OWNER, Page, u32_at};
use crate::query::check_length;
use crate::row::Tid;
use crate::row::{Table, TidState};
use crate::store::{NO_BLOCK, Store};

/// Something that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The page, [`NO_BLOCK`] where it is about no page in particular.
    pub block: u32,
    /// The node, where it is about one.
    pub node: Option<u32>,
    /// `meta`, `header`, `kind`, `state`, `centre`, `record`, `link`, `vector`, `code`, `tid`,
    /// `free`, `entry`; and without harm `dangling`, `unreached`, `unfinished` and `leaked`.
    pub kind: &'static str,
    pub message: Cow<'static, str>,
}

impl Finding {
    /// Whether searches are right all the same. A link to a freed node is passed over, a row that no
    /// path leads to is found by a scan that goes on to the end, and a node left by an aborted
    /// insert or not chained as free wastes room until vacuum takes it.
    pub fn is_harmless(&self) -> bool {
        matches!(
            self.kind,
            "dangling" | "unreached" | "unfinished" | "leaked"
        )
    }
}

/// Verifies an index. `meta` is what [`Meta::read`] gave; where that failed, only the pages' headers
/// are looked at. `heap` is asked for every row; `table` for the vectors of an index that leaves them
/// there, with which its codes are compared.
///
/// # Errors
/// [`Error::Interrupted`] and [`Error::OutOfMemory`]; whatever else goes wrong is a finding.
pub fn check(
    store: &impl Store,
    meta: &Result<Meta, Error>,
    heap: &mut dyn FnMut(Tid) -> TidState,
    table: Option<&dyn Table>,
    report: &mut dyn FnMut(Finding),
) -> Result<(), Error> {
    let mut checker = Checker {
        store,
        table,
        report,
    };
    let meta = match meta {
        Ok(meta) => Some(meta),
        Err(error) => {
            checker.stop_or_report(error.clone(), 0, "meta")?;
            None
        }
    };
    let state = match meta.map(|meta| State::read(store, &meta.layout)) {
        Some(Ok(state)) => Some(state),
        Some(Err(error)) => {
            checker.stop_or_report(error, STATE_BLOCK, "state")?;
            None
        }
        None => None,
    };
    for block in 0..store.blocks() {
        store.check_interrupts()?;
        if let Err(error) = checker.header(block, meta.map(|meta| &meta.layout), state.as_ref()) {
            checker.stop_or_report(error, block, "header")?;
        }
    }
    if let (Some(meta), Some(state)) = (meta, state) {
        checker.graph(meta, &state, heap)?;
    }
    Ok(())
}

struct Checker<'a, S: Store> {
    store: &'a S,
    table: Option<&'a dyn Table>,
    report: &'a mut dyn FnMut(Finding),
}

impl<S: Store> Checker<'_, S> {
    fn find(
        &mut self,
        block: u32,
        node: Option<u32>,
        kind: &'static str,
        message: impl Into<Cow<'static, str>>,
    ) {
        (self.report)(Finding {
            block,
            node,
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
            Error::Interrupted | Error::OutOfMemory { .. } => return Err(error),
            Error::Corrupt { block, what } => self.find(block, None, kind, what),
            error => self.find(block, None, kind, error.to_string()),
        }
        Ok(())
    }

    /// Looks at a page's header, and at its kind where that is known.
    fn header(
        &mut self,
        block: u32,
        layout: Option<&Layout>,
        state: Option<&State>,
    ) -> Result<(), Error> {
        let page = self.store.read(block)?;
        let (kind, owner) = match Page::open(block, &page)? {
            Page::Written(view) => (Some(view.kind()), view.owner()),
            Page::Zeroed => (None, NO_OWNER),
        };
        drop(page);
        if owner != NO_OWNER {
            let message = format!("page belongs to {owner} instead of nobody");
            self.find(block, None, "header", message);
        }
        let (Some(layout), Some(state)) = (layout, state) else {
            return Ok(());
        };
        // Pages of the place that is not in use may be being given to nodes.
        let in_table = state.table().is_some_and(|table| {
            let (first, end) = table.groups(layout);
            (layout.group_block(first)..layout.group_block(end)).contains(&block)
        });
        let expected = match (layout.role(block), kind) {
            (None, Some(kind)) => match block {
                0 => kind == Kind::Meta,
                STATE_BLOCK => kind == Kind::State,
                _ => kind == Kind::Centroid,
            },
            (None, None) => false,
            // What was written before the record that makes it count, or of a table given up.
            (Some(_), None | Some(Kind::Entry)) => true,
            (Some(Role::Records { .. }), Some(kind)) => kind == Kind::Record && !in_table,
            (Some(Role::Vectors), Some(kind)) => kind == Kind::Vector && !in_table,
        };
        if !expected {
            let message = match kind {
                Some(kind) => format!("{kind:?} page lies where none belongs"),
                None => "page is zeroed".to_owned(),
            };
            self.find(block, None, "kind", message);
        }
        Ok(())
    }

    fn graph(
        &mut self,
        meta: &Meta,
        state: &State,
        heap: &mut dyn FnMut(Tid) -> TidState,
    ) -> Result<(), Error> {
        let encoder = match Encoder::read(self.store, meta) {
            Ok(encoder) => Some(encoder),
            Err(error) => {
                self.stop_or_report(error, NO_BLOCK, "centre")?;
                None
            }
        };
        let mut nodes = Nodes {
            meta,
            encoder,
            blob: Aligned::zeroed(meta.layout.blob)?,
            vector: Aligned::zeroed(meta.layout.vector)?,
            half: Aligned::zeroed(if meta.layout.halved {
                meta.layout.stored
            } else {
                0
            })?,
            states: alloc::filled(NodeState::Empty, state.next_node as usize)?,
            tids: Vec::new(),
        };
        for range in pages(&meta.layout, state) {
            for node in range {
                self.store.check_interrupts()?;
                if let Err(error) = self.node(&mut nodes, node, heap) {
                    self.stop_or_report(error, NO_BLOCK, "record")?;
                }
            }
        }
        nodes.tids.sort_unstable();
        for pair in nodes.tids.windows(2) {
            if pair[0].0 == pair[1].0 {
                let (tid, node) = pair[1];
                let block = meta.layout.record_place(node).0;
                let message = format!("row ({},{}) is indexed twice", tid >> 16, tid & 0xFFFF);
                self.find(block, Some(node), "tid", message);
            }
        }
        self.links(meta, state, &nodes.states)?;
        self.free_nodes(&meta.layout, state, &nodes.states)?;
        self.reach(meta, state, &nodes.states)
    }

    /// Looks at a record and its vector.
    fn node(
        &mut self,
        nodes: &mut Nodes<'_>,
        node: u32,
        heap: &mut dyn FnMut(Tid) -> TidState,
    ) -> Result<(), Error> {
        let layout = &nodes.meta.layout;
        let (block, _) = layout.record_place(node);
        let page = self.store.read(block)?;
        let record = Record::open(layout, &page, node)?;
        let (state, tid) = (record.state(), record.tid());
        nodes.states[node as usize] = state;
        let has_blob = layout.code != CodeKind::Plain && nodes.encoder.is_some();
        if has_blob {
            nodes.blob.as_mut_slice().copy_from_slice(record.blob());
        }
        drop(page);
        match state {
            NodeState::Live => {}
            NodeState::Reserved => {
                self.find(block, Some(node), "unfinished", "row was never finished");
                return Ok(());
            }
            NodeState::Empty => {
                self.find(block, Some(node), "leaked", "node was never used");
                return Ok(());
            }
            NodeState::Dead | NodeState::Free => {
                if layout.vector > 0 {
                    let row = with_vector(self.store, layout, node, &mut nodes.vector, |_, _| ());
                    // An aborted insert may have left a page that was never written.
                    if matches!(row, Ok(Some(()))) {
                        let message = "vector of a removed row still counts";
                        self.find(layout.vector_place(node).0, Some(node), "vector", message);
                    }
                }
                return Ok(());
            }
        }
        if !tid.is_valid() {
            self.find(block, Some(node), "tid", "record leads to no row");
        } else {
            if heap(tid) == TidState::Missing {
                let message = format!("row ({},{}) is not in the table", tid.block, tid.offset);
                self.find(block, Some(node), "tid", message);
            }
            alloc::reserve(&mut nodes.tids, 1)?;
            nodes.tids.push((tid.to_u64(), node));
        }
        if layout.in_table {
            return self.code_of_row(nodes, node, tid);
        }
        let mut fresh = Aligned::zeroed(layout.blob)?;
        let (encoder, half) = (nodes.encoder.as_mut(), nodes.half.as_mut_slice());
        let row = with_vector(
            self.store,
            layout,
            node,
            &mut nodes.vector,
            |tid, stored| {
                let coded = match encoder {
                    _ if layout.halved => {
                        half.copy_from_slice(stored);
                        Ok(())
                    }
                    Some(encoder) => encoder.encode(stored, fresh.as_mut_slice()),
                    None => Ok(()),
                };
                coded.map(|()| tid)
            },
        )?;
        let row = row.transpose()?;
        match row {
            None => self.find(block, Some(node), "vector", "row has no vector"),
            Some(other) if other != tid => {
                self.find(block, Some(node), "vector", "vector is of another row");
            }
            Some(_) if layout.halved => return self.code_of_row(nodes, node, tid),
            Some(_) if has_blob && fresh.as_slice() != nodes.blob.as_slice() => {
                self.find(block, Some(node), "code", "code is not that of the vector");
            }
            Some(_) => {}
        }
        Ok(())
    }

    /// Compares the code just read, and the vector at half of its size, with the vector in the table, if the row
    /// can be seen there. (A row that was changed in place keeps its vector.)
    fn code_of_row(&mut self, nodes: &mut Nodes<'_>, node: u32, tid: Tid) -> Result<(), Error> {
        let layout = &nodes.meta.layout;
        let (Some(encoder), Some(table)) = (nodes.encoder.as_mut(), self.table) else {
            return Ok(());
        };
        let mut fresh = Aligned::zeroed(layout.blob)?;
        let mut half = Aligned::zeroed(nodes.half.as_slice().len())?;
        let mut coded = Ok(());
        let block = layout.record_place(node).0;
        let seen = table.row(tid, &mut |payload| {
            coded = check_length(nodes.meta.spec(), payload)
                .and_then(|()| encoder.encode(payload, fresh.as_mut_slice()));
            if layout.halved && coded.is_ok() {
                halves::write(&elements(payload), half.as_mut_slice());
            }
        });
        match seen {
            // What is wrong with the row's place was reported before.
            Ok(false) | Err(Error::Corrupt { .. }) => return Ok(()),
            Ok(true) => {}
            Err(error) => return Err(error),
        }
        if let Err(error) = coded {
            self.find(block, Some(node), "vector", error.to_string());
        } else if fresh.as_slice() != nodes.blob.as_slice() {
            let message = "code is not that of the row's vector";
            self.find(block, Some(node), "code", message);
        } else if half.as_slice() != nodes.half.as_slice() {
            let (block, _) = layout.vector_place(node);
            let message = "vector is not the one in the table";
            self.find(block, Some(node), "vector", message);
        }
        Ok(())
    }

    /// Looks at every link.
    fn links(&mut self, meta: &Meta, state: &State, states: &[NodeState]) -> Result<(), Error> {
        let layout = &meta.layout;
        for range in pages(layout, state) {
            self.store.check_interrupts()?;
            for node in range {
                if matches!(states[node as usize], NodeState::Live | NodeState::Reserved)
                    && let Err(error) = self.links_of(layout, node, states)
                {
                    self.stop_or_report(error, NO_BLOCK, "link")?;
                }
            }
        }
        Ok(())
    }

    fn links_of(&mut self, layout: &Layout, node: u32, states: &[NodeState]) -> Result<(), Error> {
        let (block, _) = layout.record_place(node);
        let mut list = neighbours(self.store, layout, node)?;
        for near in &list {
            let kind = match states.get(*near as usize) {
                Some(NodeState::Live | NodeState::Dead | NodeState::Reserved) => continue,
                Some(NodeState::Free) => "dangling",
                Some(NodeState::Empty) | None => "link",
            };
            let message = format!("leads to node {near}, which is not in use");
            self.find(block, Some(node), kind, message);
        }
        list.sort_unstable();
        if list.windows(2).any(|pair| pair[0] == pair[1]) {
            self.find(block, Some(node), "link", "leads to a node twice");
        }
        Ok(())
    }

    /// Follows the chain of free nodes.
    fn free_nodes(
        &mut self,
        layout: &Layout,
        state: &State,
        states: &[NodeState],
    ) -> Result<(), Error> {
        let mut chained = alloc::filled(false, states.len())?;
        let (mut node, mut count) = (state.free_head, 0);
        while node != NO_NODE {
            self.store.check_interrupts()?;
            let block = STATE_BLOCK;
            if states.get(node as usize) != Some(&NodeState::Free) || chained[node as usize] {
                self.find(block, Some(node), "free", "chain of free nodes is broken");
                return Ok(());
            }
            chained[node as usize] = true;
            count += 1;
            let page = self.store.read(layout.record_place(node).0)?;
            match Record::open(layout, &page, node).map(|record| record.next_free()) {
                Ok(next) => node = next,
                Err(_) => return Ok(()), // reported with the record
            }
        }
        if count != state.free_count {
            let message = format!("{count} free nodes are chained, not {}", state.free_count);
            self.find(STATE_BLOCK, None, "free", message);
        }
        for (node, chained) in chained.iter().enumerate() {
            if !chained && states[node] == NodeState::Free {
                let message = "free node is not chained";
                self.find(NO_BLOCK, Some(node as u32), "leaked", message);
            }
        }
        Ok(())
    }

    /// Follows all paths from the entry points.
    fn reach(&mut self, meta: &Meta, state: &State, states: &[NodeState]) -> Result<(), Error> {
        let layout = &meta.layout;
        let Some(found) = state.table() else {
            return Ok(());
        };
        let (mut leaders, mut entries) = (
            alloc::with_capacity(found.leaders as usize)?,
            alloc::with_capacity(found.members as usize)?,
        );
        let first_page = found.leader_pages(layout);
        let all = 0..found.members;
        let read = table::for_each_leader(self.store, layout, found, |leader, _| {
            leaders.push(u32_at(leader, 0));
        })
        .and_then(|went_on| {
            let member = |entry: &[u8]| entries.push(u32_at(entry, 0));
            Ok(went_on && table::for_each(self.store, layout, found, first_page, all, member)?)
        });
        match read {
            Err(error) => self.stop_or_report(error, found.first_block, "entry")?,
            Ok(false) => {
                let message = "page is of another table of entry points";
                self.find(found.first_block, None, "entry", message);
            }
            Ok(true) => {}
        }
        entries.sort_unstable();
        let twice = entries.windows(2).any(|pair| pair[0] == pair[1]);
        if twice || (leaders.iter()).any(|leader| entries.binary_search(leader).is_err()) {
            let message = "an entry point is there twice, or leads others and is none";
            self.find(found.first_block, None, "entry", message);
        }
        let mut reached = alloc::filled(false, states.len())?;
        let mut stack = alloc::with_capacity(states.len())?;
        for entry in entries {
            match reached.get_mut(entry as usize) {
                None => {
                    let message = format!("entry point {entry} is out of range");
                    self.find(found.first_block, None, "entry", message);
                }
                Some(reached) if !*reached => {
                    *reached = true;
                    stack.push(entry);
                }
                Some(_) => {}
            }
        }
        while let Some(node) = stack.pop() {
            self.store.check_interrupts()?;
            if matches!(states[node as usize], NodeState::Free | NodeState::Empty) {
                continue;
            }
            // Damaged lists were reported before.
            for near in neighbours(self.store, layout, node).unwrap_or_default() {
                if let Some(reached) = reached.get_mut(near as usize)
                    && !std::mem::replace(reached, true)
                {
                    stack.push(near);
                }
            }
        }
        for (node, reached) in reached.iter().enumerate() {
            if !reached && states[node] == NodeState::Live {
                let block = layout.record_place(node as u32).0;
                let message = "no path leads to this row";
                self.find(block, Some(node as u32), "unreached", message);
            }
        }
        Ok(())
    }
}

fn neighbours(store: &impl Store, layout: &Layout, node: u32) -> Result<Vec<u32>, Error> {
    let page = store.read(layout.record_place(node).0)?;
    let mut list = alloc::with_capacity(layout.degree)?;
    for near in Record::open(layout, &page, node)?.neighbours() {
        list.push(near?);
    }
    Ok(list)
}

/// What is carried along from node to node.
struct Nodes<'m> {
    meta: &'m Meta,
    /// `None` where the centre can't be read: then codes are not compared.
    encoder: Option<Encoder>,
    blob: Aligned,
    vector: Aligned,
    /// The vector of a node at half of its size, of an index that has these.
    half: Aligned,
    states: Vec<NodeState>,
    /// Every row, and its node.
    tids: Vec<(u64, u32)>,
}
