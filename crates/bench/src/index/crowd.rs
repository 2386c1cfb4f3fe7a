//! Many sessions at once: what a query costs among others that search and one that inserts, and what they wait for.

use super::Kind;
use super::curve::Search;
use crate::data::Set;
use crate::report::{Table, progress};
use crate::stats::micros;
use crate::system::{NAMES, System};
use crate::value::Value;
use anyhow::{Result, anyhow};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

const READERS: usize = 8;

/// Between two looks at what the sessions wait for.
const PAUSE: Duration = Duration::from_millis(10);

/// Measures both systems, one after the other, each alone and in a crowd for so many seconds.
pub fn measure(
    systems: &mut [System; 2],
    search: &Search<'_>,
    set: &Set,
    kind: &Kind,
    seconds: usize,
) -> Result<()> {
    let time = Duration::from_secs(seconds as u64);
    let title = &kind.title;
    let (mut alone, mut among, mut waits) = (vec![], vec![], vec![]);
    for system in systems.iter_mut() {
        progress(&format!(
            "{title}: sessions beside each other, {}",
            system.name
        ));
        let (cost, _) = run(system, search, set, kind, 1, time)?;
        alone.push(cost);
        let (cost, seen) = run(system, search, set, kind, READERS, time)?;
        system.run("VACUUM items")?;
        among.push(cost);
        waits.push(seen);
    }
    let mut table = Table::new(&["µs of CPU a query", NAMES[0], NAMES[1]]);
    let row = |name: &str, numbers: &[f64], digits: usize| {
        let numbers = numbers.iter().map(|number| format!("{number:.digits$}"));
        std::iter::once(name.to_owned())
            .chain(numbers)
            .collect::<Vec<_>>()
    };
    table.row(row("alone", &alone, 0));
    table.row(row(
        &format!("one of {READERS}, beside a writer"),
        &among,
        0,
    ));
    let growth: Vec<f64> = among.iter().zip(&alone).map(|(a, b)| a / b).collect();
    table.row(row("times as much", &growth, 2));
    table.print(&format!("{title}: sessions beside each other"));
    for (name, seen) in NAMES.iter().zip(waits) {
        let list: Vec<String> = (seen.waits.iter())
            .map(|(event, times)| format!("{event} {times}"))
            .collect();
        println!(
            "\n{name}, waits seen in {} looks at a session: {}",
            seen.looks,
            if list.is_empty() {
                "none".to_owned()
            } else {
                list.join(", ")
            }
        );
    }
    Ok(())
}

/// What sessions were seen waiting for.
struct Seen {
    looks: usize,
    waits: BTreeMap<String, usize>,
}

/// Microseconds of CPU a query. Where several read, one writes.
fn run(
    system: &mut System,
    search: &Search<'_>,
    set: &Set,
    kind: &Kind,
    readers: usize,
    time: Duration,
) -> Result<(f64, Seen)> {
    let stop = AtomicBool::new(false);
    let mut sessions = Vec::new();
    for _ in 0..readers {
        let mut session = system.another()?;
        session.run(&format!(
            "SET enable_seqscan = off; SET {} = {}",
            kind.setting, kind.usual
        ))?;
        sessions.push(session);
    }
    let mut writers = Vec::new();
    if readers > 1 {
        writers.push(system.another()?);
    }
    let first = system.number("SELECT max(id) + 1 FROM items")?;
    thread::scope(|scope| {
        let stop = &stop;
        let readers: Vec<_> = (sessions.into_iter().enumerate())
            .map(|(number, session)| scope.spawn(move || read(session, search, number, stop)))
            .collect();
        let writers: Vec<_> = (writers.into_iter())
            .map(|session| scope.spawn(move || write(session, set, first, stop)))
            .collect();
        let seen = watch(system, readers.len() + writers.len(), time);
        stop.store(true, Ordering::Relaxed);
        let (mut cpu, mut queries) = (Duration::ZERO, 0);
        for reader in readers {
            let (spent, count) = reader.join().map_err(|_| anyhow!("a reader panicked"))??;
            cpu += spent;
            queries += count;
        }
        for writer in writers {
            writer
                .join()
                .map_err(|_| anyhow!("the writer panicked"))??;
        }
        Ok((micros(cpu) / queries.max(1) as f64, seen?))
    })
}

/// Searches until it is told to stop: CPU, and queries.
fn read(
    mut session: System,
    search: &Search<'_>,
    number: usize,
    stop: &AtomicBool,
) -> Result<(Duration, usize)> {
    let statement = session.prepare(&search.sql())?;
    let queries: Vec<Value> = (search.queries.iter())
        .map(|query| Value::Vector(query.to_vec()))
        .collect();
    let mut count = 0;
    let cost = session.measure(|session| {
        while !stop.load(Ordering::Relaxed) {
            let query = &queries[(number * 61 + count) % queries.len()];
            session.client.query(&statement, &[query])?;
            count += 1;
        }
        Ok(())
    })?;
    Ok((cost.cpu, count))
}

/// Inserts rows until it is told to stop, each in a transaction of its own, and takes them out again.
fn write(mut session: System, set: &Set, first: i64, stop: &AtomicBool) -> Result<()> {
    let statement = session.prepare("INSERT INTO items VALUES ($1, $2)")?;
    let rows = set.more(1000);
    let mut id = first;
    while !stop.load(Ordering::Relaxed) {
        let row = rows.row((id - first) as usize % rows.len());
        let value = Value::Vector(row.to_vec());
        session.client.execute(&statement, &[&id, &value])?;
        id += 1;
    }
    session.run(&format!("DELETE FROM items WHERE id >= {first}"))
}

/// Looks at what the sessions wait for, until the time is over.
fn watch(system: &mut System, sessions: usize, time: Duration) -> Result<Seen> {
    let statement = system.prepare(
        "SELECT wait_event_type || ' ' || wait_event FROM pg_stat_activity \
         WHERE datname = current_database() AND pid <> pg_backend_pid() AND state = 'active' \
         AND wait_event_type IN ('Lock', 'LWLock', 'BufferPin', 'Buffer')",
    )?;
    let mut seen = Seen {
        looks: 0,
        waits: BTreeMap::new(),
    };
    let start = std::time::Instant::now();
    while start.elapsed() < time {
        for row in system.client.query(&statement, &[])? {
            *seen.waits.entry(row.get(0)).or_default() += 1;
        }
        seen.looks += sessions;
        thread::sleep(PAUSE);
    }
    Ok(seen)
}
