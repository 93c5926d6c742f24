//! What is wrong with a rule.

/// The result of making a rule.
pub type Result<T> = std::result::Result<T, DecideError>;

/// A rule that contradicts itself, with what would be right.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct DecideError(String);

impl DecideError {
    /// An error; the message is lower case, without a full stop, and says what to do.
    pub fn new(message: impl Into<String>) -> Self {
        Self(message.into())
    }
}
