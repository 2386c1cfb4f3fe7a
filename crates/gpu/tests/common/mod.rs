//! The program on the stand-in for a driver, or on the machine's GPU where `PGNEAR_GPU_TESTS=real`.
#![allow(dead_code)]

use std::os::fd::RawFd;
use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use pgnear_device::remote::{Launch, Remote, Wait};
use pgnear_device::{CancelFlag, MemoryBudget, Neighbour, Pool, Progress, Wanted};
use pgnear_quant::{Job, Knn, Matrix};

/// Whether the tests run on a real GPU.
pub fn real() -> bool {
    std::env::var("PGNEAR_GPU_TESTS").is_ok_and(|value| value == "real")
}

/// The folder of the stand-in, compiled once.
fn standin() -> PathBuf {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    let folder = FOLDER.get_or_init(|| {
        let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("standin");
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/standin/build.sh");
        let built = Command::new(script).arg(&folder).status().unwrap();
        assert!(
            built.success(),
            "the stand-in for a GPU was not built; c++ is needed"
        );
        folder
    });
    folder.clone()
}

/// How the tests start the program.
pub fn launch() -> Launch {
    Launch {
        // Another's path where the tests were built on another machine.
        program: std::env::var_os("PGNEAR_GPU_PROGRAM")
            .unwrap_or_else(|| env!("CARGO_BIN_EXE_pgnear-gpu").into())
            .into(),
        library_folder: (!real()).then(standin),
        ordinal: 0,
        memory: 0,
        slot_bytes: 64 << 10,
        patience: Duration::from_secs(300),
        environment: Vec::new(),
    }
}

/// The same, with faults in the stand-in.
pub fn launch_with(faults: &str) -> Launch {
    Launch {
        environment: vec![("PGNEAR_STANDIN".into(), faults.into())],
        ..launch()
    }
}

/// Waits by `poll`.
#[derive(Default)]
pub struct Poll {
    /// Fails from then on.
    pub fail_at: Option<Instant>,
}

impl Wait<&'static str> for Poll {
    fn readable(&mut self, socket: RawFd, timeout: Duration) -> Result<bool, &'static str> {
        let mut timeout = timeout;
        if let Some(at) = self.fail_at {
            if Instant::now() >= at {
                return Err("stopped");
            }
            timeout = timeout.min(Duration::from_millis(20));
        }
        let mut poll = libc::pollfd {
            fd: socket,
            events: libc::POLLIN,
            revents: 0,
        };
        let timeout = timeout.as_millis().min(i32::MAX as u128) as i32;
        // SAFETY: one descriptor.
        Ok(unsafe { libc::poll(&mut poll, 1, timeout) } == 1)
    }
}

/// Numbers from a seed: like those of embeddings, or few different ones, so that there are ties.
pub fn vectors(count: usize, dims: usize, seed: u64, ties: bool) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    (0..count * dims)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            let part = (state >> 40) as f32 / (1u32 << 24) as f32 - 0.5;
            if ties { (part * 5.0).round() } else { part }
        })
        .collect()
}

/// What the program finds.
pub fn on_gpu(
    launch: &Launch,
    wanted: Wanted,
    dims: usize,
    queries: &[f32],
    batches: &[&[f32]],
) -> Result<Vec<Vec<Neighbour>>, pgnear_device::DeviceError<&'static str>> {
    use pgnear_device::Device;
    let mut remote = Remote::start(launch, Box::new(Poll::default()))?;
    let mut search = remote.search(wanted, dims, queries)?;
    let mut held = Vec::new();
    for rows in batches {
        search.offer(rows)?;
        while let Some(batch) = search.settled(false)? {
            held.extend(batch);
        }
    }
    while let Some(batch) = search.settled(true)? {
        held.extend(batch);
    }
    let found = search.finish()?;
    let rows: usize = batches.iter().map(|rows| rows.len() / dims).sum();
    assert_eq!(held.len(), rows, "every row is told of once");
    for neighbour in found.iter().flatten() {
        assert!(held[neighbour.row as usize], "row {}", neighbour.row);
    }
    Ok(found)
}

/// What the CPU finds.
pub fn on_cpu(
    wanted: Wanted,
    dims: usize,
    queries: &[f32],
    batches: &[&[f32]],
) -> Vec<Vec<Neighbour>> {
    let queries = Matrix::try_from_vec(dims, queries.to_vec()).unwrap();
    let mut knn = Knn::new(wanted.metric, wanted.k, wanted.within, queries).unwrap();
    with_job(|job| {
        for rows in batches {
            knn.offer(job, rows).unwrap();
        }
    });
    knn.finish().collect()
}

pub fn with_job<T>(run: impl FnOnce(&mut Job<'_, ()>) -> T) -> T {
    with_job_of(run)
}

pub fn with_job_of<E, T>(run: impl FnOnce(&mut Job<'_, E>) -> T) -> T {
    let (pool, budget) = (Pool::new(2), MemoryBudget::unlimited());
    let (cancel, progress) = (CancelFlag::new(), Progress::new());
    run(&mut Job {
        pool: &pool,
        budget: &budget,
        cancel: &cancel,
        progress: &progress,
        poll: &mut || Ok(()),
    })
}

/// Rows and distances, to the bit.
pub fn bits(found: &[Vec<Neighbour>]) -> Vec<Vec<(u64, u64)>> {
    let bits = |one: &Vec<Neighbour>| one.iter().map(|n| (n.row, n.distance.to_bits())).collect();
    found.iter().map(bits).collect()
}
