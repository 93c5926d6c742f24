//! A batch as a message holds it.

use std::fmt;
use std::sync::Arc;

use arrow::buffer::Buffer;
use headwater_core::{Sequence, ShardId, StreamId};

use super::broker::Stored;
use super::note::Note;
use crate::batch::{Header, Limits};
use crate::error::{LogError, Result};

/// A shard and its partition.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Place {
    /// The topic.
    pub topic: Arc<str>,
    /// The stream.
    pub stream: StreamId,
    /// The shard; the partition has its number.
    pub shard: ShardId,
}

/// For people, and in errors in the place of a file: `topic/partition`.
impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.topic, self.shard)
    }
}

impl Place {
    /// What is wrong with the message at an offset.
    pub fn damaged(&self, offset: i64, reason: impl Into<String>) -> LogError {
        LogError::corrupt(self.to_string(), u64::try_from(offset).unwrap_or_default(), reason)
    }
}

/// A batch that was read; its buffers are verified when they are decoded.
#[derive(Clone, Debug)]
pub(crate) struct Batch {
    /// Where in the partition it is.
    pub offset: i64,
    /// Its header.
    pub header: Header,
    /// All of it.
    pub bytes: Buffer,
    note: bytes::Bytes,
}

impl Batch {
    /// Checks a message. It must hold one batch of the shard, and nothing else.
    pub fn of(place: &Place, stored: Stored) -> Result<Self> {
        let Stored { offset, value, note } = stored;
        let bytes = Buffer::from(value);
        let header = Header::parse(&bytes, &Limits::FORMAT)
            .map_err(|error| place.damaged(offset, format!("the message holds no batch: {error}")))?;
        if (header.stream, header.shard) != (place.stream, place.shard) {
            let reason = format!("a batch of stream {} shard {} is here", header.stream, header.shard);
            return Err(place.damaged(offset, reason));
        }
        if header.lengths.total != bytes.len() as u64 {
            let reason = format!(
                "the batch is {} bytes long, the message holds {}",
                header.lengths.total,
                bytes.len()
            );
            return Err(place.damaged(offset, reason));
        }
        Ok(Self { offset, header, bytes, note })
    }

    /// What the message says beside the batch.
    pub fn note(&self, place: &Place) -> Result<Note> {
        Note::decode(&self.note).map_err(|reason| place.damaged(self.offset, reason))
    }

    /// The first row's sequence number.
    pub fn first(&self) -> Sequence {
        self.header.first
    }

    /// The sequence number after the last row's.
    pub fn next(&self) -> Sequence {
        self.header.next()
    }
}
