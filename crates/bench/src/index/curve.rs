//! Recall against CPU over a grid of what a search looks at.

use super::{Kind, warm};
use crate::cpu::Pinned;
use crate::data::{Metric, NEIGHBOURS, Rows, Truth};
use crate::report::{Table, progress};
use crate::stats::{Point, Spread, cost_at, micros};
use crate::system::{NAMES, System};
use anyhow::Result;

/// The recalls whose cost is compared.
pub const RECALLS: [f64; 3] = [0.90, 0.95, 0.99];

/// The grid ends where both systems have reached this: what follows says nothing of [`RECALLS`],
/// and takes longer than everything before.
const ENOUGH: f64 = RECALLS[RECALLS.len() - 1];

/// What is searched, and how.
pub struct Search<'s> {
    pub metric: Metric,
    pub base: &'s Rows,
    pub queries: &'s Rows,
}

impl Search<'_> {
    pub fn sql(&self) -> String {
        format!(
            "SELECT id FROM items ORDER BY embedding {} $1 LIMIT {NEIGHBOURS}",
            self.metric.operator()
        )
    }

    /// Runs one query, unmeasured.
    pub fn find(&self, system: &mut System, query: usize) -> Result<Vec<i64>> {
        let value = crate::value::Value::Vector(self.queries.row(query).to_vec());
        let rows = system.client.query(self.sql().as_str(), &[&value])?;
        Ok(rows.iter().map(|row| row.get(0)).collect())
    }
}

/// Both systems' points at one value of the setting.
pub struct Step {
    pub value: usize,
    pub recall: [f64; 2],
    /// Microseconds of backend CPU a query, by system and round.
    pub cpu: [Vec<f64>; 2],
}

/// Twice as much in two steps, as in 1, 2, 3, 4, 6, 8, 11, 16 …, and the most.
pub fn grid(least: usize, most: usize) -> Vec<usize> {
    let mut grid: Vec<usize> = (0..)
        .map(|step| (least as f64 * 2f64.powf(f64::from(step) / 2.0)).round() as usize)
        .take_while(|value| *value < most)
        .collect();
    grid.push(most);
    grid.dedup();
    grid
}

/// Measures both systems' indexes, in turn.
pub fn measure(
    systems: &mut [System; 2],
    search: &Search<'_>,
    truth: &Truth,
    kind: &Kind,
    rounds: usize,
) -> Result<Vec<Step>> {
    let pids = systems.each_ref().map(System::pid);
    let _pinned = Pinned::with(&pids)?;
    let mut statements = Vec::new();
    for system in systems.iter_mut() {
        // A small table would not use the index by itself; whether it should is not asked here.
        system.run("SET enable_seqscan = off")?;
        system.expect_plan(&search.sql(), "Index Scan using items_index")?;
        warm(system, search, kind)?;
        statements.push(system.prepare(&search.sql())?);
    }
    let queries: Vec<_> = search
        .queries
        .iter()
        .map(|query| crate::value::Value::Vector(query.to_vec()))
        .collect();
    let mut steps: Vec<Step> = Vec::new();
    for &value in &kind.grid {
        progress(&format!("{} = {value}", kind.setting));
        let mut step = Step {
            value,
            recall: [0.0; 2],
            cpu: [Vec::new(), Vec::new()],
        };
        let mut hits = [0; 2];
        // Every round has its own share of the queries, the same for both systems: each query runs
        // once, and what a query costs counts no less for it.
        for round in 0..rounds {
            for turn in 0..2 {
                let index = (round + turn) % 2;
                let (system, statement) = (&mut systems[index], &statements[index]);
                system.run(&format!("SET {} = {value}", kind.setting))?;
                let share: Vec<usize> = (round..queries.len()).step_by(rounds).collect();
                let mut answers = Vec::with_capacity(share.len());
                let cost = system.measure(|system| {
                    for query in &share {
                        answers.push(system.client.query(statement, &[&queries[*query]])?);
                    }
                    Ok(())
                })?;
                step.cpu[index].push(micros(cost.cpu) / share.len() as f64);
                for (query, rows) in share.iter().zip(&answers) {
                    let ids: Vec<i64> = rows.iter().map(|row| row.get(0)).collect();
                    hits[index] += truth.hits(search.base, search.queries, *query, &ids);
                }
            }
        }
        step.recall = hits.map(|hits| hits as f64 / (NEIGHBOURS * queries.len()) as f64);
        let enough = step.recall.iter().all(|recall| *recall >= ENOUGH);
        steps.push(step);
        if enough {
            break;
        }
    }
    for system in systems.iter_mut() {
        let (setting, usual) = (kind.setting, kind.usual);
        system.run(&format!("SET enable_seqscan = on; SET {setting} = {usual}"))?;
    }
    Ok(steps)
}

/// The cost at a recall of one system, a number a round; None where it is not reached.
pub fn costs_at(steps: &[Step], system: usize, recall: f64) -> Option<Vec<f64>> {
    let rounds = steps.first()?.cpu[system].len();
    (0..rounds)
        .map(|round| {
            let curve: Vec<Point> = steps
                .iter()
                .map(|step| Point {
                    recall: step.recall[system],
                    cost: step.cpu[system][round],
                })
                .collect();
            cost_at(&curve, recall)
        })
        .collect()
}

/// The median, or a dash where a recall was not reached.
pub fn shown(costs: Option<&Vec<f64>>) -> String {
    let spread = costs.and_then(|costs| Spread::of(costs.clone()));
    spread.map_or_else(|| "–".to_owned(), |spread| format!("{:.0}", spread.median))
}

/// The ratio of two, or a dash where either was not reached.
pub fn ratio(ours: Option<&Vec<f64>>, theirs: Option<&Vec<f64>>) -> String {
    let both = ours.zip(theirs);
    both.and_then(|(ours, theirs)| Spread::of_ratios(ours, theirs))
        .map_or_else(|| "–".to_owned(), |spread| spread.ratio_text())
}

/// Prints the cost at each recall, and the points.
pub fn print(steps: &[Step], kind: &Kind) {
    let title = &kind.title;
    let mut table = Table::new(&[
        "µs of CPU a query at recall@10",
        NAMES[0],
        NAMES[1],
        "ratio",
    ]);
    for recall in RECALLS {
        let [ours, theirs] = [0, 1].map(|system| costs_at(steps, system, recall));
        table.row([
            format!("{recall:.2}"),
            shown(ours.as_ref()),
            shown(theirs.as_ref()),
            ratio(ours.as_ref(), theirs.as_ref()),
        ]);
    }
    table.print(&format!("{title}: CPU at a recall"));

    let [one, two] = NAMES;
    let mut points = Table::new(&[
        kind.setting,
        &format!("{one} recall"),
        &format!("{two} recall"),
        &format!("{one} µs"),
        &format!("{two} µs"),
        "ratio",
    ]);
    for step in steps {
        let [ours, theirs] = &step.cpu;
        points.row([
            step.value.to_string(),
            format!("{:.4}", step.recall[0]),
            format!("{:.4}", step.recall[1]),
            shown(Some(ours)),
            shown(Some(theirs)),
            ratio(Some(ours), Some(theirs)),
        ]);
    }
    points.print(&format!("{title}: recall at equal {}", kind.setting));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_grid_is_geometric_and_ends_with_the_most() {
        assert_eq!(grid(1, 20), [1, 2, 3, 4, 6, 8, 11, 16, 20]);
        assert_eq!(grid(1, 1), [1]);
        assert_eq!(grid(10, 50), [10, 14, 20, 28, 40, 50]);
    }

    #[test]
    fn a_recall_that_is_not_reached_is_a_dash() {
        let steps = [Step {
            value: 1,
            recall: [0.95, 0.5],
            cpu: [vec![3.0, 5.0], vec![1.0, 1.0]],
        }];
        assert_eq!(shown(costs_at(&steps, 0, 0.9).as_ref()), "4");
        assert_eq!(shown(costs_at(&steps, 1, 0.9).as_ref()), "–");
        let [ours, theirs] = [0, 1].map(|system| costs_at(&steps, system, 0.9));
        assert_eq!(ratio(ours.as_ref(), theirs.as_ref()), "–");
    }
}
