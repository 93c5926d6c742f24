//! Reads one shard from its partition, or from what was written a moment ago.
//!
//! A reader that goes on where it stopped asks for what follows the last message that it had; one that starts in the middle looks up the
//! offset first.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use headwater_core::Sequence;

use super::batch::{Batch, Place};
use super::broker::Stored;
use super::inner::Inner;
use super::search::first_where;
use crate::api::{From, ReadBatch, ReadSpec, Reader};
use crate::batch::{Arrivals, Decoded, Wanted, decode, may_match};
use crate::error::Result;
use crate::shape::Shape;

/// A reader of a partition.
pub(crate) struct TopicReader {
    inner: Arc<Inner>,
    place: Place,
    spec: ReadSpec,
    shape: Shape,
    schemas: Vec<SchemaRef>,
    position: Sequence,
    /// Batches that were read and lie ahead.
    ahead: VecDeque<Batch>,
    /// Where the batch with the position is looked for, if that is known: after the last one that was read.
    offset: Option<i64>,
}

impl TopicReader {
    /// Starts where `spec` says.
    pub fn new(inner: Arc<Inner>, spec: ReadSpec) -> Result<Self> {
        let (shape, schemas, place) = {
            let view = inner.view.read();
            let (stream, _) = view.shard(spec.stream, spec.shard)?;
            (Shape::new(stream, &spec)?, stream.schemas.clone(), inner.place(&stream.info, spec.shard))
        };
        let position = start(&inner, &place, &spec)?;
        Ok(Self { inner, place, spec, shape, schemas, position, ahead: VecDeque::new(), offset: None })
    }

    /// Whether there is a row at the position for this reader, and between which offsets it is; follows the stream's schema.
    fn find(&mut self) -> Result<Option<Range<i64>>> {
        let view = self.inner.view.read();
        let (stream, shard) = view.shard(self.spec.stream, self.spec.shard)?;
        shard.check_kept(&stream.info, self.spec.shard, self.position)?;
        if stream.schemas.len() != self.schemas.len() {
            self.shape.follow(stream, &self.spec)?;
            self.schemas = stream.schemas.clone();
        }
        let end = self.spec.until.map_or(shard.next, |until| until.min(shard.next));
        let after = self.offset.map(|offset| offset..shard.topic.end);
        let range = after.unwrap_or_else(|| shard.topic.around(self.position));
        Ok((self.position < end).then_some(range))
    }

    /// The batch at the position, which is between these offsets.
    fn batch(&mut self, offsets: Range<i64>) -> Result<Batch> {
        while self.ahead.front().is_some_and(|batch| batch.next() <= self.position) {
            self.ahead.pop_front();
        }
        if self.ahead.is_empty() {
            self.fill(offsets)?;
        }
        match self.ahead.front() {
            Some(batch) if batch.first() <= self.position => Ok(batch.clone()),
            // The rows before it were removed a moment ago, which the next look at the shard tells; or else they are missing.
            Some(batch) => {
                let reason = format!("the batch begins with row {}, not {}", batch.first(), self.position);
                let error = self.place.damaged(batch.offset, reason);
                self.find()?;
                Err(error)
            }
            None => {
                self.find()?;
                Err(self.place.damaged(0, format!("no message holds row {}", self.position)))
            }
        }
    }

    fn fill(&mut self, offsets: Range<i64>) -> Result<()> {
        let recent = self.inner.tail.get(self.spec.stream, self.spec.shard, self.position);
        if let Some((offset, value)) = recent {
            let batch = Batch::of(&self.place, Stored { offset, value, note: bytes::Bytes::new() })?;
            if batch.next() > self.position {
                self.offset = Some(offset + 1);
                self.ahead.push_back(batch);
                return Ok(());
            }
        }
        let read = |range: Range<i64>| self.inner.read(&self.place, range);
        let batches = if self.offset.is_some() {
            read(offsets)?
        } else {
            let position = self.position;
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
        let Some(written) = self.schemas.get(header.schema.0 as usize) else {
            return Err(self.place.damaged(batch.offset, format!("schema {} is not known", header.schema)));
        };
        if !may_match(header, &self.spec.bounds, written, &self.shape.target) {
            return Ok(None);
        }
        let wanted = Wanted {
            written,
            target: &self.shape.target,
            projection: self.spec.projection.as_deref(),
            output: &self.shape.output,
            arrivals: self.spec.arrivals,
        };
        let decoded = decode(header, &wanted, &batch.bytes)
            .map_err(|error| self.place.damaged(batch.offset, error.to_string()))?;
        Ok(Some(decoded))
    }
}

impl Reader for TopicReader {
    fn next(&mut self) -> Result<Option<ReadBatch>> {
        while let Some(offsets) = self.find()? {
            let batch = self.batch(offsets)?;
            let end = self.spec.until.map_or(batch.next(), |until| until.min(batch.next()));
            let Some(decoded) = self.rows(&batch)? else {
                self.position = end;
                continue;
            };
            let first = self.position;
            let (skip, count) = ((first.0 - batch.first().0) as usize, (end.0 - first.0) as usize);
            let arrivals = decoded.arrivals.map(|arrivals| match arrivals {
                Arrivals::Same(_) => arrivals.to_array(count),
                Arrivals::Each(times) => times.slice(skip, count),
            });
            let (from, to) = batch.header.arrival;
            self.position = end;
            let rows = decoded.rows.slice(skip, count);
            return Ok(Some(ReadBatch { first, rows, arrivals, arrival: from..to }));
        }
        Ok(None)
    }

    fn position(&self) -> Sequence {
        self.position
    }
}

/// Where reading starts.
fn start(inner: &Inner, place: &Place, spec: &ReadSpec) -> Result<Sequence> {
    let (offsets, next) = {
        let view = inner.view.read();
        let (stream, shard) = view.shard(spec.stream, spec.shard)?;
        match spec.from {
            From::Earliest => return Ok(shard.first),
            From::Latest => return Ok(shard.next),
            From::Sequence(at) => {
                shard.check_kept(&stream.info, spec.shard, at)?;
                return Ok(at);
            }
            From::EventTime(_) if stream.event_time.is_none() => return Ok(shard.first),
            From::EventTime(_) | From::Arrival(_) => (shard.topic.begin..shard.topic.end, shard.next),
        }
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
