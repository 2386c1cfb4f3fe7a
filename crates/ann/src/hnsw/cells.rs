//! The nodes near to each of many nodes, found together: in place of a search of the graph for each.
//!
//! Centroids cut space into cells. A node is *at home* in the cell of its nearest centroid, and a *guest* in
//! those of the [`VISITS`] nearest (its home among them). Who is at home in a cell meets all of its guests,
//! eight against 32 at a time ([`pgnear_quant::panel4`]): many more estimates than a search makes, in
//! a fraction of its time. Of two near nodes one is nearly always a guest where the other is at home.

use std::sync::Mutex;

use pgnear_device::{MemoryBudget, OutOfMemory, Workers};
use pgnear_kernels::{Level, Metric, kernels};
use pgnear_quant::code4::{self, Terms};
use pgnear_quant::panel4::{PANEL, Panel4, TILE, Tile4};

use super::beam::Item;
use super::entries::Nearest;
use super::graph::Blobs;
use super::layout::CodeKind;
use super::lists::Lists;
use super::meta::Meta;
use super::space::terms;
use crate::alloc;
use crate::error::Error;

/// Fewer nodes are searched one by one.
const LEAST: usize = 2000;
/// Nodes for each cell.
const NODES_EACH: usize = 250;
/// Most cells: of more nodes each has more. Numbers of cells fit 16 bits.
const MOST: usize = 8192;
/// Cells that a node is a guest in.
const VISITS: usize = 16;
/// Most guests of a cell, as a multiple of their average: of a crowd of copies most stay away.
const CROWDED: usize = 8;
/// Of the sample that centroids are the means of, nodes for each cell; and how often they are moved.
const SAMPLED_EACH: usize = 32;
const MOVES: usize = 3;
/// Most nodes found together at a time.
pub(super) const BATCH: usize = 8192;
/// Most nodes of a home.
pub(super) const HOME: usize = 256;
/// Panels of guests that lie in the second-level cache while all who are at home meet them.
const PANELS: usize = 12;
/// Nodes of a task that looks for the nearest centroids.
const TASK: usize = 32 * TILE;
/// Where near is a matter of the product, squared lengths of all nodes are within this factor. A few
/// long ones would else be everybody's neighbours, in all cells.
const ALIKE: f32 = 2.0;
/// No cell.
const NOWHERE: u16 = u16::MAX;

/// Whether the nodes of this index can be found together, in what is left of the budget.
pub(super) fn serve(meta: &Meta, blobs: &Blobs, budget: &MemoryBudget, threads: usize) -> bool {
    // Scalar code is faster at searching.
    let fast = meta.layout.code == CodeKind::Rotated4 && kernels().level > Level::Scalar;
    fast && blobs.len() >= LEAST
        && bytes(meta, blobs.len(), threads) <= budget.available()
        && (meta.spec().metric != Metric::InnerProduct || are_alike(blobs))
}

/// Bytes that it takes.
fn bytes(meta: &Meta, nodes: usize, threads: usize) -> usize {
    let (cells, dims) = (cells_of(nodes), meta.layout.dims);
    let a_node = VISITS * (size_of::<u16>() + size_of::<u32>()) + size_of::<u32>();
    let a_home = 2 * usize::from(meta.spec().ef_construction) + PANEL;
    let a_thread = PANELS * PANEL * (dims + 32) + HOME * a_home * size_of::<Item>();
    let a_cell = dims * 5 + 64 + SAMPLED_EACH * size_of::<u16>();
    // Their lists, and links both ways.
    let batch = BATCH * meta.layout.degree * (size_of::<u32>() + 2 * size_of::<u64>());
    nodes * a_node + cells * a_cell + threads * a_thread + batch
}

fn cells_of(nodes: usize) -> usize {
    (nodes / NODES_EACH).clamp(1, MOST)
}

fn are_alike(blobs: &Blobs) -> bool {
    let norms = (0..blobs.len() as u32).map(|node| terms(blobs.get(node)).norm_squared);
    let (least, most) = norms.fold((f32::INFINITY, 0.0f32), |(least, most), norm| {
        (least.min(norm), most.max(norm))
    });
    most <= least * ALIKE
}

/// Who is at home, and who is a guest, in each cell.
pub(super) struct Cells<'a> {
    blobs: &'a Blobs,
    at_home: Lists,
    guests: Lists,
}

/// Nodes at home in one cell.
#[derive(Clone, Copy)]
pub(super) struct Home {
    cell: u16,
    first: u32,
    count: u32,
}

/// What a thread works with.
pub(super) struct Room {
    tile: Tile4,
    panels: Vec<Panel4>,
    found: Vec<Vec<Item>>,
    limits: Vec<f32>,
}

impl Room {
    pub fn new(meta: &Meta) -> Result<Room, Error> {
        let by_product = meta.spec().metric == Metric::InnerProduct;
        let mut panels = alloc::with_capacity(PANELS)?;
        for _ in 0..PANELS {
            panels.push(Panel4::new(meta.layout.dims).map_err(no_memory)?);
        }
        Ok(Room {
            tile: Tile4::new(meta.layout.dims, by_product).map_err(no_memory)?,
            panels,
            found: Vec::new(),
            limits: Vec::new(),
        })
    }
}

impl<'a> Cells<'a> {
    /// Finds the cells of all nodes. `order` is a random order of them; who is behind its first `settled`
    /// has a home.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`]; [`Error::Interrupted`].
    pub fn new(
        workers: &Workers<'_>,
        meta: &Meta,
        blobs: &'a Blobs,
        order: &[u32],
        settled: usize,
    ) -> Result<Cells<'a>, Error> {
        let (nodes, cells) = (order.len(), cells_of(order.len()));
        let sample = &order[..nodes.min(cells * SAMPLED_EACH)];
        let centroids = centroids(workers, meta, blobs, sample, cells)?;
        let mut nearest = alloc::filled([NOWHERE; VISITS], nodes)?;
        find_nearest(workers, meta, &centroids, &mut nearest, |at| {
            code(blobs, at as u32)
        })?;
        let looking = order[settled..].iter();
        let at_home = looking.map(|node| (usize::from(nearest[*node as usize][0]), *node));
        let visits = (nearest.iter().zip(0..))
            .flat_map(|(cells, node)| cells.iter().map(move |cell| (*cell, node)))
            .filter(|(cell, _)| *cell != NOWHERE)
            .map(|(cell, node)| (usize::from(cell), node));
        Ok(Cells {
            blobs,
            at_home: Lists::new(cells, at_home)?,
            guests: Lists::new(cells, visits)?,
        })
    }

    /// All nodes that have a home, at most [`HOME`] at a time.
    pub fn homes(&self) -> impl Iterator<Item = Home> {
        (0..self.at_home.len()).flat_map(|cell| {
            let count = self.at_home.of(cell).len();
            (0..count).step_by(HOME).map(move |first| Home {
                cell: cell as u16,
                first: first as u32,
                count: HOME.min(count - first) as u32,
            })
        })
    }

    /// The nodes of a home.
    pub fn nodes(&self, home: Home) -> &[u32] {
        &self.at_home.of(home.cell.into())[home.first as usize..][..home.count as usize]
    }

    /// Hands over each node of a home, by its place, with the `width` nodes nearest to it of the guests, in no order.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`], and those of `take`.
    pub fn meet(
        &self,
        home: Home,
        width: usize,
        room: &mut Room,
        mut take: impl FnMut(usize, &[Item]) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let (nodes, guests) = (self.nodes(home), self.guests.of(home.cell.into()));
        // Every so many of a crowd. Not all begin with the same ones: of copies the first are taken.
        let most = CROWDED * (self.guests.nodes().len() / self.guests.len()).max(1);
        let step = guests.len().div_ceil(most).max(1);
        let (before, after) = guests.split_at(home.first as usize % guests.len().max(1));
        let mut guests = after.iter().chain(before).step_by(step);
        room.open(nodes.len(), width)?;
        let Room {
            tile,
            panels,
            found,
            limits,
        } = room;
        let found = &mut found[..nodes.len()];
        let mut places = [[0u32; PANEL]; PANELS];
        loop {
            for (panel, places) in panels.iter_mut().zip(&mut places) {
                let mut count = 0;
                for (place, guest) in places.iter_mut().zip(guests.by_ref().take(PANEL)) {
                    *place = *guest;
                    count += 1;
                }
                panel.fill(places[..count].iter().map(|node| code(self.blobs, *node)));
            }
            if panels[0].is_empty() {
                break;
            }
            let present = panels.iter().take_while(|panel| !panel.is_empty()).count();
            let eights = nodes.chunks(TILE).enumerate();
            let rooms = found.chunks_mut(TILE).zip(limits.chunks_mut(TILE));
            for ((number, eight), (found, limits)) in eights.zip(rooms) {
                tile.fill(eight.iter().map(|node| code(self.blobs, *node)));
                let mut below = [f32::INFINITY; TILE];
                below[..eight.len()].copy_from_slice(limits);
                let turned = (0..present).cycle().skip(number).take(present);
                for at in turned {
                    tile.each_below(&panels[at], &below, |query, place, score| {
                        let node = places[at][place];
                        if score < below[query] && node != eight[query] {
                            // There is room for a panel more than is kept.
                            found[query].push(Item::new(score, node));
                        }
                    });
                    for (found, below) in found.iter_mut().zip(&mut below) {
                        if found.len() > 2 * width {
                            *below = keep_nearest(found, width);
                        }
                    }
                }
                limits.copy_from_slice(&below[..eight.len()]);
            }
        }
        for (at, found) in found.iter_mut().enumerate() {
            if found.len() > width {
                keep_nearest(found, width);
            }
            take(at, found)?;
        }
        Ok(())
    }
}

impl Room {
    /// Makes room for what so many nodes find.
    fn open(&mut self, nodes: usize, width: usize) -> Result<(), Error> {
        let more = nodes.saturating_sub(self.found.len());
        alloc::reserve(&mut self.found, more)?;
        self.found.resize_with(self.found.len() + more, Vec::new);
        for found in &mut self.found[..nodes] {
            found.clear();
            alloc::reserve(found, 2 * width + PANEL)?;
        }
        self.limits.clear();
        alloc::reserve(&mut self.limits, nodes)?;
        self.limits.resize(nodes, f32::INFINITY);
        Ok(())
    }
}

/// Forgets all but the nearest `width`, of more; the score of the farthest of these.
fn keep_nearest(found: &mut Vec<Item>, width: usize) -> f32 {
    let (_, last, _) = found.select_nth_unstable(width - 1);
    let farthest = last.score();
    found.truncate(width);
    farthest
}

/// Means of cells as codes, by k-means over a sample, the first nodes of which it starts from.
fn centroids(
    workers: &Workers<'_>,
    meta: &Meta,
    blobs: &Blobs,
    sample: &[u32],
    cells: usize,
) -> Result<Vec<Panel4>, Error> {
    let dims = meta.layout.dims;
    let mut centroids = alloc::with_capacity(cells.div_ceil(PANEL))?;
    for some in sample[..cells].chunks(PANEL) {
        let mut panel = Panel4::new(dims).map_err(no_memory)?;
        panel.fill(some.iter().map(|node| code(blobs, *node)));
        centroids.push(panel);
    }
    let bytes = code4::code_bytes(dims);
    let mut nearest = alloc::filled([NOWHERE; 1], sample.len())?;
    let mut sums = alloc::filled(0.0f32, cells * dims)?;
    let mut counts = alloc::filled(0u32, cells)?;
    let mut vector = alloc::filled(0.0f32, dims)?;
    let mut codes = alloc::filled(0u8, PANEL * bytes)?;
    for _ in 0..MOVES {
        find_nearest(workers, meta, &centroids, &mut nearest, |at| {
            code(blobs, sample[at])
        })?;
        sums.fill(0.0);
        counts.fill(0);
        for (node, [cell]) in sample.iter().zip(&nearest) {
            let (cell, (terms, code)) = (usize::from(*cell), code(blobs, *node));
            code4::decode(terms, code, &mut vector);
            counts[cell] += 1;
            for (sum, x) in sums[cell * dims..][..dims].iter_mut().zip(&vector) {
                *sum += x;
            }
        }
        for (number, panel) in centroids.iter_mut().enumerate() {
            let mut all = [Terms::default(); PANEL];
            for (place, terms) in all.iter_mut().enumerate().take(panel.len()) {
                let cell = number * PANEL + place;
                let mean = &mut sums[cell * dims..][..dims];
                for x in &mut *mean {
                    *x /= counts[cell].max(1) as f32;
                }
                *terms = code4::encode(mean, &mut codes[place * bytes..][..bytes]);
            }
            let filled = all.into_iter().zip(codes.chunks_exact(bytes));
            panel.fill(filled.take(panel.len()));
        }
    }
    Ok(centroids)
}

/// The numbers of the centroids nearest to each code, nearest first; [`NOWHERE`] where there are fewer.
fn find_nearest<'c, const N: usize>(
    workers: &Workers<'_>,
    meta: &Meta,
    centroids: &[Panel4],
    nearest: &mut [[u16; N]],
    code: impl Fn(usize) -> (Terms, &'c [u8]) + Sync,
) -> Result<(), Error> {
    let failed = Mutex::new(None);
    let complete = workers.for_each_chunk_mut(nearest, TASK, |task, nearest| {
        let mut tile = match Tile4::new(meta.layout.dims, false) {
            Ok(tile) => tile,
            Err(error) => {
                if let Ok(mut failed) = failed.lock() {
                    *failed = Some(error);
                }
                return;
            }
        };
        for (at, nearest) in nearest.chunks_mut(TILE).enumerate() {
            let first = task * TASK + at * TILE;
            tile.fill((first..first + nearest.len()).map(&code));
            let mut found: [Nearest<N>; TILE] = std::array::from_fn(|_| Nearest::default());
            let mut limits = [f32::INFINITY; TILE];
            for (number, panel) in centroids.iter().enumerate() {
                tile.each_below(panel, &limits, |query, place, score| {
                    let cell = (number * PANEL + place) as u32;
                    found[query].offer(Item::new(score, cell));
                });
                for (limit, found) in limits.iter_mut().zip(&found) {
                    *limit = found.farthest();
                }
            }
            for (cells, found) in nearest.iter_mut().zip(found) {
                for (cell, found) in cells.iter_mut().zip(found) {
                    *cell = found.node() as u16;
                }
            }
        }
    });
    match failed.into_inner() {
        Ok(Some(error)) => Err(no_memory(error)),
        _ if complete => Ok(()),
        _ => Err(Error::Interrupted),
    }
}

fn code(blobs: &Blobs, node: u32) -> (Terms, &[u8]) {
    let blob = blobs.get(node);
    (terms(blob), &blob[8..])
}

fn no_memory(error: OutOfMemory) -> Error {
    Error::OutOfMemory { bytes: error.bytes }
}
