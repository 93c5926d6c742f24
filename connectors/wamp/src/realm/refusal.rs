//! A request that is answered with ERROR.

use std::borrow::Cow;

use crate::message::uri::error;

/// A request that is answered with ERROR: a URI for programs, and words for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refusal {
    pub uri: &'static str,
    pub message: Cow<'static, str>,
}

impl Refusal {
    pub(super) fn new(uri: &'static str, message: impl Into<Cow<'static, str>>) -> Self {
        Self { uri, message: message.into() }
    }

    pub(super) fn invalid_uri(uri: &str) -> Self {
        Self::new(error::INVALID_URI, format!("{uri:?} is not a URI that can be used here"))
    }

    pub(super) fn invalid_argument(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(error::INVALID_ARGUMENT, message)
    }

    pub(super) fn not_authorized(role: &str, what: &str, uri: &str) -> Self {
        Self::new(error::NOT_AUTHORIZED, format!("role {role:?} may not {what} {uri:?}"))
    }
}
