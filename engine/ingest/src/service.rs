//! The way in: one request, one atomic group in the log.
//!
//! Decode, admit, route, submit. Decoding is computation: call [`Ingest::append`] where computing is allowed
//! (a blocking pool), and wait for or await the [`PendingReport`] wherever.
//!
//! The promise of an idempotency key: as long as the log remembers the first request with a key on a stream, a further one
//! appends nothing, and is answered with what it would have done and `duplicate` set. Bodies are expected to be the same; they are
//! not compared. The log remembers, per shard, the 4,096 producers that appended last, or as many as are set; every key is one.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use arrow::array::RecordBatch;
use bytes::Bytes;
use headwater_core::hash::shard_of;
use headwater_core::size::bytes_of_rows;
use headwater_core::{Epoch, ProducerId, Sequence, ShardId, StreamId, World};
use headwater_log::{Append, Log, LogError, Producer, StreamInfo, StreamSpec};

use crate::admit::{ClockGuard, EventTimes};
use crate::bad::{BadRecord, RecordFault};
use crate::conform::conform;
use crate::counters::{Counters, StreamCounts};
use crate::dead_letter::{
    DEAD_LETTERS, LATE_ROWS, dead_letters, dead_letters_schema, late_rows_schema, system_stream,
};
use crate::error::{IngestError, Result};
use crate::format::{Decoded, Decoder, Format, FormatOptions, filled, row_as_json};
use crate::options::Options;
use crate::position::{Marks, POSITIONS, SourceStep, producer_of};
use crate::report::{ERRORS_SHOWN, PendingReport, Report, ShardEnd};
use crate::route::route;

/// The property of a stream of the engine that takes rows from outside.
const OPEN: &str = "open";

/// How many rows one append to a shard has at most; a larger request is several appends in one group.
const ROWS_PER_APPEND_MAX: usize = 65_536;

/// What is to be appended.
pub enum Payload {
    /// Bytes that hold any number of records.
    Bytes {
        /// The bytes.
        body: Bytes,
        /// The format that they are in.
        format: Format,
        /// The format's options; `None`: those of the stream's properties.
        options: Option<FormatOptions>,
    },
    /// Messages, each of them a record.
    Messages {
        /// The messages.
        messages: Vec<Bytes>,
        /// The format that they are in.
        format: Format,
        /// The format's options; `None`: those of the stream's properties.
        options: Option<FormatOptions>,
    },
    /// Rows whose columns are matched to the stream's by name, or cast, or NULL.
    Rows(RecordBatch),
    /// What a decoder of the caller's made, in the stream's schema.
    Decoded(Decoded),
}

/// A request to append to one stream.
pub struct AppendRequest {
    /// The stream.
    pub stream: String,
    /// What to append.
    pub payload: Payload,
    /// Where it came from, for the dead letters: `http`, or a connector's name.
    pub source: String,
    /// Under which key a repeat of this request is recognised.
    pub idempotency_key: Option<String>,
    /// The shard, where the stream is not partitioned by columns; `None`: one is chosen.
    pub shard: Option<ShardId>,
    /// Where the source stands after these rows.
    pub step: Option<SourceStep>,
}

impl AppendRequest {
    /// A request without key, shard or step.
    pub fn new(stream: impl Into<String>, source: impl Into<String>, payload: Payload) -> Self {
        Self {
            stream: stream.into(),
            payload,
            source: source.into(),
            idempotency_key: None,
            shard: None,
            step: None,
        }
    }
}

/// The way in. Cheap to share; one per log.
pub struct Ingest {
    world: World,
    log: Arc<dyn Log>,
    dead_letters: StreamId,
    positions: Marks,
    counters: Counters,
    /// Chooses shards in turn for streams that are not partitioned by columns.
    turn: AtomicU64,
    /// What computes the event time of streams in which it is no column, by their names.
    times: RwLock<HashMap<String, Arc<dyn EventTimes>>>,
}

impl Ingest {
    /// Opens the way into a log and creates the engine's streams that it needs.
    pub fn new(world: World, log: Arc<dyn Log>) -> Result<Self> {
        let dead_letters = system_stream(log.as_ref(), DEAD_LETTERS, dead_letters_schema())?.id;
        system_stream(log.as_ref(), LATE_ROWS, late_rows_schema())?;
        let positions = Marks::open(Arc::clone(&log), POSITIONS)?;
        match positions.compact_if_long() {
            // That is for the process that writes the log.
            Err(IngestError::Log(LogError::OnlyLooked { .. })) => {}
            done => done?,
        }
        Ok(Self {
            world,
            log,
            dead_letters,
            positions,
            counters: Counters::default(),
            turn: AtomicU64::new(0),
            times: RwLock::default(),
        })
    }

    /// Says what computes the event time of a stream's rows; `None`: it is a column, or there is none.
    pub fn tell_time(&self, stream: &str, times: Option<Arc<dyn EventTimes>>) {
        let mut all = self.times.write().unwrap_or_else(PoisonError::into_inner);
        match times {
            Some(times) => drop(all.insert(stream.to_owned(), times)),
            None => drop(all.remove(stream)),
        }
    }

    fn computed_time_of(&self, stream: &str) -> Option<Arc<dyn EventTimes>> {
        self.times.read().unwrap_or_else(PoisonError::into_inner).get(stream).map(Arc::clone)
    }

    /// The log behind.
    pub fn log(&self) -> &Arc<dyn Log> {
        &self.log
    }

    /// The world that this lives in.
    pub fn world(&self) -> &World {
        &self.world
    }

    /// Where sources stand.
    pub fn positions(&self) -> &Marks {
        &self.positions
    }

    /// What came in since the start, by stream.
    pub fn counts(&self) -> Vec<StreamCounts> {
        self.counters.all()
    }

    /// Decodes, admits and routes a request, and submits it as one group.
    pub fn append(&self, request: AppendRequest) -> Result<PendingReport> {
        let info = self.log.stream_named(&request.stream)?;
        if info.spec.name.is_system() && !info.spec.properties.contains_key(OPEN) {
            return Err(IngestError::SystemStream { name: request.stream });
        }
        let now = self.world.clock.now();
        let bytes = request.payload.bytes();
        let decoded = decode(request.payload, &info)?;
        let times = self.computed_time_of(&request.stream);
        let decoded = ClockGuard::of(&info.spec)?.admit(&info.spec, times.as_deref(), decoded, now)?;
        let report = Report {
            accepted: decoded.rows.num_rows() as u64,
            dead_lettered: decoded.bad.len() as u64,
            errors: decoded.bad.iter().take(ERRORS_SHOWN).cloned().collect(),
            ..Report::default()
        };
        self.counters.add(&info, bytes, &report);

        let key = request.idempotency_key.map(|key| producer_of(&request.stream, &key)).transpose()?;
        let otherwise = self.shard_for(&info, request.shard, key, request.step.as_ref())?;
        let mut group = Group::new(key);
        for (shard, rows) in route(&info.spec, decoded.rows, otherwise)? {
            group.push(info.id, shard, rows, true);
        }
        if !decoded.bad.is_empty() {
            let rows = dead_letters(&request.stream, &request.source, &decoded.bad, now)?;
            group.push(self.dead_letters, ShardId(0), rows, false);
        }
        if let Some(duplicate) = self.remembered(&group, &report)? {
            return Ok(duplicate);
        }
        if let Some(step) = &request.step {
            group.appends.push(self.positions.append_of(step)?);
            group.shards.push(None);
        }
        let pending = if group.appends.is_empty() { None } else { Some(self.log.submit(group.appends)) };
        Ok(PendingReport { pending, shards: group.shards, report })
    }

    /// Puts rows of a stream aside that the outside would not take, each with its sequence number and the reason, and waits until they
    /// are safe. A repeat under the same key appends nothing.
    pub fn park(
        &self,
        stream: &str,
        source: &str,
        key: &str,
        rows: &RecordBatch,
        why: &[(Sequence, String)],
    ) -> Result<()> {
        let bad = |(row, (sequence, reason)): (usize, &(Sequence, String))| {
            Ok::<_, IngestError>(BadRecord {
                record: sequence.0,
                fault: RecordFault::Undeliverable,
                field: None,
                reason: reason.clone().into(),
                payload: row_as_json(rows, row)?.into(),
            })
        };
        let now = self.world.clock.now();
        // Each by itself: rows that come again may come in other company.
        let mut pending = Vec::new();
        for bad in why.iter().enumerate().map(bad) {
            let bad = bad?;
            let producer = producer_of(stream, &format!("{key} {}", bad.record))?;
            let mut group = Group::new(Some(producer));
            group.push(self.dead_letters, ShardId(0), dead_letters(stream, source, &[bad], now)?, false);
            if self.remembered(&group, &Report::default())?.is_none() {
                pending.push(self.log.submit(group.appends));
            }
        }
        pending.into_iter().try_for_each(|pending| pending.wait().map(drop))?;
        Ok(())
    }

    /// Puts records aside that are no rows of a table which is only looked at, and waits until they are safe.
    pub fn put_aside(&self, table: &str, source: &str, bad: &[BadRecord]) -> Result<()> {
        if bad.is_empty() {
            return Ok(());
        }
        let mut group = Group::new(None);
        let letters = dead_letters(table, source, bad, self.world.clock.now())?;
        group.push(self.dead_letters, ShardId(0), letters, false);
        self.log.submit(group.appends).wait()?;
        Ok(())
    }

    /// Appends rows that are already decoded, and waits: `INSERT INTO`, generators.
    pub fn append_batch(&self, stream: &str, source: &str, rows: RecordBatch) -> Result<Report> {
        self.append(AppendRequest::new(stream, source, Payload::Rows(rows)))?.wait()
    }

    /// The shard for rows that no column assigns to one. A key or a partition of a source always gives the same: repeats
    /// must meet, and order within a partition is kept.
    fn shard_for(
        &self,
        info: &StreamInfo,
        asked: Option<ShardId>,
        key: Option<ProducerId>,
        step: Option<&SourceStep>,
    ) -> Result<ShardId> {
        if let Some(shard) = asked {
            return Ok(shard);
        }
        if let Some(ProducerId(hash)) = key {
            return Ok(shard_of(hash, info.spec.shards));
        }
        if let Some(step) = step {
            let partition = step.marks.first().map(|mark| mark.partition.as_str()).unwrap_or_default();
            return Ok(shard_of(producer_of(&step.source, partition)?.0, info.spec.shards));
        }
        let turn = self.turn.fetch_add(1, Ordering::Relaxed) % u64::from(info.spec.shards);
        Ok(ShardId(u32::try_from(turn).unwrap_or_default()))
    }

    /// The report of a request whose key is remembered on any shard that it goes to. Groups are atomic, so then all of it is there.
    ///
    /// The log would recognise each append by itself, but the clock guard might now let a row pass that it held back then.
    fn remembered(&self, group: &Group, report: &Report) -> Result<Option<PendingReport>> {
        let Some(producer) = group.producer else { return Ok(None) };
        let mut report = Report { duplicate: false, ..report.clone() };
        for (append, shard) in group.appends.iter().zip(&group.shards) {
            let Some((_, appended)) = self.log.last_of(append.stream, append.shard, producer)? else {
                continue;
            };
            report.duplicate = true;
            if let Some(shard) = shard
                && appended.next > Sequence::ZERO
                && report.shards.last().is_none_or(|end| end.shard != shard.0)
            {
                report.shards.push(ShardEnd { shard: shard.0, last_sequence: appended.next.0 - 1 });
            }
        }
        Ok(report.duplicate.then(|| PendingReport { pending: None, shards: Vec::new(), report }))
    }
}

impl Payload {
    /// About how many bytes came in.
    fn bytes(&self) -> u64 {
        let bytes = match self {
            Self::Bytes { body, .. } => body.len(),
            Self::Messages { messages, .. } => messages.iter().map(Bytes::len).sum(),
            Self::Rows(rows) => bytes_of_rows(rows),
            Self::Decoded(decoded) if !decoded.bytes.is_empty() => decoded.bytes.len(),
            Self::Decoded(decoded) => bytes_of_rows(&decoded.rows),
        };
        bytes as u64
    }
}

/// Turns a payload into rows in the stream's schema, and bad records.
fn decode(payload: Payload, info: &StreamInfo) -> Result<Decoded> {
    let schema = &info.spec.schema;
    let decoder = |format, options: Option<FormatOptions>| {
        let options = options.map_or_else(|| format_options_of(&info.spec), Ok)?;
        Decoder::new(format, Arc::clone(schema), &options)
    };
    let holds_changes = info
        .spec
        .properties
        .get("format")
        .is_some_and(|name| Format::from_name(name).ok() == Some(Format::DebeziumJson));
    // A stream of changes takes JSON as such; what else comes in are rows that are there from now on.
    let meant = |format| match format {
        Format::JsonLines | Format::JsonArray if holds_changes => Format::DebeziumJson,
        other => other,
    };
    match payload {
        Payload::Bytes { body, format: Format::JsonArray, options } if holds_changes => {
            decoder(Format::DebeziumJson, options)?.decode_whole(body)
        }
        Payload::Bytes { body, format, options } => decoder(meant(format), options)?.decode(body),
        Payload::Messages { messages, format, options } => {
            decoder(meant(format), options)?.decode_messages(&messages)
        }
        Payload::Rows(rows) => {
            let (rows, bad) = conform(&filled(rows, schema)?, schema, 1)?;
            Ok(Decoded { rows, bad, origins: Vec::new(), bytes: Bytes::new() })
        }
        Payload::Decoded(mut decoded) => {
            // The schema may have grown since the decoder was made.
            let (rows, bad) = conform(&decoded.rows, schema, 1)?;
            decoded.rows = rows;
            decoded.bad.extend(bad);
            Ok(decoded)
        }
    }
}

/// The options of formats among a stream's properties. Fails if one has no such value.
pub fn format_options_of(stream: &StreamSpec) -> Result<FormatOptions> {
    let mut options = Options::new(format!("stream {}", stream.name), stream.properties.iter());
    Ok(FormatOptions::take(&mut options)?.1)
}

/// A group that is being put together.
struct Group {
    producer: Option<ProducerId>,
    appends: Vec<Append>,
    /// For each append the shard of the stream, `None` if it is another stream.
    shards: Vec<Option<ShardId>>,
}

impl Group {
    fn new(producer: Option<ProducerId>) -> Self {
        Self { producer, appends: Vec::new(), shards: Vec::new() }
    }

    /// Adds rows for one shard, in parts if there are many. If they are data, and no dead letters, the report tells of the shard.
    fn push(&mut self, stream: StreamId, shard: ShardId, rows: RecordBatch, is_data: bool) {
        let mut from = 0;
        for sequence in 0.. {
            let len = (rows.num_rows() - from).min(ROWS_PER_APPEND_MAX);
            let producer = self.producer.map(|id| Producer { id, epoch: Epoch(0), sequence });
            self.appends.push(Append { producer, ..Append::new(stream, shard, rows.slice(from, len)) });
            self.shards.push(is_data.then_some(shard));
            from += len;
            if from >= rows.num_rows() {
                return;
            }
        }
    }
}

#[cfg(test)]
#[path = "service_tests.rs"]
mod tests;
