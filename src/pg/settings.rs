//! Settings (GUCs). Those of the contract keep pgvector's names; ours start with `pgnear.`.

use std::ffi::{CStr, CString};

use pgnear_values::Code;
use pgrx::{GucContext, GucFlags, GucRegistry, GucSetting, PostgresGucEnum, pg_sys};

use super::error::raise;
use super::index::value_error;

static KNN_JOIN: GucSetting<bool> = GucSetting::<bool>::new(true);
static UNLOCKED_READS: GucSetting<bool> = GucSetting::<bool>::new(true);
static MAX_THREADS: GucSetting<i32> = GucSetting::<i32>::new(0);
static GPU: GucSetting<Gpu> = GucSetting::<Gpu>::new(Gpu::Auto);
static GPU_DEVICE: GucSetting<i32> = GucSetting::<i32>::new(0);
static GPU_MEMORY_LIMIT: GucSetting<i32> = GucSetting::<i32>::new(0);
static GPU_MIN_WORK: GucSetting<f64> = GucSetting::<f64>::new(-1.0);
static GPU_PROGRAM: GucSetting<Option<CString>> = GucSetting::<Option<CString>>::new(None);
static GPU_LIBRARY_FOLDER: GucSetting<Option<CString>> = GucSetting::<Option<CString>>::new(None);
static IVFFLAT_PROBES: GucSetting<i32> = GucSetting::<i32>::new(1);
static IVFFLAT_MAX_PROBES: GucSetting<i32> = GucSetting::<i32>::new(MAX_LISTS);
static IVFFLAT_ITERATIVE_SCAN: GucSetting<IvfflatIterativeScan> =
    GucSetting::<IvfflatIterativeScan>::new(IvfflatIterativeScan::Off);

static HNSW_EF_SEARCH: GucSetting<i32> = GucSetting::<i32>::new(40);
static HNSW_ITERATIVE_SCAN: GucSetting<HnswIterativeScan> =
    GucSetting::<HnswIterativeScan>::new(HnswIterativeScan::Off);
static HNSW_MAX_SCAN_TUPLES: GucSetting<i32> = GucSetting::<i32>::new(20_000);
static HNSW_SCAN_MEM_MULTIPLIER: GucSetting<f64> = GucSetting::<f64>::new(1.0);

/// Most lists of an ivfflat index.
pub const MAX_LISTS: i32 = 32768;

/// Whether batch work goes to a GPU.
#[derive(PostgresGucEnum, Clone, Copy, PartialEq, Eq, Debug)]
pub enum Gpu {
    /// Where it pays and one is there.
    #[name = c"auto"]
    Auto,
    /// Always, or an error.
    #[name = c"on"]
    On,
    #[name = c"off"]
    Off,
}

/// How an ivfflat scan goes on when its lists are used up. `strict_order` is accepted, but not
/// shown: rows within a round are in exact order whichever it is.
#[derive(PostgresGucEnum, Clone, Copy, PartialEq, Eq, Debug)]
pub enum IvfflatIterativeScan {
    #[name = c"off"]
    Off,
    #[name = c"relaxed_order"]
    RelaxedOrder,
    #[name = c"strict_order"]
    #[hidden = true]
    StrictOrder,
}

/// How an hnsw scan goes on when its first rows are used up.
#[derive(PostgresGucEnum, Clone, Copy, PartialEq, Eq, Debug)]
pub enum HnswIterativeScan {
    #[name = c"off"]
    Off,
    #[name = c"relaxed_order"]
    RelaxedOrder,
    #[name = c"strict_order"]
    StrictOrder,
}

/// Rows that an hnsw search keeps in sight.
pub fn hnsw_ef_search() -> u32 {
    HNSW_EF_SEARCH.get() as u32
}

pub fn hnsw_iterative_scan() -> HnswIterativeScan {
    HNSW_ITERATIVE_SCAN.get()
}

/// Rows that an iterative hnsw scan visits at most, about.
pub fn hnsw_max_scan_tuples() -> u64 {
    HNSW_MAX_SCAN_TUPLES.get() as u64
}

/// Multiples of `work_mem` that an iterative hnsw scan may take.
pub fn hnsw_scan_mem_multiplier() -> f64 {
    HNSW_SCAN_MEM_MULTIPLIER.get()
}

/// Whether a graph search looks at codes without a lock.
pub fn unlocked_reads() -> bool {
    UNLOCKED_READS.get()
}

/// Whether joins with the nearest rows are done all at once.
pub fn knn_join() -> bool {
    KNN_JOIN.get()
}

/// Whether batch work goes to a GPU.
pub fn gpu() -> Gpu {
    GPU.get()
}

/// Which of the machine's GPUs is used, from 0.
pub fn gpu_device() -> u32 {
    GPU_DEVICE.get().max(0) as u32
}

/// Bytes of the GPU's memory that a statement may take; 0 is no limit.
pub fn gpu_memory_limit() -> u64 {
    (GPU_MEMORY_LIMIT.get().max(0) as u64) << 20
}

/// Multiplications from which on work goes to a GPU, where they are set.
pub fn gpu_min_work() -> Option<f64> {
    let billions = GPU_MIN_WORK.get();
    (billions >= 0.0).then_some(billions * 1e9)
}

/// The program that drives the GPU, where it is not the installed one.
pub fn gpu_program() -> Option<String> {
    text(&GPU_PROGRAM)
}

/// The folder of the driver's library, where it is not the system's.
pub fn gpu_library_folder() -> Option<String> {
    text(&GPU_LIBRARY_FOLDER)
}

fn text(setting: &GucSetting<Option<CString>>) -> Option<String> {
    let value = setting.get()?.into_string().ok()?;
    (!value.is_empty()).then_some(value)
}

/// Threads for work on all cores; 0 leaves it to max_parallel_maintenance_workers.
pub fn max_threads() -> usize {
    MAX_THREADS.get().max(0) as usize
}

/// Threads for a search on all cores: `pgnear.max_threads`, or what a parallel query may use.
pub fn search_threads() -> usize {
    let wanted = match max_threads() {
        // SAFETY: a setting, read on the backend's thread.
        0 => unsafe { pg_sys::max_parallel_workers_per_gather.max(0) as usize + 1 },
        threads => threads,
    };
    let cores = std::thread::available_parallelism().map_or(1, |cores| cores.get());
    wanted.min(cores)
}

/// Lists that an ivfflat scan reads.
pub fn ivfflat_probes() -> u32 {
    IVFFLAT_PROBES.get() as u32
}

/// Lists that an iterative ivfflat scan reads at most.
pub fn ivfflat_max_probes() -> u32 {
    IVFFLAT_MAX_PROBES.get() as u32
}

pub fn ivfflat_iterative() -> bool {
    IVFFLAT_ITERATIVE_SCAN.get() != IvfflatIterativeScan::Off
}

/// `work_mem` in bytes.
pub fn work_mem() -> usize {
    // SAFETY: a setting, read on the backend's thread.
    unsafe { pg_sys::work_mem as usize * 1024 }
}

/// Defines all settings. Raises an ERROR where pgvector's library defined its own in this session.
pub fn define() {
    refuse_second_library(c"ivfflat.probes");
    int(
        c"ivfflat.probes",
        c"Sets the number of probes",
        c"Valid range is 1..lists.",
        &IVFFLAT_PROBES,
        1,
        MAX_LISTS,
    );
    int(
        c"ivfflat.max_probes",
        c"Sets the max number of probes for iterative scans",
        c"",
        &IVFFLAT_MAX_PROBES,
        1,
        MAX_LISTS,
    );
    GucRegistry::define_enum_guc(
        c"ivfflat.iterative_scan",
        c"Sets the mode for iterative scans",
        c"",
        &IVFFLAT_ITERATIVE_SCAN,
        GucContext::Userset,
        GucFlags::default(),
    );
    int(
        c"hnsw.ef_search",
        c"Sets the size of the dynamic candidate list for search",
        c"Valid range is 1..1000.",
        &HNSW_EF_SEARCH,
        1,
        1000,
    );
    GucRegistry::define_enum_guc(
        c"hnsw.iterative_scan",
        c"Sets the mode for iterative scans",
        c"",
        &HNSW_ITERATIVE_SCAN,
        GucContext::Userset,
        GucFlags::default(),
    );
    int(
        c"hnsw.max_scan_tuples",
        c"Sets the max number of tuples to visit for iterative scans",
        c"",
        &HNSW_MAX_SCAN_TUPLES,
        1,
        i32::MAX,
    );
    GucRegistry::define_float_guc(
        c"hnsw.scan_mem_multiplier",
        c"Sets the multiple of work_mem to use for iterative scans",
        c"",
        &HNSW_SCAN_MEM_MULTIPLIER,
        1.0,
        1000.0,
        GucContext::Userset,
        GucFlags::default(),
    );
    GucRegistry::define_bool_guc(
        c"pgnear.unlocked_reads",
        c"Lets graph searches look at codes without locking their pages",
        c"Rows and distances are read under locks all the same.",
        &UNLOCKED_READS,
        GucContext::Userset,
        GucFlags::default(),
    );
    GucRegistry::define_bool_guc(
        c"pgnear.enable_knn_join",
        c"Lets joins with the k nearest rows take many rows through the others together",
        c"Where no index serves. The rows and their order are the same.",
        &KNN_JOIN,
        GucContext::Userset,
        GucFlags::default(),
    );
    int(
        c"pgnear.max_threads",
        c"Sets the number of threads for index builds",
        c"0 uses max_parallel_maintenance_workers + 1; never more than there are cores.",
        &MAX_THREADS,
        0,
        1024,
    );
    define_gpu();
    for prefix in [c"ivfflat", c"hnsw", c"pgnear"] {
        // SAFETY: called while the library is loaded, on the backend's thread.
        unsafe { pg_sys::MarkGUCPrefixReserved(prefix.as_ptr()) }
    }
}

fn define_gpu() {
    GucRegistry::define_enum_guc(
        c"pgnear.gpu",
        c"Sets whether work on many vectors at once goes to a GPU",
        c"auto: where it pays and a GPU is there; on: always, or an error; off: never.",
        &GPU,
        GucContext::Userset,
        GucFlags::default(),
    );
    int(
        c"pgnear.gpu_device",
        c"Sets which of the machine's GPUs is used",
        c"They are numbered from 0, as CUDA numbers them.",
        &GPU_DEVICE,
        0,
        1023,
    );
    GucRegistry::define_int_guc(
        c"pgnear.gpu_memory_limit",
        c"Sets how much of a GPU's memory a statement may use",
        c"0 is no limit.",
        &GPU_MEMORY_LIMIT,
        0,
        i32::MAX,
        GucContext::Suset,
        GucFlags::UNIT_MB,
    );
    GucRegistry::define_float_guc(
        c"pgnear.gpu_min_work",
        c"Sets how many billions of multiplications work must have to go to a GPU",
        c"Queries times rows times dimensions. -1 is what the CPU does in twice the time that a GPU takes to start.",
        &GPU_MIN_WORK,
        -1.0,
        1e12,
        GucContext::Userset,
        GucFlags::default(),
    );
    for (name, short, long, setting) in [
        (
            c"pgnear.gpu_program",
            c"Sets the program that drives the GPU",
            c"Empty is the one that was installed with the extension.",
            &GPU_PROGRAM,
        ),
        (
            c"pgnear.gpu_library_folder",
            c"Sets the folder whose libcuda.so.1 is used",
            c"Empty is the system's.",
            &GPU_LIBRARY_FOLDER,
        ),
    ] {
        let (context, flags) = (GucContext::Suset, GucFlags::SUPERUSER_ONLY);
        GucRegistry::define_string_guc(name, short, long, setting, context, flags);
    }
}

fn int(
    name: &'static CStr,
    short: &'static CStr,
    long: &'static CStr,
    setting: &'static GucSetting<i32>,
    min: i32,
    max: i32,
) {
    GucRegistry::define_int_guc(
        name,
        short,
        long,
        setting,
        min,
        max,
        GucContext::Userset,
        GucFlags::default(),
    );
}

/// A setting that exists already, and not as a placeholder, was defined by another library.
fn refuse_second_library(name: &CStr) {
    // SAFETY: a look-up by name; both functions accept any name with missing_ok.
    let defined = unsafe {
        !pg_sys::GetConfigOptionByName(name.as_ptr(), std::ptr::null_mut(), true).is_null()
            && pg_sys::GetConfigOptionFlags(name.as_ptr(), true) as u32
                & pg_sys::GUC_CUSTOM_PLACEHOLDER
                == 0
    };
    if defined {
        raise(value_error(
            Code::FeatureNotSupported,
            "pgnear and pgvector cannot be used in one session",
            Some(
                "Keep one of the two extensions in a database, and connect anew to use the other.",
            ),
        ));
    }
}
