//! What an owner of a pool relies on. Threads of the process are counted, so tests take turns.

use std::cell::Cell;
use std::collections::HashSet;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use pgnear_device::{CancelFlag, Pool, RunError};

static TURN: Mutex<()> = Mutex::new(());

fn my_turn() -> MutexGuard<'static, ()> {
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Threads of this process that a pool spawned, as their folders under /proc.
fn pool_threads() -> Vec<std::path::PathBuf> {
    fs::read_dir("/proc/self/task")
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|task| {
            fs::read_to_string(task.join("comm")).is_ok_and(|name| name.starts_with("pgnear-"))
        })
        .collect()
}

fn blocked_signals(task: &std::path::Path) -> u64 {
    let status = fs::read_to_string(task.join("status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("SigBlk:"));
    u64::from_str_radix(line.unwrap()["SigBlk:".len()..].trim(), 16).unwrap()
}

fn go() -> Result<(), &'static str> {
    Ok(())
}

#[test]
fn loops_visit_everything_once_on_any_number_of_threads() {
    let _turn = my_turn();
    for threads in [0, 1, 2, 4] {
        let pool = Pool::new(threads);
        assert_eq!(pool.threads(), threads.max(1));
        let mut items = vec![0usize; 1000];
        let complete = pool
            .run(&CancelFlag::new(), &mut go, |workers| {
                let visits = AtomicUsize::new(0);
                let a = workers.for_each(1000, |_| {
                    visits.fetch_add(1, Ordering::Relaxed);
                });
                let b = workers.for_each_mut(&mut items, |i, item| *item += i);
                let c = workers.for_each_chunk_mut(&mut items, 7, |chunk, items| {
                    for (j, item) in items.iter_mut().enumerate() {
                        *item += chunk * 7 + j;
                    }
                });
                a && b && c && visits.into_inner() == 1000
            })
            .unwrap();
        assert!(complete);
        assert!(items.iter().enumerate().all(|(i, &item)| item == 2 * i));
    }
    assert_eq!(pool_threads(), Vec::<std::path::PathBuf>::new());
}

#[test]
fn polls_on_the_calling_thread_only() {
    let _turn = my_turn();
    for threads in [1, 3] {
        let pool = Pool::new(threads);
        let caller = std::thread::current().id();
        let polls = Cell::new(0);
        let workers_seen = Mutex::new(HashSet::new());
        pool.run(
            &CancelFlag::new(),
            &mut || {
                assert_eq!(std::thread::current().id(), caller);
                polls.set(polls.get() + 1);
                go()
            },
            |workers| {
                workers.for_each(30, |_| {
                    workers_seen
                        .lock()
                        .unwrap()
                        .insert(std::thread::current().id());
                    std::thread::sleep(Duration::from_millis(6));
                });
            },
        )
        .unwrap();
        assert!(polls.get() >= 3, "{} polls", polls.get());
        let seen = workers_seen.into_inner().unwrap();
        assert_eq!(seen.contains(&caller), threads == 1);
    }
}

#[test]
fn an_error_of_poll_ends_the_work_and_leaves_no_thread() {
    let _turn = my_turn();
    for threads in [1, 2, 4] {
        let pool = Pool::new(threads);
        let (cancel, running, visited) =
            (CancelFlag::new(), AtomicUsize::new(0), AtomicUsize::new(0));
        let mut polls = 0;
        let outcome = pool.run(
            &cancel,
            &mut || {
                polls += 1;
                if polls < 3 {
                    Ok(())
                } else {
                    Err("user cancelled")
                }
            },
            |workers| {
                workers.for_each(1_000_000, |_| {
                    running.fetch_add(1, Ordering::SeqCst);
                    visited.fetch_add(1, Ordering::SeqCst);
                    std::thread::sleep(Duration::from_millis(1));
                    running.fetch_sub(1, Ordering::SeqCst);
                })
            },
        );
        assert_eq!(outcome, Err(RunError::Poll("user cancelled")));
        assert!(cancel.is_set());
        assert_eq!(running.load(Ordering::SeqCst), 0);
        assert!(visited.load(Ordering::SeqCst) < 1_000_000);
        assert_eq!(polls, 3, "poll is not called again after its error");
        drop(pool);
        assert_eq!(pool_threads().len(), 0);
    }
}

#[test]
fn a_panic_of_poll_goes_on_after_the_workers_stopped() {
    let _turn = my_turn();
    for threads in [1, 2] {
        let pool = Pool::new(threads);
        let (cancel, running) = (CancelFlag::new(), AtomicBool::new(false));
        let mut polls = 0;
        let payload = catch_unwind(AssertUnwindSafe(|| {
            pool.run(
                &cancel,
                &mut || {
                    polls += 1;
                    if polls == 2 {
                        std::panic::panic_any(4711);
                    }
                    go()
                },
                |workers| {
                    running.store(true, Ordering::SeqCst);
                    while !workers.is_cancelled() {
                        std::thread::sleep(Duration::from_millis(1));
                    }
                    running.store(false, Ordering::SeqCst);
                },
            )
        }))
        .unwrap_err();
        // The payload is the caller's own: it carries PostgreSQL's error.
        assert_eq!(payload.downcast_ref::<i32>(), Some(&4711));
        assert!(cancel.is_set() && !running.load(Ordering::SeqCst));
        drop(pool);
        assert_eq!(pool_threads().len(), 0);
    }
}

#[test]
fn a_panic_of_the_work_is_an_error_and_the_pool_stays_usable() {
    let _turn = my_turn();
    for threads in [1, 3] {
        let pool = Pool::new(threads);
        let in_loop = pool.run(&CancelFlag::new(), &mut go, |workers| {
            workers.for_each(100, |i| assert!(i != 42, "item {i} is bad"));
        });
        assert_eq!(in_loop, Err(RunError::WorkerPanic("item 42 is bad".into())));
        let outside = pool.run(&CancelFlag::new(), &mut go, |_| -> usize {
            panic!("plain")
        });
        assert_eq!(outside, Err(RunError::WorkerPanic("plain".into())));
        let after = pool.run(&CancelFlag::new(), &mut go, |_| 5);
        assert_eq!(after, Ok(5));
    }
}

#[test]
fn a_flag_set_beforehand_skips_the_loops() {
    let _turn = my_turn();
    for threads in [1, 2] {
        let cancel = CancelFlag::new();
        cancel.set();
        let visited = AtomicUsize::new(0);
        let complete = Pool::new(threads).run(&cancel, &mut go, |workers| {
            workers.for_each(100, |_| {
                visited.fetch_add(1, Ordering::Relaxed);
            })
        });
        assert_eq!(complete, Ok(false));
        assert_eq!(visited.into_inner(), 0);
    }
}

#[test]
fn workers_have_signals_blocked_and_the_caller_keeps_its_own() {
    let _turn = my_turn();
    let me = fs::canonicalize("/proc/thread-self").unwrap();
    let before = blocked_signals(&me);
    let pool = Pool::new(2);
    // The kernel shows a thread's name only once it has set it itself: so it must have run.
    pool.run(&CancelFlag::new(), &mut go, |workers| {
        workers.for_each(2, |_| std::thread::sleep(Duration::from_millis(20)));
    })
    .unwrap();
    let tasks = pool_threads();
    assert_eq!(tasks.len(), 2);
    for task in &tasks {
        let blocked = blocked_signals(task);
        // SIGHUP, SIGINT, SIGQUIT, SIGUSR1, SIGUSR2, SIGALRM, SIGTERM, SIGCHLD, SIGURG
        for signal in [1, 2, 3, 10, 12, 14, 15, 17, 23] {
            assert!(
                blocked >> (signal - 1) & 1 == 1,
                "signal {signal} gets through"
            );
        }
    }
    assert_eq!(blocked_signals(&me), before);
}
