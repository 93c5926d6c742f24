//! Reads one shard from its partition, or from what was written a moment ago.
//!
//! A reader that goes on where it stopped asks for what follows the last message that it had; one that starts in the middle looks up the
//! offset first.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;

use headwater_core::Sequence;

use super::batch::{Batch, Place};
use super::broker::Stored;
use super::inner::Inner;
use super::search::first_where;
use crate::api::{From, ReadBatch, ReadSpec, Reader};
use crate::batch::{Decoded, decode};
use crate::error::{LogError, Result};
use crate::stored::{self, Cursor};

/// A reader of a partition.
pub(crate) struct TopicReader {
    inner: Arc<Inner>,
    place: Place,
    cursor: Cursor,
    /// Batches that were read and lie ahead.
    ahead: VecDeque<Batch>,
    /// Where the batch with the position is looked for, if that is known: after the last one that was read.
    offset: Option<i64>,
}

impl TopicReader {
    /// Starts where `spec` says.
    pub fn new(inner: Arc<Inner>, spec: ReadSpec) -> Result<Self> {
        let (place, mut cursor) = {
            let view = inner.view.read();
            let place = inner.place(&view.streams.get(spec.stream)?.info, spec.shard);
            (place, Cursor::new(&view, spec)?)
        };
        cursor.position = start(&inner, &place, &cursor.spec)?;
        Ok(Self { inner, place, cursor, ahead: VecDeque::new(), offset: None })
    }

    /// Whether there is a row at the position for this reader, and between which offsets it is.
    fn find(&mut self) -> Result<Option<Range<i64>>> {
        let view = self.inner.view.read();
        let Some(shard) = self.cursor.ahead(&view)? else { return Ok(None) };
        let after = self.offset.map(|offset| offset..shard.topic.end);
        Ok(Some(after.unwrap_or_else(|| shard.topic.around(self.cursor.position))))
    }

    /// The batch at the position, which is between these offsets.
    fn batch(&mut self, offsets: Range<i64>) -> Result<Batch> {
        while self.ahead.front().is_some_and(|batch| batch.next() <= self.cursor.position) {
            self.ahead.pop_front();
        }
        if self.ahead.is_empty() {
            self.fill(offsets)?;
        }
        match self.ahead.front() {
            Some(batch) if batch.first() <= self.cursor.position => Ok(batch.clone()),
            Some(batch) => {
                let (first, offset) = (batch.first(), batch.offset);
                let reason = format!("the batch begins with row {first}, not {}", self.cursor.position);
                Err(self.missing(Some(first), offset, reason)?)
            }
            None => {
                let reason = format!("no message holds row {}", self.cursor.position);
                Err(self.missing(None, 0, reason)?)
            }
        }
    }

    /// Why the row at the position is not there: it is missing, or it was removed a moment ago. What this process has removed the next look
    /// at the shard tells; what another one has, which writes the log while this one only looks, the broker does.
    fn missing(&mut self, oldest: Option<Sequence>, offset: i64, reason: String) -> Result<LogError> {
        self.find()?;
        let shard = self.cursor.spec.shard;
        let (stream, begin, oldest) = {
            let view = self.inner.view.read();
            let (stream, rows) = view.shard(self.cursor.spec.stream, shard)?;
            (stream.info.spec.name.clone(), rows.topic.begin, oldest.unwrap_or(rows.next))
        };
        if self.inner.topics.bounds(&self.place.topic, self.place.shard.0)?.start > begin {
            return Ok(LogError::Trimmed { stream, shard, asked: self.cursor.position, oldest });
        }
        Ok(self.place.damaged(offset, reason))
    }

    fn fill(&mut self, offsets: Range<i64>) -> Result<()> {
        let recent =
            self.inner.tail.get(self.cursor.spec.stream, self.cursor.spec.shard, self.cursor.position);
        if let Some((offset, value)) = recent {
            let batch = Batch::of(&self.place, Stored { offset, value, note: bytes::Bytes::new() })?;
            if batch.next() > self.cursor.position {
                self.offset = Some(offset + 1);
                self.ahead.push_back(batch);
                return Ok(());
            }
        }
        let read = |range: Range<i64>| self.inner.read(&self.place, range);
        let batches = if self.offset.is_some() {
            read(offsets)?
        } else {
            let position = self.cursor.position;
            first_where(&read, offsets, |batch| Ok(batch.next() > position))?.into_iter().collect()
        };
        if let Some(last) = batches.last() {
            self.offset = Some(last.offset + 1);
        }
        self.ahead.extend(batches);
        Ok(())
    }

    /// The rows of a batch, if it is not left out by bounds.
    fn rows(&self, batch: &Batch) -> Result<Option<Decoded>> {
        let header = &batch.header;
        let Some(written) = self.cursor.written(header) else {
            return Err(self.place.damaged(batch.offset, format!("schema {} is not known", header.schema)));
        };
        if !self.cursor.may_match(header, written) {
            return Ok(None);
        }
        let decoded = decode(header, &self.cursor.wanted(written), &batch.bytes)
            .map_err(|error| self.place.damaged(batch.offset, error.to_string()))?;
        Ok(Some(decoded))
    }
}

impl Reader for TopicReader {
    fn next(&mut self) -> Result<Option<ReadBatch>> {
        while let Some(offsets) = self.find()? {
            let batch = self.batch(offsets)?;
            let decoded = self.rows(&batch)?;
            let rows = (batch.first(), batch.next());
            let header = &batch.header;
            let found = self.cursor.pass(rows, header.arrival, header.event_time, decoded.as_ref());
            if found.is_some() {
                return Ok(found);
            }
        }
        Ok(None)
    }

    fn position(&self) -> Sequence {
        self.cursor.position
    }
}

/// Where reading starts.
fn start(inner: &Inner, place: &Place, spec: &ReadSpec) -> Result<Sequence> {
    let (offsets, next) = {
        let view = inner.view.read();
        let (stream, shard) = view.shard(spec.stream, spec.shard)?;
        if let Some(start) = stored::start(stream, shard, spec)? {
            return Ok(start);
        }
        (shard.topic.begin..shard.topic.end, shard.next)
    };
    let read = |range: Range<i64>| inner.read(place, range);
    let found = first_where(&read, offsets, |batch| {
        Ok(match spec.from {
            // The largest so far only grows; where it reaches the time there is the first row that has it.
            From::EventTime(time) => batch.note(place)?.totals.event_time.is_some_and(|(_, max)| max >= time),
            From::Arrival(time) => batch.header.arrival.1 >= time,
            From::Earliest | From::Latest | From::Sequence(_) => true,
        })
    })?;
    Ok(found.map_or(next, |batch| batch.first()))
}
