//! Bytes that are no message.

/// Says why bytes are no message, or why a message is against the protocol.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Malformed(String);

impl Malformed {
    /// Bytes that are no message, because of `why`.
    pub fn new(why: impl Into<String>) -> Self {
        Self(why.into())
    }
}
