//! What a session wants published when it is gone.

use crate::message::uri;
use crate::message::{Id, random_id};
use crate::wire::{Dict, Payload, Value};

use super::publication::{Publication, Receivers};
use super::refusal::Refusal;
use super::roles::Action;
use super::{Peer, Realm, Wakeups};

/// How many testaments a session may have.
const TESTAMENTS_MAX: usize = 1_024;

/// When a testament is published. A session does not outlive its transport here, so one comes right after the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scope {
    /// When the transport is gone.
    Detached,
    /// When the session is.
    Destroyed,
}

impl Scope {
    pub(super) fn read(kwargs: &Dict) -> Result<Self, Refusal> {
        match kwargs.get("scope").map(|scope| scope.as_str()) {
            None | Some(Some("destroyed")) => Ok(Self::Destroyed),
            Some(Some("detached")) => Ok(Self::Detached),
            Some(_) => Err(Refusal::new(uri::error::TESTAMENT, "scope is destroyed or detached")),
        }
    }
}

/// The testaments of a session, in the order in which they were made.
#[derive(Debug, Default)]
pub(super) struct Testaments(Vec<(Scope, Publication)>);

impl Testaments {
    /// Takes back those of a scope; how many there were.
    pub(super) fn flush(&mut self, scope: Scope) -> u64 {
        let before = self.0.len();
        self.0.retain(|(of, _)| *of != scope);
        (before - self.0.len()) as u64
    }
}

impl Realm {
    /// `wamp.session.add_testament(topic, args, kwargs)`; answers the id that the publication will have.
    pub(super) fn add_testament(
        &mut self,
        peer: &Peer,
        args: &[Value],
        kwargs: &Dict,
    ) -> Result<Id, Refusal> {
        let (Some(Value::Text(topic)), Some(Value::List(list)), Some(Value::Dict(dict))) =
            (args.first(), args.get(1), args.get(2))
        else {
            return Err(Refusal::invalid_argument("arguments are a topic, a list and a dictionary"));
        };
        let scope = Scope::read(kwargs)?;
        if !uri::is_valid(topic, self.options.strict_uris) || uri::is_reserved(topic) {
            return Err(Refusal::invalid_uri(topic));
        }
        if !self.decide(peer, Action::Publish, topic).allowed {
            return Err(Refusal::not_authorized(&peer.identity.authrole, "publish to", topic));
        }
        let options = match kwargs.get("publish_options") {
            None | Some(Value::Null) => Dict::new(),
            Some(Value::Dict(options)) => options.clone(),
            Some(_) => return Err(Refusal::invalid_argument("publish_options is a dictionary")),
        };
        let receivers = Receivers::read(&options, peer.id).map_err(Refusal::invalid_argument)?;
        let publication = Publication {
            id: random_id(&self.world),
            topic: topic.as_str().into(),
            payload: Payload::new(list.clone(), dict.clone()),
            details: Dict::new(),
            receivers,
        };
        let id = publication.id;
        if let Some(session) = self.sessions.get_mut(&peer.id) {
            if session.testaments.0.len() >= TESTAMENTS_MAX {
                return Err(Refusal::new(uri::error::TESTAMENT, "this session has too many testaments"));
            }
            session.testaments.0.push((scope, publication));
        }
        Ok(id)
    }

    /// Publishes what a session left: first what was meant for the end of its transport.
    pub(super) fn publish_testaments(&self, testaments: Testaments) {
        let mut wakeups = Wakeups::default();
        for scope in [Scope::Detached, Scope::Destroyed] {
            for (_, publication) in testaments.0.iter().filter(|(of, _)| *of == scope) {
                self.dispatch(publication, &mut wakeups);
            }
        }
    }
}
