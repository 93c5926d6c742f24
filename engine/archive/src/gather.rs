//! A range's rows from the log, dressed for the archive: the stream's columns, then `_shard`, `_sequence` and `_arrival`.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, Int32Array, Int64Array, RecordBatch, TimestampNanosecondArray};
use arrow::compute::{cast, concat_batches};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use headwater_core::{Sequence, ShardId};
use headwater_log::{From, Log, ReadSpec, StreamInfo};

use crate::error::{ArchiveError, Result};
use crate::layout::{ARRIVAL, SEQUENCE, SHARD};
use crate::manifest::Span;

/// The columns of an archive's files.
pub(crate) fn schema_of(stream: &SchemaRef) -> SchemaRef {
    let mut fields = stream.fields().to_vec();
    let arrival = DataType::Timestamp(TimeUnit::Nanosecond, Some("UTC".into()));
    for (name, data_type) in [(SHARD, DataType::Int32), (SEQUENCE, DataType::Int64), (ARRIVAL, arrival)] {
        fields.push(Arc::new(Field::new(name, data_type, false)));
    }
    Arc::new(Schema::new(fields))
}

/// All rows of a range, in order, as one batch.
pub(crate) fn gather(log: &dyn Log, info: &StreamInfo, span: &Span) -> Result<RecordBatch> {
    let mut reader = log.read(ReadSpec {
        from: From::Sequence(Sequence(span.first)),
        until: Some(Sequence(span.next)),
        arrivals: true,
        ..ReadSpec::all(info.id, ShardId(span.shard))
    })?;
    let mut batches = Vec::new();
    let mut schema = schema_of(&info.spec.schema);
    let mut position = span.first;
    while let Some(read) = reader.next()? {
        if read.first.0 != position {
            break;
        }
        let rows = read.rows.num_rows();
        let arrivals = read.arrivals.unwrap_or_else(|| TimestampNanosecondArray::from_value(0, rows));
        let mut columns: Vec<ArrayRef> = read.rows.columns().to_vec();
        columns.push(Arc::new(Int32Array::from_value(span.shard as i32, rows)));
        columns.push(Arc::new(Int64Array::from_iter_values(position as i64..position as i64 + rows as i64)));
        columns.push(Arc::new(arrivals.with_timezone("UTC")));
        position += rows as u64;
        // The stream may get another column meanwhile; a file has one schema.
        let own = schema_of(&read.rows.schema());
        if own.fields().len() > schema.fields().len() || batches.is_empty() {
            schema = Arc::clone(&own);
        }
        batches.push(RecordBatch::try_new(own, columns)?);
    }
    if position != span.next {
        return Err(ArchiveError::Apart {
            stream: info.spec.name.to_string(),
            shard: span.shard,
            reason: format!(
                "rows {} to {} are to be archived, the log has them only up to {position}",
                span.first, span.next
            ),
        });
    }
    let batches = batches.into_iter().map(|batch| fit(&schema, batch)).collect::<Result<Vec<_>>>()?;
    Ok(concat_batches(&schema, &batches)?)
}

/// Rows with the columns of `schema`, found by name: those that are missing are NULL, those of other types are cast.
pub(crate) fn fit(schema: &SchemaRef, batch: RecordBatch) -> Result<RecordBatch> {
    if batch.schema_ref() == schema {
        return Ok(batch);
    }
    let rows = batch.num_rows();
    let column = |field: &Arc<Field>| -> Result<ArrayRef> {
        Ok(match batch.column_by_name(field.name()) {
            Some(column) if column.data_type() == field.data_type() => Arc::clone(column),
            Some(column) => cast(column, field.data_type())?,
            None => arrow::array::new_null_array(field.data_type(), rows),
        })
    };
    let columns = schema.fields().iter().map(column).collect::<Result<Vec<_>>>()?;
    let options = arrow::array::RecordBatchOptions::new().with_row_count(Some(rows));
    Ok(RecordBatch::try_new_with_options(Arc::clone(schema), columns, &options)?)
}

/// Event times in nanoseconds; NULL stays NULL.
pub(crate) fn event_times(
    rows: &RecordBatch,
    column: Option<&str>,
) -> Result<Option<TimestampNanosecondArray>> {
    let Some(times) = column.and_then(|name| rows.column_by_name(name)) else { return Ok(None) };
    let nanos = match times.data_type() {
        DataType::Timestamp(unit, _) => {
            let factor = headwater_core::time::nanos_per(*unit);
            let raw = cast(times, &DataType::Int64)?;
            raw.as_any().downcast_ref::<Int64Array>().map(|raw| {
                let nanos = raw.iter().map(|value| value.map(|value| value.saturating_mul(factor)));
                nanos.collect::<TimestampNanosecondArray>()
            })
        }
        _ => None,
    };
    Ok(nanos.filter(|nanos| nanos.len() == rows.num_rows()))
}
