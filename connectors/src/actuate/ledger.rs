//! `system.scaling_attempts`: each attempt to carry a decision out, and what became of it.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, Int32Array, Int64Array, RecordBatch, StringArray, TimestampNanosecondArray,
};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use headwater_core::{EventTime, ShardId};
use headwater_ingest::IngestError;
use headwater_log::{Append, Log, StreamInfo};

use crate::error::Result;

/// The stream of attempts.
pub const ATTEMPTS: &str = "system.scaling_attempts";

/// The stream by which groups learn what came of their activities.
pub(super) const PROGRESS: &str = "system.scaling_progress";

/// The stream of what groups decide.
pub(super) const ACTIVITIES: &str = "system.scaling_activities";

/// The columns of [`ATTEMPTS`].
pub fn attempts_schema() -> SchemaRef {
    let time = || DataType::Timestamp(TimeUnit::Nanosecond, Some("UTC".into()));
    Arc::new(Schema::new(vec![
        // When the attempt began, by the clock.
        Field::new("at", time(), false),
        Field::new("group", DataType::Utf8, false),
        Field::new("actuator", DataType::Utf8, false),
        // scale; resume (the last size, after a restart); or what the actuator does on its own, such as replace.
        Field::new("action", DataType::Utf8, false),
        // The activity and its idempotency key; NULL for what no activity asked for.
        Field::new("activity", DataType::Int64, true),
        Field::new("id", DataType::Utf8, true),
        // The size to be reached.
        Field::new("size", DataType::Int64, false),
        // Which attempt, from 1; 0: it was not even tried.
        Field::new("attempt", DataType::Int32, false),
        // done, failed (tried again at next_try), parked (given up), superseded (by a newer activity).
        Field::new("outcome", DataType::Utf8, false),
        // What was done, or what went wrong.
        Field::new("detail", DataType::Utf8, true),
        // How long it took, in milliseconds.
        Field::new("millis", DataType::Int64, false),
        Field::new("next_try", time(), true),
    ]))
}

/// What became of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Done,
    Failed,
    Parked,
    Superseded,
}

impl Outcome {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Parked => "parked",
            Self::Superseded => "superseded",
        }
    }
}

/// One attempt.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) at: EventTime,
    pub(super) action: &'static str,
    /// Number and id.
    pub(super) activity: Option<(u64, String)>,
    pub(super) size: u64,
    pub(super) attempt: u32,
    pub(super) outcome: Outcome,
    pub(super) detail: Option<String>,
    pub(super) millis: u64,
    pub(super) next_try: Option<EventTime>,
}

/// What came of an activity, for its group.
#[derive(Clone, Debug)]
pub(super) struct Progress {
    pub(super) at: EventTime,
    pub(super) activity: u64,
    pub(super) succeeded: bool,
    pub(super) detail: String,
}

/// Makes the appends of attempts and of progress.
pub(super) struct Ledger {
    attempts: Arc<StreamInfo>,
    progress: Arc<StreamInfo>,
    group: String,
    actuator: String,
}

impl Ledger {
    pub(super) fn open(log: &dyn Log, group: &str, actuator: &str) -> Result<Self> {
        Ok(Self {
            attempts: headwater_ingest::dead_letter::system_stream(log, ATTEMPTS, attempts_schema())?,
            progress: log.stream_named(PROGRESS)?,
            group: group.to_owned(),
            actuator: actuator.to_owned(),
        })
    }

    /// The append of attempts; none if there are none.
    pub(super) fn attempts(&self, entries: &[Entry]) -> Result<Option<Append>> {
        if entries.is_empty() {
            return Ok(None);
        }
        let time = |value: &dyn Fn(&Entry) -> Option<EventTime>| -> ArrayRef {
            let times = entries.iter().map(|entry| value(entry).map(|time| time.0));
            Arc::new(times.collect::<TimestampNanosecondArray>().with_timezone("UTC"))
        };
        let text = |value: &dyn Fn(&Entry) -> Option<String>| -> ArrayRef {
            Arc::new(entries.iter().map(value).collect::<StringArray>())
        };
        let number = |value: &dyn Fn(&Entry) -> Option<u64>| -> ArrayRef {
            Arc::new(entries.iter().map(|entry| value(entry).map(u64::cast_signed)).collect::<Int64Array>())
        };
        let rows = RecordBatch::try_new(
            attempts_schema(),
            vec![
                time(&|entry| Some(entry.at)),
                text(&|_| Some(self.group.clone())),
                text(&|_| Some(self.actuator.clone())),
                text(&|entry| Some(entry.action.to_owned())),
                number(&|entry| Some(entry.activity.as_ref()?.0)),
                text(&|entry| Some(entry.activity.as_ref()?.1.clone())),
                number(&|entry| Some(entry.size)),
                Arc::new(Int32Array::from_iter_values(
                    entries.iter().map(|entry| entry.attempt.cast_signed()),
                )),
                text(&|entry| Some(entry.outcome.as_str().to_owned())),
                text(&|entry| entry.detail.clone()),
                number(&|entry| Some(entry.millis)),
                time(&|entry| entry.next_try),
            ],
        );
        Ok(Some(Append::new(self.attempts.id, ShardId(0), rows.map_err(IngestError::from)?)))
    }

    /// The append of progress; none if there is none. The stream's columns are `at, group, activity, succeeded, detail`.
    pub(super) fn progress(&self, all: &[Progress]) -> Result<Option<Append>> {
        if all.is_empty() {
            return Ok(None);
        }
        let columns: Vec<ArrayRef> = vec![
            Arc::new(
                TimestampNanosecondArray::from_iter_values(all.iter().map(|one| one.at.0))
                    .with_timezone("UTC"),
            ),
            Arc::new(StringArray::from_iter_values(all.iter().map(|_| &self.group))),
            Arc::new(Int64Array::from_iter_values(all.iter().map(|one| one.activity.cast_signed()))),
            Arc::new(BooleanArray::from_iter(all.iter().map(|one| Some(one.succeeded)))),
            Arc::new(StringArray::from_iter_values(all.iter().map(|one| &one.detail))),
        ];
        let rows = RecordBatch::try_new(Arc::clone(&self.progress.spec.schema), columns);
        Ok(Some(Append::new(self.progress.id, ShardId(0), rows.map_err(IngestError::from)?)))
    }
}
