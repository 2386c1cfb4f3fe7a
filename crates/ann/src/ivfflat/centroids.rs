//! Centroids: which list a row belongs to, and which lists a query should look at.
//!
//! Build, insert and scan use one function ([`Nearness::keys`]), so that a row is always looked for
//! where it was put.

use pgnear_kernels::{Kernels, Metric, kernels};

use super::layout::Layout;
use super::meta::{IndexSpec, Meta};
use crate::alloc;
use crate::error::Error;
use crate::page::{Kind, NO_OWNER, PageView};
use crate::query::{Query, sortable};
use crate::row::Element;
use crate::store::Store;

/// The centroids of an index to be built, one a list.
#[derive(Debug, Clone, PartialEq)]
pub enum Centroids {
    /// For float vectors: row-major, `dims` each. Of unit length where the metric is cosine.
    Float { dims: u32, data: Vec<f32> },
    /// For bit vectors: packed, `bytes_each` each.
    Bits { bytes_each: usize, data: Vec<u8> },
    /// All alike, each of these bytes: of an index that was made without rows.
    Equal { lists: u32, bytes: Vec<u8> },
}

impl Centroids {
    /// Number of centroids.
    pub fn len(&self) -> usize {
        match self {
            Centroids::Float { dims, data } => data.len() / (*dims as usize).max(1),
            Centroids::Bits { bytes_each, data } => data.len() / (*bytes_each).max(1),
            Centroids::Equal { lists, .. } => *lists as usize,
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The bytes of centroid `index`, without padding.
    pub(super) fn bytes(&self, index: usize) -> &[u8] {
        match self {
            Centroids::Float { dims, data } => {
                let dims = *dims as usize;
                bytemuck::cast_slice(&data[index * dims..(index + 1) * dims])
            }
            Centroids::Bits { bytes_each, data } => &data[index * bytes_each..][..*bytes_each],
            Centroids::Equal { bytes, .. } => bytes,
        }
    }

    pub(super) fn check(&self, spec: &IndexSpec) -> Result<(), Error> {
        let fits = match (self, spec.element) {
            (Centroids::Float { dims, data }, Element::F32 | Element::F16) => {
                *dims == spec.dims && data.len() == spec.dims as usize * spec.lists as usize
            }
            (Centroids::Bits { bytes_each, data }, Element::Bit) => {
                *bytes_each == Element::Bit.bytes(spec.dims)
                    && data.len() == bytes_each * spec.lists as usize
            }
            (Centroids::Equal { lists, bytes }, element) => {
                let each = match element {
                    Element::F32 | Element::F16 => 4 * spec.dims as usize,
                    Element::Bit | Element::Sparse => element.bytes(spec.dims),
                };
                *lists == spec.lists && bytes.len() == each
            }
            _ => false,
        };
        if fits {
            Ok(())
        } else {
            Err(Error::Invalid("centroids do not fit the index"))
        }
    }

    /// The list of a row: the nearest centroid by Euclidean distance for L2, by inner product for
    /// inner product and cosine, by Hamming distance for bits; the lowest of equals.
    ///
    /// # Errors
    /// [`Error::WrongDimensions`], [`Error::Invalid`] where the centroids are not of this index.
    pub fn assign(&self, spec: &IndexSpec, payload: &[u8]) -> Result<u32, Error> {
        self.check(spec)?;
        let nearness = Nearness::new(spec, &Query::from_payload(spec, payload)?)?;
        let mut best = Best::default();
        match self {
            Centroids::Float { data, .. } => {
                nearness.keys(0, bytemuck::cast_slice(data), |list, key| {
                    best.offer(list, key)
                });
            }
            Centroids::Bits { bytes_each, data } => {
                for (list, bits) in data.chunks_exact(*bytes_each).enumerate() {
                    best.offer(list as u32, nearness.key_of_bits(bits));
                }
            }
            Centroids::Equal { .. } => return Ok(0),
        }
        Ok(best.list)
    }
}

/// How near centroids are to one vector.
pub(super) struct Nearness {
    kernels: &'static Kernels,
    metric: Metric,
    row: Row,
}

enum Row {
    Floats(Vec<f32>),
    Bits(Vec<u8>),
}

impl Nearness {
    pub fn new(spec: &IndexSpec, query: &Query) -> Result<Nearness, Error> {
        let kernels = kernels();
        let row = match query {
            Query::F32(row) => Row::Floats(alloc::copied(row)?),
            Query::F16(row) => {
                let mut floats = alloc::filled(0.0, row.len())?;
                (kernels.f16_to_f32)(row, &mut floats);
                Row::Floats(floats)
            }
            Query::Bit(row) => Row::Bits(alloc::copied(row)?),
            Query::Sparse(_) => return Err(Error::Invalid("ivfflat knows no sparse vectors")),
        };
        Ok(Nearness {
            kernels,
            metric: spec.metric,
            row,
        })
    }

    /// Calls `each` with the number and key of every centroid in `run`: padded to 4 bytes each,
    /// aligned to 4, the first being number `first`. The lower the key, the nearer; NaN is farthest.
    pub fn keys(&self, first: u32, run: &[u8], mut each: impl FnMut(u32, u64)) {
        match &self.row {
            Row::Floats(row) => {
                let mut list = first;
                let mut fours = run.chunks_exact(4 * 4 * row.len());
                for four in &mut fours {
                    let four: &[f32] = bytemuck::cast_slice(four);
                    let mut parts = four.chunks_exact(row.len());
                    let four = std::array::from_fn(|_| parts.next().unwrap_or_default());
                    for key in self.keys_x4(row, four) {
                        each(list, sortable(key));
                        list += 1;
                    }
                }
                for one in fours.remainder().chunks_exact(4 * row.len()) {
                    each(list, sortable(self.key(row, bytemuck::cast_slice(one))));
                    list += 1;
                }
            }
            Row::Bits(row) => {
                let size = row.len().next_multiple_of(4);
                for (list, bits) in (first..).zip(run.chunks_exact(size)) {
                    each(list, self.key_of_bits(&bits[..row.len()]));
                }
            }
        }
    }

    fn key(&self, row: &[f32], centroid: &[f32]) -> f64 {
        if self.metric == Metric::L2 {
            f64::from((self.kernels.f32_l2_squared)(row, centroid))
        } else {
            -f64::from((self.kernels.f32_dot)(row, centroid))
        }
    }

    /// Bit for bit four calls of `key`.
    fn keys_x4(&self, row: &[f32], centroids: [&[f32]; 4]) -> [f64; 4] {
        if self.metric == Metric::L2 {
            (self.kernels.f32_l2_squared_x4)(row, centroids).map(f64::from)
        } else {
            (self.kernels.f32_dot_x4)(row, centroids).map(|dot| -f64::from(dot))
        }
    }

    /// The key of a centroid of bits, without padding.
    fn key_of_bits(&self, bits: &[u8]) -> u64 {
        match &self.row {
            Row::Bits(row) => sortable((self.kernels.bit_hamming)(row, bits) as f64),
            Row::Floats(_) => u64::MAX,
        }
    }
}

/// The nearest centroid so far.
pub(super) struct Best {
    pub list: u32,
    key: u64,
}

impl Default for Best {
    fn default() -> Best {
        Best {
            list: 0,
            key: u64::MAX,
        }
    }
}

impl Best {
    pub fn offer(&mut self, list: u32, key: u64) {
        if key < self.key {
            *self = Best { list, key };
        }
    }
}

/// Calls `visit` with runs of an index's centroids, in order: the number of the first, and their
/// bytes, aligned to 4.
///
/// Centroids are one stream of bytes over the bodies of consecutive pages; those that lie whole on
/// a page are handed over in place, one that spans pages is put together first.
pub(super) fn for_each_run(
    store: &impl Store,
    layout: &Layout,
    mut visit: impl FnMut(u32, &[u8]),
) -> Result<(), Error> {
    let size = layout.centroid;
    let total = layout.lists as usize * size;
    let mut whole = alloc::filled(0u32, size / 4)?;
    let mut filled = 0;
    let mut list = 0;
    for number in 0..layout.centroid_pages {
        store.check_interrupts()?;
        let block = layout.centroid_start + number;
        let page = store.read(block)?;
        let view = PageView::open_as(block, &page, Kind::Centroid, NO_OWNER)?;
        let mut bytes = view.used();
        if bytes.len() != layout.body.min(total - number as usize * layout.body) {
            return Err(Error::corrupt(block, "centroid page has the wrong length"));
        }
        if filled > 0 {
            let (part, rest) = bytes.split_at((size - filled).min(bytes.len()));
            let target: &mut [u8] = bytemuck::cast_slice_mut(&mut whole);
            target[filled..filled + part.len()].copy_from_slice(part);
            filled += part.len();
            bytes = rest;
            if filled == size {
                visit(list, bytemuck::cast_slice(&whole));
                list += 1;
                filled = 0;
            }
        }
        let (run, rest) = bytes.split_at(bytes.len() - bytes.len() % size);
        if !run.is_empty() {
            visit(list, run);
            list += (run.len() / size) as u32;
        }
        bytes = rest;
        if !bytes.is_empty() {
            bytemuck::cast_slice_mut(&mut whole)[..bytes.len()].copy_from_slice(bytes);
            filled = bytes.len();
        }
    }
    Ok(())
}

/// The list of a row in an index; see [`Centroids::assign`].
pub(super) fn nearest_list(store: &impl Store, meta: &Meta, row: &Query) -> Result<u32, Error> {
    let nearness = Nearness::new(meta.spec(), row)?;
    let mut best = Best::default();
    for_each_run(store, &meta.layout, |first, run| {
        nearness.keys(first, run, |list, key| best.offer(list, key));
    })?;
    Ok(best.list)
}
