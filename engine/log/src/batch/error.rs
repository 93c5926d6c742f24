//! Why bytes are not the batch that they claim to be.

use std::path::Path;

use crate::LogError;

/// The result of reading a batch.
pub(crate) type Result<T> = std::result::Result<T, BatchError>;

/// A batch could not be read. The batch does not know its file; [`BatchError::in_file`] adds it.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum BatchError {
    /// The bytes are damaged.
    #[error("byte {at} of the batch: {reason}")]
    Damaged {
        /// Where, from the start of the batch.
        at: u64,
        /// What did not hold.
        reason: String,
    },
    /// Anything else, such as a failed read.
    #[error(transparent)]
    Log(#[from] LogError),
}

impl BatchError {
    /// Damage at a byte of the batch.
    pub(crate) fn damaged(at: u64, reason: impl Into<String>) -> Self {
        Self::Damaged { at, reason: reason.into() }
    }

    /// Says in which file, and where in it the batch starts.
    pub(crate) fn in_file(self, file: &Path, start: u64) -> LogError {
        match self {
            Self::Damaged { at, reason } => LogError::corrupt(file, start + at, reason),
            Self::Log(error) => error,
        }
    }
}
