//! Options of indexes (`WITH (lists = 100)`).

use std::ffi::{CStr, c_int};
use std::sync::atomic::{AtomicU32, Ordering};

use pgnear_ann::hnsw::{MAX_EF_CONSTRUCTION, MAX_M, MIN_EF_CONSTRUCTION, MIN_M};
use pgrx::pg_sys;

use super::settings::MAX_LISTS;

/// The options of an ivfflat index.
#[repr(C)]
#[derive(Debug)]
pub struct IvfflatOptions {
    varlena_header: i32,
    pub lists: c_int,
}

/// The options of an hnsw index.
#[repr(C)]
#[derive(Debug)]
pub struct HnswOptions {
    varlena_header: i32,
    pub m: c_int,
    pub ef_construction: c_int,
    pub rerank: c_int,
}

/// Where the rows that an hnsw scan finds are measured: the values of the option `rerank`.
pub const RERANK_AUTO: c_int = 0;
pub const RERANK_INDEX: c_int = 1;
pub const RERANK_HEAP: c_int = 2;
pub const RERANK_HALF: c_int = 3;

/// Neighbours and width of the search for them where the options aren't given.
pub const DEFAULT_M: i32 = 16;
pub const DEFAULT_EF_CONSTRUCTION: i32 = 64;

/// Lists where the option isn't given.
pub const DEFAULT_LISTS: i32 = 100;

/// The kinds that PostgreSQL gave to the options when the library was loaded.
static IVFFLAT_KIND: AtomicU32 = AtomicU32::new(0);
static HNSW_KIND: AtomicU32 = AtomicU32::new(0);

/// Defines the options of all access methods. Once, when the library is loaded.
pub fn define() {
    let ivfflat = new_kind(&IVFFLAT_KIND);
    int(
        ivfflat,
        c"lists",
        c"Number of inverted lists",
        DEFAULT_LISTS,
        1,
        MAX_LISTS,
    );
    let hnsw = new_kind(&HNSW_KIND);
    int(
        hnsw,
        c"m",
        c"Max number of connections",
        DEFAULT_M,
        MIN_M.into(),
        MAX_M.into(),
    );
    int(
        hnsw,
        c"ef_construction",
        c"Size of the dynamic candidate list for construction",
        DEFAULT_EF_CONSTRUCTION,
        MIN_EF_CONSTRUCTION.into(),
        MAX_EF_CONSTRUCTION.into(),
    );
    choice(
        hnsw,
        c"rerank",
        c"Where the vectors are that the rows found are measured by",
        &[
            (c"auto", RERANK_AUTO),
            (c"index", RERANK_INDEX),
            (c"heap", RERANK_HEAP),
            (c"half", RERANK_HALF),
        ],
        c"Valid values are \"auto\", \"index\", \"heap\" and \"half\".",
    );
}

/// The first of `values` is the default.
fn choice(
    kind: pg_sys::relopt_kind::Type,
    name: &'static CStr,
    description: &'static CStr,
    values: &[(&'static CStr, c_int)],
    detail: &'static CStr,
) {
    let members = (values.iter()).map(|(name, value)| pg_sys::relopt_enum_elt_def {
        string_val: name.as_ptr(),
        symbol_val: *value,
    });
    let end = pg_sys::relopt_enum_elt_def {
        string_val: std::ptr::null(),
        symbol_val: 0,
    };
    // PostgreSQL keeps the pointer for as long as the library is loaded.
    let members = Box::leak(members.chain([end]).collect::<Box<[_]>>());
    // SAFETY: called while the library is loaded, on the backend's thread; the strings are static.
    unsafe {
        pg_sys::add_enum_reloption(
            kind,
            name.as_ptr(),
            description.as_ptr(),
            members.as_mut_ptr(),
            values[0].1,
            detail.as_ptr(),
            pg_sys::AccessExclusiveLock as pg_sys::LOCKMODE,
        );
    }
}

fn new_kind(place: &AtomicU32) -> pg_sys::relopt_kind::Type {
    // SAFETY: called while the library is loaded, on the backend's thread.
    let kind = unsafe { pg_sys::add_reloption_kind() };
    place.store(kind, Ordering::Relaxed);
    kind
}

fn int(
    kind: pg_sys::relopt_kind::Type,
    name: &'static CStr,
    description: &'static CStr,
    default: c_int,
    min: c_int,
    max: c_int,
) {
    // SAFETY: called while the library is loaded, on the backend's thread; the strings are static.
    unsafe {
        pg_sys::add_int_reloption(
            kind,
            name.as_ptr(),
            description.as_ptr(),
            default,
            min,
            max,
            pg_sys::AccessExclusiveLock as pg_sys::LOCKMODE,
        );
    }
}

/// Parses ivfflat's options into an [`IvfflatOptions`].
pub fn ivfflat(reloptions: pg_sys::Datum, validate: bool) -> *mut pg_sys::bytea {
    let int = pg_sys::relopt_type::RELOPT_TYPE_INT;
    let table = [element(
        c"lists",
        int,
        std::mem::offset_of!(IvfflatOptions, lists),
    )];
    parse::<IvfflatOptions>(reloptions, validate, &IVFFLAT_KIND, &table)
}

/// Parses hnsw's options into an [`HnswOptions`].
pub fn hnsw(reloptions: pg_sys::Datum, validate: bool) -> *mut pg_sys::bytea {
    let int = pg_sys::relopt_type::RELOPT_TYPE_INT;
    let table = [
        element(c"m", int, std::mem::offset_of!(HnswOptions, m)),
        element(
            c"ef_construction",
            int,
            std::mem::offset_of!(HnswOptions, ef_construction),
        ),
        element(
            c"rerank",
            pg_sys::relopt_type::RELOPT_TYPE_ENUM,
            std::mem::offset_of!(HnswOptions, rerank),
        ),
    ];
    parse::<HnswOptions>(reloptions, validate, &HNSW_KIND, &table)
}

fn element(
    name: &'static CStr,
    kind: pg_sys::relopt_type::Type,
    offset: usize,
) -> pg_sys::relopt_parse_elt {
    pg_sys::relopt_parse_elt {
        optname: name.as_ptr(),
        opttype: kind,
        offset: offset as c_int,
        #[cfg(feature = "pg18")]
        isset_offset: 0,
    }
}

fn parse<T>(
    reloptions: pg_sys::Datum,
    validate: bool,
    kind: &AtomicU32,
    table: &[pg_sys::relopt_parse_elt],
) -> *mut pg_sys::bytea {
    // SAFETY: the table describes the struct whose size is passed.
    unsafe {
        pg_sys::build_reloptions(
            reloptions,
            validate,
            kind.load(Ordering::Relaxed),
            size_of::<T>(),
            table.as_ptr(),
            table.len() as c_int,
        )
        .cast()
    }
}
