//! What may be appended: rows that are exactly what the stream's newest schema says.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::compute::{max, min};
use arrow::datatypes::{
    ArrowTimestampType, DataType, Schema, TimeUnit, TimestampMicrosecondType, TimestampMillisecondType,
    TimestampNanosecondType, TimestampSecondType,
};
use headwater_core::{EventTime, StreamName};

use crate::api::Append;
use crate::error::{LogError, Result};
use crate::streams::Stream;

/// The rows of an append under the stream's own schema, or why they do not fit it.
pub(crate) fn admit(stream: &Stream, append: &Append) -> Result<RecordBatch> {
    stream.check_shard(append.shard)?;
    let (schema, rows) = (stream.schema(), &append.rows);
    if Arc::ptr_eq(schema, rows.schema_ref()) {
        return Ok(rows.clone());
    }
    check_columns(&stream.info.spec.name, schema, rows)?;
    Ok(RecordBatch::try_new(Arc::clone(schema), rows.columns().to_vec())?)
}

fn check_columns(stream: &StreamName, schema: &Schema, rows: &RecordBatch) -> Result<()> {
    let refuse = |reason| Err(LogError::SchemaMismatch { stream: stream.clone(), reason });
    let (want, have) = (schema.fields(), rows.schema_ref().fields());
    if want.len() != have.len() {
        return refuse(format!("{} columns, not {}", have.len(), want.len()));
    }
    for (number, (want, have)) in want.iter().zip(have).enumerate() {
        if want.name() != have.name() {
            return refuse(format!("column {number} is {}, not {}", have.name(), want.name()));
        }
        if want.data_type() != have.data_type() {
            let (name, is, should) = (want.name(), have.data_type(), want.data_type());
            return refuse(format!("column {name} is {is}, not {should}"));
        }
        if !want.is_nullable() && rows.column(number).null_count() > 0 {
            return refuse(format!("column {} must not be NULL", want.name()));
        }
    }
    Ok(())
}

/// The smallest and largest event time of a timestamp column, if any row has one.
pub(crate) fn event_time_range(column: &ArrayRef) -> Option<(EventTime, EventTime)> {
    match column.data_type() {
        DataType::Timestamp(TimeUnit::Second, _) => range_of::<TimestampSecondType>(column),
        DataType::Timestamp(TimeUnit::Millisecond, _) => range_of::<TimestampMillisecondType>(column),
        DataType::Timestamp(TimeUnit::Microsecond, _) => range_of::<TimestampMicrosecondType>(column),
        DataType::Timestamp(TimeUnit::Nanosecond, _) => range_of::<TimestampNanosecondType>(column),
        _ => None,
    }
}

fn range_of<T: ArrowTimestampType>(column: &dyn Array) -> Option<(EventTime, EventTime)> {
    let values = column.as_primitive::<T>();
    let of = |value| EventTime::from_unit(value, T::UNIT);
    Some((of(min(values)?), of(max(values)?)))
}
