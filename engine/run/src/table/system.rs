//! The system tables: what the engine knows about itself, made when they are read.
//!
//! `system.dead_letters`, `system.late_rows`, `system.catalog` and the journals are not among them: those are streams.

mod archives;
mod connectors;
mod watermarks;

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, Float64Array, Int32Array, Int64Array, RecordBatch, StringArray,
    TimestampNanosecondArray,
};
use arrow::datatypes::{Field, Schema, SchemaRef};
use async_trait::async_trait;
use datafusion::catalog::{MemTable, Session, TableProvider};
use datafusion::datasource::TableType;
use datafusion::error::Result;
use datafusion::logical_expr::Expr;
use datafusion::physical_plan::ExecutionPlan;
use headwater_core::{EventTime, StreamId};
use headwater_log::Damage;

use self::archives::{archive_files, archives};
use self::connectors::connectors;
use self::watermarks::watermarks;
use crate::engine::Inner;
use crate::{Figure, JobStatus};

/// The names of the system tables.
pub(crate) const SYSTEM_TABLES: &[&str] = &[
    "system.streams",
    "system.shards",
    "system.segments",
    "system.damage",
    "system.jobs",
    "system.checkpoints",
    "system.watermarks",
    "system.connectors",
    "system.archives",
    "system.archive_files",
    "system.triggers",
    "system.replays",
];

/// The system table of a name among [`SYSTEM_TABLES`].
pub(crate) fn system_table(inner: &Arc<Inner>, name: &str) -> Arc<dyn TableProvider> {
    let rows: fn(&Arc<Inner>) -> Columns = match name {
        "system.streams" => streams,
        "system.shards" => shards,
        "system.segments" => segments,
        "system.damage" => damage,
        "system.checkpoints" => checkpoints,
        "system.watermarks" => watermarks,
        "system.connectors" => connectors,
        "system.archives" => archives,
        "system.archive_files" => archive_files,
        "system.triggers" => triggers,
        "system.replays" => replays,
        _ => jobs,
    };
    // The columns are known without reading: an engine with nothing in it has the same ones.
    let schema = rows(inner).schema();
    Arc::new(SystemTable { inner: Arc::clone(inner), rows, schema })
}

struct SystemTable {
    inner: Arc<Inner>,
    rows: fn(&Arc<Inner>) -> Columns,
    schema: SchemaRef,
}

impl std::fmt::Debug for SystemTable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SystemTable")
    }
}

#[async_trait]
impl TableProvider for SystemTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::View
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let rows = (self.rows)(&self.inner).batch()?;
        MemTable::try_new(rows.schema(), vec![vec![rows]])?.scan(state, projection, filters, limit).await
    }
}

/// Named columns.
struct Columns(Vec<(&'static str, ArrayRef)>);

impl Columns {
    fn schema(&self) -> SchemaRef {
        let field =
            |(name, array): &(&'static str, ArrayRef)| Field::new(*name, array.data_type().clone(), true);
        Arc::new(Schema::new(self.0.iter().map(field).collect::<Vec<_>>()))
    }

    fn batch(self) -> Result<RecordBatch> {
        let schema = self.schema();
        Ok(RecordBatch::try_new(schema, self.0.into_iter().map(|(_, array)| array).collect())?)
    }
}

fn text<T, S: Into<String>>(rows: &[T], value: impl Fn(&T) -> Option<S>) -> ArrayRef {
    Arc::new(rows.iter().map(|row| value(row).map(Into::into)).collect::<StringArray>())
}

fn number<T>(rows: &[T], value: impl Fn(&T) -> Option<u64>) -> ArrayRef {
    let signed = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
    Arc::new(rows.iter().map(|row| value(row).map(signed)).collect::<Int64Array>())
}

fn small<T>(rows: &[T], value: impl Fn(&T) -> u32) -> ArrayRef {
    Arc::new(rows.iter().map(|row| Some(value(row) as i32)).collect::<Int32Array>())
}

/// The two ends of time are shown as NULL.
fn time<T>(rows: &[T], value: impl Fn(&T) -> Option<EventTime>) -> ArrayRef {
    let shown = |time: EventTime| (time != EventTime::MIN && time != EventTime::MAX).then_some(time.0);
    let values = rows.iter().map(|row| value(row).and_then(shown));
    let array: TimestampNanosecondArray = values.collect();
    Arc::new(array.with_timezone("UTC"))
}

fn streams(inner: &Arc<Inner>) -> Columns {
    let all = inner.log.streams();
    let rows = |info: &Arc<headwater_log::StreamInfo>| {
        let bounds = inner.log.bounds(info.id).ok()?;
        Some(bounds.iter().map(|shard| shard.next.0 - shard.first.0).sum())
    };
    let bytes = |info: &Arc<headwater_log::StreamInfo>| {
        Some(inner.log.segments(info.id).ok()?.iter().map(|segment| segment.bytes).sum())
    };
    Columns(vec![
        ("name", text(&all, |info| Some(info.spec.name.to_string()))),
        ("shards", small(&all, |info| info.spec.shards)),
        ("rows", number(&all, rows)),
        ("bytes", number(&all, bytes)),
        ("schema_id", small(&all, |info| info.schema_id.0)),
        ("durability", text(&all, |info| Some(format!("{:?}", info.spec.durability).to_lowercase()))),
        ("compression", text(&all, |info| Some(format!("{:?}", info.spec.compression).to_lowercase()))),
        ("partition_by", text(&all, |info| Some(info.spec.partition_by.join(", ")))),
        ("event_time", text(&all, |info| info.spec.event_time.clone())),
        ("retention_seconds", number(&all, |info| info.spec.retention.age.map(|age| age.as_secs()))),
        ("retention_bytes", number(&all, |info| info.spec.retention.bytes)),
        ("created", time(&all, |info| Some(info.created))),
    ])
}

fn shards(inner: &Arc<Inner>) -> Columns {
    let mut all = Vec::new();
    for info in inner.log.streams() {
        for (shard, bounds) in inner.log.bounds(info.id).unwrap_or_default().into_iter().enumerate() {
            all.push((info.spec.name.to_string(), shard as u32, bounds));
        }
    }
    Columns(vec![
        ("stream", text(&all, |(stream, ..)| Some(stream.clone()))),
        ("shard", small(&all, |(_, shard, _)| *shard)),
        ("first_sequence", number(&all, |(.., bounds)| Some(bounds.first.0))),
        ("next_sequence", number(&all, |(.., bounds)| Some(bounds.next.0))),
    ])
}

fn segments(inner: &Arc<Inner>) -> Columns {
    let mut all = Vec::new();
    for info in inner.log.streams() {
        for segment in inner.log.segments(info.id).unwrap_or_default() {
            all.push((info.spec.name.to_string(), segment));
        }
    }
    Columns(vec![
        ("stream", text(&all, |(stream, _)| Some(stream.clone()))),
        ("shard", small(&all, |(_, segment)| segment.shard.0)),
        ("file", text(&all, |(_, segment)| Some(segment.file.clone()))),
        ("sealed", Arc::new(all.iter().map(|(_, segment)| Some(segment.sealed)).collect::<BooleanArray>())),
        ("first_sequence", number(&all, |(_, segment)| Some(segment.rows.start.0))),
        ("next_sequence", number(&all, |(_, segment)| Some(segment.rows.end.0))),
        ("batches", number(&all, |(_, segment)| Some(segment.batches))),
        ("bytes", number(&all, |(_, segment)| Some(segment.bytes))),
        ("event_time_min", time(&all, |(_, segment)| segment.event_time.map(|times| times.0))),
        ("event_time_max", time(&all, |(_, segment)| segment.event_time.map(|times| times.1))),
        ("arrival_min", time(&all, |(_, segment)| Some(segment.arrival.0))),
        ("arrival_max", time(&all, |(_, segment)| Some(segment.arrival.1))),
    ])
}

/// What was found damaged in the files of the log since it was opened.
fn damage(inner: &Arc<Inner>) -> Columns {
    let all = inner.log.damage();
    // The sealed files of a stream lie in a directory of its number.
    let stream_of = |damage: &Damage| {
        let number = damage.file.parent()?.file_name()?.to_str()?.parse().ok()?;
        Some(inner.log.stream(StreamId(number)).ok()?.spec.name.to_string())
    };
    Columns(vec![
        ("stream", text(&all, stream_of)),
        ("file", text(&all, |damage| Some(damage.file.display().to_string()))),
        ("offset", number(&all, |damage| Some(damage.offset))),
        ("reason", text(&all, |damage| Some(damage.reason.clone()))),
    ])
}

/// Of a directory that is only looked at, and of a job that could not start, what its checkpoint and its journal say; what they do not is
/// NULL: rows of steps behind the newest checkpoint, and all that only a process has.
fn jobs(inner: &Arc<Inner>) -> Columns {
    let all = inner.job_statuses();
    let of_process = |job: &JobStatus, value: u64| job.known(Figure::OfTheProcess, value);
    Columns(vec![
        ("name", text(&all, |job| Some(job.name.clone()))),
        ("state", text(&all, |job| Some(job.shown_state()))),
        ("target", text(&all, |job| Some(job.target.clone()))),
        ("rows_in", number(&all, |job| job.known(Figure::RowsIn, job.rows_in))),
        ("rows_out", number(&all, |job| job.known(Figure::RowsOut, job.rows_out))),
        ("rows_late", number(&all, |job| job.known(Figure::RowsLate, job.rows_late))),
        ("lag", number(&all, |job| job.known(Figure::Lag, job.lag))),
        ("progress", Arc::new(all.iter().map(|job| job.progress()).collect::<Float64Array>())),
        ("watermark", time(&all, |job| Some(job.watermark))),
        ("steps", number(&all, |job| job.known(Figure::Steps, job.steps))),
        ("workers", number(&all, |job| of_process(job, job.workers as u64))),
        ("state_entries", number(&all, |job| of_process(job, job.state_entries))),
        ("state_bytes", number(&all, |job| of_process(job, job.state_bytes))),
        ("state_spilled_bytes", number(&all, |job| of_process(job, job.state_spilled_bytes))),
        ("error", text(&all, |job| job.error.clone())),
    ])
}

fn checkpoints(inner: &Arc<Inner>) -> Columns {
    let all = inner.job_statuses();
    let count = |job: &JobStatus| job.checkpoint_micros.last().map(|(_, count)| *count);
    let since =
        |job: &JobStatus| job.known(Figure::Steps, job.steps - job.checkpoint.unwrap_or(0).min(job.steps));
    Columns(vec![
        ("job", text(&all, |job| Some(job.name.clone()))),
        ("newest_step", number(&all, |job| job.checkpoint)),
        ("steps_since", number(&all, since)),
        ("taken", number(&all, count)),
        ("micros_sum", number(&all, |job| job.known(Figure::OfTheProcess, job.checkpoint_micros_sum))),
    ])
}

fn triggers(inner: &Arc<Inner>) -> Columns {
    let all = inner.triggers();
    Columns(vec![
        ("name", text(&all, |trigger| Some(trigger.name.clone()))),
        ("state", text(&all, |trigger| Some(trigger.state))),
        ("on", text(&all, |trigger| Some(trigger.on.clone()))),
        ("condition", text(&all, |trigger| Some(trigger.condition.clone()))),
        ("action", text(&all, |trigger| Some(trigger.action.clone()))),
        ("rows_in", number(&all, |trigger| trigger.rows_in)),
        ("keys", number(&all, |trigger| trigger.keys)),
        ("firings", number(&all, |trigger| Some(trigger.firings))),
        ("undelivered", number(&all, |trigger| trigger.undelivered)),
        ("last_fired", time(&all, |trigger| trigger.last_fired)),
        ("last_error", text(&all, |trigger| trigger.last_error.clone())),
    ])
}

/// | column | |
/// |---|---|
/// | id | what `CANCEL REPLAY` takes |
/// | job, definition | the job, and the other definition that is replayed; NULL: its own |
/// | from_time, to_time, target, speed | as it was asked for |
/// | began | when |
/// | rows_in, rows_out, watermark | how far it is |
/// | rows_uncomputed | rows that could not be computed |
fn replays(inner: &Arc<Inner>) -> Columns {
    let all = inner.replays.running();
    let speeds = all.iter().map(|replay| replay.spec.speed).collect::<Float64Array>();
    Columns(vec![
        ("id", number(&all, |replay| Some(replay.id))),
        ("job", text(&all, |replay| Some(replay.spec.job.clone()))),
        ("definition", text(&all, |replay| replay.spec.query.clone())),
        ("from_time", time(&all, |replay| replay.spec.from)),
        ("to_time", time(&all, |replay| replay.spec.to)),
        ("target", text(&all, |replay| replay.spec.into.clone())),
        ("speed", Arc::new(speeds)),
        ("began", time(&all, |replay| Some(replay.began))),
        ("rows_in", number(&all, |replay| Some(replay.rows_in()))),
        ("rows_out", number(&all, |replay| Some(replay.rows_out()))),
        ("watermark", time(&all, |replay| Some(replay.watermark()))),
        ("rows_uncomputed", number(&all, |replay| Some(replay.uncomputed()))),
    ])
}
