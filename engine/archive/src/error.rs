//! What can go wrong in an archive, and whether trying again may help.

use std::sync::Arc;

use headwater_core::{Code, causes};
use headwater_log::LogError;

/// The result of a call to an archive.
pub type Result<T> = std::result::Result<T, ArchiveError>;

/// An error of an archive.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ArchiveError {
    /// The object store refused or did not answer.
    #[error("{what}: {}", causes(.cause.as_ref()))]
    Store {
        /// What was tried, with the name of the object.
        what: String,
        /// What the store said.
        cause: Arc<object_store::Error>,
    },
    /// The place holds something else.
    #[error("{place}: {reason}")]
    Foreign {
        /// Where.
        place: String,
        /// What is there, and what to do.
        reason: String,
    },
    /// An object of the archive is not what it should be.
    #[error("{path} is damaged: {reason}; `headwater archive verify` lists what else is")]
    Damaged {
        /// The object.
        path: String,
        /// What is wrong.
        reason: String,
    },
    /// The log and the archive do not fit together.
    #[error("stream {stream} shard {shard}: {reason}")]
    Apart {
        /// The stream.
        stream: String,
        /// The shard.
        shard: u32,
        /// How they differ, and what to do.
        reason: String,
    },
    /// The place or a setting cannot be.
    #[error("{0}")]
    Invalid(String),
    /// The log refused.
    #[error(transparent)]
    Log(#[from] LogError),
    /// Arrow or Parquet refused.
    #[error("rows cannot be written or read as Parquet: {0}")]
    Format(Arc<parquet::errors::ParquetError>),
}

impl ArchiveError {
    /// The code under which the remedy is found.
    pub fn code(&self) -> Code {
        match self {
            Self::Store { .. } => Code::new("HW5101"),
            Self::Foreign { .. } => Code::new("HW5102"),
            Self::Damaged { .. } => Code::new("HW5103"),
            Self::Apart { .. } => Code::new("HW5104"),
            Self::Invalid(_) => Code::new("HW5105"),
            Self::Log(error) => error.code(),
            Self::Format(_) => Code::new("HW5106"),
        }
    }

    /// Whether the same call may succeed later without anybody doing anything.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Store { .. } => true,
            Self::Log(error) => error.is_retryable(),
            _ => false,
        }
    }

    /// An object that is not what it should be.
    pub(crate) fn damaged(path: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::Damaged { path: path.into(), reason: reason.into() }
    }
}

impl From<parquet::errors::ParquetError> for ArchiveError {
    fn from(error: parquet::errors::ParquetError) -> Self {
        Self::Format(Arc::new(error))
    }
}

impl From<arrow::error::ArrowError> for ArchiveError {
    fn from(error: arrow::error::ArrowError) -> Self {
        Self::Format(Arc::new(error.into()))
    }
}

/// For those who read archive and log as one log.
impl From<ArchiveError> for LogError {
    fn from(error: ArchiveError) -> Self {
        match error {
            ArchiveError::Log(error) => error,
            other => Self::Archive {
                code: other.code(),
                reason: format!("archive: {other}"),
                retryable: other.is_retryable(),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("error sending request")]
    struct Sending {
        source: std::io::Error,
    }

    #[test]
    fn a_store_is_told_with_the_cause() {
        let source = std::io::Error::new(std::io::ErrorKind::ConnectionRefused, "connection refused");
        let cause = object_store::Error::Generic { store: "S3", source: Box::new(Sending { source }) };
        let error = ArchiveError::Store { what: "put a/b".to_owned(), cause: Arc::new(cause) };
        assert_eq!(error.to_string(), "put a/b: Generic S3 error: error sending request: connection refused");
        assert!(std::error::Error::source(&error).is_none(), "it is said already");
    }
}
