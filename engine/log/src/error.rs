//! What can go wrong in the log, and whether trying again may help.

use std::path::PathBuf;
use std::sync::Arc;

use headwater_core::{Code, Epoch, Sequence, ShardId, StreamName};

use crate::topics::TopicError;

/// The result of a call to the log.
pub type Result<T> = std::result::Result<T, LogError>;

/// An error of the log. Cheap to clone: one cause may answer many appends.
#[derive(Debug, Clone, thiserror::Error)]
pub enum LogError {
    /// Another process has the directory.
    #[error(
        "the data directory {dir} is in use by another process; stop it, or choose another directory with --data"
    )]
    Locked {
        /// The directory.
        dir: PathBuf,
    },
    /// No such stream.
    #[error("there is no stream {name}")]
    NoStream {
        /// The name that was asked for.
        name: String,
    },
    /// The name is taken.
    #[error("there is a stream {name} already")]
    StreamExists {
        /// The name.
        name: StreamName,
    },
    /// No such shard.
    #[error("stream {stream} has no shard {shard}: it has {shards}, numbered from 0")]
    NoShard {
        /// The stream.
        stream: StreamName,
        /// The shard that was asked for.
        shard: ShardId,
        /// How many there are.
        shards: u32,
    },
    /// The specification of a stream, or a change of its schema, cannot be.
    #[error("stream {stream}: {reason}")]
    BadSpec {
        /// The stream.
        stream: StreamName,
        /// What is wrong with it and what would be right.
        reason: String,
    },
    /// Rows that do not fit the schema they claim.
    #[error("stream {stream}: rows do not fit the schema: {reason}")]
    SchemaMismatch {
        /// The stream.
        stream: StreamName,
        /// Which column, and how.
        reason: String,
    },
    /// A conditional append met another sequence number than it expected.
    #[error("stream {stream} shard {shard}: expected the next sequence to be {expected}, it is {actual}")]
    WrongSequence {
        /// The stream.
        stream: StreamName,
        /// The shard.
        shard: ShardId,
        /// What the append expected.
        expected: Sequence,
        /// What is true.
        actual: Sequence,
    },
    /// A fencing token other than the shard's.
    #[error(
        "stream {stream} shard {shard}: fenced off: the token is {actual:?}, the append carried {given:?}"
    )]
    Fenced {
        /// The stream.
        stream: StreamName,
        /// The shard.
        shard: ShardId,
        /// The shard's token.
        actual: Option<u64>,
        /// The append's token.
        given: Option<u64>,
    },
    /// A producer's older incarnation.
    #[error(
        "stream {stream} shard {shard}: a producer with epoch {given} came after one with epoch {actual}"
    )]
    StaleEpoch {
        /// The stream.
        stream: StreamName,
        /// The shard.
        shard: ShardId,
        /// The epoch last seen.
        actual: Epoch,
        /// The epoch of this append.
        given: Epoch,
    },
    /// A producer's sequence that is older than what is remembered, so that it cannot be told whether it is a repeat.
    #[error(
        "stream {stream} shard {shard}: producer sequence {given} is older than the oldest remembered, {oldest}; \
         the outcome of that append is no longer known"
    )]
    ProducerTooOld {
        /// The stream.
        stream: StreamName,
        /// The shard.
        shard: ShardId,
        /// The oldest producer sequence that is remembered.
        oldest: u64,
        /// The producer sequence of this append.
        given: u64,
    },
    /// Rows that retention has removed.
    #[error("stream {stream} shard {shard}: sequence {asked} is gone, the oldest kept is {oldest}")]
    Trimmed {
        /// The stream.
        stream: StreamName,
        /// The shard.
        shard: ShardId,
        /// What was asked for.
        asked: Sequence,
        /// The oldest row kept.
        oldest: Sequence,
    },
    /// More than a limit allows.
    #[error("{what} is {given}, the most is {most}")]
    TooLarge {
        /// What is too large.
        what: &'static str,
        /// How large it is.
        given: u64,
        /// The limit.
        most: u64,
    },
    /// Rows that are kept in an archive could not be read from there.
    #[error("{reason}")]
    Archive {
        /// The archive's own code.
        code: Code,
        /// What went wrong.
        reason: String,
        /// Whether trying again may help.
        retryable: bool,
    },
    /// The broker that keeps the log's topics.
    #[error(transparent)]
    Topics(#[from] TopicError),
    /// The log was opened to look at it.
    #[error(
        "log {log} is only looked at here, beside the server that writes it, and nothing is written; ask that server, with --url"
    )]
    OnlyLooked {
        /// The log's name.
        log: String,
    },
    /// Damaged bytes.
    #[error(
        "{file} is damaged at byte {offset}: {reason}; see `headwater log verify` and `headwater log repair`"
    )]
    Corrupt {
        /// The file.
        file: PathBuf,
        /// Where in the file.
        offset: u64,
        /// What did not hold.
        reason: String,
    },
    /// The log stopped taking appends after a failed write or sync. The first cause is kept; reopening starts afresh.
    #[error(
        "the log takes no more appends since writing failed ({cause}); do away with the cause, then restart"
    )]
    Poisoned {
        /// The first cause.
        cause: Arc<LogError>,
    },
    /// The log was closed while the call was under way.
    #[error("the log is closed")]
    Closed,
    /// The system refused.
    #[error("{action} {path}: {source}")]
    Io {
        /// What was tried, such as `write`.
        action: &'static str,
        /// On which path.
        path: PathBuf,
        /// What the system said.
        source: Arc<std::io::Error>,
    },
    /// Arrow refused.
    #[error(transparent)]
    Arrow(Arc<arrow::error::ArrowError>),
}

impl LogError {
    /// An error of the disk.
    pub fn io(action: &'static str, path: impl Into<PathBuf>, source: std::io::Error) -> Self {
        Self::Io { action, path: path.into(), source: Arc::new(source) }
    }

    /// Damaged bytes.
    pub fn corrupt(file: impl Into<PathBuf>, offset: u64, reason: impl Into<String>) -> Self {
        Self::Corrupt { file: file.into(), offset, reason: reason.into() }
    }

    /// The code under which an operator finds the remedy, `docs/errors/`.
    pub fn code(&self) -> Code {
        match self {
            Self::Locked { .. } => Code::new("HW1001"),
            Self::NoStream { .. } => Code::new("HW1002"),
            Self::StreamExists { .. } => Code::new("HW1003"),
            Self::NoShard { .. } => Code::new("HW1004"),
            Self::BadSpec { .. } => Code::new("HW1005"),
            Self::SchemaMismatch { .. } => Code::new("HW1006"),
            Self::WrongSequence { .. } => Code::new("HW1007"),
            Self::Fenced { .. } | Self::StaleEpoch { .. } => Code::new("HW1008"),
            Self::ProducerTooOld { .. } => Code::new("HW1009"),
            Self::Trimmed { .. } => Code::new("HW1010"),
            Self::TooLarge { .. } => Code::new("HW1011"),
            Self::Corrupt { .. } => Code::new("HW1012"),
            Self::Poisoned { cause } => match **cause {
                // Not the disk is to blame, and the remedy is another one.
                Self::Topics(_) => cause.code(),
                _ => Code::new("HW1013"),
            },
            Self::Closed => Code::new("HW1014"),
            Self::Archive { code, .. } => *code,
            Self::Topics(TopicError::Fenced { .. }) => Code::new("HW1018"),
            Self::Topics(_) => Code::new("HW1017"),
            Self::OnlyLooked { .. } => Code::new("HW1019"),
            Self::Io { .. } => Code::new("HW1015"),
            Self::Arrow(_) => Code::new("HW1016"),
        }
    }

    /// Whether the same call may succeed later without anybody doing anything.
    pub fn is_retryable(&self) -> bool {
        let passes = |error: &TopicError| matches!(error, TopicError::Outage { .. });
        matches!(self, Self::Closed | Self::Archive { retryable: true, .. })
            || matches!(self, Self::Topics(error) if passes(error))
    }
}

impl From<arrow::error::ArrowError> for LogError {
    fn from(error: arrow::error::ArrowError) -> Self {
        Self::Arrow(Arc::new(error))
    }
}
