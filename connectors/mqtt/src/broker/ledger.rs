//! What is to outlive the process, noted as it changes, and who has to wait until that is durable.
//!
//! Whatever a client hears may rest on a change: that a message is taken rests on its waiting for others, that it is released on its
//! number being known. So a session that has caused a change hears nothing more until the change is durable. One sync makes all
//! changes durable that were noted before it began.

use std::num::{NonZeroU16, NonZeroU32};
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf as _, BufMut as _, BytesMut};
use headwater_core::{EventTime, World};
use tokio::sync::Notify;

use super::message::Message;
use super::session::Delivery;
use crate::store::{Change, Key, Kind};
use crate::wire::{Packet, Publish, Qos, RetainHandling, SubscriptionOptions, Text, Version, Will, Wire};

/// Topics of the broker's own, which are published anew by themselves.
pub(super) const OWN_TOPICS: &str = "$SYS/";

/// Changes on their way to a store. Without a store nothing is noted and nobody waits.
#[derive(Default)]
pub(super) struct Ledger {
    is_open: bool,
    /// The store has failed: nothing may be said any more that rests on changes.
    pub is_broken: bool,
    changes: Vec<Change>,
    noted: u64,
    durable: u64,
    /// Sessions that wait, each with the change that it waits for.
    waiting: Vec<(u64, u64)>,
    /// Wakes whoever writes changes down.
    pub wake: Arc<Notify>,
    /// Wakes those who are no session and wait for changes to be durable, or for the store's failure.
    pub settled: Arc<Notify>,
}

impl Ledger {
    /// Changes are written down from now on.
    pub fn open(&mut self) {
        self.is_open = true;
    }

    /// How many changes were noted.
    pub fn noted(&self) -> u64 {
        self.noted
    }

    /// Whether the changes up to this one are durable.
    pub fn is_durable(&self, change: u64) -> bool {
        change <= self.durable
    }

    /// A session is to be woken when the changes up to this one are durable.
    pub fn wait(&mut self, session: u64, change: u64) {
        if !self.waiting.contains(&(session, change)) {
            self.waiting.push((session, change));
        }
    }

    /// The changes that nobody has taken, and which one is the last.
    pub fn take(&mut self) -> (Vec<Change>, u64) {
        (std::mem::take(&mut self.changes), self.noted)
    }

    /// The changes up to this one are durable; answers whom to wake.
    pub fn written(&mut self, change: u64) -> Vec<u64> {
        self.durable = change;
        self.settled.notify_waiters();
        let (done, waiting) =
            std::mem::take(&mut self.waiting).into_iter().partition(|(_, for_it)| *for_it <= change);
        self.waiting = waiting;
        let done: Vec<(u64, u64)> = done;
        done.into_iter().map(|(session, _)| session).collect()
    }

    /// What is kept of a client's session; nothing of one that ends with its connection.
    pub fn of(&mut self, client: Option<&Text>) -> Notes<'_> {
        Notes { client: client.cloned(), ledger: self }
    }

    /// A message is retained, or the topic's last one no longer.
    pub fn retained(&mut self, message: &Message, world: &World) {
        if message.topic.starts_with(OWN_TOPICS) {
            return;
        }
        let key = Key { client: "", kind: Kind::Retained, which: message.topic.as_bytes() }.write();
        match message.payload.is_empty() {
            true => self.note(Change::Remove(key)),
            false => self.note(Change::Put(key, write_message(message, world))),
        }
    }

    /// What is published when a client is gone without a word, and from when on, if it is gone and the will was put off; `None`: nothing
    /// any more. It is noted of every client, also of one whose session ends with its connection.
    pub fn will(&mut self, client: &str, will: Option<(&Will, Option<EventTime>)>) {
        let key = Key { client, kind: Kind::Will, which: b"" }.write();
        match will {
            None => self.note(Change::Remove(key)),
            Some((will, due)) => self.note(Change::Put(key, write_will(will, due))),
        }
    }

    /// A will was published as this number, and its row is not durable.
    pub fn unrecorded(&mut self, published: u64, message: &Message, world: &World) {
        if self.is_open {
            self.note(Change::Put(unrecorded_key(published), write_message(message, world)));
        }
    }

    /// The row of the will that was published as this number is durable.
    pub fn recorded(&mut self, published: u64) {
        self.note(Change::Remove(unrecorded_key(published)));
    }

    fn note(&mut self, change: Change) {
        if self.is_open {
            self.changes.push(change);
            self.noted += 1;
            self.wake.notify_one();
        }
    }
}

fn unrecorded_key(published: u64) -> Vec<u8> {
    Key { client: "", kind: Kind::Unrecorded, which: &published.to_be_bytes() }.write()
}

/// Notes about one client's session.
pub(super) struct Notes<'a> {
    ledger: &'a mut Ledger,
    client: Option<Text>,
}

impl Notes<'_> {
    fn put(&mut self, kind: Kind, which: &[u8], value: impl FnOnce() -> Vec<u8>) {
        if let Some(client) = self.client.as_ref().filter(|_| self.ledger.is_open) {
            self.ledger.note(Change::Put(Key { client, kind, which }.write(), value()));
        }
    }

    fn remove(&mut self, kind: Kind, which: &[u8]) {
        if let Some(client) = &self.client {
            self.ledger.note(Change::Remove(Key { client, kind, which }.write()));
        }
    }

    /// How long the session lives after its connection was lost, and when that was.
    pub fn session(&mut self, expiry: Duration, lost_at: Option<EventTime>) {
        self.put(Kind::Session, b"", || {
            let mut out = expiry.as_secs().to_le_bytes().to_vec();
            out.extend(lost_at.into_iter().flat_map(|at| at.0.to_le_bytes()));
            out
        });
    }

    /// The session is over.
    pub fn end(&mut self) {
        if let Some(client) = &self.client {
            self.ledger.note(Change::RemoveAll(Key::all_of(client)));
        }
    }

    /// The client has subscribed.
    pub fn subscribed(&mut self, filter: &str, options: SubscriptionOptions, id: Option<NonZeroU32>) {
        self.put(Kind::Filter, filter.as_bytes(), || {
            let SubscriptionOptions { qos, no_local, retain_as_published, retain_handling } = options;
            let mut out =
                vec![qos as u8, u8::from(no_local), u8::from(retain_as_published), retain_handling as u8];
            out.put_u32_le(id.map_or(0, NonZeroU32::get));
            out
        });
    }

    /// The client has unsubscribed.
    pub fn unsubscribed(&mut self, filter: &str) {
        self.remove(Kind::Filter, filter.as_bytes());
    }

    /// A message waits for the client.
    pub fn waits(&mut self, number: u64, delivery: &Delivery, world: &World) {
        self.put(Kind::Waiting, &number.to_be_bytes(), || {
            let mut out = vec![delivery.qos as u8, u8::from(delivery.retain)];
            out.put_u16_le(u16::try_from(delivery.subscription_ids.len()).unwrap_or(u16::MAX));
            delivery.subscription_ids.iter().for_each(|id| out.put_u32_le(id.get()));
            out.extend_from_slice(&write_message(&delivery.message, world));
            out
        });
    }

    /// A message is under way to the client, under this id.
    pub fn sent(&mut self, number: u64, id: NonZeroU16) {
        self.put(Kind::Sent, &number.to_be_bytes(), || id.get().to_le_bytes().to_vec());
    }

    /// The client has a message; only its release is still to be acknowledged.
    pub fn arrived(&mut self, number: u64) {
        self.remove(Kind::Waiting, &number.to_be_bytes());
    }

    /// Nothing is left to be done about a message.
    pub fn done(&mut self, number: u64) {
        self.remove(Kind::Waiting, &number.to_be_bytes());
        self.remove(Kind::Sent, &number.to_be_bytes());
    }

    /// The client was told that a message of QoS 2 is here.
    pub fn received(&mut self, id: NonZeroU16) {
        self.put(Kind::Received, &id.get().to_be_bytes(), Vec::new);
    }

    /// The client will not send that message again.
    pub fn released(&mut self, id: NonZeroU16) {
        self.remove(Kind::Received, &id.get().to_be_bytes());
    }
}

/// What [`Notes::session`] has written.
pub(super) fn read_session(mut value: &[u8]) -> Option<(Duration, Option<EventTime>)> {
    let expiry = Duration::from_secs(value.try_get_u64_le().ok()?);
    Some((expiry, value.try_get_i64_le().ok().map(EventTime)))
}

/// What [`Notes::subscribed`] has written.
pub(super) fn read_subscription(mut value: &[u8]) -> Option<(SubscriptionOptions, Option<NonZeroU32>)> {
    let qos = Qos::try_from(value.try_get_u8().ok()?).ok()?;
    let no_local = value.try_get_u8().ok()? == 1;
    let retain_as_published = value.try_get_u8().ok()? == 1;
    let retain_handling = RetainHandling::try_from(value.try_get_u8().ok()?).ok()?;
    let id = NonZeroU32::new(value.try_get_u32_le().ok()?);
    Some((SubscriptionOptions { qos, no_local, retain_as_published, retain_handling }, id))
}

/// What [`Notes::waits`] has written.
pub(super) fn read_delivery(mut value: &[u8], number: u64, world: &World) -> Option<Delivery> {
    let qos = Qos::try_from(value.try_get_u8().ok()?).ok()?;
    let retain = value.try_get_u8().ok()? == 1;
    let mut subscription_ids = Vec::new();
    for _ in 0..value.try_get_u16_le().ok()? {
        subscription_ids.extend(NonZeroU32::new(value.try_get_u32_le().ok()?));
    }
    let message = Arc::new(read_message(value, world)?);
    Some(Delivery { message, qos, retain, subscription_ids, number })
}

/// A message: when it came, when its time is over (0: never), whose it is, and itself as a packet.
fn write_message(message: &Message, world: &World) -> Vec<u8> {
    let mut out = Vec::new();
    out.put_i64_le(message.received.0);
    let now = world.clock.monotonic();
    let expires = message.expires.map(|at| world.clock.now().plus(at.saturating_sub(now)).0);
    out.put_i64_le(expires.unwrap_or(0));
    out.put_u16_le(u16::try_from(message.client.len()).unwrap_or(u16::MAX));
    out.extend_from_slice(message.client.as_bytes());
    write_packet(
        Publish {
            dup: false,
            qos: message.qos,
            retain: message.retain,
            topic: message.topic.clone(),
            packet_id: None,
            payload: message.payload.clone(),
            properties: message.properties.clone(),
        },
        &mut out,
    );
    out
}

fn write_packet(mut publish: Publish, out: &mut Vec<u8>) {
    publish.packet_id = (publish.qos != Qos::AtMostOnce).then_some(NonZeroU16::MIN);
    let mut packet = BytesMut::new();
    Version::V5.write(&Packet::Publish(Box::new(publish)), &mut packet, usize::MAX);
    out.extend_from_slice(&packet);
}

fn read_packet(packet: &[u8]) -> Option<Publish> {
    let mut wire = Wire::speaking(Version::V5, u32::MAX);
    match wire.read(&mut BytesMut::from(packet)) {
        Ok(Some(Packet::Publish(publish))) => Some(*publish),
        _ => None,
    }
}

/// A will: its delay in seconds, when it is due (0: its client is connected), and itself as a packet.
fn write_will(will: &Will, due: Option<EventTime>) -> Vec<u8> {
    let mut out = will.delay.to_le_bytes().to_vec();
    out.put_i64_le(due.map_or(0, |due| due.0));
    let Will { topic, payload, qos, retain, properties, delay: _ } = will.clone();
    let publish = Publish { dup: false, qos, retain, topic, packet_id: None, payload, properties };
    write_packet(publish, &mut out);
    out
}

/// What [`Ledger::will`] has written.
pub(super) fn read_will(mut value: &[u8]) -> Option<(Will, Option<EventTime>)> {
    let delay = value.try_get_u32_le().ok()?;
    let due = value.try_get_i64_le().ok().filter(|due| *due != 0).map(EventTime);
    let Publish { qos, retain, topic, payload, properties, .. } = read_packet(value)?;
    Some((Will { topic, payload, qos, retain, delay, properties }, due))
}

/// What [`write_message`] has written.
pub(super) fn read_message(mut value: &[u8], world: &World) -> Option<Message> {
    let received = EventTime(value.try_get_i64_le().ok()?);
    let expires = value.try_get_i64_le().ok().filter(|at| *at != 0);
    let length = usize::from(value.try_get_u16_le().ok()?);
    let (client, packet) = value.split_at_checked(length)?;
    let client = std::str::from_utf8(client).ok()?.into();
    let publish = read_packet(packet)?;
    let left =
        |at: i64| Duration::from_nanos(u64::try_from(at.saturating_sub(world.clock.now().0)).unwrap_or(0));
    let expires = expires.map(|at| world.clock.monotonic().saturating_add(left(at)));
    let mut message = Message::new(publish, client, world);
    message.received = received;
    message.expires = expires;
    Some(message)
}
