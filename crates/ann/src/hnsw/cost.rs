//! What a scan costs, for the planner: pure arithmetic over what it knows before it runs.

use super::entries;
use super::layout::CodeKind;
use super::meta::Meta;

/// What the planner knows.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CostInput {
    /// Rows in the index.
    pub rows: f64,
    /// Pages of the index.
    pub pages: f64,
    pub ef_search: u32,
    /// Rows that an iterative scan may meet; 0 where the scan is not iterative.
    pub max_scan_tuples: f64,
    /// The cost of one exact distance in multiples of the cost of a plain operator, as the distance
    /// function's own support function gives it.
    pub distance_operators: f64,
}

/// What a scan costs. All but `rows_in_all` is due before the first row.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CostFigures {
    /// Pages read out of order.
    pub pages_random: f64,
    /// Nodes scored.
    pub tuples_scored: f64,
    /// CPU in multiples of the cost of a plain operator.
    pub operators: f64,
    /// Rows of the first round: all that a scan returns which is not iterative.
    pub rows_first: f64,
    /// Rows a scan can return in all rounds.
    pub rows_in_all: f64,
}

/// A node scored by its code costs so many operators: a few cache misses and a short sum.
const OPERATORS_PER_SCORE: f64 = 2.0;
/// By a code of a sparse vector, whose elements are looked up one by one.
const OPERATORS_PER_PRUNED_SCORE: f64 = 5.0;

/// Nodes that a search of a width meets: measured on embeddings, with 32 neighbours a node, 455 at
/// 20, 800 at 40, 2,700 at 160, 6,100 at 400. Shorter lists have proportionally fewer.
fn met(meta: &Meta, ef: f64) -> f64 {
    let degree = meta.layout.degree as f64 / 32.0;
    (44.0 * ef.powf(0.83)) * degree.min(2.0)
}

/// Estimates a scan of an index.
pub fn estimate(meta: &Meta, input: &CostInput) -> CostFigures {
    let layout = &meta.layout;
    let rows = input.rows.max(0.0);
    let ef = f64::from(input.ef_search.max(1));
    let few = rows < f64::from(entries::LEAST_NODES);
    let met = if few { rows } else { met(meta, ef).min(rows) };
    let found = ef.min(rows);
    let entry_points = if few {
        0.0
    } else {
        let all = entries::count(layout, rows as u64) as f64;
        all.sqrt() * (1.0 + entries::GROUPS as f64)
    };
    let entry_pages = (entry_points / f64::from(layout.entries_per_page)).ceil();
    let record_pages = if few {
        (rows / f64::from(layout.records_per_page)).ceil()
    } else {
        met + found
    };
    let per_score = match layout.code {
        CodeKind::Rotated4 => OPERATORS_PER_SCORE,
        CodeKind::Pruned => OPERATORS_PER_PRUNED_SCORE,
        CodeKind::Inline | CodeKind::Plain => input.distance_operators.max(1.0),
    };
    // Every page at most once from disk: what is read again is in memory.
    let vectors = if layout.code == CodeKind::Inline {
        0.0
    } else {
        found
    };
    let most = input.pages.max(0.0);
    let pages = if layout.in_table {
        (2.0 + entry_pages + record_pages).min(most) + vectors.min(rows)
    } else {
        (2.0 + entry_pages + record_pages + vectors).min(most)
    };
    CostFigures {
        pages_random: pages,
        tuples_scored: met,
        operators: (met + entry_points) * per_score + found * input.distance_operators.max(1.0),
        rows_first: found,
        rows_in_all: found.max(input.max_scan_tuples).min(rows),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Element;
    use crate::hnsw::{IndexSpec, Rerank};
    use pgnear_kernels::Metric;

    const INPUT: CostInput = CostInput {
        rows: 100_000.0,
        pages: 24_000.0,
        ef_search: 40,
        max_scan_tuples: 0.0,
        distance_operators: 12.0,
    };

    fn meta() -> Meta {
        let spec = IndexSpec {
            element: Element::F32,
            metric: Metric::Cosine,
            dims: 384,
            m: 16,
            ef_construction: 64,
            seed: 0,
            rerank: Rerank::Index,
        };
        Meta::new(&spec, 8192).unwrap()
    }

    #[test]
    fn a_scan_meets_about_what_was_measured() {
        for (ef, met) in [(20, 455.0), (40, 798.0), (160, 2719.0), (400, 6089.0)] {
            let figures = estimate(
                &meta(),
                &CostInput {
                    ef_search: ef,
                    ..INPUT
                },
            );
            let ratio = figures.tuples_scored / met;
            assert!((0.8..1.25).contains(&ratio), "{ef}: {ratio}");
        }
    }

    #[test]
    fn a_wider_search_costs_more_and_finds_more_up_to_all_rows() {
        let mut last = estimate(&meta(), &INPUT);
        assert_eq!((last.rows_first, last.rows_in_all), (40.0, 40.0));
        for ef_search in [100, 400, 1000] {
            let figures = estimate(&meta(), &CostInput { ef_search, ..INPUT });
            assert!(figures.operators > last.operators);
            assert!(figures.pages_random > last.pages_random);
            assert!(figures.rows_first > last.rows_first);
            last = figures;
        }
        let iterative = CostInput {
            max_scan_tuples: 20_000.0,
            ..INPUT
        };
        assert_eq!(estimate(&meta(), &iterative).rows_in_all, 20_000.0);
    }

    #[test]
    fn a_small_or_empty_index_is_read_whole() {
        let small = CostInput {
            rows: 100.0,
            pages: 30.0,
            ..INPUT
        };
        assert_eq!(estimate(&meta(), &small).tuples_scored, 100.0);
        let empty = CostInput {
            rows: 0.0,
            pages: 0.0,
            ef_search: 0,
            ..INPUT
        };
        let figures = estimate(&meta(), &empty);
        assert!(figures.operators.is_finite() && figures.pages_random == 0.0);
    }
}
