//! Searching the graph on pages. One page is locked at a time (of a vector that lies on several, its
//! first page stays locked).

use super::beam::{Beam, Item, Visited};
use super::layout::{CodeKind, Layout};
use super::meta::Meta;
use super::record::{NodeState, Peeked, Record, peek, room_to_peek, with_vector};
use super::space::{Aligned, Scorer};
use super::state::State;
use super::table;
use crate::alloc;
use crate::error::Error;
use crate::page::{self, Kind, NO_OWNER, Page, PageView};
use crate::store::Store;

/// A search under way.
pub(super) struct Search {
    pub scorer: Scorer,
    pub beam: Beam,
    pub visited: Visited,
    /// What found no place in the beam, if it is to be kept.
    pub discarded: Option<Vec<Item>>,
    /// Whether every node was scored.
    pub complete: bool,
    /// Nodes whose neighbours were looked at.
    pub expanded: u64,
    /// The node where [`Search::sweep`] goes on.
    swept: u32,
    fresh: Vec<u32>,
    vector: Aligned,
    /// Room for a look at a record without a lock; none where the search takes no such looks.
    peeked: Vec<u8>,
}

/// A node scored: dead ones are routes, and take no place from others.
struct Scored {
    score: f32,
    dead: bool,
}

impl Search {
    /// `width`: of the beam, as far as it is known.
    pub fn new(
        meta: &Meta,
        scorer: Scorer,
        width: usize,
        keep_discarded: bool,
    ) -> Result<Search, Error> {
        Ok(Search {
            scorer,
            beam: Beam::default(),
            visited: Visited::with_room(32 * width)?,
            discarded: keep_discarded.then(Vec::new),
            complete: false,
            expanded: 0,
            swept: 0,
            fresh: alloc::with_capacity(meta.layout.degree)?,
            vector: Aligned::zeroed(meta.layout.vector)?,
            peeked: Vec::new(),
        })
    }

    /// Lets the search score nodes by looks without a lock ([`Store::peek`]). For who reads again,
    /// under locks, what is found: a scan its rows, a writer the nodes that it links.
    pub fn peeking(mut self, layout: &Layout) -> Result<Search, Error> {
        self.peeked = room_to_peek(layout)?;
        Ok(self)
    }

    /// Fills the beam, `width` wide and a margin, with the nearest nodes that can be found from the
    /// entry points.
    pub fn run(
        &mut self,
        store: &impl Store,
        layout: &Layout,
        width: usize,
        margin: usize,
    ) -> Result<(), Error> {
        self.beam.reset(width, margin)?;
        self.enter(store, layout)?;
        self.expand(store, layout)
    }

    fn enter(&mut self, store: &impl Store, layout: &Layout) -> Result<(), Error> {
        let mut state = State::read(store, layout)?;
        while let Some(found) = state.table().copied() {
            store.check_interrupts()?;
            if let Some(nearest) = table::enter(store, layout, &found, &self.scorer)? {
                for item in nearest {
                    if self.visited.insert(item.node())? {
                        self.keep(item)?;
                    }
                }
                return Ok(());
            }
            let before = state;
            state = State::read(store, layout)?;
            if state.table() == before.table() {
                let what = "page of entry points is of another table";
                return Err(Error::corrupt(found.first_block, what));
            }
        }
        // No table yet: few rows.
        while self.sweep(store, layout)? {}
        Ok(())
    }

    fn keep(&mut self, item: Item) -> Result<(), Error> {
        if let Some(out) = self.beam.offer(item)
            && let Some(discarded) = &mut self.discarded
        {
            alloc::reserve(discarded, 1)?;
            discarded.push(out);
        }
        Ok(())
    }

    /// Expands the beam until nothing nearer turns up.
    pub fn expand(&mut self, store: &impl Store, layout: &Layout) -> Result<(), Error> {
        while let Some(node) = self.beam.expand() {
            store.check_interrupts()?;
            self.expanded += 1;
            self.collect(store, layout, node)?;
            for at in 0..self.fresh.len() {
                let neighbour = self.fresh[at];
                let scored = match self.peek(store, layout, neighbour) {
                    Some(scored) => Some(scored),
                    None => self.score(store, layout, neighbour)?,
                };
                if let Some(scored) = scored {
                    self.keep_scored(neighbour, &scored)?;
                    // Next in turn, as far as is known: while the others are scored, its page comes.
                    if self.beam.peek() == Some(neighbour) {
                        prefetch_links(store, layout, neighbour);
                    }
                }
            }
        }
        Ok(())
    }

    fn keep_scored(&mut self, node: u32, scored: &Scored) -> Result<(), Error> {
        if scored.dead {
            self.beam.widen()?;
        }
        self.keep(Item::new(scored.score, node))
    }

    /// The neighbours of a node that were not met before.
    fn collect(&mut self, store: &impl Store, layout: &Layout, node: u32) -> Result<(), Error> {
        self.fresh.clear();
        let page = store.read(layout.record_place(node).0)?;
        let record = Record::open(layout, &page, node)?;
        if matches!(record.state(), NodeState::Free | NodeState::Empty) {
            return Ok(());
        }
        for neighbour in record.neighbours() {
            let neighbour = neighbour?;
            if self.visited.insert(neighbour)? {
                self.fresh.push(neighbour);
            }
        }
        drop(page);
        for neighbour in &self.fresh {
            prefetch(store, layout, *neighbour);
        }
        if let Some(next) = self.beam.peek() {
            prefetch_links(store, layout, next);
        }
        Ok(())
    }

    /// Scores a node by a look at its record without a lock. `None` where that can't be done, and
    /// where it seems that there is no row: that must be read under a lock to be believed, for a
    /// node passed over would be a row lost.
    fn peek(&mut self, store: &impl Store, layout: &Layout, node: u32) -> Option<Scored> {
        let peeked = peek(store, layout, node, &mut self.peeked)?;
        match peeked.state {
            NodeState::Live | NodeState::Dead => Some(Scored {
                score: self.scorer.score(peeked.blob),
                dead: peeked.state == NodeState::Dead,
            }),
            NodeState::Free | NodeState::Empty | NodeState::Reserved => None,
        }
    }

    /// Scores a node; `None` where there is none any more.
    fn score(
        &mut self,
        store: &impl Store,
        layout: &Layout,
        node: u32,
    ) -> Result<Option<Scored>, Error> {
        if layout.code == CodeKind::Plain {
            let scorer = &self.scorer;
            let score = with_vector(store, layout, node, &mut self.vector, |_, vector| {
                scorer.score(vector)
            })?;
            // What is dead has no vector to be scored by: its neighbours' other ways must do.
            return Ok(score.map(|score| Scored { score, dead: false }));
        }
        let (block, at) = layout.record_place(node);
        let page = store.read(block)?;
        // Only the bytes asked for ahead of time, and not the page's header and special area, which
        // would be two cache misses more. What a damaged page says only steers: no node is handed
        // out unless its record was opened, and checked, to look at its neighbours.
        let Some(peeked) = Peeked::at(layout, &page, at) else {
            return Err(Error::corrupt(block, "page is too short"));
        };
        Ok(match peeked.state {
            NodeState::Free | NodeState::Empty => None,
            state => Some(Scored {
                score: self.scorer.score(peeked.blob),
                dead: state == NodeState::Dead,
            }),
        })
    }

    /// Scores the rows of the next pages, whether a path leads to them or not, until some that were
    /// not met before are found. `false` at the end, when every row has been met.
    pub fn sweep(&mut self, store: &impl Store, layout: &Layout) -> Result<bool, Error> {
        if self.complete {
            return Ok(false);
        }
        let state = State::read(store, layout)?;
        loop {
            store.check_interrupts()?;
            let first = state.skip_tables(layout, self.swept);
            if first >= state.next_node {
                self.complete = true;
                return Ok(false);
            }
            self.swept = first + layout.records_per_page - first % layout.records_per_page;
            let (block, _) = layout.record_place(first);
            self.fresh.clear();
            let page = store.read(block)?;
            if matches!(Page::open(block, &page)?, Page::Zeroed) {
                return Err(Error::corrupt(block, "page of nodes in use is zeroed"));
            }
            let view = PageView::open_as(block, &page, Kind::Record, NO_OWNER)?;
            alloc::reserve(&mut self.fresh, layout.records_per_page as usize)?;
            for node in first..self.swept.min(state.next_node) {
                let at = layout.record_place(node).1;
                let record = Record::on_page(layout, &view, at, node)?;
                if record.state() == NodeState::Live && self.visited.insert(node)? {
                    self.fresh.push(node);
                }
            }
            drop(page);
            for at in 0..self.fresh.len() {
                let node = self.fresh[at];
                if let Some(scored) = self.score(store, layout, node)? {
                    // No need to expand what the sweep reaches by itself.
                    self.keep(Item::new(scored.score, node).expanded())?;
                }
            }
            if !self.fresh.is_empty() {
                return Ok(true);
            }
        }
    }

    /// Begins another beam with the nearest of what was discarded.
    pub fn resume(
        &mut self,
        store: &impl Store,
        layout: &Layout,
        width: usize,
    ) -> Result<(), Error> {
        self.beam.reset(width, 0)?;
        if let Some(discarded) = &mut self.discarded {
            let rest = if discarded.len() > width {
                discarded.select_nth_unstable(width);
                width
            } else {
                discarded.len()
            };
            let mut nearest = alloc::with_capacity(rest)?;
            nearest.extend(discarded.drain(..rest));
            for item in nearest {
                self.beam.offer(item);
            }
        }
        self.expand(store, layout)
    }
}

/// Asks for a node's neighbours, and for what is checked of their page.
fn prefetch_links(store: &impl Store, layout: &Layout, node: u32) {
    let (block, at) = layout.record_place(node);
    let links = 4 * layout.degree;
    let at = crate::page::HEADER + at + layout.record - links;
    store.prefetch(block, at, links);
    page::prefetch_checked(store, block);
}

/// Asks for what is going to be scored of a node.
fn prefetch(store: &impl Store, layout: &Layout, node: u32) {
    let (block, at) = match layout.code {
        CodeKind::Plain => layout.vector_place(node),
        CodeKind::Rotated4 | CodeKind::Inline | CodeKind::Pruned => layout.record_place(node),
    };
    store.prefetch(block, crate::page::HEADER + at, 8 + layout.blob);
}
