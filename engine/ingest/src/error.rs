//! What can go wrong with a whole request. A bad record is no error: see [`crate::BadRecord`].

use std::sync::Arc;

use arrow::error::ArrowError;
use headwater_core::Code;
use headwater_log::LogError;

use crate::options::{OptionError, hint};

/// The result of a call to this crate.
pub type Result<T, E = IngestError> = std::result::Result<T, E>;

/// An error that concerns a request as a whole.
#[derive(Debug, Clone, thiserror::Error)]
pub enum IngestError {
    /// No format of this name.
    #[error("there is no format {name:?}{}; choose one of {known}", hint(nearest))]
    UnknownFormat {
        /// The name that was given.
        name: String,
        /// The most similar name that there is.
        nearest: Option<String>,
        /// The names that there are.
        known: String,
    },
    /// An option that is unknown or has a bad value.
    #[error(transparent)]
    Option(#[from] OptionError),
    /// The bytes as a whole are not in the format, so that no record can be told from another.
    #[error("the input is not {format}: {reason}")]
    Unreadable {
        /// The format that was expected.
        format: &'static str,
        /// What did not hold.
        reason: String,
    },
    /// The format cannot carry a column of this type.
    #[error("format {format} cannot carry column {column} of type {data_type}: {remedy}")]
    Unsupported {
        /// The format.
        format: &'static str,
        /// The column.
        column: String,
        /// Its type.
        data_type: String,
        /// What would work.
        remedy: &'static str,
    },
    /// An append by a user to a stream of the engine.
    #[error("stream {name} belongs to the engine and takes no rows from outside")]
    SystemStream {
        /// The stream.
        name: String,
    },
    /// More than a limit allows.
    #[error("{what} is {given} bytes, the most is {most}; send it in parts")]
    TooLarge {
        /// What is too large.
        what: &'static str,
        /// How large it is.
        given: u64,
        /// The limit.
        most: u64,
    },
    /// The log refused.
    #[error(transparent)]
    Log(#[from] LogError),
    /// Arrow refused.
    #[error(transparent)]
    Arrow(Arc<ArrowError>),
}

impl IngestError {
    /// The code under which an operator finds the remedy, `docs/errors/`.
    pub fn code(&self) -> Code {
        match self {
            Self::UnknownFormat { .. } => Code::new("HW2001"),
            Self::Option(_) => Code::new("HW2002"),
            Self::Unreadable { .. } => Code::new("HW2003"),
            Self::Unsupported { .. } => Code::new("HW2004"),
            Self::SystemStream { .. } => Code::new("HW2005"),
            Self::TooLarge { .. } => Code::new("HW2006"),
            Self::Arrow(_) => Code::new("HW2007"),
            Self::Log(error) => error.code(),
        }
    }

    /// Whether the same request may succeed later without anybody doing anything.
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::Log(error) if error.is_retryable())
    }
}

impl From<ArrowError> for IngestError {
    fn from(error: ArrowError) -> Self {
        Self::Arrow(Arc::new(error))
    }
}
