//! What goes into an alarm: one row for each point of its metric.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};

/// The end of the point's period, or the time of its row.
pub(super) const AT: usize = 0;
/// What tells the point's metric from others, such as `host=a, disk=sda`; empty without dimensions.
pub(super) const DIMENSIONS: usize = 1;
/// The value; null or not a number: there is no point.
pub(super) const VALUE: usize = 2;
/// How many samples it is over; null: not known, 0: there is no point.
pub(super) const SAMPLES: usize = 3;

/// The columns of points: `at`, `dimensions`, `value`, `samples`.
pub fn alarm_points_schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("at", DataType::Timestamp(TimeUnit::Nanosecond, None), true),
        Field::new("dimensions", DataType::Utf8, true),
        Field::new("value", DataType::Float64, true),
        Field::new("samples", DataType::Int64, true),
    ]))
}
