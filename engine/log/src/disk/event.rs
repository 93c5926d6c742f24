//! What the catalog keeps beside the streams: which files make up the log, and what is no longer in it.
//!
//! ```text
//!  active file n ──seal──► Sealed { n, files } ──retention──► Trimmed { shards } ──► Removed { files }
//!                          from here on the sealed files are the truth, before it the active file was
//! ```
//!
//! A file that the catalog does not name is not part of the log.

use std::collections::{BTreeMap, BTreeSet};

use headwater_core::{Sequence, ShardId, StreamId};

use crate::producers::Snapshot;
use crate::streams::{Change, Streams};

/// One entry of the catalog.
#[derive(Clone, PartialEq, Debug, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Event {
    /// The set of streams changed.
    Stream(Change),
    /// An active file was sealed.
    Sealed(Sealed),
    /// A sealed file got another footer, or lost batches, since it was damaged.
    Resealed { file: u64, now: SealedFile },
    /// Sealed files of a stream are no longer part of the log.
    Removed { stream: u32, files: Vec<u64> },
    /// The oldest rows of a shard are no longer part of the log.
    Trimmed(Trimmed),
    /// Rows that `repair` could not save.
    Lost(Lost),
    /// An active file is there, and durable up to here: said when it was begun and when the log was closed.
    Durable { active: u64, bytes: u64 },
    /// Several at once, all of them or none.
    Together(Vec<Self>),
    /// The log, with streams that are kept in memory, has been opened so many times.
    Opened { times: u64 },
    /// The log was closed: everything before this is durable.
    Closed,
}

/// An active file was sealed.
#[derive(Clone, PartialEq, Debug, serde::Serialize, serde::Deserialize)]
pub(crate) struct Sealed {
    /// The number of the active file.
    pub active: u64,
    /// The stream that took over the active file itself, if one did.
    pub adopted: Option<u32>,
    /// The sealed files that it became.
    pub files: Vec<SealedFile>,
}

/// A sealed file.
#[derive(Clone, Copy, PartialEq, Eq, Debug, serde::Serialize, serde::Deserialize)]
pub(crate) struct SealedFile {
    /// Its stream.
    pub stream: u32,
    /// Its length.
    pub bytes: u64,
    /// How many rows it holds, of all shards: what a footer that was rebuilt must come to.
    pub rows: u64,
}

/// Where a shard begins.
#[derive(Clone, PartialEq, Debug, serde::Serialize, serde::Deserialize)]
pub(crate) struct Trimmed {
    /// The stream.
    pub stream: u32,
    /// The shard.
    pub shard: u32,
    /// The oldest row kept.
    pub first: u64,
    /// The producers remembered, when no row is left that could tell them.
    pub producers: Vec<Snapshot>,
}

/// Rows that are lost.
#[derive(Clone, PartialEq, Debug, serde::Serialize, serde::Deserialize)]
pub(crate) struct Lost {
    /// The stream.
    pub stream: u32,
    /// The shard.
    pub shard: u32,
    /// The first row that is lost.
    pub from: u64,
    /// The row after the last that is lost.
    pub to: u64,
    /// Where the damaged bytes are kept, and what was wrong with them.
    pub reason: String,
}

/// What all events together say.
#[derive(Clone, Debug, Default)]
pub(crate) struct State {
    /// The streams.
    pub streams: Streams,
    /// The sealed files, by stream and number.
    pub files: BTreeMap<(StreamId, u64), SealedFile>,
    /// Active files that were sealed, and the stream that took each over.
    pub sealed: BTreeMap<u64, Option<StreamId>>,
    /// Sealed files that were removed.
    pub removed: BTreeSet<(StreamId, u64)>,
    /// Where shards begin.
    pub trimmed: BTreeMap<(StreamId, ShardId), Trimmed>,
    /// Rows that are lost.
    pub lost: Vec<Lost>,
    /// The newest active file that is known to have been begun, and up to where it is known to be durable.
    pub durable: Option<(u64, u64)>,
    /// How often the log was opened while there were streams that are kept in memory.
    pub opened: u64,
}

impl State {
    /// Applies an event, with the schema that it brings. What does not fit says why.
    pub(crate) fn apply(
        &mut self,
        event: Event,
        schema: Option<arrow::datatypes::SchemaRef>,
    ) -> Result<(), String> {
        match event {
            Event::Stream(change) => {
                if let Change::Drop { stream } = change {
                    self.forget(StreamId(stream));
                }
                self.streams.apply(&change, schema)?;
            }
            Event::Sealed(Sealed { active, adopted, files }) => {
                self.sealed.insert(active, adopted.map(StreamId));
                for file in files {
                    self.files.insert((StreamId(file.stream), active), file);
                }
            }
            Event::Resealed { file, now } => {
                let file = self.files.get_mut(&(StreamId(now.stream), file));
                *file.ok_or("a file that was sealed anew is not known")? = now;
            }
            Event::Removed { stream, files } => {
                for number in files {
                    self.files.remove(&(StreamId(stream), number));
                    self.removed.insert((StreamId(stream), number));
                }
            }
            Event::Trimmed(trimmed) => {
                self.trimmed.insert((StreamId(trimmed.stream), ShardId(trimmed.shard)), trimmed);
            }
            Event::Lost(lost) => self.lost.push(lost),
            Event::Durable { active, bytes } => self.durable = Some((active, bytes)),
            Event::Together(events) => events.into_iter().try_for_each(|event| self.apply(event, None))?,
            Event::Opened { times } => self.opened = times,
            Event::Closed => {}
        }
        Ok(())
    }

    fn forget(&mut self, stream: StreamId) {
        self.files.retain(|(of, _), _| *of != stream);
        self.trimmed.retain(|(of, _), _| *of != stream);
        self.lost.retain(|lost| lost.stream != stream.0);
    }

    /// The active file that must be there, and up to where it is known to be durable.
    pub(crate) fn unsealed(&self) -> Option<(u64, u64)> {
        self.durable.filter(|(active, _)| !self.sealed.contains_key(active))
    }

    /// Up to where an active file is known to be durable.
    pub(crate) fn durable_bytes(&self, number: u64) -> u64 {
        self.unsealed().filter(|(active, _)| *active == number).map_or(0, |(_, bytes)| bytes)
    }

    /// Where a shard begins at the earliest.
    pub(crate) fn first(&self, stream: StreamId, shard: ShardId) -> Sequence {
        self.trimmed.get(&(stream, shard)).map_or(Sequence::ZERO, |trimmed| Sequence(trimmed.first))
    }

    /// Whether a shard that ended at `end` may go on at `start`: at once, or after rows that are known to be lost.
    pub(crate) fn follows(&self, stream: StreamId, shard: ShardId, end: Sequence, start: Sequence) -> bool {
        start == end || self.lost_until(stream, shard, end) == start
    }

    /// The sequence number after the lost rows that start at `at`, if there are any; else `at`.
    pub(crate) fn lost_until(&self, stream: StreamId, shard: ShardId, at: Sequence) -> Sequence {
        let mut at = at;
        while let Some(lost) = self.lost.iter().find(|lost| {
            (lost.stream, lost.shard) == (stream.0, shard.0) && (lost.from..lost.to).contains(&at.0)
        }) {
            at = Sequence(lost.to);
        }
        at
    }

    /// The fewest events that say the same, with the schemas that they bring. Files must have been cleaned up, as it
    /// is no longer said which were removed.
    pub(crate) fn as_events(&self) -> Vec<(Event, Option<arrow::datatypes::SchemaRef>)> {
        let mut events: Vec<_> = self
            .streams
            .as_changes()
            .into_iter()
            .map(|(change, schema)| (Event::Stream(change), schema))
            .collect();
        let mut sealed: BTreeMap<u64, Vec<SealedFile>> = BTreeMap::new();
        for ((_, number), file) in &self.files {
            sealed.entry(*number).or_default().push(*file);
        }
        // The highest number must stay known even when all its files are gone: numbers are never used again.
        if let Some((newest, _)) = self.sealed.last_key_value() {
            sealed.entry(*newest).or_default();
        }
        for (active, files) in sealed {
            events.push((Event::Sealed(Sealed { active, adopted: None, files }), None));
        }
        events.extend(self.trimmed.values().map(|one| (Event::Trimmed(one.clone()), None)));
        events.extend(self.lost.iter().map(|one| (Event::Lost(one.clone()), None)));
        let durable = self.unsealed();
        events.extend(durable.map(|(active, bytes)| (Event::Durable { active, bytes }, None)));
        if self.opened > 0 {
            events.push((Event::Opened { times: self.opened }, None));
        }
        events
    }
}

#[cfg(test)]
mod tests;
