//! The meta page (block 0): what the index is. Never changes after the build.

use pgnear_kernels::Metric;

use super::layout::Layout;
use crate::error::Error;
use crate::page::{self, Kind, NO_OWNER, PageMut, PageView, put_u16, put_u32, u16_at, u32_at};
use crate::query::Shape;
use crate::row::Element;
use crate::store::Store;

/// "PGNH", the mark in the body of the meta page of an hnsw index of ours.
const MAGIC: u32 = 0x484E_4750;
/// Version of the meta page and all that it describes.
const VERSION: u32 = 1;
/// Layout 1: groups of record pages and vector pages.
const LAYOUT_GROUPS: u16 = 1;
/// Bytes of the body of the meta page.
const LEN: usize = 80;

/// What an index was asked to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IndexSpec {
    pub element: Element,
    pub metric: Metric,
    pub dims: u32,
    /// Neighbours that a new node chooses; it keeps up to twice as many.
    pub m: u16,
    /// Width of the search for them.
    pub ef_construction: u16,
    /// Seed of the rotation and of the order of a build, so that a rebuild repeats.
    pub seed: u64,
    pub rerank: Rerank,
}

/// Where the vectors are that the rows found are measured by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Rerank {
    /// On pages of the index.
    Index = 0,
    /// In the rows of the table: only where records hold codes.
    Table = 1,
    /// On pages of the index at half of their size, and in the rows of the table where that does not tell which
    /// is nearer: only 4-byte floats of which records hold codes.
    Half = 2,
}

impl Shape for IndexSpec {
    fn element(&self) -> Element {
        self.element
    }

    fn dims(&self) -> u32 {
        self.dims
    }
}

/// An index as its meta page describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Meta {
    spec: IndexSpec,
    pub(super) layout: Layout,
}

impl Meta {
    pub(super) fn new(spec: &IndexSpec, page_size: usize) -> Result<Meta, Error> {
        Ok(Meta {
            spec: spec.clone(),
            layout: Layout::new(spec, page_size)?,
        })
    }

    /// Reads block 0.
    ///
    /// # Errors
    /// [`Error::NotOurs`] for a page that bears no mark of ours, [`Error::UnknownVersion`] for a
    /// later version, [`Error::Corrupt`] for anything else that no build of ours writes.
    pub fn read(store: &impl Store) -> Result<Meta, Error> {
        let page = store.read(0)?;
        if !page::is_zeroed(&page) && !bears_our_mark(&page) {
            return Err(Error::NotOurs);
        }
        let view = PageView::open_as(0, &page, Kind::Meta, NO_OWNER)?;
        let body = view.used();
        if body.len() < 8 || u32_at(body, 0) != MAGIC {
            return Err(Error::corrupt(0, "meta page lacks its mark"));
        }
        let found = u32_at(body, 4);
        if found != VERSION {
            return Err(Error::UnknownVersion {
                found,
                known: VERSION,
            });
        }
        if body.len() != LEN {
            return Err(Error::corrupt(0, "meta page has the wrong length"));
        }
        let layout_id = u16_at(body, 8);
        let rerank = match body[11] {
            0 => Some(Rerank::Index),
            1 => Some(Rerank::Table),
            2 => Some(Rerank::Half),
            _ => None,
        };
        let (LAYOUT_GROUPS, Some(rerank)) = (layout_id, rerank) else {
            return Err(Error::UnknownVersion {
                found: layout_id.into(),
                known: LAYOUT_GROUPS.into(),
            });
        };
        let element = element_from(body[12]);
        let metric = metric_from(body[13]);
        let (Some(element), Some(metric)) = (element, metric) else {
            return Err(Error::corrupt(
                0,
                "meta page names an unknown type or metric",
            ));
        };
        let spec = IndexSpec {
            element,
            metric,
            dims: u32_at(body, 16),
            m: u16_at(body, 20),
            ef_construction: u16_at(body, 22),
            seed: u64::from(u32_at(body, 24)) | u64::from(u32_at(body, 28)) << 32,
            rerank,
        };
        let meta = Meta::new(&spec, page.len())
            .map_err(|error| Error::corrupt(0, format!("meta page: {error}")))?;
        // Sizes follow from the rest; they are written for whoever reads a hex dump, and serve as
        // a check here.
        let mut expected = [0; LEN];
        meta.write_body(&mut expected);
        if body != expected {
            return Err(Error::corrupt(0, "meta page contradicts itself"));
        }
        Ok(meta)
    }

    /// What the index was asked to be.
    pub fn spec(&self) -> &IndexSpec {
        &self.spec
    }

    /// Bytes of a vector in this index.
    pub fn payload_bytes(&self) -> usize {
        self.layout.payload
    }

    /// Formats `bytes` as the meta page.
    pub(super) fn write(&self, bytes: &mut [u8]) {
        let mut page = PageMut::init(bytes, Kind::Meta, NO_OWNER, 1);
        self.write_body(&mut page.body_mut()[..LEN]);
        page.set_used(LEN);
    }

    fn write_body(&self, body: &mut [u8]) {
        let layout = &self.layout;
        put_u32(body, 0, MAGIC);
        put_u32(body, 4, VERSION);
        put_u16(body, 8, LAYOUT_GROUPS);
        body[10] = layout.code as u8;
        body[11] = self.spec.rerank as u8;
        body[12] = element_number(self.spec.element);
        body[13] = metric_number(self.spec.metric);
        put_u32(body, 16, self.spec.dims);
        put_u16(body, 20, self.spec.m);
        put_u16(body, 22, self.spec.ef_construction);
        put_u32(body, 24, self.spec.seed as u32);
        put_u32(body, 28, (self.spec.seed >> 32) as u32);
        put_u32(body, 32, layout.record as u32);
        put_u32(body, 36, layout.records_per_page);
        put_u32(body, 40, layout.vector as u32);
        put_u32(body, 44, layout.vectors_per_page);
        put_u32(body, 48, layout.record_pages);
        put_u32(body, 52, layout.vector_pages);
        put_u32(body, 56, layout.entry as u32);
        put_u32(body, 60, layout.entries_per_page);
        put_u32(body, 64, layout.centre_pages);
    }
}

/// Whether the special area or the body has its mark. One of them suffices, so that a damaged
/// page of ours is reported as damaged and not as somebody else's.
fn bears_our_mark(bytes: &[u8]) -> bool {
    u16_at(bytes, bytes.len() - page::SPECIAL) == page::MAGIC
        || u32_at(bytes, page::HEADER) == MAGIC
}

fn element_number(element: Element) -> u8 {
    match element {
        Element::F32 => 1,
        Element::F16 => 2,
        Element::Bit => 3,
        Element::Sparse => 4,
    }
}

fn element_from(number: u8) -> Option<Element> {
    [Element::F32, Element::F16, Element::Bit, Element::Sparse]
        .into_iter()
        .find(|element| element_number(*element) == number)
}

fn metric_number(metric: Metric) -> u8 {
    match metric {
        Metric::L2 => 1,
        Metric::InnerProduct => 2,
        Metric::Cosine => 3,
        Metric::L1 => 4,
        Metric::Hamming => 5,
        Metric::Jaccard => 6,
    }
}

fn metric_from(number: u8) -> Option<Metric> {
    Metric::ALL
        .into_iter()
        .find(|metric| metric_number(*metric) == number)
}
