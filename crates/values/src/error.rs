//! The error table: every message that a value can cause, with its SQLSTATE.
//!
//! Texts are part of the SQL contract: clients and tests match them, so they change only
//! together with the contract. Sizes are `usize` here and print as SQL's integers do.

use std::borrow::Cow;
use std::fmt;

/// The condition of an error, as SQL names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Code {
    /// 22000
    DataException,
    /// 22P02
    InvalidTextRepresentation,
    /// 22003
    NumericValueOutOfRange,
    /// 22004
    NullValueNotAllowed,
    /// 22012
    DivisionByZero,
    /// 22023
    InvalidParameterValue,
    /// 22P03
    InvalidBinaryRepresentation,
    /// 08P01
    ProtocolViolation,
    /// 0A000
    FeatureNotSupported,
    /// 53200
    OutOfMemory,
    /// 54000
    ProgramLimitExceeded,
    /// 58000
    SystemError,
    /// XX000
    InternalError,
    /// XX001
    DataCorrupted,
}

impl Code {
    /// The five characters of the SQLSTATE.
    pub fn sqlstate(&self) -> &'static str {
        match self {
            Code::DataException => "22000",
            Code::InvalidTextRepresentation => "22P02",
            Code::NumericValueOutOfRange => "22003",
            Code::NullValueNotAllowed => "22004",
            Code::DivisionByZero => "22012",
            Code::InvalidParameterValue => "22023",
            Code::InvalidBinaryRepresentation => "22P03",
            Code::ProtocolViolation => "08P01",
            Code::FeatureNotSupported => "0A000",
            Code::OutOfMemory => "53200",
            Code::ProgramLimitExceeded => "54000",
            Code::SystemError => "58000",
            Code::InternalError => "XX000",
            Code::DataCorrupted => "XX001",
        }
    }
}

/// What is wrong with a value; `Display` gives the primary message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ValueError {
    /// The SQL condition.
    pub code: Code,
    /// The primary message.
    pub message: Cow<'static, str>,
    /// The DETAIL line, where there is one.
    pub detail: Option<Cow<'static, str>>,
    /// The HINT line, where there is one.
    pub hint: Option<Cow<'static, str>>,
}

impl ValueError {
    /// An error without DETAIL and HINT.
    pub fn new(code: Code, message: impl Into<Cow<'static, str>>) -> Self {
        ValueError {
            code,
            message: message.into(),
            detail: None,
            hint: None,
        }
    }

    /// The same error with a DETAIL line.
    pub fn with_detail(mut self, detail: impl Into<Cow<'static, str>>) -> Self {
        self.detail = Some(detail.into());
        self
    }

    /// The same error with a HINT line.
    pub fn with_hint(mut self, hint: impl Into<Cow<'static, str>>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl fmt::Display for ValueError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for ValueError {}

// Dimensions

/// Two operands whose dimensions must agree.
#[cold]
pub fn different_dimensions(type_name: &str, a: usize, b: usize) -> ValueError {
    ValueError::new(
        Code::DataException,
        format!("different {type_name} dimensions {a} and {b}"),
    )
}

/// A value that breaks the dimensions that its column, cast or aggregate state asks for.
pub fn expected_dimensions(expected: i32, dims: usize) -> ValueError {
    ValueError::new(
        Code::DataException,
        format!("expected {expected} dimensions, not {dims}"),
    )
}

/// A value without elements.
#[cold]
pub fn no_dimensions(type_name: &str) -> ValueError {
    ValueError::new(
        Code::DataException,
        format!("{type_name} must have at least 1 dimension"),
    )
}

/// A value with more dimensions than its type allows.
#[cold]
pub fn too_many_dimensions(type_name: &str, limit: usize) -> ValueError {
    ValueError::new(
        Code::ProgramLimitExceeded,
        format!("{type_name} cannot have more than {limit} dimensions"),
    )
}

/// Two bit strings of different length.
#[cold]
pub fn different_bit_lengths(a: u32, b: u32) -> ValueError {
    ValueError::new(
        Code::DataException,
        format!("different bit lengths {a} and {b}"),
    )
}

// Elements

pub(crate) fn nan(type_name: &str) -> ValueError {
    ValueError::new(
        Code::DataException,
        format!("NaN not allowed in {type_name}"),
    )
}

pub(crate) fn infinite(type_name: &str) -> ValueError {
    ValueError::new(
        Code::DataException,
        format!("infinite value not allowed in {type_name}"),
    )
}

/// An arithmetic result too large for its type; the message of the built-in floats.
#[cold]
pub fn overflow() -> ValueError {
    ValueError::new(Code::NumericValueOutOfRange, "value out of range: overflow")
}

/// A product or quotient that became zero though no operand was; the message of the built-in
/// floats.
#[cold]
pub fn underflow() -> ValueError {
    ValueError::new(
        Code::NumericValueOutOfRange,
        "value out of range: underflow",
    )
}

pub(crate) fn division_by_zero() -> ValueError {
    ValueError::new(Code::DivisionByZero, "division by zero")
}

// Text

/// `invalid input syntax for type …: "…"` with the whole input.
pub(crate) fn syntax(type_name: &str, input: &[u8]) -> ValueError {
    quoting(
        Code::InvalidTextRepresentation,
        &format!("invalid input syntax for type {type_name}: "),
        input,
        "",
    )
}

/// `"…" is out of range for type …` with the number as it was written.
pub(crate) fn out_of_range(type_name: &str, token: &[u8]) -> ValueError {
    quoting(
        Code::NumericValueOutOfRange,
        "",
        token,
        &format!(" is out of range for type {type_name}"),
    )
}

/// A message around quoted input. The input's size is the client's choice, so its copy is a
/// fallible allocation; bytes that are not UTF-8 become U+FFFD.
fn quoting(code: Code, before: &str, input: &[u8], after: &str) -> ValueError {
    let quoted: usize = input
        .utf8_chunks()
        .map(|c| c.valid().len() + replacement(&c).len())
        .sum();
    let mut message = String::new();
    if message
        .try_reserve_exact(before.len() + quoted + after.len() + 2)
        .is_err()
    {
        return out_of_memory();
    }
    message.push_str(before);
    message.push('"');
    for chunk in input.utf8_chunks() {
        message.push_str(chunk.valid());
        message.push_str(replacement(&chunk));
    }
    message.push('"');
    message.push_str(after);
    ValueError::new(code, message)
}

fn replacement(chunk: &std::str::Utf8Chunk<'_>) -> &'static str {
    if chunk.invalid().is_empty() {
        ""
    } else {
        "\u{FFFD}"
    }
}

// Type modifiers

pub(crate) fn invalid_typmod() -> ValueError {
    ValueError::new(Code::InvalidParameterValue, "invalid type modifier")
}

pub(crate) fn typmod_too_small(type_name: &str) -> ValueError {
    ValueError::new(
        Code::InvalidParameterValue,
        format!("dimensions for type {type_name} must be at least 1"),
    )
}

pub(crate) fn typmod_too_large(type_name: &str, limit: usize) -> ValueError {
    ValueError::new(
        Code::InvalidParameterValue,
        format!("dimensions for type {type_name} cannot exceed {limit}"),
    )
}

// Wire

pub(crate) fn unused_not_zero(unused: i64) -> ValueError {
    ValueError::new(
        Code::DataException,
        format!("expected unused to be 0, not {unused}"),
    )
}

/// A message that ends before its value does.
pub(crate) fn message_too_short() -> ValueError {
    ValueError::new(Code::ProtocolViolation, "insufficient data left in message")
}

/// A message that goes on after its value.
pub(crate) fn message_too_long() -> ValueError {
    ValueError::new(
        Code::InvalidBinaryRepresentation,
        "incorrect binary data format",
    )
}

// Arrays and aggregate states

/// A cast from an array of more than one dimension.
pub fn array_not_one_dimensional() -> ValueError {
    ValueError::new(Code::DataException, "array must be 1-D")
}

/// A cast from an array that has a NULL.
pub fn array_has_nulls() -> ValueError {
    ValueError::new(Code::NullValueNotAllowed, "array must not contain nulls")
}

/// A cast from an array whose element type has no conversion.
pub fn unsupported_array_type() -> ValueError {
    ValueError::new(Code::DataException, "unsupported array type")
}

/// An aggregate's function that was called with something that is not its state.
pub fn not_a_state_array(function: &str) -> ValueError {
    ValueError::new(
        Code::InternalError,
        format!("{function}: expected state array"),
    )
}

// sparsevec

pub(crate) fn sparse_index_out_of_bounds() -> ValueError {
    ValueError::new(Code::DataException, "sparsevec index out of bounds")
}

pub(crate) fn sparse_indices_not_ascending() -> ValueError {
    ValueError::new(
        Code::DataException,
        "sparsevec indices must be in ascending order",
    )
}

pub(crate) fn sparse_duplicate_indices() -> ValueError {
    ValueError::new(
        Code::DataException,
        "sparsevec indices must not contain duplicates",
    )
}

pub(crate) fn sparse_negative_nnz() -> ValueError {
    ValueError::new(
        Code::DataException,
        "sparsevec cannot have negative number of elements",
    )
}

pub(crate) fn sparse_too_many_elements(limit: usize) -> ValueError {
    ValueError::new(
        Code::ProgramLimitExceeded,
        format!("sparsevec cannot have more than {limit} non-zero elements"),
    )
}

pub(crate) fn sparse_more_elements_than_dimensions() -> ValueError {
    ValueError::new(
        Code::ProgramLimitExceeded,
        "sparsevec cannot have more elements than dimensions",
    )
}

pub(crate) fn sparse_zero_on_wire() -> ValueError {
    ValueError::new(
        Code::DataException,
        "binary representation of sparsevec cannot contain zero values",
    )
}

// Storage and memory

/// Stored bytes that no value of the type can have.
#[cold]
pub(crate) fn corrupted(type_name: &str) -> ValueError {
    ValueError::new(
        Code::DataCorrupted,
        format!("stored {type_name} is corrupted"),
    )
}

/// An allocation that failed.
#[cold]
pub fn out_of_memory() -> ValueError {
    ValueError::new(Code::OutOfMemory, "out of memory")
}
