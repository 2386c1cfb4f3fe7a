//! Building a graph in memory.
//!
//! Nodes are added in a random order (of the seed) and in batches: the nodes of a batch search the
//! graph as it was before the batch, all at once; then their links are entered, and the links back,
//! every list by one thread. So the graph depends on rows and seed alone, and not on threads
//! (ParlayANN, PPoPP 2024). A list of links back may outgrow the degree by some *slack* before it is
//! cut back, which saves most of the cutting.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use pgnear_device::{Progress, Workers};
use pgnear_kernels::prefetch;

use super::beam::{Beam, Item, Visited};
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
    let mut done = 0;
    let mut with_groups = 0;
    let mut chosen = Vec::new();
    let mut back = Vec::new();
    while done < nodes {
        if done >= 2 * with_groups {
            with_groups = done;
            build.regroup(done)?;
        }
        let count = (done / BATCH_SHARE).clamp(1, BATCH).min(nodes - done);
        build.add(workers, done, count, &mut chosen, &mut back)?;
        done += count;
        progress.advance(count as u64);
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

        back.clear();
        alloc::reserve(back, count * degree)?;
        for (node, list) in batch.iter().zip(chosen.chunks(degree)) {
            let list = list.iter().copied().take_while(|link| *link != NONE);
            for target in list.clone() {
                back.push(u64::from(target) << 32 | u64::from(*node));
            }
            self.graph.set(*node, list);
        }
        back.sort_unstable();
        let this = &*self;
        let back = &back[..];
        // Tasks begin and end between targets.
        let tasks = back.len().div_ceil(TASK * degree);
        let went_on = workers.for_each(tasks, |task| {
            let start = |task: usize| {
                let at = (task * TASK * degree).min(back.len());
                let before = back[..at].last().map(|pair| pair >> 32);
                at + (back[at..].iter())
                    .take_while(|pair| Some(**pair >> 32) == before)
                    .count()
            };
            this.with_scratch(|scratch| {
                for pair in &back[start(task)..start(task + 1)] {
                    this.link_back((pair >> 32) as u32, *pair as u32, scratch)?;
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
            pair_scorer,
            beam,
            visited,
            fresh,
            selection,
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
        let copies = scorer.score_of_copies(blob);
        let candidates = beam.items();
        let mut pairs = BlobPairs {
            blobs: self.blobs,
            candidates,
            scorer: pair_scorer,
        };
        let limit = self.graph.degree;
        select(candidates, copies, limit, limit, &mut pairs, selection);
        for (link, at) in list.iter_mut().zip(&selection.chosen) {
            *link = candidates[*at as usize].node();
        }
        Ok(())
    }

    /// Enters the link back from `target` to `node`.
    fn link_back(&self, target: u32, node: u32, scratch: &mut Scratch) -> Result<(), Error> {
        if self.graph.push(target, node) {
            return Ok(());
        }
        self.cut(target, Some(node), scratch)
    }

    /// Cuts a list, and one more node, back to the degree.
    fn cut(&self, target: u32, more: Option<u32>, scratch: &mut Scratch) -> Result<(), Error> {
        let blob = self.blobs.get(target);
        let Scratch {
            scorer,
            pair_scorer,
            candidates,
            selection,
            ..
        } = scratch;
        scorer.set_blob(blob);
        candidates.clear();
        alloc::reserve(candidates, self.graph.capacity + 1)?;
        for neighbour in self.graph.neighbours(target).chain(more) {
            let score = scorer.score(self.blobs.get(neighbour));
            candidates.push(Item::new(score, neighbour));
        }
        candidates.sort_unstable();
        let copies = scorer.score_of_copies(blob);
        let mut pairs = BlobPairs {
            blobs: self.blobs,
            candidates,
            scorer: pair_scorer,
        };
        let limit = self.graph.degree;
        select(candidates, copies, limit, limit, &mut pairs, selection);
        let chosen = selection.chosen.iter();
        self.graph
            .set(target, chosen.map(|at| candidates[*at as usize].node()));
        Ok(())
    }

    /// Cuts every list back to the degree.
    fn cut_all(&self, workers: &Workers<'_>) -> Result<(), Error> {
        let nodes = self.blobs.len();
        let went_on = workers.for_each(nodes.div_ceil(TASK), |task| {
            self.with_scratch(|scratch| {
                for node in task * TASK..nodes.min((task + 1) * TASK) {
                    let node = node as u32;
                    if self.graph.list(node).len() > self.graph.degree {
                        self.cut(node, None, scratch)?;
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
