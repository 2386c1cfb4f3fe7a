//! Building a graph in memory.
//!
//! Nodes are added in a random order (of the seed) and in batches: the nodes of a batch search the
//! graph as it was before the batch, all at once; then their links are entered, and the links back,
//! every list by one thread. So the graph depends on rows and seed alone, and not on threads
//! (ParlayANN, PPoPP 2024). A list of links back may outgrow the degree by some *slack* before it is
//! cut back, which saves most of the cutting.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use pgnear_device::{MemoryBudget, Progress, Workers};
use pgnear_kernels::prefetch;

use super::beam::{Beam, Item, Visited};
use super::cells::{self, Cells, Room};
use super::entries::{self, Groups};
use super::meta::Meta;
use super::select::{Pairs, Selection, select};
use super::space::{Scorer, blob_words};
use crate::alloc;
use crate::error::Error;

/// Links that a list may hold beyond the degree until it is cut.
const SLACK: usize = 16;
/// Most nodes of a batch, and the share of the graph that it may be at most: what a batch adds,
/// its own nodes do not see.
const BATCH: usize = 2048;
const BATCH_SHARE: usize = 32;
/// Where nodes can be found together, one in so many is added by a search before: theirs are the links
/// that lead far.
const FIRST_SHARE: usize = 16;
/// Nodes of a task handed to a thread.
const TASK: usize = 16;
/// Blobs of a chunk.
const CHUNK: usize = 1 << 12;

/// The blobs of all nodes, in chunks, so that to grow copies nothing.
pub(super) struct Blobs {
    chunks: Vec<Vec<u64>>,
    words: usize,
    bytes: usize,
    len: usize,
}

impl Blobs {
    pub fn new(meta: &Meta) -> Blobs {
        Blobs {
            chunks: Vec::new(),
            words: blob_words(&meta.layout),
            bytes: meta.layout.blob,
            len: 0,
        }
    }

    pub fn len(&self) -> usize {
        self.len
    }

    /// Bytes of a blob in memory.
    pub fn bytes_each(meta: &Meta) -> usize {
        blob_words(&meta.layout) * 8
    }

    /// Room for one more blob, all zero.
    pub fn push(&mut self) -> Result<&mut [u8], Error> {
        if self.len.is_multiple_of(CHUNK) {
            alloc::reserve(&mut self.chunks, 1)?;
            self.chunks.push(alloc::filled(0, CHUNK * self.words)?);
        }
        let at = self.len % CHUNK * self.words;
        self.len += 1;
        let chunk = (self.chunks.last_mut()).ok_or(Error::Invalid("no chunk of blobs"))?;
        let words = &mut chunk[at..at + self.words];
        Ok(&mut bytemuck::cast_slice_mut(words)[..self.bytes])
    }

    #[inline(always)]
    pub fn get(&self, node: u32) -> &[u8] {
        let (chunk, at) = (node as usize / CHUNK, node as usize % CHUNK * self.words);
        &bytemuck::cast_slice(&self.chunks[chunk][at..at + self.words])[..self.bytes]
    }
}

/// Neighbour lists of all nodes.
pub(super) struct Graph {
    degree: usize,
    capacity: usize,
    /// Only whoever owns a node in the present phase writes its links: no order is needed.
    links: Vec<AtomicU32>,
    lengths: Vec<AtomicU32>,
}

/// Bytes a node beside its blob while a graph is built: links, length, place in the order, and what
/// the search for paths in the end takes.
pub(super) fn bytes_per_node(meta: &Meta) -> usize {
    4 * (meta.layout.degree + SLACK) + 4 + 4 + 6
}

/// Bytes beside those of `nodes`: of their largest batch, and of each thread.
pub(super) fn bytes_beside(meta: &Meta, nodes: usize, threads: usize) -> usize {
    let batch = (nodes / BATCH_SHARE).min(BATCH) * meta.layout.degree * (4 + 8 + 4);
    batch + threads * (1 << 17)
}

impl Graph {
    fn new(meta: &Meta, nodes: usize) -> Result<Graph, Error> {
        let (degree, capacity) = (meta.layout.degree, meta.layout.degree + SLACK);
        let mut links = alloc::with_capacity(nodes * capacity)?;
        links.resize_with(nodes * capacity, || AtomicU32::new(0));
        let mut lengths = alloc::with_capacity(nodes)?;
        lengths.resize_with(nodes, || AtomicU32::new(0));
        Ok(Graph {
            degree,
            capacity,
            links,
            lengths,
        })
    }

    #[inline(always)]
    fn list(&self, node: u32) -> &[AtomicU32] {
        let at = node as usize * self.capacity;
        let length = self.lengths[node as usize].load(Relaxed) as usize;
        &self.links[at..at + length.min(self.capacity)]
    }

    /// The neighbours of a node.
    pub fn neighbours(&self, node: u32) -> impl Iterator<Item = u32> {
        self.list(node).iter().map(|link| link.load(Relaxed))
    }

    fn push(&self, node: u32, neighbour: u32) -> bool {
        let length = self.lengths[node as usize].load(Relaxed) as usize;
        if length == self.capacity {
            return false;
        }
        self.links[node as usize * self.capacity + length].store(neighbour, Relaxed);
        self.lengths[node as usize].store(length as u32 + 1, Relaxed);
        true
    }

    fn set(&self, node: u32, neighbours: impl Iterator<Item = u32>) {
        self.lengths[node as usize].store(0, Relaxed);
        for neighbour in neighbours {
            self.push(node, neighbour);
        }
    }
}

/// What one thread works with.
struct Scratch {
    scorer: Scorer,
    /// Of candidates, against each other.
    pair_scorer: Scorer,
    beam: Beam,
    visited: Visited,
    fresh: Vec<u32>,
    candidates: Vec<Item>,
    selection: Selection,
    /// Where nodes find their neighbours together.
    room: Option<Room>,
}

impl Scratch {
    /// The candidates chosen, those in different directions first.
    fn chosen(&self) -> impl Iterator<Item = u32> {
        let chosen = self.selection.chosen.iter();
        chosen.map(|at| self.candidates[*at as usize].node())
    }
}

struct BlobPairs<'a> {
    blobs: &'a Blobs,
    candidates: &'a [Item],
    scorer: &'a mut Scorer,
}

impl Pairs for BlobPairs<'_> {
    fn take(&mut self, at: usize) {
        self.scorer
            .set_blob(self.blobs.get(self.candidates[at].node()));
    }

    #[inline(always)]
    fn score(&self, at: usize) -> f32 {
        self.scorer
            .score(self.blobs.get(self.candidates[at].node()))
    }
}

/// Builds the graph over `blobs`, and its table of entry points. `progress` counts nodes.
///
/// # Errors
/// [`Error::OutOfMemory`] (memory is counted by the caller, see [`bytes_per_node`]);
/// [`Error::Interrupted`] where the work was cancelled.
pub(super) fn build(
    workers: &Workers<'_>,
    progress: &Progress,
    meta: &Meta,
    blobs: &Blobs,
    budget: &MemoryBudget,
) -> Result<(Graph, Groups), Error> {
    let nodes = blobs.len();
    progress.begin(nodes as u64);
    let order = random_order(nodes, meta.spec().seed)?;
    let mut scratches = Vec::new();
    for _ in 0..workers.threads() {
        alloc::reserve(&mut scratches, 1)?;
        scratches.push(Scratch {
            scorer: Scorer::new(meta)?,
            pair_scorer: Scorer::new(meta)?,
            beam: Beam::default(),
            visited: Visited::default(),
            fresh: alloc::with_capacity(meta.layout.degree + SLACK)?,
            candidates: Vec::new(),
            selection: Selection::default(),
            room: None,
        });
    }
    let mut build = Build {
        meta,
        blobs,
        graph: Graph::new(meta, nodes)?,
        groups: Groups::default(),
        order: &order,
        scratches: Mutex::new(scratches),
        failed: Mutex::new(None),
    };
    let together = cells::serve(meta, blobs, budget, workers.threads());
    let one_by_one = if together { nodes / FIRST_SHARE } else { nodes };
    let mut done = 0;
    let mut with_groups = 0;
    let mut chosen = Vec::new();
    let mut back = Vec::new();
    while done < one_by_one {
        if done >= 2 * with_groups {
            with_groups = done;
            build.regroup(done)?;
        }
        let count = (done / BATCH_SHARE).clamp(1, BATCH).min(one_by_one - done);
        build.add(workers, done, count, &mut chosen, &mut back)?;
        done += count;
        progress.advance(count as u64);
    }
    if done < nodes {
        build.add_together(workers, done, &mut chosen, &mut back, progress)?;
    }
    build.cut_all(workers)?;
    build.regroup(nodes)?;
    build.connect(workers)?;
    Ok((build.graph, build.groups))
}

struct Build<'a> {
    meta: &'a Meta,
    blobs: &'a Blobs,
    graph: Graph,
    groups: Groups,
    order: &'a [u32],
    scratches: Mutex<Vec<Scratch>>,
    failed: Mutex<Option<Error>>,
}

/// No neighbour.
const NONE: u32 = u32::MAX;

/// A link from `target` to `node`, in the order of targets.
fn pair(target: u32, node: u32) -> u64 {
    u64::from(target) << 32 | u64::from(node)
}

impl Build<'_> {
    /// Makes the table of entry points of the first `done` nodes, a random sample of which are the
    /// first of these.
    fn regroup(&mut self, done: usize) -> Result<(), Error> {
        let count = entries::count(&self.meta.layout, done as u64) as usize;
        let sample = &self.order[..count.min(done)];
        self.groups = Groups::new(self.meta, sample, |node| self.blobs.get(node))?;
        Ok(())
    }

    /// Adds the nodes `order[done..done + count]`.
    fn add(
        &mut self,
        workers: &Workers<'_>,
        done: usize,
        count: usize,
        chosen: &mut Vec<u32>,
        back: &mut Vec<u64>,
    ) -> Result<(), Error> {
        let degree = self.graph.degree;
        chosen.clear();
        alloc::reserve(chosen, count * degree)?;
        chosen.resize(count * degree, NONE);
        let batch = &self.order[done..done + count];
        let this = &*self;
        let went_on = workers.for_each_chunk_mut(chosen, TASK * degree, |task, lists| {
            this.with_scratch(|scratch| {
                for (at, list) in lists.chunks_mut(degree).enumerate() {
                    this.choose(scratch, batch[task * TASK + at], list)?;
                }
                Ok(())
            });
        });
        self.verdict(went_on)?;
        self.link(workers, batch, chosen, back)
    }

    /// Adds all nodes from `order[done]` on, whose neighbours are found together.
    fn add_together(
        &mut self,
        workers: &Workers<'_>,
        done: usize,
        chosen: &mut Vec<u32>,
        back: &mut Vec<u64>,
        progress: &Progress,
    ) -> Result<(), Error> {
        let degree = self.graph.degree;
        let width = self.meta.spec().ef_construction.into();
        let cells = Cells::new(workers, self.meta, self.blobs, self.order, done)?;
        let mut homes = cells.homes().peekable();
        let mut batch = alloc::with_capacity(cells::BATCH)?;
        while homes.peek().is_some() {
            batch.clear();
            let mut tasks = alloc::with_capacity(cells::BATCH)?;
            while let Some(home) = homes.next_if(|_| batch.len() + cells::HOME <= cells::BATCH) {
                let nodes = cells.nodes(home);
                batch.extend_from_slice(nodes);
                tasks.push((home, nodes.len()));
            }
            chosen.clear();
            alloc::reserve(chosen, batch.len() * degree)?;
            chosen.resize(batch.len() * degree, NONE);
            let mut rest = &mut chosen[..];
            let mut lists = alloc::with_capacity(tasks.len())?;
            for (home, nodes) in &tasks {
                let (mine, others) = rest.split_at_mut(nodes * degree);
                lists.push((*home, mine));
                rest = others;
            }
            let this = &*self;
            let went_on = workers.for_each_mut(&mut lists, |_, (home, lists)| {
                this.with_scratch(|scratch| {
                    let mut room = match scratch.room.take() {
                        Some(room) => room,
                        None => Room::new(this.meta)?,
                    };
                    let nodes = cells.nodes(*home);
                    let met = cells.meet(*home, width, &mut room, |at, found| {
                        let list = &mut lists[at * degree..][..degree];
                        this.select_of(scratch, nodes[at], found.iter().map(|item| item.node()))?;
                        for (link, node) in list.iter_mut().zip(scratch.chosen()) {
                            *link = node;
                        }
                        Ok(())
                    });
                    scratch.room = Some(room);
                    met
                });
            });
            drop(lists);
            self.verdict(went_on)?;
            self.link_together(workers, &batch, chosen, back)?;
            progress.advance(batch.len() as u64);
        }
        Ok(())
    }

    /// Enters the lists chosen for new nodes, and the links back.
    fn link(
        &mut self,
        workers: &Workers<'_>,
        batch: &[u32],
        chosen: &[u32],
        back: &mut Vec<u64>,
    ) -> Result<(), Error> {
        back.clear();
        alloc::reserve(back, chosen.len())?;
        for (node, list) in batch.iter().zip(chosen.chunks(self.graph.degree)) {
            let list = list.iter().copied().take_while(|link| *link != NONE);
            back.extend(list.clone().map(|target| pair(target, *node)));
            self.graph.set(*node, list);
        }
        back.sort_unstable();
        self.each_target(workers, back, |scratch, target, pairs| {
            for pair in pairs {
                self.link_back(target, *pair as u32, scratch)?;
            }
            Ok(())
        })
    }

    /// Enters links both ways. Unlike new nodes, these may have links already, and may have chosen each other.
    fn link_together(
        &self,
        workers: &Workers<'_>,
        batch: &[u32],
        chosen: &[u32],
        pairs: &mut Vec<u64>,
    ) -> Result<(), Error> {
        pairs.clear();
        alloc::reserve(pairs, 2 * chosen.len())?;
        for (node, list) in batch.iter().zip(chosen.chunks(self.graph.degree)) {
            for other in list.iter().take_while(|link| **link != NONE) {
                pairs.extend([pair(*node, *other), pair(*other, *node)]);
            }
        }
        pairs.sort_unstable();
        pairs.dedup();
        self.each_target(workers, pairs, |scratch, target, pairs| {
            let links = &mut scratch.fresh;
            links.clear();
            alloc::reserve(links, self.graph.capacity + pairs.len())?;
            links.extend(self.graph.neighbours(target));
            for pair in pairs {
                let other = *pair as u32;
                if !links.contains(&other) {
                    links.push(other);
                }
            }
            if links.len() <= self.graph.capacity {
                self.graph.set(target, links.iter().copied());
                return Ok(());
            }
            let links = std::mem::take(links);
            self.cut(target, links.iter().copied(), scratch)?;
            scratch.fresh = links;
            Ok(())
        })
    }

    /// Does `work` on the pairs of each target, all at once.
    fn each_target(
        &self,
        workers: &Workers<'_>,
        pairs: &[u64],
        work: impl Fn(&mut Scratch, u32, &[u64]) -> Result<(), Error> + Sync,
    ) -> Result<(), Error> {
        let size = TASK * self.graph.degree;
        // Tasks begin and end between targets.
        let tasks = pairs.len().div_ceil(size);
        let went_on = workers.for_each(tasks, |task| {
            let start = |task: usize| {
                let at = (task * size).min(pairs.len());
                let before = pairs[..at].last().map(|pair| pair >> 32);
                at + (pairs[at..].iter())
                    .take_while(|pair| Some(**pair >> 32) == before)
                    .count()
            };
            self.with_scratch(|scratch| {
                let pairs = &pairs[start(task)..start(task + 1)];
                for of_one in pairs.chunk_by(|a, b| a >> 32 == b >> 32) {
                    work(scratch, (of_one[0] >> 32) as u32, of_one)?;
                }
                Ok(())
            });
        });
        self.verdict(went_on)
    }

    fn verdict(&self, went_on: bool) -> Result<(), Error> {
        let failed = self.failed.lock().map_or(None, |mut failed| failed.take());
        match failed {
            Some(error) => Err(error),
            None if went_on => Ok(()),
            None => Err(Error::Interrupted),
        }
    }

    /// Lends a scratch; keeps the first error.
    fn with_scratch(&self, work: impl FnOnce(&mut Scratch) -> Result<(), Error>) {
        let lent = self.scratches.lock().map_or(None, |mut all| all.pop());
        let result = match lent {
            Some(mut scratch) => {
                let result = work(&mut scratch);
                if let Ok(mut all) = self.scratches.lock() {
                    all.push(scratch);
                }
                result
            }
            None => Err(Error::Invalid("no scratch left for a thread")),
        };
        if let (Err(error), Ok(mut failed)) = (result, self.failed.lock()) {
            failed.get_or_insert(error);
        }
    }

    /// Searches the neighbours of a new node.
    fn choose(&self, scratch: &mut Scratch, node: u32, list: &mut [u32]) -> Result<(), Error> {
        let blob = self.blobs.get(node);
        scratch.scorer.set_blob(blob);
        scratch
            .beam
            .reset(self.meta.spec().ef_construction.into(), 0)?;
        scratch.visited.clear();
        let Scratch {
            scorer,
            beam,
            visited,
            fresh,
            candidates,
            ..
        } = scratch;
        for item in self.groups.enter(|node| scorer.score(self.blobs.get(node))) {
            if visited.insert(item.node())? {
                beam.offer(item);
            }
        }
        while let Some(node) = beam.expand() {
            fresh.clear();
            for neighbour in self.graph.neighbours(node) {
                if visited.insert(neighbour)? {
                    let blob = self.blobs.get(neighbour);
                    prefetch(blob.as_ptr(), blob.len());
                    fresh.push(neighbour);
                }
            }
            if let Some(next) = beam.peek() {
                let at = next as usize * self.graph.capacity;
                if let Some(links) = self.graph.links.get(at..at + self.graph.degree) {
                    prefetch(links.as_ptr().cast(), size_of_val(links));
                }
            }
            for neighbour in fresh.iter() {
                beam.offer(Item::new(
                    scorer.score(self.blobs.get(*neighbour)),
                    *neighbour,
                ));
            }
        }
        candidates.clear();
        alloc::reserve(candidates, beam.items().len())?;
        candidates.extend_from_slice(beam.items());
        self.select(scratch, blob);
        for (link, node) in list.iter_mut().zip(scratch.chosen()) {
            *link = node;
        }
        Ok(())
    }

    /// Enters the link back from `target` to `node`.
    fn link_back(&self, target: u32, node: u32, scratch: &mut Scratch) -> Result<(), Error> {
        if self.graph.push(target, node) {
            return Ok(());
        }
        self.cut(target, self.graph.neighbours(target).chain([node]), scratch)
    }

    /// Gives a node those of `links` that it should keep, no more than the degree.
    fn cut(
        &self,
        target: u32,
        links: impl Iterator<Item = u32>,
        scratch: &mut Scratch,
    ) -> Result<(), Error> {
        self.select_of(scratch, target, links)?;
        self.graph.set(target, scratch.chosen());
        Ok(())
    }

    /// Chooses the neighbours of a node out of some others.
    fn select_of(
        &self,
        scratch: &mut Scratch,
        node: u32,
        others: impl Iterator<Item = u32>,
    ) -> Result<(), Error> {
        let blob = self.blobs.get(node);
        let Scratch {
            scorer, candidates, ..
        } = scratch;
        scorer.set_blob(blob);
        candidates.clear();
        for other in others {
            alloc::reserve(candidates, 1)?;
            candidates.push(Item::new(scorer.score(self.blobs.get(other)), other));
        }
        candidates.sort_unstable();
        self.select(scratch, blob);
        Ok(())
    }

    /// Chooses among the candidates, nearest first, for the node of this blob.
    fn select(&self, scratch: &mut Scratch, blob: &[u8]) {
        let mut pairs = BlobPairs {
            blobs: self.blobs,
            candidates: &scratch.candidates,
            scorer: &mut scratch.pair_scorer,
        };
        select(
            &scratch.candidates,
            scratch.scorer.score_of_copies(blob),
            self.graph.degree,
            self.graph.degree,
            &mut pairs,
            &mut scratch.selection,
        );
    }

    /// Cuts every list back to the degree.
    fn cut_all(&self, workers: &Workers<'_>) -> Result<(), Error> {
        let nodes = self.blobs.len();
        let went_on = workers.for_each(nodes.div_ceil(TASK), |task| {
            self.with_scratch(|scratch| {
                for node in task * TASK..nodes.min((task + 1) * TASK) {
                    let node = node as u32;
                    if self.graph.list(node).len() > self.graph.degree {
                        self.cut(node, self.graph.neighbours(node), scratch)?;
                    }
                }
                Ok(())
            });
        });
        self.verdict(went_on)
    }

    /// Links every node that no path leads to, where that can be: a link of one of its neighbours,
    /// of the filling at the end of the list, becomes one to it. Where near means a large inner
    /// product, small rows may be nobody's neighbours and all have the same few.
    fn connect(&self, workers: &Workers<'_>) -> Result<(), Error> {
        let nodes = self.blobs.len();
        let mut reached = alloc::filled(false, nodes)?;
        let mut stack = alloc::with_capacity(nodes)?;
        // Links at the end of each list given away.
        let mut given = alloc::filled(0u8, nodes)?;
        let most = (self.graph.degree / 2) as u8;
        let spread = |reached: &mut Vec<bool>, stack: &mut Vec<u32>| {
            while let Some(node) = stack.pop() {
                for neighbour in self.graph.neighbours(node) {
                    if !std::mem::replace(&mut reached[neighbour as usize], true) {
                        stack.push(neighbour);
                    }
                }
            }
        };
        for entry in self.groups.members() {
            reached[*entry as usize] = true;
            stack.push(*entry);
        }
        spread(&mut reached, &mut stack);
        for node in 0..nodes as u32 {
            if node.is_multiple_of(1024) && workers.is_cancelled() {
                return Err(Error::Interrupted);
            }
            if reached[node as usize] {
                continue;
            }
            let mut neighbours = self.graph.neighbours(node);
            let way_in =
                neighbours.find(|near| reached[*near as usize] && given[*near as usize] < most);
            let Some(near) = way_in else {
                continue;
            };
            let list = self.graph.list(near);
            if list.len() < self.graph.degree {
                self.graph.push(near, node);
            } else {
                given[near as usize] += 1;
                list[list.len() - usize::from(given[near as usize])].store(node, Relaxed);
            }
            reached[node as usize] = true;
            stack.push(node);
            spread(&mut reached, &mut stack);
        }
        Ok(())
    }
}

/// A permutation of `0..nodes` that depends on the seed alone (Fisher and Yates).
fn random_order(nodes: usize, seed: u64) -> Result<Vec<u32>, Error> {
    let mut order = alloc::with_capacity(nodes)?;
    order.extend(0..nodes as u32);
    for at in (1..nodes).rev() {
        let random = mix(seed.wrapping_add(at as u64));
        let other = ((u128::from(random) * (at as u128 + 1)) >> 64) as usize;
        order.swap(at, other);
    }
    Ok(order)
}

/// The finalizer of SplitMix64 (Steele, Lea and Flood, OOPSLA 2014).
pub(super) fn mix(seed: u64) -> u64 {
    let mut z = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}
