//! Centroids: which list a row belongs to, and which lists a query should look at.
//!
//! Build, insert and scan use one function ([`Nearness::key`]), so that a row is always looked for
//! where it was put.

use pgnear_kernels::{Kernels, Metric, kernels};

use super::layout::Layout;
use super::meta::{IndexSpec, Meta};
use super::search::{Query, sortable};
use crate::alloc;
use crate::error::Error;
use crate::page::{Kind, NO_OWNER, PageView};
use crate::row::Element;
use crate::store::Store;

/// The centroids of an index to be built, one a list.
#[derive(Debug, Clone, PartialEq)]
pub enum Centroids {
    /// For float vectors: row-major, `dims` each. Of unit length where the metric is cosine.
    Float { dims: u32, data: Vec<f32> },
    /// For bit vectors: packed, `bytes_each` each.
    Bits { bytes_each: usize, data: Vec<u8> },
}

impl Centroids {
    /// Number of centroids.
    pub fn len(&self) -> usize {
        match self {
            Centroids::Float { dims, data } => data.len() / (*dims as usize).max(1),
            Centroids::Bits { bytes_each, data } => data.len() / (*bytes_each).max(1),
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
        for list in 0..self.len() {
            best.offer(list as u32, nearness.key(self.bytes(list)));
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
        };
        Ok(Nearness {
            kernels,
            metric: spec.metric,
            row,
        })
    }

    /// A key for the centroid at `bytes` (aligned to 4): the lower, the nearer; NaN is farthest.
    pub fn key(&self, bytes: &[u8]) -> u64 {
        let k = self.kernels;
        let key = match &self.row {
            Row::Floats(row) => {
                let centroid: &[f32] = bytemuck::cast_slice(bytes);
                if self.metric == Metric::L2 {
                    f64::from((k.f32_l2_squared)(row, centroid))
                } else {
                    -f64::from((k.f32_dot)(row, centroid))
                }
            }
            Row::Bits(row) => (k.bit_hamming)(row, &bytes[..row.len()]) as f64,
        };
        sortable(key)
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

/// Calls `visit` with the number and bytes (aligned to 4) of every centroid of an index, in order.
///
/// Centroids are one stream of bytes over the bodies of consecutive pages; one that lies whole on
/// a page is handed over in place, one that spans pages is put together first.
pub(super) fn for_each_centroid(
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
        while bytes.len() >= size {
            visit(list, &bytes[..size]);
            list += 1;
            bytes = &bytes[size..];
        }
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
    for_each_centroid(store, &meta.layout, |list, bytes| {
        best.offer(list, nearness.key(bytes));
    })?;
    Ok(best.list)
}
