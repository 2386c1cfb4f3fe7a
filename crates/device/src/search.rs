//! What a device does for batch work, whether it is this process's cores or another program's GPU.

use std::cmp::Ordering;
use std::fmt;

use pgnear_kernels::Metric;

use crate::budget::OutOfMemory;

/// A row found.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Neighbour {
    /// What the operator returns.
    pub distance: f64,
    /// The row's number, in the order that rows came, from 0.
    pub row: u64,
}

impl Eq for Neighbour {}

impl Ord for Neighbour {
    /// By distance, NaN last, and then by number.
    fn cmp(&self, other: &Self) -> Ordering {
        let nan = self.distance.is_nan().cmp(&other.distance.is_nan());
        let distance = self.distance.partial_cmp(&other.distance);
        nan.then(distance.unwrap_or(Ordering::Equal))
            .then(self.row.cmp(&other.row))
    }
}

impl PartialOrd for Neighbour {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// What each of many queries looks for.
#[derive(Debug, Clone, Copy)]
pub struct Wanted {
    /// Not one of bit strings.
    pub metric: Metric,
    /// Rows for a query, at most.
    pub k: usize,
    /// Rows farther than this are left out, and those at no distance (NaN).
    pub within: Option<f64>,
}

impl Wanted {
    /// The search that an assignment is: each row, as a query, looks for one centroid.
    pub fn nearest(by: Assign) -> Wanted {
        Wanted {
            metric: match by {
                Assign::L2 => Metric::L2,
                Assign::Dot => Metric::InnerProduct,
            },
            k: 1,
            within: None,
        }
    }
}

/// What "nearest" means for centroids.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Assign {
    /// Smallest squared Euclidean distance.
    L2,
    /// Largest inner product. With centroids of unit length that is the smallest angle, whatever
    /// the length of the row.
    Dot,
}

/// Why a device has no result.
#[derive(Debug, PartialEq, Eq)]
pub enum DeviceError<E> {
    /// The caller's `poll` returned this.
    Poll(E),
    /// Somebody else set the cancel flag.
    Cancelled,
    /// This process has no room.
    OutOfMemory(OutOfMemory),
    /// Vectors of two lengths.
    WrongDimensions {
        /// What was expected.
        expected: usize,
        /// What came.
        got: usize,
    },
    /// The device failed, or never worked: the same work may be done on another one.
    Lost(String),
}

impl<E: fmt::Display> fmt::Display for DeviceError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DeviceError::Poll(error) => error.fmt(f),
            DeviceError::Cancelled => f.write_str("cancelled"),
            DeviceError::OutOfMemory(error) => error.fmt(f),
            DeviceError::WrongDimensions { expected, got } => {
                write!(f, "expected {expected} dimensions, not {got}")
            }
            DeviceError::Lost(why) => f.write_str(why),
        }
    }
}

impl<E: fmt::Debug + fmt::Display> std::error::Error for DeviceError<E> {}

impl<E> From<OutOfMemory> for DeviceError<E> {
    fn from(error: OutOfMemory) -> Self {
        DeviceError::OutOfMemory(error)
    }
}

/// Something that computes distances in batches. Every device gives the same bits: the operators'
/// distances, ties by the number of the row.
pub trait Device<E> {
    /// Starts a search of the queries, whole vectors of `dims` dimensions one after the other, over
    /// rows that are yet to come.
    fn search<'a>(
        &'a mut self,
        wanted: Wanted,
        dims: usize,
        queries: &[f32],
    ) -> Result<Box<dyn Search<E> + 'a>, DeviceError<E>>;

    /// Takes rows, whole vectors of `dims` dimensions one after the other, that will be assigned to
    /// centroids.
    fn assigner<'a>(
        &'a mut self,
        by: Assign,
        dims: usize,
        rows: &[f32],
    ) -> Result<Box<dyn Assigner<E> + 'a>, DeviceError<E>>;

    /// The number of the centroid nearest to each row, as [`Assigner::nearest`] finds it.
    fn nearest(
        &mut self,
        by: Assign,
        dims: usize,
        centroids: &[f32],
        rows: &[f32],
    ) -> Result<Vec<u32>, DeviceError<E>> {
        let count = rows.len() / dims.max(1);
        let no_room = |_| OutOfMemory {
            bytes: count * size_of::<Nearest>(),
        };
        let mut nearest = Vec::new();
        nearest.try_reserve_exact(count).map_err(no_room)?;
        nearest.resize(count, Nearest::NONE);
        self.assigner(by, dims, rows)?
            .nearest(centroids, &mut nearest)?;
        Ok(nearest.iter().map(|nearest| nearest.index).collect())
    }
}

/// The centroid nearest to a row.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Nearest {
    /// Its number, from 0.
    pub index: u32,
    /// The squared distance, or the negative inner product; infinite where that is no number.
    pub key: f32,
}

impl Nearest {
    /// Where there is no centroid.
    pub const NONE: Nearest = Nearest {
        index: 0,
        key: f32::INFINITY,
    };
}

/// Rows to be assigned to centroids, again and again.
pub trait Assigner<E> {
    /// The centroid nearest to each row; ties go to the lowest number. `nearest` is as long as there are
    /// rows, and the centroids lie one after the other.
    fn nearest(&mut self, centroids: &[f32], nearest: &mut [Nearest])
    -> Result<(), DeviceError<E>>;
}

/// A search of many queries that goes through the rows once.
pub trait Search<E> {
    /// Goes through more rows: whole vectors, one after the other. It may return before it is done.
    fn offer(&mut self, rows: &[f32]) -> Result<(), DeviceError<E>>;

    /// What came of the earliest batch of rows that is done and was not told of yet: for each of its
    /// rows whether some query may still need it. `None` where no such batch is; with `wait`, where
    /// all are told of.
    fn settled(&mut self, wait: bool) -> Result<Option<Vec<bool>>, DeviceError<E>>;

    /// Numbers of the rows that queries hold now, some of them more than once; `None` where that is
    /// known at the end only.
    fn held(&mut self) -> Option<Vec<u64>>;

    /// The rows found for each query, nearest first.
    fn finish(self: Box<Self>) -> Result<Vec<Vec<Neighbour>>, DeviceError<E>>;
}
