//! PostgreSQL's external sort, for rows of a build: by list, then by place in the table.

use pgnear_ann::{Error, Tid};
use pgrx::pg_sys;

use super::error::raise;
use super::index::AmError;
use super::memory::Scratch;
use super::value::{payload, varlena};

const LIST: usize = 0;
const TID: usize = 1;
const ELEMENTS: usize = 2;
const COLUMNS: usize = 3;

/// What is done with a sorted row: its list, its address, its elements.
pub type SortedSink<'a> = dyn FnMut(u32, Tid, &[u8]) -> Result<(), Error> + 'a;

/// A place in a sort that several processes share.
#[derive(Clone, Copy)]
pub struct Share {
    pub sort: *mut pg_sys::Sharedsort,
    /// Processes that sort rows.
    pub participants: i32,
    /// Whether this sorts a share, or merges all of them.
    pub worker: bool,
}

/// Rows on their way to the pages of their lists.
pub struct RowSort {
    state: *mut pg_sys::Tuplesortstate,
    input: *mut pg_sys::TupleTableSlot,
    output: *mut pg_sys::TupleTableSlot,
    scratch: Scratch,
}

impl RowSort {
    /// A sort that keeps up to `memory` bytes in memory and the rest in temporary files.
    pub fn new(memory: usize, share: Option<Share>) -> Self {
        // SAFETY: a descriptor of three columns, and as many keys as the arrays hold. The sort
        // copies what it is given.
        unsafe {
            let descriptor = pg_sys::CreateTemplateTupleDesc(COLUMNS as i32);
            for (column, kind) in [
                (LIST, pg_sys::INT4OID),
                (TID, pg_sys::INT8OID),
                (ELEMENTS, pg_sys::BYTEAOID),
            ] {
                let number = column as i16 + 1;
                pg_sys::TupleDescInitEntry(descriptor, number, std::ptr::null(), kind, -1, 0);
            }
            let mut columns = [LIST as i16 + 1, TID as i16 + 1];
            let mut operators = [
                pg_sys::Oid::from(pg_sys::Int4LessOperator),
                pg_sys::Oid::from(pg_sys::Int8LessOperator),
            ];
            let mut collations = [pg_sys::InvalidOid; 2];
            let mut nulls_first = [false; 2];
            let coordinate = share.map_or(std::ptr::null_mut(), |share| {
                let place = pg_sys::palloc0(size_of::<pg_sys::SortCoordinateData>())
                    .cast::<pg_sys::SortCoordinateData>();
                (*place).isWorker = share.worker;
                // A worker doesn't know how many there are.
                (*place).nParticipants = if share.worker { -1 } else { share.participants };
                (*place).sharedsort = share.sort;
                place
            });
            let state = pg_sys::tuplesort_begin_heap(
                descriptor,
                columns.len() as i32,
                columns.as_mut_ptr(),
                operators.as_mut_ptr(),
                collations.as_mut_ptr(),
                nulls_first.as_mut_ptr(),
                (memory / 1024).clamp(64, i32::MAX as usize) as i32,
                coordinate,
                0,
            );
            RowSort {
                state,
                input: pg_sys::MakeSingleTupleTableSlot(
                    descriptor,
                    &raw const pg_sys::TTSOpsVirtual,
                ),
                output: pg_sys::MakeSingleTupleTableSlot(
                    descriptor,
                    &raw const pg_sys::TTSOpsMinimalTuple,
                ),
                scratch: Scratch::new(),
            }
        }
    }

    /// Adds a row.
    pub fn put(&mut self, list: u32, tid: Tid, elements: &[u8]) {
        let (state, input) = (self.state, self.input);
        self.scratch.run(|| {
            // SAFETY: a virtual slot of three columns; the sort copies the row before the scratch
            // memory is freed.
            unsafe {
                super::compat::clear_slot(input);
                let values = std::slice::from_raw_parts_mut((*input).tts_values, COLUMNS);
                values[LIST] = pg_sys::Datum::from(list as i32);
                values[TID] = pg_sys::Datum::from(tid.to_u64() as i64);
                values[ELEMENTS] = varlena(elements.len(), |out| out.copy_from_slice(elements))
                    .unwrap_or_else(|error| raise(error));
                std::slice::from_raw_parts_mut((*input).tts_isnull, COLUMNS).fill(false);
                pg_sys::ExecStoreVirtualTuple(input);
                pg_sys::tuplesort_puttupleslot(state, input);
            }
        });
    }

    /// Sorts this process's share and leaves it to whoever merges.
    pub(super) fn finish_share(self) {
        // SAFETY: a worker's sort: the sorted rows stay in shared temporary files.
        unsafe {
            pg_sys::tuplesort_performsort(self.state);
            pg_sys::ExecDropSingleTupleTableSlot(self.input);
            pg_sys::ExecDropSingleTupleTableSlot(self.output);
            pg_sys::tuplesort_end(self.state);
        }
    }

    /// Sorts, and hands out every row in order.
    pub fn drain(self, sink: &mut SortedSink<'_>) -> Result<(), AmError> {
        let (state, output) = (self.state, self.output);
        // SAFETY: the sort was begun and all rows are in; a minimal tuple's bytes live until the
        // next one is fetched.
        unsafe {
            pg_sys::tuplesort_performsort(state);
            while pg_sys::tuplesort_gettupleslot(state, true, false, output, std::ptr::null_mut()) {
                pg_sys::slot_getsomeattrs_int(output, COLUMNS as i32);
                let values = std::slice::from_raw_parts((*output).tts_values, COLUMNS);
                let tid = values[TID].value() as u64;
                let tid = Tid {
                    block: (tid >> 16) as u32,
                    offset: tid as u16,
                };
                sink(values[LIST].value() as u32, tid, payload(values[ELEMENTS]))?;
            }
            pg_sys::ExecDropSingleTupleTableSlot(self.input);
            pg_sys::ExecDropSingleTupleTableSlot(output);
            pg_sys::tuplesort_end(state);
        }
        Ok(())
    }
}
