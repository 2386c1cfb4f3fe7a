//! Where everything lies: sizes and positions that follow from the specification of an index and
//! the page size alone, so that from a node's number to its bytes there is only arithmetic.

use pgnear_kernels::Metric;
use pgnear_quant::code4;

use super::meta::{IndexSpec, Rerank};
use super::{halves, pruned};
use crate::error::Error;
use crate::page::body_size;
use crate::row::Element;

/// Most dimensions of an index on floats.
pub const MAX_DIMS: u32 = 16_000;
/// Most dimensions of an index on sparse vectors.
pub const MAX_SPARSE_DIMS: u32 = 1_000_000_000;
/// Most dimensions of an index on bits.
pub const MAX_BITS: u32 = 64_000;
/// Least `m`.
pub const MIN_M: u16 = 2;
/// Largest `m`.
pub const MAX_M: u16 = 100;
/// Least `ef_construction`.
pub const MIN_EF_CONSTRUCTION: u16 = 4;
/// Largest `ef_construction`.
pub const MAX_EF_CONSTRUCTION: u16 = 1000;
/// Most nodes of an index.
pub const MAX_NODES: u32 = 1 << 31;

/// The block of the state page.
pub(super) const STATE_BLOCK: u32 = 1;
/// The first block of the centre.
pub(super) const CENTRE_BLOCK: u32 = 2;
/// Bytes of a record before what a search scores.
pub(super) const RECORD_HEAD: usize = 8;
/// Bytes before a vector on a vector page.
pub(super) const VECTOR_HEAD: usize = 8;
/// Most record pages of a group.
const MAX_RECORD_PAGES: usize = 32;

/// What a search scores nodes by: the table of rule 5 (each operator class has its code kind).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum CodeKind {
    /// A 4-bit code of the rotated vector, in the record; the vector on a vector page.
    Rotated4 = 1,
    /// The vector itself, in the record.
    Inline = 2,
    /// The vector itself, on a vector page.
    Plain = 3,
    /// The largest elements of a sparse vector, in the record; the vector in the table.
    Pruned = 4,
}

impl CodeKind {
    fn of(spec: &IndexSpec) -> Option<CodeKind> {
        match (spec.element, spec.metric) {
            (Element::F32 | Element::F16, Metric::L2 | Metric::InnerProduct | Metric::Cosine) => {
                Some(CodeKind::Rotated4)
            }
            (Element::F32 | Element::F16, Metric::L1) => Some(CodeKind::Plain),
            (Element::Bit, Metric::Hamming | Metric::Jaccard) => Some(CodeKind::Inline),
            (Element::Sparse, Metric::L2 | Metric::InnerProduct | Metric::Cosine | Metric::L1) => {
                Some(CodeKind::Pruned)
            }
            _ => None,
        }
    }
}

/// Whether vectors are coded relative to a centre. An inner product is not one of differences.
fn has_centre(spec: &IndexSpec, code: CodeKind) -> bool {
    code == CodeKind::Rotated4 && spec.metric != Metric::InnerProduct
}

/// Sizes and positions of one index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Layout {
    pub page_size: usize,
    /// Bytes of a page's body.
    pub body: usize,
    pub dims: usize,
    /// Bytes of a vector as the table has it.
    pub payload: usize,
    pub code: CodeKind,
    /// Bytes that a search scores ([`super::space`]), wherever they lie.
    pub blob: usize,
    /// Bytes of them in the record, padded to 4.
    pub blob_in_record: usize,
    /// Neighbours of a node at most.
    pub degree: usize,
    /// Bytes of a record.
    pub record: usize,
    pub records_per_page: u32,
    /// Pages of the centre.
    pub centre_pages: u32,
    /// The first block of the first group.
    pub groups_start: u32,
    /// Whether rows are measured by their vectors in the table.
    pub in_table: bool,
    /// Whether vector pages hold vectors at half of their size.
    pub halved: bool,
    /// Bytes of a vector on a vector page.
    pub stored: usize,
    /// These bytes with their head, padded to 8; 0 where records hold the vectors, or the table.
    pub vector: usize,
    /// Vectors of a page; 0 where they run on over the pages of their group.
    pub vectors_per_page: u32,
    /// Record pages of a group, which come first.
    pub record_pages: u32,
    /// Vector pages of a group.
    pub vector_pages: u32,
    /// Bytes of an entry of the table of entry points.
    pub entry: usize,
    pub entries_per_page: u32,
}

impl Layout {
    /// # Errors
    /// [`Error::TooLarge`] and [`Error::Invalid`] for a specification outside of the limits.
    pub fn new(spec: &IndexSpec, page_size: usize) -> Result<Layout, Error> {
        let Some(code) = CodeKind::of(spec) else {
            return Err(Error::Invalid(
                "hnsw does not know this metric for this type",
            ));
        };
        let most_dims = match spec.element {
            Element::F32 | Element::F16 => MAX_DIMS,
            Element::Bit => MAX_BITS,
            Element::Sparse => MAX_SPARSE_DIMS,
        };
        within("dimension count", spec.dims, 1, most_dims)?;
        within("m", spec.m.into(), MIN_M.into(), MAX_M.into())?;
        let (least, most) = (MIN_EF_CONSTRUCTION.into(), MAX_EF_CONSTRUCTION.into());
        within("ef_construction", spec.ef_construction.into(), least, most)?;
        if !page_size.is_multiple_of(256) || !(512..=32_768).contains(&page_size) {
            return Err(Error::Invalid("hnsw does not know this page size"));
        }
        let body = body_size(page_size);
        let dims = spec.dims as usize;
        let payload = spec.element.bytes(spec.dims);
        let blob = match code {
            CodeKind::Rotated4 => 8 + code4::code_bytes(dims),
            CodeKind::Inline | CodeKind::Plain => payload,
            CodeKind::Pruned => pruned::code_bytes(pruned::kept(dims)),
        };
        let blob_in_record = match code {
            CodeKind::Rotated4 | CodeKind::Inline | CodeKind::Pruned => blob.next_multiple_of(4),
            CodeKind::Plain => 0,
        };
        let degree = 2 * usize::from(spec.m);
        let record = RECORD_HEAD + blob_in_record + 4 * degree;
        if record > body {
            // At 8 KiB: more than 14,600 dimensions with m = 100, say.
            return Err(Error::TooLarge {
                what: "m, with that many dimensions,",
                value: spec.m.into(),
                limit: (body.saturating_sub(RECORD_HEAD + blob_in_record) / 8) as u64,
            });
        }
        let records_per_page = (body / record) as u32;
        let (in_table, halved) = (spec.rerank == Rerank::Table, spec.rerank == Rerank::Half);
        if halved && (code != CodeKind::Rotated4 || spec.element != Element::F32) {
            return Err(Error::Invalid(
                "hnsw halves no vectors of this type and metric",
            ));
        }
        let stored = if halved { halves::bytes(dims) } else { payload };
        match code {
            CodeKind::Inline | CodeKind::Plain if in_table => {
                return Err(Error::Invalid("hnsw has no codes of this type and metric"));
            }
            CodeKind::Pruned if !in_table => {
                return Err(Error::Invalid("hnsw leaves sparse vectors in the table"));
            }
            _ => {}
        }
        let vector = match code {
            CodeKind::Inline => 0,
            _ if in_table => 0,
            CodeKind::Rotated4 | CodeKind::Plain | CodeKind::Pruned => {
                (VECTOR_HEAD + stored).next_multiple_of(8)
            }
        };
        let whole = body.checked_div(vector).unwrap_or(0);
        // Whole vectors a page where that wastes at most an eighth of it.
        let fits = whole > 0 && body - whole * vector <= body / 8;
        let vectors_per_page = if fits { whole as u32 } else { 0 };
        let vector_pages_of = |nodes: u32| match (vector, vectors_per_page) {
            (0, _) => 0,
            (_, 0) => (nodes as usize * vector).div_ceil(body) as u32,
            (_, per_page) => nodes.div_ceil(per_page),
        };
        // Few record pages make small groups, more of them fill the last vector page better: the
        // fewest within 2 % of the best.
        let pages_a_node = |record_pages: u32| {
            let nodes = record_pages * records_per_page;
            f64::from(record_pages + vector_pages_of(nodes)) / f64::from(nodes)
        };
        let candidates = 1..=MAX_RECORD_PAGES as u32;
        let best = (candidates.clone().map(pages_a_node)).fold(f64::INFINITY, f64::min);
        let record_pages = candidates
            .into_iter()
            .find(|pages| pages_a_node(*pages) <= best * 1.02)
            .unwrap_or(1);
        let centre_pages = if has_centre(spec, code) {
            (4 * dims).div_ceil(body) as u32
        } else {
            0
        };
        let entry = 12 + blob.next_multiple_of(4);
        let per_page = body / entry;
        Ok(Layout {
            page_size,
            body,
            dims,
            payload,
            code,
            blob,
            blob_in_record,
            degree,
            record,
            records_per_page,
            centre_pages,
            groups_start: CENTRE_BLOCK + centre_pages,
            in_table,
            halved,
            stored,
            vector,
            vectors_per_page,
            record_pages,
            vector_pages: vector_pages_of(record_pages * records_per_page),
            entry,
            entries_per_page: per_page as u32,
        })
    }

    /// Nodes of a group.
    pub fn group_nodes(&self) -> u32 {
        self.record_pages * self.records_per_page
    }

    /// Pages of a group.
    pub fn group_pages(&self) -> u32 {
        self.record_pages + self.vector_pages
    }

    /// Most nodes: their numbers and blocks stay within 31 and 32 bits.
    pub fn max_nodes(&self) -> u32 {
        let groups = (u32::MAX - 1 - self.groups_start) / self.group_pages();
        let nodes = u64::from(groups) * u64::from(self.group_nodes());
        nodes.min(u64::from(MAX_NODES)) as u32
    }

    /// The first block of a group.
    pub fn group_block(&self, group: u32) -> u32 {
        self.groups_start + group * self.group_pages()
    }

    /// Block and body offset of a node's record. `node` is below [`Layout::max_nodes`].
    #[inline]
    pub fn record_place(&self, node: u32) -> (u32, usize) {
        let (group, rest) = (node / self.group_nodes(), node % self.group_nodes());
        let block = self.group_block(group) + rest / self.records_per_page;
        let at = (rest % self.records_per_page) as usize * self.record;
        (block, at)
    }

    /// Block and body offset where a node's vector begins. There must be vector pages.
    #[inline]
    pub fn vector_place(&self, node: u32) -> (u32, usize) {
        let (group, rest) = (node / self.group_nodes(), node % self.group_nodes());
        let first = self.group_block(group) + self.record_pages;
        if self.vectors_per_page > 0 {
            let at = (rest % self.vectors_per_page) as usize * self.vector;
            (first + rest / self.vectors_per_page, at)
        } else {
            let byte = rest as usize * self.vector;
            (first + (byte / self.body) as u32, byte % self.body)
        }
    }

    /// Pages that a vector beginning at `at` of a body lies on.
    pub fn vector_span(&self, at: usize) -> u32 {
        (at + self.vector).div_ceil(self.body) as u32
    }

    /// The last block that a node has bytes on.
    pub fn last_block(&self, node: u32) -> u32 {
        if self.vector == 0 {
            return self.record_place(node).0;
        }
        let (block, at) = self.vector_place(node);
        block + self.vector_span(at) - 1
    }

    /// What a block is to the node numbers, if it lies in a group.
    pub fn role(&self, block: u32) -> Option<Role> {
        let rest = block.checked_sub(self.groups_start)?;
        let (group, page) = (rest / self.group_pages(), rest % self.group_pages());
        if page < self.record_pages {
            let first = u64::from(group) * u64::from(self.group_nodes())
                + u64::from(page * self.records_per_page);
            let nodes = u32::try_from(first).unwrap_or(u32::MAX);
            Some(Role::Records { first: nodes })
        } else {
            Some(Role::Vectors)
        }
    }
}

/// What a block in a group is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// Records, from this node on.
    Records {
        first: u32,
    },
    Vectors,
}

fn within(what: &'static str, value: u32, least: u32, most: u32) -> Result<(), Error> {
    if value < least {
        return Err(Error::Invalid(match what {
            "m" => "m is at least 2",
            "ef_construction" => "ef_construction is at least 4",
            _ => "dimensions start at 1",
        }));
    }
    if value > most {
        return Err(Error::TooLarge {
            what,
            value: value.into(),
            limit: most.into(),
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layout(element: Element, metric: Metric, dims: u32, page: usize) -> Layout {
        let spec = IndexSpec {
            element,
            metric,
            dims,
            m: 16,
            ef_construction: 64,
            seed: 1,
            rerank: Rerank::Index,
        };
        Layout::new(&spec, page).unwrap()
    }

    #[test]
    fn pages_are_as_full_as_the_design_says() {
        let l = layout(Element::F32, Metric::Cosine, 384, 8192);
        assert_eq!(
            (l.record, l.records_per_page, l.vectors_per_page),
            (336, 24, 5)
        );
        let bytes = |l: &Layout| 8192 * l.group_pages() as usize / l.group_nodes() as usize;
        assert!(bytes(&l) < 2048, "{}", bytes(&l));
        let l = layout(Element::F32, Metric::L2, 1536, 8192);
        assert_eq!((l.records_per_page, l.vectors_per_page), (8, 0));
        assert!(bytes(&l) < 7400, "{}", bytes(&l));
        // 16,000 dimensions fill a page to the last byte.
        let l = layout(Element::F32, Metric::L2, 16_000, 8192);
        assert_eq!((l.record, l.records_per_page), (8144, 1));
        let l = layout(Element::Bit, Metric::Hamming, 64_000, 8192);
        assert_eq!((l.records_per_page, l.vector_pages), (1, 0));
    }

    #[test]
    fn places_are_apart_and_within_their_group() {
        for (element, metric, dims, page) in [
            (Element::F32, Metric::L2, 3, 512),
            (Element::F16, Metric::L1, 500, 512),
            (Element::F32, Metric::Cosine, 384, 8192),
            (Element::F32, Metric::L2, 2500, 8192),
            (Element::Bit, Metric::Jaccard, 77, 512),
        ] {
            let spec = IndexSpec {
                m: 4,
                ..IndexSpec {
                    element,
                    metric,
                    dims,
                    m: 4,
                    ef_construction: 10,
                    seed: 0,
                    rerank: Rerank::Index,
                }
            };
            let l = Layout::new(&spec, page).unwrap();
            let body = l.body as u64;
            let mut taken = std::collections::BTreeMap::new();
            for node in 0..3 * l.group_nodes() {
                let (block, at) = l.record_place(node);
                assert!(at + l.record <= l.body);
                let Some(Role::Records { first }) = l.role(block) else {
                    panic!("{block} is no record page")
                };
                assert_eq!(first + (at / l.record) as u32, node);
                taken.insert(u64::from(block) * body + at as u64, l.record as u64);
                if l.vector > 0 {
                    let (block, at) = l.vector_place(node);
                    assert_eq!(at % 8, 0);
                    assert_eq!(l.role(block), Some(Role::Vectors));
                    assert_eq!(l.role(l.last_block(node)), Some(Role::Vectors));
                    taken.insert(u64::from(block) * body + at as u64, l.vector as u64);
                }
            }
            let mut end = 0;
            for (start, length) in taken {
                assert!(start >= end, "{spec:?}: two nodes share bytes");
                end = start + length;
            }
        }
    }
}
