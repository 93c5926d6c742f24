//! The log as its users see it: one trait, and the words it is spoken to with.
//!
//! ```text
//!  a shard          trim point                     next sequence
//!  sequence 0 ......|=================================|
//!           removed |  kept: sealed, then active      | not yet written
//! ```

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::{ArrayRef, RecordBatch};
use arrow::datatypes::SchemaRef;
use headwater_core::{Epoch, EventTime, ProducerId, SchemaId, Sequence, ShardId, StreamId, StreamName};

use crate::disk::Damage;
use crate::error::Result;

/// Which fault an acknowledged row survives.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Durability {
    /// A loss of power: acknowledged after `fdatasync`.
    #[default]
    Disk,
    /// A crash of the process: acknowledged when the operating system has it.
    Process,
    /// Nothing: kept in memory only.
    Memory,
}

/// How the buffers of a stream's batches are compressed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Compression {
    /// Not at all.
    #[default]
    None,
    /// LZ4 frame.
    Lz4,
    /// Zstandard.
    Zstd,
}

/// How long rows are kept. Whole segments go, oldest first; the active one never goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, serde::Serialize, serde::Deserialize)]
pub struct Retention {
    /// Rows that arrived longer ago than this may go.
    pub age: Option<Duration>,
    /// The oldest rows may go when a stream takes more bytes on disk than this.
    pub bytes: Option<u64>,
}

/// What a stream is to be.
#[derive(Clone, PartialEq, Debug)]
pub struct StreamSpec {
    /// The name.
    pub name: StreamName,
    /// The columns.
    pub schema: SchemaRef,
    /// How many shards, from 1 to 65,536.
    pub shards: u32,
    /// The columns whose hash chooses the shard; none: the caller chooses.
    pub partition_by: Vec<String>,
    /// The timestamp column whose minimum and maximum each batch header carries.
    pub event_time: Option<String>,
    /// What an acknowledgement means.
    pub durability: Durability,
    /// How long rows are kept.
    pub retention: Retention,
    /// How batches are compressed.
    pub compression: Compression,
    /// What the layers above want kept with the stream; the log does not look at it.
    pub properties: BTreeMap<String, String>,
}

impl StreamSpec {
    /// A stream with one shard, default durability, no retention limit.
    pub fn new(name: StreamName, schema: SchemaRef) -> Self {
        Self {
            name,
            schema,
            shards: 1,
            partition_by: Vec::new(),
            event_time: None,
            durability: Durability::default(),
            retention: Retention::default(),
            compression: Compression::default(),
            properties: BTreeMap::new(),
        }
    }
}

/// A stream that exists. `spec.schema` is the newest schema.
#[derive(Clone, PartialEq, Debug)]
pub struct StreamInfo {
    /// Its number.
    pub id: StreamId,
    /// What it is.
    pub spec: StreamSpec,
    /// The number of the newest schema.
    pub schema_id: SchemaId,
    /// When it was created, by the wall clock.
    pub created: EventTime,
}

/// Where a shard begins and ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct ShardBounds {
    /// The oldest row kept; equal to `next` if there is none.
    pub first: Sequence,
    /// The sequence number that the next row will get.
    pub next: Sequence,
}

/// Rows that were damaged and that `repair` could not save. Reading one is an error.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LostRows {
    /// The stream.
    pub stream: StreamId,
    /// The shard.
    pub shard: ShardId,
    /// The rows.
    pub rows: Range<Sequence>,
}

/// Who appends, for idempotence. A repeat of a (producer, epoch, sequence) that is remembered appends nothing.
/// Sequences of one producer on one shard must grow; gaps are allowed.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Producer {
    /// Who.
    pub id: ProducerId,
    /// Which incarnation; an older one is refused.
    pub epoch: Epoch,
    /// Which append of that incarnation.
    pub sequence: u64,
}

/// Rows for one shard.
#[derive(Clone, Debug)]
pub struct Append {
    /// The stream.
    pub stream: StreamId,
    /// The shard.
    pub shard: ShardId,
    /// The rows, with exactly the columns of the stream's newest schema (by position; names and types must match).
    pub rows: RecordBatch,
    /// Who appends, if repeats are to be recognised.
    pub producer: Option<Producer>,
    /// Append only if this is the next sequence number.
    pub expect_next: Option<Sequence>,
    /// Append only if this is the shard's fencing token.
    pub fence: Option<u64>,
}

impl Append {
    /// An append without conditions.
    pub fn new(stream: StreamId, shard: ShardId, rows: RecordBatch) -> Self {
        Self { stream, shard, rows, producer: None, expect_next: None, fence: None }
    }
}

/// What became of an [`Append`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Appended {
    /// The first row's sequence number.
    pub first: Sequence,
    /// The sequence number after the last row's.
    pub next: Sequence,
    /// Whether this was a repeat, so that nothing was appended; `first` and `next` are those of the original.
    pub duplicate: bool,
}

/// The answer to a group of appends, when it comes. Wait on a thread or await in a task.
#[must_use]
pub trait Pending: Send + Future<Output = Result<Vec<Appended>>> + Unpin {
    /// Waits for the answer. In a simulation this gives turns to the tasks meanwhile.
    fn wait(self: Box<Self>) -> Result<Vec<Appended>>;
}

/// Where reading starts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum From {
    /// The oldest row kept.
    Earliest,
    /// After the newest row: only what is appended from now on.
    Latest,
    /// This sequence number. One that was trimmed is an error; one past the end waits for it.
    Sequence(Sequence),
    /// The first batch that may hold a row with an event time at or after this.
    EventTime(EventTime),
    /// The first batch that may hold a row that arrived at or after this.
    Arrival(EventTime),
}

/// A bound on a column by which whole batches are left out. Rows within a batch are not filtered.
/// `min` and `max` are arrays of one value with the column's type; `None` leaves that side open.
#[derive(Clone, Debug)]
pub struct ColumnBound {
    /// Index of the column in the stream's newest schema.
    pub column: usize,
    /// Leave out batches whose maximum is less than this.
    pub min: Option<ArrayRef>,
    /// Leave out batches whose minimum is greater than this.
    pub max: Option<ArrayRef>,
}

/// What to read of one shard.
#[derive(Clone, Debug)]
pub struct ReadSpec {
    /// The stream.
    pub stream: StreamId,
    /// The shard.
    pub shard: ShardId,
    /// Where to start.
    pub from: From,
    /// Where to stop, exclusive; `None` follows the shard as it grows.
    pub until: Option<Sequence>,
    /// Which columns, as indices into the stream's newest schema, in this order; `None` for all. An empty list reads
    /// headers only.
    pub projection: Option<Vec<usize>>,
    /// Bounds that leave out batches.
    pub bounds: Vec<ColumnBound>,
    /// Whether [`ReadBatch::arrivals`] is wanted.
    pub arrivals: bool,
}

impl ReadSpec {
    /// All rows and columns of a shard from the oldest on.
    pub fn all(stream: StreamId, shard: ShardId) -> Self {
        Self {
            stream,
            shard,
            from: From::Earliest,
            until: None,
            projection: None,
            bounds: Vec::new(),
            arrivals: false,
        }
    }
}

/// Some consecutive rows of one shard.
#[derive(Clone, Debug)]
pub struct ReadBatch {
    /// The first row's sequence number.
    pub first: Sequence,
    /// The columns asked for, adapted to the newest schema. With none asked for it has no columns but a row count.
    pub rows: RecordBatch,
    /// When each row arrived, nanoseconds since the epoch, if asked for.
    pub arrivals: Option<arrow::array::TimestampNanosecondArray>,
    /// When the first and the last of the stored batch's rows arrived.
    pub arrival: Range<EventTime>,
    /// The earliest and the latest event time of these rows, where the log knows it without looking.
    pub event_time: Option<(EventTime, EventTime)>,
}

/// Reads one shard in order.
pub trait Reader: Send {
    /// The next rows, or `None` when there is nothing more yet (at `until`: for good).
    ///
    /// Only rows that are acknowledged, or would be, are seen. An error leaves the reader where it was.
    fn next(&mut self) -> Result<Option<ReadBatch>>;

    /// The sequence number of the next row to look at; batches left out by bounds count as looked at.
    fn position(&self) -> Sequence;
}

/// A segment, for people: what `system.segments` and `headwater log ls` show.
#[derive(Clone, PartialEq, Debug)]
pub struct SegmentInfo {
    /// The stream.
    pub stream: StreamId,
    /// The shard.
    pub shard: ShardId,
    /// The file's name, relative to the log's directory; empty for memory.
    pub file: String,
    /// Whether the file is sealed.
    pub sealed: bool,
    /// The rows: first sequence and the one after the last.
    pub rows: Range<Sequence>,
    /// How many batches.
    pub batches: u64,
    /// Bytes on disk, headers included.
    pub bytes: u64,
    /// Smallest and largest event time, if any.
    pub event_time: Option<(EventTime, EventTime)>,
    /// When the first and the last row arrived.
    pub arrival: (EventTime, EventTime),
}

/// Counters and timings since the log was opened, for metrics.
#[derive(Clone, Debug, Default)]
pub struct LogMetrics {
    /// Rows appended.
    pub rows: u64,
    /// Bytes written to files, headers included.
    pub bytes: u64,
    /// Groups committed.
    pub commits: u64,
    /// Syncs done.
    pub syncs: u64,
    /// How long syncs took: (upper bound in microseconds, how many were at most that), cumulative as in Prometheus.
    pub sync_micros: Vec<(u64, u64)>,
    /// The sum of all syncs in microseconds.
    pub sync_micros_sum: u64,
    /// Batches that were repeats of remembered ones.
    pub duplicates: u64,
    /// Bytes of sealed files that were read in the background to look for damage.
    pub scrubbed_bytes: u64,
    /// Places of damage; see [`Log::damage`].
    pub damaged: u64,
    /// Whether the log is poisoned, and by what.
    pub poisoned: Option<String>,
}

/// The append-only, sharded store. One suite, [`crate::conformance`], holds for every implementation.
pub trait Log: Send + Sync {
    /// Creates a stream.
    fn create_stream(&self, spec: StreamSpec) -> Result<StreamInfo>;

    /// Drops a stream and its rows. Readers of it get [`crate::LogError::NoStream`].
    fn drop_stream(&self, stream: StreamId) -> Result<()>;

    /// Gives a stream a new schema: the old columns, in order, each with the same type or a wider one, then new ones,
    /// all nullable. Rows already written read as the new schema.
    fn evolve(&self, stream: StreamId, schema: SchemaRef) -> Result<StreamInfo>;

    /// Changes how long rows are kept.
    fn set_retention(&self, stream: StreamId, retention: Retention) -> Result<()>;

    /// Keeps other properties with a stream, in place of those that it has.
    fn set_properties(&self, stream: StreamId, properties: BTreeMap<String, String>) -> Result<()>;

    /// All streams, by name.
    fn streams(&self) -> Vec<Arc<StreamInfo>>;

    /// The stream of this number.
    fn stream(&self, id: StreamId) -> Result<Arc<StreamInfo>>;

    /// The stream of this name.
    fn stream_named(&self, name: &str) -> Result<Arc<StreamInfo>>;

    /// Where a stream's shards begin and end, in order. One consistent view: no group is seen in part.
    fn bounds(&self, stream: StreamId) -> Result<Vec<ShardBounds>>;

    /// The next sequence number of each shard, in order: where [`Log::bounds`] ends. It needs no archive.
    fn ends(&self, stream: StreamId) -> Result<Vec<Sequence>> {
        Ok(self.bounds(stream)?.iter().map(|bounds| bounds.next).collect())
    }

    /// The rows of a stream, within its bounds or before them, that are lost: who counts rows by sequence numbers asks for these.
    fn lost(&self, stream: StreamId) -> Vec<LostRows> {
        let _ = stream;
        Vec::new()
    }

    /// Appends a group as one: after any crash either all of its rows are there or none (rows of streams with
    /// durability `memory` aside). All conditions are checked first; if one fails, nothing is appended.
    ///
    /// The group is acknowledged by the strongest durability among its streams. Groups are committed in the order in
    /// which they were submitted. An empty batch is allowed and appends nothing.
    fn submit(&self, group: Vec<Append>) -> Box<dyn Pending>;

    /// [`Log::submit`] and wait.
    fn append(&self, group: Vec<Append>) -> Result<Vec<Appended>> {
        self.submit(group).wait()
    }

    /// Sets or clears a shard's fencing token. Durable when it returns. Appends without a token are not fenced.
    fn set_fence(&self, stream: StreamId, shard: ShardId, token: Option<u64>) -> Result<()>;

    /// The last append of a producer on a shard that is remembered.
    fn last_of(
        &self,
        stream: StreamId,
        shard: ShardId,
        producer: ProducerId,
    ) -> Result<Option<(Producer, Appended)>>;

    /// Reads one shard.
    fn read(&self, spec: ReadSpec) -> Result<Box<dyn Reader>>;

    /// Holds a stream's rows, or no longer. Of a held stream neither retention nor [`Log::trim`] removes a row that was not
    /// released since the log was opened. Durable when it returns; a log that cannot hold rows refuses.
    fn set_hold(&self, stream: StreamId, held: bool) -> Result<()> {
        let stream = self.stream(stream)?.spec.name.clone();
        let reason = "this log cannot hold rows until they are archived".to_owned();
        if held { Err(crate::LogError::BadSpec { stream, reason }) } else { Ok(()) }
    }

    /// Says that the rows of a held shard before `before` are kept elsewhere and may be removed. Forgotten with the process.
    fn release(&self, stream: StreamId, _shard: ShardId, _before: Sequence) -> Result<()> {
        self.stream(stream).map(drop)
    }

    /// Lets a shard that has had no rows begin at a later one than 0: those before it are kept elsewhere. Durable when it returns. A shard
    /// that begins there already stays as it is; one that has had rows refuses, and so does a log that cannot.
    fn begin_at(&self, stream: StreamId, _shard: ShardId, _first: Sequence) -> Result<()> {
        let stream = self.stream(stream)?.spec.name.clone();
        let reason = "this log cannot let a shard begin at a later row than 0".to_owned();
        Err(crate::LogError::BadSpec { stream, reason })
    }

    /// Removes the rows before `before`, as far as whole segments and [`Log::set_hold`] allow.
    fn trim(&self, stream: StreamId, shard: ShardId, before: Sequence) -> Result<()>;

    /// All segments of a stream.
    fn segments(&self, stream: StreamId) -> Result<Vec<SegmentInfo>>;

    /// A number that grows with each commit that makes new rows visible; see [`Log::on_commit`].
    fn version(&self) -> u64;

    /// Calls `wake` after each commit that makes new rows of one of these streams visible, and when one of them is dropped, until the
    /// returned guard is dropped. The call is made on the committing thread: it must only wake something.
    fn on_commit(&self, streams: &[StreamId], wake: Arc<dyn Fn() + Send + Sync>) -> CommitGuard;

    /// Damage that was found since the log was opened: by reading sealed files in the background, when a file was sealed, or at the start.
    /// A log without files of its own finds none.
    fn damage(&self) -> Vec<Damage> {
        Vec::new()
    }

    /// Counters since opening.
    fn metrics(&self) -> LogMetrics;

    /// Says that the process is to end: what waits for something outside, and would wait for longer than `patience` from now on, fails. A
    /// log that waits for nothing outside has nothing to do.
    fn limit_waits(&self, patience: Duration) {
        let _ = patience;
    }

    /// Commits what was submitted, makes it durable, and stops. Later calls fail with [`crate::LogError::Closed`].
    fn close(&self) -> Result<()>;
}

/// Ends a subscription of [`Log::on_commit`] when dropped.
pub struct CommitGuard(#[expect(dead_code, reason = "held for its drop")] Box<dyn Send + Sync>);

impl CommitGuard {
    /// Wraps whatever ends the subscription when dropped.
    pub fn new(guard: impl Send + Sync + 'static) -> Self {
        Self(Box::new(guard))
    }
}
