//! A topic filter whose messages are recorded into a stream.
//!
//! ```text
//!   queue:   | taken, on their way to the log | not taken yet |
//!            ^ first                          ^ first + taken
//! ```
//!
//! A recorder outlives the source that drains it: what waits while the log is away is not acknowledged, and not lost.

use std::collections::VecDeque;
use std::sync::Arc;

use headwater_core::EventTime;
use tokio::sync::Notify;

use super::message::Message;
use super::options::BrokerOptions;
use crate::topic::matches;

/// A topic filter whose messages are recorded into a stream.
pub(super) struct Recorder {
    pub name: String,
    pub filter: String,
    queue: VecDeque<Entry>,
    bytes: usize,
    /// The number of the first in the queue.
    first: u64,
    taken: usize,
    /// Which source drains it: those before that one get nothing more.
    pub holder: u64,
    /// Wakes the source.
    pub wake: Arc<Notify>,
    /// The sessions that are not read from until there is room.
    pub held: Vec<u64>,
}

struct Entry {
    message: Arc<Message>,
    ticket: Option<Ticket>,
}

/// What waits for a message to be durable.
#[derive(Clone, Copy)]
pub(super) enum Ticket {
    /// The publication of this number of a session.
    Publication { session: u64, number: u64 },
    /// The will that was published as this number.
    Will(u64),
}

impl Recorder {
    pub fn new(name: String, filter: String) -> Self {
        Self {
            name,
            filter,
            queue: VecDeque::new(),
            bytes: 0,
            first: 0,
            taken: 0,
            holder: 0,
            wake: Arc::default(),
            held: Vec::new(),
        }
    }

    pub fn wants(&self, topic: &str) -> bool {
        matches(&self.filter, topic)
    }

    pub fn push(&mut self, message: Arc<Message>, ticket: Option<Ticket>) {
        self.bytes += message.size();
        self.queue.push_back(Entry { message, ticket });
        self.wake.notify_one();
    }

    pub fn is_full(&self, options: &BrokerOptions) -> bool {
        self.queue.len() >= options.recorder_messages_max || self.bytes >= options.recorder_bytes_max
    }

    /// Up to so many messages that were not taken yet, and the number after the last.
    pub fn take(&mut self, most: usize) -> (Vec<Arc<Message>>, u64) {
        let range = self.taken..self.queue.len().min(self.taken + most);
        self.taken = range.end;
        let messages = self.queue.range(range).map(|entry| Arc::clone(&entry.message)).collect();
        (messages, self.first + self.taken as u64)
    }

    /// How many messages are not durable, and when the first of them came.
    pub fn waiting(&self) -> (u64, Option<EventTime>) {
        (self.queue.len() as u64, self.queue.front().map(|first| first.message.received))
    }

    /// All before this number is durable. Answers what waited for it.
    pub fn committed(&mut self, next: u64) -> Vec<Ticket> {
        let mut tickets = Vec::new();
        while self.first < next
            && let Some(entry) = self.queue.pop_front()
        {
            self.first += 1;
            self.taken = self.taken.saturating_sub(1);
            self.bytes -= entry.message.size();
            tickets.extend(entry.ticket);
        }
        tickets
    }

    /// Another source goes on: what was taken and is not durable is taken again.
    pub fn rewind(&mut self) {
        self.taken = 0;
        self.holder += 1;
        self.wake.notify_one();
    }

    /// Nobody records any more. Answers what waited for that.
    pub fn dissolve(&mut self) -> Vec<Ticket> {
        self.committed(u64::MAX)
    }
}
