//! The query, and its distance to rows and centroids. Nothing is copied: kernels read the bytes
//! of the page.

use std::borrow::Cow;

use pgnear_kernels::{CosineSums, Kernels, Metric, exact, kernels};

use super::entry::Entry;
use super::meta::IndexSpec;
use crate::error::Error;
use crate::query::Query;
use crate::row::Element;

/// Bytes as elements. Pages are aligned; what else comes along (a single row, from a caller) is
/// copied where it is not.
fn elements<T: bytemuck::Pod>(bytes: &[u8]) -> Cow<'_, [T]> {
    match bytemuck::try_cast_slice(bytes) {
        Ok(slice) => Cow::Borrowed(slice),
        Err(_) => Cow::Owned(bytemuck::pod_collect_to_vec(bytes)),
    }
}

/// The norm that an entry keeps: the canonical sum of squares for cosine, else 0.
pub(super) fn norm_to_keep(spec: &IndexSpec, payload: &[u8]) -> f32 {
    match (spec.metric, spec.element) {
        (Metric::Cosine, Element::F32) => (kernels().f32_norm_squared)(&elements(payload)),
        (Metric::Cosine, Element::F16) => (kernels().f16_norm_squared)(&elements(payload)),
        _ => 0.0,
    }
}

/// Computes the exact distance of rows to one query. What it returns for a row is a key in the
/// order of the operator's distance; [`Scorer::distance`] turns it into that distance, so that the
/// square root is taken only of rows handed out.
pub(super) struct Scorer {
    kernels: &'static Kernels,
    metric: Metric,
    query: Query,
    /// The query's sum of squares, for cosine.
    norm: f32,
}

impl Scorer {
    pub fn new(spec: &IndexSpec, query: Query) -> Result<Scorer, Error> {
        query.check(spec)?;
        Ok(Scorer {
            kernels: kernels(),
            metric: spec.metric,
            norm: norm_to_keep(spec, query.payload()),
            query,
        })
    }

    pub fn query(&self) -> &Query {
        &self.query
    }

    /// The key of the row `payload` whose entry keeps `norm`.
    pub fn key(&self, payload: &[u8], norm: f32) -> f64 {
        let k = self.kernels;
        match (&self.query, self.metric) {
            (Query::F32(q), Metric::L2) => f64::from((k.f32_l2_squared)(q, &elements(payload))),
            (Query::F16(q), Metric::L2) => f64::from((k.f16_l2_squared)(q, &elements(payload))),
            (Query::F32(q), _) => self.key_of_dot((k.f32_dot)(q, &elements(payload)), norm),
            (Query::F16(q), _) => self.key_of_dot((k.f16_dot)(q, &elements(payload)), norm),
            (Query::Bit(q), _) => (k.bit_hamming)(q, payload) as f64,
            // An index of these is refused before it is made.
            (Query::Sparse(_), _) => f64::NAN,
        }
    }

    /// The keys of four rows, bit for bit those of four calls of [`Scorer::key`].
    pub fn keys_x4(&self, rows: [&Entry<'_>; 4]) -> [f64; 4] {
        let k = self.kernels;
        if let Query::F32(q) = &self.query {
            let payloads = rows.map(|row| elements::<f32>(row.payload));
            let [a, b, c, d] = &payloads;
            let slices: [&[f32]; 4] = [a, b, c, d];
            if self.metric == Metric::L2 {
                return (k.f32_l2_squared_x4)(q, slices).map(f64::from);
            }
            let dots = (k.f32_dot_x4)(q, slices);
            return std::array::from_fn(|i| self.key_of_dot(dots[i], rows[i].norm));
        }
        rows.map(|row| self.key(row.payload, row.norm))
    }

    fn key_of_dot(&self, dot: f32, norm: f32) -> f64 {
        if self.metric == Metric::Cosine {
            exact::cosine_from_sums(&CosineSums {
                dot,
                norm_a: self.norm,
                norm_b: norm,
            })
        } else {
            -f64::from(dot)
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
