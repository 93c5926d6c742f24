//! The tail of a stream: its rows as they are appended, shard by shard.
//!
//! The place to resume at is the next sequence number of each shard, such as `17,4,0`; if the tail is one of rows since a time, that
//! follows in nanoseconds: `17,4,0@1772323200000000000`.

use std::collections::VecDeque;
use std::sync::Arc;

use headwater_core::{EventTime, Sequence, ShardId};
use headwater_log::{From, Log, ReadBatch, ReadSpec, Reader, StreamInfo};

use super::handle::{Read, check_reached, sequences};
use super::since::Since;
use super::wake::Commits;
use super::{Tail, TailBatch, TailFrom};
use crate::engine::{CATALOG, Inner, without_secrets};
use crate::error::{Result, RunError};

struct StreamTail {
    readers: Vec<Box<dyn Reader>>,
    /// The shard to look at next, so that a busy one does not keep the others waiting.
    turn: usize,
    /// Only rows since then.
    since: Option<Since>,
    /// Read, and not handed out yet.
    ready: VecDeque<TailBatch>,
    /// Whether secrets are left out: in the stream of definitions there are some.
    hides_secrets: bool,
}

/// Opens a tail of a stream.
pub(crate) fn of_stream(inner: &Arc<Inner>, stream: &str, from: TailFrom) -> Result<Tail> {
    let log = Arc::clone(&inner.log);
    let info = log.stream_named(stream)?;
    let (places, since) = places(&*log, &info, from)?;
    let commits = Commits::of(&*log, &[info.id]);
    let arrivals = since.is_some_and(|since| since.column.is_none());
    let readers = places.into_iter().enumerate().map(|(shard, from)| {
        let spec = ReadSpec { from, arrivals, ..ReadSpec::all(info.id, ShardId(shard as u32)) };
        log.read(spec).map_err(RunError::from)
    });
    let hides_secrets = info.spec.name.as_str() == CATALOG;
    let readers = readers.collect::<Result<_>>()?;
    let tail = StreamTail { readers, turn: 0, since, ready: VecDeque::new(), hides_secrets };
    let schema = Arc::clone(&info.spec.schema);
    let streams = Read::of(&log, &[info.id]);
    let batches = futures::stream::unfold(Some((tail, commits, streams)), |state| async {
        let (mut tail, commits, streams) = state?;
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
                Ok(Some(batch)) => return Some((Ok(batch), Some((tail, commits, streams)))),
                Ok(None) => commits.next().await,
                Err(error) => return Some((Err(streams.told(error)), None)),
            }
        }
    });
    Ok(Tail { schema, inner: Box::pin(batches) })
}

impl StreamTail {
    fn next(&mut self) -> Result<Option<TailBatch>> {
        for _ in 0..self.readers.len() {
            if let Some(batch) = self.ready.pop_front() {
                return Ok(Some(batch));
            }
            let shard = self.turn;
            self.turn = (self.turn + 1) % self.readers.len();
            while self.ready.is_empty()
                && let Some(read) = self.readers[shard].next()?
            {
                self.take(shard, read)?;
            }
        }
        Ok(self.ready.pop_front())
    }

    fn take(&mut self, shard: usize, read: ReadBatch) -> Result<()> {
        let rows = if self.hides_secrets { without_secrets(&read.rows)? } else { read.rows.clone() };
        let stretches = match &self.since {
            Some(since) => since.stretches(&read)?,
            None => std::iter::once(0..rows.num_rows()).collect(),
        };
        for stretch in stretches {
            let first = read.first.plus(stretch.start as u64);
            let resume = self.resume(shard, read.first.plus(stretch.end as u64));
            let rows = rows.slice(stretch.start, stretch.len());
            self.ready.push_back(TailBatch {
                rows,
                place: Some((ShardId(shard as u32), first)),
                uncomputed: None,
                resume,
            });
        }
        Ok(())
    }

    /// The place at which all shards are where they are, but for this one.
    fn resume(&self, shard: usize, next: Sequence) -> String {
        let places = self.readers.iter().map(|reader| reader.position()).enumerate();
        let places: Vec<String> =
            places.map(|(nth, at)| if nth == shard { next } else { at }.to_string()).collect();
        match self.since {
            Some(since) => format!("{}@{}", places.join(","), since.time.0),
            None => places.join(","),
        }
    }
}

/// Where to start in each shard, and since when rows are given.
fn places(log: &dyn Log, info: &StreamInfo, from: TailFrom) -> Result<(Vec<From>, Option<Since>)> {
    let shards = info.spec.shards as usize;
    Ok(match from {
        TailFrom::Now => (vec![From::Latest; shards], None),
        TailFrom::Earliest => (vec![From::Earliest; shards], None),
        TailFrom::Time(time) => {
            let since = Since::of(info, time);
            (vec![since.place(); shards], Some(since))
        }
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
            (places, None)
        }
        TailFrom::Resume(text) => {
            let (numbers, time) = match text.split_once('@') {
                Some((numbers, time)) => (numbers, time.parse().ok().map(EventTime).map(Some)),
                None => (text.as_str(), Some(None)),
            };
            let numbers = sequences(numbers).filter(|numbers| numbers.len() == shards);
            let (Some(numbers), Some(time)) = (numbers, time) else {
                return Err(RunError::Invalid(format!(
                    "{text:?} is no place in stream {}: one number per shard is expected",
                    info.spec.name
                )));
            };
            check_reached(log, info, &numbers)?;
            // Where retention has removed rows from behind such a place, the log says so.
            let places = numbers.into_iter().map(From::Sequence).collect();
            (places, time.map(|time| Since::of(info, time)))
        }
    })
}
