//! Options of indexes (`WITH (lists = 100)`).

use std::ffi::c_int;
use std::sync::atomic::{AtomicU32, Ordering};

use pgrx::pg_sys;

use super::settings::MAX_LISTS;

/// The options of an ivfflat index.
#[repr(C)]
#[derive(Debug)]
pub struct IvfflatOptions {
    varlena_header: i32,
    pub lists: c_int,
}

/// Lists where the option isn't given.
pub const DEFAULT_LISTS: i32 = 100;

/// The kind that PostgreSQL gave to ivfflat's options when the library was loaded.
static IVFFLAT_KIND: AtomicU32 = AtomicU32::new(0);

/// Defines the options of all access methods. Once, when the library is loaded.
pub fn define() {
    // SAFETY: called while the library is loaded, on the backend's thread; the strings are static.
    unsafe {
        let kind = pg_sys::add_reloption_kind();
        IVFFLAT_KIND.store(kind, Ordering::Relaxed);
        pg_sys::add_int_reloption(
            kind,
            c"lists".as_ptr(),
            c"Number of inverted lists".as_ptr(),
            DEFAULT_LISTS,
            1,
            MAX_LISTS,
            pg_sys::AccessExclusiveLock as pg_sys::LOCKMODE,
        );
    }
}

/// Parses ivfflat's options into an [`IvfflatOptions`].
pub fn ivfflat(reloptions: pg_sys::Datum, validate: bool) -> *mut pg_sys::bytea {
    let table = [pg_sys::relopt_parse_elt {
        optname: c"lists".as_ptr(),
        opttype: pg_sys::relopt_type::RELOPT_TYPE_INT,
        offset: std::mem::offset_of!(IvfflatOptions, lists) as c_int,
        #[cfg(feature = "pg18")]
        isset_offset: 0,
    }];
    // SAFETY: the table describes the struct whose size is passed.
    unsafe {
        pg_sys::build_reloptions(
            reloptions,
            validate,
            IVFFLAT_KIND.load(Ordering::Relaxed),
            size_of::<IvfflatOptions>(),
            table.as_ptr(),
            table.len() as c_int,
        )
        .cast()
    }
}
