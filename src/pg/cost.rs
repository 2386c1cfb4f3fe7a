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

/// What the planner knows about an index scan that it considers.
#[derive(Debug, Clone, Copy)]
pub struct PlannedScan {
    /// Pages and rows of the index.
    pub pages: f64,
    pub rows: f64,
    /// Cost of a page read in order, and of one read anywhere.
    pub sequential_page: f64,
    pub random_page: f64,
    /// Cost of an operator call, and of handling one index row.
    pub operator: f64,
    pub index_row: f64,
}

/// What an index scan costs.
#[derive(Debug, Clone, Copy)]
pub struct IndexCost {
    /// Before the first row, and for all rows. Infinite: the index can't serve.
    pub startup: f64,
    pub total: f64,
    /// The share of the table's rows that the whole scan returns.
    pub selectivity: f64,
    pub pages: f64,
}

/// The cost of one distance between vectors of `dims` elements, in operator calls.
pub fn distance_operators(dims: u32) -> f64 {
    1.0 + f64::from(dims) / ELEMENTS_PER_OPERATOR
}

const UNUSABLE: IndexCost = IndexCost {
    startup: f64::INFINITY,
    total: f64::INFINITY,
    selectivity: 0.0,
    pages: 0.0,
};

/// The cost of `path` by the access method's own formula. Infinite without an ORDER BY, and for an
/// index that the access method can't read (which an insert would report).
///
/// # Safety
/// The arguments of `amcostestimate`.
pub(super) unsafe fn index_cost<A: super::am::IndexAm>(
    root: *mut pg_sys::PlannerInfo,
    path: *mut pg_sys::IndexPath,
) -> IndexCost {
    // SAFETY: the caller's promise. The planner holds a lock on the index.
    unsafe {
        let _ = root;
        let info = (*path).indexinfo;
        let mut cost = UNUSABLE;
        if !(*path).indexorderbys.is_null() {
            let (mut random_page, mut sequential_page) = (0.0, 0.0);
            pg_sys::get_tablespace_page_costs(
                (*info).reltablespace,
                &raw mut random_page,
                &raw mut sequential_page,
            );
            let planned = PlannedScan {
                pages: f64::from((*info).pages),
                rows: (*info).tuples.max(0.0),
                sequential_page,
                random_page,
                operator: pg_sys::cpu_operator_cost,
                index_row: pg_sys::cpu_index_tuple_cost,
            };
            let lock = pg_sys::NoLock as pg_sys::LOCKMODE;
            let relation = pg_sys::index_open((*info).indexoid, lock);
            cost = A::cost(super::index::Index::new(relation), &planned).unwrap_or(UNUSABLE);
            pg_sys::index_close(relation, lock);
        }
        #[cfg(feature = "pg18")]
        if cost.total.is_infinite() {
            // 18 compares disabled nodes before costs.
            (*path).path.disabled_nodes = 2;
        }
        cost
    }
}
