//! What waits to be sent to one peer: bounded, so that a peer that reads slowly costs nobody else anything.
//!
//! Events beyond the bound are skipped, or the peer is cut off, as the policy says. Answers are never skipped: a peer that lets them
//! pile up to four times the bound is cut off whatever the policy. Its own requests are not read while more than half is
//! full, so that only those are cut that do not read at all.

use std::collections::VecDeque;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::Instant;

/// What happens to an event for which there is no room.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum WhenFull {
    /// The event is skipped and counted; the peer goes on.
    #[default]
    Skip,
    /// The peer is cut off, so that it notices.
    Cut,
}

/// How much may wait for one peer.
#[derive(Debug, Clone, Copy)]
pub struct MailboxOptions {
    /// How many bytes of messages.
    pub bytes_max: usize,
    /// How many messages.
    pub messages_max: usize,
    /// What happens to an event for which there is no room.
    pub when_full: WhenFull,
}

impl Default for MailboxOptions {
    fn default() -> Self {
        Self { bytes_max: 4 << 20, messages_max: 16_384, when_full: WhenFull::Skip }
    }
}

/// How far answers may go beyond the bound.
const ANSWERS_FACTOR: usize = 4;

/// What waits to be sent to one peer.
#[derive(Debug, Default)]
pub struct Mailbox {
    options: MailboxOptions,
    inner: Mutex<Inner>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct Inner {
    waiting: VecDeque<Bytes>,
    /// When the first of them came.
    since: Option<Instant>,
    bytes: usize,
    skipped: u64,
    state: State,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum State {
    #[default]
    Open,
    /// The router has said goodbye; nothing may follow.
    Parting,
    /// The peer is to be cut off without a further word.
    Cut,
}

impl Mailbox {
    /// An empty mailbox.
    pub fn new(options: MailboxOptions) -> Self {
        Self { options, inner: Mutex::default(), changed: Notify::new() }
    }

    /// Adds an event, if there is room. Whether its owner has to be woken for it, which can wait until more events are there.
    #[must_use]
    pub fn event(&self, message: Bytes) -> bool {
        let mut inner = self.inner.lock();
        if inner.state != State::Open {
            return false;
        }
        let has_room = inner.bytes + message.len() <= self.options.bytes_max
            && inner.waiting.len() < self.options.messages_max;
        // A single event larger than all the room there is goes if nothing else waits.
        if !has_room && !inner.waiting.is_empty() {
            inner.skipped += 1;
            if self.options.when_full == WhenFull::Skip {
                return false;
            }
            inner.cut();
            drop(inner);
            self.wake();
            return false;
        }
        let was_crowded = inner.is_crowded(&self.options);
        let is_first = inner.push(message);
        let is_crowded = !was_crowded && inner.is_crowded(&self.options);
        drop(inner);
        if is_crowded {
            // The room for what is to come is worth more than a write that is saved.
            self.wake();
        }
        is_first && !is_crowded
    }

    /// Adds an answer, and wakes the owner for it.
    pub fn answer(&self, message: Bytes) {
        let mut inner = self.inner.lock();
        if inner.state != State::Open {
            return;
        }
        if inner.bytes > ANSWERS_FACTOR * self.options.bytes_max
            || inner.waiting.len() >= ANSWERS_FACTOR * self.options.messages_max
        {
            inner.cut();
            drop(inner);
            return self.wake();
        }
        self.add(inner, message);
    }

    /// Adds the router's last word.
    pub fn goodbye(&self, message: Bytes) {
        let mut inner = self.inner.lock();
        if inner.state == State::Open {
            inner.state = State::Parting;
            self.add(inner, message);
        }
    }

    /// Opens again after a goodbye, for the next session on the same transport.
    pub fn reopen(&self) {
        let mut inner = self.inner.lock();
        if inner.state == State::Parting {
            inner.state = State::Open;
        }
    }

    fn add(&self, mut inner: parking_lot::MutexGuard<'_, Inner>, message: Bytes) {
        let is_first = inner.push(message);
        drop(inner);
        if is_first {
            self.wake();
        }
    }

    /// Wakes whoever waits for a change, or spares the next one the wait.
    pub(super) fn wake(&self) {
        self.changed.notify_one();
    }

    /// How many messages wait, and since when the first of them does.
    pub fn waiting(&self) -> (usize, Option<Instant>) {
        let inner = self.inner.lock();
        (inner.waiting.len(), inner.since.filter(|_| !inner.waiting.is_empty()))
    }

    /// Takes all that waits.
    pub fn take(&self, into: &mut VecDeque<Bytes>) {
        let mut inner = self.inner.lock();
        inner.bytes = 0;
        if into.is_empty() {
            std::mem::swap(&mut inner.waiting, into);
        } else {
            into.append(&mut inner.waiting);
        }
    }

    /// Waits until something was added, or the peer is to be cut off.
    pub async fn changed(&self) {
        self.changed.notified().await;
    }

    /// Whether so much waits that the peer's requests should wait, too.
    pub fn is_crowded(&self) -> bool {
        self.inner.lock().is_crowded(&self.options)
    }

    /// Whether the peer is to be cut off.
    pub fn is_cut(&self) -> bool {
        self.inner.lock().state == State::Cut
    }

    /// Whether the router has said goodbye.
    pub fn is_parting(&self) -> bool {
        self.inner.lock().state == State::Parting
    }

    /// How many events were skipped because there was no room.
    pub fn skipped(&self) -> u64 {
        self.inner.lock().skipped
    }
}

impl Inner {
    /// Adds a message. Whether it is the only one: whoever takes takes all, so later ones need no second call.
    fn push(&mut self, message: Bytes) -> bool {
        if self.waiting.is_empty() {
            self.since = Some(Instant::now());
        }
        self.bytes += message.len();
        self.waiting.push_back(message);
        self.waiting.len() == 1
    }

    fn is_crowded(&self, options: &MailboxOptions) -> bool {
        self.bytes > options.bytes_max / 2 || self.waiting.len() > options.messages_max / 2
    }

    fn cut(&mut self) {
        self.state = State::Cut;
        self.waiting = VecDeque::new();
        self.bytes = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mailbox(when_full: WhenFull) -> Mailbox {
        Mailbox::new(MailboxOptions { bytes_max: 10, messages_max: 3, when_full })
    }

    fn waiting(mailbox: &Mailbox) -> usize {
        let mut all = VecDeque::new();
        mailbox.take(&mut all);
        all.len()
    }

    #[test]
    fn events_beyond_the_bound_are_skipped() {
        let mailbox = mailbox(WhenFull::Skip);
        for _ in 0..5 {
            let _ = mailbox.event(Bytes::from_static(b"1234"));
        }
        assert_eq!(mailbox.skipped(), 3);
        assert!(mailbox.is_crowded() && !mailbox.is_cut());
        assert_eq!(waiting(&mailbox), 2);
        let _ = mailbox.event(Bytes::from_static(b"larger than the bound"));
        assert_eq!((waiting(&mailbox), mailbox.skipped()), (1, 3));
    }

    #[test]
    fn by_the_other_policy_the_peer_is_cut_off() {
        let mailbox = mailbox(WhenFull::Cut);
        for _ in 0..3 {
            let _ = mailbox.event(Bytes::from_static(b"1234"));
        }
        assert!(mailbox.is_cut());
        assert_eq!(waiting(&mailbox), 0);
    }

    #[test]
    fn answers_have_more_room_but_not_any_amount() {
        let mailbox = mailbox(WhenFull::Skip);
        for _ in 0..12 {
            mailbox.answer(Bytes::from_static(b"1"));
        }
        assert!(!mailbox.is_cut());
        mailbox.answer(Bytes::from_static(b"1"));
        assert!(mailbox.is_cut());
    }

    #[test]
    fn nothing_follows_a_goodbye_until_the_next_session() {
        let mailbox = mailbox(WhenFull::Skip);
        mailbox.goodbye(Bytes::from_static(b"bye"));
        assert!(!mailbox.event(Bytes::from_static(b"1")));
        mailbox.answer(Bytes::from_static(b"1"));
        assert!(mailbox.is_parting());
        assert_eq!(waiting(&mailbox), 1);
        mailbox.reopen();
        mailbox.answer(Bytes::from_static(b"1"));
        assert_eq!(waiting(&mailbox), 1);
    }
}
