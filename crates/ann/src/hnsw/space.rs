//! What is near what: estimates that steer, and the exact distance that is handed out.
//!
//! A node's *blob* is what a search scores it by: for a [`CodeKind::Rotated4`] index
//! ```text
//! 0                 4          8
//! +-----------------+----------+----------------+
//! | f32 norm²       | f32      | 4-bit code     |
//! | of rotated row  | factor   |                |
//! +-----------------+----------+----------------+
//! ```
//! (the row scaled to unit length first where the metric is cosine, and the index's centre taken
//! away, see [`super::centre`]), else the vector itself.

use std::borrow::Cow;

use half::f16;
use pgnear_device::MemoryBudget;
use pgnear_kernels::sparse::SparseRef;
use pgnear_kernels::{Metric, exact, kernels};
use pgnear_quant::Rotation;
use pgnear_quant::code4::{self, Query4, Terms};

use super::centre;
use super::layout::{CodeKind, Layout};
use super::meta::{IndexSpec, Meta};
use super::pruned::{self, PrunedQuery, Pruner};
use crate::alloc;
use crate::error::Error;
use crate::row::Element;
use crate::store::Store;

/// Bytes as elements. Pages are aligned; what else comes along is copied where it is not.
pub(super) fn elements<T: bytemuck::Pod>(bytes: &[u8]) -> Cow<'_, [T]> {
    match bytemuck::try_cast_slice(bytes) {
        Ok(slice) => Cow::Borrowed(slice),
        Err(_) => Cow::Owned(bytemuck::pod_collect_to_vec(bytes)),
    }
}

/// Bytes kept at the alignment of any element.
#[derive(Debug, Clone, Default)]
pub(super) struct Aligned {
    words: Vec<u64>,
    len: usize,
}

impl Aligned {
    pub fn zeroed(len: usize) -> Result<Aligned, Error> {
        Ok(Aligned {
            words: alloc::filled(0, len.div_ceil(8))?,
            len,
        })
    }

    pub fn as_slice(&self) -> &[u8] {
        &bytemuck::cast_slice(&self.words)[..self.len]
    }

    pub fn as_mut_slice(&mut self) -> &mut [u8] {
        &mut bytemuck::cast_slice_mut(&mut self.words)[..self.len]
    }
}

/// Exact distances to one vector.
#[derive(Debug, Clone)]
pub(super) struct Exact {
    element: Element,
    metric: Metric,
    vector: Aligned,
}

impl Exact {
    pub fn new(spec: &IndexSpec) -> Result<Exact, Error> {
        Ok(Exact {
            element: spec.element,
            metric: spec.metric,
            vector: Aligned::zeroed(spec.element.bytes(spec.dims))?,
        })
    }

    /// Takes the bytes of a vector.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`], of a sparse vector only: others have one length.
    pub fn set(&mut self, payload: &[u8]) -> Result<(), Error> {
        if self.element == Element::Sparse {
            self.vector = Aligned::zeroed(payload.len())?;
        }
        self.vector.as_mut_slice().copy_from_slice(payload);
        Ok(())
    }

    /// The bytes of the vector.
    pub fn vector(&self) -> &[u8] {
        self.vector.as_slice()
    }

    /// A number in the order of the operator's distance; [`Exact::distance`] turns it into that.
    pub fn key(&self, payload: &[u8]) -> f64 {
        let own = self.vector.as_slice();
        match self.element {
            Element::F32 => dense(
                self.metric,
                &elements::<f32>(own),
                &elements::<f32>(payload),
            ),
            Element::F16 => dense(
                self.metric,
                &elements::<f16>(own),
                &elements::<f16>(payload),
            ),
            Element::Bit if self.metric == Metric::Jaccard => exact::jaccard(own, payload),
            Element::Bit => exact::hamming(own, payload),
            Element::Sparse => sparse(self.metric, own, payload),
        }
    }

    /// The operator's distance for a key.
    pub fn distance(&self, key: f64) -> f64 {
        if self.metric == Metric::L2 {
            key.sqrt()
        } else {
            key
        }
    }
}

fn dense<E: pgnear_kernels::Element>(metric: Metric, a: &[E], b: &[E]) -> f64 {
    match metric {
        Metric::L2 => exact::l2_squared(a, b),
        metric => exact::distance(metric, a, b).unwrap_or(f64::NAN),
    }
}

fn sparse(metric: Metric, a: &[u8], b: &[u8]) -> f64 {
    let parts = |bytes: &[u8]| (bytes.len() / 8 * 4, bytes.len() / 4 * 4);
    let ((a_half, a_end), (b_half, b_end)) = (parts(a), parts(b));
    let (a_indices, a_values) = (elements(&a[..a_half]), elements(&a[a_half..a_end]));
    let (b_indices, b_values) = (elements(&b[..b_half]), elements(&b[b_half..b_end]));
    // How many zeros there are beside makes no difference to any distance.
    let (a, b) = (
        SparseRef {
            dims: i32::MAX,
            indices: &a_indices,
            values: &a_values,
        },
        SparseRef {
            dims: i32::MAX,
            indices: &b_indices,
            values: &b_values,
        },
    );
    match metric {
        Metric::L2 => exact::l2_squared(a, b),
        metric => exact::distance(metric, a, b).unwrap_or(f64::NAN),
    }
}

/// The components of a vector as they are coded: as `f32`, and of unit length if asked for.
pub(super) fn widen(element: Element, normalize: bool, payload: &[u8], output: &mut [f32]) {
    match element {
        Element::F32 => output.copy_from_slice(&elements::<f32>(payload)),
        Element::F16 => (kernels().f16_to_f32)(&elements::<f16>(payload), output),
        Element::Bit | Element::Sparse => {}
    }
    if normalize {
        // In double precision, so that nothing overflows on the way.
        let sum: f64 = (output.iter()).map(|x| f64::from(*x) * f64::from(*x)).sum();
        if sum > 0.0 {
            let norm = sum.sqrt();
            for x in output {
                *x = (f64::from(*x) / norm) as f32;
            }
        }
    }
}

/// Makes blobs of vectors.
pub(super) struct Encoder {
    code: CodeKind,
    element: Element,
    metric: Metric,
    pruner: Pruner,
    rotation: Option<Rotation>,
    /// Empty where there is none.
    centre: Vec<f32>,
    rotated: Vec<f32>,
}

impl Encoder {
    /// The encoder of an index.
    ///
    /// # Errors
    /// [`Error::Corrupt`], [`Error::OutOfMemory`], and those of the store.
    pub fn read(store: &impl Store, meta: &Meta) -> Result<Encoder, Error> {
        Encoder::new(meta, centre::read(store, &meta.layout)?)
    }

    /// An encoder of vectors relative to `centre`, of the length that the layout says.
    pub fn new(meta: &Meta, centre: Vec<f32>) -> Result<Encoder, Error> {
        let (spec, layout) = (meta.spec(), &meta.layout);
        let rotated4 = layout.code == CodeKind::Rotated4;
        let rotation = if rotated4 {
            let budget = MemoryBudget::unlimited();
            let rotation = Rotation::new(&budget, layout.dims, spec.seed);
            Some(rotation.map_err(|error| Error::OutOfMemory { bytes: error.bytes })?)
        } else {
            None
        };
        Ok(Encoder {
            code: layout.code,
            element: spec.element,
            metric: spec.metric,
            pruner: Pruner::default(),
            rotation,
            centre,
            rotated: alloc::filled(0.0, if rotated4 { layout.dims } else { 0 })?,
        })
    }

    /// The rotated vector; empty where the index has no codes.
    fn rotate(&mut self, payload: &[u8]) -> &[f32] {
        let Some(rotation) = &self.rotation else {
            return &[];
        };
        let normalize = self.metric == Metric::Cosine;
        widen(self.element, normalize, payload, &mut self.rotated);
        for (x, centre) in self.rotated.iter_mut().zip(&self.centre) {
            *x -= centre;
        }
        rotation.apply(&mut self.rotated);
        &self.rotated
    }

    /// Writes the blob of a vector to `blob`, of the layout's length.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`].
    pub fn encode(&mut self, payload: &[u8], blob: &mut [u8]) -> Result<(), Error> {
        match self.code {
            CodeKind::Rotated4 => {
                let terms = code4::encode(self.rotate(payload), &mut blob[8..]);
                blob[..4].copy_from_slice(&terms.norm_squared.to_ne_bytes());
                blob[4..8].copy_from_slice(&terms.factor.to_ne_bytes());
            }
            CodeKind::Inline | CodeKind::Plain => blob.copy_from_slice(payload),
            CodeKind::Pruned => self.pruner.encode(self.metric, payload, blob)?,
        }
        Ok(())
    }
}

/// Scores blobs by how near they are to one vector: smaller is nearer, and never NaN.
pub(super) enum Scorer {
    Coded {
        query: Query4,
        inner_product: bool,
        dims: usize,
    },
    Pruned(PrunedQuery),
    Exact(Exact),
}

impl Scorer {
    pub fn new(meta: &Meta) -> Result<Scorer, Error> {
        let (spec, layout) = (meta.spec(), &meta.layout);
        Ok(match layout.code {
            CodeKind::Rotated4 => Scorer::Coded {
                query: Query4::zeroed(&MemoryBudget::unlimited(), layout.dims)
                    .map_err(|error| Error::OutOfMemory { bytes: error.bytes })?,
                inner_product: spec.metric == Metric::InnerProduct,
                dims: layout.dims,
            },
            CodeKind::Inline | CodeKind::Plain => Scorer::Exact(Exact::new(spec)?),
            CodeKind::Pruned => {
                let kept = pruned::kept(layout.dims);
                Scorer::Pruned(PrunedQuery::new(spec.metric, kept)?)
            }
        })
    }

    /// Takes a vector.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`].
    pub fn set_vector(&mut self, encoder: &mut Encoder, payload: &[u8]) -> Result<(), Error> {
        match self {
            Scorer::Coded { query, .. } => query.set(encoder.rotate(payload)),
            Scorer::Pruned(query) => query.set_vector(payload)?,
            Scorer::Exact(exact) => exact.set(payload)?,
        }
        Ok(())
    }

    /// Takes a vector of which only the blob is at hand.
    pub fn set_blob(&mut self, blob: &[u8]) {
        match self {
            Scorer::Coded { query, dims, .. } => {
                query.set_from_code(terms(blob), &blob[8..], *dims);
            }
            Scorer::Pruned(query) => query.set_code(blob),
            // Bits and vectors of one length: nothing is allocated.
            Scorer::Exact(exact) => exact.vector.as_mut_slice().copy_from_slice(blob),
        }
    }

    #[inline(always)]
    pub fn score(&self, blob: &[u8]) -> f32 {
        match self {
            Scorer::Coded {
                query,
                inner_product,
                ..
            } => {
                if *inner_product {
                    query.negative_dot(terms(blob), &blob[8..])
                } else {
                    query.l2_squared(terms(blob), &blob[8..])
                }
            }
            Scorer::Pruned(query) => query.score(blob),
            Scorer::Exact(exact) => {
                let key = exact.key(blob) as f32;
                if key.is_nan() { f32::INFINITY } else { key }
            }
        }
    }

    /// The score below which a blob is taken for a copy of the vector whose own blob is `blob`:
    /// nothing where near is no matter of distance.
    pub fn score_of_copies(&self, blob: &[u8]) -> f32 {
        match self {
            Scorer::Coded {
                inner_product: true,
                ..
            } => f32::NEG_INFINITY,
            Scorer::Pruned(query) if query.is_inner_product() => f32::NEG_INFINITY,
            _ => self.score(blob),
        }
    }
}

/// What precedes a code. Bytes of a damaged page may be any numbers: scores are then nonsense, and
/// searches go astray, but exact distances are handed out all the same.
#[inline(always)]
pub(super) fn terms(blob: &[u8]) -> Terms {
    let float = |at| f32::from_bits(crate::page::u32_at(blob, at));
    Terms {
        norm_squared: float(0),
        factor: float(4),
    }
}

/// Bytes of a node's blob in the layout, wherever they lie.
pub(super) fn blob_words(layout: &Layout) -> usize {
    layout.blob.div_ceil(8)
}
