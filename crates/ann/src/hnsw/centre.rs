//! The centre of the vectors, which codes are relative to: a code's error is a share of the length
//! of what is coded, and rows far from zero lie near each other all the same.
//!
//! On its own pages, `f32` after `f32`, fixed at build: zero for an index made on an empty table.
//! Inner products need another centre for each side, and have none.

use super::layout::{CENTRE_BLOCK, Layout};
use super::meta::IndexSpec;
use super::space::widen;
use crate::alloc;
use crate::error::Error;
use crate::page::{Kind, NO_OWNER, PageMut, PageView};
use crate::query::check_length;
use crate::row::Element;
use crate::store::Store;
use pgnear_kernels::Metric;

/// The mean of a sample of rows, for a build.
pub struct Centre {
    spec: IndexSpec,
    sums: Vec<f64>,
    row: Vec<f32>,
    rows: u64,
}

impl Centre {
    /// Of no rows yet.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`].
    pub fn new(spec: &IndexSpec) -> Result<Centre, Error> {
        let has = matches!(spec.element, Element::F32 | Element::F16)
            && matches!(spec.metric, Metric::L2 | Metric::Cosine);
        let dims = if has { spec.dims as usize } else { 0 };
        Ok(Centre {
            spec: spec.clone(),
            sums: alloc::filled(0.0, dims)?,
            row: alloc::filled(0.0, dims)?,
            rows: 0,
        })
    }

    /// Counts a row in: the bytes of its vector as the index stores them.
    ///
    /// # Errors
    /// [`Error::WrongDimensions`].
    pub fn add(&mut self, payload: &[u8]) -> Result<(), Error> {
        check_length(&self.spec, payload)?;
        if !self.sums.is_empty() {
            let normalize = self.spec.metric == Metric::Cosine;
            widen(self.spec.element, normalize, payload, &mut self.row);
            for (sum, x) in self.sums.iter_mut().zip(&self.row) {
                *sum += f64::from(*x);
            }
        }
        self.rows += 1;
        Ok(())
    }

    /// The mean; empty where the index has none.
    pub(super) fn mean(&self) -> Result<Vec<f32>, Error> {
        let mut mean = alloc::with_capacity(self.sums.len())?;
        let rows = self.rows.max(1) as f64;
        mean.extend(self.sums.iter().map(|sum| (sum / rows) as f32));
        Ok(mean)
    }
}

/// Formats page `number` of the centre.
pub(super) fn format_page(layout: &Layout, mean: &[f32], number: u32, bytes: &mut [u8]) {
    let all: &[u8] = bytemuck::cast_slice(mean);
    let start = number as usize * layout.body;
    let part = &all[start..all.len().min(start + layout.body)];
    let mut page = PageMut::init(bytes, Kind::Centroid, NO_OWNER, 1);
    page.body_mut()[..part.len()].copy_from_slice(part);
    page.set_used(part.len());
}

/// Reads the centre; empty where the index has none.
pub(super) fn read(store: &impl Store, layout: &Layout) -> Result<Vec<f32>, Error> {
    let dims = if layout.centre_pages > 0 {
        layout.dims
    } else {
        0
    };
    let mut mean = alloc::filled(0.0f32, dims)?;
    let all: &mut [u8] = bytemuck::cast_slice_mut(&mut mean);
    for (number, part) in all.chunks_mut(layout.body).enumerate() {
        let block = CENTRE_BLOCK + number as u32;
        let page = store.read(block)?;
        let view = PageView::open_as(block, &page, Kind::Centroid, NO_OWNER)?;
        if view.used().len() != part.len() {
            return Err(Error::corrupt(
                block,
                "page of the centre has the wrong length",
            ));
        }
        part.copy_from_slice(view.used());
    }
    Ok(mean)
}
