//! What can go wrong with a job.

use std::io;

use headwater_objects::ObjectError;
use thiserror::Error;

/// The result of this crate.
pub type Result<T, E = JobError> = std::result::Result<T, E>;

/// Why a job, or an attempt of a task, failed.
#[derive(Error, Debug)]
pub enum JobError {
    /// A job that cannot be run as it is described.
    #[error("{0}")]
    Spec(String),
    /// Objects could not be read or written.
    #[error(transparent)]
    Objects(#[from] ObjectError),
    /// A file of this job's own, or a pipe, failed.
    #[error("{what}: {source}")]
    Io {
        /// What was tried.
        what: String,
        /// What the system said.
        source: io::Error,
    },
    /// A program did not start, or did not end well.
    #[error("{program} {reason}")]
    Program {
        /// The program.
        program: String,
        /// How it ended, and the end of what it said on its standard error.
        reason: String,
    },
    /// A task failed as often as it may.
    #[error("{task} failed {attempts} times, at last: {last}")]
    Task {
        /// Which one.
        task: String,
        /// How often it was tried.
        attempts: u32,
        /// What the last attempt said.
        last: Box<JobError>,
    },
    /// The job was told to stop.
    #[error("the job was stopped")]
    Stopped,
}

impl JobError {
    pub(crate) fn io(what: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let what = what.into();
        move |source| Self::Io { what, source }
    }
}
