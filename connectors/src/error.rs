//! What can go wrong at an edge, and whether trying again may help.

use std::time::Duration;

use headwater_core::Code;
use headwater_ingest::{IngestError, OptionError, RecordFault};
use headwater_log::LogError;

/// The result of a call to a connector.
pub type Result<T, E = ConnectorError> = std::result::Result<T, E>;

/// An error of a connector.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ConnectorError {
    /// No connector of this name.
    #[error("there is no connector {name:?}{}; there are {known}", hint(.nearest))]
    Unknown {
        /// The name that was given.
        name: String,
        /// The most similar name that there is.
        nearest: Option<String>,
        /// The names that there are.
        known: String,
    },
    /// The connector is no source, or no sink.
    #[error("connector {name} cannot be a {role}; those that can: {able}")]
    WrongRole {
        /// The connector.
        name: String,
        /// What was asked of it: `source`, `sink` or `gateway`.
        role: &'static str,
        /// The connectors that can.
        able: String,
    },
    /// An option that is unknown or has a bad value.
    #[error(transparent)]
    Option(#[from] OptionError),
    /// The other side cannot be reached, or failed: worth another try.
    #[error("{what}: {reason}")]
    Outage {
        /// What was tried, and on what.
        what: String,
        /// What came back.
        reason: String,
        /// How long the other side wants to be left alone, if it says so.
        not_before: Option<Duration>,
    },
    /// The other side has ended the connection while rows were on their way to it: an outage, or one of them is to blame.
    #[error("{what}: {reason}")]
    HungUp {
        /// What was tried, and on what.
        what: String,
        /// What came back.
        reason: String,
    },
    /// The other side will never take these rows; others it may.
    #[error("{what}: {reason}")]
    Unfit {
        /// What was tried, and on what.
        what: String,
        /// What came back.
        reason: String,
    },
    /// The other side refuses, and will go on refusing until somebody changes something.
    #[error("{what}: {reason}")]
    Refused {
        /// What was tried, and on what.
        what: String,
        /// What came back.
        reason: String,
    },
    /// The way into the log.
    #[error(transparent)]
    Ingest(#[from] IngestError),
}

impl ConnectorError {
    /// Something outside failed that may work again.
    pub fn outage(what: impl Into<String>, reason: impl ToString) -> Self {
        Self::Outage { what: what.into(), reason: reason.to_string(), not_before: None }
    }

    /// The other side has hung up over something that it was sent.
    pub fn hung_up(what: impl Into<String>, reason: impl ToString) -> Self {
        Self::HungUp { what: what.into(), reason: reason.to_string() }
    }

    /// Something outside said no to these rows alone.
    pub fn unfit(what: impl Into<String>, reason: impl ToString) -> Self {
        Self::Unfit { what: what.into(), reason: reason.to_string() }
    }

    /// Something outside said no.
    pub fn refused(what: impl Into<String>, reason: impl ToString) -> Self {
        Self::Refused { what: what.into(), reason: reason.to_string() }
    }

    /// The code under which an operator finds the remedy, `docs/errors/`.
    pub fn code(&self) -> Code {
        match self {
            Self::Unknown { .. } => Code::new("HW5001"),
            Self::WrongRole { .. } => Code::new("HW5002"),
            Self::Option(_) => Code::new("HW5003"),
            Self::Outage { .. } | Self::HungUp { .. } => Code::new("HW5004"),
            Self::Refused { .. } => Code::new("HW5005"),
            Self::Unfit { .. } => RecordFault::Undeliverable.code(),
            Self::Ingest(error) => error.code(),
        }
    }

    /// Whether the same call may succeed later without anybody doing anything.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Outage { .. } | Self::HungUp { .. } => true,
            Self::Ingest(error) => error.is_retryable(),
            Self::Unknown { .. } | Self::WrongRole { .. } | Self::Option(_) => false,
            Self::Refused { .. } | Self::Unfit { .. } => false,
        }
    }
}

impl From<LogError> for ConnectorError {
    fn from(error: LogError) -> Self {
        Self::Ingest(error.into())
    }
}

fn hint(nearest: &Option<String>) -> String {
    nearest.as_ref().map(|name| format!(", did you mean {name:?}?")).unwrap_or_default()
}
