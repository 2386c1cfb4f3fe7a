//! A join with the k nearest rows, all at once: a node of a plan that reads many outer rows, takes their
//! vectors through the inner rows together, and hands out each outer row with its nearest.
//!
//! Its left child gives the outer rows, its right child the inner ones, read once for as many outer rows
//! as `work_mem` holds. Rows come as from a nested loop over a sort of the inner rows for each outer row:
//! nearest first, rows without a vector last. [`super::plan::knn_join`] puts it into plans.

use std::cell::RefCell;
use std::collections::HashMap;
use std::ffi::{CStr, c_int};
use std::rc::Rc;
use std::sync::OnceLock;

use pgnear_device::{MemoryBudget, Neighbour, Wanted};
use pgnear_kernels::Metric;
use pgnear_values::ValueError;
use pgrx::pg_sys;

use super::error::raise;
use super::exec;
use super::memory::{Scratch, leak_into_current_context, no_memory};
use super::rows::{Found, Keeper, Kind, Rows, Sink, Together};
use super::settings;
use super::value::payload;

const NAME: &CStr = c"KnnJoin";
/// Outer rows of the first batch: whoever wants few rows waits for few. No other batch has fewer for what its
/// inner rows take: each reads all of them.
const FIRST_BATCH: usize = 64;

/// What a node of a plan says.
pub struct Plan {
    /// Outer rows without any inner row come with NULLs.
    pub left: bool,
    pub k: i32,
    /// The column of an outer row with the query, from 1.
    pub query: i32,
    pub metric: Metric,
    pub kind: Kind,
    pub outer_columns: i32,
    pub inner_columns: i32,
    /// Columns of an inner row whose place in the join is the distance's, from 1; the child has the vector
    /// there.
    pub distances: Vec<i32>,
}

/// How a list of numbers names them.
const METRICS: [Metric; 4] = [Metric::L2, Metric::InnerProduct, Metric::Cosine, Metric::L1];

impl Plan {
    /// A list of numbers, that can be copied with the plan.
    pub fn to_list(&self) -> *mut pg_sys::List {
        let head = [
            self.left.into(),
            self.k,
            self.query,
            METRICS
                .iter()
                .position(|&metric| metric == self.metric)
                .unwrap_or(0) as i32,
            (self.kind == Kind::Halfvec).into(),
            self.outer_columns,
            self.inner_columns,
        ];
        let numbers = head.iter().chain(&self.distances);
        // SAFETY: a list of integers.
        numbers.fold(std::ptr::null_mut(), |list, &number| unsafe {
            pg_sys::lappend_int(list, number)
        })
    }

    /// # Safety
    /// A list made by [`Plan::to_list`].
    unsafe fn of(list: *mut pg_sys::List) -> Plan {
        // SAFETY: the caller's promise.
        let at = |n: i32| unsafe { (*(*list).elements.add(n as usize)).int_value };
        // SAFETY: as above.
        let length = unsafe { (*list).length };
        Plan {
            left: at(0) != 0,
            k: at(1),
            query: at(2),
            metric: METRICS[at(3) as usize],
            kind: if at(4) != 0 {
                Kind::Halfvec
            } else {
                Kind::Vector
            },
            outer_columns: at(5),
            inner_columns: at(6),
            distances: (7..length).map(at).collect(),
        }
    }

    fn wanted(&self) -> Wanted {
        Wanted {
            metric: self.metric,
            k: self.k as usize,
            within: None,
        }
    }
}

/// What searches.
pub trait BatchSearch: Sync {
    /// Queries that may go through the rows together.
    fn most(&self, wanted: &Wanted, dims: usize, budget: &MemoryBudget) -> usize;

    /// Searches among the rows that `open` starts to read, more than once perhaps.
    ///
    /// # Errors
    /// Vectors of other dimensions, no memory, and those of a GPU that must be used.
    fn search(
        &self,
        queries: &Together,
        expected_rows: f64,
        open: &mut dyn FnMut() -> InnerRows,
    ) -> Result<Found<TupleKeeper>, ValueError>;
}

static SEARCH: OnceLock<&'static dyn BatchSearch> = OnceLock::new();

/// Says what searches, before any plan is looked at.
pub fn search_by(search: &'static dyn BatchSearch) {
    let _ = SEARCH.set(search);
}

fn searcher() -> &'static dyn BatchSearch {
    *SEARCH.get().expect("set when the library is loaded")
}

/// PostgreSQL's tables of functions are shared by all threads, of which a backend has one.
struct Shared<T>(T);
// SAFETY: pointers to functions and constant text.
unsafe impl<T> Sync for Shared<T> {}

static PLAN_METHODS: Shared<pg_sys::CustomScanMethods> = Shared(pg_sys::CustomScanMethods {
    CustomName: NAME.as_ptr(),
    CreateCustomScanState: Some(create),
});

static EXEC_METHODS: Shared<pg_sys::CustomExecMethods> = Shared(pg_sys::CustomExecMethods {
    CustomName: NAME.as_ptr(),
    BeginCustomScan: Some(begin),
    ExecCustomScan: Some(next),
    EndCustomScan: Some(end),
    ReScanCustomScan: Some(rescan),
    MarkPosCustomScan: None,
    RestrPosCustomScan: None,
    EstimateDSMCustomScan: None,
    InitializeDSMCustomScan: None,
    ReInitializeDSMCustomScan: None,
    InitializeWorkerCustomScan: None,
    ShutdownCustomScan: None,
    ExplainCustomScan: Some(explain),
});

/// The node's functions, for a plan.
pub fn methods() -> *const pg_sys::CustomScanMethods {
    &raw const PLAN_METHODS.0
}

/// Makes the node known by its name.
///
/// # Safety
/// Once, while the library is loaded.
pub unsafe fn register() {
    // SAFETY: static.
    unsafe { pg_sys::RegisterCustomScanMethods(methods()) }
}

#[repr(C)]
struct State {
    /// PostgreSQL's part, at first.
    custom: pg_sys::CustomScanState,
    join: *mut Join,
}

/// A join under way.
struct Join {
    plan: Plan,
    /// Where rows of a batch live.
    memory: pg_sys::MemoryContext,
    outer: *mut pg_sys::PlanState,
    inner: *mut pg_sys::PlanState,
    /// For rows that were kept.
    outer_slot: *mut pg_sys::TupleTableSlot,
    inner_slot: *mut pg_sys::TupleTableSlot,
    /// For inner rows on their way to be kept.
    spare: *mut pg_sys::TupleTableSlot,
    /// Whether the inner rows were read before.
    started: bool,
    /// Whether there are no more outer rows.
    ended: bool,
    batch: Vec<OuterRow>,
    /// Inner rows for whoever asks for anything.
    any: Vec<Tuple>,
    /// The outer row whose turn it is, and which of its inner rows.
    at: (usize, usize),
    /// Outer rows that the next batch has at most.
    size: usize,
    /// Bytes of inner rows that were kept for an outer row of the last batch.
    bytes_a_row: usize,
    /// For EXPLAIN.
    batches: i64,
    outer_rows: i64,
}

/// A row that was kept.
#[derive(Clone, Copy)]
pub struct Tuple(pg_sys::MinimalTuple);

struct OuterRow {
    tuple: Tuple,
    query: Asked,
    inner: Inner,
}

/// What an outer row asks.
#[derive(Clone, Copy)]
enum Asked {
    /// One of the queries, by number.
    Query(usize),
    /// NULL: any rows will do.
    Anything,
    /// A vector of so many dimensions, which others have not.
    Odd(usize),
}

/// The inner rows of an outer one.
enum Inner {
    /// These, with their distances.
    Found(Vec<(Tuple, Option<f64>)>),
    /// Those that do for all that ask for anything.
    Any,
    /// Vectors of so many dimensions, which cannot be compared: an error when it is the row's turn.
    Incomparable(usize, usize),
}

unsafe extern "C-unwind" fn create(_plan: *mut pg_sys::CustomScan) -> *mut pg_sys::Node {
    // SAFETY: a node of zeros with a tag and functions is a valid one before it begins.
    unsafe {
        pg_sys::panic::pgrx_extern_c_guard(|| {
            let state: *mut State = pg_sys::palloc0(size_of::<State>()).cast();
            (*state).custom.ss.ps.type_ = pg_sys::NodeTag::T_CustomScanState;
            (*state).custom.methods = &raw const EXEC_METHODS.0;
            state.cast()
        })
    }
}

unsafe extern "C-unwind" fn begin(
    node: *mut pg_sys::CustomScanState,
    estate: *mut pg_sys::EState,
    flags: c_int,
) {
    // SAFETY: PostgreSQL calls this once with a node made by `create`, in the memory of the query.
    unsafe {
        pg_sys::panic::pgrx_extern_c_guard(|| {
            let state: *mut State = node.cast();
            let ps = &raw mut (*node).ss.ps;
            let plan: *mut pg_sys::CustomScan = (*ps).plan.cast();
            let scan = &(*plan).scan.plan;
            (*ps).lefttree = pg_sys::ExecInitNode(scan.lefttree, estate, flags);
            let again = flags | pg_sys::EXEC_FLAG_REWIND as c_int;
            (*ps).righttree = pg_sys::ExecInitNode(scan.righttree, estate, again);
            let extra = |of: *mut pg_sys::PlanState, ops| {
                pg_sys::ExecInitExtraTupleSlot(estate, pg_sys::ExecGetResultType(of), ops)
            };
            let kept = &raw const pg_sys::TTSOpsMinimalTuple;
            (*state).join = leak_into_current_context(Join {
                plan: Plan::of((*plan).custom_private),
                memory: pg_sys::AllocSetContextCreateInternal(
                    pg_sys::CurrentMemoryContext,
                    c"pgnear join".as_ptr(),
                    pg_sys::ALLOCSET_DEFAULT_MINSIZE as usize,
                    pg_sys::ALLOCSET_DEFAULT_INITSIZE as usize,
                    pg_sys::ALLOCSET_DEFAULT_MAXSIZE as usize,
                ),
                outer: (*ps).lefttree,
                inner: (*ps).righttree,
                outer_slot: extra((*ps).lefttree, kept),
                inner_slot: extra((*ps).righttree, kept),
                spare: extra((*ps).righttree, &raw const pg_sys::TTSOpsVirtual),
                started: false,
                ended: false,
                batch: Vec::new(),
                any: Vec::new(),
                at: (0, 0),
                size: FIRST_BATCH,
                bytes_a_row: 0,
                batches: 0,
                outer_rows: 0,
            });
        });
    }
}

unsafe extern "C-unwind" fn next(
    node: *mut pg_sys::CustomScanState,
) -> *mut pg_sys::TupleTableSlot {
    // SAFETY: PostgreSQL calls this between `begin` and `end`.
    unsafe {
        pg_sys::panic::pgrx_extern_c_guard(|| {
            let join = &mut *(*node.cast::<State>()).join;
            let ps = &(*node).ss.ps;
            let (scan, context) = ((*node).ss.ss_ScanTupleSlot, ps.ps_ExprContext);
            loop {
                pgrx::check_for_interrupts!();
                pg_sys::MemoryContextReset((*context).ecxt_per_tuple_memory);
                let Some((outer, inner)) = join.next_pair().unwrap_or_else(|error| raise(error))
                else {
                    return std::ptr::null_mut();
                };
                join.store(outer, inner, scan);
                (*context).ecxt_scantuple = scan;
                if exec::holds(ps.qual, context) {
                    return match ps.ps_ProjInfo.is_null() {
                        true => scan,
                        false => exec::project(ps.ps_ProjInfo),
                    };
                }
                if let Some(instrument) = ps.instrument.as_mut() {
                    instrument.nfiltered1 += 1.0;
                }
            }
        })
    }
}

unsafe extern "C-unwind" fn end(node: *mut pg_sys::CustomScanState) {
    // SAFETY: PostgreSQL calls this once. What is left goes with the query's memory.
    unsafe {
        pg_sys::panic::pgrx_extern_c_guard(|| {
            let join = &mut *(*node.cast::<State>()).join;
            join.batch = Vec::new();
            pg_sys::ExecEndNode(join.outer);
            pg_sys::ExecEndNode(join.inner);
        });
    }
}

unsafe extern "C-unwind" fn rescan(node: *mut pg_sys::CustomScanState) {
    // SAFETY: PostgreSQL calls this between `begin` and `end`, after telling both children what changed.
    unsafe {
        pg_sys::panic::pgrx_extern_c_guard(|| {
            let join = &mut *(*node.cast::<State>()).join;
            join.batch.clear();
            (join.at, join.ended, join.size) = ((0, 0), false, FIRST_BATCH);
            pg_sys::ExecReScan(join.outer);
        });
    }
}

unsafe extern "C-unwind" fn explain(
    node: *mut pg_sys::CustomScanState,
    _ancestors: *mut pg_sys::List,
    to: *mut pg_sys::ExplainState,
) {
    // SAFETY: PostgreSQL calls this between `begin` and `end`.
    unsafe {
        pg_sys::panic::pgrx_extern_c_guard(|| {
            let join = &*(*node.cast::<State>()).join;
            let number = |name: &CStr, value: i64| {
                pg_sys::ExplainPropertyInteger(name.as_ptr(), std::ptr::null(), value, to);
            };
            number(c"Nearest", join.plan.k.into());
            if (*to).analyze {
                number(c"Queries", join.outer_rows);
                number(c"Passes", join.batches);
            }
        });
    }
}

impl Join {
    /// The next outer row, and an inner row with its distance; for a left join none where there is none.
    fn next_pair(&mut self) -> Result<Option<Pair>, ValueError> {
        loop {
            while let Some(row) = self.batch.get(self.at.0) {
                let at = self.at.1;
                self.at.1 += 1;
                let inner = match &row.inner {
                    Inner::Found(found) => found.get(at).copied(),
                    Inner::Any => self.any.get(at).map(|&tuple| (tuple, None)),
                    Inner::Incomparable(a, b) => return Err(self.plan.kind.different(*a, *b)),
                };
                if inner.is_some() {
                    return Ok(Some((row.tuple, inner)));
                }
                self.at = (self.at.0 + 1, 0);
                if at == 0 && self.plan.left {
                    return Ok(Some((row.tuple, None)));
                }
            }
            if self.ended {
                return Ok(None);
            }
            self.read_batch()?;
        }
    }

    /// Puts a pair's columns into a slot.
    ///
    /// # Safety
    /// The slot has the columns of both sides.
    unsafe fn store(
        &self,
        outer: Tuple,
        inner: Option<(Tuple, Option<f64>)>,
        slot: *mut pg_sys::TupleTableSlot,
    ) {
        // SAFETY: the caller's promise; kept rows live as long as the batch, and what points to them is
        // cleared with the slots before.
        unsafe {
            exec::clear(slot);
            let (outer_columns, inner_columns) = (
                self.plan.outer_columns as usize,
                self.plan.inner_columns as usize,
            );
            let all = outer_columns + inner_columns;
            let values = std::slice::from_raw_parts_mut((*slot).tts_values, all);
            let nulls = std::slice::from_raw_parts_mut((*slot).tts_isnull, all);
            let fill = |from: *mut pg_sys::TupleTableSlot,
                        tuple: Tuple,
                        values: &mut [pg_sys::Datum],
                        nulls: &mut [bool]| {
                exec::hold(from, tuple.0);
                let count = values.len();
                values.copy_from_slice(std::slice::from_raw_parts((*from).tts_values, count));
                nulls.copy_from_slice(std::slice::from_raw_parts((*from).tts_isnull, count));
            };
            let (outer_values, inner_values) = values.split_at_mut(outer_columns);
            let (outer_nulls, inner_nulls) = nulls.split_at_mut(outer_columns);
            fill(self.outer_slot, outer, outer_values, outer_nulls);
            match inner {
                Some((tuple, distance)) => {
                    fill(self.inner_slot, tuple, inner_values, inner_nulls);
                    for &column in &self.plan.distances {
                        let at = column as usize - 1;
                        inner_values[at] =
                            pg_sys::Datum::from(distance.unwrap_or_default().to_bits());
                        inner_nulls[at] = distance.is_none();
                    }
                }
                None => {
                    inner_values.fill(pg_sys::Datum::from(0));
                    inner_nulls.fill(true);
                }
            }
            exec::hold_values(slot);
        }
    }

    /// Reads outer rows and finds their inner rows.
    fn read_batch(&mut self) -> Result<(), ValueError> {
        self.batch.clear();
        self.at = (0, 0);
        // SAFETY: nothing points to rows of the last batch any more: slots that hold them are cleared.
        unsafe {
            exec::clear(self.outer_slot);
            exec::clear(self.inner_slot);
            pg_sys::MemoryContextReset(self.memory);
        }
        let budget = MemoryBudget::new(settings::work_mem());
        let mut queries = Together {
            wanted: self.plan.wanted(),
            kind: self.plan.kind,
            dims: 0,
            vectors: Vec::new(),
        };
        let mut count = 0;
        let (mut scratch, mut bytes) = (Scratch::new(), 0);
        while self.batch.len() < self.size
            && count < searcher().most(&queries.wanted, queries.dims, &budget)
            && bytes < budget.limit_bytes()
            && (self.batch.len() < FIRST_BATCH
                || bytes + self.batch.len() * self.bytes_a_row < budget.limit_bytes())
        {
            // SAFETY: the child is one of a node that has begun; its slot lives until it is asked again.
            let (tuple, query) = unsafe {
                let Some(slot) = exec::next_row(self.outer) else {
                    self.ended = true;
                    break;
                };
                let at = self.plan.query as usize - 1;
                let query = (!*(*slot).tts_isnull.add(at)).then(|| *(*slot).tts_values.add(at));
                (Tuple(exec::copy(slot, self.memory)), query)
            };
            bytes += tuple.bytes() + size_of::<OuterRow>();
            let mut asked = Asked::Anything;
            if let Some(query) = query {
                let others = scratch.run(|| {
                    // SAFETY: a value of the vector's type.
                    queries.add(unsafe { payload(query) })
                })?;
                asked = match others {
                    Some(others) => Asked::Odd(others),
                    None => {
                        count += 1;
                        Asked::Query(count - 1)
                    }
                };
            }
            self.batch.try_reserve(1).map_err(no_memory)?;
            self.batch.push(OuterRow {
                tuple,
                query: asked,
                inner: Inner::Any,
            });
        }
        if self.batch.is_empty() {
            return Ok(());
        }
        self.batches += 1;
        self.outer_rows += self.batch.len() as i64;
        self.size = usize::MAX;
        self.match_all(&queries)
    }

    /// Finds the inner rows of a batch.
    fn match_all(&mut self, queries: &Together) -> Result<(), ValueError> {
        let others = Others {
            k: self.plan.k as usize,
            firsts: (self.batch.iter()).any(|row| matches!(row.query, Asked::Anything)),
            first: Vec::new(),
            without: Vec::new(),
            vectors: 0,
        };
        let others = Rc::new(RefCell::new(others));
        let (inner, spare, memory) = (self.inner, self.spare, self.memory);
        let without: Vec<usize> = (self.plan.distances.iter())
            .map(|&column| column as usize - 1)
            .collect();
        let vector = *without.first().expect("a distance is sorted by");
        let started = &mut self.started;
        let mut open = || {
            if std::mem::replace(started, true) {
                // SAFETY: a child that has begun.
                unsafe { pg_sys::ExecReScan(inner) }
            }
            others.borrow_mut().forget();
            InnerRows {
                inner,
                spare,
                ended: false,
                vector,
                without: without.clone(),
                keeper: TupleKeeper(memory),
                scratch: Scratch::new(),
                others: others.clone(),
            }
        };
        let found = if queries.vectors.is_empty() {
            // They all are NULL: the first rows will do.
            open().fetch(self.plan.k as usize, &mut |_, _| Ok(()))?;
            Found {
                neighbours: Vec::new(),
                rows: HashMap::new(),
                keeper: TupleKeeper(memory),
            }
        } else {
            // SAFETY: a node of a valid plan.
            let expected = unsafe { (*(*inner).plan).plan_rows };
            searcher().search(queries, expected, &mut open)?
        };
        let mut others = others.borrow_mut();
        self.any = std::mem::take(&mut others.first);
        // The first batch is small, and tells what the next one's inner rows take.
        let kept: usize = found.rows.values().map(|tuple| tuple.bytes()).sum();
        self.bytes_a_row = kept / self.batch.len();
        for row in &mut self.batch {
            let neighbours: &[Neighbour] = match row.query {
                Asked::Query(query) => &found.neighbours[query],
                Asked::Anything => continue,
                Asked::Odd(odd) if others.vectors > 0 => {
                    row.inner = Inner::Incomparable(queries.dims, odd);
                    continue;
                }
                Asked::Odd(_) => &[],
            };
            let more = others.k - neighbours.len().min(others.k);
            let count = neighbours.len() + more.min(others.without.len());
            let mut inner = Vec::new();
            inner.try_reserve_exact(count).map_err(no_memory)?;
            for neighbour in neighbours {
                let tuple = found.rows.get(&neighbour.row);
                let tuple = *tuple.expect("rows found are kept");
                inner.push((tuple, Some(neighbour.distance)));
            }
            let without = others.without.iter().take(more);
            inner.extend(without.map(|&tuple| (tuple, None)));
            row.inner = Inner::Found(inner);
        }
        Ok(())
    }
}

/// An outer row, and an inner row with its distance.
type Pair = (Tuple, Option<(Tuple, Option<f64>)>);

impl Tuple {
    fn bytes(self) -> usize {
        // SAFETY: a row that was kept.
        unsafe { (*self.0).t_len as usize }
    }
}

/// Rows that a distance does not put in order.
struct Others {
    k: usize,
    /// Whether any are wanted at all.
    firsts: bool,
    /// The first rows, for queries that are NULL.
    first: Vec<Tuple>,
    /// The first without a vector: they come after all that have one.
    without: Vec<Tuple>,
    /// Rows with a vector.
    vectors: u64,
}

impl Others {
    fn forget(&mut self) {
        self.first.clear();
        self.without.clear();
        self.vectors = 0;
    }

    fn take(
        &mut self,
        has_vector: bool,
        keep: &mut dyn FnMut() -> Tuple,
    ) -> Result<(), ValueError> {
        self.vectors += u64::from(has_vector);
        for (wanted, list) in [
            (self.firsts, &mut self.first),
            (!has_vector, &mut self.without),
        ] {
            if wanted && list.len() < self.k {
                list.try_reserve(1).map_err(no_memory)?;
                list.push(keep());
            }
        }
        Ok(())
    }
}

/// The inner rows of a join, read once.
pub struct InnerRows {
    inner: *mut pg_sys::PlanState,
    spare: *mut pg_sys::TupleTableSlot,
    /// Whether it has said that there are no more: asked again, it would start anew.
    ended: bool,
    /// The column of the vector, from 0.
    vector: usize,
    /// All columns that hold it, from 0.
    without: Vec<usize>,
    keeper: TupleKeeper,
    scratch: Scratch,
    others: Rc<RefCell<Others>>,
}

/// Keeps rows in a memory context.
#[derive(Clone, Copy)]
pub struct TupleKeeper(pg_sys::MemoryContext);

impl Keeper for TupleKeeper {
    type Kept = Tuple;

    fn forget(self, tuple: Tuple) {
        // SAFETY: made by a copy, and forgotten once.
        unsafe { pg_sys::pfree(tuple.0.cast()) }
    }
}

impl Rows for InnerRows {
    type Keeper = TupleKeeper;

    fn fetch(
        &mut self,
        most: usize,
        sink: &mut Sink<'_, TupleKeeper>,
    ) -> Result<usize, ValueError> {
        for read in 0..most {
            if self.ended {
                return Ok(read);
            }
            // SAFETY: the child is one of a node that has begun, and its slot lives until it is asked again.
            unsafe {
                let Some(slot) = exec::next_row(self.inner) else {
                    self.ended = true;
                    return Ok(read);
                };
                let value = (!*(*slot).tts_isnull.add(self.vector))
                    .then(|| *(*slot).tts_values.add(self.vector));
                // A copy without the vector.
                let (without, spare, memory) = (&self.without, self.spare, self.keeper.0);
                let mut keep = || Tuple(exec::copy_without(slot, without, spare, memory));
                self.others.borrow_mut().take(value.is_some(), &mut keep)?;
                self.scratch
                    .run(|| sink(value.map(|value| payload(value)), &mut keep))?;
            }
        }
        Ok(most)
    }

    fn keeper(&self) -> TupleKeeper {
        self.keeper
    }
}
