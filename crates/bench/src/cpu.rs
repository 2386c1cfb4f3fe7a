//! CPU time of server processes, read from /proc, and the pinning of processes to a core.

use anyhow::{Context, Result, bail};
use rustix::process::Pid;
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use std::fs;
use std::io::ErrorKind;
use std::time::Duration;

/// CPU time so far of one process's living threads, to the nanosecond.
///
/// A thread that has ended is not in it: for work on helper threads see [`cluster`].
pub fn process(pid: i32) -> Result<Duration> {
    let folder = format!("/proc/{pid}/task");
    let mut sum = 0;
    for thread in fs::read_dir(&folder).with_context(|| format!("cannot list {folder}"))? {
        let path = thread?.path().join("schedstat");
        let text = match fs::read_to_string(&path) {
            // It has ended meanwhile.
            Err(error) if error.kind() == ErrorKind::NotFound => continue,
            other => other.with_context(|| format!("cannot read {}", path.display()))?,
        };
        let first = text.split_whitespace().next();
        let nanoseconds: u64 = first
            .and_then(|word| word.parse().ok())
            .with_context(|| format!("{} holds \"{text}\"", path.display()))?;
        sum += nanoseconds;
    }
    Ok(Duration::from_nanos(sum))
}

/// CPU time so far of a whole cluster: its postmaster, every child with its ended threads, and the
/// children that have ended (parallel workers). In steps of a clock tick, 10 ms.
pub fn cluster(postmaster: i32) -> Result<Duration> {
    let mut ticks = Stat::read(postmaster)?.with_ended_children();
    for entry in fs::read_dir("/proc").context("cannot list /proc")? {
        let Ok(pid) = entry?.file_name().to_string_lossy().parse() else {
            continue;
        };
        // A process that ended since the folder was listed is in its parent's sum next time.
        if let Ok(stat) = Stat::read(pid)
            && stat.parent == postmaster
        {
            ticks += stat.with_ended_children();
        }
    }
    let per_second = rustix::param::clock_ticks_per_second();
    Ok(Duration::from_nanos(ticks * 1_000_000_000 / per_second))
}

/// The process that started this one.
pub fn parent(pid: i32) -> Result<i32> {
    Ok(Stat::read(pid)?.parent)
}

/// What /proc/PID/stat says, times in clock ticks.
#[derive(Debug, PartialEq, Eq)]
struct Stat {
    parent: i32,
    own: u64,
    ended_children: u64,
}

impl Stat {
    fn read(pid: i32) -> Result<Self> {
        let path = format!("/proc/{pid}/stat");
        let text = fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
        Self::parse(&text).with_context(|| format!("{path} holds \"{text}\""))
    }

    /// The fields are those of proc(5); the second, a name, may itself hold blanks and brackets.
    fn parse(text: &str) -> Option<Self> {
        let fields: Vec<&str> = text.rsplit_once(')')?.1.split_whitespace().collect();
        let field = |number: usize| fields.get(number - 3).copied();
        let ticks = |number: usize| field(number)?.parse::<u64>().ok();
        Some(Self {
            parent: field(4)?.parse().ok()?,
            own: ticks(14)? + ticks(15)?,
            ended_children: ticks(16)? + ticks(17)?,
        })
    }

    fn with_ended_children(&self) -> u64 {
        self.own + self.ended_children
    }
}

/// This thread and some processes on one core, for as long as this lives.
///
/// A message between two cores wakes the second from its sleep, which on an idle machine costs
/// more than a short query.
pub struct Pinned {
    before: Vec<(Option<Pid>, CpuSet)>,
}

impl Pinned {
    /// Pins to the last core that this thread may use: the first takes most interrupts.
    pub fn with(processes: &[i32]) -> Result<Self> {
        let allowed = sched_getaffinity(None).context("cannot ask for the allowed cores")?;
        let Some(core) = (0..CpuSet::MAX_CPU)
            .rev()
            .find(|core| allowed.is_set(*core))
        else {
            bail!("no core is allowed");
        };
        let mut one = CpuSet::new();
        one.set(core);
        let mut pinned = Self { before: Vec::new() };
        let processes = processes.iter().map(|pid| Pid::from_raw(*pid));
        for pid in std::iter::once(None).chain(processes) {
            let before = sched_getaffinity(pid).context("cannot ask for the allowed cores")?;
            sched_setaffinity(pid, &one).context("cannot pin a process to a core")?;
            pinned.before.push((pid, before));
        }
        Ok(pinned)
    }
}

impl Drop for Pinned {
    fn drop(&mut self) {
        for (pid, before) in &self.before {
            // A process that has ended needs no cores.
            let _ = sched_setaffinity(*pid, before);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_brackets_does_not_shift_the_fields() {
        let text = "7 (a) b) c) S 3 7 7 0 -1 4194560 1 2 3 4 50 6 700 8 20 0 1 0 9 0 0";
        let expected = Stat {
            parent: 3,
            own: 56,
            ended_children: 708,
        };
        assert_eq!(Stat::parse(text), Some(expected));
        assert_eq!(Stat::parse("7 (a) S 3 7"), None);
    }

    #[test]
    fn a_process_has_a_parent_and_uses_cpu() {
        // A process of its own: other tests' threads begin and end in this one.
        let mut busy = std::process::Command::new("sh")
            .args(["-c", "while :; do :; done"])
            .spawn()
            .unwrap();
        let pid = busy.id() as i32;
        let before = process(pid).unwrap();
        // The kernel brings a running thread's figure up to date when it leaves the core, or a tick ends.
        let used = (0..1000).any(|_| {
            std::thread::sleep(Duration::from_millis(10));
            process(pid).unwrap() > before
        });
        let own = std::process::id() as i32;
        let found = (parent(pid).unwrap(), cluster(own).is_ok());
        busy.kill().unwrap();
        busy.wait().unwrap();
        assert!(used);
        assert_eq!(found, (own, true));
    }

    #[test]
    fn cores_are_given_back() {
        let before = sched_getaffinity(None).unwrap();
        let pinned = Pinned::with(&[]).unwrap();
        assert_eq!(sched_getaffinity(None).unwrap().count(), 1);
        drop(pinned);
        assert_eq!(sched_getaffinity(None).unwrap(), before);
    }
}
