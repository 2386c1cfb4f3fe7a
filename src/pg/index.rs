//! An open index and its operator class, as an access method sees them.

use std::borrow::Cow;
use std::ffi::CStr;
use std::marker::PhantomData;

use pgnear_ann::{Element, Error, NO_BLOCK};
use pgnear_kernels::Metric;
use pgnear_values::{Code, ValueError};
use pgrx::pg_sys;

use super::store::{PgBulkWriter, PgStore};

/// Why an access method's operation failed.
#[derive(Debug)]
pub enum AmError {
    /// What the user gave or asked for.
    Value(ValueError),
    /// What the pages hold, or a limit of the machine.
    Index(Error),
}

impl From<ValueError> for AmError {
    fn from(error: ValueError) -> Self {
        AmError::Value(error)
    }
}

impl From<Error> for AmError {
    fn from(error: Error) -> Self {
        AmError::Index(error)
    }
}

/// An error of our own words.
pub fn value_error(
    code: Code,
    message: impl Into<Cow<'static, str>>,
    hint: Option<&'static str>,
) -> ValueError {
    ValueError {
        code,
        message: message.into(),
        detail: None,
        hint: hint.map(Cow::Borrowed),
    }
}

/// What an operator class says about its vectors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OpClass {
    pub element: Element,
    pub metric: Metric,
}

/// How an operator class is recognised: by the C symbol of its distance (support function 1), and
/// by whether it names a norm (support function 2). So a user's own operator class over the same
/// functions works too.
const OPCLASSES: &[(&str, bool, Element, Metric)] = &[
    (
        "vector_l2_squared_distance",
        false,
        Element::F32,
        Metric::L2,
    ),
    (
        "vector_negative_inner_product",
        false,
        Element::F32,
        Metric::InnerProduct,
    ),
    (
        "vector_negative_inner_product",
        true,
        Element::F32,
        Metric::Cosine,
    ),
    ("l1_distance", false, Element::F32, Metric::L1),
    (
        "halfvec_l2_squared_distance",
        false,
        Element::F16,
        Metric::L2,
    ),
    (
        "halfvec_negative_inner_product",
        false,
        Element::F16,
        Metric::InnerProduct,
    ),
    (
        "halfvec_negative_inner_product",
        true,
        Element::F16,
        Metric::Cosine,
    ),
    ("halfvec_l1_distance", false, Element::F16, Metric::L1),
    (
        "sparsevec_l2_squared_distance",
        false,
        Element::Sparse,
        Metric::L2,
    ),
    (
        "sparsevec_negative_inner_product",
        false,
        Element::Sparse,
        Metric::InnerProduct,
    ),
    (
        "sparsevec_negative_inner_product",
        true,
        Element::Sparse,
        Metric::Cosine,
    ),
    ("sparsevec_l1_distance", false, Element::Sparse, Metric::L1),
    ("hamming_distance", false, Element::Bit, Metric::Hamming),
    ("jaccard_distance", false, Element::Bit, Metric::Jaccard),
];

const DISTANCE_PROC: u16 = 1;
const NORM_PROC: u16 = 2;

/// An open index relation.
#[derive(Clone, Copy)]
pub struct Index<'rel> {
    relation: pg_sys::Relation,
    open: PhantomData<&'rel ()>,
}

impl<'rel> Index<'rel> {
    /// # Safety
    /// `relation` is an open index and stays open and locked for `'rel`.
    pub unsafe fn new(relation: pg_sys::Relation) -> Self {
        Index {
            relation,
            open: PhantomData,
        }
    }

    pub(super) fn relation(self) -> pg_sys::Relation {
        self.relation
    }

    pub fn name(self) -> String {
        // SAFETY: rd_rel is set for every open relation; relname is zero-terminated.
        unsafe { CStr::from_ptr((*(*self.relation).rd_rel).relname.data.as_ptr()) }
            .to_string_lossy()
            .into_owned()
    }

    /// Its pages, for a scan or an insert.
    pub fn store(self) -> PgStore<'rel> {
        // SAFETY: the relation is open for 'rel.
        unsafe { PgStore::new(self.relation, std::ptr::null_mut(), false) }
    }

    /// Its pages, for a vacuum with the buffer ring `strategy`.
    pub(super) fn vacuum_store(self, strategy: pg_sys::BufferAccessStrategy) -> PgStore<'rel> {
        // SAFETY: the relation is open for 'rel; vacuum's strategy outlives its index calls.
        unsafe { PgStore::new(self.relation, strategy, true) }
    }

    /// A writer of its first pages.
    ///
    /// Only for builds: the caller of the access method holds the new index against everybody.
    pub(super) fn bulk_writer(self, fork: pg_sys::ForkNumber::Type) -> PgBulkWriter {
        // SAFETY: the relation is open for 'rel, and a build has it alone.
        unsafe { PgBulkWriter::new(self.relation, fork) }
    }

    /// The type modifier of the indexed column: its dimensions, or -1.
    pub fn typmod(self) -> i32 {
        self.attribute().atttypmod
    }

    /// The type of the indexed column.
    pub fn column_type(self) -> pg_sys::Oid {
        self.attribute().atttypid
    }

    fn attribute(self) -> &'rel pg_sys::FormData_pg_attribute {
        // SAFETY: an index of ours has exactly one column (amcanmulticol is false).
        unsafe {
            let descriptor = (*self.relation).rd_att;
            &*super::compat::attribute(descriptor, 0)
        }
    }

    /// The operator class of its column; `None` where it isn't one of `access_method`'s.
    pub fn opclass(self) -> Option<OpClass> {
        // SAFETY: the relation is an open index; index_getprocid answers InvalidOid where the
        // class has no such function.
        let (distance, norm) = unsafe {
            (
                pg_sys::index_getprocid(self.relation, 1, DISTANCE_PROC),
                pg_sys::index_getprocid(self.relation, 1, NORM_PROC),
            )
        };
        let symbol = c_symbol(distance)?;
        let normed = norm != pg_sys::InvalidOid;
        OPCLASSES
            .iter()
            .find(|(name, with_norm, ..)| *name == symbol && *with_norm == normed)
            .map(|&(_, _, element, metric)| OpClass { element, metric })
    }

    /// The parsed options of the index; `None` where none were given.
    ///
    /// # Safety
    /// `T` is the struct that the access method's options function fills.
    pub(super) unsafe fn options<T>(self) -> Option<&'rel T> {
        // SAFETY: rd_options is null or what amoptions returned.
        unsafe { (*self.relation).rd_options.cast::<T>().as_ref() }
    }

    /// Raises `error` with this index's name. Never returns.
    pub fn fail(self, error: AmError) -> ! {
        raise(&self.name(), error)
    }
}

/// Raises `error` of the index `name`. Never returns.
#[cold]
fn raise(name: &str, error: AmError) -> ! {
    use pgrx::PgSqlErrorCode as Sql;
    const REINDEX: &str = "Rebuild the index with REINDEX INDEX.";
    let (code, message, hint) = match error {
        AmError::Value(error) => super::error::raise(error),
        AmError::Index(Error::Corrupt {
            block: NO_BLOCK,
            what,
        }) => (
            Sql::ERRCODE_INDEX_CORRUPTED,
            format!("index \"{name}\" is corrupted: {what}"),
            Some(REINDEX),
        ),
        AmError::Index(Error::Corrupt { block, what }) => (
            Sql::ERRCODE_INDEX_CORRUPTED,
            format!("index \"{name}\" is corrupted at block {block}: {what}"),
            Some(REINDEX),
        ),
        AmError::Index(Error::UnknownVersion { found, known }) => (
            Sql::ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
            format!(
                "index \"{name}\" has layout version {found}, but this library knows version {known}"
            ),
            Some(REINDEX),
        ),
        AmError::Index(Error::NotOurs) => (
            Sql::ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
            format!("index \"{name}\" was not built by pgnear"),
            Some(REINDEX),
        ),
        AmError::Index(Error::OutOfMemory { bytes }) => (
            Sql::ERRCODE_OUT_OF_MEMORY,
            format!("out of memory: could not allocate {bytes} bytes for index \"{name}\""),
            None,
        ),
        AmError::Index(Error::WrongDimensions { expected, got }) => (
            Sql::ERRCODE_DATA_EXCEPTION,
            format!("expected {expected} dimensions, not {got}"),
            None,
        ),
        AmError::Index(Error::TooLarge { what, value, limit }) => (
            Sql::ERRCODE_PROGRAM_LIMIT_EXCEEDED,
            format!("{what} {value} is over the limit of {limit} for index \"{name}\""),
            None,
        ),
        AmError::Index(Error::Invalid(what)) => (
            Sql::ERRCODE_INTERNAL_ERROR,
            format!("index \"{name}\": {what}"),
            None,
        ),
        AmError::Index(Error::Interrupted) => {
            // The interrupt that stopped the operation is still pending and says why.
            pgrx::check_for_interrupts!();
            (
                Sql::ERRCODE_QUERY_CANCELED,
                "operation was interrupted".to_string(),
                None,
            )
        }
        AmError::Index(Error::Io(message)) => (Sql::ERRCODE_IO_ERROR, message, None),
    };
    let mut report = pg_sys::panic::ErrorReport::new(code, message, "pgnear");
    if let Some(hint) = hint {
        report = report.set_hint(hint);
    }
    report.report(pgrx::PgLogLevel::ERROR);
    unreachable!("an ERROR does not return")
}

/// The C symbol of a function, from the catalog.
pub(super) fn c_symbol(function: pg_sys::Oid) -> Option<String> {
    if function == pg_sys::InvalidOid {
        return None;
    }
    // SAFETY: a syscache entry is valid until it is released; prosrc of a C function is a non-null
    // text.
    unsafe {
        let tuple = pg_sys::SearchSysCache1(
            pg_sys::SysCacheIdentifier::PROCOID as i32,
            pg_sys::Datum::from(function),
        );
        if tuple.is_null() {
            return None;
        }
        let mut is_null = false;
        let source = pg_sys::SysCacheGetAttr(
            pg_sys::SysCacheIdentifier::PROCOID as i32,
            tuple,
            pg_sys::Anum_pg_proc_prosrc as i16,
            &raw mut is_null,
        );
        let symbol = (!is_null).then(|| {
            let text = pg_sys::text_to_cstring(source.cast_mut_ptr());
            CStr::from_ptr(text).to_string_lossy().into_owned()
        });
        pg_sys::ReleaseSysCache(tuple);
        symbol
    }
}
