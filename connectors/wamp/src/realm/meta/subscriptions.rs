//! Questions about subscriptions, and their revocation.

use crate::message::uri::{close, error};
use crate::message::{Id, Match, Message};
use crate::realm::Realm;
use crate::realm::refusal::Refusal;
use crate::realm::subscriptions::Subscription;
use crate::wire::{Dict, Value};

use super::events::describe_subscription;
use super::procedures::Ask;

/// Ids by the way in which they match.
pub(super) fn by_way(all: impl Iterator<Item = (Match, Id)>) -> Dict {
    let mut all: Vec<_> = all.collect();
    all.sort_unstable();
    let of = |way| all.iter().filter(|(matching, _)| *matching == way).map(|(_, id)| *id).collect::<Vec<_>>();
    Match::ALL.into_iter().fold(Dict::new(), |dict, way| dict.with(way.name(), of(way)))
}

impl Realm {
    pub(super) fn list_subscriptions(&self) -> Dict {
        by_way(self.subscriptions.iter().map(|one| (one.matching, one.id)))
    }

    /// The subscriptions that an event of a topic goes to; null if there are none.
    pub(super) fn matching_subscriptions(&self, topic: &str) -> Value {
        let mut ids = Vec::new();
        self.subscriptions.for_each_match(topic, |subscription| ids.push(subscription.id));
        if ids.is_empty() { Value::Null } else { ids.into() }
    }

    pub(in crate::realm) fn subscription(&self, id: Id) -> Result<&Subscription, Refusal> {
        let missing = || Refusal::new(error::NO_SUCH_SUBSCRIPTION, format!("there is no subscription {id}"));
        self.subscriptions.get(id).ok_or_else(missing)
    }

    pub(super) fn subscription_details(&self, id: Id) -> Result<Dict, Refusal> {
        self.subscription(id).map(describe_subscription)
    }

    pub(super) fn subscribers(&self, id: Id) -> Result<Vec<Id>, Refusal> {
        Ok(self.subscription(id)?.members.iter().map(|member| member.id).collect())
    }

    /// `wamp.subscription.remove_subscriber(subscription, session)`: takes a subscription away from a session.
    pub(super) fn remove_subscriber(&mut self, ask: &Ask<'_>) -> Result<(), Refusal> {
        let id = ask.id()?;
        let session = ask.args.get(1).and_then(|session| session.as_u64()).unwrap_or(ask.caller.id);
        let members = &self.subscription(id)?.members;
        let Some(member) = members.iter().find(|member| member.id == session) else {
            let why = format!("session {session} has no subscription {id}");
            return Err(Refusal::new(error::NO_SUCH_SESSION, why));
        };
        let peer = std::sync::Arc::clone(member);
        if let Some(session) = self.sessions.get_mut(&session) {
            session.subscriptions.remove(&id);
        }
        if peer.features.subscriber_revocation {
            let reason = ask.kwargs.text("reason").unwrap_or(close::KILLED);
            let details = Dict::new().with("subscription", id).with("reason", reason);
            peer.send(&Message::Unsubscribed { request: 0, details: Some(details) });
        }
        self.end_subscription(id, &peer);
        Ok(())
    }
}
