//! Rows of float vectors, one after the other.

use std::fmt;

use pgnear_device::{MemoryBudget, OutOfMemory};

/// `rows` vectors of `dims` components, row-major.
#[derive(Debug, Clone, PartialEq)]
pub struct Matrix {
    rows: usize,
    dims: usize,
    data: Vec<f32>,
}

/// The length of the data is not a whole number of rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WrongShape {
    /// Components given.
    pub len: usize,
    /// Components a row.
    pub dims: usize,
}

impl fmt::Display for WrongShape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} components are not a whole number of rows of {} dimensions",
            self.len, self.dims
        )
    }
}

impl std::error::Error for WrongShape {}

impl Matrix {
    /// All zero.
    pub fn try_zeroed(
        budget: &MemoryBudget,
        rows: usize,
        dims: usize,
    ) -> Result<Matrix, OutOfMemory> {
        let len = rows
            .checked_mul(dims)
            .ok_or(OutOfMemory { bytes: usize::MAX })?;
        Ok(Matrix {
            rows,
            dims,
            data: budget.try_vec_filled(len, 0.0)?,
        })
    }

    /// Takes over `data`, which holds whole rows of `dims` (at least 1) components.
    pub fn try_from_vec(dims: usize, data: Vec<f32>) -> Result<Matrix, WrongShape> {
        if dims == 0 || !data.len().is_multiple_of(dims) {
            return Err(WrongShape {
                len: data.len(),
                dims,
            });
        }
        Ok(Matrix {
            rows: data.len() / dims,
            dims,
            data,
        })
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Components of a row.
    pub fn dims(&self) -> usize {
        self.dims
    }

    /// Row `i`; panics where there is none, as slices do.
    pub fn row(&self, i: usize) -> &[f32] {
        &self.data[i * self.dims..(i + 1) * self.dims]
    }

    /// Row `i` to write to.
    pub fn row_mut(&mut self, i: usize) -> &mut [f32] {
        &mut self.data[i * self.dims..(i + 1) * self.dims]
    }

    /// All rows, one after the other.
    pub fn as_slice(&self) -> &[f32] {
        &self.data
    }

    /// All rows to write to, one after the other.
    pub fn as_mut_slice(&mut self) -> &mut [f32] {
        &mut self.data
    }

    /// The components themselves.
    pub fn into_vec(self) -> Vec<f32> {
        self.data
    }

    /// Drops the rows from `rows` on (a sample that came out smaller than its reservoir).
    pub fn truncate(&mut self, rows: usize) {
        if rows < self.rows {
            self.rows = rows;
            self.data.truncate(rows * self.dims);
        }
    }

    /// Keeps the rows that `keep` says, in their order.
    pub(crate) fn retain_rows(&mut self, keep: impl Fn(&[f32]) -> bool) {
        let mut kept = 0;
        for i in 0..self.rows {
            if keep(self.row(i)) {
                let from = i * self.dims;
                self.data
                    .copy_within(from..from + self.dims, kept * self.dims);
                kept += 1;
            }
        }
        self.truncate(kept);
    }
}

/// Scales `row` to unit length, in double precision so that no component overflows on the way. A
/// zero row (nothing to scale) stays as it is.
pub(crate) fn normalize(row: &mut [f32]) {
    let sum: f64 = row.iter().map(|&x| f64::from(x) * f64::from(x)).sum();
    if sum > 0.0 {
        let norm = sum.sqrt();
        for x in row {
            *x = (f64::from(*x) / norm) as f32;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_its_shape() {
        let mut m = Matrix::try_from_vec(2, vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0]).unwrap();
        assert_eq!((m.rows(), m.dims(), m.row(1)), (3, 2, &[3.0, 4.0][..]));
        m.truncate(1);
        assert_eq!((m.rows(), m.as_slice()), (1, &[1.0, 2.0][..]));
        assert!(Matrix::try_from_vec(2, vec![1.0; 3]).is_err());
        assert!(Matrix::try_from_vec(0, vec![]).is_err());
        assert!(Matrix::try_zeroed(&MemoryBudget::new(10), 2, 2).is_err());
        assert!(Matrix::try_zeroed(&MemoryBudget::unlimited(), usize::MAX, 2).is_err());
    }

    #[test]
    fn normalises_any_finite_row() {
        for mut row in [vec![3.0, 4.0], vec![f32::MAX; 3], vec![1e-45, 0.0]] {
            normalize(&mut row);
            let norm: f32 = row.iter().map(|x| x * x).sum();
            assert!((norm - 1.0).abs() < 1e-6, "{row:?}");
        }
        let mut zero = vec![0.0; 4];
        normalize(&mut zero);
        assert_eq!(zero, vec![0.0; 4]);
    }
}
