//! `bench types`: what the types and their functions cost, without an index.

mod cases;

use crate::cpu::Pinned;
use crate::report::{self, Table, progress};
use crate::stats::Spread;
use crate::system::{self, NAMES, System};
use anyhow::{Result, ensure};
use cases::{Action, Case};
use std::time::Duration;

/// What a sample lasts at least: far above the kernel's accounting, short enough that both systems
/// see the same neighbours.
const SAMPLE: Duration = Duration::from_millis(25);

pub struct Options {
    /// Vectors in a table of 384 dimensions; others have as many numbers.
    pub rows: usize,
    pub rounds: usize,
    /// Only the cases whose names contain this.
    pub only: String,
}

pub fn run(options: &Options) -> Result<()> {
    let mut systems = system::both()?;
    report::head("bench types: backend CPU without an index", &mut systems)?;
    println!(
        "\n{} vectors in a table of 384 dimensions, others by size; {} rounds of at least {} ms, \
         the systems in turn; client and backend on one core",
        options.rows,
        options.rounds,
        SAMPLE.as_millis()
    );
    let groups = cases::all(options.rows);
    for group in groups {
        let wanted: Vec<&Case> = group
            .cases
            .iter()
            .filter(|case| format!("{}: {}", group.title, case.name).contains(&options.only))
            .collect();
        if wanted.is_empty() {
            continue;
        }
        progress(&format!("{}: loading", group.title));
        for system in &mut systems {
            for table in &group.tables {
                table.fill(system)?;
            }
        }
        progress(&format!("{}: measuring", group.title));
        let goal = group
            .goal
            .map_or_else(|| "goal".to_owned(), |goal| format!("goal ≤ {goal:.1}"));
        let mut printed = Table::new(&["ns a row", NAMES[0], NAMES[1], "ratio", &goal]);
        for case in wanted {
            let [ours, theirs] = measure(case, &mut systems, options.rounds)?;
            let (Some(ratio), Some(a), Some(b)) = (
                Spread::of_ratios(&ours, &theirs),
                Spread::of(ours.clone()),
                Spread::of(theirs.clone()),
            ) else {
                continue;
            };
            let verdict = match group.goal {
                None => "",
                // To the two digits that are shown.
                Some(goal) if (100.0 * ratio.median).round() <= 100.0 * goal => "met",
                Some(_) => "missed",
            };
            printed.row([
                case.name.clone(),
                format!("{:.1}", a.median),
                format!("{:.1}", b.median),
                ratio.ratio_text(),
                verdict.to_owned(),
            ]);
        }
        printed.print(&group.title);
        for system in &mut systems {
            for table in &group.tables {
                system.run(&format!("DROP TABLE {}", table.name))?;
            }
        }
    }
    Ok(())
}

/// Nanoseconds of backend CPU a row, by system and round.
fn measure(case: &Case, systems: &mut [System; 2], rounds: usize) -> Result<[Vec<f64>; 2]> {
    let pids = systems.each_ref().map(System::pid);
    let _pinned = Pinned::with(&pids)?;
    let mut samples = [Vec::new(), Vec::new()];
    // The first time brings pages and plans into memory; the second says how often a sample repeats.
    let mut longest = Duration::ZERO;
    for system in systems.iter_mut() {
        once(case, system)?;
        longest = longest.max(once(case, system)?);
    }
    let repeats = (SAMPLE.as_nanos() / longest.as_nanos().max(1) + 1).min(1000) as u32;
    for round in 0..rounds {
        for turn in 0..2 {
            let index = (round + turn) % 2;
            let mut sum = Duration::ZERO;
            for _ in 0..repeats {
                sum += once(case, &mut systems[index])?;
            }
            let rows = f64::from(repeats) * case.rows as f64;
            samples[index].push(sum.as_nanos() as f64 / rows);
        }
    }
    Ok(samples)
}

fn once(case: &Case, system: &mut System) -> Result<Duration> {
    let cost = match &case.action {
        Action::Query(sql, parameter) => {
            let statement = system.prepare(sql)?;
            system.measure(|system| {
                let row = match parameter {
                    Some(value) => system.client.query_one(&statement, &[value])?,
                    None => system.client.query_one(&statement, &[])?,
                };
                ensure!(!row.is_empty(), "{sql} gave no column");
                Ok(())
            })?
        }
        Action::CopyIn(sql, data) => system.measure(|system| system.copy_in(sql, data))?,
        Action::CopyOut(sql) => system.measure(|system| {
            let mut reader = system.client.copy_out(sql.as_str())?;
            std::io::copy(&mut reader, &mut std::io::sink())?;
            Ok(())
        })?,
    };
    Ok(cost.cpu)
}
