//! The distance of the row that an index scan has just handed out.
//!
//! A plan calls `pgnear_scan_distance(index, ctid, function, vector, query)` in place of
//! `function(vector, query)`. Where the row that was handed out last by that index is the one with that
//! `ctid`, for the same query, its distance is known, and the vector is not even fetched. Else, as after an
//! update of the row, the function is called. That makes it right whatever else was scanned in between: of
//! one index, one row and one query there is one distance.

use std::cell::RefCell;
use std::ffi::{CStr, c_void};
use std::rc::Rc;

use pgnear_ann::Hit;
use pgnear_values::{Code, ValueError};
use pgrx::pg_sys;

use super::compat::may_execute;
use super::fmgr::{Call, Return};
use super::index::value_error;
use super::memory::leak_into_current_context;
use super::row::tid_from;
use super::value::payload;

const NAME: &CStr = c"pgnear_scan_distance";

/// The row handed out last.
struct Last {
    index: pg_sys::Oid,
    hit: Hit,
    /// The payload of the query.
    query: Rc<[u8]>,
}

thread_local! {
    static LAST: RefCell<Option<Last>> = const { RefCell::new(None) };
}

/// Remembers a row that an index hands out.
pub(super) fn handed_out(index: pg_sys::Oid, hit: Hit, query: &Rc<[u8]>) {
    LAST.with_borrow_mut(|last| match last {
        Some(last) if Rc::ptr_eq(&last.query, query) => (last.index, last.hit) = (index, hit),
        _ => {
            let query = query.clone();
            *last = Some(Last { index, hit, query });
        }
    });
}

/// Forgets it at the end of a scan: what the last row's distance was is nobody's business then.
pub(super) fn forget() {
    LAST.set(None);
}

/// An expression for the distance of a row of table `table` of the plan, in place of `distance`; `None` where
/// the function is not there, as under an older version of the SQL scripts, or where the user may not call
/// one of both.
///
/// # Safety
/// A valid expression of two arguments.
pub(super) unsafe fn call(
    index: pg_sys::Oid,
    table: pg_sys::Index,
    distance: *mut pg_sys::OpExpr,
) -> Option<*mut pg_sys::FuncExpr> {
    // SAFETY: the caller's promise; nodes are made where the planner makes its own.
    unsafe {
        let function = (*distance).opfuncid;
        let schema = pg_sys::get_namespace_name(pg_sys::get_func_namespace(function));
        if schema.is_null() {
            return None;
        }
        let word = |text: *const std::ffi::c_char| pg_sys::makeString(text.cast_mut()).cast();
        let mut name = pg_sys::lappend(std::ptr::null_mut(), word(schema));
        name = pg_sys::lappend(name, word(NAME.as_ptr()));
        let types = [
            pg_sys::REGCLASSOID,
            pg_sys::TIDOID,
            pg_sys::REGPROCEDUREOID,
            pg_sys::ANYOID,
            pg_sys::ANYOID,
        ];
        let known = pg_sys::LookupFuncName(name, types.len() as i32, types.as_ptr(), true);
        if known == pg_sys::InvalidOid || !may_execute(known) || !may_execute(function) {
            return None;
        }
        let oid = |of: pg_sys::Oid, kind: pg_sys::Oid| {
            let value = pg_sys::Datum::from(of);
            pg_sys::makeConst(kind, -1, pg_sys::InvalidOid, 4, value, false, true).cast()
        };
        let ctid = pg_sys::makeVar(
            table as i32,
            pg_sys::SelfItemPointerAttributeNumber as i16,
            pg_sys::TIDOID,
            -1,
            pg_sys::InvalidOid,
            0,
        );
        let mut arguments = pg_sys::lappend(std::ptr::null_mut(), oid(index, pg_sys::REGCLASSOID));
        arguments = pg_sys::lappend(arguments, ctid.cast());
        arguments = pg_sys::lappend(arguments, oid(function, pg_sys::REGPROCEDUREOID));
        let both = pg_sys::copyObjectImpl((*distance).args.cast()).cast();
        let all = pg_sys::list_concat(arguments, both);
        Some(pg_sys::makeFuncExpr(
            known,
            pg_sys::FLOAT8OID,
            all,
            pg_sys::InvalidOid,
            pg_sys::InvalidOid,
            pg_sys::CoercionForm::COERCE_EXPLICIT_CALL,
        ))
    }
}

/// The function.
///
/// # Errors
/// A function that is no distance of such values.
pub fn answer(call: Call<'_>) -> Return {
    if (0..5).any(|n| call.is_null(n)) {
        return call.null();
    }
    // SAFETY: the SQL declaration says an OID and a row's place; the query is a value of variable length,
    // or `own` refuses it before it is looked at.
    unsafe {
        let index = pg_sys::Oid::from(call.datum(0).value() as u32);
        let tid = tid_from(&*call.datum(1).cast_mut_ptr::<pg_sys::ItemPointerData>());
        let own = own(call)?;
        let known = LAST.with_borrow(|last| {
            let last = last
                .as_ref()
                .filter(|last| last.index == index && last.hit.tid == tid)?;
            let known = last.hit.distance?;
            own.is_query(call.datum(4), &last.query).then_some(known)
        });
        if let Some(distance) = known {
            return call.return_float8(distance);
        }
        let (a, b) = (call.datum(3), call.datum(4));
        Ok(pg_sys::FunctionCall2Coll(
            &raw mut own.function,
            pg_sys::InvalidOid,
            a,
            b,
        ))
    }
}

/// What a call in a plan remembers.
struct Own {
    /// The function to call where the distance is not known.
    function: pg_sys::FmgrInfo,
    /// A query that lies out of line, and what is there.
    seen: Option<(Vec<u8>, Rc<[u8]>)>,
}

impl Own {
    /// Whether a value is the query of a scan. One that lies out of line is fetched once a scan.
    unsafe fn is_query(&mut self, value: pg_sys::Datum, query: &Rc<[u8]>) -> bool {
        // SAFETY: a value of variable length.
        unsafe {
            let pointer: *mut pg_sys::varlena = value.cast_mut_ptr();
            if !pgrx::varlena::varatt_is_1b_e(pointer) {
                return *payload(value) == **query;
            }
            let bytes = pgrx::varlena::varsize_any(pointer);
            let place = std::slice::from_raw_parts(pointer.cast::<u8>(), bytes);
            if let Some((seen, at)) = &self.seen
                && seen == place
                && Rc::ptr_eq(at, query)
            {
                return true;
            }
            let same = *payload(value) == **query;
            self.seen = same.then(|| (place.to_vec(), query.clone()));
            same
        }
    }
}

/// What this call remembers; made at its first time.
unsafe fn own<'a>(call: Call<'a>) -> Result<&'a mut Own, ValueError> {
    // SAFETY: PostgreSQL calls with its own record of this function, whose memory outlives the plan's calls.
    unsafe {
        let record = (*call.fcinfo()).flinfo;
        let function = pg_sys::Oid::from(call.datum(2).value() as u32);
        let own: *mut Own = (*record).fn_extra.cast();
        if !own.is_null() && (*own).function.fn_oid == function {
            return Ok(&mut *own);
        }
        let (mut types, mut count) = (std::ptr::null_mut(), 0);
        let known = pg_sys::SearchSysCacheExists(
            pg_sys::SysCacheIdentifier::PROCOID as i32,
            pg_sys::Datum::from(function),
            pg_sys::Datum::from(0),
            pg_sys::Datum::from(0),
            pg_sys::Datum::from(0),
        );
        let is_distance = known
            && pg_sys::get_func_signature(function, &raw mut types, &raw mut count)
                == pg_sys::FLOAT8OID
            && count == 2
            && (0..2).all(|n| pg_sys::get_fn_expr_argtype(record, 3 + n) == *types.add(n as usize))
            && own_symbol(function).is_some();
        if !is_distance {
            return Err(value_error(
                Code::InvalidParameterValue,
                "pgnear_scan_distance calls distances of pgnear only",
                Some("It is there for plans: call the distance itself."),
            ));
        }
        let before = pg_sys::MemoryContextSwitchTo((*record).fn_mcxt);
        let own = match own.is_null() {
            true => leak_into_current_context(Own {
                function: pg_sys::FmgrInfo::default(),
                seen: None,
            }),
            false => own,
        };
        pg_sys::fmgr_info(function, &raw mut (*own).function);
        pg_sys::MemoryContextSwitchTo(before);
        (*record).fn_extra = own.cast();
        Ok(&mut *own)
    }
}

/// The C symbol of a function, if it is one of this library's.
///
/// # Safety
/// The function exists.
pub(super) unsafe fn own_symbol(function: pg_sys::Oid) -> Option<&'static CStr> {
    // SAFETY: the caller's promise; `dladdr` fills in what it finds, which lives as long as the library.
    unsafe {
        let mut info = pg_sys::FmgrInfo::default();
        pg_sys::fmgr_info(function, &raw mut info);
        let address = info.fn_addr? as *const c_void;
        let (mut found, mut own): (libc::Dl_info, libc::Dl_info) =
            (std::mem::zeroed(), std::mem::zeroed());
        let this = own_symbol as *const c_void;
        let known = libc::dladdr(address, &raw mut found) != 0
            && libc::dladdr(this, &raw mut own) != 0
            && found.dli_fbase == own.dli_fbase
            && !found.dli_sname.is_null()
            && found.dli_saddr.cast_const() == address;
        known.then(|| CStr::from_ptr(found.dli_sname))
    }
}
