//! `system.trigger_deliveries`: each attempt, and what became of it.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use arrow::array::{
    ArrayRef, AsArray, Int32Array, Int64Array, RecordBatch, StringArray, TimestampNanosecondArray,
};
use arrow::datatypes::{DataType, Field, Int32Type, Schema, SchemaRef, TimeUnit};
use headwater_core::{EventTime, Sequence, ShardId};
use headwater_ingest::IngestError;
use headwater_log::{Append, From as ReadFrom, Log, ReadBatch, ReadSpec, StreamInfo};

use crate::blocking::on_thread;
use crate::error::{ConnectorError, Result};

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

/// What is written down of the deliveries of one trigger that may not be over.
#[derive(Debug, Default)]
pub(super) struct Past {
    /// How often each was tried, by its id.
    attempts: HashMap<String, u32>,
    /// The firings that came to their end one by one: delivered, parked or dropped.
    settled: HashSet<u64>,
}

impl Past {
    /// How often a delivery has been tried.
    pub(super) fn attempts(&self, id: &str) -> u32 {
        self.attempts.get(id).copied().unwrap_or(0)
    }

    /// Whether a firing is known to be at its end.
    pub(super) fn is_settled(&self, sequence: u64) -> bool {
        self.settled.contains(&sequence)
    }

    fn note(&mut self, id: &str, attempt: i32, outcome: &str) {
        let alone = id.rsplit('/').next().and_then(|sequence| sequence.parse().ok());
        match (outcome == Outcome::Failed.as_str(), alone) {
            (false, Some(sequence)) => {
                self.attempts.remove(id);
                self.settled.insert(sequence);
            }
            _ => {
                let tried = self.attempts.entry(id.to_owned()).or_default();
                *tried = u32::try_from(attempt).unwrap_or(0).max(*tried);
            }
        }
    }
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

    /// The row that is written next.
    pub(super) fn end(&self) -> Result<u64> {
        Ok(self.log.bounds(self.info.id)?[0].next.0)
    }

    /// What is written down from a row on of deliveries whose ids begin so. Blocks.
    pub(super) fn past(&self, from: u64, ids: &str) -> Result<Past> {
        let bounds = self.log.bounds(self.info.id)?[0];
        let spec = ReadSpec {
            from: ReadFrom::Sequence(bounds.first.max(Sequence(from))),
            until: Some(bounds.next),
            ..ReadSpec::all(self.info.id, ShardId(0))
        };
        let mut past = Past::default();
        if from >= bounds.next.0 {
            return Ok(past);
        }
        let mut reader = self.log.read(spec)?;
        while let Some(ReadBatch { rows, .. }) = reader.next()? {
            let missing =
                |name: &str| ConnectorError::refused("read deliveries", format!("no column '{name}'"));
            let text = |name: &str| {
                let column = rows.column_by_name(name).and_then(|column| column.as_string_opt::<i32>());
                column.ok_or_else(|| missing(name))
            };
            let attempts =
                rows.column_by_name("attempt").and_then(|column| column.as_primitive_opt::<Int32Type>());
            let attempts = attempts.ok_or_else(|| missing("attempt"))?;
            let (all, outcomes) = (text("id")?, text("outcome")?);
            for row in (0..rows.num_rows()).filter(|row| all.value(*row).starts_with(ids)) {
                past.note(all.value(row), attempts.value(row), outcomes.value(row));
            }
        }
        Ok(past)
    }

    /// Writes an attempt; it is durable when this returns.
    pub(super) async fn write(&self, entry: Entry) -> Result<()> {
        let (log, stream) = (Arc::clone(&self.log), self.info.id);
        let append = move || -> Result<()> {
            let rows = row(&entry).map_err(IngestError::from)?;
            log.append(vec![Append::new(stream, ShardId(0), rows)])?;
            Ok(())
        };
        on_thread(append).await?
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
