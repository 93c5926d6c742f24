//! A client that does not come in.

use crate::message::uri::error;

/// Why a client does not come in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Denied {
    /// The reason, as ABORT has it.
    pub reason: &'static str,
    /// Words for people.
    pub message: String,
}

impl Denied {
    /// The proof is wrong, or the name: which one is not told.
    pub(super) fn wrong() -> Self {
        Self { reason: error::AUTHENTICATION_DENIED, message: "the proof does not fit the name".to_owned() }
    }

    /// The client has not done what its method asks for.
    pub(super) fn because(message: impl Into<String>) -> Self {
        Self { reason: error::AUTHENTICATION_DENIED, message: message.into() }
    }
}
