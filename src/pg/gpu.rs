//! The program that drives a GPU: when it is asked, how it is waited for, what becomes of failures, and
//! what it did in this session.

use std::cell::RefCell;
use std::ffi::CStr;
use std::os::fd::RawFd;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use pgnear_device::remote::{DeviceInfo, Launch, Remote, Tally, Wait, suits};
use pgnear_device::{Device, DeviceError, Wanted};
use pgnear_kernels::Metric;
use pgnear_quant::multiplications_a_second;
use pgnear_values::{Code, ValueError, error};
use pgrx::pg_sys;

use super::error::{info as tell_client, warning};
use super::index::value_error;
use super::settings::{self, Gpu};

/// Bytes of vectors that travel at once.
const SLOT_BYTES: usize = 16 << 20;
/// A program that says nothing for so long hangs.
const PATIENCE: Duration = Duration::from_secs(60);
/// What starting a GPU takes, as long as it is not known: 0.25 s on an H100.
const START: Duration = Duration::from_millis(300);
/// A GPU is asked where the CPU would take so many times as long as that: it takes some time itself.
const WORTH: f64 = 2.0;
/// After a failure no GPU is asked for so long.
const REST: Duration = Duration::from_secs(60);

/// What the GPU did in this session.
#[derive(Debug, Default, Clone)]
pub struct Stats {
    /// What went through it.
    pub tally: Tally,
    /// Time from starting the program to its end.
    pub time: Duration,
    /// Work that the CPU did after the GPU had failed, or was not there.
    pub fallbacks: u64,
    /// Why, the last time.
    pub last_error: Option<String>,
    rest_until: Option<Instant>,
    /// How long it took to start, the last time.
    start: Option<Duration>,
}

thread_local! {
    static STATS: RefCell<Stats> = RefCell::default();
}

/// What the GPU did in this session so far.
pub fn stats() -> Stats {
    STATS.with_borrow(Stats::clone)
}

/// Waits for the socket together with what a backend has to answer to.
struct Backend;

impl Wait<ValueError> for Backend {
    fn readable(&mut self, socket: RawFd, timeout: Duration) -> Result<bool, ValueError> {
        let events = pg_sys::WL_LATCH_SET
            | pg_sys::WL_SOCKET_READABLE
            | pg_sys::WL_TIMEOUT
            | pg_sys::WL_EXIT_ON_PM_DEATH;
        // SAFETY: the backend's own latch, and a socket that is open. Where PostgreSQL raises an error,
        // or ends the process, the program ends with its owner.
        let happened = unsafe {
            let happened = pg_sys::WaitLatchOrSocket(
                pg_sys::MyLatch,
                events as i32,
                socket,
                timeout.as_millis().min(1 << 30) as std::ffi::c_long,
                pg_sys::PG_WAIT_EXTENSION,
            );
            if happened as u32 & pg_sys::WL_LATCH_SET != 0 {
                pg_sys::ResetLatch(pg_sys::MyLatch);
            }
            happened
        };
        pgrx::check_for_interrupts!();
        Ok(happened as u32 & pg_sys::WL_SOCKET_READABLE != 0)
    }
}

fn launch() -> Launch {
    // SAFETY: the server's own folder of libraries, a string that ends with a zero.
    let folder = unsafe { CStr::from_ptr((&raw const pg_sys::pkglib_path).cast()) };
    let folder = PathBuf::from(folder.to_string_lossy().into_owned());
    Launch {
        program: settings::gpu_program().map_or_else(|| folder.join("pgnear-gpu"), PathBuf::from),
        library_folder: settings::gpu_library_folder().map(PathBuf::from),
        ordinal: settings::gpu_device(),
        memory: settings::gpu_memory_limit(),
        slot_bytes: SLOT_BYTES,
        patience: PATIENCE,
        environment: Vec::new(),
    }
}

/// Asks the GPU what it is; the reason where none can be used.
///
/// # Errors
/// Those of waiting.
pub fn info() -> Result<Result<DeviceInfo, String>, ValueError> {
    if settings::gpu() == Gpu::Off {
        return Ok(Err("pgnear.gpu is off".into()));
    }
    match Remote::start(&launch(), Box::new(Backend)) {
        Ok(remote) => Ok(Ok(remote.info().clone())),
        Err(DeviceError::Lost(why)) => Ok(Err(why)),
        Err(other) => Err(value_error_of(other)),
    }
}

/// Whether work of so many multiplications goes to a GPU, if there is one.
fn is_wanted(metric: Metric, multiplications: f64) -> bool {
    match settings::gpu() {
        Gpu::Off => false,
        Gpu::On => true,
        Gpu::Auto => {
            let (rests, start) = STATS.with_borrow(|stats| (stats.rest_until, stats.start));
            if rests.is_some_and(|until| Instant::now() < until) {
                return false;
            }
            let least = settings::gpu_min_work().unwrap_or_else(|| {
                let threads = settings::search_threads() as f64;
                let start = start.unwrap_or(START).as_secs_f64();
                multiplications_a_second(metric) * threads * WORTH * start
            });
            multiplications >= least
        }
    }
}

/// A GPU that this backend has started a program for.
pub struct Running {
    remote: Remote<ValueError>,
    started: Instant,
}

impl Running {
    /// Starts the program for searches of about so many multiplications; `None` where they are the CPU's:
    /// where no GPU is asked, or none is there.
    ///
    /// # Errors
    /// Those of waiting; under `pgnear.gpu = on` also why no GPU can be used.
    pub fn start(
        (wanted, dims): (Wanted, usize),
        multiplications: f64,
    ) -> Result<Option<Running>, ValueError> {
        if !is_wanted(wanted.metric, multiplications) {
            return Ok(None);
        }
        if let Err(why) = suits(wanted, dims, SLOT_BYTES) {
            // That is no failure.
            return match settings::gpu() {
                Gpu::On => Err(no_gpu(&why)),
                _ => Ok(None),
            };
        }
        let started = Instant::now();
        match Remote::start(&launch(), Box::new(Backend)) {
            Ok(remote) => {
                STATS.with_borrow_mut(|stats| stats.start = Some(started.elapsed()));
                Ok(Some(Running { remote, started }))
            }
            Err(DeviceError::Lost(why)) => failed(why, false).map(|()| None),
            Err(other) => Err(value_error_of(other)),
        }
    }

    /// Does work; `None` where the GPU failed, and then the work is the CPU's, from its beginning.
    ///
    /// # Errors
    /// Those of `work` and of waiting; under `pgnear.gpu = on` also that of the GPU.
    pub fn run<T>(
        &mut self,
        work: impl FnOnce(&mut dyn Device<ValueError>) -> Result<T, DeviceError<ValueError>>,
    ) -> Result<Option<T>, ValueError> {
        match work(&mut self.remote) {
            Ok(result) => Ok(Some(result)),
            Err(DeviceError::Lost(why)) => failed(why, true).map(|()| None),
            Err(other) => Err(value_error_of(other)),
        }
    }

    /// Tells the client what the GPU has done for a build.
    pub fn tell(&self, what: &str) {
        let seconds = self.started.elapsed().as_secs_f64();
        tell_client(format!(
            "{what} on {} in {seconds:.1} s",
            self.remote.info().name
        ));
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let tally = self.remote.tally();
        STATS.with_borrow_mut(|stats| {
            stats.tally.requests += tally.requests;
            stats.tally.vectors += tally.vectors;
            stats.tally.bytes += tally.bytes;
            stats.time += self.started.elapsed();
        });
    }
}

/// Leaves the work to the CPU, with a warning where a GPU was there, or returns the error.
fn failed(why: String, was_there: bool) -> Result<(), ValueError> {
    STATS.with_borrow_mut(|stats| {
        stats.fallbacks += 1;
        stats.last_error = Some(why.clone());
        stats.rest_until = Some(Instant::now() + REST);
    });
    if settings::gpu() == Gpu::On {
        return Err(no_gpu(&why));
    }
    if was_there {
        warning(
            format!("the GPU failed, and the CPU does the work: {why}"),
            "No GPU is asked for a minute. Nothing else is different.",
            "SELECT * FROM pgnear_gpu_info() says whether one can be used.",
        );
    }
    Ok(())
}

fn no_gpu(why: &str) -> ValueError {
    let hint = "Set pgnear.gpu to auto to let the CPU do the work.";
    value_error(
        Code::SystemError,
        format!("cannot use a GPU: {why}"),
        Some(hint),
    )
}

/// What a device's error is to a caller of SQL.
pub fn value_error_of(failed: DeviceError<ValueError>) -> ValueError {
    match failed {
        DeviceError::Poll(error) => error,
        DeviceError::OutOfMemory(_) => error::out_of_memory(),
        other => value_error(Code::InternalError, other.to_string(), None),
    }
}
