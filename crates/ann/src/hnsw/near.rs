//! Nodes gathered from pages with their blobs, to choose neighbours among them.

use super::beam::Item;
use super::layout::{CodeKind, Layout};
use super::meta::Meta;
use super::record::{NodeState, Record, peek, room_to_peek, with_vector};
use super::select::{Pairs, Selection, select};
use super::space::{Aligned, Scorer, blob_words};
use crate::alloc;
use crate::error::Error;
use crate::store::Store;

/// Candidates for the neighbours of a node.
pub(super) struct Near {
    words: usize,
    bytes: usize,
    /// Of each candidate, in the order they were added.
    blobs: Vec<u64>,
    /// With the number of the candidate in place of the node.
    items: Vec<Item>,
    nodes: Vec<u32>,
    pair_scorer: Scorer,
    selection: Selection,
    vector: Aligned,
    /// Room for a look at a record without a lock; none where codes are the vectors themselves.
    peeked: Vec<u8>,
}

impl Near {
    pub fn new(meta: &Meta) -> Result<Near, Error> {
        Ok(Near {
            words: blob_words(&meta.layout),
            bytes: meta.layout.blob,
            blobs: Vec::new(),
            items: Vec::new(),
            nodes: Vec::new(),
            pair_scorer: Scorer::new(meta)?,
            selection: Selection::default(),
            vector: Aligned::zeroed(meta.layout.vector)?,
            peeked: room_to_peek(&meta.layout)?,
        })
    }

    pub fn clear(&mut self) {
        self.blobs.clear();
        self.items.clear();
        self.nodes.clear();
    }

    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Candidates in the order they were added.
    pub fn nodes(&self) -> &[u32] {
        &self.nodes
    }

    /// The blob of candidate number `at`.
    pub fn blob(&self, at: usize) -> &[u8] {
        &bytemuck::cast_slice(&self.blobs[at * self.words..][..self.words])[..self.bytes]
    }

    /// Adds a candidate whose blob is at hand.
    pub fn push(&mut self, scorer: &Scorer, node: u32, blob: &[u8]) -> Result<(), Error> {
        let at = self.nodes.len();
        let start = self.blobs.len();
        alloc::reserve(&mut self.blobs, self.words)?;
        alloc::reserve(&mut self.items, 1)?;
        alloc::reserve(&mut self.nodes, 1)?;
        self.blobs.resize(start + self.words, 0);
        bytemuck::cast_slice_mut(&mut self.blobs[start..])[..self.bytes].copy_from_slice(blob);
        self.nodes.push(node);
        self.items
            .push(Item::new(scorer.score(self.blob(at)), at as u32));
        Ok(())
    }

    /// Adds a node if it is a row.
    ///
    /// # Errors
    /// [`Error::Corrupt`], [`Error::OutOfMemory`], and those of the store.
    pub fn add(
        &mut self,
        store: &impl Store,
        layout: &Layout,
        scorer: &Scorer,
        node: u32,
    ) -> Result<bool, Error> {
        if layout.code == CodeKind::Plain {
            let mut vector = std::mem::take(&mut self.vector);
            let added = with_vector(store, layout, node, &mut vector, |_, payload| {
                self.push(scorer, node, payload)
            });
            self.vector = vector;
            return added?.transpose().map(|added| added.is_some());
        }
        let page = store.read(layout.record_place(node).0)?;
        let record = Record::open(layout, &page, node)?;
        if record.state() != NodeState::Live {
            return Ok(false);
        }
        self.push(scorer, node, record.blob())?;
        Ok(true)
    }

    /// Adds a node that a list leads to already: a look without a lock will do, since all that it decides
    /// is which of the links of that list stay.
    ///
    /// # Errors
    /// As for [`Near::add`].
    pub fn add_linked(
        &mut self,
        store: &impl Store,
        layout: &Layout,
        scorer: &Scorer,
        node: u32,
    ) -> Result<bool, Error> {
        let mut room = std::mem::take(&mut self.peeked);
        let added = match peek(store, layout, node, &mut room) {
            Some(seen) if seen.state == NodeState::Live => {
                self.push(scorer, node, seen.blob).map(|()| true)
            }
            _ => self.add(store, layout, scorer, node),
        };
        self.peeked = room;
        added
    }

    /// Chooses neighbours: nodes, those in different directions first, and how many these are.
    /// `copies` is the score of copies of the node.
    pub fn choose(
        &mut self,
        copies: f32,
        limit: usize,
        diverse: usize,
    ) -> Result<(Vec<u32>, usize), Error> {
        self.items.sort_unstable();
        let mut pairs = NearPairs {
            words: self.words,
            bytes: self.bytes,
            blobs: &self.blobs,
            items: &self.items,
            scorer: &mut self.pair_scorer,
        };
        select(
            &self.items,
            copies,
            limit,
            diverse,
            &mut pairs,
            &mut self.selection,
        );
        let mut chosen = alloc::with_capacity(self.selection.chosen.len())?;
        let numbers = self.selection.chosen.iter();
        chosen.extend(numbers.map(|at| self.nodes[self.items[*at as usize].node() as usize]));
        Ok((chosen, self.selection.diverse))
    }
}

struct NearPairs<'a> {
    words: usize,
    bytes: usize,
    blobs: &'a [u64],
    items: &'a [Item],
    scorer: &'a mut Scorer,
}

impl<'a> NearPairs<'a> {
    #[inline(always)]
    fn blob(&self, at: usize) -> &'a [u8] {
        let number = self.items[at].node() as usize;
        &bytemuck::cast_slice(&self.blobs[number * self.words..][..self.words])[..self.bytes]
    }
}

impl Pairs for NearPairs<'_> {
    fn take(&mut self, at: usize) {
        self.scorer.set_blob(self.blob(at));
    }

    #[inline(always)]
    fn score(&self, at: usize) -> f32 {
        self.scorer.score(self.blob(at))
    }
}
