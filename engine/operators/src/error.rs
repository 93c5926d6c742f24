//! What can go wrong in an operator.

use headwater_core::Code;

/// The result of a call to an operator.
pub type Result<T, E = OperatorError> = std::result::Result<T, E>;

/// An error of an operator. One that comes out of it is terminal for the job: the same rows would fail again. Of an expression that fails
/// for a row it says which row that is instead ([`crate::Failed`]).
#[derive(Debug, thiserror::Error)]
pub enum OperatorError {
    /// An expression failed on a value, such as a division by zero or an overflow.
    #[error("{operator}: {source}")]
    Expression {
        /// Which operator.
        operator: String,
        /// What DataFusion said.
        source: datafusion::error::DataFusionError,
    },
    /// State that cannot be restored.
    #[error("{operator}: the checkpoint does not fit the query: {reason}")]
    BadCheckpoint {
        /// Which operator.
        operator: String,
        /// What does not fit.
        reason: String,
    },
    /// An operator that cannot be made, or input that it cannot take.
    #[error("{operator}: {reason}")]
    Unsupported {
        /// Which operator.
        operator: String,
        /// What is wrong and what would be right.
        reason: String,
    },
    /// State that was put out of memory cannot be written or brought back.
    #[error("{operator}: state on the disk: {reason}")]
    Spill {
        /// Which operator.
        operator: String,
        /// What the disk said, with the file.
        reason: String,
    },
    /// A table outside that will not answer until somebody changes something.
    #[error("looking up rows of {table}: {reason}")]
    Lookup {
        /// The table.
        table: String,
        /// What it said.
        reason: String,
    },
    /// The job was told to stop while it waited for an answer from outside.
    #[error("the job was stopped while it waited for table {table}")]
    Stopped {
        /// The table.
        table: String,
    },
    /// Arrow refused.
    #[error(transparent)]
    Arrow(#[from] arrow::error::ArrowError),
    /// DataFusion refused.
    #[error(transparent)]
    DataFusion(#[from] datafusion::error::DataFusionError),
}

/// What DataFusion says, without the part of it that says so: nobody who wrote the query knows of these.
pub fn plainly(error: &datafusion::error::DataFusionError) -> String {
    let said = error.strip_backtrace();
    let mut plain = said.as_str();
    while let Some(rest) = PARTS.iter().find_map(|part| plain.strip_prefix(part)) {
        plain = rest;
    }
    plain.to_owned()
}

const PARTS: [&str; 3] = ["Arrow error: ", "Execution error: ", "External error: "];

impl OperatorError {
    /// The code of an expression that fails on a value.
    pub const ON_A_VALUE: Code = Code::new("HW4001");

    /// The code under which an operator finds the remedy, `docs/errors/`.
    pub fn code(&self) -> Code {
        match self {
            Self::Expression { .. } => Self::ON_A_VALUE,
            Self::BadCheckpoint { .. } => Code::new("HW4002"),
            Self::Arrow(_) | Self::DataFusion(_) => Code::new("HW4003"),
            Self::Unsupported { .. } => Code::new("HW4004"),
            Self::Spill { .. } => Code::new("HW4005"),
            Self::Lookup { .. } | Self::Stopped { .. } => Code::new("HW4006"),
        }
    }

    /// Why an expression could not be computed, if it is a row's values that are to blame: without them it may well be.
    pub(crate) fn reason_of_row(&self) -> Option<String> {
        use datafusion::error::DataFusionError;
        let Self::Expression { source, .. } = self else { return None };
        match source.find_root() {
            DataFusionError::Internal(_) | DataFusionError::ResourcesExhausted(_) => None,
            _ => Some(plainly(source)),
        }
    }

    pub(crate) fn unsupported(operator: &str, reason: impl Into<String>) -> Self {
        Self::Unsupported { operator: operator.to_owned(), reason: reason.into() }
    }

    /// The same, if it came out of a computation over values, as that of an expression.
    pub(crate) fn in_expression(self, operator: &str) -> Self {
        let source = match self {
            Self::Arrow(error) => datafusion::error::DataFusionError::ArrowError(Box::new(error), None),
            Self::DataFusion(error) => error,
            other => return other,
        };
        Self::Expression { operator: operator.to_owned(), source }
    }

    pub(crate) fn bad_checkpoint(operator: &str, reason: impl Into<String>) -> Self {
        Self::BadCheckpoint { operator: operator.to_owned(), reason: reason.into() }
    }

    /// Entries of a table that the operator's state does not have.
    pub(crate) fn no_state_table(operator: &str, table: &str) -> Self {
        Self::bad_checkpoint(operator, format!("there is no table {table:?}"))
    }
}
