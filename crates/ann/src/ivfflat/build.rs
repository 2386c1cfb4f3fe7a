//! Building: rows sorted by list are packed on pages, one list after the other.

use super::centroids::Centroids;
use super::directory::DirectoryEntry;
use super::entry::write_entry;
use super::layout::DIRECTORY_ENTRY;
use super::meta::{IndexSpec, Meta};
use super::search::norm_to_keep;
use crate::alloc;
use crate::error::Error;
use crate::page::{FIRST_LIFE, Kind, Link, NO_OWNER, PageMut};
use crate::query::check_length;
use crate::row::Tid;
use crate::store::BulkWriter;

/// What a build wrote.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct BuildStats {
    pub rows: u64,
    /// Pages of the index.
    pub pages: u32,
    /// Lists without a row.
    pub empty_lists: u32,
    /// Rows of the largest list.
    pub largest_list: u64,
}

/// Writes a new index.
pub struct Builder<'w, W: BulkWriter> {
    writer: &'w mut W,
    meta: Meta,
    directory: Vec<DirectoryEntry>,
    /// The list whose rows are arriving.
    list: u32,
    rows_of_list: u64,
    /// The list page being filled.
    page: Vec<u64>,
    /// Bytes used of the body of `page`; 0 where nothing waits to be written.
    used: usize,
    /// The continuation of the entry on `page`, if it is wide.
    rest: Vec<u8>,
    /// The block that the writer will give out next.
    next_block: u32,
    stats: BuildStats,
}

impl<'w, W: BulkWriter> Builder<'w, W> {
    /// Writes meta page, an empty directory and the centroids.
    ///
    /// # Errors
    /// Those of the writer; [`Error::TooLarge`] and [`Error::Invalid`] for a specification
    /// outside of the limits or centroids that do not fit it; [`Error::OutOfMemory`].
    pub fn new(writer: &'w mut W, spec: &IndexSpec, centroids: &Centroids) -> Result<Self, Error> {
        let meta = Meta::new(spec, writer.page_size())?;
        centroids.check(spec)?;
        let page = alloc::filled(0u64, meta.layout.page_size / 8)?;
        let directory = alloc::filled(DirectoryEntry::EMPTY, spec.lists as usize)?;
        let mut builder = Builder {
            writer,
            directory,
            list: 0,
            rows_of_list: 0,
            page,
            used: 0,
            rest: Vec::new(),
            next_block: 0,
            stats: BuildStats::default(),
            meta,
        };
        builder
            .meta
            .write(bytemuck::cast_slice_mut(&mut builder.page));
        builder.append()?;
        for number in 0..builder.meta.layout.directory_pages {
            builder.format_directory(number);
            builder.append()?;
        }
        builder.write_centroids(centroids)?;
        Ok(builder)
    }

    /// Files one row. Rows come in the order of lists, and within a list best in that of TIDs.
    ///
    /// # Errors
    /// Those of the writer; [`Error::WrongDimensions`]; [`Error::Invalid`] for a list out of range
    /// or out of order.
    pub fn push(&mut self, list: u32, tid: Tid, payload: &[u8]) -> Result<(), Error> {
        check_length(self.meta.spec(), payload)?;
        if list >= self.meta.spec().lists || list < self.list {
            return Err(Error::Invalid("rows must arrive in the order of lists"));
        }
        if list != self.list {
            self.end_list()?;
            self.list = list;
        }
        let layout = &self.meta.layout;
        if self.used > 0 && self.used + layout.slot > layout.body {
            self.flush(true)?;
        }
        let layout = &self.meta.layout;
        let bytes: &mut [u8] = bytemuck::cast_slice_mut(&mut self.page);
        if self.used == 0 {
            PageMut::init(bytes, Kind::List, list, FIRST_LIFE);
        }
        let mut page = PageMut::open(self.next_block, bytes)?;
        let cont = if layout.is_wide() {
            let parts = &payload[layout.wide_first()..];
            self.rest.clear();
            alloc::reserve(&mut self.rest, parts.len())?;
            self.rest.extend_from_slice(parts);
            link(self.next_block + 1)
        } else {
            Link::NONE
        };
        let norm = norm_to_keep(self.meta.spec(), payload);
        self.used = write_entry(layout, page.body_mut(), self.used, tid, norm, payload, cont);
        page.set_used(self.used);
        self.rows_of_list += 1;
        self.stats.rows += 1;
        Ok(())
    }

    /// Writes what is left, and the directory.
    ///
    /// # Errors
    /// Those of the writer.
    pub fn finish(mut self) -> Result<BuildStats, Error> {
        self.end_list()?;
        for number in 0..self.meta.layout.directory_pages {
            self.format_directory(number);
            let block = self.meta.layout.directory_start + number;
            self.writer
                .overwrite(block, bytemuck::cast_slice(&self.page))?;
        }
        let empty = self.directory.iter().filter(|entry| entry.head.is_none());
        self.stats.empty_lists = empty.count() as u32;
        self.stats.pages = self.next_block;
        Ok(self.stats)
    }

    fn end_list(&mut self) -> Result<(), Error> {
        self.flush(false)?;
        self.stats.largest_list = self.stats.largest_list.max(self.rows_of_list);
        self.rows_of_list = 0;
        Ok(())
    }

    /// Writes the page being filled, and the pages that continue its entry.
    fn flush(&mut self, more: bool) -> Result<(), Error> {
        if self.used == 0 {
            return Ok(());
        }
        self.writer.check_interrupts()?;
        let layout = &self.meta.layout;
        let block = self.next_block;
        let wide_pages = if layout.is_wide() {
            layout.wide_pages() as u32
        } else {
            0
        };
        let body = layout.body;
        if block >= u32::MAX - 1 - wide_pages {
            return Err(Error::TooLarge {
                what: "page count",
                value: u64::from(block),
                limit: u64::from(u32::MAX - 1),
            });
        }
        let mut page = PageMut::open(block, bytemuck::cast_slice_mut(&mut self.page))?;
        if more {
            page.set_next(link(block + 1 + wide_pages));
        }
        self.append()?;
        let entry = &mut self.directory[self.list as usize];
        if entry.head.is_none() {
            entry.head = link(block);
        }
        entry.insert = link(block);
        let rest = std::mem::take(&mut self.rest);
        for (number, part) in rest.chunks(body).enumerate() {
            let bytes = bytemuck::cast_slice_mut(&mut self.page);
            let mut page = PageMut::init(bytes, Kind::Cont, self.list, FIRST_LIFE);
            page.body_mut()[..part.len()].copy_from_slice(part);
            page.set_used(part.len());
            if number as u32 + 1 < wide_pages {
                page.set_next(link(self.next_block + 1));
            }
            self.append()?;
        }
        self.rest = rest;
        self.rest.clear();
        self.used = 0;
        Ok(())
    }

    /// Formats `self.page` as a directory page.
    fn format_directory(&mut self, number: u32) {
        let layout = &self.meta.layout;
        let per_page = layout.directory_per_page;
        let first = number as usize * per_page;
        let entries = &self.directory[first..self.directory.len().min(first + per_page)];
        let bytes = bytemuck::cast_slice_mut(&mut self.page);
        let mut page = PageMut::init(bytes, Kind::Directory, NO_OWNER, FIRST_LIFE);
        for (entry, bytes) in entries
            .iter()
            .zip(page.body_mut().chunks_exact_mut(DIRECTORY_ENTRY))
        {
            entry.encode(bytes);
        }
        page.set_used(entries.len() * DIRECTORY_ENTRY);
    }

    fn write_centroids(&mut self, centroids: &Centroids) -> Result<(), Error> {
        let (body, size) = (self.meta.layout.body, self.meta.layout.centroid);
        let mut used = 0;
        for list in 0..centroids.len() {
            let bytes = centroids.bytes(list);
            // Padding is written as zeros of the freshly formatted page.
            let mut done = 0;
            while done < size {
                let page_bytes: &mut [u8] = bytemuck::cast_slice_mut(&mut self.page);
                if used == 0 {
                    PageMut::init(page_bytes, Kind::Centroid, NO_OWNER, FIRST_LIFE);
                }
                let mut page = PageMut::open(self.next_block, page_bytes)?;
                let part = (size - done).min(body - used);
                let real = bytes.len().saturating_sub(done).min(part);
                page.body_mut()[used..used + real].copy_from_slice(&bytes[done..done + real]);
                used += part;
                done += part;
                page.set_used(used);
                if used == body {
                    self.append()?;
                    used = 0;
                }
            }
        }
        if used > 0 {
            self.append()?;
        }
        Ok(())
    }

    /// Hands `self.page` to the writer.
    fn append(&mut self) -> Result<(), Error> {
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

fn link(block: u32) -> Link {
    Link {
        block,
        generation: FIRST_LIFE,
    }
}
