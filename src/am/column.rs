//! The indexed column, as every access method looks at it: its element type, metric and dimensions,
//! and which values it takes.

use pgnear_ann::hnsw::MAX_SPARSE_DIMS;
use pgnear_ann::query::Shape;
use pgnear_ann::{Element, Error};
use pgnear_kernels::Metric;
use pgnear_quant::QuantError;
use pgnear_values::{Code, MAX_DIMS, ValueError};
use pgrx::pg_sys;

use crate::pg::index::{AmError, Index, OpClass, value_error};

/// Bits of a `bit` column that an index takes at most.
const MAX_BITS: i32 = 64_000;

/// What an index is over.
pub struct Column {
    pub element: Element,
    pub metric: Metric,
    pub dims: u32,
}

/// The column of a new index of `access_method`, which supports `metrics` (those of its operator
/// classes).
///
/// # Errors
/// An operator class, type or number of dimensions that can't be indexed.
pub fn column_of(
    index: Index<'_>,
    access_method: &str,
    supports: fn(Element, Metric) -> bool,
) -> Result<Column, AmError> {
    let unsupported = |what: String, hint| -> Result<Column, AmError> {
        Err(value_error(Code::FeatureNotSupported, what, hint).into())
    };
    let Some(OpClass { element, metric }) = index.opclass() else {
        return unsupported(
            format!(
                "operator class of index \"{}\" is not supported for {access_method} index",
                index.name()
            ),
            Some("Use an operator class of the extension, for example vector_l2_ops."),
        );
    };
    if index.column_type() == pg_sys::VARBITOID {
        return unsupported(
            format!("type not supported for {access_method} index"),
            Some("Use a column of type bit(n)."),
        );
    }
    if !supports(element, metric) {
        return unsupported(
            format!("distance not supported for {access_method} index"),
            None,
        );
    }
    let dims = index.typmod();
    if dims < 0 {
        return Err(value_error(
            Code::InvalidParameterValue,
            "column does not have dimensions",
            Some(if element == Element::Sparse {
                "Declare them, as in sparsevec(30000)."
            } else {
                "Declare them, as in vector(384), or index an expression such as (embedding::vector(384))."
            }),
        )
        .into());
    }
    let most = match element {
        Element::Bit => MAX_BITS,
        Element::Sparse => MAX_SPARSE_DIMS as i32,
        Element::F32 | Element::F16 => MAX_DIMS as i32,
    };
    if dims > most {
        return Err(value_error(
            Code::ProgramLimitExceeded,
            format!("column cannot have more than {most} dimensions for {access_method} index"),
            None,
        )
        .into());
    }
    Ok(Column {
        element,
        metric,
        dims: dims as u32,
    })
}

/// Whether a row has as many dimensions as the index; pgvector finds it by a distance of the row to
/// those that are there, so this is the error of the operator.
pub fn check_dims(shape: &impl Shape, dims: u32) -> Result<(), AmError> {
    if dims == shape.dims() {
        return Ok(());
    }
    Err(different_dimensions(shape.element(), dims, shape.dims()).into())
}

/// What the operator says to two values of different dimensions.
fn different_dimensions(element: Element, left: u32, right: u32) -> ValueError {
    let what = match element {
        Element::F32 => "vector dimensions",
        Element::F16 => "halfvec dimensions",
        Element::Bit => "bit lengths",
        Element::Sparse => "sparsevec dimensions",
    };
    let message = format!("different {what} {left} and {right}");
    value_error(Code::DataException, message, None)
}

/// Whether a row is left out: a vector of zeros has no direction to compare by cosine.
pub fn is_skipped(element: Element, metric: Metric, elements: &[u8]) -> bool {
    // -0.0 counts as zero: the sign bit is the highest of an element's last byte.
    metric == Metric::Cosine
        && match element {
            Element::F32 => elements
                .chunks_exact(4)
                .all(|x| x[..3] == [0; 3] && x[3] & 0x7F == 0),
            Element::F16 => elements
                .chunks_exact(2)
                .all(|x| x[0] == 0 && x[1] & 0x7F == 0),
            Element::Bit => false,
            Element::Sparse => elements.is_empty(),
        }
}

/// The bytes of a query, or of zeros for NULL, which is as near to one row as to another.
pub fn query_bytes<'a>(
    shape: &impl Shape,
    query: Option<(u32, &'a [u8])>,
    zeros: &'a mut Vec<u8>,
) -> Result<&'a [u8], AmError> {
    match query {
        Some((dims, _)) if dims != shape.dims() => {
            Err(different_dimensions(shape.element(), shape.dims(), dims).into())
        }
        Some((_, elements)) => Ok(elements),
        None => {
            zeros.resize(shape.element().bytes(shape.dims()), 0);
            Ok(zeros)
        }
    }
}

/// A mistake of ours.
pub fn internal(error: impl std::fmt::Display) -> AmError {
    AmError::Value(value_error(Code::InternalError, error.to_string(), None))
}

/// The errors of k-means and assignment in ours.
pub fn quant_error(error: QuantError<Error>) -> AmError {
    match error {
        QuantError::Poll(error) => AmError::Index(error),
        QuantError::Cancelled => AmError::Index(Error::Interrupted),
        QuantError::OutOfMemory(error) => AmError::Index(Error::OutOfMemory { bytes: error.bytes }),
        other => internal(other),
    }
}
