//! From the typed errors of the pure crates to PostgreSQL's error reports.

use std::borrow::Cow;

use pgnear_values::{Code, ValueError};
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::{PgLogLevel, PgSqlErrorCode};

/// Raises `error` as an ERROR with its SQLSTATE, detail and hint. Never returns.
#[cold]
#[inline(never)]
pub fn raise(error: ValueError) -> ! {
    let mut report = ErrorReport::new(sqlstate(error.code), error.message, "pgnear");
    if let Some(detail) = error.detail {
        report = report.set_detail(detail);
    }
    if let Some(hint) = error.hint {
        report = report.set_hint(hint);
    }
    report.report(PgLogLevel::ERROR);
    unreachable!("an ERROR does not return")
}

fn sqlstate(code: Code) -> PgSqlErrorCode {
    match code {
        Code::DataException => PgSqlErrorCode::ERRCODE_DATA_EXCEPTION,
        Code::InvalidTextRepresentation => PgSqlErrorCode::ERRCODE_INVALID_TEXT_REPRESENTATION,
        Code::NumericValueOutOfRange => PgSqlErrorCode::ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE,
        Code::NullValueNotAllowed => PgSqlErrorCode::ERRCODE_NULL_VALUE_NOT_ALLOWED,
        Code::InvalidParameterValue => PgSqlErrorCode::ERRCODE_INVALID_PARAMETER_VALUE,
        Code::ProgramLimitExceeded => PgSqlErrorCode::ERRCODE_PROGRAM_LIMIT_EXCEEDED,
        Code::InvalidBinaryRepresentation => PgSqlErrorCode::ERRCODE_INVALID_BINARY_REPRESENTATION,
        Code::ProtocolViolation => PgSqlErrorCode::ERRCODE_PROTOCOL_VIOLATION,
        Code::OutOfMemory => PgSqlErrorCode::ERRCODE_OUT_OF_MEMORY,
        Code::FeatureNotSupported => PgSqlErrorCode::ERRCODE_FEATURE_NOT_SUPPORTED,
        Code::SystemError => PgSqlErrorCode::ERRCODE_SYSTEM_ERROR,
        Code::InternalError => PgSqlErrorCode::ERRCODE_INTERNAL_ERROR,
        Code::DataCorrupted => PgSqlErrorCode::ERRCODE_DATA_CORRUPTED,
        Code::DivisionByZero => PgSqlErrorCode::ERRCODE_DIVISION_BY_ZERO,
    }
}

/// Raises an ERROR: a relation is of another kind than a function works on. Never returns.
pub fn wrong_object(message: String) -> ! {
    refuse(PgSqlErrorCode::ERRCODE_WRONG_OBJECT_TYPE, message)
}

/// Raises an ERROR: the caller lacks a right. Never returns.
pub fn insufficient_privilege(message: String) -> ! {
    refuse(PgSqlErrorCode::ERRCODE_INSUFFICIENT_PRIVILEGE, message)
}

fn refuse(code: PgSqlErrorCode, message: String) -> ! {
    ErrorReport::new(code, message, "pgnear").report(PgLogLevel::ERROR);
    unreachable!("an ERROR does not return")
}

/// Tells the client something it may want to act on.
pub fn notice(
    message: impl Into<Cow<'static, str>>,
    detail: &'static str,
    hint: impl Into<Cow<'static, str>>,
) {
    let code = PgSqlErrorCode::ERRCODE_SUCCESSFUL_COMPLETION;
    ErrorReport::new(code, message, "pgnear")
        .set_detail(detail)
        .set_hint(hint.into())
        .report(PgLogLevel::NOTICE);
}

/// Tells the client that something failed which its statement does without.
pub fn warning(message: impl Into<Cow<'static, str>>, detail: &'static str, hint: &'static str) {
    ErrorReport::new(PgSqlErrorCode::ERRCODE_WARNING, message, "pgnear")
        .set_detail(detail)
        .set_hint(hint)
        .report(PgLogLevel::WARNING);
}

/// Tells the client what it asked about.
pub fn info(message: impl Into<Cow<'static, str>>) {
    let code = PgSqlErrorCode::ERRCODE_SUCCESSFUL_COMPLETION;
    ErrorReport::new(code, message, "pgnear").report(PgLogLevel::INFO);
}
