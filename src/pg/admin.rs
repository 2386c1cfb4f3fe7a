//! What administrative functions need: opening an index under the caller's rights, looking at its
//! table, and returning rows.

use std::ffi::CStr;
use std::marker::PhantomData;
use std::ops::Deref;

use pgnear_ann::Tid;
use pgrx::pg_sys;

use super::error::{insufficient_privilege, wrong_object};
use super::fmgr::{Call, Return};
use super::index::{Index, c_symbol};
use super::raw;
use super::table::PgTable;

/// An index and its table, opened and locked by this call.
pub struct OpenIndex {
    table: pg_sys::Relation,
    index: pg_sys::Relation,
}

impl OpenIndex {
    /// Opens the index in argument `n` (a `regclass`) and its table, so that nobody writes to them
    /// until the end of the transaction. On a standby, where only replay writes, nothing is kept
    /// out.
    ///
    /// Raises an ERROR where it isn't an index, or not the caller's.
    pub fn quiet(call: Call<'_>, n: usize) -> Self {
        let oid = pg_sys::Oid::from(call.int4(n) as u32);
        // SAFETY: the table is locked before its index, as everywhere in PostgreSQL. Relations
        // are closed on drop, or by an abort.
        unsafe {
            let lock = if pg_sys::RecoveryInProgress() {
                pg_sys::AccessShareLock
            } else {
                pg_sys::ShareLock
            } as pg_sys::LOCKMODE;
            // A partitioned index has no pages of its own.
            let is_index =
                pg_sys::get_rel_relkind(oid) == pg_sys::RELKIND_INDEX as std::ffi::c_char;
            let table_oid = if is_index {
                pg_sys::IndexGetRelation(oid, true)
            } else {
                pg_sys::InvalidOid
            };
            let name = pg_sys::get_rel_name(oid);
            let name = if name.is_null() {
                oid.to_u32().to_string()
            } else {
                CStr::from_ptr(name).to_string_lossy().into_owned()
            };
            if table_oid == pg_sys::InvalidOid {
                wrong_object(format!("\"{name}\" is not an index"));
            }
            if !super::compat::owns_relation(oid) {
                insufficient_privilege(format!("must be owner of index {name}"));
            }
            let table = pg_sys::relation_open(table_oid, lock);
            let index = pg_sys::index_open(oid, lock);
            OpenIndex { table, index }
        }
    }

    pub fn index(&self) -> Index<'_> {
        // SAFETY: open until drop.
        unsafe { Index::new(self.index) }
    }

    /// The rows of its table that the calling statement sees.
    pub fn table(&self) -> TableRows<'_> {
        // SAFETY: both are open until drop; a function runs within a statement, which has a snapshot.
        unsafe {
            let snapshot = pg_sys::GetActiveSnapshot();
            let scan = super::compat::begin_index_scan(self.table, self.index, snapshot);
            TableRows {
                table: PgTable::new(scan),
                scan,
                open: PhantomData,
            }
        }
    }

    /// The C symbol of the handler of its access method.
    pub fn handler(&self) -> Option<String> {
        // SAFETY: rd_amhandler is set for an open index.
        c_symbol(unsafe { (*self.index).rd_amhandler })
    }

    /// Whether the table has a line pointer in use at `tid`. Always true for a table access method
    /// other than heap, whose addresses mean something else.
    pub fn has_row(&self, tid: Tid) -> bool {
        let table = self.table;
        // SAFETY: the table is open; the page is looked at under a share lock, and line numbers
        // are checked against the page's own count. The closure owns nothing.
        unsafe {
            if (*(*table).rd_rel).relam != pg_sys::HEAP_TABLE_AM_OID {
                return true;
            }
            let main = pg_sys::ForkNumber::MAIN_FORKNUM;
            if tid.block >= pg_sys::RelationGetNumberOfBlocksInFork(table, main) {
                return false;
            }
            raw::guarded(move || {
                let mode = pg_sys::ReadBufferMode::RBM_NORMAL;
                let buffer =
                    raw::ReadBufferExtended(table, main, tid.block, mode, std::ptr::null_mut());
                raw::LockBuffer(buffer, pg_sys::BUFFER_LOCK_SHARE as i32);
                let page = pg_sys::BufferGetPage(buffer);
                let found = super::compat::line_pointer_in_use(page, tid.offset);
                raw::UnlockReleaseBuffer(buffer);
                found
            })
        }
    }
}

impl Drop for OpenIndex {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            // SAFETY: opened by `quiet`. Locks stay to the end of the transaction, as for any
            // statement that looked at a relation.
            unsafe {
                pg_sys::index_close(self.index, pg_sys::NoLock as pg_sys::LOCKMODE);
                pg_sys::relation_close(self.table, pg_sys::NoLock as pg_sys::LOCKMODE);
            }
        }
    }
}

/// Rows of an index's table, by their addresses.
pub struct TableRows<'open> {
    table: PgTable,
    scan: pg_sys::IndexScanDesc,
    open: PhantomData<&'open OpenIndex>,
}

impl Deref for TableRows<'_> {
    type Target = PgTable;

    fn deref(&self) -> &PgTable {
        &self.table
    }
}

impl Drop for TableRows<'_> {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            // SAFETY: begun by `OpenIndex::table`, and nothing of it is left.
            unsafe { pg_sys::index_endscan(self.scan) }
        }
    }
}

/// A column of a result row.
pub enum Column<'a> {
    Null,
    Int4(i32),
    Int8(i64),
    Bool(bool),
    Text(&'a str),
}

/// The rows of a set-returning function.
pub struct Rows {
    info: *mut pg_sys::ReturnSetInfo,
}

impl Call<'_> {
    /// Starts the result of a function that returns a table.
    pub fn rows(self) -> Rows {
        // SAFETY: PostgreSQL calls a set-returning function with a ReturnSetInfo, or the function
        // raises an error.
        unsafe {
            pg_sys::InitMaterializedSRF(self.fcinfo(), 0);
            Rows {
                info: (*self.fcinfo()).resultinfo.cast(),
            }
        }
    }
}

impl Rows {
    /// Adds a row of as many columns as the function declares.
    pub fn push(&mut self, columns: &[Column<'_>]) {
        let mut nulls: Vec<bool> = columns
            .iter()
            .map(|column| matches!(column, Column::Null))
            .collect();
        // SAFETY: the arrays hold as many entries as the descriptor has columns, which is checked;
        // the store copies the row.
        unsafe {
            assert_eq!(columns.len(), (*(*self.info).setDesc).natts as usize);
            let mut values: Vec<pg_sys::Datum> = columns
                .iter()
                .map(|column| match *column {
                    Column::Null => pg_sys::Datum::from(0),
                    Column::Int4(value) => pg_sys::Datum::from(value),
                    Column::Int8(value) => pg_sys::Datum::from(value),
                    Column::Bool(value) => pg_sys::Datum::from(value),
                    Column::Text(text) => pg_sys::Datum::from(pg_sys::cstring_to_text_with_len(
                        text.as_ptr().cast(),
                        text.len() as i32,
                    )),
                })
                .collect();
            pg_sys::tuplestore_putvalues(
                (*self.info).setResult,
                (*self.info).setDesc,
                values.as_mut_ptr(),
                nulls.as_mut_ptr(),
            );
        }
    }

    /// The end of the rows.
    pub fn finish(self) -> Return {
        Ok(pg_sys::Datum::from(0))
    }
}
