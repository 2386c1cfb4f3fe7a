//! Read-only subscripts: `embedding[i]`, counted from 1, of type `real`; NULL outside.
//!
//! `typelem` of the types stays 0 (a client takes a varlena with an element type for an array), so
//! PostgreSQL's own array subscripting can't serve.

use pgnear_values::{ValueError, halfvec, vector};
use pgrx::pg_sys;

use super::error::raise;
use super::value::payload;

/// The element of a value's payload at a 1-based subscript.
type Get = fn(&[u8], i32) -> Result<Option<f32>, ValueError>;

fn vector_element(bytes: &[u8], at: i32) -> Result<Option<f32>, ValueError> {
    Ok(vector::get(vector::view(bytes)?, at))
}

fn halfvec_element(bytes: &[u8], at: i32) -> Result<Option<f32>, ValueError> {
    Ok(halfvec::get(halfvec::view(bytes)?, at))
}

/// The routines of `vector`, for its `typsubscript` handler.
pub fn vector_routines() -> pg_sys::Datum {
    static ROUTINES: pg_sys::SubscriptRoutines = routines(vector_setup);
    pg_sys::Datum::from(&raw const ROUTINES)
}

/// The routines of `halfvec`, for its `typsubscript` handler.
pub fn halfvec_routines() -> pg_sys::Datum {
    static ROUTINES: pg_sys::SubscriptRoutines = routines(halfvec_setup);
    pg_sys::Datum::from(&raw const ROUTINES)
}

type Setup = unsafe extern "C-unwind" fn(
    *const pg_sys::SubscriptingRef,
    *mut pg_sys::SubscriptingRefState,
    *mut pg_sys::SubscriptExecSteps,
);

const fn routines(setup: Setup) -> pg_sys::SubscriptRoutines {
    pg_sys::SubscriptRoutines {
        transform: Some(transform),
        exec_setup: Some(setup),
        fetch_strict: true,
        fetch_leakproof: true,
        store_leakproof: false,
    }
}

/// Parse analysis: exactly one subscript, an integer, and no assignment.
unsafe extern "C-unwind" fn transform(
    sbsref: *mut pg_sys::SubscriptingRef,
    indirection: *mut pg_sys::List,
    pstate: *mut pg_sys::ParseState,
    is_slice: bool,
    is_assignment: bool,
) {
    let refuse = |message: &'static str, hint: &'static str| -> ! {
        raise(ValueError {
            code: pgnear_values::Code::FeatureNotSupported,
            message: message.into(),
            detail: None,
            hint: Some(hint.into()),
        })
    };
    // SAFETY: PostgreSQL calls this in parse analysis with valid nodes; list cells of an
    // indirection list are A_Indices.
    unsafe {
        pg_sys::panic::pgrx_extern_c_guard(|| {
            if is_assignment {
                refuse(
                    "vector elements cannot be assigned one by one",
                    "Assign a whole vector, for example with subvector() and ||.",
                );
            }
            if is_slice {
                refuse(
                    "vectors do not support slices",
                    "Use subvector(vector, start, count).",
                );
            }
            if (*indirection).length != 1 {
                refuse("vectors have one dimension", "Use one subscript.");
            }
            let index: *mut pg_sys::A_Indices = (*(*indirection).elements).ptr_value.cast();
            let expr = pg_sys::transformExpr(pstate, (*index).uidx, (*pstate).p_expr_kind);
            let kind = pg_sys::exprType(expr);
            let expr = pg_sys::coerce_to_target_type(
                pstate,
                expr,
                kind,
                pg_sys::INT4OID,
                -1,
                pg_sys::CoercionContext::COERCION_ASSIGNMENT,
                pg_sys::CoercionForm::COERCE_IMPLICIT_CAST,
                -1,
            );
            if expr.is_null() {
                raise(ValueError {
                    code: pgnear_values::Code::InvalidParameterValue,
                    message: "vector subscript must have type integer".into(),
                    detail: None,
                    hint: None,
                });
            }
            (*sbsref).refupperindexpr = pg_sys::lappend(std::ptr::null_mut(), expr.cast());
            (*sbsref).reflowerindexpr = std::ptr::null_mut();
            (*sbsref).refrestype = pg_sys::FLOAT4OID;
            (*sbsref).reftypmod = -1;
        });
    }
}

unsafe extern "C-unwind" fn vector_setup(
    _: *const pg_sys::SubscriptingRef,
    _: *mut pg_sys::SubscriptingRefState,
    steps: *mut pg_sys::SubscriptExecSteps,
) {
    // SAFETY: PostgreSQL passes the steps to fill.
    unsafe { fill(steps, vector_fetch) }
}

unsafe extern "C-unwind" fn halfvec_setup(
    _: *const pg_sys::SubscriptingRef,
    _: *mut pg_sys::SubscriptingRefState,
    steps: *mut pg_sys::SubscriptExecSteps,
) {
    // SAFETY: PostgreSQL passes the steps to fill.
    unsafe { fill(steps, halfvec_fetch) }
}

type Fetch = unsafe extern "C-unwind" fn(
    *mut pg_sys::ExprState,
    *mut pg_sys::ExprEvalStep,
    *mut pg_sys::ExprContext,
);

unsafe fn fill(steps: *mut pg_sys::SubscriptExecSteps, fetch: Fetch) {
    // SAFETY: the caller passes the steps that PostgreSQL wants filled.
    unsafe {
        (*steps).sbs_check_subscripts = Some(check);
        (*steps).sbs_fetch = Some(fetch);
        (*steps).sbs_assign = None;
        (*steps).sbs_fetch_old = None;
    }
}

/// A NULL subscript gives NULL.
unsafe extern "C-unwind" fn check(
    _: *mut pg_sys::ExprState,
    op: *mut pg_sys::ExprEvalStep,
    _: *mut pg_sys::ExprContext,
) -> bool {
    // SAFETY: the step is a subscript step with one upper subscript, as `transform` made it.
    unsafe {
        let state = (*op).d.sbsref_subscript.state;
        if *(*state).upperindexnull {
            *(*op).resnull = true;
            return false;
        }
    }
    true
}

unsafe extern "C-unwind" fn vector_fetch(
    _: *mut pg_sys::ExprState,
    op: *mut pg_sys::ExprEvalStep,
    _: *mut pg_sys::ExprContext,
) {
    // SAFETY: PostgreSQL evaluates a fetch step of a vector.
    unsafe { fetch(op, vector_element) }
}

unsafe extern "C-unwind" fn halfvec_fetch(
    _: *mut pg_sys::ExprState,
    op: *mut pg_sys::ExprEvalStep,
    _: *mut pg_sys::ExprContext,
) {
    // SAFETY: PostgreSQL evaluates a fetch step of a halfvec.
    unsafe { fetch(op, halfvec_element) }
}

unsafe fn fetch(op: *mut pg_sys::ExprEvalStep, get: Get) {
    // SAFETY: in a fetch step resvalue holds the container, which is not NULL (fetch_strict), and
    // the subscript is an evaluated int4.
    unsafe {
        pg_sys::panic::pgrx_extern_c_guard(|| {
            let at = (*(*(*op).d.sbsref.state).upperindex).value() as i32;
            match get(payload(*(*op).resvalue), at) {
                Ok(Some(value)) => {
                    *(*op).resvalue = pg_sys::Datum::from(value.to_bits() as usize);
                    *(*op).resnull = false;
                }
                Ok(None) => *(*op).resnull = true,
                Err(error) => raise(error),
            }
        });
    }
}
