//! Differences between PostgreSQL majors, and macros of its headers.

use pgrx::pg_sys;

/// The header's InvalidSubTransactionId.
const INVALID_SUBTRANSACTION: pg_sys::SubTransactionId = 0;

/// Checks for interrupts and sleeps where vacuum's cost limit asks for it.
pub fn vacuum_delay_point() {
    // SAFETY: on the backend's thread, with no lightweight lock of ours held.
    unsafe {
        #[cfg(feature = "pg18")]
        pg_sys::vacuum_delay_point(false);
        #[cfg(not(feature = "pg18"))]
        pg_sys::vacuum_delay_point();
    }
}

/// Begins a scan of an index without keys.
///
/// # Safety
/// Both relations are open, and the snapshot is valid, for as long as the scan.
pub unsafe fn begin_index_scan(
    table: pg_sys::Relation,
    index: pg_sys::Relation,
    snapshot: pg_sys::Snapshot,
) -> pg_sys::IndexScanDesc {
    // SAFETY: the caller's promise.
    unsafe {
        #[cfg(feature = "pg18")]
        return pg_sys::index_beginscan(table, index, snapshot, std::ptr::null_mut(), 0, 1);
        #[cfg(not(feature = "pg18"))]
        return pg_sys::index_beginscan(table, index, snapshot, 0, 1);
    }
}

/// The header's RelationNeedsWAL.
///
/// # Safety
/// `relation` is open.
pub unsafe fn relation_needs_wal(relation: pg_sys::Relation) -> bool {
    // SAFETY: the caller's promise; rd_rel is set for every open relation.
    unsafe {
        let permanent = (*(*relation).rd_rel).relpersistence
            == pg_sys::RELPERSISTENCE_PERMANENT as std::ffi::c_char;
        let logged = pg_sys::wal_level >= pg_sys::WalLevel::WAL_LEVEL_REPLICA as i32;
        let created_here =
            (*relation).rd_createSubid != INVALID_SUBTRANSACTION || relfile_created_here(relation);
        permanent && (logged || !created_here)
    }
}

unsafe fn relfile_created_here(relation: pg_sys::Relation) -> bool {
    // SAFETY: the caller's promise.
    unsafe {
        #[cfg(feature = "pg15")]
        return (*relation).rd_firstRelfilenodeSubid != INVALID_SUBTRANSACTION;
        #[cfg(not(feature = "pg15"))]
        return (*relation).rd_firstRelfilelocatorSubid != INVALID_SUBTRANSACTION;
    }
}

/// The header's TupleDescAttr: 18 moved the attributes behind an array of compact ones.
///
/// # Safety
/// `descriptor` is valid and has more than `n` attributes.
pub unsafe fn attribute(
    descriptor: pg_sys::TupleDesc,
    n: usize,
) -> *const pg_sys::FormData_pg_attribute {
    // SAFETY: the caller's promise.
    unsafe {
        #[cfg(feature = "pg18")]
        {
            let compact = (*descriptor).compact_attrs.as_ptr();
            compact
                .add((*descriptor).natts as usize)
                .cast::<pg_sys::FormData_pg_attribute>()
                .add(n)
        }
        #[cfg(not(feature = "pg18"))]
        {
            (*descriptor).attrs.as_ptr().add(n)
        }
    }
}

/// Counts a scan in pg_stat_user_indexes, and for EXPLAIN where the server shows it.
///
/// # Safety
/// `scan` is open.
pub unsafe fn count_index_scan(scan: pg_sys::IndexScanDesc) {
    // SAFETY: the caller's promise; pgstat_info is set by pgstat_assoc_relation.
    unsafe {
        let relation = (*scan).indexRelation;
        if (*relation).pgstat_info.is_null() && (*relation).pgstat_enabled {
            pg_sys::pgstat_assoc_relation(relation);
        }
        if let Some(info) = (*relation).pgstat_info.as_mut() {
            #[cfg(feature = "pg15")]
            {
                info.t_counts.t_numscans += 1;
            }
            #[cfg(not(feature = "pg15"))]
            {
                info.counts.numscans += 1;
            }
        }
        #[cfg(feature = "pg18")]
        if let Some(instrument) = (*scan).instrument.as_mut() {
            instrument.nsearches += 1;
        }
    }
}

/// The header's ExecClearTuple.
///
/// # Safety
/// `slot` is valid.
pub unsafe fn clear_slot(slot: *mut pg_sys::TupleTableSlot) {
    // SAFETY: the caller's promise; every kind of slot has a clear function.
    unsafe {
        let clear = (*(*slot).tts_ops).clear.expect("slots can be cleared");
        super::raw::guarded(|| clear(slot));
    }
}

/// Whether the current user owns a relation (or is a superuser).
pub fn owns_relation(relation: pg_sys::Oid) -> bool {
    // SAFETY: look-ups by OID.
    unsafe {
        #[cfg(feature = "pg15")]
        return pg_sys::pg_class_ownercheck(relation, pg_sys::GetUserId());
        #[cfg(not(feature = "pg15"))]
        return pg_sys::object_ownercheck(
            pg_sys::RelationRelationId,
            relation,
            pg_sys::GetUserId(),
        );
    }
}

/// Whether a heap page has a line pointer in use at `offset` (from 1).
///
/// # Safety
/// `page` is a pinned and locked heap page.
pub unsafe fn line_pointer_in_use(page: pg_sys::Page, offset: u16) -> bool {
    // SAFETY: the caller's promise; pd_lower of a page that was read without error is within it.
    unsafe {
        let header = page.cast::<pg_sys::PageHeaderData>();
        let head = std::mem::offset_of!(pg_sys::PageHeaderData, pd_linp);
        let bytes = usize::from((*header).pd_lower).saturating_sub(head);
        let count = bytes / size_of::<pg_sys::ItemIdData>();
        let new = (*header).pd_upper == 0;
        if new || offset == 0 || usize::from(offset) > count {
            return false;
        }
        let pointer = (*header).pd_linp.as_ptr().add(usize::from(offset) - 1);
        (*pointer).lp_flags() != pg_sys::LP_UNUSED
    }
}

/// The name of a relation's file.
#[cfg(feature = "pg15")]
pub type RelationFileName = pg_sys::RelFileNode;
/// The name of a relation's file.
#[cfg(not(feature = "pg15"))]
pub type RelationFileName = pg_sys::RelFileLocator;

/// The name of a relation's file, comparable.
#[derive(Clone, Copy)]
pub struct RelationFile(pub RelationFileName);

impl RelationFile {
    /// Tablespace, database and file number.
    fn parts(self) -> [u32; 3] {
        #[cfg(feature = "pg15")]
        return [
            self.0.spcNode.into(),
            self.0.dbNode.into(),
            self.0.relNode.into(),
        ];
        #[cfg(not(feature = "pg15"))]
        return [
            self.0.spcOid.into(),
            self.0.dbOid.into(),
            self.0.relNumber.into(),
        ];
    }
}

impl PartialEq for RelationFile {
    fn eq(&self, other: &Self) -> bool {
        self.parts() == other.parts()
    }
}

/// The file of an open relation.
///
/// # Safety
/// `relation` is open.
pub unsafe fn relation_file(relation: pg_sys::Relation) -> RelationFile {
    // SAFETY: the caller's promise.
    unsafe {
        #[cfg(feature = "pg15")]
        return RelationFile((*relation).rd_node);
        #[cfg(not(feature = "pg15"))]
        return RelationFile((*relation).rd_locator);
    }
}

/// Whether a shared buffer holds a block of a file now. Nothing keeps it there afterwards.
///
/// # Safety
/// `buffer` was the number of a buffer of this server once.
pub unsafe fn buffer_holds(buffer: pg_sys::Buffer, file: RelationFile, block: u32) -> bool {
    if buffer < 1 {
        return false; // a backend's own buffer, of a temporary table
    }
    // SAFETY: descriptors are mapped for the life of the server. A tag is five words in all
    // majors: tablespace, database, file, fork, block. It may change meanwhile, so it is read as
    // what others write.
    unsafe {
        let padded = pg_sys::BufferDescriptors.add(buffer as usize - 1);
        let descriptor = &raw const (*padded).bufferdesc;
        let tag = std::ptr::read_volatile((&raw const (*descriptor).tag).cast::<[u32; 5]>());
        let state = std::ptr::read_volatile(&raw const (*descriptor).state.value);
        let [tablespace, database, number] = file.parts();
        let main = pg_sys::ForkNumber::MAIN_FORKNUM as u32;
        tag == [tablespace, database, number, main, block] && state & pg_sys::BM_VALID != 0
    }
}

const _: () = assert!(size_of::<pg_sys::BufferTag>() == 20);

/// Where a shared buffer's descriptor is, for a prefetch only.
pub fn buffer_descriptor(buffer: pg_sys::Buffer) -> *const u8 {
    // SAFETY: the static is set when a backend starts; nothing is read there.
    let first = unsafe { pg_sys::BufferDescriptors };
    first
        .wrapping_offset(buffer as isize - 1)
        .cast::<u8>()
        .cast_const()
}

/// What is called for each node below an expression; true ends the walk.
pub type Walker = unsafe extern "C-unwind" fn(*mut pg_sys::Node, *mut std::ffi::c_void) -> bool;
/// What is called for each node below an expression, and returns what stands for it.
pub type Mutator =
    unsafe extern "C-unwind" fn(*mut pg_sys::Node, *mut std::ffi::c_void) -> *mut pg_sys::Node;

/// The header's expression_tree_walker.
///
/// # Safety
/// A valid node; the context is what the walker takes.
pub unsafe fn walk_expression(
    node: *mut pg_sys::Node,
    walker: Walker,
    context: *mut std::ffi::c_void,
) -> bool {
    // SAFETY: the caller's promise.
    unsafe {
        #[cfg(feature = "pg15")]
        return pg_sys::expression_tree_walker(node, Some(walker), context);
        #[cfg(not(feature = "pg15"))]
        return pg_sys::expression_tree_walker_impl(node, Some(walker), context);
    }
}

/// The header's expression_tree_mutator.
///
/// # Safety
/// As for [`walk_expression`].
pub unsafe fn mutate_expression(
    node: *mut pg_sys::Node,
    mutator: Mutator,
    context: *mut std::ffi::c_void,
) -> *mut pg_sys::Node {
    // SAFETY: the caller's promise. In 15 the function's type does not name its callback's arguments.
    unsafe {
        #[cfg(feature = "pg15")]
        return pg_sys::expression_tree_mutator(
            node,
            Some(std::mem::transmute::<
                Mutator,
                unsafe extern "C-unwind" fn() -> _,
            >(mutator)),
            context,
        );
        #[cfg(not(feature = "pg15"))]
        return pg_sys::expression_tree_mutator_impl(node, Some(mutator), context);
    }
}

/// Whether the current user may call a function.
pub fn may_execute(function: pg_sys::Oid) -> bool {
    let wanted = pg_sys::ACL_EXECUTE as pg_sys::AclMode;
    // SAFETY: looked up by OID.
    let result = unsafe {
        #[cfg(feature = "pg15")]
        {
            pg_sys::pg_proc_aclcheck(function, pg_sys::GetUserId(), wanted)
        }
        #[cfg(not(feature = "pg15"))]
        {
            let class = pg_sys::ProcedureRelationId;
            pg_sys::object_aclcheck(class, function, pg_sys::GetUserId(), wanted)
        }
    };
    result == pg_sys::AclResult::ACLCHECK_OK
}
