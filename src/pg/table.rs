//! The rows of an index's table as one of its scans sees them, for indexes that leave vectors there.
//!
//! This goes past the table access method to heap pages, as the hints find them: through the
//! interface a row costs three times as much. Only for tables of `heap`; indexes of others keep
//! their vectors ([`is_heap`]).

use std::cell::{Cell, OnceCell, RefCell};
use std::rc::Rc;

use pgnear_ann::{Error, NO_BLOCK, Tid, hnsw};
use pgrx::pg_sys;

use super::expression::Expression;
use super::hints::Hints;
use super::index::{AmError, Index};
use super::row::{ValueKind, split_value, tid_to};
use super::{raw, store, value};

/// Whether a table's rows can be read here.
///
/// # Safety
/// `table` is open.
pub(super) unsafe fn is_heap(table: pg_sys::Relation) -> bool {
    // SAFETY: the caller's promise.
    unsafe { (*(*table).rd_rel).relam == pg_sys::HEAP_TABLE_AM_OID }
}

/// The table of a scan.
pub struct PgTable {
    scan: pg_sys::IndexScanDesc,
    hints: OnceCell<Rc<Hints>>,
    kind: OnceCell<ValueKind>,
    /// Pages of the table when last asked: a row behind them may be new, or damage.
    blocks: Cell<u32>,
    /// A value that the page holds at an odd place, or not at all.
    copy: RefCell<Vec<u64>>,
    /// Where the index is on an expression.
    expression: OnceCell<Expression>,
}

/// Where a row's vector is.
enum Value {
    Missing,
    /// On the page, which stays locked.
    Here(*mut pg_sys::varlena),
    /// A copy, of the page's value that has to be fetched or decompressed.
    Packed(*mut pg_sys::varlena),
}

impl PgTable {
    /// # Safety
    /// `scan` stays open for as long as this is used.
    pub(super) unsafe fn new(scan: pg_sys::IndexScanDesc) -> Self {
        PgTable {
            scan,
            hints: OnceCell::new(),
            kind: OnceCell::new(),
            blocks: Cell::new(0),
            copy: RefCell::default(),
            expression: OnceCell::new(),
        }
    }

    fn relation(&self) -> pg_sys::Relation {
        // SAFETY: the scan is open.
        unsafe { (*self.scan).heapRelation }
    }

    /// Refuses a row on a page that the table lacks: the table would report a file of its own as
    /// missing.
    pub(super) fn check(&self, tid: Tid) -> Result<(), Error> {
        if tid.block < self.blocks.get() {
            return Ok(());
        }
        // SAFETY: the table is open. Only in a heap is the number a page's.
        unsafe {
            if !is_heap(self.relation()) {
                return Ok(());
            }
            let main = pg_sys::ForkNumber::MAIN_FORKNUM;
            let blocks = pg_sys::RelationGetNumberOfBlocksInFork(self.relation(), main);
            self.blocks.set(blocks);
        }
        if tid.block < self.blocks.get() {
            return Ok(());
        }
        let what = format!("row ({},{}) is not in the table", tid.block, tid.offset);
        Err(Error::corrupt(NO_BLOCK, what))
    }

    /// The column of the table that the index is on, from 1; 0 for an expression.
    fn column(&self) -> i16 {
        // SAFETY: the scan's index is open and has one column.
        unsafe {
            (*(*(*self.scan).indexRelation).rd_index)
                .indkey
                .values
                .as_slice(1)[0]
        }
    }

    /// The vector of the row that the scan sees at `tid`, on its locked page.
    fn find(&self, buffer: pg_sys::Buffer, tid: Tid) -> Value {
        let (table, column) = (self.relation(), i32::from(self.column()));
        // SAFETY: the scan and its snapshot are open, the buffer is pinned and locked. The
        // closure owns nothing.
        unsafe {
            let snapshot = (*self.scan).xs_snapshot;
            raw::guarded(move || {
                let Some(mut tuple) = row_seen(table, buffer, snapshot, tid) else {
                    return Value::Missing;
                };
                let Some(datum) = attribute(&raw mut tuple, column, (*table).rd_att) else {
                    return Value::Missing;
                };
                let value: *mut pg_sys::varlena = datum.cast_mut_ptr();
                let plain = pgrx::varlena::varatt_is_4b_u(value)
                    || (pgrx::varlena::varatt_is_1b(value)
                        && !pgrx::varlena::varatt_is_1b_e(value));
                if plain {
                    return Value::Here(value);
                }
                let bytes = pgrx::varlena::varsize_any(value);
                let copy = raw::palloc(bytes).cast::<u8>();
                std::ptr::copy_nonoverlapping(value.cast::<u8>(), copy, bytes);
                Value::Packed(copy.cast())
            })
        }
    }

    /// The index's expression, of the row that the scan sees at `tid`; `false` where it sees none.
    fn value_of_expression(&self, tid: Tid, use_it: &mut dyn FnMut(&[u8])) -> Result<bool, Error> {
        let table = self.relation();
        // SAFETY: scan, table and snapshot are open. The row is copied while its page is locked, and
        // evaluated when it is not: an expression may do anything. The closures own nothing.
        unsafe {
            let hints = self.hints();
            let buffer = store::read_shared(table, std::ptr::null_mut(), hints, tid.block);
            let snapshot = (*self.scan).xs_snapshot;
            let row = raw::guarded(move || {
                let row = row_seen(table, buffer, snapshot, tid)
                    .map(|mut tuple| raw::heap_copytuple(&raw mut tuple));
                raw::UnlockReleaseBuffer(buffer);
                row
            });
            let Some(row) = row else {
                return Ok(false);
            };
            let expression = self.expression.get_or_init(|| {
                let context = pg_sys::GetMemoryChunkContext(self.scan.cast());
                Expression::new(table, (*self.scan).indexRelation, context)
            });
            let used = expression.evaluate(row, |value| {
                let whole = pg_sys::pg_detoast_datum(value.cast_mut_ptr());
                self.with_payload(value::payload(whole.into()), use_it)
            });
            pg_sys::heap_freetuple(row);
            used.transpose().map(|used| used.is_some())
        }
    }

    fn with_payload(&self, payload: &[u8], use_it: &mut dyn FnMut(&[u8])) -> Result<(), Error> {
        // SAFETY: the scan's index is open.
        let kind = self
            .kind
            .get_or_init(|| ValueKind::of(unsafe { Index::new((*self.scan).indexRelation) }));
        match split_value(*kind, payload) {
            Ok((_, elements)) => {
                use_it(elements);
                Ok(())
            }
            Err(AmError::Index(error)) => Err(error),
            Err(AmError::Value(_)) => Err(Error::Invalid("row has no vector")),
        }
    }

    /// The payload of a value with a header of one byte, at an even place.
    fn aligned(
        &self,
        value: *mut pg_sys::varlena,
        use_it: &mut dyn FnMut(&[u8]),
    ) -> Result<(), Error> {
        // SAFETY: the value is on a page that is locked: one byte of header, and its length.
        let bytes = unsafe {
            let length = pgrx::varlena::varsize_1b(value).saturating_sub(1);
            std::slice::from_raw_parts(value.cast::<u8>().add(1), length)
        };
        let mut copy = self.copy.borrow_mut();
        copy.clear();
        copy.resize(bytes.len().div_ceil(8) + 1, 0); // under 128 bytes
        // Elements begin 4 bytes into the payload.
        let place = &mut bytemuck::cast_slice_mut::<u64, u8>(&mut copy)[4..][..bytes.len()];
        place.copy_from_slice(bytes);
        self.with_payload(place, use_it)
    }
}

/// The version of the row at `tid` that a snapshot sees, on its page; `None` where it sees none. Runs
/// within [`raw::guarded`].
///
/// # Safety
/// The page is `tid`'s, pinned and locked; table and snapshot are open.
unsafe fn row_seen(
    table: pg_sys::Relation,
    buffer: pg_sys::Buffer,
    snapshot: pg_sys::Snapshot,
    tid: Tid,
) -> Option<pg_sys::HeapTupleData> {
    // SAFETY: the caller's promise; there is room for the tuple.
    unsafe {
        let mut pointer = tid_to(tid);
        let mut tuple: pg_sys::HeapTupleData = std::mem::zeroed();
        let seen = raw::heap_hot_search_buffer(
            &raw mut pointer,
            table,
            buffer,
            snapshot,
            &raw mut tuple,
            std::ptr::null_mut(),
            true,
        );
        seen.then_some(tuple)
    }
}

/// A row's value in a column; `None` for NULL.
///
/// # Safety
/// The tuple is one of a relation with this descriptor, on a page that stays.
unsafe fn attribute(
    tuple: pg_sys::HeapTuple,
    column: i32,
    descriptor: pg_sys::TupleDesc,
) -> Option<pg_sys::Datum> {
    // SAFETY: the caller's promise.
    unsafe {
        let header = (*tuple).t_data;
        let columns = (*header).t_infomask2 & pg_sys::HEAP_NATTS_MASK as u16;
        if column > i32::from(columns) {
            let mut is_null = false;
            let value = raw::getmissingattr(descriptor, column, &raw mut is_null);
            return (!is_null).then_some(value);
        }
        if (*header).t_infomask & pg_sys::HEAP_HASNULL as u16 != 0 {
            let bit = column as usize - 1;
            let byte = *(*header).t_bits.as_ptr().add(bit / 8);
            if byte & (1 << (bit % 8)) == 0 {
                return None;
            }
        }
        Some(raw::nocachegetattr(tuple, column, descriptor))
    }
}

impl PgTable {
    fn hints(&self) -> &Hints {
        // SAFETY: the table is open.
        self.hints
            .get_or_init(|| unsafe { Hints::of(self.relation()) })
    }
}

impl hnsw::Table for PgTable {
    fn prefetch(&self, tid: Tid, soon: bool) {
        if self.relation().is_null() {
            return;
        }
        let Some(buffer) = self.hints().last(tid.block) else {
            return;
        };
        pgnear_kernels::prefetch(super::compat::buffer_descriptor(buffer), 1);
        // SAFETY: a buffer's memory is always mapped, whatever it holds. A line pointer read while
        // others write it, or of another page, leads to a prefetch in vain.
        unsafe {
            let page = pg_sys::BufferGetPage(buffer).cast::<u8>();
            let at = std::mem::offset_of!(pg_sys::PageHeaderData, pd_linp)
                + (usize::from(tid.offset).saturating_sub(1)) * size_of::<pg_sys::ItemIdData>();
            if at + size_of::<pg_sys::ItemIdData>() > store::PAGE_SIZE {
                return;
            }
            if soon {
                let pointer = std::ptr::read_volatile(page.add(at).cast::<pg_sys::ItemIdData>());
                let (start, bytes) = (pointer.lp_off() as usize, pointer.lp_len() as usize);
                let end = (start + bytes).min(store::PAGE_SIZE);
                pgnear_kernels::prefetch(page.wrapping_add(start), end.saturating_sub(start));
            } else {
                pgnear_kernels::prefetch(page, 1);
                pgnear_kernels::prefetch(page.wrapping_add(at), 4);
            }
        }
    }

    fn row(&self, tid: Tid, use_it: &mut dyn FnMut(&[u8])) -> Result<bool, Error> {
        let table = self.relation();
        // SAFETY: a relation that is set is open.
        if table.is_null() || unsafe { !is_heap(table) } {
            return Err(Error::Invalid("index cannot read its table"));
        }
        self.check(tid)?;
        if self.column() == 0 {
            return self.value_of_expression(tid, use_it);
        }
        let hints = self.hints();
        // SAFETY: the table is open.
        let buffer = unsafe { store::read_shared(table, std::ptr::null_mut(), hints, tid.block) };
        let value = self.find(buffer, tid);
        let done = match value {
            // SAFETY: the value has a plain header and lies on the page, which is locked.
            Value::Here(value) if unsafe { pgrx::varlena::varatt_is_4b_u(value) } => {
                let datum = pg_sys::Datum::from(value);
                // SAFETY: as above.
                self.with_payload(unsafe { value::payload(datum) }, use_it)
            }
            Value::Here(value) => self.aligned(value, use_it),
            Value::Packed(_) | Value::Missing => Ok(()),
        };
        // SAFETY: pinned and locked by `read_shared`.
        unsafe { raw::guarded(move || raw::UnlockReleaseBuffer(buffer)) };
        done?;
        match value {
            Value::Missing => Ok(false),
            Value::Here(_) => Ok(true),
            Value::Packed(packed) => {
                // SAFETY: a copy of a value that the scan sees, so that what it stands for is there.
                unsafe {
                    let whole = pg_sys::pg_detoast_datum(packed);
                    let done = self.with_payload(value::payload(whole.into()), use_it);
                    pg_sys::pfree(whole.cast());
                    pg_sys::pfree(packed.cast());
                    done?;
                }
                Ok(true)
            }
        }
    }
}
