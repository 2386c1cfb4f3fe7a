//! `amvalidate`: whether an operator class is complete and plausible.

use std::ffi::CStr;

use pgrx::pg_sys;

/// The signatures that an access method of ours may ask of an operator class.
///
/// Reports each thing that is wrong as an INFO, as PostgreSQL's own access methods do, and returns
/// whether all is well: one ordering operator on the class's type that returns float8 and sorts by
/// a btree class, a distance function, and no number above `support_functions`.
pub fn opclass(opclass: pg_sys::Oid, access_method: &str, support_functions: u16) -> bool {
    let mut complaints = Vec::new();
    // SAFETY: syscache entries and lists are released before the end; the structs are those of the
    // caches asked.
    unsafe {
        let tuple = pg_sys::SearchSysCache1(
            pg_sys::SysCacheIdentifier::CLAOID as i32,
            pg_sys::Datum::from(opclass),
        );
        if tuple.is_null() {
            complaints.push("operator class not found".to_string());
        } else {
            let class: &pg_sys::FormData_pg_opclass =
                &*pg_sys::heap_tuple_get_struct::<pg_sys::FormData_pg_opclass>(tuple);
            let name = CStr::from_ptr(class.opcname.data.as_ptr())
                .to_string_lossy()
                .into_owned();
            let mut has_distance = false;
            for_each(
                pg_sys::SysCacheIdentifier::AMPROCNUM,
                class.opcfamily,
                |member| {
                    let proc: &pg_sys::FormData_pg_amproc =
                        &*pg_sys::heap_tuple_get_struct::<pg_sys::FormData_pg_amproc>(member);
                    let number = proc.amprocnum;
                    if number < 1 || number as u16 > support_functions {
                        complaints.push(format!("function with invalid support number {number}"));
                    }
                    if proc.amproclefttype != class.opcintype
                        || proc.amprocrighttype != class.opcintype
                    {
                        complaints.push(format!(
                            "support function {number} is not on the class's type"
                        ));
                    }
                    has_distance |= number == 1;
                },
            );
            if !has_distance {
                complaints.push("missing support function 1 (distance)".to_string());
            }
            let mut operators = 0;
            for_each(
                pg_sys::SysCacheIdentifier::AMOPSTRATEGY,
                class.opcfamily,
                |member| {
                    let operator: &pg_sys::FormData_pg_amop =
                        &*pg_sys::heap_tuple_get_struct::<pg_sys::FormData_pg_amop>(member);
                    operators += 1;
                    if operator.amopstrategy != 1 {
                        complaints.push(format!(
                            "operator with invalid strategy number {}",
                            operator.amopstrategy
                        ));
                    }
                    if operator.amoppurpose != pg_sys::AMOP_ORDER as std::ffi::c_char {
                        complaints.push("operator is not FOR ORDER BY".to_string());
                    }
                    if pg_sys::get_op_rettype(operator.amopopr) != pg_sys::FLOAT8OID {
                        complaints
                            .push("ordering operator does not return double precision".to_string());
                    }
                },
            );
            if operators != 1 {
                complaints.push(format!("{operators} operators where there should be one"));
            }
            pg_sys::ReleaseSysCache(tuple);
            for complaint in &complaints {
                pgrx::ereport!(
                    pgrx::PgLogLevel::INFO,
                    pgrx::PgSqlErrorCode::ERRCODE_INVALID_OBJECT_DEFINITION,
                    format!(
                        "operator class \"{name}\" of access method {access_method}: {complaint}"
                    )
                );
            }
        }
    }
    complaints.is_empty()
}

/// Calls `each` for every member of an operator family in a catalog cache.
///
/// # Safety
/// `cache` is a cache whose first key is the operator family.
unsafe fn for_each(
    cache: pg_sys::SysCacheIdentifier::Type,
    family: pg_sys::Oid,
    mut each: impl FnMut(pg_sys::HeapTuple),
) {
    // SAFETY: the caller's promise; members are valid until the list is released.
    unsafe {
        let none = pg_sys::Datum::from(0);
        let list =
            pg_sys::SearchSysCacheList(cache as i32, 1, pg_sys::Datum::from(family), none, none);
        for n in 0..(*list).n_members as usize {
            let member = *(*list)
                .members
                .as_slice((*list).n_members as usize)
                .get_unchecked(n);
            each(&raw mut (*member).tuple);
        }
        pg_sys::ReleaseCatCacheList(list);
    }
}
