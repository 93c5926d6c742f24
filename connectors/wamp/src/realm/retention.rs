//! The last event of each topic, for those who subscribe later.

use std::sync::Arc;

use foldhash::fast::RandomState;
use hashbrown::HashMap;

use super::broker::EventWriter;
use super::{Peer, Publication, Realm, Wakeups};
use crate::message::{Id, Match};

/// The last event of each topic that was published with `retain`.
#[derive(Debug)]
pub(super) struct Retained {
    by_topic: HashMap<Arc<str>, Publication, RandomState>,
    topics_max: usize,
}

impl Retained {
    pub(super) fn new(topics_max: usize) -> Self {
        Self { by_topic: HashMap::default(), topics_max }
    }

    /// Keeps a publication as the last one of its topic. Beyond the bound new topics are not kept.
    pub(super) fn keep(&mut self, publication: Publication) {
        if self.by_topic.len() < self.topics_max || self.by_topic.contains_key(&publication.topic) {
            self.by_topic.insert(Arc::clone(&publication.topic), publication);
        } else {
            tracing::warn!(topic = &*publication.topic, "the event is not retained: too many topics are");
        }
    }

    fn matching(&self, matching: Match, pattern: &str) -> Vec<&Publication> {
        if matching == Match::Exact {
            return self.by_topic.get(pattern).into_iter().collect();
        }
        let mut found: Vec<_> =
            self.by_topic.values().filter(|one| matching.matches(pattern, &one.topic)).collect();
        found.sort_unstable_by(|a, b| a.topic.cmp(&b.topic));
        found
    }
}

impl Realm {
    /// Sends the retained events of a new subscription, as far as they were meant for this peer.
    pub(super) fn send_retained(&self, peer: &Peer, subscription: Id, matching: Match, pattern: &str) {
        let mut wakeups = Wakeups::default();
        for publication in self.retained.matching(matching, pattern) {
            let mut event = EventWriter::new(publication, subscription, matching, true);
            if publication.receivers.admit(peer)
                && let Some(bytes) = event.written_by(peer.serializer)
            {
                peer.send_event(bytes, &mut wakeups);
            }
        }
    }
}
