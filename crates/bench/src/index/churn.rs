//! Inserts into a finished index, deletes and vacuum, and whether searches stay what they were.

use super::curve::{self, RECALLS, Search};
use super::{ITEMS, Kind, Options};
use crate::data::{Rows, Set, Truth};
use crate::report::{Table, progress};
use crate::stats::{Spread, micros};
use crate::system::{NAMES, System};
use crate::value::Value;
use anyhow::Result;

/// Turns that inserts and vacuums are cut into, so that the systems alternate.
const INSERT_TURNS: usize = 10;
const VACUUM_TURNS: usize = 4;

/// One row in this many is deleted in each turn: a fifth in all.
const DELETED_OF: usize = 20;

/// Inserts, deletes a fifth, vacuums, and searches before and after a rebuild.
pub fn measure(systems: &mut [System; 2], options: &Options, set: &Set, kind: &Kind) -> Result<()> {
    let title = &kind.title;
    let more = set.more(options.inserts);
    inserts(systems, set, &more, title)?;
    vacuums(systems, title)?;

    let mut all = set.base.clone();
    more.iter().for_each(|row| all.push(row.iter().copied()));
    progress(&format!("{title}: exact answers after vacuum"));
    let truth = Truth::find(options.metric, &all, &set.queries, |id| {
        id % DELETED_OF >= VACUUM_TURNS
    });
    let search = Search {
        metric: options.metric,
        base: &all,
        queries: &set.queries,
    };
    progress(&format!("{title}: searching after vacuum"));
    let old = curve::measure(systems, &search, &truth, kind, options.rounds)?;
    for system in systems.iter_mut() {
        progress(&format!("{title}: rebuild by {}", system.name));
        system.run("DROP INDEX items_index")?;
        system.run(&kind.create)?;
    }
    progress(&format!("{title}: searching after a rebuild"));
    let fresh = curve::measure(systems, &search, &truth, kind, options.rounds)?;

    let mut table = Table::new(&[
        "µs of CPU a query at recall@10",
        NAMES[0],
        NAMES[1],
        "ratio",
        "pgnear to its fresh index",
        "pgvector to its fresh index",
    ]);
    for recall in RECALLS {
        let [ours, theirs] = [0, 1].map(|system| curve::costs_at(&old, system, recall));
        let [our_fresh, their_fresh] = [0, 1].map(|system| curve::costs_at(&fresh, system, recall));
        table.row([
            format!("{recall:.2}"),
            curve::shown(ours.as_ref()),
            curve::shown(theirs.as_ref()),
            curve::ratio(ours.as_ref(), theirs.as_ref()),
            curve::ratio(ours.as_ref(), our_fresh.as_ref()),
            curve::ratio(theirs.as_ref(), their_fresh.as_ref()),
        ]);
    }
    table.print(&format!("{title}: after inserts, deletes and vacuum"));
    Ok(())
}

/// CPU and WAL of a row, in transactions of a turn each; and without the index, to tell its share.
fn inserts(systems: &mut [System; 2], set: &Set, more: &Rows, title: &str) -> Result<()> {
    progress(&format!("{title}: inserting"));
    let (mut cpu, mut bare) = ([vec![], vec![]], [vec![], vec![]]);
    let (mut wal, mut bare_wal) = ([0.0; 2], [0.0; 2]);
    let rows: Vec<Value> = more.iter().map(|row| Value::Vector(row.to_vec())).collect();
    for system in systems.iter_mut() {
        system.run("CREATE TABLE bare (LIKE items INCLUDING DEFAULTS)")?;
    }
    let turn_rows = rows.len().div_ceil(INSERT_TURNS).max(1);
    for (turn, part) in rows.chunks(turn_rows).enumerate() {
        for step in 0..2 {
            let index = (turn + step) % 2;
            let system = &mut systems[index];
            let first = (set.base.len() + turn * turn_rows) as i64;
            let (micros, bytes) = insert(system, "items", first, part)?;
            cpu[index].push(micros);
            wal[index] += bytes / rows.len() as f64;
            let (micros, bytes) = insert(system, "bare", first, part)?;
            bare[index].push(micros);
            bare_wal[index] += bytes / rows.len() as f64;
        }
    }
    let mut table = Table::new(&["a row inserted", NAMES[0], NAMES[1], "ratio"]);
    let minus = |with: &[f64], without: &[f64]| -> Vec<f64> {
        with.iter().zip(without).map(|(a, b)| a - b).collect()
    };
    let index_only = [minus(&cpu[0], &bare[0]), minus(&cpu[1], &bare[1])];
    for (name, samples) in [
        ("CPU with the index, µs", &cpu),
        ("CPU without an index, µs", &bare),
        ("CPU of the index, µs", &index_only),
    ] {
        let [ours, theirs] = samples;
        let median = |samples: &Vec<f64>| {
            let spread = Spread::of(samples.clone());
            spread.map_or_else(String::new, |spread| format!("{:.1}", spread.median))
        };
        table.row([
            name.to_owned(),
            median(ours),
            median(theirs),
            curve::ratio(Some(ours), Some(theirs)),
        ]);
    }
    for (name, bytes) in [
        ("WAL with the index, bytes", wal),
        (
            "WAL of the index, bytes",
            [wal[0] - bare_wal[0], wal[1] - bare_wal[1]],
        ),
    ] {
        table.row([
            name.to_owned(),
            format!("{:.0}", bytes[0]),
            format!("{:.0}", bytes[1]),
            format!("{:.2}", bytes[0] / bytes[1]),
        ]);
    }
    table.print(&format!(
        "{title}: {} rows inserted into {}",
        more.len(),
        set.base.len()
    ));
    for system in systems {
        system.run("DROP TABLE bare")?;
    }
    Ok(())
}

/// Inserts row by row in one transaction; microseconds and bytes of WAL, the first a row.
fn insert(system: &mut System, table: &str, first: i64, rows: &[Value]) -> Result<(f64, f64)> {
    let statement = system.prepare(&format!("INSERT INTO {table} VALUES ($1, $2)"))?;
    let before = system.number(WAL_POSITION)?;
    let cost = system.measure(|system| {
        let mut transaction = system.client.transaction()?;
        for (id, row) in (first..).zip(rows) {
            transaction.execute(&statement, &[&id, row])?;
        }
        transaction.commit()?;
        Ok(())
    })?;
    let bytes = system.number(WAL_POSITION)? - before;
    Ok((micros(cost.cpu) / rows.len() as f64, bytes as f64))
}

const WAL_POSITION: &str = "SELECT (pg_current_wal_insert_lsn() - '0/0')::bigint";

/// Deletes a twentieth and vacuums, a few times.
fn vacuums(systems: &mut [System; 2], title: &str) -> Result<()> {
    let (mut cpu, mut wal) = ([vec![], vec![]], [vec![], vec![]]);
    for turn in 0..VACUUM_TURNS {
        for step in 0..2 {
            let index = (turn + step) % 2;
            let system = &mut systems[index];
            progress(&format!("{title}: vacuum {} by {}", turn + 1, system.name));
            system.run(&format!(
                "DELETE FROM items WHERE id % {DELETED_OF} = {turn}"
            ))?;
            let before = system.number(WAL_POSITION)?;
            let cost = system
                .measure(|system| system.run("VACUUM (INDEX_CLEANUP on, PARALLEL 0) items"))?;
            cpu[index].push(cost.cpu.as_secs_f64() * 1e3);
            wal[index].push((system.number(WAL_POSITION)? - before) as f64 / 1e6);
        }
    }
    let mut table = Table::new(&["a vacuum", NAMES[0], NAMES[1], "ratio"]);
    for (name, [ours, theirs]) in [("CPU, ms", &cpu), ("WAL, MB", &wal)] {
        let median = |samples: &Vec<f64>| {
            let spread = Spread::of(samples.clone());
            spread.map_or_else(String::new, |spread| format!("{:.1}", spread.median))
        };
        table.row([
            name.to_owned(),
            median(ours),
            median(theirs),
            curve::ratio(Some(ours), Some(theirs)),
        ]);
    }
    table.print(&format!("{title}: vacuum of a twentieth of the rows"));
    Ok(())
}

/// Brings the table back to the rows that it was loaded with.
pub fn restore(system: &mut System, set: &Set) -> Result<()> {
    let values: Vec<Value> = set
        .base
        .iter()
        .map(|row| Value::Vector(row.to_vec()))
        .collect();
    system.run("TRUNCATE items")?;
    system.load(ITEMS, 0, values.iter())?;
    system.run("VACUUM (FREEZE, ANALYZE) items")
}
