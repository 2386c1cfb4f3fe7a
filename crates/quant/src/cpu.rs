//! The device that is this process's own cores.

use std::collections::VecDeque;

use pgnear_device::{
    Assign, Assigner, Device, DeviceError, Nearest, Neighbour, OutOfMemory, Search, Wanted,
};

use crate::assign::nearest_into;
use crate::job::{Job, QuantError};
use crate::knn::Knn;
use crate::matrix::Matrix;

/// Batch work on the threads of a job.
pub struct Cpu<'j, 'a, E> {
    job: &'j mut Job<'a, E>,
}

impl<'j, 'a, E> Cpu<'j, 'a, E> {
    /// A device of the threads of `job`.
    pub fn new(job: &'j mut Job<'a, E>) -> Self {
        Cpu { job }
    }
}

impl<E> From<QuantError<E>> for DeviceError<E> {
    fn from(error: QuantError<E>) -> Self {
        match error {
            QuantError::Poll(error) => DeviceError::Poll(error),
            QuantError::Cancelled => DeviceError::Cancelled,
            QuantError::OutOfMemory(error) => DeviceError::OutOfMemory(error),
            QuantError::WrongDimensions { expected, got } => {
                DeviceError::WrongDimensions { expected, got }
            }
            QuantError::WorkerPanic(_) | QuantError::NotFinite { .. } => {
                DeviceError::Lost(error.without_poll())
            }
        }
    }
}

/// A copy of some vectors.
fn matrix<E>(dims: usize, vectors: &[f32]) -> Result<Matrix, DeviceError<E>> {
    let mut data = Vec::new();
    data.try_reserve_exact(vectors.len())
        .map_err(|_| OutOfMemory {
            bytes: size_of_val(vectors),
        })?;
    data.extend_from_slice(vectors);
    Matrix::try_from_vec(dims, data).map_err(|shape| DeviceError::WrongDimensions {
        expected: dims,
        got: shape.len,
    })
}

impl<E> Device<E> for Cpu<'_, '_, E> {
    fn search<'s>(
        &'s mut self,
        wanted: Wanted,
        dims: usize,
        queries: &[f32],
    ) -> Result<Box<dyn Search<E> + 's>, DeviceError<E>> {
        let queries = matrix(dims, queries)?;
        Ok(Box::new(Searching {
            knn: Knn::new(wanted.metric, wanted.k, wanted.within, queries)?,
            offered: 0,
            settled: VecDeque::new(),
            device: self,
        }))
    }

    fn assigner<'s>(
        &'s mut self,
        by: Assign,
        dims: usize,
        rows: &[f32],
    ) -> Result<Box<dyn Assigner<E> + 's>, DeviceError<E>> {
        Ok(Box::new(Assigning {
            rows: matrix(dims, rows)?,
            by,
            device: self,
        }))
    }
}

struct Assigning<'s, 'j, 'a, E> {
    device: &'s mut Cpu<'j, 'a, E>,
    rows: Matrix,
    by: Assign,
}

impl<E> Assigner<E> for Assigning<'_, '_, '_, E> {
    fn nearest(
        &mut self,
        centroids: &[f32],
        nearest: &mut [Nearest],
    ) -> Result<(), DeviceError<E>> {
        let centroids = matrix(self.rows.dims(), centroids)?;
        let (job, rows) = (&mut *self.device.job, self.rows.as_slice());
        Ok(nearest_into(job, &centroids, rows, self.by, nearest)?)
    }
}

struct Searching<'s, 'j, 'a, E> {
    device: &'s mut Cpu<'j, 'a, E>,
    knn: Knn,
    offered: u64,
    settled: VecDeque<Vec<bool>>,
}

impl<E> Search<E> for Searching<'_, '_, '_, E> {
    fn offer(&mut self, rows: &[f32]) -> Result<(), DeviceError<E>> {
        self.knn.offer(self.device.job, rows)?;
        let (first, after) = (self.offered, self.knn.rows());
        self.offered = after;
        let mut held: Vec<bool> = Vec::new();
        let count = (after - first) as usize;
        held.try_reserve_exact(count)
            .map_err(|_| OutOfMemory { bytes: count })?;
        held.resize(count, false);
        for row in self.knn.found_from(first) {
            held[(row - first) as usize] = true;
        }
        self.settled.push_back(held);
        Ok(())
    }

    fn settled(&mut self, _wait: bool) -> Result<Option<Vec<bool>>, DeviceError<E>> {
        Ok(self.settled.pop_front())
    }

    fn held(&mut self) -> Option<Vec<u64>> {
        Some(self.knn.found_from(0).collect())
    }

    fn finish(self: Box<Self>) -> Result<Vec<Vec<Neighbour>>, DeviceError<E>> {
        Ok(self.knn.finish().collect())
    }
}
