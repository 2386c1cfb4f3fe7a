//! Builds: CPU of every process and thread, time, size.

use super::Kind;
use crate::report::{Table, progress};
use crate::stats::Spread;
use crate::system::{NAMES, System};
use anyhow::Result;

/// Builds the index so often, and leaves the last one.
pub fn measure(systems: &mut [System; 2], builds: usize, kind: &Kind) -> Result<()> {
    let title = &kind.title;
    let (mut cpu, mut wall) = ([vec![], vec![]], [vec![], vec![]]);
    for round in 0..builds {
        for turn in 0..2 {
            let index = (round + turn) % 2;
            let system = &mut systems[index];
            progress(&format!("{title}: build {} by {}", round + 1, system.name));
            system.run("DROP INDEX IF EXISTS items_index")?;
            let cost = system.measure_all(|system| system.run(&kind.create))?;
            cpu[index].push(cost.cpu.as_secs_f64());
            wall[index].push(cost.wall.as_secs_f64());
        }
    }
    let mut table = Table::new(&["build", NAMES[0], NAMES[1], "ratio"]);
    for (name, samples) in [("CPU of all processes, s", &cpu), ("time, s", &wall)] {
        let [ours, theirs] = samples;
        let (Some(a), Some(b), Some(ratio)) = (
            Spread::of(ours.clone()),
            Spread::of(theirs.clone()),
            Spread::of_ratios(ours, theirs),
        ) else {
            continue;
        };
        table.row([
            name.to_owned(),
            format!("{:.2}", a.median),
            format!("{:.2}", b.median),
            ratio.ratio_text(),
        ]);
    }
    let mut sizes = [0.0; 2];
    for (size, system) in sizes.iter_mut().zip(systems) {
        *size = system.number("SELECT pg_relation_size('items_index')")? as f64;
    }
    table.row([
        "size, MB".to_owned(),
        format!("{:.1}", sizes[0] / 1e6),
        format!("{:.1}", sizes[1] / 1e6),
        format!("{:.2}", sizes[0] / sizes[1]),
    ]);
    table.print(&format!("{title}: build"));
    Ok(())
}
