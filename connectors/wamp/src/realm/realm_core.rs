//! The realm: sessions come, say things, and go.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use foldhash::fast::RandomState;
use hashbrown::HashMap;
use headwater_core::World;

use super::calls::Calls;
use super::history::Question;
use super::recorders::Recorders;
use super::refusal::Refusal;
use super::registrations::Registrations;
use super::retention::Retained;
use super::roles::{Action, Role, Verdict};
use super::subscriptions::Subscriptions;
use super::testament::Testaments;
use super::{Peer, RealmOptions, Wakeups};
use crate::message::{Id, Match, Message, Publish, Sequential};
use crate::wire::{Dict, Malformed};

/// A realm.
pub struct Realm {
    pub(super) world: World,
    pub(super) options: RealmOptions,
    pub(super) sessions: HashMap<Id, Session, RandomState>,
    pub(super) subscriptions: Subscriptions,
    pub(super) registrations: Registrations,
    pub(super) calls: Calls,
    pub(super) retained: Retained,
    pub(super) recorders: Recorders,
    /// Questions about the past, if somebody looks for them.
    pub(super) questions: Option<Vec<Question>>,
    roles: BTreeMap<String, Role>,
}

/// What the realm remembers of a session.
pub(super) struct Session {
    pub peer: Arc<Peer>,
    /// Ids of requests that came.
    requests: Sequential,
    /// Ids of invocations that went.
    pub invocations: Sequential,
    pub subscriptions: BTreeSet<Id>,
    pub registrations: BTreeSet<Id>,
    pub testaments: Testaments,
}

impl Realm {
    /// A realm without sessions.
    pub fn new(world: World, options: RealmOptions) -> Self {
        let roles = options.roles.iter().map(|role| (role.name.clone(), role.clone())).collect();
        let retained = Retained::new(options.retained_max);
        Self {
            world,
            options,
            sessions: HashMap::default(),
            subscriptions: Subscriptions::default(),
            registrations: Registrations::default(),
            calls: Calls::default(),
            retained,
            recorders: Recorders::default(),
            questions: None,
            roles,
        }
    }

    /// How the realm is set up.
    pub fn options(&self) -> &RealmOptions {
        &self.options
    }

    /// How many sessions there are.
    pub fn session_count(&self) -> usize {
        self.sessions.len()
    }

    /// Whether so much waits for a session that more should wait elsewhere.
    pub fn is_crowded(&self, session: Id) -> bool {
        self.sessions.get(&session).is_some_and(|session| session.peer.mailbox.is_crowded())
    }

    /// A session begins.
    pub fn join(&mut self, peer: Arc<Peer>) {
        let session = Session {
            peer: Arc::clone(&peer),
            requests: Sequential::default(),
            invocations: Sequential::default(),
            subscriptions: BTreeSet::new(),
            registrations: BTreeSet::new(),
            testaments: Testaments::default(),
        };
        self.sessions.insert(peer.id, session);
        self.announce_join(&peer);
    }

    /// A session ends, whatever for: nothing of it stays, and its testaments are published.
    pub fn leave(&mut self, id: Id) {
        let Some(session) = self.sessions.remove(&id) else { return };
        for subscription in &session.subscriptions {
            self.end_subscription(*subscription, &session.peer);
        }
        for registration in &session.registrations {
            self.end_registration(*registration, &session.peer);
        }
        if session.peer.is_trusted {
            self.recorder_is_gone(id);
        }
        self.abandon_calls(id);
        self.publish_testaments(session.testaments);
        self.announce_leave(&session.peer);
    }

    /// A session says something. An error is a violation of the protocol: the session must be aborted. Those who hear an event are to be
    /// woken by the caller.
    pub fn receive(&mut self, id: Id, message: Message, wakeups: &mut Wakeups) -> Result<(), Malformed> {
        // A session that the router ended may have said more before it heard.
        let Some(session) = self.sessions.get(&id) else { return Ok(()) };
        let peer = Arc::clone(&session.peer);
        match message {
            Message::Publish(publish) => {
                self.check_request(id, publish.request)?;
                self.publish(&peer, publish, wakeups)
            }
            Message::Subscribe(request) => {
                self.check_request(id, request.request)?;
                self.subscribe(&peer, &request);
                Ok(())
            }
            Message::Unsubscribe { request, subscription } => {
                self.check_request(id, request)?;
                self.unsubscribe(&peer, request, subscription);
                Ok(())
            }
            Message::Register(request) => {
                self.check_request(id, request.request)?;
                self.register(&peer, &request);
                Ok(())
            }
            Message::Unregister { request, registration } => {
                self.check_request(id, request)?;
                self.unregister(&peer, request, registration);
                Ok(())
            }
            Message::Call(call) => self.receive_call(&peer, call),
            Message::Cancel { request, options } => {
                self.cancel(&peer, request, &options);
                Ok(())
            }
            Message::Yield { request, options, payload } => self.yielded(&peer, request, &options, payload),
            Message::Error { of, request, details, error, payload } => {
                if of != crate::message::Code::Invocation.number() {
                    return Err(Malformed::new(format!("ERROR answers an INVOCATION (68), not {of}")));
                }
                self.failed(&peer, request, details, error, payload)
            }
            // A message of the range for extensions means nothing here.
            Message::Extension { .. } => Ok(()),
            other => {
                Err(Malformed::new(format!("{} is not for the router while a session is open", other.name())))
            }
        }
    }

    /// A CALL has the next id, or that of a call whose further parts it brings.
    fn receive_call(&mut self, peer: &Arc<Peer>, call: Publish) -> Result<(), Malformed> {
        if self.calls.awaits_more(peer.id, call.request) {
            return self.call_goes_on(peer, call);
        }
        let Some(session) = self.sessions.get(&peer.id) else { return Ok(()) };
        let is_late = call.request <= session.requests.last() && peer.features.caller_progressive_invocations;
        if is_late {
            // The rest of a call that has its result already.
            return Ok(());
        }
        self.check_request(peer.id, call.request)?;
        self.call(peer, call)
    }

    /// Notes the id of a request.
    fn check_request(&mut self, session: Id, request: Id) -> Result<(), Malformed> {
        let Some(session) = self.sessions.get_mut(&session) else { return Ok(()) };
        if session.requests.accept(request) {
            return Ok(());
        }
        if self.options.sequential_requests {
            let last = session.requests.last();
            return Err(Malformed::new(format!("request {request} does not follow request {last}")));
        }
        session.requests.jump(request);
        Ok(())
    }

    /// What a peer may do with a URI.
    pub(super) fn decide(&self, peer: &Peer, action: Action, uri: &str) -> Verdict {
        if self.roles.is_empty() || peer.is_trusted {
            return Verdict::FREE;
        }
        let role = self.roles.get(&peer.identity.authrole);
        role.map_or(Verdict::DENIED, |role| role.decide(action, uri))
    }

    /// Whether a peer may do this with all that a pattern matches; the error names what it tried: `verb` and the pattern.
    pub(super) fn may_all(
        &self,
        peer: &Peer,
        (action, verb): (Action, &str),
        matching: Match,
        pattern: &str,
    ) -> Result<(), Refusal> {
        let authrole = &peer.identity.authrole;
        let is_allowed = self.roles.is_empty()
            || peer.is_trusted
            || self.roles.get(authrole).is_some_and(|role| role.allows_all(action, matching, pattern));
        is_allowed.then_some(()).ok_or_else(|| match matching {
            Match::Exact => Refusal::not_authorized(authrole, verb, pattern),
            _ => Refusal::not_authorized(
                authrole,
                &format!("{verb} all that matches the {}", matching.name()),
                pattern,
            ),
        })
    }

    /// Whether a peer is told to those who receive something from it.
    pub(super) fn is_disclosed(
        &self,
        peer: &Peer,
        verdict: Verdict,
        options: &Dict,
    ) -> Result<bool, Refusal> {
        let asked = options.is_true("disclose_me");
        if asked && !verdict.may_disclose {
            let who = &peer.identity.authrole;
            return Err(Refusal::new(
                crate::message::uri::error::DISCLOSE_ME,
                format!("role {who:?} may not tell who it is"),
            ));
        }
        Ok(asked || verdict.always_disclose)
    }

    /// How far a peer is to be trusted.
    pub(super) fn trustlevel(&self, peer: &Peer) -> Option<u64> {
        self.roles.get(&peer.identity.authrole)?.trustlevel
    }

    /// When [`Realm::tick`] wants to be called next, by the monotonic clock.
    pub fn next_deadline(&self) -> Option<Duration> {
        self.calls.next_deadline()
    }

    /// Time goes on: calls that are due time out.
    pub fn tick(&mut self) {
        let now = self.world.clock.monotonic();
        self.expire_calls(now);
    }

    /// Says goodbye to everybody.
    pub fn close(&mut self, reason: &str) {
        for session in self.sessions.values() {
            session.peer.part(reason, Dict::new());
        }
        self.sessions.clear();
        self.subscriptions = Subscriptions::default();
        self.registrations = Registrations::default();
        self.calls = Calls::default();
        self.recorders.close();
    }
}
