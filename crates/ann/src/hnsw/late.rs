//! The rows of a build that its graph in memory had no room for. They join the graph on its pages,
//! best in a random order, and have links back from all their neighbours, where a single insert
//! saves some: a build has the time, and searches gain by it for as long as the index lives.

use super::entries::{LEAST_NODES, count};
use super::graph::mix;
use super::insert::{self, LinksBack};
use super::meta::Meta;
use super::refresh::refresh;
use super::space::Encoder;
use super::state::State;
use crate::alloc;
use crate::error::Error;
use crate::query::check_length;
use crate::row::Tid;
use crate::store::Store;

/// Adds the late rows of a build, whose pages nobody else sees yet.
pub struct LateRows<'s, S: Store> {
    store: &'s S,
    meta: Meta,
    encoder: Encoder,
    /// Nodes of the graph that was built in memory.
    built: u32,
}

impl<'s, S: Store> LateRows<'s, S> {
    /// Goes on where [`super::Builder::finish`] ended.
    ///
    /// # Errors
    /// [`Error::Corrupt`], [`Error::OutOfMemory`], and those of the store.
    pub fn new(store: &'s S) -> Result<Self, Error> {
        let meta = Meta::read(store)?;
        Ok(LateRows {
            store,
            encoder: Encoder::read(store, &meta)?,
            built: State::read(store, &meta.layout)?.next_node,
            meta,
        })
    }

    /// Adds a row. `payload` are the bytes of its vector in the element type of the index.
    ///
    /// # Errors
    /// As for [`super::insert`].
    pub fn insert(&mut self, tid: Tid, payload: &[u8]) -> Result<(), Error> {
        check_length(self.meta.spec(), payload)?;
        let (store, meta, encoder) = (self.store, &self.meta, &mut self.encoder);
        insert::add(store, meta, encoder, tid, payload, LinksBack::All)
    }

    /// Lets searches start from those that were there first, of whichever rows: the later a node
    /// came, the fewer long links it has. If rows came in a random order the first of them are a
    /// random sample.
    ///
    /// # Errors
    /// As for [`super::insert`].
    pub fn finish(self) -> Result<(), Error> {
        let layout = &self.meta.layout;
        let state = State::read(self.store, layout)?;
        let (nodes, built) = (state.next_node, self.built);
        if nodes < LEAST_NODES || nodes == built {
            return Ok(());
        }
        let wanted = count(layout, state.used_nodes().into());
        let of_built = wanted * u64::from(built) / u64::from(nodes);
        let mut sample = alloc::with_capacity(wanted as usize)?;
        sample.extend((0..of_built).map(|at| (at * u64::from(built) / of_built) as u32));
        let early = (built..nodes).filter(|node| state.skip_tables(layout, *node) == *node);
        sample.extend(early.take((wanted - of_built) as usize));
        // The first become leaders.
        sample.sort_unstable_by_key(|node| mix(self.meta.spec().seed ^ u64::from(*node)));
        refresh(self.store, &self.meta, Some(&sample))
    }
}
