//! Joins with the k nearest rows, recognised in finished plans.
//!
//! ```sql
//! SELECT ... FROM questions q CROSS JOIN LATERAL
//!     (SELECT ... FROM items i ORDER BY i.embedding <-> q.embedding LIMIT 5) near
//! ```
//! is planned as a nested loop that sorts all items once for each question, where no index serves. That
//! loop, with the limit and the sort below it, becomes one node that takes many questions through the items
//! together ([`crate::pg::knn_join`]): the same rows in the same order. What is below the sort stays, but
//! hands on the vector in the distance's place; columns that are computed of the distance, or of the outer
//! row, are computed above. Anything that is not just so is left alone.

use std::ffi::{CStr, c_void};

use pgnear_kernels::Metric;
use pgrx::pg_sys::{self, NodeTag};

use super::{nodes, replaced};
use crate::pg::compat::{may_execute, walk_expression};
use crate::pg::knn_join::{self, Plan};
use crate::pg::rows::Kind;
use crate::pg::scan_distance::own_symbol;
use crate::pg::settings;

/// Most neighbours of a row.
const MOST: i64 = 1000;
/// Fewer pairs of rows are measured one by one in less time than it takes to start.
const FEWEST_PAIRS: f64 = 5000.0;
/// PostgreSQL's `<` on double precision.
const FLOAT8_LESS: u32 = 672;

/// The distances that are known, by the C symbol of the function.
const DISTANCES: [(&CStr, Metric, Kind); 8] = [
    (c"l2_distance", Metric::L2, Kind::Vector),
    (
        c"vector_negative_inner_product",
        Metric::InnerProduct,
        Kind::Vector,
    ),
    (c"cosine_distance", Metric::Cosine, Kind::Vector),
    (c"l1_distance", Metric::L1, Kind::Vector),
    (c"halfvec_l2_distance", Metric::L2, Kind::Halfvec),
    (
        c"halfvec_negative_inner_product",
        Metric::InnerProduct,
        Kind::Halfvec,
    ),
    (c"halfvec_cosine_distance", Metric::Cosine, Kind::Halfvec),
    (c"halfvec_l1_distance", Metric::L1, Kind::Halfvec),
];

/// The node that does what a nested loop would do, if there is one; the loop's inner side is changed then.
///
/// # Safety
/// A nested loop of a finished plan that is nobody else's.
pub(super) unsafe fn replacement(nest: *mut pg_sys::NestLoop) -> Option<*mut pg_sys::Plan> {
    // SAFETY: the caller's promise; each tag is looked at before the node is taken for that.
    unsafe {
        let join = &(*nest).join;
        let left = join.jointype == pg_sys::JoinType::JOIN_LEFT;
        if !settings::knn_join()
            || !(left || join.jointype == pg_sys::JoinType::JOIN_INNER)
            || (left && !join.joinqual.is_null())
        {
            return None;
        }
        let outer = join.plan.lefttree;
        let inner = Inner::below(join.plan.righttree)?;
        let pairs = (*outer).plan_rows * (*inner.child).plan_rows;
        if (*outer).plan_rows < 2.0 || pairs < FEWEST_PAIRS {
            return None;
        }
        let distance = Distance::of(&inner, (*nest).nestParams)?;
        // Nothing may depend on how often it is computed, nor which rows there are on the outer one.
        let child = &*inner.child;
        let varies = |list: *mut pg_sys::List| {
            pg_sys::contain_volatile_functions(list.cast()) || pg_sys::contain_subplans(list.cast())
        };
        let mut conditions = inner.conditions();
        conditions.push(child.qual);
        let depends = |list: *mut pg_sys::List| names_parameter(list.cast(), (*nest).nestParams);
        if varies(child.targetlist) || conditions.iter().any(|&list| varies(list) || depends(list))
        {
            return None;
        }
        // Columns of the sub-select are computed above the join, once for each place that names them.
        if let Some(scan) = inner.subquery {
            let scan = &*scan;
            let (columns, filter) = (scan.scan.plan.targetlist, scan.scan.plan.qual);
            let mut entries = nodes::<pg_sys::TargetEntry>(columns);
            let is_plain = |entry: *mut pg_sys::TargetEntry| {
                let var: *mut pg_sys::Var = (*entry).expr.cast();
                (*var).xpr.type_ == NodeTag::T_Var && (*var).varno as u32 == scan.scan.scanrelid
            };
            // (An outer row without an inner one has NULL there, whatever the filter says.)
            if varies(columns)
                || varies(filter)
                || (left && (!filter.is_null() || !entries.all(is_plain)))
            {
                return None;
            }
        }
        for below in [child.lefttree, child.righttree] {
            let names = |parameter: *mut pg_sys::NestLoopParam| {
                pg_sys::bms_is_member((*parameter).paramno, (*below).extParam)
            };
            if !below.is_null() && nodes((*nest).nestParams).any(names) {
                return None;
            }
        }
        build(nest, &inner, &distance, left)
    }
}

/// The inner side of a loop: a sub-select's scan, if it is not trivial, a limit, a sort, and what is sorted.
struct Inner {
    subquery: Option<*mut pg_sys::SubqueryScan>,
    limit: *mut pg_sys::Plan,
    k: i64,
    /// The column that is sorted by, from 1.
    column: pg_sys::AttrNumber,
    child: *mut pg_sys::Plan,
}

impl Inner {
    unsafe fn below(mut plan: *mut pg_sys::Plan) -> Option<Inner> {
        // SAFETY: parts of a valid plan.
        unsafe {
            // It remembers results of outer rows that were there before.
            if (*plan).type_ == NodeTag::T_Memoize {
                plan = plain((*plan).lefttree)?;
            }
            let mut subquery = None;
            if (*plan).type_ == NodeTag::T_SubqueryScan {
                let scan: *mut pg_sys::SubqueryScan = plain(plan)?.cast();
                subquery = Some(scan);
                plan = (*scan).subplan;
            }
            let limit: *mut pg_sys::Limit = tagged(plan, NodeTag::T_Limit)?.cast();
            let count: *mut pg_sys::Const = (*limit).limitCount.cast();
            if (*limit).limitOption != pg_sys::LimitOption::LIMIT_OPTION_COUNT
                || !(*limit).limitOffset.is_null()
                || count.is_null()
                || (*count).xpr.type_ != NodeTag::T_Const
                || (*count).constisnull
            {
                return None;
            }
            let k = (*count).constvalue.value() as i64;
            let sort: *mut pg_sys::Sort = tagged((*limit).plan.lefttree, NodeTag::T_Sort)?.cast();
            if !(1..=MOST).contains(&k)
                || (*sort).numCols != 1
                || u32::from(*(*sort).sortOperators) != FLOAT8_LESS
                || *(*sort).nullsFirst
            {
                return None;
            }
            let child = plain((*sort).plan.lefttree)?;
            let known = matches!(
                (*child).type_,
                NodeTag::T_SeqScan | NodeTag::T_IndexScan | NodeTag::T_BitmapHeapScan
            );
            (known && !(*child).parallel_aware).then_some(Inner {
                subquery,
                limit: limit.cast(),
                k,
                column: *(*sort).sortColIdx,
                child,
            })
        }
    }

    /// Expressions of the scan beside its columns and its filter.
    unsafe fn conditions(&self) -> Vec<*mut pg_sys::List> {
        // SAFETY: the tag says which node it is.
        unsafe {
            match (*self.child).type_ {
                NodeTag::T_IndexScan => {
                    let scan: *mut pg_sys::IndexScan = self.child.cast();
                    vec![
                        (*scan).indexqual,
                        (*scan).indexqualorig,
                        (*scan).indexorderby,
                    ]
                }
                NodeTag::T_BitmapHeapScan => {
                    vec![(*self.child.cast::<pg_sys::BitmapHeapScan>()).bitmapqualorig]
                }
                _ => Vec::new(),
            }
        }
    }
}

/// A plan node of a kind, without sub-plans of its own that would be lost with it.
unsafe fn tagged(plan: *mut pg_sys::Plan, tag: NodeTag) -> Option<*mut pg_sys::Plan> {
    // SAFETY: a valid node, or null.
    unsafe { plain(plan).filter(|&plan| (*plan).type_ == tag) }
}

unsafe fn plain(plan: *mut pg_sys::Plan) -> Option<*mut pg_sys::Plan> {
    // SAFETY: a valid node, or null.
    unsafe { (!plan.is_null() && (*plan).initPlan.is_null()).then_some(plan) }
}

/// The distance that the inner rows are sorted by.
struct Distance {
    whole: *mut pg_sys::OpExpr,
    metric: Metric,
    kind: Kind,
    /// The operand that belongs to the inner row, and its place, 0 or 1.
    row: *mut pg_sys::Node,
    row_at: usize,
    /// The outer row's column with the query.
    query: *mut pg_sys::Var,
}

impl Distance {
    unsafe fn of(inner: &Inner, parameters: *mut pg_sys::List) -> Option<Distance> {
        // SAFETY: parts of a valid plan; each tag is looked at first.
        unsafe {
            let entry = nodes::<pg_sys::TargetEntry>((*inner.child).targetlist)
                .nth(inner.column as usize - 1)?;
            let whole: *mut pg_sys::OpExpr = (*entry).expr.cast();
            if (*whole).xpr.type_ != NodeTag::T_OpExpr {
                return None;
            }
            let operands: Vec<*mut pg_sys::Node> = nodes((*whole).args).collect();
            let &[a, b] = operands.as_slice() else {
                return None;
            };
            let (metric, kind) = metric_of((*whole).opfuncid)?;
            if !may_execute((*whole).opfuncid) {
                return None;
            }
            let of = |node| loop_parameter(node, parameters);
            let (row_at, parameter) = match (of(a), of(b)) {
                (None, Some(parameter)) => (0, parameter),
                (Some(parameter), None) => (1, parameter),
                _ => return None,
            };
            let row = operands[row_at];
            let one = pg_sys::lappend(std::ptr::null_mut(), row.cast());
            if names_parameter(one.cast(), parameters)
                || pg_sys::contain_volatile_functions(row)
                || pg_sys::contain_subplans(row)
            {
                return None;
            }
            let query = (*parameter).paramval;
            let from_outer = (*query).xpr.type_ == NodeTag::T_Var
                && (*query).varno == pg_sys::OUTER_VAR
                && (*query).varattno > 0;
            from_outer.then_some(Distance {
                whole,
                metric,
                kind,
                row,
                row_at,
                query,
            })
        }
    }
}

/// What a function of this library measures.
unsafe fn metric_of(function: pg_sys::Oid) -> Option<(Metric, Kind)> {
    // SAFETY: the function exists.
    let name = unsafe { own_symbol(function)? };
    let known = DISTANCES.iter().find(|(symbol, _, _)| *symbol == name)?;
    Some((known.1, known.2))
}

/// The parameter of a loop that a node is.
unsafe fn loop_parameter(
    node: *mut pg_sys::Node,
    parameters: *mut pg_sys::List,
) -> Option<*mut pg_sys::NestLoopParam> {
    // SAFETY: a valid node, and a list of parameters.
    unsafe {
        let param: *mut pg_sys::Param = node.cast();
        if (*node).type_ != NodeTag::T_Param || (*param).paramkind != pg_sys::ParamKind::PARAM_EXEC
        {
            return None;
        }
        nodes::<pg_sys::NestLoopParam>(parameters)
            .find(|&known| (*known).paramno == (*param).paramid)
    }
}

/// Whether an expression names a parameter of a loop.
unsafe fn names_parameter(node: *mut pg_sys::Node, parameters: *mut pg_sys::List) -> bool {
    unsafe extern "C-unwind" fn walker(node: *mut pg_sys::Node, context: *mut c_void) -> bool {
        if node.is_null() {
            return false;
        }
        // SAFETY: called by PostgreSQL's walker with a node and the list.
        unsafe {
            loop_parameter(node, context.cast()).is_some() || walk_expression(node, walker, context)
        }
    }
    // SAFETY: a valid expression.
    unsafe { walker(node, parameters.cast()) }
}

/// Makes the node, and changes the scan below it.
unsafe fn build(
    nest: *mut pg_sys::NestLoop,
    inner: &Inner,
    distance: &Distance,
    left: bool,
) -> Option<*mut pg_sys::Plan> {
    // SAFETY: as for `replacement`; new nodes are allocated where the planner allocates its own.
    unsafe {
        let plan = &(*nest).join.plan;
        let outer_columns = (*(*plan.lefttree).targetlist).length;
        let mut columns = Columns {
            outer: outer_columns,
            parameters: (*nest).nestParams,
            subquery: inner.subquery,
            distance: distance.whole,
            distance_column: inner.column,
            computed: Vec::new(),
            failed: false,
        };
        let is_distance = |entry: *mut pg_sys::TargetEntry| {
            pg_sys::equal((*entry).expr.cast(), distance.whole.cast())
        };
        for entry in nodes::<pg_sys::TargetEntry>((*inner.child).targetlist) {
            let late =
                !is_distance(entry) && names_parameter((*entry).expr.cast(), (*nest).nestParams);
            let computed = late.then(|| columns.moved((*entry).expr));
            columns.computed.push(computed);
        }
        let targets = columns.moved(plan.targetlist);
        let mut quals = pg_sys::list_concat(
            columns.moved((*nest).join.joinqual),
            columns.moved(plan.qual),
        );
        if let Some(scan) = inner.subquery {
            quals = pg_sys::list_concat(columns.moved((*scan).scan.plan.qual), quals);
        }
        // (An outer row without an inner one has NULL there.)
        if columns.failed || (left && columns.computed.iter().any(Option::is_some)) {
            return None;
        }
        // What a row of the join is before its columns are computed: the outer row's, then the inner's.
        let (mut scanned, mut number) = (std::ptr::null_mut(), 0);
        let mut add = |expr: *mut pg_sys::Expr| {
            number += 1;
            let entry = pg_sys::makeTargetEntry(expr, number, std::ptr::null_mut(), false);
            scanned = pg_sys::lappend(scanned, entry.cast());
        };
        for entry in nodes::<pg_sys::TargetEntry>((*plan.lefttree).targetlist) {
            add(variable(pg_sys::OUTER_VAR, (*entry).resno, (*entry).expr).cast());
        }
        // For EXPLAIN, the distance of the vectors on both sides.
        let shown = |column| {
            let shown: *mut pg_sys::OpExpr = pg_sys::copyObjectImpl(distance.whole.cast()).cast();
            let row = variable(pg_sys::INNER_VAR, column, distance.row.cast()).cast();
            let query = pg_sys::copyObjectImpl(distance.query.cast());
            let [a, b] = match distance.row_at {
                0 => [row, query],
                _ => [query, row],
            };
            (*shown).args = pg_sys::lappend(pg_sys::lappend(std::ptr::null_mut(), a), b);
            shown
        };
        let mut distances = Vec::new();
        let entries = nodes::<pg_sys::TargetEntry>((*inner.child).targetlist);
        for (entry, computed) in entries.zip(&columns.computed) {
            let column = (*entry).resno;
            if is_distance(entry) {
                add(shown(column).cast());
                distances.push(i32::from(column));
                // The scan hands on the vector in its place,
                (*entry).expr = pg_sys::copyObjectImpl(distance.row.cast()).cast();
                continue;
            }
            add(variable(pg_sys::INNER_VAR, column, (*entry).expr).cast());
            if computed.is_some() {
                // and nothing for what is computed later.
                let kind = pg_sys::exprType((*entry).expr.cast());
                (*entry).expr = pg_sys::makeNullConst(kind, -1, pg_sys::InvalidOid).cast();
            }
        }
        let described = Plan {
            left,
            k: inner.k as i32,
            query: i32::from((*distance.query).varattno),
            metric: distance.metric,
            kind: distance.kind,
            outer_columns,
            inner_columns: (*(*inner.limit).targetlist).length,
            distances,
        };
        let node: *mut pg_sys::CustomScan = pg_sys::palloc0(size_of::<pg_sys::CustomScan>()).cast();
        (*node).scan.plan = *plan;
        (*node).scan.plan.type_ = NodeTag::T_CustomScan;
        (*node).scan.plan.targetlist = targets;
        (*node).scan.plan.qual = quals;
        (*node).scan.plan.righttree = inner.child;
        (*node).custom_scan_tlist = scanned;
        (*node).custom_private = described.to_list();
        (*node).methods = knn_join::methods();
        Some(node.cast())
    }
}

/// A column of one side, of an expression's type.
unsafe fn variable(
    side: i32,
    column: pg_sys::AttrNumber,
    of: *mut pg_sys::Expr,
) -> *mut pg_sys::Var {
    // SAFETY: a valid expression.
    unsafe {
        let of = of.cast();
        pg_sys::makeVar(
            side,
            column,
            pg_sys::exprType(of),
            pg_sys::exprTypmod(of),
            pg_sys::exprCollation(of),
            0,
        )
    }
}

/// Where the columns of both sides are in a row of the join.
struct Columns {
    outer: i32,
    /// Columns of the outer row that the inner side knows as parameters.
    parameters: *mut pg_sys::List,
    subquery: Option<*mut pg_sys::SubqueryScan>,
    /// The distance, and the inner column that has it.
    distance: *mut pg_sys::OpExpr,
    distance_column: pg_sys::AttrNumber,
    /// Inner columns that are computed of the distance and the outer row, over rows of the join.
    computed: Vec<Option<*mut pg_sys::Expr>>,
    /// Some have no place.
    failed: bool,
}

impl Columns {
    /// An expression over both sides, or the sub-select, or a list of some, over rows of the join.
    unsafe fn moved<T>(&mut self, expr: *mut T) -> *mut T {
        // SAFETY: of a finished plan; it is copied.
        unsafe {
            replaced(expr.cast(), &mut |node| {
                if pg_sys::equal(node.cast(), self.distance.cast()) {
                    return Some(self.place_of_inner(self.distance_column, node.cast()));
                }
                if (*node).type_ == NodeTag::T_Var {
                    return Some(self.column(node.cast()));
                }
                let parameter = loop_parameter(node, self.parameters)?;
                Some(self.column((*parameter).paramval))
            })
            .cast()
        }
    }

    /// The expression that stands for a column.
    unsafe fn column(&mut self, var: *mut pg_sys::Var) -> *mut pg_sys::Node {
        // SAFETY: a variable of a finished plan, and the plan's sub-select, if there is one.
        unsafe {
            let number = i32::from((*var).varattno);
            let place = match ((*var).varno, self.subquery) {
                _ if number <= 0 => None,
                (pg_sys::OUTER_VAR, _) => Some(number),
                (pg_sys::INNER_VAR, None) => return self.inner(var),
                (pg_sys::INNER_VAR, Some(scan)) => {
                    let mut entries = nodes::<pg_sys::TargetEntry>((*scan).scan.plan.targetlist);
                    let entry = entries.nth(number as usize - 1);
                    if let Some(entry) = entry {
                        return self.moved((*entry).expr).cast();
                    }
                    None
                }
                (of, Some(scan)) if of == (*scan).scan.scanrelid as i32 => {
                    return self.inner(var);
                }
                _ => None,
            };
            let Some(place) = place else {
                self.failed = true;
                return var.cast();
            };
            variable(pg_sys::INDEX_VAR, place as i16, var.cast()).cast()
        }
    }

    /// The expression that stands for an inner column.
    unsafe fn inner(&self, var: *mut pg_sys::Var) -> *mut pg_sys::Node {
        // SAFETY: as above.
        unsafe {
            let number = (*var).varattno;
            match self.computed.get(number as usize - 1) {
                Some(Some(computed)) => pg_sys::copyObjectImpl(computed.cast_const().cast()).cast(),
                _ => self.place_of_inner(number, var.cast()),
            }
        }
    }

    unsafe fn place_of_inner(
        &self,
        number: pg_sys::AttrNumber,
        of: *mut pg_sys::Expr,
    ) -> *mut pg_sys::Node {
        // SAFETY: a valid expression.
        unsafe { variable(pg_sys::INDEX_VAR, self.outer as i16 + number, of).cast() }
    }
}
