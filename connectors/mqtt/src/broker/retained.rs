//! The last message of each topic that was published to be kept.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;
use std::time::Duration;

use super::message::Message;
use crate::topic::matches;
use crate::wire::Text;

/// The last message of each topic that was published to be kept.
#[derive(Default)]
pub(super) struct Retained {
    by_topic: BTreeMap<Text, Arc<Message>>,
}

impl Retained {
    /// Keeps a message, or, if it is empty, forgets the one before. Whether there was room.
    pub fn keep(&mut self, message: &Arc<Message>, most: usize) -> bool {
        if message.payload.is_empty() {
            self.by_topic.remove(&message.topic);
            return true;
        }
        if self.by_topic.len() >= most && !self.by_topic.contains_key(&message.topic) {
            return false;
        }
        self.by_topic.insert(message.topic.clone(), Arc::clone(message));
        true
    }

    /// Those whose topics a filter matches.
    pub fn matching(&self, filter: &str, now: Duration) -> Vec<Arc<Message>> {
        // Topics are in order: only those are looked at that begin as the filter does before its first wildcard.
        let literal = &filter[..filter.find(['+', '#']).unwrap_or(filter.len())];
        // `a/#` matches `a`, which comes before `a/`.
        let from = literal.trim_end_matches('/');
        let begins = |topic: &Text| topic.starts_with(from);
        self.by_topic
            .range::<str, _>((Bound::Included(from), Bound::Unbounded))
            .take_while(|(topic, _)| begins(topic))
            .filter(|(topic, message)| matches(filter, topic) && !message.is_expired(now))
            .map(|(_, message)| Arc::clone(message))
            .collect()
    }

    /// How many there are, of the topics that are meant.
    pub fn count(&self, is_meant: impl Fn(&str) -> bool) -> usize {
        self.by_topic.keys().filter(|topic| is_meant(topic)).count()
    }

    /// Forgets those whose time is over.
    pub fn expire(&mut self, now: Duration) {
        self.by_topic.retain(|_, message| !message.is_expired(now));
    }
}
