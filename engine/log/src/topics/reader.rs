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
use crate::error::Result;
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
            // The rows before it were removed a moment ago, which the next look at the shard tells; or else they are missing.
            Some(batch) => {
                let reason =
                    format!("the batch begins with row {}, not {}", batch.first(), self.cursor.position);
                let error = self.place.damaged(batch.offset, reason);
                self.find()?;
                Err(error)
            }
            None => {
                self.find()?;
                Err(self.place.damaged(0, format!("no message holds row {}", self.cursor.position)))
            }
        }
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
