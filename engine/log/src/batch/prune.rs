//! Which batches a bound leaves out, from the header alone.

use arrow::datatypes::Schema;

use super::header::Header;
use crate::api::ColumnBound;

/// Whether a batch may hold a row within all bounds. Bounds are in terms of `target`, the newest schema; the batch was
/// written with `written`. `false` is certain, `true` is not.
pub(crate) fn may_match(header: &Header, bounds: &[ColumnBound], written: &Schema, target: &Schema) -> bool {
    let _ = (header, bounds, written, target);
    todo!()
}
