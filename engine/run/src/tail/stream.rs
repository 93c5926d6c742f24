//! The tail of a stream: its rows as they are appended, shard by shard.
//!
//! The place to resume at is the next sequence number of each shard, such as `17,4,0`.

use std::sync::Arc;

use headwater_core::{Sequence, ShardId};
use headwater_log::{From, Log, ReadSpec, Reader, StreamInfo};

use super::handle::sequences;
use super::wake::Commits;
use super::{Tail, TailBatch, TailFrom};
use crate::engine::{CATALOG, Inner, without_secrets};
use crate::error::{Result, RunError};

struct StreamTail {
    readers: Vec<Box<dyn Reader>>,
    /// The shard to look at next, so that a busy one does not keep the others waiting.
    turn: usize,
    /// Whether it is the stream of definitions, in which there are secrets.
    hides: bool,
}

/// Opens a tail of a stream.
pub(crate) fn of_stream(inner: &Arc<Inner>, stream: &str, from: TailFrom) -> Result<Tail> {
    let log = Arc::clone(&inner.log);
    let info = log.stream_named(stream)?;
    let places = places(&*log, &info, from)?;
    let commits = Commits::of(&*log, &[info.id]);
    let readers = places.into_iter().enumerate().map(|(shard, from)| {
        let spec = ReadSpec { from, ..ReadSpec::all(info.id, ShardId(shard as u32)) };
        log.read(spec).map_err(RunError::from)
    });
    let hides = info.spec.name.as_str() == CATALOG;
    let tail = StreamTail { readers: readers.collect::<Result<_>>()?, turn: 0, hides };
    let schema = Arc::clone(&info.spec.schema);
    let batches = futures::stream::unfold(Some((tail, commits)), |state| async {
        let (mut tail, commits) = state?;
        loop {
            // Reading may touch the disk, so it is done where blocking is allowed.
            let read = tokio::task::spawn_blocking(move || {
                let read = tail.next();
                (tail, read)
            });
            let read = match read.await {
                Ok((back, read)) => {
                    tail = back;
                    read
                }
                Err(error) => return Some((Err(RunError::Invalid(error.to_string())), None)),
            };
            match read {
                Ok(Some(batch)) => return Some((Ok(batch), Some((tail, commits)))),
                Ok(None) => commits.next().await,
                Err(error) => return Some((Err(error), None)),
            }
        }
    });
    Ok(Tail { schema, inner: Box::pin(batches) })
}

impl StreamTail {
    fn next(&mut self) -> Result<Option<TailBatch>> {
        for _ in 0..self.readers.len() {
            let shard = self.turn;
            self.turn = (self.turn + 1) % self.readers.len();
            if let Some(read) = self.readers[shard].next()? {
                let next: Vec<String> =
                    self.readers.iter().map(|reader| reader.position().to_string()).collect();
                let place = Some((ShardId(shard as u32), read.first));
                let rows = if self.hides { without_secrets(&read.rows)? } else { read.rows };
                return Ok(Some(TailBatch { rows, place, resume: next.join(",") }));
            }
        }
        Ok(None)
    }
}

/// Where to start in each shard.
fn places(log: &dyn Log, info: &StreamInfo, from: TailFrom) -> Result<Vec<From>> {
    let shards = info.spec.shards as usize;
    Ok(match from {
        TailFrom::Now => vec![From::Latest; shards],
        TailFrom::Earliest => vec![From::Earliest; shards],
        TailFrom::Time(time) if info.spec.event_time.is_some() => vec![From::EventTime(time); shards],
        TailFrom::Time(time) => vec![From::Arrival(time); shards],
        TailFrom::Sequences(given) => {
            let mut places = vec![From::Earliest; shards];
            for (shard, sequence) in given {
                let place =
                    places.get_mut(shard.0 as usize).ok_or_else(|| headwater_log::LogError::NoShard {
                        stream: info.spec.name.clone(),
                        shard,
                        shards: info.spec.shards,
                    })?;
                *place = From::Sequence(sequence);
            }
            places
        }
        TailFrom::Resume(text) => {
            let bounds = log.bounds(info.id)?;
            let numbers = sequences(&text).filter(|numbers| numbers.len() == shards).ok_or_else(|| {
                RunError::Invalid(format!(
                    "{text:?} is no place in stream {}: one number per shard is expected",
                    info.spec.name
                ))
            })?;
            let kept = |(sequence, bounds): (&Sequence, &headwater_log::ShardBounds)| {
                // What retention has removed meanwhile cannot be had; the tail goes on with the oldest row kept.
                From::Sequence((*sequence).max(bounds.first))
            };
            numbers.iter().zip(&bounds).map(kept).collect()
        }
    })
}
