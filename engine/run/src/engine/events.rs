//! The stream `system.catalog`: every statement that defined something, in order.
//!
//! | column | |
//! |---|---|
//! | at | when, by the wall clock |
//! | kind | `statement`; `end`: no more rows come; `use`: a table's first use; `failed`: a MapReduce job; `replace`: a job went over |
//! | name | what it is about |
//! | text | the statement; for `use` source or sink; for `failed` why; JSON for `end` (where shards end) and `replace` (its era, too) |

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, RecordBatch, StringArray, TimestampNanosecondArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use arrow::error::ArrowError;
use headwater_core::{Sequence, ShardId, StreamName, World};
use headwater_log::{Append, Log, ReadSpec, StreamInfo, StreamSpec};
use serde::{Deserialize, Serialize};

use crate::error::{Result, RunError};
use crate::job::Era;
use crate::options::Role;

/// The stream's name.
pub(crate) const CATALOG: &str = "system.catalog";

/// Something that happened to the catalog.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// A statement took effect.
    Statement {
        /// What it is about.
        name: String,
        /// Its text.
        text: String,
    },
    /// A stream ended.
    End {
        /// Which.
        name: String,
        /// Where its shards end.
        ends: Vec<Sequence>,
    },
    /// A table was used for the first time.
    Use {
        /// Which.
        name: String,
        /// As what.
        role: Role,
    },
    /// A MapReduce job has failed, and is not to run again by itself.
    Failed {
        /// Which.
        name: String,
        /// Why.
        reason: String,
    },
    /// A job went over to another definition. It is appended in one group with the step that it names.
    Replace {
        /// Which job, view or trigger.
        name: String,
        /// What came of it.
        replaced: Replaced,
    },
}

/// A definition that took the place of another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Replaced {
    /// The text of its statement.
    pub statement: String,
    /// The era that it began.
    #[serde(flatten)]
    pub era: Era,
}

fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("at", DataType::Timestamp(TimeUnit::Nanosecond, Some("UTC".into())), false),
        Field::new("kind", DataType::Utf8, false),
        Field::new("name", DataType::Utf8, false),
        Field::new("text", DataType::Utf8, false),
    ]))
}

/// Finds a stream of the engine's own, or creates it.
pub(crate) fn ensure(log: &dyn Log, spec: StreamSpec) -> Result<Arc<StreamInfo>> {
    if let Ok(info) = log.stream_named(spec.name.as_str()) {
        return Ok(info);
    }
    Ok(Arc::new(log.create_stream(spec)?))
}

/// Finds the catalog's stream, or creates it.
pub(crate) fn open(log: &dyn Log) -> Result<Arc<StreamInfo>> {
    let name = StreamName::new(CATALOG).map_err(|error| RunError::Invalid(error.to_string()))?;
    ensure(log, StreamSpec::new(name, schema()))
}

/// Appends an event; it is durable when this returns.
pub(crate) fn append(world: &World, log: &dyn Log, event: &Event) -> Result<()> {
    log.append(vec![appended(world, log, event)?])?;
    Ok(())
}

/// An event as part of a group that is to be appended.
pub(crate) fn appended(world: &World, log: &dyn Log, event: &Event) -> Result<Append> {
    let info = open(log)?;
    let (kind, name, text) = match event {
        Event::Statement { name, text } => ("statement", name, text.clone()),
        Event::End { name, ends } => {
            let ends: Vec<u64> = ends.iter().map(|end| end.0).collect();
            ("end", name, serde_json::json!(ends).to_string())
        }
        Event::Use { name, role } => ("use", name, role.as_str().to_owned()),
        Event::Failed { name, reason } => ("failed", name, reason.clone()),
        Event::Replace { name, replaced } => ("replace", name, serde_json::json!(replaced).to_string()),
    };
    let rows = RecordBatch::try_new(
        schema(),
        vec![
            Arc::new(TimestampNanosecondArray::from_value(world.clock.now().0, 1).with_timezone("UTC")),
            Arc::new(StringArray::from(vec![kind])),
            Arc::new(StringArray::from(vec![name.as_str()])),
            Arc::new(StringArray::from(vec![text])),
        ],
    )?;
    Ok(Append::new(info.id, ShardId(0), rows))
}

/// All events so far.
pub(crate) fn read(log: &dyn Log) -> Result<Vec<Event>> {
    let info = open(log)?;
    let bounds = log.bounds(info.id)?[0];
    let mut events = Vec::new();
    if bounds.first == bounds.next {
        return Ok(events);
    }
    let mut reader = log.read(ReadSpec { until: Some(bounds.next), ..ReadSpec::all(info.id, ShardId(0)) })?;
    while let Some(read) = reader.next()? {
        let text =
            |column: usize, row: usize| read.rows.column(column).as_string::<i32>().value(row).to_owned();
        for row in 0..read.rows.num_rows() {
            let bad = |error: serde_json::Error| RunError::Invalid(format!("{CATALOG}, row {row}: {error}"));
            events.push(match text(1, row).as_str() {
                "replace" => {
                    let replaced = serde_json::from_str(&text(3, row)).map_err(bad)?;
                    Event::Replace { name: text(2, row), replaced }
                }
                "end" => {
                    let ends: Vec<u64> = serde_json::from_str(&text(3, row)).map_err(bad)?;
                    Event::End { name: text(2, row), ends: ends.into_iter().map(Sequence).collect() }
                }
                "use" => {
                    let role = if text(3, row) == Role::Source.as_str() { Role::Source } else { Role::Sink };
                    Event::Use { name: text(2, row), role }
                }
                "failed" => Event::Failed { name: text(2, row), reason: text(3, row) },
                _ => Event::Statement { name: text(2, row), text: text(3, row) },
            });
        }
    }
    Ok(events)
}

/// Rows of a stream of the log as they may be shown: secrets in the statements of `system.catalog` are hidden. They have all of the
/// stream's columns.
pub fn rows_as_shown(stream: &str, rows: RecordBatch) -> Result<RecordBatch> {
    if stream == CATALOG { Ok(without_secrets(&rows)?) } else { Ok(rows) }
}

/// Rows of the stream as they may be shown, whatever columns there are besides its own: secrets in statements are hidden.
pub(crate) fn without_secrets(rows: &RecordBatch) -> std::result::Result<RecordBatch, ArrowError> {
    let (kinds, texts) = (rows.column(1).as_string::<i32>(), rows.column(3).as_string::<i32>());
    let shown = kinds.iter().zip(texts).map(|(kind, text)| match kind {
        Some("statement") => {
            text.map(|text| headwater_plan::without_secrets(text, headwater_ingest::is_secret))
        }
        Some("replace") => text.map(|text| match serde_json::from_str::<Replaced>(text) {
            Ok(Replaced { statement, era }) => {
                let statement = headwater_plan::without_secrets(&statement, headwater_ingest::is_secret);
                serde_json::json!(Replaced { statement, era }).to_string()
            }
            Err(_) => String::new(),
        }),
        _ => text.map(str::to_owned),
    });
    let shown: ArrayRef = Arc::new(shown.collect::<StringArray>());
    let mut columns = rows.columns().to_vec();
    columns[3] = shown;
    RecordBatch::try_new(rows.schema(), columns)
}
