//! A tail as its reader holds it, and the places where one starts.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use headwater_core::{EventTime, Sequence, ShardId, StreamId};
use headwater_log::{Log, LogError, StreamInfo};

use crate::dead::Uncomputed;
use crate::error::{Result, RunError};

/// Where a tail starts.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum TailFrom {
    /// With what comes from now on.
    Now,
    /// With the oldest row kept.
    Earliest,
    /// With rows that have an event time (arrival, where there is none) at or after this.
    Time(EventTime),
    /// Behind the rows of a [`TailBatch::resume`].
    Resume(String),
    /// From these sequence numbers on; shards that are not named start at their oldest row.
    Sequences(Vec<(ShardId, Sequence)>),
}

/// Some rows of a tail.
#[derive(Clone, Debug)]
pub struct TailBatch {
    /// The rows.
    pub rows: RecordBatch,
    /// For a tail of a stream: the shard, and the first row's sequence number.
    pub place: Option<(ShardId, Sequence)>,
    /// Rows of the step for which the query could not be computed; said once a step, with its first batch, which may have no rows.
    pub uncomputed: Option<Uncomputed>,
    /// Give this to [`TailFrom::Resume`] to go on after these rows. Opaque; safe in an HTTP header.
    pub resume: String,
}

/// A stream of batches that ends only on an error, or when its inputs have ended.
pub struct Tail {
    pub(super) schema: SchemaRef,
    pub(super) inner: Pin<Box<dyn futures::Stream<Item = Result<TailBatch>> + Send>>,
}

impl Tail {
    /// The columns of every batch.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }
}

impl futures::Stream for Tail {
    type Item = Result<TailBatch>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.inner.as_mut().poll_next(context)
    }
}

/// Fails if a place is one that a stream has not come to. No tail gives such a place out: the reader would wait, and miss what comes
/// before its rows reach there.
pub(super) fn check_reached(log: &dyn Log, info: &StreamInfo, place: &[Sequence]) -> Result<()> {
    let name = &info.spec.name;
    for (shard, (next, bounds)) in place.iter().zip(log.bounds(info.id)?).enumerate() {
        if *next > bounds.next {
            return Err(RunError::Invalid(format!(
                "no tail goes on before row {next} of shard {shard} of stream {name}: its next row is {}; the stream was made anew, \
                 or lost rows with its process or disk; begin again, at the earliest row or now, without Last-Event-ID",
                bounds.next
            )));
        }
    }
    Ok(())
}

/// The streams that a tail reads, as they were when it began.
pub(super) struct Read {
    log: Arc<dyn Log>,
    streams: Vec<Arc<StreamInfo>>,
}

impl Read {
    /// Notes what these streams are called.
    pub fn of(log: &Arc<dyn Log>, streams: &[StreamId]) -> Self {
        let streams = streams.iter().filter_map(|id| log.stream(*id).ok()).collect();
        Self { log: Arc::clone(log), streams }
    }

    /// Why the tail ends. Of a stream that was dropped the log knows the number alone.
    pub fn told(&self, error: RunError) -> RunError {
        let RunError::Log(LogError::NoStream { .. }) = error else { return error };
        match self.streams.iter().find(|info| self.log.stream(info.id).is_err()) {
            Some(gone) => LogError::NoStream { name: gone.spec.name.to_string() }.into(),
            None => error,
        }
    }
}

/// Sequence numbers as a place to resume at has them: `17,4,0`.
pub(super) fn sequences(text: &str) -> Option<Vec<Sequence>> {
    text.split(',').map(|number| number.parse().ok().map(Sequence)).collect()
}
