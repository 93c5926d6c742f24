//! Which batches a bound leaves out, from the header alone.
//!
//! A bound speaks of rows that have a value: NULL is within no bound. So a column that is all NULL, or that the batch
//! was written without, leaves the batch out. Statistics are brought to the newest type before they are compared.

use std::cmp::Ordering;

use arrow::array::ArrayRef;
use arrow::compute::cast;
use arrow::datatypes::{DataType, Schema};
use headwater_core::time::nanos_per;

use super::header::Header;
use super::stats::{Value, extremes};
use crate::api::ColumnBound;
use crate::schema::stored_type;

/// Whether a batch may hold a row within all bounds. Bounds are in terms of `target`, the newest schema; the batch was
/// written with `written`. `false` is certain, `true` is not.
pub(crate) fn may_match(header: &Header, bounds: &[ColumnBound], written: &Schema, target: &Schema) -> bool {
    bounds.iter().all(|bound| bound_may_match(header, bound, written, target))
}

fn bound_may_match(header: &Header, bound: &ColumnBound, written: &Schema, target: &Schema) -> bool {
    let Some(target) = target.fields().get(bound.column).map(|field| stored_type(field.data_type())) else {
        return true;
    };
    // What of a bound is longer than statistics are is rounded like them, outwards.
    let min = bound.min.as_ref().and_then(|min| plain(min, target)).and_then(|min| extremes(&min).0);
    let max = bound.max.as_ref().and_then(|max| plain(max, target)).and_then(|max| extremes(&max).1);
    if min.is_none() && max.is_none() {
        return true;
    }
    let (Some(written), Some(stats)) = (written.fields().get(bound.column), header.stats.get(bound.column))
    else {
        return false;
    };
    if stats.nulls >= u64::from(header.rows) {
        return false;
    }
    let written = stored_type(written.data_type());
    let is = |left: &Option<Value>, right: &Option<Value>, order: Ordering| match (left, right) {
        (Some(left), Some(right)) => {
            widen(left, written, target).and_then(|left| left.partial_cmp(right)) == Some(order)
        }
        _ => false,
    };
    !is(&stats.max, &min, Ordering::Less) && !is(&stats.min, &max, Ordering::Greater)
}

/// A bound's value without its dictionary; none if it is not of the column's type, so that nothing is left out by it.
fn plain(value: &ArrayRef, target: &DataType) -> Option<ArrayRef> {
    let value = cast(value, stored_type(value.data_type())).ok()?;
    (value.data_type() == target).then_some(value)
}

/// A statistic of a column of one type as one of a wider type; the same conversion as [`crate::schema::widen`] makes.
fn widen(value: &Value, from: &DataType, to: &DataType) -> Option<Value> {
    match (value, from, to) {
        (value, from, to) if from == to => Some(value.clone()),
        (Value::Int(value), DataType::Timestamp(coarse, _), DataType::Timestamp(fine, _)) => {
            Some(Value::Int(value.saturating_mul(nanos_per(*coarse) / nanos_per(*fine))))
        }
        (Value::Int(value), _, to) if to.is_floating() => Some(Value::Float(*value as f64)),
        (Value::UInt(value), _, to) if to.is_floating() => Some(Value::Float(*value as f64)),
        (Value::UInt(value), _, to) if to.is_signed_integer() => i64::try_from(*value).ok().map(Value::Int),
        (value, _, _) => Some(value.clone()),
    }
}
