//! What a log needs of a broker of topics.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;

/// The result of a call to a broker.
pub type TopicResult<T> = Result<T, TopicError>;

/// Why a broker did not do what was asked.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum TopicError {
    /// It cannot be reached, or not now. Whether it has done what was asked is not known.
    #[error("{what}: {reason}")]
    Outage {
        /// What was tried, and where.
        what: String,
        /// What was heard of it.
        reason: String,
    },
    /// It never will, unless somebody changes something.
    #[error("{what}: {reason}")]
    Refused {
        /// What was tried, and where.
        what: String,
        /// Why not, and what to do.
        reason: String,
    },
    /// Another process has taken over.
    #[error(
        "another process has opened the log {log} and writes to it; stop that one and restart this one, or give them different logs"
    )]
    Fenced {
        /// The log's name.
        log: String,
    },
}

/// A message that is to be written.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Message {
    /// The topic.
    pub topic: Arc<str>,
    /// The partition.
    pub partition: u32,
    /// The bytes, at most 8 MiB.
    pub value: Bytes,
    /// What is kept beside them, at most 1 MiB: a header of the message.
    pub note: Bytes,
    /// The message's time: milliseconds since 1970-01-01T00:00:00Z.
    pub timestamp_millis: i64,
}

/// A message that was read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Stored {
    /// Where in its partition it is.
    pub offset: i64,
    /// The bytes.
    pub value: Bytes,
    /// What is kept beside them.
    pub note: Bytes,
}

/// A broker of topics, as the writer and reader of one log. Offsets of a partition grow and have gaps: transactions leave marks.
///
/// Calls block. Whoever is told of an [`TopicError::Outage`] asks again at once, so an implementation lets some time pass first.
pub trait Topics: Send + Sync {
    /// Makes a topic that keeps its messages until [`Topics::remove_before`]. One that is there must have as many partitions.
    fn create(&self, topic: &str, partitions: u32) -> TopicResult<()>;

    /// Finds out at once whether a topic is there; nothing is changed. That there is none is [`TopicError::Refused`], which says where
    /// it was looked for.
    fn find(&self, topic: &str) -> TopicResult<()>;

    /// Removes a topic; one that is not there is no error.
    fn remove(&self, topic: &str) -> TopicResult<()>;

    /// Makes this process the log's only writer: what any writer of the log has begun is ended, and whoever was the writer before
    /// gets [`TopicError::Fenced`] from now on. When this returns it is decided of every message whether it was committed.
    fn take_over(&self) -> TopicResult<()>;

    /// Commits messages in one transaction: all of them, in order in each partition, or none. The answer is the offset of each.
    fn commit(&self, messages: &[Message]) -> TopicResult<Vec<i64>>;

    /// The offset of the oldest message kept, and the one after the newest of which it is decided whether it was committed.
    fn bounds(&self, topic: &str, partition: u32) -> TopicResult<Range<i64>>;

    /// Committed messages with these offsets, in order: the first of them, as many as are convenient. Waits for messages in the range of
    /// which it is not yet decided; without a message the answer is empty.
    fn read(&self, topic: &str, partition: u32, offsets: Range<i64>) -> TopicResult<Vec<Stored>>;

    /// Removes the messages before an offset.
    fn remove_before(&self, topic: &str, partition: u32, offset: i64) -> TopicResult<()>;
}
