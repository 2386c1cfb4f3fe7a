//! Joins with the k nearest rows: what searches for them.

use pgnear_device::{MemoryBudget, Wanted};
use pgnear_values::ValueError;

use super::batch::{Kind, Together, most_queries};
use crate::pg::knn_join::{BatchSearch, InnerRows, Matches, Queries};

/// Exact search on all cores or a GPU.
pub struct Exact;

impl BatchSearch for Exact {
    fn add(
        &self,
        half: bool,
        payload: &[u8],
        dims: &mut usize,
        vectors: &mut Vec<f32>,
    ) -> Result<Option<usize>, ValueError> {
        let kind = kind(half);
        let own = kind.dims(payload)?;
        if *dims != 0 && own != *dims {
            return Ok(Some(own));
        }
        kind.append(payload, dims, vectors)?;
        Ok(None)
    }

    fn most(&self, wanted: &Wanted, dims: usize, budget: &MemoryBudget) -> usize {
        most_queries(wanted, dims, budget)
    }

    fn search(
        &self,
        queries: Queries,
        expected_rows: f64,
        open: &mut dyn FnMut() -> InnerRows,
    ) -> Result<Matches, ValueError> {
        let together = Together {
            wanted: queries.wanted,
            kind: kind(queries.half),
            dims: queries.dims,
            vectors: queries.vectors,
        };
        let found = together.search(expected_rows, &mut || Ok(open()))?;
        Ok(Matches {
            neighbours: found.neighbours,
            rows: found.rows,
        })
    }
}

fn kind(half: bool) -> Kind {
    if half { Kind::Halfvec } else { Kind::Vector }
}
