//! Whatever goes wrong in the program, its caller gets the reason and keeps nothing of it.

mod common;

use std::time::{Duration, Instant};

use common::{Poll, bits, launch, launch_with, on_cpu, on_gpu, real, vectors};
use pgnear_device::remote::{Launch, Remote};
use pgnear_device::{Device, DeviceError, Wanted};
use pgnear_kernels::Metric;
use pgnear_quant::{KMeansOptions, Matrix, kmeans_on, prepared};

const DIMS: usize = 16;
const WANTED: Wanted = Wanted {
    metric: Metric::Cosine,
    k: 5,
    within: None,
};

/// Why a search of some queries and rows fails.
fn failure(launch: &Launch) -> String {
    let (queries, rows) = (vectors(10, DIMS, 1, false), vectors(300, DIMS, 2, false));
    match on_gpu(launch, WANTED, DIMS, &queries, &[&rows]) {
        Err(DeviceError::Lost(why)) => why,
        other => panic!("{other:?}"),
    }
}

/// These tests need faults that only the stand-in has.
macro_rules! standin_only {
    () => {
        if real() {
            println!("not run: a real GPU has no faults on demand");
            return;
        }
    };
}

#[test]
fn says_what_was_found() {
    let remote = Remote::start(&launch(), Box::new(Poll::default())).unwrap();
    let info = remote.info();
    assert!(!info.name.is_empty() && info.memory >= info.free && info.free > 0);
    assert!(info.driver >= 12000 && info.capability >= 80, "{info:?}");
}

#[test]
fn says_why_there_is_no_gpu() {
    standin_only!();
    for (faults, why) in [
        ("no-device", "the NVIDIA driver sees no GPU"),
        ("init=100", "no GPU can be used: CUDA_ERROR_NO_DEVICE"),
        (
            "old-driver",
            "the NVIDIA driver is too old: it knows CUDA 11.4, and 12.0 is needed (driver 525)",
        ),
        (
            "capability=75",
            "stand-in for a GPU is of compute capability 7.5, and 8.0 is needed",
        ),
    ] {
        assert_eq!(failure(&launch_with(faults)), why);
    }
    let ordinal = Launch {
        ordinal: 3,
        ..launch()
    };
    let why = "there is no GPU 3: the driver sees 1, from 0";
    assert_eq!(failure(&ordinal), why);
}

#[test]
fn says_that_there_is_no_driver() {
    standin_only!();
    let folder = std::path::PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("no-driver");
    std::fs::create_dir_all(&folder).unwrap();
    let none = Launch {
        library_folder: Some(folder),
        ..launch()
    };
    if std::path::Path::new("/proc/driver/nvidia").exists() {
        println!("not run: this machine has a driver");
        return;
    }
    assert_eq!(failure(&none), "no NVIDIA driver: there is no libcuda.so.1");
}

#[test]
fn a_driver_compiles_the_kernels_where_it_takes_no_machine_code() {
    standin_only!();
    // And where there is none for the device.
    for faults in ["no-code", "capability=121"] {
        let (queries, rows) = (vectors(4, DIMS, 1, false), vectors(50, DIMS, 2, false));
        let found = on_gpu(&launch_with(faults), WANTED, DIMS, &queries, &[&rows]).unwrap();
        let expected = on_cpu(WANTED, DIMS, &queries, &[&rows]);
        assert_eq!(bits(&found), bits(&expected));
    }
}

#[test]
fn every_allocation_and_every_launch_may_fail() {
    standin_only!();
    for nth in [1, 2, 5, 9, 14, 18] {
        // The search is tried again with smaller pieces, and then works.
        let (queries, rows) = (vectors(10, DIMS, 1, false), vectors(300, DIMS, 2, false));
        let launch = launch_with(&format!("alloc={nth}"));
        let found = on_gpu(&launch, WANTED, DIMS, &queries, &[&rows]).unwrap();
        assert_eq!(
            bits(&found),
            bits(&on_cpu(WANTED, DIMS, &queries, &[&rows]))
        );
    }
    for nth in 1..=6 {
        let why = failure(&launch_with(&format!("launch={nth}")));
        assert!(why.ends_with("CUDA_ERROR_ILLEGAL_ADDRESS"), "{why}");
    }
}

#[test]
fn a_small_memory_makes_pieces_small_and_then_an_error() {
    standin_only!();
    let (queries, rows) = (vectors(10, DIMS, 1, false), vectors(900, DIMS, 2, false));
    let expected = bits(&on_cpu(WANTED, DIMS, &queries, &[&rows]));
    for memory in [70_000, 120_000, 200_000] {
        let small = launch_with(&format!("memory={memory}"));
        let found = on_gpu(&small, WANTED, DIMS, &queries, &[&rows]);
        assert_eq!(bits(&found.unwrap()), expected, "{memory}");
        // The same as a limit of ours.
        let limited = Launch { memory, ..launch() };
        let found = on_gpu(&limited, WANTED, DIMS, &queries, &[&rows]);
        assert_eq!(bits(&found.unwrap()), expected, "{memory}");
    }
    let why = failure(&launch_with("memory=10000"));
    assert!(why.starts_with("the GPU has no room for "), "{why}");
}

#[test]
fn a_program_that_ends_or_hangs_is_noticed() {
    standin_only!();
    for nth in [1, 3, 5] {
        let why = failure(&launch_with(&format!("exit={nth}")));
        assert_eq!(why, "the GPU program ended with exit status: 3");
    }
    let impatient = Launch {
        patience: Duration::from_millis(300),
        ..launch_with("hang=2")
    };
    assert_eq!(
        failure(&impatient),
        "the GPU program said nothing for 0.3 seconds"
    );
}

#[test]
fn other_programs_are_not_believed() {
    // It sends back what it was sent.
    let mut echo = Launch {
        program: "/bin/cat".into(),
        ..launch()
    };
    let why = failure(&echo);
    assert!(why.starts_with("the GPU program "), "{why}");
    echo.program = "/nonexistent/pgnear-gpu".into();
    let why = failure(&echo);
    assert!(
        why.starts_with("cannot start /nonexistent/pgnear-gpu: "),
        "{why}"
    );
}

#[test]
fn a_caller_that_stops_waiting_ends_the_program_at_once() {
    standin_only!();
    let launch = launch_with("hang=2");
    let poll = Poll {
        fail_at: Some(Instant::now() + Duration::from_millis(1000)),
    };
    let started = Instant::now();
    let mut remote = Remote::start(&launch, Box::new(poll)).unwrap();
    let outcome = (|| {
        let mut search = remote.search(WANTED, DIMS, &vectors(10, DIMS, 1, false))?;
        search.offer(&vectors(300, DIMS, 2, false))?;
        search.finish()
    })();
    assert_eq!(outcome.unwrap_err(), DeviceError::Poll("stopped"));
    // What broke off is not gone on with.
    let again = remote.nearest(pgnear_device::Assign::L2, 1, &[1.0], &[1.0]);
    assert!(matches!(again, Err(DeviceError::Lost(_))));
    drop(remote);
    assert!(started.elapsed() < Duration::from_secs(60));
    assert_eq!(children(), 0);
}

#[test]
fn k_means_passes_on_how_the_device_failed() {
    standin_only!();
    let options = KMeansOptions {
        k: 8,
        ..KMeansOptions::default()
    };
    let run = |launch: &Launch, poll: Poll| {
        let mut remote = Remote::start(launch, Box::new(poll)).unwrap();
        common::with_job_of(|job| {
            let samples = Matrix::try_from_vec(4, vectors(200, 4, 5, false)).unwrap();
            let samples = prepared(job, samples, &options).unwrap();
            kmeans_on(&mut remote, job, &samples, &options)
        })
    };
    let lost = run(&launch_with("launch=9"), Poll::default());
    assert!(matches!(lost, Err(DeviceError::Lost(_))), "{lost:?}");
    let poll = Poll {
        fail_at: Some(Instant::now() + Duration::from_millis(1500)),
    };
    let stopped = run(&launch_with("hang=9"), poll);
    assert_eq!(stopped, Err(DeviceError::Poll("stopped")));
}

/// Processes of this test that are still there.
fn children() -> usize {
    // Tests of other threads have theirs: they are seen under their own thread.
    // SAFETY: a call without arguments.
    let task = format!("/proc/self/task/{}/children", unsafe { libc::gettid() });
    let text = std::fs::read_to_string(task).unwrap_or_default();
    text.split_whitespace().count()
}

#[test]
fn a_great_many_searches_leave_nothing_behind() {
    let launch = launch();
    let (queries, rows) = (vectors(2, 4, 1, false), vectors(10, 4, 2, false));
    let once = || on_gpu(&launch, WANTED, 4, &queries, &[&rows]).unwrap();
    let searches = if real() { 20 } else { 200 };
    once();
    for _ in 0..searches {
        once();
    }
    assert_eq!(children(), 0);
}

#[test]
fn what_is_asked_beyond_its_limits_is_refused() {
    let mut remote = Remote::<&str>::start(&launch(), Box::new(Poll::default())).unwrap();
    for (metric, k, dims) in [
        (Metric::L2, 1025, 2),
        (Metric::L2, 0, 2),
        (Metric::Hamming, 1, 2),
    ] {
        let wanted = Wanted {
            metric,
            k,
            within: None,
        };
        assert!(remote.search(wanted, dims, &[1.0, 2.0]).is_err());
    }
    let wrong = remote.search(WANTED, 2, &[1.0]).err().unwrap();
    let expected = DeviceError::WrongDimensions {
        expected: 2,
        got: 1,
    };
    assert_eq!(wrong, expected);
    // None of that broke anything.
    let one = remote.nearest(pgnear_device::Assign::L2, 1, &[1.0, 5.0], &[4.0]);
    assert_eq!(one, Ok(vec![1]));
}
