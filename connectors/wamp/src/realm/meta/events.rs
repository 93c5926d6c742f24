//! What is told when sessions, subscriptions and registrations come and go.
//!
//! Creation is told before the first member, the end of the last member before deletion.

use crate::message::Id;
use crate::realm::registrations::Registration;
use crate::realm::subscriptions::{Joined, Subscription};
use crate::realm::{Peer, Realm};
use crate::wire::{Dict, Value};

impl Realm {
    pub(in crate::realm) fn announce_join(&self, peer: &Peer) {
        self.publish_meta("wamp.session.on_join", || vec![describe_session(peer).into()]);
    }

    pub(in crate::realm) fn announce_leave(&self, peer: &Peer) {
        let identity = &peer.identity;
        self.publish_meta("wamp.session.on_leave", || {
            vec![peer.id.into(), identity.authid.as_str().into(), identity.authrole.as_str().into()]
        });
    }

    pub(in crate::realm) fn announce_subscribe(&self, peer: &Peer, joined: Joined) {
        if joined.is_created
            && let Some(subscription) = self.subscriptions.get(joined.id)
        {
            let details = || vec![peer.id.into(), describe_subscription(subscription).into()];
            self.publish_meta("wamp.subscription.on_create", details);
        }
        if joined.is_new_member {
            self.publish_meta("wamp.subscription.on_subscribe", || ids(peer.id, joined.id));
        }
    }

    pub(in crate::realm) fn announce_unsubscribe(&self, peer: &Peer, id: Id, is_gone: bool) {
        self.publish_meta("wamp.subscription.on_unsubscribe", || ids(peer.id, id));
        if is_gone {
            self.publish_meta("wamp.subscription.on_delete", || ids(peer.id, id));
        }
    }

    pub(in crate::realm) fn announce_register(&self, peer: &Peer, id: Id, is_created: bool, is_new: bool) {
        if is_created && let Some(registration) = self.registrations.get(id) {
            let details = || vec![peer.id.into(), describe_registration(registration).into()];
            self.publish_meta("wamp.registration.on_create", details);
        }
        if is_new {
            self.publish_meta("wamp.registration.on_register", || ids(peer.id, id));
        }
    }

    pub(in crate::realm) fn announce_unregister(&self, peer: &Peer, id: Id, is_gone: bool) {
        self.publish_meta("wamp.registration.on_unregister", || ids(peer.id, id));
        if is_gone {
            self.publish_meta("wamp.registration.on_delete", || ids(peer.id, id));
        }
    }
}

fn ids(session: Id, other: Id) -> Vec<Value> {
    vec![session.into(), other.into()]
}

/// What is told about a session.
pub(super) fn describe_session(peer: &Peer) -> Dict {
    let mut details = Dict::new().with("session", peer.id);
    peer.identity.describe(&mut details);
    details.with("transport", peer.transport.clone())
}

/// What is told about a subscription.
pub(super) fn describe_subscription(subscription: &Subscription) -> Dict {
    Dict::new()
        .with("id", subscription.id)
        .with("created", subscription.created.to_string())
        .with("uri", &*subscription.uri)
        .with("match", subscription.matching.name())
}

/// What is told about a registration.
pub(super) fn describe_registration(registration: &Registration) -> Dict {
    Dict::new()
        .with("id", registration.id)
        .with("created", registration.created.to_string())
        .with("uri", &*registration.uri)
        .with("match", registration.matching.name())
        .with("invoke", registration.invoke.name())
}
