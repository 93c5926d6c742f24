//! Who has subscribed to what. One id for each (URI, way of matching), shared by all who subscribe to it.

use std::sync::Arc;

use foldhash::fast::RandomState;
use hashbrown::HashMap;
use headwater_core::EventTime;

use super::Peer;
use super::pattern_index::PatternIndex;
use crate::message::{Id, Match, Sequential};

/// All who have subscribed to a topic or pattern.
#[derive(Debug)]
pub(super) struct Subscription {
    pub id: Id,
    pub uri: Arc<str>,
    pub matching: Match,
    pub created: EventTime,
    pub members: Vec<Arc<Peer>>,
}

/// All subscriptions of a realm.
#[derive(Debug, Default)]
pub(super) struct Subscriptions {
    index: PatternIndex<Id>,
    by_id: HashMap<Id, Subscription, RandomState>,
    ids: Sequential,
}

/// What a subscription brought about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Joined {
    pub id: Id,
    pub is_created: bool,
    pub is_new_member: bool,
}

impl Subscriptions {
    pub(super) fn add(&mut self, uri: &str, matching: Match, peer: &Arc<Peer>, now: EventTime) -> Joined {
        if let Some(id) = self.index.get(matching, uri)
            && let Some(subscription) = self.by_id.get_mut(&id)
        {
            let is_new_member = subscription.members.iter().all(|member| member.id != peer.id);
            if is_new_member {
                subscription.members.push(Arc::clone(peer));
            }
            return Joined { id, is_created: false, is_new_member };
        }
        let id = self.ids.issue();
        self.index.insert(matching, uri, id);
        let members = vec![Arc::clone(peer)];
        self.by_id.insert(id, Subscription { id, uri: uri.into(), matching, created: now, members });
        Joined { id, is_created: true, is_new_member: true }
    }

    /// Removes a member; `None` if it was none, else whether the subscription is gone, too.
    pub(super) fn remove(&mut self, id: Id, session: Id) -> Option<bool> {
        let subscription = self.by_id.get_mut(&id)?;
        let at = subscription.members.iter().position(|member| member.id == session)?;
        subscription.members.swap_remove(at);
        let is_gone = subscription.members.is_empty();
        if is_gone {
            let (matching, uri) = (subscription.matching, Arc::clone(&subscription.uri));
            self.index.remove(matching, &uri);
            self.by_id.remove(&id);
        }
        Some(is_gone)
    }

    pub(super) fn get(&self, id: Id) -> Option<&Subscription> {
        self.by_id.get(&id)
    }

    pub(super) fn lookup(&self, matching: Match, uri: &str) -> Option<Id> {
        self.index.get(matching, uri)
    }

    /// Calls `found` for each subscription that matches a topic.
    pub(super) fn for_each_match(&self, topic: &str, mut found: impl FnMut(&Subscription)) {
        self.index.for_each(topic, |_, id| self.by_id.get(&id).into_iter().for_each(&mut found));
    }

    /// Whether anybody would receive what is published to a topic.
    pub(super) fn has_match(&self, topic: &str) -> bool {
        self.index.best(topic).is_some()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Subscription> {
        self.by_id.values()
    }
}
