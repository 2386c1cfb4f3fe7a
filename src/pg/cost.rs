//! What a distance costs, for the planner.
//!
//! Functions declare a cost in units of `cpu_operator_cost`. A distance is not one operator: it
//! grows with the dimensions, and fetching a vector from out-of-line storage costs far more than
//! computing with it. Without this, exact search over a large table looks too cheap for PostgreSQL
//! to run it in parallel.

use pgrx::pg_sys;

/// Elements whose arithmetic takes about as long as one operator call.
const ELEMENTS_PER_OPERATOR: f64 = 256.0;
/// Rows wider than this are moved out of line (TOAST_TUPLE_THRESHOLD on 8 kB pages).
const INLINE_BYTES: f64 = 2000.0;
/// One look-up in the out-of-line table, and each of its chunks, in operator calls: measured as
/// 3 to 5 microseconds a row against about 40 nanoseconds for an operator.
const OUT_OF_LINE_LOOKUP: f64 = 60.0;
const OUT_OF_LINE_CHUNK: f64 = 15.0;
/// Where a column has no dimensions.
const UNKNOWN_DIMENSIONS: f64 = 384.0;

/// Answers a planner's support request on a distance function; NULL for requests it doesn't know.
pub fn distance_support(request: pg_sys::Datum) -> pg_sys::Datum {
    let node: *mut pg_sys::Node = request.cast_mut_ptr();
    // SAFETY: support functions get a request node; its tag says which.
    unsafe {
        if node.is_null() || (*node).type_ != pg_sys::NodeTag::T_SupportRequestCost {
            return pg_sys::Datum::from(0);
        }
        let request: *mut pg_sys::SupportRequestCost = node.cast();
        let (arguments, kind) = arguments((*request).node);
        let Some(arguments) = arguments else {
            return pg_sys::Datum::from(0);
        };
        let (mut dims, mut columns) = (UNKNOWN_DIMENSIONS, 0.0);
        for &argument in arguments {
            let typmod = pg_sys::exprTypmod(argument);
            if typmod > 0 {
                dims = f64::from(typmod);
            }
            if (*argument).type_ == pg_sys::NodeTag::T_Var {
                columns += 1.0;
            }
        }
        let bytes = dims * element_bytes(kind);
        let fetch = if bytes > INLINE_BYTES {
            columns * (OUT_OF_LINE_LOOKUP + OUT_OF_LINE_CHUNK * (bytes / INLINE_BYTES).ceil())
        } else {
            0.0
        };
        (*request).startup = 0.0;
        (*request).per_tuple =
            pg_sys::cpu_operator_cost * (1.0 + dims / ELEMENTS_PER_OPERATOR + fetch);
    }
    request
}

/// The arguments of a function or operator call, and the type of the first.
///
/// # Safety
/// `node` is null or an expression node.
unsafe fn arguments(
    node: *mut pg_sys::Node,
) -> (Option<&'static [*mut pg_sys::Node]>, pg_sys::Oid) {
    // SAFETY: the tag says which node it is; a List holds `length` pointer cells.
    unsafe {
        if node.is_null() {
            return (None, pg_sys::InvalidOid);
        }
        let list = match (*node).type_ {
            pg_sys::NodeTag::T_FuncExpr => (*node.cast::<pg_sys::FuncExpr>()).args,
            pg_sys::NodeTag::T_OpExpr => (*node.cast::<pg_sys::OpExpr>()).args,
            _ => return (None, pg_sys::InvalidOid),
        };
        if list.is_null() || (*list).length == 0 {
            return (None, pg_sys::InvalidOid);
        }
        let cells = std::slice::from_raw_parts(
            (*list).elements.cast::<*mut pg_sys::Node>(),
            (*list).length as usize,
        );
        (Some(cells), pg_sys::exprType(cells[0]))
    }
}

/// Bytes an element of this type takes: 4 where it isn't known to be less.
fn element_bytes(kind: pg_sys::Oid) -> f64 {
    if kind == pg_sys::BITOID || kind == pg_sys::VARBITOID {
        return 0.125;
    }
    // SAFETY: format_type_be accepts any OID and returns a zero-terminated palloc'd string.
    let name = unsafe { std::ffi::CStr::from_ptr(pg_sys::format_type_be(kind)) };
    if name.to_bytes().ends_with(b"halfvec") {
        2.0
    } else {
        4.0
    }
}
