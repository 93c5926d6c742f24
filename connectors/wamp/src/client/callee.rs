//! A session that answers calls.

use super::session::{ClientError, Session};
use super::{Credentials, Target};
use crate::message::{Code, Id, Message, Request};
use crate::wire::{Dict, Payload};

/// A session that answers calls.
pub struct Callee(Session);

/// What is asked of a callee.
#[derive(Debug)]
pub enum Asked {
    /// To answer a call.
    Call(Call),
    /// To answer a call no longer.
    Cancel(Id),
}

/// A call that is to be answered.
#[derive(Debug)]
pub struct Call {
    /// The id by which it is answered.
    pub id: Id,
    /// The registration that is called.
    pub registration: Id,
    /// Who calls: the id of the session.
    pub caller: Option<Id>,
    /// The arguments.
    pub payload: Payload,
    /// Whether an answer may come in parts.
    pub receive_progress: bool,
}

/// What a call is answered by.
#[derive(Debug)]
pub enum Outcome {
    /// A part of the result; more follows.
    Progress(Payload),
    /// The result, or the last part of it.
    Result(Payload),
    /// An error: its URI, and words for people.
    Error(&'static str, String),
}

impl Callee {
    /// Joins a realm.
    pub async fn join(target: &Target, realm: &str, credentials: &Credentials) -> Result<Self, ClientError> {
        Ok(Self(Session::join(target, realm, credentials).await?))
    }

    /// Registers a procedure, whose callers are told.
    pub async fn register(&mut self, uri: &str) -> Result<Id, ClientError> {
        let request = self.0.requests.issue();
        let options = Dict::new().with("disclose_caller", true);
        self.0.send(Message::Register(Request { request, options, uri: uri.to_owned() })).await?;
        loop {
            match self.0.next().await? {
                Message::Registered { request: of, registration } if of == request => {
                    return Ok(registration);
                }
                other => self.0.take(other)?,
            }
        }
    }

    /// The next thing that is asked. A wait that is given up loses nothing.
    pub async fn asked(&mut self) -> Result<Asked, ClientError> {
        loop {
            match self.0.receive().await? {
                Message::Invocation(invocation) => {
                    return Ok(Asked::Call(Call {
                        id: invocation.first,
                        registration: invocation.second,
                        caller: invocation.details.get("caller").and_then(|caller| caller.as_u64()),
                        payload: invocation.payload,
                        receive_progress: invocation.details.is_true("receive_progress"),
                    }));
                }
                Message::Interrupt { request, .. } => return Ok(Asked::Cancel(request)),
                other => self.0.take(other)?,
            }
        }
    }

    /// Answers a call.
    pub async fn answer(&mut self, id: Id, outcome: Outcome) -> Result<(), ClientError> {
        let message = match outcome {
            Outcome::Progress(payload) => {
                Message::Yield { request: id, options: Dict::new().with("progress", true), payload }
            }
            Outcome::Result(payload) => Message::Yield { request: id, options: Dict::new(), payload },
            Outcome::Error(uri, message) => Message::error(Code::Invocation, id, uri, message),
        };
        self.0.send(message).await
    }
}
