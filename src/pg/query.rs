//! Statements of the caller, read through cursors: rows of an id and a vector.
//!
//! They run with the caller's rights and row security, in the snapshot of the statement that calls
//! the function, and may not write.

use std::ffi::CString;

use pgnear_values::{Code, ValueError};
use pgrx::pg_sys;

use super::fmgr::{Call, Return};
use super::index::value_error;
use super::memory::Scratch;
use super::rows::{Keeper, Rows, Sink};
use super::value::payload;

/// A connection to the server's own query interface.
pub struct Queries(());

/// An open cursor.
pub struct Cursor<'q> {
    portal: pg_sys::Portal,
    /// The type of the ids.
    pub id_type: pg_sys::Oid,
    /// The type of the vectors.
    pub value_type: pg_sys::Oid,
    keeper: IdKeeper,
    /// Where values are fetched and decompressed.
    scratch: Scratch,
    open: std::marker::PhantomData<&'q Queries>,
}

/// Copies and frees ids of one type.
#[derive(Clone, Copy)]
pub struct IdKeeper {
    by_value: bool,
    length: i16,
    context: pg_sys::MemoryContext,
}

/// An id that outlives its row.
#[derive(Clone, Copy)]
pub struct Id {
    datum: pg_sys::Datum,
    is_null: bool,
}

/// A row of a cursor.
pub struct Row<'r> {
    id: Id,
    /// The payload of the vector; `None` for NULL.
    pub value: Option<&'r [u8]>,
}

impl Queries {
    pub fn connect() -> Queries {
        // SAFETY: paired with SPI_finish in `drop`, or with the end of the transaction.
        let code = unsafe { pg_sys::SPI_connect() };
        assert_eq!(code, pg_sys::SPI_OK_CONNECT as i32, "SPI_connect failed");
        Queries(())
    }

    /// Opens a statement that has two columns, an id and a vector.
    ///
    /// # Errors
    /// A statement that is none, or of other columns; PostgreSQL's own errors are raised.
    pub fn open(&self, argument: &str, sql: &[u8]) -> Result<Cursor<'_>, ValueError> {
        let text = CString::new(sql).map_err(|_| {
            let what = format!("{argument} of pgnear_knn contains a zero byte");
            value_error(Code::InvalidParameterValue, what, None)
        })?;
        // SAFETY: SPI is connected; the plan is used at once.
        unsafe {
            let plan = pg_sys::SPI_prepare(text.as_ptr(), 0, std::ptr::null_mut());
            if plan.is_null() || !pg_sys::SPI_is_cursor_plan(plan) {
                return Err(not_a_query(argument));
            }
            let portal = pg_sys::SPI_cursor_open(
                std::ptr::null(),
                plan,
                std::ptr::null_mut(),
                std::ptr::null(),
                true,
            );
            let descriptor = (*portal).tupDesc;
            if descriptor.is_null() || (*descriptor).natts != 2 {
                return Err(not_a_query(argument));
            }
            let id_type = (*super::compat::attribute(descriptor, 0)).atttypid;
            let value_type = (*super::compat::attribute(descriptor, 1)).atttypid;
            let (mut id_length, mut id_by_value) = (0, false);
            pg_sys::get_typlenbyval(id_type, &raw mut id_length, &raw mut id_by_value);
            Ok(Cursor {
                portal,
                id_type,
                value_type,
                keeper: IdKeeper {
                    by_value: id_by_value,
                    length: id_length,
                    context: pg_sys::CurrentMemoryContext,
                },
                scratch: Scratch::new(),
                open: std::marker::PhantomData,
            })
        }
    }
}

fn not_a_query(argument: &str) -> ValueError {
    value_error(
        Code::InvalidParameterValue,
        format!("{argument} of pgnear_knn is not a query of two columns"),
        Some("Give a SELECT of an id and a vector."),
    )
}

impl Drop for Queries {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            // SAFETY: connected by `connect`.
            unsafe { pg_sys::SPI_finish() };
        }
    }
}

impl Cursor<'_> {
    /// Reads up to `count` further rows. Returns how many there were: 0 at the end.
    ///
    /// # Errors
    /// Those of `sink`.
    pub fn read(
        &mut self,
        count: usize,
        sink: &mut dyn FnMut(Row<'_>) -> Result<(), ValueError>,
    ) -> Result<usize, ValueError> {
        // SAFETY: the portal is open; the rows live until the table is freed.
        unsafe {
            pg_sys::SPI_cursor_fetch(self.portal, true, count as std::ffi::c_long);
            let table = pg_sys::SPI_tuptable;
            let fetched = pg_sys::SPI_processed as usize;
            for at in 0..fetched {
                let tuple = *(*table).vals.add(at);
                let descriptor = (*table).tupdesc;
                let mut is_null = false;
                let datum = pg_sys::SPI_getbinval(tuple, descriptor, 1, &raw mut is_null);
                let id = Id { datum, is_null };
                let value = pg_sys::SPI_getbinval(tuple, descriptor, 2, &raw mut is_null);
                self.scratch.run(|| {
                    let value = (!is_null).then(|| payload(value));
                    sink(Row { id, value })
                })?;
            }
            pg_sys::SPI_freetuptable(table);
            Ok(fetched)
        }
    }

    /// Rows that the planner expects of it.
    pub fn expected_rows(&self) -> f64 {
        // SAFETY: the portal is open, and has a plan for the one statement that `open` let through.
        unsafe {
            let first = (*(*self.portal).stmts).elements;
            let statement = (*first).ptr_value.cast::<pg_sys::PlannedStmt>();
            match (*statement).planTree.is_null() {
                true => 0.0,
                false => (*(*statement).planTree).plan_rows,
            }
        }
    }

    /// What keeps its ids.
    pub fn id_keeper(&self) -> IdKeeper {
        self.keeper
    }
}

impl Drop for Cursor<'_> {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            // SAFETY: the portal is open, and so is the connection that it borrows.
            unsafe { pg_sys::SPI_cursor_close(self.portal) }
        }
    }
}

impl Rows for Cursor<'_> {
    type Keeper = IdKeeper;

    fn fetch(&mut self, most: usize, sink: &mut Sink<'_, IdKeeper>) -> Result<usize, ValueError> {
        let keeper = self.keeper;
        self.read(most, &mut |row| sink(row.value, &mut || keeper.keep(&row)))
    }

    fn keeper(&self) -> IdKeeper {
        self.keeper
    }
}

impl IdKeeper {
    /// A copy of an id that lives until the connection ends, or until it is forgotten.
    pub fn keep(self, row: &Row<'_>) -> Id {
        if row.id.is_null || self.by_value {
            return row.id;
        }
        // SAFETY: the id is of the type whose length this is; the copy is allocated in the memory of
        // the connection, which is open as long as there are rows.
        let datum = unsafe {
            let before = pg_sys::MemoryContextSwitchTo(self.context);
            let (id, length) = (row.id.datum, self.length.into());
            let copy = super::raw::guarded(move || super::raw::datumCopy(id, false, length));
            pg_sys::MemoryContextSwitchTo(before);
            copy
        };
        Id {
            datum,
            is_null: false,
        }
    }
}

impl Keeper for IdKeeper {
    type Kept = Id;

    fn forget(self, id: Id) {
        if !id.is_null && !self.by_value {
            // SAFETY: made by `keep`.
            unsafe { pg_sys::pfree(id.datum.cast_mut_ptr()) }
        }
    }
}

/// The result of a function whose caller names the columns: two ids and a distance.
pub struct Matches {
    info: *mut pg_sys::ReturnSetInfo,
}

impl Call<'_> {
    /// Starts the result. Before a connection of [`Queries`], whose memory ends with it.
    pub fn matches(self) -> Matches {
        const USE_EXPECTED_DESCRIPTOR: u32 = 1;
        // SAFETY: PostgreSQL calls a set-returning function with a ReturnSetInfo, or the function
        // raises an error.
        unsafe {
            pg_sys::InitMaterializedSRF(self.fcinfo(), USE_EXPECTED_DESCRIPTOR);
            Matches {
                info: (*self.fcinfo()).resultinfo.cast(),
            }
        }
    }

    /// Whether argument `n` is NULL.
    pub fn is_null(self, n: usize) -> bool {
        assert!(
            n < self.nargs(),
            "SQL function called with too few arguments"
        );
        // SAFETY: the argument array holds `nargs` entries, and n is below that.
        unsafe { (*self.fcinfo()).args.as_slice(n + 1)[n].isnull }
    }

    /// Argument `n` of type `text`.
    pub fn text(self, n: usize) -> &'static [u8] {
        // SAFETY: the SQL declaration says text, and the argument is not NULL; it lives for the call,
        // for which this is used.
        unsafe { payload(self.datum(n)) }
    }
}

impl Matches {
    /// Refuses columns of other types than those of the result.
    ///
    /// # Errors
    /// SQLSTATE 42804 would be PostgreSQL's own for a record: here 22023, with what belongs.
    pub fn check(&self, types: [pg_sys::Oid; 3]) -> Result<(), ValueError> {
        // SAFETY: set by InitMaterializedSRF; names of types are looked up by OID.
        unsafe {
            let descriptor = (*self.info).setDesc;
            let given: Vec<pg_sys::Oid> = (0..(*descriptor).natts.max(0) as usize)
                .map(|at| (*super::compat::attribute(descriptor, at)).atttypid)
                .collect();
            if given == types {
                return Ok(());
            }
            let name = |kind: pg_sys::Oid| {
                std::ffi::CStr::from_ptr(pg_sys::format_type_be(kind))
                    .to_string_lossy()
                    .into_owned()
            };
            let [one, two, three] = types.map(name);
            Err(ValueError {
                code: Code::InvalidParameterValue,
                message: format!("pgnear_knn returns ({one}, {two}, {three})").into(),
                detail: None,
                hint: Some(
                    format!("Name them, as in pgnear_knn(...) AS near(query {one}, id {two}, distance {three}).")
                        .into(),
                ),
            })
        }
    }

    /// Adds a row.
    pub fn push(&mut self, query: Id, found: Id, distance: f64) {
        let mut values = [
            query.datum,
            found.datum,
            pg_sys::Datum::from(distance.to_bits()),
        ];
        let mut nulls = [query.is_null, found.is_null, false];
        // SAFETY: the store copies the row, of the three columns that `check` has seen.
        unsafe {
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

/// The name of a type that has one in the schema of the extension: `vector`, say.
pub fn type_name(kind: pg_sys::Oid) -> String {
    // SAFETY: looked up by OID; the name is copied.
    unsafe {
        let name = pg_sys::format_type_be(kind);
        let name = std::ffi::CStr::from_ptr(name)
            .to_string_lossy()
            .into_owned();
        name.rsplit('.').next().unwrap_or_default().to_owned()
    }
}
