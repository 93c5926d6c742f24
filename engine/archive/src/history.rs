//! The log and its archives as one log.
//!
//! ```text
//!  archive   |== 0..100 ==|== 100..220 ==|== 220..300 ==|
//!  log                         150 |======================|=======> next
//!  read from 0:  archive, archive,   log from 220 on
//! ```
//!
//! What the log still has is read from the log; rows before that from the archive, a whole range at a time. The boundary is a
//! sequence number, so each row comes once. When retention removes rows that a reader has not come to yet, it goes on in the
//! archive, which has them: they would not have been removed otherwise.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;

use arrow::array::{Array, RecordBatch, RecordBatchOptions, TimestampNanosecondArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use headwater_core::{EventTime, ProducerId, Sequence, ShardId, StreamId};
use headwater_log::{
    Append, Appended, CommitGuard, Damage, From, Log, LogError, LogMetrics, LostRows, Pending, Producer,
    ReadBatch, ReadSpec, Reader, Result, Retention, SegmentInfo, ShardBounds, StreamInfo, StreamSpec,
};
use parking_lot::RwLock;

use crate::ahead::{Ahead, Course, Decoded, Piece, arrival_of};
use crate::encode::sequences;
use crate::error::ArchiveError;
use crate::gather::fit;
use crate::handle::Archive;
use crate::layout::{ARRIVAL, SEQUENCE};
use crate::manifest::{FileInfo, Manifest, Range};
use crate::prune::Bound;
use crate::reader::{Wanted, runs};

/// The log and its archives as one log.
pub struct History {
    log: Arc<dyn Log>,
    archives: RwLock<HashMap<StreamId, Arc<Archive>>>,
}

impl History {
    /// A log without archives so far.
    pub fn new(log: Arc<dyn Log>) -> Arc<Self> {
        Arc::new(Self { log, archives: RwLock::default() })
    }

    /// The log alone.
    pub fn log(&self) -> &Arc<dyn Log> {
        &self.log
    }

    /// Reads a stream's older rows from an archive from now on.
    pub fn attach(&self, archive: Arc<Archive>) {
        self.archives.write().insert(archive.info().id, archive);
    }

    /// Reads a stream from the log alone from now on.
    pub fn detach(&self, stream: StreamId) -> Option<Arc<Archive>> {
        self.archives.write().remove(&stream)
    }

    /// The archive of a stream.
    pub fn archive(&self, stream: StreamId) -> Option<Arc<Archive>> {
        self.archives.read().get(&stream).cloned()
    }

    /// Where a shard's rows begin, those of the archive included.
    fn first(&self, archive: &Archive, shard: u32, bounds: ShardBounds) -> Result<Sequence> {
        // As long as the log has everything, an archive that cannot be reached does not matter.
        if bounds.first == Sequence::ZERO {
            return Ok(bounds.first);
        }
        let manifest = archive.manifest()?;
        let covered = manifest.bounds(shard).filter(|(_, next)| *next >= bounds.first.0);
        Ok(covered.map_or(bounds.first, |(first, _)| Sequence(first.min(bounds.first.0))))
    }

    /// Where a reader starts: a row that the archive has and the log has not, or as the log says.
    fn start(&self, archive: &Archive, spec: &ReadSpec) -> Result<Option<Sequence>> {
        let bounds = self.log.bounds(spec.stream)?;
        let Some(bounds) = bounds.get(spec.shard.0 as usize) else { return Ok(None) };
        if let From::Sequence(at) = spec.from
            && at >= bounds.first
        {
            // Whoever has come so far needs no archive, and goes on when it cannot be reached.
            return Ok(Some(at));
        }
        let first = self.first(archive, spec.shard.0, *bounds)?;
        let older = |holds: &dyn Fn(&FileInfo) -> bool| -> Result<Option<Sequence>> {
            if first == bounds.first {
                return Ok(None);
            }
            let manifest = archive.manifest()?;
            let ranges =
                manifest.ranges(spec.shard.0).iter().take_while(|range| range.span.first < bounds.first.0);
            let found = ranges.into_iter().find(|range| range.files.iter().any(holds));
            Ok(found.map(|range| Sequence(range.span.first)))
        };
        match spec.from {
            From::Earliest => Ok(Some(first)),
            From::Sequence(at) if at >= first => Ok(Some(at)),
            From::EventTime(time) if archive.info().spec.event_time.is_some() => {
                older(&|file| file.event_time.is_some_and(|(_, max)| max >= time.0))
            }
            From::EventTime(_) => Ok(Some(first)),
            From::Arrival(time) => older(&|file| file.arrival.1 >= time.0),
            From::Sequence(_) | From::Latest => Ok(None),
        }
    }
}

/// Reads archive and log.
struct HistoryReader {
    log: Arc<dyn Log>,
    archive: Arc<Archive>,
    spec: ReadSpec,
    position: Sequence,
    /// The log from the position on, when that is where the position is.
    live: Option<Box<dyn Reader>>,
    /// The archive from the position on, when that is where the position is, and where it began.
    ahead: Option<(Ahead, Sequence)>,
    /// Where the position was when the manifest was last read anew because a file had gone.
    reloaded: Option<Sequence>,
    /// Rows that were read.
    ready: VecDeque<ReadBatch>,
}

/// Whether a file is not there.
fn is_gone(error: &ArchiveError) -> bool {
    matches!(error, ArchiveError::Store { cause, .. } if matches!(**cause, object_store::Error::NotFound { .. }))
}

impl HistoryReader {
    fn at_end(&self) -> bool {
        self.spec.until.is_some_and(|until| self.position >= until)
    }

    fn read(&mut self) -> Result<Option<ReadBatch>> {
        loop {
            if let Some(batch) = self.ready.pop_front() {
                self.position = batch.first.plus(batch.rows.num_rows() as u64);
                return Ok(Some(batch));
            }
            if self.live.is_some() {
                match self.read_live() {
                    // Retention was faster than this reader: the archive has what is gone.
                    Err(LogError::Trimmed { .. }) if self.archived()?.is_some() => self.live = None,
                    read => return read,
                }
            }
            if self.at_end() {
                return Ok(None);
            }
            if self.ahead.is_some() {
                self.read_ahead()?;
                continue;
            }
            if !self.open_archived()? {
                let spec = ReadSpec { from: From::Sequence(self.position), ..self.spec.clone() };
                self.live = Some(self.log.read(spec)?);
            }
        }
    }

    fn read_live(&mut self) -> Result<Option<ReadBatch>> {
        let Some(live) = &mut self.live else { return Ok(None) };
        let read = live.next()?;
        self.position = live.position();
        Ok(read)
    }

    /// The range of the archive that holds the position, if the log no longer has that row.
    fn archived(&self) -> Result<Option<Range>> {
        let bounds = self.log.bounds(self.spec.stream)?;
        let kept = bounds.get(self.spec.shard.0 as usize).is_none_or(|bounds| bounds.first <= self.position);
        if kept {
            return Ok(None);
        }
        let range_in = |manifest: &Manifest| manifest.range_of(self.spec.shard.0, self.position.0).cloned();
        match range_in(&*self.archive.manifest()?) {
            // Committed by another, perhaps.
            None => Ok(range_in(&*self.archive.reload()?)),
            found => Ok(found),
        }
    }

    /// Starts with the range that holds the position. `false`: the log has that row, or nobody has.
    fn open_archived(&mut self) -> Result<bool> {
        let Some(range) = self.archived()? else { return Ok(false) };
        let stream = self.log.stream(self.spec.stream)?;
        if self.spec.projection.as_ref().is_some_and(Vec::is_empty)
            && self.spec.bounds.is_empty()
            && !self.spec.arrivals
        {
            // How many rows there are is known without reading any.
            let end = self.spec.until.map_or(range.span.next, |until| until.0.min(range.span.next));
            let options = RecordBatchOptions::new().with_row_count(Some((end - self.position.0) as usize));
            let rows = RecordBatch::try_new_with_options(Arc::new(Schema::empty()), Vec::new(), &options)
                .map_err(ArchiveError::from)?;
            let arrival = arrival_of(&range);
            self.ready.push_back(ReadBatch {
                first: self.position,
                rows,
                arrivals: None,
                arrival,
                event_time: None,
            });
            return Ok(true);
        }
        let bounds = self.log.bounds(self.spec.stream)?;
        let course = Course {
            place: self.archive.place().clone(),
            footers: Arc::clone(self.archive.footers()),
            manifest: self.archive.manifest()?,
            shard: self.spec.shard.0,
            from: self.position,
            until: self.spec.until,
            before: bounds.get(self.spec.shard.0 as usize).map_or(self.position, |bounds| bounds.first),
            wanted: self.wanted(&stream.spec.schema)?,
            time: stream.spec.event_time.clone(),
        };
        let ahead = Ahead::start(self.archive.io(), self.archive.ahead(), course);
        self.ahead = Some((ahead, self.position));
        Ok(true)
    }

    /// Takes what the archive has next.
    fn read_ahead(&mut self) -> Result<()> {
        let Some((ahead, began)) = &self.ahead else { return Ok(()) };
        match ahead.next() {
            Some(Ok(Piece::Rows(rows))) => self.push(rows)?,
            Some(Ok(Piece::End(end))) => self.position = self.position.max(end),
            // Merged with others meanwhile: the row lies in other files by now, unless this was found out before.
            Some(Err(error)) if is_gone(&error) && self.reloaded != Some(self.position) => {
                self.reloaded = Some(self.position);
                self.archive.reload()?;
                self.ahead = None;
            }
            Some(Err(error)) => {
                self.ahead = None;
                return Err(error.into());
            }
            None if *began == self.position => {
                let reason = format!("row {} could not be read from it", self.position);
                return Err(ArchiveError::damaged(self.archive.place().shown(), reason).into());
            }
            None => self.ahead = None,
        }
        Ok(())
    }

    /// Makes rows ready that lie between the position and their end, each run of consecutive ones as a batch.
    fn push(&mut self, rows: Decoded) -> crate::error::Result<()> {
        let Decoded { batch, first, end, arrival } = rows;
        if let Some(first) = first {
            let place =
                |sequence: Sequence| (sequence.0.saturating_sub(first)).min(batch.num_rows() as u64) as usize;
            let (from, to) = (place(self.position), place(end));
            return self.push_run(&batch, first, from..to, &arrival);
        }
        let Some(all) = sequences(&batch) else {
            let place = self.archive.place().shown().to_owned();
            return Err(ArchiveError::damaged(place, "a file has no column _sequence"));
        };
        let place = |sequence: Sequence| all.values().partition_point(|own| *own < sequence.0 as i64);
        let (from, to) = (place(self.position), place(end));
        for (at, rows) in runs(all.values().get(from..to).unwrap_or_default()) {
            let at = from + at;
            self.push_run(&batch, (all.value(at) as u64).saturating_sub(at as u64), at..at + rows, &arrival)?;
        }
        Ok(())
    }

    /// Makes some of a batch's rows ready, whose sequence numbers are their places behind `first`.
    fn push_run(
        &mut self,
        batch: &RecordBatch,
        first: u64,
        rows: std::ops::Range<usize>,
        arrival: &std::ops::Range<EventTime>,
    ) -> crate::error::Result<()> {
        if rows.is_empty() {
            return Ok(());
        }
        let (at, part) = (first + rows.start as u64, batch.slice(rows.start, rows.len()));
        let arrivals = part.column_by_name(ARRIVAL).filter(|_| self.spec.arrivals);
        let arrivals = arrivals.and_then(|column| column.as_any().downcast_ref::<TimestampNanosecondArray>());
        let arrivals = arrivals.map(|arrivals| arrivals.clone().with_timezone_opt::<Arc<str>>(None));
        let schema = &self.log.stream(self.spec.stream)?.spec.schema;
        let rows = fit(&projected(schema, self.spec.projection.as_deref())?, part)?;
        self.ready.push_back(ReadBatch {
            first: Sequence(at),
            arrivals,
            arrival: arrival.clone(),
            event_time: None,
            rows,
        });
        Ok(())
    }

    fn wanted(&self, schema: &SchemaRef) -> crate::error::Result<Wanted> {
        let mut fields = projected(schema, self.spec.projection.as_deref())?.fields().to_vec();
        fields.push(Arc::new(Field::new(SEQUENCE, DataType::Int64, false)));
        if self.spec.arrivals {
            let arrival = DataType::Timestamp(TimeUnit::Nanosecond, Some("UTC".into()));
            fields.push(Arc::new(Field::new(ARRIVAL, arrival, false)));
        }
        Ok(Wanted { schema: Arc::new(Schema::new(fields)), bounds: Bound::of(&self.spec.bounds, schema) })
    }
}

fn projected(schema: &SchemaRef, projection: Option<&[usize]>) -> crate::error::Result<SchemaRef> {
    Ok(match projection {
        Some(columns) => Arc::new(schema.project(columns)?),
        None => Arc::clone(schema),
    })
}

impl Reader for HistoryReader {
    fn next(&mut self) -> Result<Option<ReadBatch>> {
        loop {
            match self.read()? {
                // Stands for rows that were left out.
                Some(batch) if batch.rows.num_rows() == 0 => {}
                read => return Ok(read),
            }
        }
    }

    fn position(&self) -> Sequence {
        self.position
    }
}

impl Log for History {
    fn read(&self, spec: ReadSpec) -> Result<Box<dyn Reader>> {
        let Some(archive) = self.archive(spec.stream) else { return self.log.read(spec) };
        let (position, live) = match (self.start(&archive, &spec)?, spec.from) {
            (_, From::Latest) => return self.log.read(spec),
            (Some(position), _) => (position, None),
            (None, _) => {
                let live = self.log.read(spec.clone())?;
                (live.position(), Some(live))
            }
        };
        let log = Arc::clone(&self.log);
        Ok(Box::new(HistoryReader {
            log,
            archive,
            spec,
            position,
            live,
            ahead: None,
            reloaded: None,
            ready: VecDeque::new(),
        }))
    }

    fn bounds(&self, stream: StreamId) -> Result<Vec<ShardBounds>> {
        let mut bounds = self.log.bounds(stream)?;
        if let Some(archive) = self.archive(stream) {
            for (shard, bounds) in (0..).zip(&mut bounds) {
                bounds.first = self.first(&archive, shard, *bounds)?;
            }
        }
        Ok(bounds)
    }

    fn ends(&self, stream: StreamId) -> Result<Vec<Sequence>> {
        self.log.ends(stream)
    }

    fn lost(&self, stream: StreamId) -> Vec<LostRows> {
        self.log.lost(stream)
    }

    fn create_stream(&self, spec: StreamSpec) -> Result<StreamInfo> {
        self.log.create_stream(spec)
    }

    fn drop_stream(&self, stream: StreamId) -> Result<()> {
        self.log.drop_stream(stream)
    }

    fn evolve(&self, stream: StreamId, schema: SchemaRef) -> Result<StreamInfo> {
        self.log.evolve(stream, schema)
    }

    fn set_retention(&self, stream: StreamId, retention: Retention) -> Result<()> {
        self.log.set_retention(stream, retention)
    }

    fn set_properties(&self, stream: StreamId, properties: BTreeMap<String, String>) -> Result<()> {
        self.log.set_properties(stream, properties)
    }

    fn streams(&self) -> Vec<Arc<StreamInfo>> {
        self.log.streams()
    }

    fn stream(&self, id: StreamId) -> Result<Arc<StreamInfo>> {
        self.log.stream(id)
    }

    fn stream_named(&self, name: &str) -> Result<Arc<StreamInfo>> {
        self.log.stream_named(name)
    }

    fn submit(&self, group: Vec<Append>) -> Box<dyn Pending> {
        self.log.submit(group)
    }

    fn set_fence(&self, stream: StreamId, shard: ShardId, token: Option<u64>) -> Result<()> {
        self.log.set_fence(stream, shard, token)
    }

    fn last_of(
        &self,
        stream: StreamId,
        shard: ShardId,
        producer: ProducerId,
    ) -> Result<Option<(Producer, Appended)>> {
        self.log.last_of(stream, shard, producer)
    }

    fn begin_at(&self, stream: StreamId, shard: ShardId, first: Sequence) -> Result<()> {
        self.log.begin_at(stream, shard, first)
    }

    fn set_hold(&self, stream: StreamId, held: bool) -> Result<()> {
        self.log.set_hold(stream, held)
    }

    fn release(&self, stream: StreamId, shard: ShardId, before: Sequence) -> Result<()> {
        self.log.release(stream, shard, before)
    }

    fn trim(&self, stream: StreamId, shard: ShardId, before: Sequence) -> Result<()> {
        self.log.trim(stream, shard, before)
    }

    fn segments(&self, stream: StreamId) -> Result<Vec<SegmentInfo>> {
        self.log.segments(stream)
    }

    fn version(&self) -> u64 {
        self.log.version()
    }

    fn on_commit(&self, streams: &[StreamId], wake: Arc<dyn Fn() + Send + Sync>) -> CommitGuard {
        self.log.on_commit(streams, wake)
    }

    fn damage(&self) -> Vec<Damage> {
        self.log.damage()
    }

    fn metrics(&self) -> LogMetrics {
        self.log.metrics()
    }

    fn limit_waits(&self, patience: std::time::Duration) {
        self.log.limit_waits(patience);
    }

    fn close(&self) -> Result<()> {
        self.log.close()
    }
}
