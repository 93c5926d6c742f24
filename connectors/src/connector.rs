//! The three kinds of connector, and what they exchange with their supervisor.
//!
//! ```text
//!  outside ── Source::pull ──> records, marks ── one atomic append ──> stream, system.positions
//!  stream  ── Delivery ──> Sink::deliver … Sink::flush ──> outside, then system.cursors
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use arrow::array::RecordBatch;
use arrow::datatypes::{Schema, SchemaRef};
use async_trait::async_trait;
use headwater_core::{EventTime, Sequence, ShardId, StreamId, StreamName, World};
use headwater_ingest::{Format, FormatOptions, Payload};
use tokio::time::Instant;

use crate::deliver::Allowed;
use crate::error::Result;
use crate::parking::Parking;
use crate::retry::Retry;
use crate::watermark::Watermarks;

pub use headwater_ingest::Mark;

/// What a connector is made for.
#[derive(Clone)]
pub struct Context {
    /// Clock, disk and randomness.
    pub world: World,
    /// The name under which the connector runs, unique in the log.
    pub name: String,
    /// The stream that is filled or delivered.
    pub stream: StreamName,
    /// The stream's number, by which it is told from others that had its name before; 0 where only options are checked.
    pub stream_id: StreamId,
    /// When the stream was created: with its name, this tells it from the streams of other logs.
    pub created: EventTime,
    /// The stream's columns.
    pub schema: SchemaRef,
    /// The columns of the table's `PRIMARY KEY`.
    pub key: Vec<String>,
    /// The stream's event-time column, if it has one.
    pub event_time: Option<String>,
    /// Columns that come from a message's metadata or go there, and what it is called: (`topic_name`, `topic`).
    pub metadata: BTreeMap<String, String>,
    /// The format that was asked for, if any.
    pub format: Option<Format>,
    /// The options of formats.
    pub format_options: FormatOptions,
    /// Where a sink puts rows that the outside will not take.
    pub parking: Parking,
    /// Where a sink asks how far event time has come in its stream.
    pub watermarks: Watermarks,
    /// What the operator's configuration lets connectors reach.
    pub allowed: Allowed,
}

impl Context {
    /// What a connector of a name is made for on a stream that has its name, these columns and nothing else.
    pub fn of(world: World, name: StreamName, schema: SchemaRef) -> Self {
        Self {
            world,
            name: name.to_string(),
            stream: name,
            stream_id: StreamId(0),
            created: EventTime(0),
            schema,
            key: Vec::new(),
            event_time: None,
            metadata: BTreeMap::new(),
            format: None,
            format_options: FormatOptions::default(),
            parking: Parking::default(),
            watermarks: Watermarks::default(),
            allowed: Allowed::default(),
        }
    }

    /// The same without some columns, which the outside does not get to know.
    #[must_use]
    pub fn without(mut self, columns: &BTreeSet<String>) -> Self {
        let kept = kept_columns(&self.schema, columns);
        let fields: Vec<_> = kept.into_iter().map(|nth| Arc::clone(&self.schema.fields()[nth])).collect();
        self.schema = Arc::new(Schema::new_with_metadata(fields, self.schema.metadata().clone()));
        self.event_time = self.event_time.filter(|column| !columns.contains(column));
        self.metadata.retain(|column, _| !columns.contains(column));
        self
    }
}

/// The places of the columns that are not left out.
pub(crate) fn kept_columns(schema: &Schema, left_out: &BTreeSet<String>) -> Vec<usize> {
    let fields = schema.fields().iter().enumerate();
    fields.filter(|(_, field)| !left_out.contains(field.name())).map(|(nth, _)| nth).collect()
}

/// What a source gave.
#[expect(clippy::large_enum_variant, reason = "nearly all of them are records, and each is moved twice")]
pub enum Pulled {
    /// Records, and where to resume each partition that has moved. The marks are stored in the same append as the rows.
    Records {
        /// The records.
        payload: Payload,
        /// Where to resume, for each partition that has moved.
        marks: Vec<Mark>,
    },
    /// Nothing now; the source has waited as long as it wanted to. Another pull may follow at once.
    Nothing,
    /// The input has ended, for good.
    End,
}

/// Pulls from outside into a stream.
///
/// A source MUST give every record after the marks it was opened with, in order within each partition. After an error, and
/// after a pull that was dropped, it is closed and another one is opened with the marks that are stored.
#[async_trait]
pub trait Source: Send {
    /// Connects, and goes to where the marks say; partitions without a mark start at the beginning, as options say.
    async fn open(&mut self, marks: BTreeMap<String, String>) -> Result<()>;

    /// The next records. Waits for them, but not for ever.
    async fn pull(&mut self) -> Result<Pulled>;

    /// What was pulled with these marks is durable in the log, and so are they: the time to acknowledge outside. Later records may
    /// have been pulled already.
    async fn committed(&mut self, _marks: &[Mark]) -> Result<()> {
        Ok(())
    }

    /// Takes nothing more from outside, and gives what was received and cannot be had again. A source that was told to stop is asked
    /// until it has nothing, then closed. A source that gives again what is behind its marks has nothing.
    async fn drain(&mut self) -> Result<Pulled> {
        Ok(Pulled::Nothing)
    }

    /// Whether the input ends by itself.
    fn is_bounded(&self) -> bool {
        false
    }

    /// How many records lie outside and are not yet pulled, or were received and are not durable, if that can be told.
    fn lag(&self) -> Option<u64> {
        None
    }

    /// Since when the oldest of those waits.
    fn behind(&self) -> Behind {
        Behind::Unknown
    }

    /// Disconnects.
    async fn close(&mut self) -> Result<()> {
        Ok(())
    }
}

/// Since when a source is behind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Behind {
    /// It cannot tell.
    #[default]
    Unknown,
    /// It is not.
    Not,
    /// What it has not got into the log has waited since then.
    Since(Instant),
}

impl Behind {
    /// For how long, in milliseconds, if it can tell.
    pub fn millis(self) -> Option<u64> {
        match self {
            Self::Unknown => None,
            Self::Not => Some(0),
            Self::Since(then) => Some(u64::try_from(then.elapsed().as_millis()).unwrap_or(u64::MAX)),
        }
    }

    /// Behind by so many milliseconds at the moment.
    pub fn by(millis: u64) -> Self {
        let then = Instant::now().checked_sub(Duration::from_millis(millis));
        then.filter(|_| millis > 0).map_or(Self::Not, Self::Since)
    }

    /// Behind since a time that somebody else's clock has told, in milliseconds since the epoch; where that clock is ahead, since just now.
    pub fn since(told: i64, now: EventTime) -> Self {
        let millis = now.millis().saturating_sub(told);
        Self::by(u64::try_from(millis).unwrap_or(0).max(1))
    }
}

/// Consecutive rows of one shard, on their way out.
#[derive(Clone, Debug)]
pub struct Delivery {
    /// The stream.
    pub stream: StreamName,
    /// The shard.
    pub shard: ShardId,
    /// The first row's sequence number.
    pub first: Sequence,
    /// The rows.
    pub rows: RecordBatch,
}

impl Delivery {
    /// The sequence number after the last row's.
    pub fn next(&self) -> Sequence {
        self.first.plus(self.rows.num_rows() as u64)
    }
}

/// Where a sink stands. A shard without an entry was never delivered from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cursor {
    /// For each shard that was delivered from, the next row to deliver.
    pub next: BTreeMap<ShardId, Sequence>,
    /// What the sink wants kept beside it: the length of a file, say.
    pub note: String,
}

/// Delivers a stream outside.
///
/// A sink MUST NOT return from [`Sink::flush`] before everything delivered is safe outside. If the outside can keep a position
/// together with the rows, the sink SHOULD keep it there and answer it from [`Sink::open`]: then each row is there exactly once.
/// Otherwise the supervisor stores the cursor after each flush, and rows between a crash and the flush before it come twice.
#[async_trait]
pub trait Sink: Send {
    /// Connects, and says where to go on: `stored` is the cursor of the last flush that the supervisor stored; the
    /// sink answers with it, or with what it finds outside if that is newer.
    async fn open(&mut self, stored: Cursor) -> Result<Cursor>;

    /// Takes rows. They need not be safe yet. Rows of one shard come in order, without gaps. An error of kind `Unfit` parks them.
    async fn deliver(&mut self, delivery: Delivery) -> Result<()>;

    /// Makes everything that was delivered safe outside, and answers the note to keep with the cursor.
    async fn flush(&mut self) -> Result<String>;

    /// How many rows a delivery has at most.
    fn rows_max(&self) -> usize {
        8_192
    }

    /// Whether a flush is due because of what was delivered since the last.
    fn is_full(&self) -> bool {
        false
    }

    /// Whether the key of a delivery depends on how many rows it has: then that is stored before each, and a delivery that is repeated
    /// after a crash has as many. Each is flushed before the next.
    fn names_deliveries(&self) -> bool {
        false
    }

    /// How long what was delivered may wait for a flush.
    fn linger(&self) -> Duration {
        Duration::from_millis(200)
    }

    /// Does what time alone makes due, also while no rows come, and says when to ask again; `None`: after the next flush. Asked when the
    /// sink is open, after each flush and before it is closed.
    async fn on_tick(&mut self) -> Result<Option<Duration>> {
        Ok(None)
    }

    /// When rows that failed by an outage are tried again, and when they are parked instead; `None`: as long as the outage lasts.
    fn retry(&self) -> Option<Retry> {
        None
    }

    /// Disconnects. What was delivered after the last flush may be dropped.
    async fn close(&mut self) -> Result<()> {
        Ok(())
    }
}

/// Serves a protocol that devices or apps speak.
#[async_trait]
pub trait Gateway: Send {
    /// Starts to serve.
    async fn start(&mut self) -> Result<()>;

    /// Takes no more, finishes what is under way, and stops.
    async fn stop(&mut self) -> Result<()>;
}
