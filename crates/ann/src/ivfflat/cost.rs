//! What a scan costs, for the planner: pure arithmetic over what it knows before it runs.

/// What the planner knows.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CostInput {
    /// Rows in the index.
    pub rows: f64,
    /// Pages of the index.
    pub pages: f64,
    /// Pages before the lists ([`super::Meta::fixed_pages`]).
    pub fixed_pages: f64,
    pub lists: u32,
    /// Lists that a scan reads before it hands out its first row.
    pub probes: u32,
    /// Lists that it may read in all; `probes` unless it is iterative.
    pub max_probes: u32,
    /// The cost of one distance in multiples of the cost of a plain operator, as the distance
    /// function's own support function gives it.
    pub distance_operators: f64,
}

/// What a scan costs. All but `rows_in_all` is due before the first row.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CostFigures {
    /// Pages read in the order of the file: meta page, centroids, and the lists' runs.
    pub pages_sequential: f64,
    /// Pages read out of order: directory entries and the first page of each list.
    pub pages_random: f64,
    /// Distances to rows.
    pub tuples_scored: f64,
    /// CPU in multiples of the cost of a plain operator: distances to centroids and rows, and the
    /// selection of the nearest rows.
    pub operators: f64,
    /// Rows the first `probes` lists hold: what a scan can return without a further round.
    pub rows_first: f64,
    /// Rows a scan can return in all rounds.
    pub rows_in_all: f64,
}

/// Operators that it costs to keep, select and hand over one row found, beside its distance.
const OPERATORS_PER_ROW: f64 = 1.0;

/// Estimates a scan. Lists are taken to be of equal size.
pub fn estimate(input: &CostInput) -> CostFigures {
    let lists = f64::from(input.lists.max(1));
    let probes = f64::from(input.probes.max(1)).min(lists);
    let most = f64::from(input.max_probes).clamp(probes, lists);
    let rows = input.rows.max(0.0);
    let fixed = input.fixed_pages.max(1.0);
    let list_pages = (input.pages - fixed).max(0.0) * (probes / lists);
    let rows_first = rows * (probes / lists);
    let starts = probes.min(list_pages);
    CostFigures {
        pages_sequential: fixed + list_pages - starts,
        pages_random: starts,
        tuples_scored: rows_first,
        operators: (lists + rows_first) * input.distance_operators.max(1.0)
            + rows_first * OPERATORS_PER_ROW,
        rows_first,
        rows_in_all: rows * (most / lists),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INPUT: CostInput = CostInput {
        rows: 100_000.0,
        pages: 20_200.0,
        fixed_pages: 200.0,
        lists: 1000,
        probes: 10,
        max_probes: 10,
        distance_operators: 12.0,
    };

    #[test]
    fn a_scan_reads_the_centroids_and_its_share_of_the_lists() {
        let figures = estimate(&INPUT);
        assert_eq!(figures.pages_sequential + figures.pages_random, 400.0);
        assert_eq!(figures.pages_random, 10.0);
        assert_eq!(figures.tuples_scored, 1000.0);
        assert_eq!(figures.operators, 2000.0 * 12.0 + 1000.0);
        assert_eq!(figures.rows_in_all, 1000.0);
    }

    #[test]
    fn more_probes_cost_more_and_find_more_up_to_all_lists() {
        let mut last = estimate(&INPUT);
        for probes in [20, 500, 1000] {
            let figures = estimate(&CostInput { probes, ..INPUT });
            assert!(figures.operators > last.operators);
            assert!(figures.pages_sequential > last.pages_sequential);
            assert!(figures.rows_first > last.rows_first);
            last = figures;
        }
        let beyond = CostInput {
            probes: 5000,
            ..INPUT
        };
        assert_eq!(estimate(&beyond), last);
        assert_eq!(last.rows_in_all, 100_000.0);
    }

    #[test]
    fn an_empty_index_has_finite_figures() {
        let figures = estimate(&CostInput {
            rows: 0.0,
            pages: 0.0,
            lists: 0,
            probes: 0,
            max_probes: 0,
            ..INPUT
        });
        assert!(figures.operators.is_finite() && figures.pages_random == 0.0);
    }
}
