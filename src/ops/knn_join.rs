//! Joins with the k nearest rows: what searches for them.

use pgnear_device::{MemoryBudget, Wanted};
use pgnear_values::ValueError;

use super::batch::most_queries;
use crate::pg::knn_join::{BatchSearch, InnerRows, TupleKeeper};
use crate::pg::rows::{Found, Together};

/// Exact search on all cores or a GPU.
pub struct Exact;

impl BatchSearch for Exact {
    fn most(&self, wanted: &Wanted, dims: usize, budget: &MemoryBudget) -> usize {
        most_queries(wanted, dims, budget)
    }

    fn search(
        &self,
        queries: &Together,
        expected_rows: f64,
        open: &mut dyn FnMut() -> InnerRows,
    ) -> Result<Found<TupleKeeper>, ValueError> {
        queries.search(expected_rows, &mut || Ok(open()))
    }
}
