//! One session with a router: join, subscribe, publish, leave.

use std::collections::VecDeque;
use std::io;
use std::time::Duration;

use futures::FutureExt as _;
use tokio::time::{Instant, timeout};

use super::caller::words;
use super::{Credentials, Link, Target};
use crate::message::uri::close;
use crate::message::{Code, Id, Match, Message, Publish, Request, Sequential};
use crate::realm::Features;
use crate::router::Filling;
use crate::wire::{Dict, Payload};

/// How long the router may take for an answer.
const PATIENCE: Duration = Duration::from_secs(20);

/// What went wrong between a client and its router.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The router cannot be reached, or has gone.
    #[error("{0}")]
    Gone(String),
    /// The router has ended the connection.
    #[error("{0}")]
    HungUp(String),
    /// The router says no.
    #[error("{uri}: {message}")]
    Refused {
        /// The reason, for programs.
        uri: String,
        /// The reason, for people.
        message: String,
    },
}

impl From<io::Error> for ClientError {
    fn from(error: io::Error) -> Self {
        use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof};
        match error.kind() {
            BrokenPipe | ConnectionAborted | ConnectionReset | UnexpectedEof => {
                Self::HungUp(error.to_string())
            }
            _ => Self::Gone(error.to_string()),
        }
    }
}

/// An event that was received.
#[derive(Debug, Clone)]
pub struct Event {
    /// The publication's id.
    pub publication: Id,
    /// What the router says about it; for patterns the topic is here.
    pub details: Dict,
    /// What it says.
    pub payload: Payload,
}

/// A session with a router.
pub struct Session {
    pub(super) link: Link,
    pub(super) requests: Sequential,
    /// Events that came while something else was waited for.
    events: VecDeque<Event>,
    /// How many publications are not acknowledged yet.
    unacknowledged: u64,
}

impl Session {
    /// Joins a realm.
    pub async fn join(target: &Target, realm: &str, credentials: &Credentials) -> Result<Self, ClientError> {
        Self::join_with(target, realm, credentials, Features::of_a_client(false)).await
    }

    /// Joins a realm of the router of this process to record all events, also those that are meant for some names or roles only:
    /// they say for whom.
    pub(crate) async fn join_as_recorder(
        target: &Target,
        realm: &str,
        credentials: &Credentials,
    ) -> Result<Self, ClientError> {
        Self::join_with(target, realm, credentials, Features::of_a_client(true)).await
    }

    async fn join_with(
        target: &Target,
        realm: &str,
        credentials: &Credentials,
        roles: Dict,
    ) -> Result<Self, ClientError> {
        let gone = |_| ClientError::Gone("the router takes too long".to_owned());
        let link = timeout(PATIENCE, target.connect()).await.map_err(gone)??;
        let events = VecDeque::new();
        let mut session = Self { link, requests: Sequential::default(), events, unacknowledged: 0 };
        let mut details = Dict::new().with("roles", roles).with("agent", "headwater");
        let refused = |message| ClientError::Refused { uri: "authentication".to_owned(), message };
        credentials.describe(&mut details).map_err(refused)?;
        session.send(Message::Hello { realm: realm.to_owned(), details }).await?;
        loop {
            match session.next().await? {
                Message::Welcome { .. } => return Ok(session),
                Message::Challenge { method, extra } => {
                    let signature = credentials.answer(&method, &extra).map_err(refused)?;
                    session.send(Message::Authenticate { signature, extra: Dict::new() }).await?;
                }
                other => return Err(unexpected(&other)),
            }
        }
    }

    /// Subscribes to a topic or pattern.
    pub async fn subscribe(&mut self, uri: &str, matching: Match) -> Result<Id, ClientError> {
        let request = self.requests.issue();
        let options = Dict::new().with("match", matching.name());
        self.send(Message::Subscribe(Request { request, options, uri: uri.to_owned() })).await?;
        loop {
            match self.next().await? {
                Message::Subscribed { request: of, subscription } if of == request => {
                    return Ok(subscription);
                }
                other => self.take(other)?,
            }
        }
    }

    /// Ends a subscription. The events that came before are still to be taken, also if the router has gone.
    pub async fn unsubscribe(&mut self, subscription: Id) -> Result<(), ClientError> {
        let request = self.requests.issue();
        self.send(Message::Unsubscribe { request, subscription }).await?;
        loop {
            match self.next().await? {
                Message::Unsubscribed { request: of, .. } if of == request => return Ok(()),
                other => self.take(other)?,
            }
        }
    }

    /// The next event. A wait that is given up loses nothing.
    pub async fn event(&mut self) -> Result<Event, ClientError> {
        loop {
            if let Some(event) = self.events.pop_front() {
                return Ok(event);
            }
            let message = self.receive().await?;
            self.take(message)?;
        }
    }

    /// Says that this session has subscribed to what a stream of this process records; `None` where the router is elsewhere.
    pub(crate) fn fills(&self, stream: &str) -> Option<Filling> {
        self.link.fills(stream)
    }

    /// How many events have come and were not taken, and since when the first of them waits, as far as that is known.
    pub(crate) fn waiting(&self) -> (usize, Option<Instant>) {
        let (more, since) = self.link.waiting();
        (self.events.len() + more, since)
    }

    /// An event that is there already.
    pub fn event_now(&mut self) -> Result<Option<Event>, ClientError> {
        self.event().now_or_never().transpose()
    }

    /// Publishes, and asks for acknowledgement; answers the id of each request.
    pub async fn publish(&mut self, publications: Vec<(String, Payload)>) -> Result<Vec<Id>, ClientError> {
        let mut out = VecDeque::with_capacity(publications.len());
        let mut requests = Vec::with_capacity(publications.len());
        for (uri, payload) in publications {
            let options = Dict::new().with("acknowledge", true);
            let request = self.requests.issue();
            requests.push(request);
            let message = Message::Publish(Publish { request, options, uri, payload });
            out.push_back(
                message.encode(Link::SERIALIZER).map_err(|error| ClientError::Gone(error.to_string()))?,
            );
        }
        self.unacknowledged += out.len() as u64;
        self.link.send(&mut out).await?;
        Ok(requests)
    }

    /// Waits until all publications are answered; those that were not acknowledged are told, with the reason.
    pub async fn acknowledged(&mut self) -> Result<Vec<(Id, ClientError)>, ClientError> {
        let mut refused = Vec::new();
        while self.unacknowledged > 0 {
            match self.next().await? {
                message @ Message::Error { of, request, .. } if of == Code::Publish.number() => {
                    self.unacknowledged -= 1;
                    refused.push((request, unexpected(&message)));
                }
                message => self.take(message)?,
            }
        }
        Ok(refused)
    }

    /// Says goodbye.
    pub async fn leave(mut self) {
        let goodbye = Message::Goodbye { details: Dict::new(), reason: close::NORMAL.to_owned() };
        if self.send(goodbye).await.is_ok() {
            let answered =
                async { while !matches!(self.receive().await, Ok(Message::Goodbye { .. }) | Err(_)) {} };
            // A router that does not answer is left all the same.
            let _ = timeout(Duration::from_secs(2), answered).await;
        }
        self.link.close().await;
    }

    /// Takes what is no answer to a question.
    pub(super) fn take(&mut self, message: Message) -> Result<(), ClientError> {
        match message {
            Message::Event(event) => {
                let (publication, details, payload) = (event.second, event.details, event.payload);
                self.events.push_back(Event { publication, details, payload });
                Ok(())
            }
            Message::Published { .. } => {
                self.unacknowledged = self.unacknowledged.saturating_sub(1);
                Ok(())
            }
            Message::Extension { .. } => Ok(()),
            other => Err(unexpected(&other)),
        }
    }

    pub(super) async fn send(&mut self, message: Message) -> Result<(), ClientError> {
        let bytes = message.encode(Link::SERIALIZER).map_err(|error| ClientError::Gone(error.to_string()))?;
        Ok(self.link.send(&mut VecDeque::from([bytes])).await?)
    }

    pub(super) async fn receive(&mut self) -> Result<Message, ClientError> {
        let gone = || ClientError::HungUp("the router has closed the connection".to_owned());
        let bytes = self.link.receive().await.ok_or_else(gone)?;
        Message::decode(Link::SERIALIZER, &bytes).map_err(|error| ClientError::Gone(error.to_string()))
    }

    /// The next message, which must come soon.
    pub(super) async fn next(&mut self) -> Result<Message, ClientError> {
        let late = |_| ClientError::Gone("the router takes too long".to_owned());
        timeout(PATIENCE, self.receive()).await.map_err(late)?
    }
}

/// What ends a session: the router's ABORT, GOODBYE or ERROR, or something that makes no sense.
fn unexpected(message: &Message) -> ClientError {
    match message {
        Message::Abort { details, reason, .. } => ClientError::Refused {
            uri: reason.clone(),
            message: details.text("message").unwrap_or_default().to_owned(),
        },
        Message::Error { error, payload, .. } => {
            ClientError::Refused { uri: error.clone(), message: words(payload) }
        }
        Message::Goodbye { reason, .. } => ClientError::Gone(format!("the router says goodbye: {reason}")),
        // Its own subscription was taken away.
        Message::Unsubscribed { .. } => ClientError::Gone("the router has ended the subscription".to_owned()),
        other => ClientError::Gone(format!("the router says {} at the wrong time", other.name())),
    }
}
