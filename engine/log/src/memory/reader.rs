//! Reads one shard in memory.

use std::sync::Arc;

use headwater_core::Sequence;
use parking_lot::RwLock;

use super::rows::MemoryBatch;
use crate::api::{From, ReadBatch, ReadSpec, Reader};
use crate::batch::Arrivals;
use crate::error::Result;
use crate::shape::Shape;
use crate::stored;
use crate::streams::Stream;
use crate::view::{Shard, View};

/// A reader of rows in memory. Without statistics, bounds leave nothing out.
pub(crate) struct MemoryReader {
    view: Arc<RwLock<View>>,
    spec: ReadSpec,
    shape: Shape,
    position: Sequence,
}

impl MemoryReader {
    /// Starts where `spec` says.
    pub(crate) fn new(view: Arc<RwLock<View>>, spec: ReadSpec) -> Result<Self> {
        let (shape, position) = {
            let view = view.read();
            let (stream, shard) = view.shard(spec.stream, spec.shard)?;
            (Shape::new(stream, &spec)?, start(stream, shard, &spec)?)
        };
        Ok(Self { view, spec, shape, position })
    }

    /// The batch at the position, if it is there.
    fn find(&mut self) -> Result<Option<MemoryBatch>> {
        let view = self.view.read();
        let (stream, shard) = view.shard(self.spec.stream, self.spec.shard)?;
        shard.check_kept(&stream.info, self.spec.shard, self.position)?;
        self.shape.follow(stream, &self.spec)?;
        let end = self.spec.until.map_or(shard.next, |until| until.min(shard.next));
        Ok(if self.position < end { shard.memory.find(self.position).cloned() } else { None })
    }
}

fn start(stream: &Stream, shard: &Shard, spec: &ReadSpec) -> Result<Sequence> {
    if let Some(start) = stored::start(stream, shard, spec)? {
        return Ok(start);
    }
    let found = match spec.from {
        From::EventTime(time) => shard.memory.seek_event_time(time),
        From::Arrival(time) => shard.memory.seek_arrival(time),
        From::Earliest | From::Latest | From::Sequence(_) => None,
    };
    Ok(found.unwrap_or(shard.next))
}

impl Reader for MemoryReader {
    fn next(&mut self) -> Result<Option<ReadBatch>> {
        let Some(batch) = self.find()? else { return Ok(None) };
        let end = self.spec.until.map_or(batch.next(), |until| until.min(batch.next()));
        let skip = (self.position.0 - batch.first.0) as usize;
        let count = (end.0 - self.position.0) as usize;
        let event_time = batch.event_time.filter(|_| count == batch.rows.num_rows());
        let rows = batch.rows.slice(skip, count);
        let rows = self.shape.adapt(&rows, self.spec.projection.as_deref())?;
        let first = self.position;
        self.position = end;
        Ok(Some(ReadBatch {
            first,
            arrivals: self.spec.arrivals.then(|| Arrivals::Same(batch.arrival).to_array(count)),
            arrival: batch.arrival..batch.arrival,
            event_time,
            rows,
        }))
    }

    fn position(&self) -> Sequence {
        self.position
    }
}
