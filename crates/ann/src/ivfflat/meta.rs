//! The meta page (block 0): what the index is.

use pgnear_kernels::Metric;

use super::layout::Layout;
use crate::error::Error;
use crate::page::{
    self, FIRST_LIFE, Kind, NO_OWNER, PageMut, PageView, put_u16, put_u32, u16_at, u32_at,
};
use crate::query::Shape;
use crate::row::Element;
use crate::store::Store;

/// "PGNI", the mark in the body of the meta page of an ivfflat index of ours.
const MAGIC: u32 = 0x494E_4750;
/// Version of the meta page and all that it describes.
const VERSION: u32 = 1;
/// Layout 1: whole vectors in the lists.
const LAYOUT_PLAIN: u16 = 1;
/// No codes.
const CODE_NONE: u8 = 0;
/// Exact distances come from vectors in the index.
const RERANK_INDEX: u8 = 0;
/// Bytes of the body of the meta page.
const LEN: usize = 64;

/// What an index was asked to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IndexSpec {
    pub element: Element,
    pub metric: Metric,
    pub dims: u32,
    pub lists: u32,
    /// Seed of the k-means run, so that a rebuild repeats.
    pub seed: u64,
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
        if layout_id != LAYOUT_PLAIN || body[10] != CODE_NONE || body[11] != RERANK_INDEX {
            return Err(Error::UnknownVersion {
                found: u32_at(body, 8),
                known: u32::from(LAYOUT_PLAIN),
            });
        }
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
            lists: u32_at(body, 20),
            seed: u64::from(u32_at(body, 24)) | u64::from(u32_at(body, 28)) << 32,
        };
        let meta = Meta::new(&spec, page.len())
            .map_err(|error| Error::corrupt(0, format!("meta page: {error}")))?;
        // Positions follow from the rest; they are written for whoever reads a hex dump, and
        // serve as a check here.
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

    /// Pages before the first list page: meta page, directory and centroids.
    pub fn fixed_pages(&self) -> u32 {
        self.layout.lists_start
    }

    /// Formats `bytes` as the meta page.
    pub(super) fn write(&self, bytes: &mut [u8]) {
        let mut page = PageMut::init(bytes, Kind::Meta, NO_OWNER, FIRST_LIFE);
        self.write_body(&mut page.body_mut()[..LEN]);
        page.set_used(LEN);
    }

    fn write_body(&self, body: &mut [u8]) {
        let layout = &self.layout;
        put_u32(body, 0, MAGIC);
        put_u32(body, 4, VERSION);
        put_u16(body, 8, LAYOUT_PLAIN);
        body[10] = CODE_NONE;
        body[11] = RERANK_INDEX;
        body[12] = element_number(self.spec.element);
        body[13] = metric_number(self.spec.metric);
        put_u32(body, 16, self.spec.dims);
        put_u32(body, 20, self.spec.lists);
        put_u32(body, 24, self.spec.seed as u32);
        put_u32(body, 28, (self.spec.seed >> 32) as u32);
        put_u32(body, 32, layout.directory_start);
        put_u32(body, 36, layout.directory_pages);
        put_u32(body, 40, layout.centroid_start);
        put_u32(body, 44, layout.centroid_pages);
        put_u32(body, 48, layout.lists_start);
        put_u32(body, 52, layout.slot as u32);
        put_u32(body, 56, layout.per_page as u32);
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
    [Element::F32, Element::F16, Element::Bit]
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
