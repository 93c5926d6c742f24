//! What the broker tells about itself: retained messages under `$SYS/broker/`, by the names that Mosquitto gave them.
//!
//! Every few seconds those are published that have changed. Nobody else publishes under `$SYS/`.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use super::ledger::OWN_TOPICS;
use super::message::Message;
use super::state::State;
use crate::wire::{Publish, Qos};

/// What is counted, and what was told of it.
#[derive(Default)]
pub(super) struct Figures {
    /// Messages that clients have published.
    pub received: u64,
    /// Messages that were sent to clients.
    pub sent: u64,
    /// Messages that were skipped because a client did not keep up.
    pub dropped: u64,
    since: Option<Duration>,
    next: Duration,
    told: HashMap<&'static str, String>,
}

impl State {
    /// Publishes what has changed, if it is time to.
    pub fn tell_figures(&mut self, now: Duration) {
        let Some(interval) = self.options.figures_interval else { return };
        let since = *self.figures.since.get_or_insert(now);
        if now < self.figures.next {
            return;
        }
        self.figures.next = now.saturating_add(interval);
        let total = self.sessions.values().filter(|session| !session.is_over).count();
        let connected = self.sessions.values().filter(|session| session.link.is_some()).count();
        let subscriptions: usize = self.sessions.values().map(|session| session.filters.len()).sum();
        let told = [
            ("version", concat!("headwater ", env!("CARGO_PKG_VERSION")).to_owned()),
            ("uptime", format!("{} seconds", now.saturating_sub(since).as_secs())),
            ("clients/total", total.to_string()),
            ("clients/connected", connected.to_string()),
            ("clients/disconnected", (total - connected.min(total)).to_string()),
            ("subscriptions/count", subscriptions.to_string()),
            (
                "retained messages/count",
                self.retained.count(|topic| !topic.starts_with(OWN_TOPICS)).to_string(),
            ),
            ("publish/messages/received", self.figures.received.to_string()),
            ("publish/messages/sent", self.figures.sent.to_string()),
            ("publish/messages/dropped", self.figures.dropped.to_string()),
        ];
        for (name, figure) in told {
            if self.figures.told.get(name) != Some(&figure) {
                let publish = Publish {
                    dup: false,
                    qos: Qos::AtMostOnce,
                    retain: true,
                    topic: format!("{OWN_TOPICS}broker/{name}").into(),
                    packet_id: None,
                    payload: figure.clone().into(),
                    properties: Vec::new(),
                };
                self.publish_from_inside(Arc::new(Message::new(publish, "".into(), &self.world)));
                self.figures.told.insert(name, figure);
            }
        }
    }
}
