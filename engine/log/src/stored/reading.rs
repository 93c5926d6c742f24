//! Where a reader stands, and what becomes of a batch that it has found.

use arrow::datatypes::SchemaRef;
use headwater_core::{EventTime, Sequence};

use crate::api::{From, ReadBatch, ReadSpec};
use crate::batch::{Arrivals, Decoded, Header, Wanted, may_match};
use crate::error::Result;
use crate::shape::Shape;
use crate::streams::Stream;
use crate::view::{Shard, View};

/// Where a reader stands, and what it wants.
pub(crate) struct Cursor {
    /// What was asked for.
    pub spec: ReadSpec,
    /// What its rows look like.
    pub shape: Shape,
    /// All schemas of the stream.
    pub schemas: Vec<SchemaRef>,
    /// The sequence number of the next row to look at.
    pub position: Sequence,
}

impl Cursor {
    /// A reader of a stream that stands at the shard's beginning.
    pub fn new(view: &View, spec: ReadSpec) -> Result<Self> {
        let (stream, shard) = view.shard(spec.stream, spec.shard)?;
        let (shape, schemas) = (Shape::new(stream, &spec)?, stream.schemas.clone());
        Ok(Self { spec, shape, schemas, position: shard.first })
    }

    /// The shard, if it has a row at the position for this reader; follows the stream's schema.
    pub fn ahead<'a>(&mut self, view: &'a View) -> Result<Option<&'a Shard>> {
        let (stream, shard) = view.shard(self.spec.stream, self.spec.shard)?;
        shard.check_kept(&stream.info, self.spec.shard, self.position)?;
        if stream.schemas.len() != self.schemas.len() {
            self.shape.follow(stream, &self.spec)?;
            self.schemas = stream.schemas.clone();
        }
        let end = self.spec.until.map_or(shard.next, |until| until.min(shard.next));
        Ok((self.position < end).then_some(shard))
    }

    /// The schema that a batch was written with, if the stream has it.
    pub fn written(&self, header: &Header) -> Option<&SchemaRef> {
        self.schemas.get(header.schema.0 as usize)
    }

    /// Whether a batch may hold a row that is wanted.
    pub fn may_match(&self, header: &Header, written: &SchemaRef) -> bool {
        may_match(header, &self.spec.bounds, written, &self.shape.target)
    }

    /// What is wanted of a batch.
    pub fn wanted<'a>(&'a self, written: &'a SchemaRef) -> Wanted<'a> {
        Wanted {
            written,
            target: &self.shape.target,
            projection: self.spec.projection.as_deref(),
            output: &self.shape.output,
            arrivals: self.spec.arrivals,
        }
    }

    /// Goes on behind a batch that ends at `next`, and answers what of it this reader gets: `decoded`, which begins at `first`. Without
    /// it the batch is passed over. `event_time` is that of the whole batch, if it is known.
    pub fn pass(
        &mut self,
        (first, next): (Sequence, Sequence),
        arrival: (EventTime, EventTime),
        event_time: Option<(EventTime, EventTime)>,
        decoded: Option<&Decoded>,
    ) -> Option<ReadBatch> {
        let end = self.spec.until.map_or(next, |until| until.min(next));
        let position = std::mem::replace(&mut self.position, end);
        let decoded = decoded?;
        let (skip, count) = ((position.0 - first.0) as usize, (end.0 - position.0) as usize);
        let arrivals = decoded.arrivals.as_ref().map(|arrivals| match arrivals {
            Arrivals::Same(_) => arrivals.to_array(count),
            Arrivals::Each(times) => times.slice(skip, count),
        });
        let is_whole = count == decoded.rows.num_rows();
        let rows = if is_whole { decoded.rows.clone() } else { decoded.rows.slice(skip, count) };
        let event_time = event_time.filter(|_| is_whole);
        Some(ReadBatch { first: position, rows, arrivals, arrival: arrival.0..arrival.1, event_time })
    }
}

/// Where reading starts; nothing if that is to be looked for by a time.
pub(crate) fn start(stream: &Stream, shard: &Shard, spec: &ReadSpec) -> Result<Option<Sequence>> {
    Ok(match spec.from {
        From::Earliest => Some(shard.first),
        From::Latest => Some(shard.next),
        From::Sequence(at) => {
            shard.check_kept(&stream.info, spec.shard, at)?;
            Some(at)
        }
        From::EventTime(_) if stream.event_time.is_none() => Some(shard.first),
        From::EventTime(_) | From::Arrival(_) => None,
    })
}
