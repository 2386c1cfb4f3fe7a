//! The state page (block 1): what changes about the index as a whole.

use super::layout::{Layout, STATE_BLOCK};
use crate::error::Error;
use crate::page::{Kind, NO_OWNER, PageMut, PageView, put_u32, u32_at};
use crate::store::Store;

/// No node.
pub(super) const NO_NODE: u32 = u32::MAX;
/// No table is in use.
const NO_TABLE: u32 = 2;
/// Bytes of the body.
const LEN: usize = 64;

/// Where a table of entry points lies: whole groups that hold no nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Table {
    /// The first block of a group; 0 where the place was never used.
    pub first_block: u32,
    pub leaders: u32,
    pub members: u32,
    /// Generation of its pages.
    pub version: u32,
}

impl Table {
    /// Pages of the leaders, which come first.
    pub fn leader_pages(&self, layout: &Layout) -> u32 {
        self.leaders.div_ceil(layout.entries_per_page)
    }

    pub fn pages(&self, layout: &Layout) -> u32 {
        self.leader_pages(layout) + self.members.div_ceil(layout.entries_per_page)
    }

    /// The groups it lies in: the first, and the one behind the last.
    pub fn groups(&self, layout: &Layout) -> (u32, u32) {
        if self.first_block == 0 {
            return (0, 0);
        }
        let first = (self.first_block - layout.groups_start) / layout.group_pages();
        (
            first,
            first + self.pages(layout).div_ceil(layout.group_pages()),
        )
    }
}

/// The contents of the state page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct State {
    /// Nodes from here on were never used.
    pub next_node: u32,
    /// The first of the freed nodes, each of which names the next.
    pub free_head: u32,
    pub free_count: u32,
    /// Two places for a table: a new one is written beside the one in use.
    pub tables: [Table; 2],
    /// Which table is in use.
    pub current: Option<usize>,
    /// Nodes in use when it was made.
    pub nodes_at_table: u32,
}

impl State {
    pub const EMPTY: State = State {
        next_node: 0,
        free_head: NO_NODE,
        free_count: 0,
        tables: [Table {
            first_block: 0,
            leaders: 0,
            members: 0,
            version: 0,
        }; 2],
        current: None,
        nodes_at_table: 0,
    };

    pub fn read(store: &impl Store, layout: &Layout) -> Result<State, Error> {
        State::from_page(layout, &store.read(STATE_BLOCK)?)
    }

    /// # Errors
    /// [`Error::Corrupt`] for anything no writer of ours leaves.
    pub fn from_page(layout: &Layout, bytes: &[u8]) -> Result<State, Error> {
        let view = PageView::open_as(STATE_BLOCK, bytes, Kind::State, NO_OWNER)?;
        let body = view.used();
        if body.len() != LEN {
            return Err(Error::corrupt(
                STATE_BLOCK,
                "state page has the wrong length",
            ));
        }
        let table = |at| Table {
            first_block: u32_at(body, at),
            leaders: u32_at(body, at + 4),
            members: u32_at(body, at + 8),
            version: u32_at(body, at + 12),
        };
        let state = State {
            next_node: u32_at(body, 0),
            free_head: u32_at(body, 4),
            free_count: u32_at(body, 8),
            tables: [table(16), table(32)],
            current: match u32_at(body, 12) {
                0 => Some(0),
                1 => Some(1),
                _ => None,
            },
            nodes_at_table: u32_at(body, 48),
        };
        let sound = u32_at(body, 12) <= NO_TABLE
            && state.next_node <= layout.max_nodes()
            && (state.free_head == NO_NODE || state.free_head < state.next_node)
            && (state.free_head == NO_NODE) == (state.free_count == 0)
            && state.tables.iter().all(|table| is_sound(layout, table))
            && state.table().is_none_or(|table| table.members > 0);
        if !sound {
            return Err(Error::corrupt(STATE_BLOCK, "state page is broken"));
        }
        Ok(state)
    }

    /// The table in use.
    pub fn table(&self) -> Option<&Table> {
        self.current.map(|current| &self.tables[current])
    }

    /// Nodes in use, and those of groups that hold a table in between.
    pub fn used_nodes(&self) -> u32 {
        self.next_node.saturating_sub(self.free_count)
    }

    /// The first node from `node` on whose group holds no table.
    pub fn skip_tables(&self, layout: &Layout, node: u32) -> u32 {
        let mut node = node;
        // Twice: behind one table may lie the other.
        for _ in 0..2 {
            for table in &self.tables {
                let (first, end) = table.groups(layout);
                if (first..end).contains(&(node / layout.group_nodes())) {
                    node = end.saturating_mul(layout.group_nodes());
                }
            }
        }
        node
    }

    /// Writes the whole page.
    pub fn format(&self, bytes: &mut [u8]) {
        let mut page = PageMut::init(bytes, Kind::State, NO_OWNER, 1);
        page.set_used(LEN);
        self.write_body(page.body_mut());
    }

    /// Writes to a state page.
    pub fn write(&self, bytes: &mut [u8]) -> Result<(), Error> {
        self.write_body(PageMut::open(STATE_BLOCK, bytes)?.body_mut());
        Ok(())
    }

    fn write_body(&self, body: &mut [u8]) {
        put_u32(body, 0, self.next_node);
        put_u32(body, 4, self.free_head);
        put_u32(body, 8, self.free_count);
        put_u32(body, 12, self.current.map_or(NO_TABLE, |at| at as u32));
        for (at, table) in [(16, &self.tables[0]), (32, &self.tables[1])] {
            put_u32(body, at, table.first_block);
            put_u32(body, at + 4, table.leaders);
            put_u32(body, at + 8, table.members);
            put_u32(body, at + 12, table.version);
        }
        put_u32(body, 48, self.nodes_at_table);
    }
}

fn is_sound(layout: &Layout, table: &Table) -> bool {
    if table.first_block == 0 {
        return *table == Table::default();
    }
    let most = super::entries::MOST_MEMBERS;
    table.first_block >= layout.groups_start
        && (table.first_block - layout.groups_start).is_multiple_of(layout.group_pages())
        && table.leaders <= table.members
        && table.members <= most
        && (table.leaders > 0) == (table.members > 0)
        && table.first_block.checked_add(table.pages(layout)).is_some()
}
