//! `system.trigger_deliveries`: each attempt, and what became of it.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int32Array, Int64Array, RecordBatch, StringArray, TimestampNanosecondArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use headwater_core::{EventTime, ShardId};
use headwater_ingest::IngestError;
use headwater_log::{Append, Log, LogError, StreamInfo};

use crate::error::Result;

/// The stream of attempts.
pub const DELIVERIES: &str = "system.trigger_deliveries";

/// The columns of [`DELIVERIES`].
pub fn deliveries_schema() -> SchemaRef {
    let time = || DataType::Timestamp(TimeUnit::Nanosecond, Some("UTC".into()));
    Arc::new(Schema::new(vec![
        // When the attempt began.
        Field::new("at", time(), false),
        Field::new("trigger", DataType::Utf8, false),
        // The idempotency key.
        Field::new("id", DataType::Utf8, false),
        // The first firing's sequence number in the trigger's stream, and how many firings the delivery has.
        Field::new("sequence", DataType::Int64, false),
        Field::new("firings", DataType::Int32, false),
        // The key's columns as a JSON array.
        Field::new("key", DataType::Utf8, false),
        // Which attempt, from 1.
        Field::new("attempt", DataType::Int32, false),
        // delivered, failed (tried again at next_try), parked (given up), dropped (over the rate).
        Field::new("outcome", DataType::Utf8, false),
        // The HTTP status, or the program's exit code.
        Field::new("status", DataType::Int32, true),
        Field::new("error", DataType::Utf8, true),
        // How long it took, in milliseconds.
        Field::new("millis", DataType::Int64, false),
        Field::new("next_try", time(), true),
    ]))
}

/// What became of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Delivered,
    Failed,
    Parked,
    Dropped,
}

impl Outcome {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Delivered => "delivered",
            Self::Failed => "failed",
            Self::Parked => "parked",
            Self::Dropped => "dropped",
        }
    }
}

/// One attempt.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) at: EventTime,
    pub(super) trigger: String,
    pub(super) id: String,
    pub(super) sequence: u64,
    pub(super) firings: usize,
    pub(super) key: String,
    pub(super) attempt: u32,
    pub(super) outcome: Outcome,
    pub(super) status: Option<i32>,
    pub(super) error: Option<String>,
    pub(super) millis: u64,
    pub(super) next_try: Option<EventTime>,
}

/// Writes attempts down.
#[derive(Clone)]
pub(super) struct Ledger {
    log: Arc<dyn Log>,
    info: Arc<StreamInfo>,
}

impl Ledger {
    pub(super) fn open(log: Arc<dyn Log>) -> Result<Self> {
        let info = headwater_ingest::dead_letter::system_stream(&*log, DELIVERIES, deliveries_schema())?;
        Ok(Self { log, info })
    }

    /// Writes an attempt; it is durable when this returns.
    pub(super) async fn write(&self, entry: Entry) -> Result<()> {
        let (log, stream) = (Arc::clone(&self.log), self.info.id);
        let append = move || -> Result<()> {
            let rows = row(&entry).map_err(IngestError::from)?;
            log.append(vec![Append::new(stream, ShardId(0), rows)])?;
            Ok(())
        };
        tokio::task::spawn_blocking(append).await.map_err(|_| LogError::Closed)?
    }
}

fn row(entry: &Entry) -> Result<RecordBatch, arrow::error::ArrowError> {
    let time = |time: Option<EventTime>| -> ArrayRef {
        Arc::new(TimestampNanosecondArray::from(vec![time.map(|time| time.0)]).with_timezone("UTC"))
    };
    let text = |text: &str| -> ArrayRef { Arc::new(StringArray::from(vec![text])) };
    let number = |number: u64| -> ArrayRef { Arc::new(Int64Array::from(vec![number.cast_signed()])) };
    let small = |number: u32| -> ArrayRef { Arc::new(Int32Array::from(vec![number.cast_signed()])) };
    RecordBatch::try_new(
        deliveries_schema(),
        vec![
            time(Some(entry.at)),
            text(&entry.trigger),
            text(&entry.id),
            number(entry.sequence),
            small(u32::try_from(entry.firings).unwrap_or(u32::MAX)),
            text(&entry.key),
            small(entry.attempt),
            text(entry.outcome.as_str()),
            Arc::new(Int32Array::from(vec![entry.status])),
            Arc::new(StringArray::from(vec![entry.error.as_deref()])),
            number(entry.millis),
            time(entry.next_try),
        ],
    )
}
