//! What an ivfflat index is to be.

use pgnear_ann::Element;
use pgnear_ann::ivfflat::IndexSpec;
use pgnear_kernels::Metric;
use pgnear_values::Code;

use crate::am::column::{Column, column_of};
use crate::pg::index::{AmError, Index, value_error};
use crate::pg::reloptions::{self, IvfflatOptions};

use super::train::SEED;

/// What the index is to be, from its column, operator class and options.
pub fn spec_of(index: Index<'_>, options: Option<&IvfflatOptions>) -> Result<IndexSpec, AmError> {
    let Column {
        element,
        metric,
        dims,
    } = column_of(index, "ivfflat", |element, metric| match element {
        Element::F32 | Element::F16 => {
            matches!(metric, Metric::L2 | Metric::InnerProduct | Metric::Cosine)
        }
        Element::Bit => metric == Metric::Hamming,
        Element::Sparse => false,
    })?;
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
        dims,
        lists: options.map_or(reloptions::DEFAULT_LISTS, |options| options.lists) as u32,
        seed: SEED,
    })
}
