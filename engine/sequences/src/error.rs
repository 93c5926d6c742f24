//! What can be wrong with a pattern.

use thiserror::Error;

/// The result of this crate.
pub type Result<T, E = SequenceError> = std::result::Result<T, E>;

/// What can be wrong with a pattern, a funnel or a sequence of text.
#[derive(Error, Debug, Clone, PartialEq, Eq)]
pub enum SequenceError {
    /// A pattern of events that cannot be read.
    #[error("the pattern \"{pattern}\" at position {at}: {reason}")]
    Pattern {
        /// The whole of it.
        pattern: String,
        /// The byte at which it cannot be read, from 0.
        at: usize,
        /// What is wrong there.
        reason: String,
    },
    /// A mode of funnels that there is not, or that does not go with another.
    #[error("{0}")]
    Mode(String),
    /// A sequence of text that cannot be searched for.
    #[error("the sequence \"{sequence}\": {reason}")]
    Text {
        /// The literal or regular expression.
        sequence: String,
        /// What is wrong with it.
        reason: String,
    },
}
