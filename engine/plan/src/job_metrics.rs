//! `system.job_metrics`: how jobs fare over time, for alarms and scaling policies. It is empty until something reads it.

use std::sync::Arc;
use std::time::Duration;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};

use crate::decision::engine_stream;
use crate::definition::{RetentionDef, StreamDef, WatermarkDef};

/// The stream's name.
pub const JOB_METRICS: &str = "system.job_metrics";

/// How often each job is measured.
pub const JOB_METRICS_INTERVAL: Duration = Duration::from_secs(5);

/// How long measurements are kept.
const KEPT: Duration = Duration::from_secs(14 * 86_400);

/// The columns of [`JOB_METRICS`].
pub fn job_metrics_schema() -> SchemaRef {
    let number = |name: &str| Field::new(name, DataType::Int64, false);
    Arc::new(Schema::new(vec![
        // When it was measured, by the clock; the same for all jobs of one look.
        Field::new("at", DataType::Timestamp(TimeUnit::Nanosecond, Some("UTC".into())), false),
        Field::new("job", DataType::Utf8, false),
        Field::new("state", DataType::Utf8, false),
        // Rows of its inputs that it has not taken yet.
        number("lag"),
        // Since it was created.
        number("rows_in"),
        number("rows_out"),
        number("rows_late"),
        number("steps"),
        // How many workers compute a step now.
        number("workers"),
        number("state_bytes"),
    ]))
}

/// The stream, which is in order by its time.
pub(crate) fn job_metrics() -> StreamDef {
    let watermark = WatermarkDef { column: "at".to_owned(), expr: "at".to_owned(), per: Vec::new() };
    StreamDef {
        watermark: Some(watermark),
        retention: RetentionDef { age: Some(KEPT), bytes: None },
        // A machine that was asleep measures nothing.
        idle_timeout: Some(JOB_METRICS_INTERVAL * 3),
        ..engine_stream(JOB_METRICS, job_metrics_schema())
    }
}
