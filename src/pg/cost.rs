//! What a distance costs, for the planner.
//!
//! Functions declare a cost in units of `cpu_operator_cost`. A distance is not one operator: it
//! grows with the dimensions, and fetching a vector from out-of-line storage costs far more than
//! computing with it. Without this, exact search over a large table looks too cheap for PostgreSQL
//! to run it in parallel. How much a value holds and where it lies is known from the column's
//! declared dimensions and, where there are statistics, from its average width in the row.

use pgrx::pg_sys;

/// Elements whose arithmetic takes about as long as one operator call.
const ELEMENTS_PER_OPERATOR: f64 = 256.0;
/// Elements of a sparse vector for the same, beside a query with as many: measured as 1.75
/// microseconds for 200 of each.
const SPARSE_ELEMENTS_PER_OPERATOR: f64 = 4.5;
/// Rows wider than this are moved out of line (TOAST_TUPLE_THRESHOLD on 8 kB pages).
const INLINE_BYTES: f64 = 2000.0;
/// What a row holds of a value that lies out of line.
const POINTER_BYTES: f64 = 18.0;
/// One look-up in the out-of-line table, and each of its chunks, in operator calls: measured as
/// 3 to 5 microseconds a row against about 40 nanoseconds for an operator.
const OUT_OF_LINE_LOOKUP: f64 = 60.0;
const OUT_OF_LINE_CHUNK: f64 = 15.0;
/// Where a column has no dimensions.
const UNKNOWN_DIMENSIONS: f64 = 384.0;
/// Elements of sparse vectors, whose dimensions say nothing of them, where there are no statistics.
const UNKNOWN_ELEMENTS: f64 = 100.0;
/// Bytes of a sparse vector that lies out of line: statistics have only that it does.
const SPARSE_BYTES_OUT_OF_LINE: f64 = 2.0 * INLINE_BYTES;
/// Header of a stored sparse vector, and bytes of each element.
const SPARSE_HEADER: f64 = 16.0;
const SPARSE_ELEMENT: f64 = 8.0;

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
        let kind = Kind::of(kind);
        let dims = arguments
            .iter()
            .map(|&argument| pg_sys::exprTypmod(argument))
            .find(|&typmod| typmod > 0)
            .map(f64::from);
        let mut fetch = 0.0;
        let mut bytes: Option<f64> = None;
        for &argument in arguments {
            if (*argument).type_ == pg_sys::NodeTag::T_Var {
                let width = average_width((*request).root, argument.cast());
                let stored = kind.stored(dims, width);
                fetch += stored.fetch_operators();
                bytes = Some(bytes.unwrap_or(0.0).max(stored.bytes));
            }
        }
        let bytes = bytes.unwrap_or_else(|| kind.stored(dims, None).bytes);
        (*request).startup = 0.0;
        (*request).per_tuple = pg_sys::cpu_operator_cost * (kind.operators(bytes) + fetch);
    }
    request
}

/// How much a value's elements take.
#[derive(Debug, Clone, Copy)]
enum Kind {
    /// So many bytes a dimension.
    Dense(f64),
    Sparse,
}

impl Kind {
    /// That of a type: 4 bytes a dimension where it isn't known to be less.
    fn of(kind: pg_sys::Oid) -> Self {
        if kind == pg_sys::BITOID || kind == pg_sys::VARBITOID {
            return Self::Dense(0.125);
        }
        // SAFETY: format_type_be accepts any OID and returns a zero-terminated palloc'd string.
        let name = unsafe { std::ffi::CStr::from_ptr(pg_sys::format_type_be(kind)) };
        if name.to_bytes().ends_with(b"halfvec") {
            Self::Dense(2.0)
        } else if name.to_bytes().ends_with(b"sparsevec") {
            Self::Sparse
        } else {
            Self::Dense(4.0)
        }
    }

    /// What a column's values take, by its dimensions and average width as far as these are known.
    fn stored(self, dims: Option<f64>, width: Option<f64>) -> Stored {
        match self {
            Self::Dense(each) => {
                let inline = width.filter(|&width| width > POINTER_BYTES);
                let bytes = match (dims, inline) {
                    (Some(dims), _) => dims * each,
                    (None, Some(width)) => width,
                    (None, None) => UNKNOWN_DIMENSIONS * each,
                };
                let out_of_line = match width {
                    _ if bytes <= INLINE_BYTES => 0.0,
                    Some(width) => ((bytes - width) / (bytes - POINTER_BYTES)).clamp(0.0, 1.0),
                    None => 1.0,
                };
                Stored { bytes, out_of_line }
            }
            Self::Sparse => {
                let most = dims.unwrap_or(f64::INFINITY) * SPARSE_ELEMENT + SPARSE_HEADER;
                let unknown = UNKNOWN_ELEMENTS * SPARSE_ELEMENT + SPARSE_HEADER;
                let (bytes, out_of_line) = match width {
                    Some(POINTER_BYTES) => (SPARSE_BYTES_OUT_OF_LINE, 1.0),
                    Some(width) => (width, 0.0),
                    None => (unknown, 0.0),
                };
                Stored {
                    bytes: bytes.min(most),
                    out_of_line,
                }
            }
        }
    }

    /// A distance between values of `bytes`, in operator calls.
    fn operators(self, bytes: f64) -> f64 {
        1.0 + match self {
            Self::Dense(each) => bytes / each / ELEMENTS_PER_OPERATOR,
            Self::Sparse => {
                (bytes - SPARSE_HEADER).max(0.0) / SPARSE_ELEMENT / SPARSE_ELEMENTS_PER_OPERATOR
            }
        }
    }
}

/// What a column's values take, and the share of them that lies out of line.
#[derive(Debug, Clone, Copy)]
struct Stored {
    bytes: f64,
    out_of_line: f64,
}

impl Stored {
    /// Fetching one, in operator calls.
    fn fetch_operators(self) -> f64 {
        self.out_of_line
            * (OUT_OF_LINE_LOOKUP + OUT_OF_LINE_CHUNK * (self.bytes / INLINE_BYTES).ceil())
    }
}

/// The average width of a column's values in their rows, if there are statistics.
///
/// # Safety
/// `root` is null or the planner's, `var` a column of that query.
unsafe fn average_width(root: *mut pg_sys::PlannerInfo, var: *mut pg_sys::Var) -> Option<f64> {
    // SAFETY: the caller's promise; the number of the relation is checked against the array.
    unsafe {
        let number = i64::from((*var).varno);
        if root.is_null()
            || (*root).simple_rte_array.is_null()
            || (*var).varlevelsup != 0
            || (*var).varattno <= 0
            || !(1..i64::from((*root).simple_rel_array_size)).contains(&number)
        {
            return None;
        }
        let entry = *(*root).simple_rte_array.add(number as usize);
        if entry.is_null() || (*entry).rtekind != pg_sys::RTEKind::RTE_RELATION {
            return None;
        }
        let width = pg_sys::get_attavgwidth((*entry).relid, (*var).varattno);
        (width > 0).then(|| f64::from(width))
    }
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

/// The cost of one distance between sparse vectors, whatever their dimensions.
pub fn sparse_distance_operators() -> f64 {
    1.0 + UNKNOWN_ELEMENTS / SPARSE_ELEMENTS_PER_OPERATOR
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
