//! `amvalidate`: whether an operator class is complete and plausible.

use std::ffi::CStr;

use pgrx::pg_sys;

/// What a support function is for, which gives its signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Support {
    /// A distance of two values.
    Distance,
    /// The norm of a value.
    Norm,
    /// What an access method has to know of a type.
    Type,
}

impl Support {
    /// The result's and the arguments' types, for a class on `of`.
    fn signature(self, of: pg_sys::Oid) -> (pg_sys::Oid, Vec<pg_sys::Oid>) {
        match self {
            Self::Distance => (pg_sys::FLOAT8OID, vec![of, of]),
            Self::Norm => (pg_sys::FLOAT8OID, vec![of]),
            Self::Type => (pg_sys::INTERNALOID, vec![pg_sys::INTERNALOID]),
        }
    }
}

/// Reports each thing that is wrong as an INFO, as PostgreSQL's own access methods do, and returns
/// whether all is well: one ordering operator on the class's type that returns float8 and is sorted
/// by a btree family of that; a distance function; and of `support` no function of another
/// signature.
pub fn opclass(opclass: pg_sys::Oid, access_method: &str, support: &[Support]) -> bool {
    let mut complaints = Vec::new();
    // SAFETY: syscache entries and lists are released before the end; the structs are those of the
    // caches asked.
    unsafe {
        let tuple = pg_sys::SearchSysCache1(
            pg_sys::SysCacheIdentifier::CLAOID as i32,
            pg_sys::Datum::from(opclass),
        );
        if tuple.is_null() {
            return false;
        }
        let class: &pg_sys::FormData_pg_opclass =
            &*pg_sys::heap_tuple_get_struct::<pg_sys::FormData_pg_opclass>(tuple);
        let name = CStr::from_ptr(class.opcname.data.as_ptr())
            .to_string_lossy()
            .into_owned();
        let of = class.opcintype;
        let mut has_distance = false;
        for_each(
            pg_sys::SysCacheIdentifier::AMPROCNUM,
            class.opcfamily,
            |member| {
                let proc: &pg_sys::FormData_pg_amproc =
                    &*pg_sys::heap_tuple_get_struct::<pg_sys::FormData_pg_amproc>(member);
                function(proc, of, support, &mut complaints);
                has_distance |= proc.amprocnum == 1;
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
                let member: &pg_sys::FormData_pg_amop =
                    &*pg_sys::heap_tuple_get_struct::<pg_sys::FormData_pg_amop>(member);
                operators += 1;
                operator(member, of, &mut complaints);
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
                format!("operator class \"{name}\" of access method {access_method}: {complaint}")
            );
        }
    }
    complaints.is_empty()
}

/// Complains of a support function.
///
/// # Safety
/// In a transaction, as `amvalidate` is called.
unsafe fn function(
    proc: &pg_sys::FormData_pg_amproc,
    of: pg_sys::Oid,
    support: &[Support],
    complaints: &mut Vec<String>,
) {
    let number = proc.amprocnum;
    if proc.amproclefttype != of || proc.amprocrighttype != of {
        complaints.push(format!(
            "support function {number} is not on the class's type"
        ));
        return;
    }
    let Some(support) = usize::try_from(number - 1)
        .ok()
        .and_then(|n| support.get(n))
    else {
        complaints.push(format!("function with invalid support number {number}"));
        return;
    };
    // SAFETY: the caller's promise; get_func_signature fills in an array of as many types as it
    // counts, or fails.
    unsafe {
        let (result, arguments) = support.signature(of);
        let (mut types, mut count) = (std::ptr::null_mut(), 0);
        let returned = pg_sys::get_func_signature(proc.amproc, &raw mut types, &raw mut count);
        let taken = if count == 0 {
            &[]
        } else {
            std::slice::from_raw_parts(types.cast_const(), count as usize)
        };
        let fits = returned == result
            && !pg_sys::get_func_retset(proc.amproc)
            && taken.len() == arguments.len()
            && std::iter::zip(taken, &arguments)
                .all(|(&takes, &given)| pg_sys::IsBinaryCoercible(given, takes));
        if !fits {
            let shown = CStr::from_ptr(pg_sys::format_procedure(proc.amproc)).to_string_lossy();
            complaints.push(format!(
                "function {shown} with wrong signature for support number {number}"
            ));
        }
    }
}

/// Complains of an operator.
///
/// # Safety
/// In a transaction, as `amvalidate` is called.
unsafe fn operator(
    member: &pg_sys::FormData_pg_amop,
    of: pg_sys::Oid,
    complaints: &mut Vec<String>,
) {
    // SAFETY: the caller's promise.
    unsafe {
        let operator = member.amopopr;
        let shown = CStr::from_ptr(pg_sys::format_operator(operator)).to_string_lossy();
        if member.amopstrategy != 1 {
            complaints.push(format!(
                "operator {shown} with invalid strategy number {}",
                member.amopstrategy
            ));
        }
        let (mut left, mut right) = (pg_sys::InvalidOid, pg_sys::InvalidOid);
        pg_sys::op_input_types(operator, &raw mut left, &raw mut right);
        if (left, right) != (of, of) || (member.amoplefttype, member.amoprighttype) != (of, of) {
            complaints.push(format!("operator {shown} is not on the class's type"));
        }
        if member.amoppurpose != pg_sys::AMOP_ORDER as std::ffi::c_char {
            complaints.push(format!("operator {shown} is not FOR ORDER BY"));
            return;
        }
        let result = pg_sys::get_op_rettype(operator);
        if result != pg_sys::FLOAT8OID {
            complaints.push(format!(
                "ordering operator {shown} does not return double precision"
            ));
        }
        let less = pg_sys::get_opfamily_member(
            member.amopsortfamily,
            result,
            result,
            pg_sys::BTLessStrategyNumber as i16,
        );
        if less == pg_sys::InvalidOid {
            complaints.push(format!(
                "operator {shown} is sorted by a family that does not know what it returns"
            ));
        }
    }
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
