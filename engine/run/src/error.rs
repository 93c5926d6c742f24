//! What can go wrong when SQL is run.

use datafusion::error::DataFusionError;
use headwater_core::Code;
use headwater_log::LogError;

/// The result of a call to the engine.
pub type Result<T> = std::result::Result<T, RunError>;

/// An error of the engine.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The statement is wrong; the message has the place and a hint.
    #[error(transparent)]
    Sql(#[from] headwater_plan::SqlError),
    /// The log refused.
    #[error(transparent)]
    Log(#[from] LogError),
    /// An archive could not be made or read.
    #[error(transparent)]
    Archive(#[from] headwater_archive::ArchiveError),
    /// Rows could not be taken in.
    #[error(transparent)]
    Ingest(#[from] headwater_ingest::IngestError),
    /// An operator failed.
    #[error("{what}: {source}")]
    Operator {
        /// What was done: a job's work, by its name where that is known, or a tail's, or a replay's.
        what: String,
        /// What failed.
        source: headwater_operators::OperatorError,
    },
    /// A query failed while it ran.
    #[error("query failed: {}", headwater_operators::plainly(.0))]
    Query(#[source] DataFusionError),
    /// No such job.
    #[error("there is no job {name}; SHOW JOBS lists those that are")]
    NoJob {
        /// The name.
        name: String,
    },
    /// A checkpoint could not be written or read.
    #[error("checkpoint of job {job}: {reason}")]
    Checkpoint {
        /// The job.
        job: String,
        /// What went wrong, and with which file.
        reason: String,
    },
    /// A journal that does not fit its job.
    #[error("journal of job {job}, step {step}: {reason}")]
    Journal {
        /// The job.
        job: String,
        /// The step.
        step: u64,
        /// What is wrong.
        reason: String,
    },
    /// The engine has a defect.
    #[error("job {job}: the engine has a defect: {message}; please report it with the query")]
    Panicked {
        /// The job.
        job: String,
        /// What the panic said.
        message: String,
    },
    /// A connector could not be started.
    #[error("table {table}: {reason}")]
    Connector {
        /// The table.
        table: String,
        /// Why.
        reason: String,
    },
    /// A trigger's firings cannot be delivered.
    #[error("trigger {trigger}: {reason}")]
    Delivery {
        /// The trigger.
        trigger: String,
        /// Why.
        reason: String,
    },
    /// Nobody can carry a scaling group's decisions out.
    #[error("scaling group {group}: {reason}")]
    Actuator {
        /// The group.
        group: String,
        /// Why.
        reason: String,
    },
    /// A definition cannot take the place of another.
    #[error("{name} cannot be replaced in place: {reason}; drop it and create it anew")]
    Replace {
        /// Which job, view or trigger.
        name: String,
        /// Why.
        reason: String,
    },
    /// A replay ended before its results were out.
    #[error("replay {replay} of job {job} was cancelled{kept}")]
    Cancelled {
        /// Its number.
        replay: u64,
        /// The job.
        job: String,
        /// What is left of it.
        kept: String,
    },
    /// The steps of a stretch that is to be replayed are not in the journal any more, or their rows are nowhere.
    #[error("{what}: {remedy}")]
    Gone {
        /// What is gone.
        what: String,
        /// What can be replayed all the same.
        remedy: String,
    },
    /// A statement needs what runs, and the directory is only looked at.
    #[error(
        "{what} would start what this session leaves at rest ({resting}): run it on a server, or with --jobs, which starts all of it"
    )]
    AtRest {
        /// What was asked for.
        what: String,
        /// The names of what would start.
        resting: String,
    },
    /// What was asked for cannot be done.
    #[error("{0}")]
    Invalid(String),
    /// The engine is closing.
    #[error("the engine is shutting down")]
    Closed,
}

impl RunError {
    /// The code under which an operator finds the remedy, `docs/errors/`.
    pub fn code(&self) -> Code {
        match self {
            Self::Sql(error) => error.code(),
            Self::Log(error) => error.code(),
            Self::Archive(error) => error.code(),
            Self::Ingest(error) => error.code(),
            Self::Operator { source, .. } => source.code(),
            Self::Query(_) => Code::new("HW4010"),
            Self::NoJob { .. } => Code::new("HW4011"),
            Self::Checkpoint { .. } => Code::new("HW4012"),
            Self::Journal { .. } => Code::new("HW4013"),
            Self::Connector { .. } => Code::new("HW4014"),
            Self::Delivery { .. } => Code::new("HW4018"),
            Self::Actuator { .. } => Code::new("HW4019"),
            Self::Replace { .. } => Code::new("HW4020"),
            Self::Cancelled { .. } => Code::new("HW4025"),
            Self::Gone { .. } => Code::new("HW4026"),
            Self::AtRest { .. } => Code::new("HW4027"),
            Self::Invalid(_) => Code::new("HW4015"),
            Self::Panicked { .. } => Code::new("HW4017"),
            Self::Closed => Code::new("HW4016"),
        }
    }
}

impl From<DataFusionError> for RunError {
    /// What the log says to a query is an error of the log, with a code and a remedy of its own.
    fn from(error: DataFusionError) -> Self {
        match error.find_root() {
            DataFusionError::External(inner) => match inner.downcast_ref::<LogError>() {
                Some(of_log) => Self::Log(of_log.clone()),
                None => Self::Query(error),
            },
            _ => Self::Query(error),
        }
    }
}

impl RunError {
    /// The error of rows that were read: that of the engine, if it is one.
    pub fn of_rows(error: DataFusionError) -> Self {
        match error {
            DataFusionError::External(inner) => match inner.downcast::<Self>() {
                Ok(own) => *own,
                Err(other) => Self::from(DataFusionError::External(other)),
            },
            other => Self::from(other),
        }
    }
}

impl From<arrow::error::ArrowError> for RunError {
    fn from(error: arrow::error::ArrowError) -> Self {
        Self::Query(error.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_log_says_to_a_query_keeps_its_code() {
        let damaged = || DataFusionError::External(Box::new(LogError::corrupt("a", 7, "checksum")));
        for error in [damaged(), damaged().context("while scanning")] {
            assert_eq!(RunError::from(error).code(), Code::new("HW1012"));
        }
        let other = RunError::from(DataFusionError::Execution("division by zero".into()));
        assert_eq!(other.code(), Code::new("HW4010"));
    }
}
