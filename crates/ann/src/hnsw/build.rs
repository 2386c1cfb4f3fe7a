//! Building an index: vectors go to their pages as they come, their codes are kept in memory; then
//! the graph is built over the codes, and the records are written.

use pgnear_device::{MemoryBudget, RunError};
use pgnear_quant::Job;

use super::centre::{self, Centre};
use super::graph::{self, Blobs, Graph};
use super::layout::{CodeKind, Layout, STATE_BLOCK};
use super::meta::{IndexSpec, Meta};
use super::record::{
    NodeState, RecordMut, format_record_page, format_vector_page, vector_parts, write_vector,
};
use super::space::{Aligned, Encoder};
use super::state::{State, Table};
use super::table;
use crate::alloc;
use crate::error::Error;
use crate::page::PageMut;
use crate::row::Tid;
use crate::store::BulkWriter;

/// What a build wrote.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct BuildStats {
    pub rows: u64,
    /// Pages of the index.
    pub pages: u32,
    /// Nodes that searches start from.
    pub entry_points: u32,
}

/// Bytes that a build of so many rows takes from its budget.
///
/// # Errors
/// Those of [`Builder::new`] for the specification.
pub fn build_bytes(
    spec: &IndexSpec,
    page_size: usize,
    rows: u64,
    threads: usize,
) -> Result<u64, Error> {
    let meta = Meta::new(spec, page_size)?;
    Ok(bytes_of(&meta, rows as usize, threads) as u64)
}

/// Bytes for so many nodes, taken for some at a time; none where there are none.
fn bytes_of(meta: &Meta, nodes: usize, threads: usize) -> usize {
    if nodes == 0 {
        return 0;
    }
    let nodes = nodes.next_multiple_of(NODES_AT_ONCE);
    nodes * bytes_per_node(meta) + graph::bytes_beside(meta, nodes, threads)
}

/// Memory is taken for so many nodes at a time.
const NODES_AT_ONCE: usize = 4096;

fn bytes_per_node(meta: &Meta) -> usize {
    graph::Blobs::bytes_each(meta) + graph::bytes_per_node(meta) + size_of::<Tid>()
}

/// Writes a new index.
pub struct Builder<'w, 'b, W: BulkWriter> {
    writer: &'w mut W,
    budget: &'b MemoryBudget,
    meta: Meta,
    encoder: Encoder,
    blobs: Blobs,
    tids: Vec<Tid>,
    /// A vector's slot.
    slot: Aligned,
    /// The vector page being filled, and whether it holds anything.
    page: Vec<u64>,
    page_started: bool,
    /// The block that the writer will give out next.
    next_block: u32,
}

impl<'w, 'b, W: BulkWriter> Builder<'w, 'b, W> {
    /// Begins an index whose codes are relative to `centre`, best the mean of a sample of the rows
    /// ([`Centre`]); of no rows, where there are none. What the build keeps of its rows is charged to `budget`.
    ///
    /// # Errors
    /// Those of the writer; [`Error::TooLarge`] and [`Error::Invalid`] for a specification outside
    /// of the limits; [`Error::OutOfMemory`].
    pub fn new(
        writer: &'w mut W,
        spec: &IndexSpec,
        centre: &Centre,
        budget: &'b MemoryBudget,
    ) -> Result<Self, Error> {
        let meta = Meta::new(spec, writer.page_size())?;
        let mean = centre.mean()?;
        if (mean.len() == meta.layout.dims) != (meta.layout.centre_pages > 0) {
            return Err(Error::Invalid("centre is of another index"));
        }
        let mut builder = Builder {
            writer,
            budget,
            encoder: Encoder::new(&meta, alloc::copied(&mean)?)?,
            blobs: Blobs::new(&meta),
            tids: Vec::new(),
            slot: Aligned::zeroed(meta.layout.vector)?,
            page: alloc::filled(0, meta.layout.page_size / 8)?,
            page_started: false,
            next_block: 0,
            meta,
        };
        builder
            .meta
            .write(bytemuck::cast_slice_mut(&mut builder.page));
        builder.append()?;
        State::EMPTY.format(bytemuck::cast_slice_mut(&mut builder.page));
        builder.append()?;
        for number in 0..builder.meta.layout.centre_pages {
            let bytes = bytemuck::cast_slice_mut(&mut builder.page);
            centre::format_page(&builder.meta.layout, &mean, number, bytes);
            builder.append()?;
        }
        Ok(builder)
    }

    /// Rows pushed so far.
    pub fn rows(&self) -> u64 {
        self.blobs.len() as u64
    }

    /// Whether the budget holds one more row. Where it does not, the caller finishes the build and
    /// inserts the other rows one by one ([`super::insert`]).
    pub fn has_room(&self) -> bool {
        !self.blobs.len().is_multiple_of(NODES_AT_ONCE)
            || self.budget.available() >= self.bytes_of_next()
    }

    /// What the next nodes take from the budget.
    fn bytes_of_next(&self) -> usize {
        let nodes = self.blobs.len();
        bytes_of(&self.meta, nodes + 1, 1) - bytes_of(&self.meta, nodes, 1)
    }

    /// Adds one row, best in the order of TIDs. `payload` are the bytes of its vector in the element
    /// type of the index.
    ///
    /// # Errors
    /// Those of the writer; [`Error::WrongDimensions`]; [`Error::OutOfMemory`] where the budget is
    /// used up; [`Error::TooLarge`] where the index is full.
    pub fn push(&mut self, tid: Tid, payload: &[u8]) -> Result<(), Error> {
        crate::query::check_length(self.meta.spec(), payload)?;
        let node = self.blobs.len() as u32;
        if node >= self.meta.layout.max_nodes() {
            return Err(Error::TooLarge {
                what: "node count",
                value: u64::from(node) + 1,
                limit: self.meta.layout.max_nodes().into(),
            });
        }
        if self.blobs.len().is_multiple_of(NODES_AT_ONCE) {
            charge(self.budget, self.bytes_of_next())?;
            self.tids
                .try_reserve_exact(NODES_AT_ONCE)
                .map_err(|_| Error::OutOfMemory {
                    bytes: NODES_AT_ONCE * size_of::<Tid>(),
                })?;
        }
        self.encoder.encode(payload, self.blobs.push()?)?;
        self.tids.push(tid);
        self.write_vector(node, tid, payload)
    }

    fn write_vector(&mut self, node: u32, tid: Tid, payload: &[u8]) -> Result<(), Error> {
        if node.is_multiple_of(self.meta.layout.group_nodes()) {
            self.end_group()?;
            // Written over at the end.
            for _ in 0..self.meta.layout.record_pages {
                format_record_page(&self.meta.layout, bytemuck::cast_slice_mut(&mut self.page));
                self.append()?;
            }
        }
        if self.meta.layout.vector == 0 {
            return Ok(());
        }
        write_vector(&self.meta.layout, tid, payload, self.slot.as_mut_slice());
        for (block, offset, range) in vector_parts(&self.meta.layout, node) {
            if block > self.next_block {
                self.flush()?;
            }
            let layout = &self.meta.layout;
            let bytes: &mut [u8] = bytemuck::cast_slice_mut(&mut self.page);
            if !self.page_started {
                format_vector_page(layout, bytes);
                self.page_started = true;
            }
            let mut page = PageMut::open(block, bytes)?;
            let end = offset + range.len();
            page.body_mut()[offset..end].copy_from_slice(&self.slot.as_slice()[range]);
        }
        Ok(())
    }

    /// Hands over the vector page being filled.
    fn flush(&mut self) -> Result<(), Error> {
        if !self.page_started {
            let layout = &self.meta.layout;
            format_vector_page(layout, bytemuck::cast_slice_mut(&mut self.page));
        }
        self.page_started = false;
        self.append()
    }

    /// Fills up the present group with pages.
    fn end_group(&mut self) -> Result<(), Error> {
        let layout = &self.meta.layout;
        let (groups_start, group_pages) = (layout.groups_start, layout.group_pages());
        while self.page_started || !(self.next_block - groups_start).is_multiple_of(group_pages) {
            self.flush()?;
        }
        Ok(())
    }

    /// Builds the graph and writes all that is left. `job.budget` is not used: what the build needs
    /// was charged as rows came; with room for more it is faster.
    ///
    /// # Errors
    /// Those of the writer and of the job's poll; [`Error::Interrupted`] where the job was
    /// cancelled, [`Error::OutOfMemory`].
    pub fn finish(mut self, job: &mut Job<'_, Error>) -> Result<BuildStats, Error> {
        self.end_group()?;
        let nodes = self.blobs.len() as u32;
        let mut stats = BuildStats {
            rows: nodes.into(),
            pages: self.next_block,
            entry_points: 0,
        };
        if nodes == 0 {
            return Ok(stats);
        }
        let (meta, blobs, progress) = (&self.meta, &self.blobs, job.progress);
        let budget = self.budget;
        let built = (job.pool).run(job.cancel, job.poll, |workers| {
            graph::build(workers, progress, meta, blobs, budget)
        });
        let (graph, groups) = match built {
            Ok(result) => result?,
            Err(RunError::Poll(error)) => return Err(error),
            Err(panic @ RunError::WorkerPanic(_)) => return Err(Error::Io(panic.to_string())),
        };
        self.write_records(&graph)?;
        let layout = self.meta.layout.clone();
        let mut state = State {
            next_node: nodes,
            ..State::EMPTY
        };
        // Few rows are searched one by one.
        if nodes >= super::entries::LEAST_NODES {
            let table = Table {
                first_block: self.next_block,
                leaders: groups.leaders().len() as u32,
                members: groups.members().len() as u32,
                version: 1,
            };
            for number in 0..table.pages(&layout) {
                let bytes = bytemuck::cast_slice_mut(&mut self.page);
                table::format_page(
                    &layout,
                    &table,
                    &groups,
                    number,
                    |node| self.blobs.get(node),
                    bytes,
                );
                self.append()?;
            }
            stats.entry_points = table.members;
            state.tables[0] = table;
            state.current = Some(0);
            state.nodes_at_table = nodes;
        }
        let bytes: &mut [u8] = bytemuck::cast_slice_mut(&mut self.page);
        state.format(bytes);
        self.writer.overwrite(STATE_BLOCK, bytes)?;
        stats.pages = self.next_block;
        Ok(stats)
    }

    fn write_records(&mut self, graph: &Graph) -> Result<(), Error> {
        let layout: &Layout = &self.meta.layout;
        let per_page = layout.records_per_page as usize;
        for first in (0..self.blobs.len()).step_by(per_page) {
            self.writer.check_interrupts()?;
            let bytes: &mut [u8] = bytemuck::cast_slice_mut(&mut self.page);
            format_record_page(layout, bytes);
            for node in first..self.blobs.len().min(first + per_page) {
                let node = node as u32;
                let mut record = RecordMut::open(layout, bytes, node)?;
                let blob = match layout.code {
                    CodeKind::Plain => &[],
                    CodeKind::Rotated4 | CodeKind::Inline | CodeKind::Pruned => {
                        self.blobs.get(node)
                    }
                };
                record.set_row(NodeState::Live, self.tids[node as usize], blob);
                record.set_neighbours(graph.neighbours(node));
            }
            let block = layout.record_place(first as u32).0;
            self.writer.overwrite(block, bytes)?;
        }
        Ok(())
    }

    /// Hands `self.page` to the writer.
    fn append(&mut self) -> Result<(), Error> {
        self.writer.check_interrupts()?;
        let block = self.writer.append(bytemuck::cast_slice(&self.page))?;
        if block != self.next_block {
            return Err(Error::Io(format!(
                "writer appended block {block} where {} was due",
                self.next_block
            )));
        }
        self.next_block += 1;
        Ok(())
    }
}

fn charge(budget: &MemoryBudget, bytes: usize) -> Result<(), Error> {
    budget
        .charge(bytes)
        .map_err(|error| Error::OutOfMemory { bytes: error.bytes })
}
