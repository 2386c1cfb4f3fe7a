//! What an index is to be, and which values it takes.

use pgnear_ann::ivfflat::IndexSpec;
use pgnear_ann::{Element, Error};
use pgnear_kernels::Metric;
use pgnear_values::{Code, MAX_DIMS, ValueError};
use pgrx::pg_sys;

use crate::pg::index::{AmError, Index, OpClass, value_error};
use crate::pg::reloptions::{self, IvfflatOptions};

use super::train::SEED;

/// Bits of a `bit` column that an index takes at most.
const MAX_BITS: i32 = 64_000;

/// What the index is to be, from its column, operator class and options.
pub fn spec_of(index: Index<'_>, options: Option<&IvfflatOptions>) -> Result<IndexSpec, AmError> {
    let Some(OpClass { element, metric }) = index.opclass() else {
        return Err(value_error(
            Code::FeatureNotSupported,
            format!(
                "operator class of index \"{}\" is not supported for ivfflat index",
                index.name()
            ),
            Some("Use an operator class of the extension, for example vector_l2_ops."),
        )
        .into());
    };
    if index.column_type() == pg_sys::VARBITOID {
        return Err(value_error(
            Code::FeatureNotSupported,
            "type not supported for ivfflat index",
            Some("Use a column of type bit(n)."),
        )
        .into());
    }
    let supported = match element {
        Element::F32 | Element::F16 => {
            matches!(metric, Metric::L2 | Metric::InnerProduct | Metric::Cosine)
        }
        Element::Bit => metric == Metric::Hamming,
    };
    if !supported {
        return Err(value_error(
            Code::FeatureNotSupported,
            "distance not supported for ivfflat index",
            None,
        )
        .into());
    }
    let dims = index.typmod();
    if dims < 0 {
        return Err(value_error(
            Code::InvalidParameterValue,
            "column does not have dimensions",
            Some("Declare them, as in vector(384), or index an expression such as (embedding::vector(384))."),
        )
        .into());
    }
    let most = if element == Element::Bit {
        MAX_BITS
    } else {
        MAX_DIMS as i32
    };
    if dims > most {
        return Err(value_error(
            Code::ProgramLimitExceeded,
            format!("column cannot have more than {most} dimensions for ivfflat index"),
            None,
        )
        .into());
    }
    if dims < 2 && metric == Metric::Cosine {
        return Err(value_error(
            Code::InvalidParameterValue,
            "dimensions must be greater than one for this opclass",
            None,
        )
        .into());
    }
    Ok(IndexSpec {
        element,
        metric,
        dims: dims as u32,
        lists: options.map_or(reloptions::DEFAULT_LISTS, |options| options.lists) as u32,
        seed: SEED,
    })
}

/// Whether a row has as many dimensions as the index.
pub fn check_dims(spec: &IndexSpec, dims: u32) -> Result<(), AmError> {
    if dims == spec.dims {
        return Ok(());
    }
    Err(AmError::Index(Error::WrongDimensions {
        expected: spec.dims,
        got: dims,
    }))
}

/// What the operator says to a query of other dimensions than the rows.
pub fn different_dimensions(spec: &IndexSpec, dims: u32) -> ValueError {
    let message = match spec.element {
        Element::F32 => format!("different vector dimensions {} and {dims}", spec.dims),
        Element::F16 => format!("different halfvec dimensions {} and {dims}", spec.dims),
        Element::Bit => format!("different bit lengths {} and {dims}", spec.dims),
    };
    value_error(Code::DataException, message, None)
}

/// Whether a row is left out: a vector of zeros has no direction to compare by cosine.
pub fn is_skipped(spec: &IndexSpec, elements: &[u8]) -> bool {
    // -0.0 counts as zero: the sign bit is the highest of an element's last byte.
    spec.metric == Metric::Cosine
        && match spec.element {
            Element::F32 => elements
                .chunks_exact(4)
                .all(|x| x[..3] == [0; 3] && x[3] & 0x7F == 0),
            Element::F16 => elements
                .chunks_exact(2)
                .all(|x| x[0] == 0 && x[1] & 0x7F == 0),
            Element::Bit => false,
        }
}
