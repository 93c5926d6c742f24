//! Which messages were received, which of them are appended, and what is stored of that.
//!
//! ```text
//!  waiting ─── pulled ──> under way ── committed ──> to be deleted ── deleted ──> only remembered
//!                             └─ received again: dropped, the newer receipt replaces the older
//! ```
//!
//! With each append its messages' ids are stored in one of 256 slots, in turn; what the slots hold is what a next life knows.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};

use headwater_connectors::Mark;

/// How many appends' ids are stored.
const SLOTS: u64 = 256;

/// How many ids are kept in memory.
const REMEMBERED: usize = 100_000;

/// The partition whose position counts the appends.
const COUNT: &str = "appends";

/// What was received.
#[derive(Default)]
pub(super) struct Received {
    /// Ids of messages that were appended or are about to be, oldest first.
    order: VecDeque<String>,
    known: HashSet<String>,
    /// Messages that came and were not pulled yet, by id.
    waiting: HashMap<String, Held>,
    /// Messages whose append is under way, by id.
    under_way: HashMap<String, Held>,
    /// How many appends there were.
    appends: u64,
}

/// A message that we have and that is not to be deleted yet.
struct Held {
    /// By what it is extended and deleted.
    receipt: String,
    /// When it was sent, in milliseconds since the epoch, if the queue has said so.
    sent: Option<i64>,
}

impl Received {
    /// What a former life stored.
    pub(super) fn stored(marks: &BTreeMap<String, String>) -> Self {
        let mut received = Self {
            appends: marks.get(COUNT).and_then(|count| count.parse().ok()).unwrap_or(0),
            ..Self::default()
        };
        for (_, ids) in marks.iter().filter(|(partition, _)| *partition != COUNT) {
            ids.split_whitespace().for_each(|id| received.remember(id));
        }
        received
    }

    /// A message has come, and waits to be pulled.
    pub(super) fn waits(&mut self, id: &str, receipt: &str, sent: Option<i64>) {
        self.waiting.insert(id.to_owned(), Held { receipt: receipt.to_owned(), sent });
    }

    /// A message is pulled. Answers whether it is new. One that is appended already is to be deleted: its receipt is in `done`.
    pub(super) fn is_new(&mut self, id: &str, receipt: &str, done: &mut Vec<String>) -> bool {
        let sent = self.waiting.remove(id).and_then(|held| held.sent);
        if let Some(older) = self.under_way.get_mut(id) {
            receipt.clone_into(&mut older.receipt);
            return false;
        }
        if self.known.contains(id) {
            done.push(receipt.to_owned());
            return false;
        }
        self.remember(id);
        self.under_way.insert(id.to_owned(), Held { receipt: receipt.to_owned(), sent });
        true
    }

    /// The marks to store with the append of these messages. The first is of the same partition each time, so that all messages
    /// go one way.
    pub(super) fn marks(&mut self, ids: &[&str]) -> Vec<Mark> {
        self.appends += 1;
        let slot = format!("slot-{:03}", self.appends % SLOTS);
        let mark = |partition: &str, position: String| Mark { partition: partition.to_owned(), position };
        vec![mark(COUNT, self.appends.to_string()), mark(&slot, ids.join(" "))]
    }

    /// What was stored with these marks is durable: the receipts by which its messages are to be deleted.
    pub(super) fn committed(&mut self, marks: &[Mark]) -> Vec<String> {
        let ids = marks.iter().filter(|mark| mark.partition != COUNT);
        let ids = ids.flat_map(|mark| mark.position.split_whitespace());
        ids.filter_map(|id| self.under_way.remove(id)).map(|held| held.receipt).collect()
    }

    fn held(&self) -> impl Iterator<Item = &Held> {
        self.waiting.values().chain(self.under_way.values())
    }

    /// Receipts of messages that are not yet to be deleted.
    pub(super) fn receipts(&self) -> Vec<String> {
        self.held().map(|held| held.receipt.clone()).collect()
    }

    /// How many messages came and are not durable.
    pub(super) fn count(&self) -> u64 {
        (self.waiting.len() + self.under_way.len()) as u64
    }

    /// When the oldest of those was sent, in milliseconds since the epoch, if the queue has said so.
    pub(super) fn oldest(&self) -> Option<i64> {
        self.held().filter_map(|held| held.sent).min()
    }

    fn remember(&mut self, id: &str) {
        if self.known.insert(id.to_owned()) {
            self.order.push_back(id.to_owned());
        }
        // Those under way are the newest, and far fewer.
        if self.order.len() > REMEMBERED
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_appended_once_and_deleted_by_its_newest_receipt() {
        let (mut received, mut done) = (Received::default(), Vec::new());
        assert_eq!((received.count(), received.oldest()), (0, None));
        received.waits("a", "r0", Some(7));
        received.waits("a", "r1", Some(7));
        assert_eq!(received.receipts(), ["r1"], "it is kept hidden while it waits");
        received.waits("b", "r2", Some(5));
        assert_eq!((received.count(), received.oldest()), (2, Some(5)));
        assert!(received.is_new("a", "r1", &mut done));
        assert_eq!(received.count(), 2);
        assert!(received.is_new("b", "r2", &mut done));
        assert_eq!((received.count(), received.oldest()), (2, Some(5)), "pulled is not durable");
        let marks = received.marks(&["a", "b"]);
        assert!(!received.is_new("a", "r3", &mut done));
        assert!(done.is_empty(), "it is not durable yet");
        let mut receipts = received.committed(&marks);
        receipts.sort();
        assert_eq!(receipts, ["r2", "r3"]);
        assert_eq!((received.count(), received.oldest()), (0, None));
        assert!(!received.is_new("b", "r4", &mut done));
        assert_eq!(done, ["r4"]);
        assert!(received.receipts().is_empty());
    }

    #[test]
    fn the_next_life_knows_the_last_appends() {
        let mut received = Received::default();
        let mut stored = BTreeMap::new();
        for id in 0..300 {
            let id = format!("m{id}");
            assert!(received.is_new(&id, "r", &mut Vec::new()));
            stored.extend(received.marks(&[&id]).into_iter().map(|mark| (mark.partition, mark.position)));
        }
        let mut next = Received::stored(&stored);
        let mut done = Vec::new();
        for id in 44..300 {
            assert!(!next.is_new(&format!("m{id}"), "r", &mut done), "{id}");
        }
        assert_eq!(done.len(), 256);
        assert!(next.is_new("m43", "r", &mut done));
        assert_eq!(next.marks(&["m43"])[0].position, "301");
    }
}
