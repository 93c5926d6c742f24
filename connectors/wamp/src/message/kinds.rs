//! The messages, field by field as the specification lists them.

use super::{Code, Id};
use crate::wire::{Dict, Payload};

/// A request that names something by a URI: SUBSCRIBE, REGISTER.
#[derive(Debug, Clone, PartialEq)]
pub struct Request {
    /// The id that answers refer to.
    pub request: Id,
    /// How it is to be done.
    pub options: Dict,
    /// The topic or procedure, or a pattern of them.
    pub uri: String,
}

/// PUBLISH, and CALL, which has the same fields.
#[derive(Debug, Clone, PartialEq)]
pub struct Publish {
    /// The id that answers refer to.
    pub request: Id,
    /// How it is to be done.
    pub options: Dict,
    /// The topic or procedure.
    pub uri: String,
    /// The arguments.
    pub payload: Payload,
}

/// EVENT and INVOCATION: what the router hands on.
#[derive(Debug, Clone, PartialEq)]
pub struct Invocation {
    /// EVENT: the subscription. INVOCATION: the id that answers refer to.
    pub first: Id,
    /// EVENT: the publication. INVOCATION: the registration.
    pub second: Id,
    /// What the router says about it.
    pub details: Dict,
    /// The arguments.
    pub payload: Payload,
}

/// Any message.
#[derive(Debug, Clone, PartialEq)]
#[expect(missing_docs, reason = "the fields are those of the specification, under its names")]
pub enum Message {
    Hello {
        realm: String,
        details: Dict,
    },
    Welcome {
        session: Id,
        details: Dict,
    },
    Abort {
        details: Dict,
        reason: String,
        payload: Payload,
    },
    Challenge {
        method: String,
        extra: Dict,
    },
    Authenticate {
        signature: String,
        extra: Dict,
    },
    Goodbye {
        details: Dict,
        reason: String,
    },
    Error {
        of: u64,
        request: Id,
        details: Dict,
        error: String,
        payload: Payload,
    },
    Publish(Publish),
    Published {
        request: Id,
        publication: Id,
    },
    Subscribe(Request),
    Subscribed {
        request: Id,
        subscription: Id,
    },
    Unsubscribe {
        request: Id,
        subscription: Id,
    },
    /// With details if the router ended the subscription; then `request` is 0.
    Unsubscribed {
        request: Id,
        details: Option<Dict>,
    },
    Event(Invocation),
    Call(Publish),
    Cancel {
        request: Id,
        options: Dict,
    },
    Result {
        request: Id,
        details: Dict,
        payload: Payload,
    },
    Register(Request),
    Registered {
        request: Id,
        registration: Id,
    },
    Unregister {
        request: Id,
        registration: Id,
    },
    /// With details if the router ended the registration; then `request` is 0.
    Unregistered {
        request: Id,
        details: Option<Dict>,
    },
    Invocation(Invocation),
    Interrupt {
        request: Id,
        options: Dict,
    },
    Yield {
        request: Id,
        options: Dict,
        payload: Payload,
    },
    /// A message of the range that is left to implementations.
    Extension {
        code: u64,
    },
}

impl Message {
    /// The kind; extensions have none.
    pub fn code(&self) -> Option<Code> {
        Some(match self {
            Self::Hello { .. } => Code::Hello,
            Self::Welcome { .. } => Code::Welcome,
            Self::Abort { .. } => Code::Abort,
            Self::Challenge { .. } => Code::Challenge,
            Self::Authenticate { .. } => Code::Authenticate,
            Self::Goodbye { .. } => Code::Goodbye,
            Self::Error { .. } => Code::Error,
            Self::Publish(_) => Code::Publish,
            Self::Published { .. } => Code::Published,
            Self::Subscribe(_) => Code::Subscribe,
            Self::Subscribed { .. } => Code::Subscribed,
            Self::Unsubscribe { .. } => Code::Unsubscribe,
            Self::Unsubscribed { .. } => Code::Unsubscribed,
            Self::Event(_) => Code::Event,
            Self::Call(_) => Code::Call,
            Self::Cancel { .. } => Code::Cancel,
            Self::Result { .. } => Code::Result,
            Self::Register(_) => Code::Register,
            Self::Registered { .. } => Code::Registered,
            Self::Unregister { .. } => Code::Unregister,
            Self::Unregistered { .. } => Code::Unregistered,
            Self::Invocation(_) => Code::Invocation,
            Self::Interrupt { .. } => Code::Interrupt,
            Self::Yield { .. } => Code::Yield,
            Self::Extension { .. } => return None,
        })
    }

    /// The name for error texts.
    pub fn name(&self) -> String {
        self.code().map_or_else(|| "extension".to_owned(), Code::name)
    }

    /// ABORT, with words for people.
    pub fn abort(reason: &str, message: impl Into<String>) -> Self {
        let details = Dict::new().with("message", message.into());
        Self::Abort { details, reason: reason.to_owned(), payload: Payload::Empty }
    }

    /// ERROR in answer to a request, with words for people.
    pub fn error(of: Code, request: Id, error: &str, message: impl Into<String>) -> Self {
        let payload = Payload::of(vec![message.into().into()]);
        Self::Error { of: of.number(), request, details: Dict::new(), error: error.to_owned(), payload }
    }
}
