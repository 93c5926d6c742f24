//! The broker: subscriptions, and publications on their way.

use std::sync::Arc;

use super::features::RECEIVERS;
use super::publication::{Publication, Receivers, pass_through};
use super::recorders::Handed;
use super::refusal::Refusal;
use super::roles::Action;
use super::{Peer, Realm, Wakeups};
use crate::message::uri::{self, error};
use crate::message::{Code, Id, Match, Message, Publish, Request, encode_event, random_id};
use crate::wire::{Dict, Malformed, Payload, Serializer, Value};

impl Realm {
    pub(super) fn subscribe(&mut self, peer: &Arc<Peer>, request: &Request) {
        let matching = match self.may_subscribe(peer, request) {
            Ok(matching) => matching,
            Err(refusal) => {
                return peer.refuse(Code::Subscribe, request.request, refusal.uri, &refusal.message);
            }
        };
        let now = self.world.clock.now();
        let joined = self.subscriptions.add(&request.uri, matching, peer, now);
        if let Some(session) = self.sessions.get_mut(&peer.id) {
            session.subscriptions.insert(joined.id);
        }
        peer.send(&Message::Subscribed { request: request.request, subscription: joined.id });
        self.announce_subscribe(peer, joined);
        if joined.is_new_member && request.options.is_true("get_retained") {
            self.send_retained(peer, joined.id, matching, &request.uri);
        }
    }

    fn may_subscribe(&self, peer: &Peer, request: &Request) -> Result<Match, Refusal> {
        let matching = read_match(&request.options)?;
        // Meta events have reserved topics and can be subscribed to.
        if !matching.is_valid(&request.uri, self.options.strict_uris) {
            return Err(Refusal::invalid_uri(&request.uri));
        }
        self.may_all(peer, (Action::Subscribe, "subscribe to"), matching, &request.uri)?;
        Ok(matching)
    }

    pub(super) fn unsubscribe(&mut self, peer: &Arc<Peer>, request: Id, subscription: Id) {
        let held = self
            .sessions
            .get_mut(&peer.id)
            .is_some_and(|session| session.subscriptions.remove(&subscription));
        if !held {
            let why = format!("this session has no subscription {subscription}");
            return peer.refuse(Code::Unsubscribe, request, error::NO_SUCH_SUBSCRIPTION, &why);
        }
        peer.send(&Message::Unsubscribed { request, details: None });
        self.end_subscription(subscription, peer);
    }

    /// Takes a peer out of a subscription, and tells those who follow such things.
    pub(super) fn end_subscription(&mut self, subscription: Id, peer: &Arc<Peer>) {
        if let Some(is_gone) = self.subscriptions.remove(subscription, peer.id) {
            self.recorders.ends(peer.id);
            self.announce_unsubscribe(peer, subscription, is_gone);
        }
    }

    pub(super) fn publish(
        &mut self,
        peer: &Arc<Peer>,
        publish: Publish,
        wakeups: &mut Wakeups,
    ) -> Result<(), Malformed> {
        if publish.options.get("ppt_scheme").is_some() && !peer.features.publisher_passthru {
            return Err(Malformed::new("PUBLISH: payload passthru was not announced"));
        }
        let acknowledge = publish.options.is_true("acknowledge");
        let request = publish.request;
        match self.may_publish(peer, &publish, acknowledge) {
            Ok(details) => {
                let receivers = Receivers::read(&publish.options, peer.id);
                let receivers = match receivers {
                    Ok(receivers) => receivers,
                    Err(why) => {
                        if acknowledge {
                            peer.refuse(Code::Publish, request, error::INVALID_ARGUMENT, &why);
                        }
                        return Ok(());
                    }
                };
                let publication = Publication {
                    id: random_id(&self.world),
                    topic: publish.uri.into(),
                    payload: publish.payload,
                    details,
                    receivers,
                };
                if acknowledge {
                    let mut handed = Handed::default();
                    self.dispatch_and_tell(&publication, wakeups, |member, is_written| {
                        self.recorders.note(member, is_written, &mut handed);
                    });
                    self.acknowledge(peer, request, publication.id, handed);
                } else {
                    self.dispatch(&publication, wakeups);
                }
                if publish.options.is_true("retain") {
                    self.retained.keep(publication);
                }
            }
            // Without acknowledgement there is nobody to tell.
            Err(refusal) if acknowledge => peer.refuse(Code::Publish, request, refusal.uri, &refusal.message),
            Err(_) => {}
        }
        Ok(())
    }

    /// Whether a publication is allowed, and what its receivers are told about it.
    fn may_publish(&self, peer: &Peer, publish: &Publish, acknowledge: bool) -> Result<Dict, Refusal> {
        if !uri::is_valid(&publish.uri, self.options.strict_uris) || uri::is_reserved(&publish.uri) {
            return Err(Refusal::invalid_uri(&publish.uri));
        }
        let verdict = self.decide(peer, Action::Publish, &publish.uri);
        if !verdict.allowed {
            return Err(Refusal::not_authorized(&peer.identity.authrole, "publish to", &publish.uri));
        }
        let mut details = Dict::new();
        if self.is_disclosed(peer, verdict, &publish.options)? {
            details.insert("publisher", peer.id);
            details.insert("publisher_authid", peer.identity.authid.as_str());
            details.insert("publisher_authrole", peer.identity.authrole.as_str());
        }
        if let Some(level) = self.trustlevel(peer) {
            details.insert("trustlevel", level);
        }
        if acknowledge {
            self.may_be_recorded(&publish.uri)?;
        }
        pass_through(&publish.options, &mut details);
        Ok(details)
    }

    /// Hands a publication to all who have subscribed. It is written once for each serializer, not for each receiver.
    pub(super) fn dispatch(&self, publication: &Publication, wakeups: &mut Wakeups) {
        self.dispatch_and_tell(publication, wakeups, |_, _| {});
    }

    /// As [`Realm::dispatch`]; `told` hears who was to receive it, and whether it could be written for them.
    fn dispatch_and_tell(
        &self,
        publication: &Publication,
        wakeups: &mut Wakeups,
        mut told: impl FnMut(&Peer, bool),
    ) {
        self.subscriptions.for_each_match(&publication.topic, |subscription| {
            let mut event = EventWriter::new(publication, subscription.id, subscription.matching, false);
            let mut noted = publication.receivers.noted().map(|receivers| {
                let mut noted = EventWriter::new(publication, subscription.id, subscription.matching, false);
                noted.details.insert(RECEIVERS, receivers);
                noted
            });
            for member in &subscription.members {
                let event = match &mut noted {
                    Some(noted) if member.records_receivers() => noted,
                    _ if publication.receivers.admit(member) => &mut event,
                    _ => continue,
                };
                let written = event.written_by(member.serializer);
                told(member, written.is_some());
                if let Some(bytes) = written {
                    member.send_event(bytes, wakeups);
                }
            }
        });
    }

    /// Publishes something that the router itself has to say.
    pub(super) fn publish_meta(&self, topic: &str, args: impl FnOnce() -> Vec<Value>) {
        if self.subscriptions.has_match(topic) {
            let publication = Publication {
                id: random_id(&self.world),
                topic: topic.into(),
                payload: Payload::of(args()),
                details: Dict::new(),
                receivers: Receivers::default(),
            };
            self.dispatch(&publication, &mut Wakeups::default());
        }
    }
}

/// Writes an event for one subscription, once for each serializer that its members have.
pub(super) struct EventWriter<'a> {
    publication: &'a Publication,
    subscription: Id,
    details: Dict,
    written: [Option<Option<bytes::Bytes>>; Serializer::ALL.len()],
}

impl<'a> EventWriter<'a> {
    pub(super) fn new(
        publication: &'a Publication,
        subscription: Id,
        matching: Match,
        is_retained: bool,
    ) -> Self {
        let mut details = publication.details.clone();
        if matching != Match::Exact {
            details.insert("topic", &*publication.topic);
        }
        if is_retained {
            details.insert("retained", true);
        }
        Self { publication, subscription, details, written: [None, None, None] }
    }

    /// The event; `None` if this serializer cannot write what another one has read.
    pub(super) fn written_by(&mut self, serializer: Serializer) -> Option<&bytes::Bytes> {
        let written = self.written[serializer as usize].get_or_insert_with(|| {
            let Publication { id, payload, .. } = self.publication;
            encode_event(serializer, self.subscription, *id, &self.details, payload).ok()
        });
        written.as_ref()
    }
}

/// Reads `options.match`.
pub(super) fn read_match(options: &Dict) -> Result<Match, Refusal> {
    match options.get("match") {
        None | Some(Value::Null) => Ok(Match::Exact),
        Some(name) => name
            .as_str()
            .and_then(Match::from_name)
            .ok_or_else(|| Refusal::invalid_argument("option match is exact, prefix or wildcard")),
    }
}
