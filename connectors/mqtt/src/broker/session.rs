//! What is known of one client, connected or not.

use std::collections::{HashMap, HashSet, VecDeque};
use std::num::{NonZeroU16, NonZeroU32};
use std::sync::Arc;
use std::time::Duration;

use headwater_core::World;
use mqtt_protocol_core::mqtt::packet::{MessageExpiryInterval, SubscriptionIdentifier};
use tokio::sync::Notify;

use super::access::Rights;
use super::ledger::Notes;
use super::message::Message;
use super::options::BrokerOptions;
use crate::wire::{DisconnectReasonCode, Packet, Property, Publish, Qos, Text, Will};

/// What is known of one client, connected or not.
pub(super) struct Session {
    pub client: Text,
    pub rights: Arc<Rights>,
    pub link: Option<Link>,
    /// How long it lives without a connection.
    pub expiry: Duration,
    /// When it ends, if it has no connection.
    pub expires_at: Option<Duration>,
    /// What is published if the connection ends without a word.
    pub will: Option<Will>,
    /// When the will is published, once the connection has ended.
    pub will_at: Option<Duration>,
    /// The filters that it has subscribed to.
    pub filters: HashSet<Text>,
    pub incoming: Incoming,
    pub outgoing: Outbox,
    /// Whether a store knows of it.
    pub is_kept: bool,
    /// The change that must be durable before anything more is said to the client.
    pub waits_for: u64,
    /// It has ended, and waits for what it published to be recorded.
    pub is_over: bool,
}

/// A session's connection.
pub(super) struct Link {
    pub number: u64,
    pub wake: Arc<Notify>,
    /// How many publications the client takes before it acknowledges.
    pub receive_max: usize,
    /// The topics that the client has given a number to.
    pub aliases: HashMap<u16, Text>,
    /// The last thing that is said; then the connection is closed.
    pub closing: Option<DisconnectReasonCode>,
    /// Whether the version has reasons in its acknowledgements.
    pub has_reasons: bool,
    /// The recorder that the client is too fast for.
    pub held_by: Option<String>,
}

/// What a client has published and not been told the end of.
#[derive(Default)]
pub(super) struct Incoming {
    /// In order; the number of the first is `first`.
    pub pending: VecDeque<Pending>,
    pub first: u64,
    /// Of QoS 2: those that PUBREC was said to, and that are not released.
    pub received: HashSet<NonZeroU16>,
}

/// A publication that is not acknowledged.
pub(super) struct Pending {
    pub id: NonZeroU16,
    pub message: Arc<Message>,
    /// How many recorders have not said yet that it is durable.
    pub recorders: usize,
}

impl Incoming {
    /// Whether a packet id is in use for a publication that is not acknowledged.
    pub fn is_pending(&self, id: NonZeroU16) -> bool {
        self.pending.iter().any(|pending| pending.id == id)
    }

    /// How many publications the client has under way.
    pub fn len(&self) -> usize {
        self.pending.len() + self.received.len()
    }

    /// A recorder has made the publication of this number durable.
    pub fn recorded(&mut self, number: u64) {
        let at = number.checked_sub(self.first).and_then(|at| usize::try_from(at).ok());
        if let Some(pending) = at.and_then(|at| self.pending.get_mut(at)) {
            pending.recorders = pending.recorders.saturating_sub(1);
        }
    }

    /// The next publication that is to be acknowledged.
    pub fn settled(&mut self) -> Option<Pending> {
        if self.pending.front()?.recorders > 0 {
            return None;
        }
        self.first += 1;
        self.pending.pop_front()
    }
}

/// What waits for a client.
#[derive(Default)]
pub(super) struct Outbox {
    /// Answers, before all else.
    pub replies: VecDeque<Packet>,
    pub(super) queue: VecDeque<Delivery>,
    pub(super) queue_bytes: usize,
    /// Sent with a packet id and not acknowledged, in the order of sending.
    pub(super) in_flight: VecDeque<InFlight>,
    /// The number of the last message that came.
    pub(super) last_number: u64,
    last_id: u16,
    /// How many messages were skipped since the queue was full.
    skipped: u64,
}

/// A message for one client.
pub(super) struct Delivery {
    pub message: Arc<Message>,
    pub qos: Qos,
    pub retain: bool,
    pub subscription_ids: Vec<NonZeroU32>,
    /// Which one it is of the client's messages; given when it gets to wait.
    pub number: u64,
}

/// A message that is sent and not acknowledged.
pub(super) struct InFlight {
    pub id: NonZeroU16,
    pub number: u64,
    /// `None` once the client has it, and only the release is to be acknowledged.
    pub delivery: Option<Delivery>,
}

impl Outbox {
    /// Puts a message in the queue, or skips it if the queue is full. Whether there was room.
    pub fn push(
        &mut self,
        mut delivery: Delivery,
        client: &str,
        options: &BrokerOptions,
        (notes, world): (&mut Notes<'_>, &World),
    ) -> bool {
        let size = delivery.message.size();
        let is_full = self.queue.len() >= options.queue_messages_max
            || self.queue_bytes + size > options.queue_bytes_max;
        if is_full {
            self.skipped += 1;
            if self.skipped.is_power_of_two() {
                let skipped = self.skipped;
                tracing::warn!(client, skipped, "messages are skipped: the subscriber does not keep up");
            }
            return false;
        }
        self.skipped = 0;
        self.queue_bytes += size;
        self.last_number += 1;
        delivery.number = self.last_number;
        if delivery.qos != Qos::AtMostOnce {
            notes.waits(delivery.number, &delivery, world);
        }
        self.queue.push_back(delivery);
        true
    }

    /// The next message that may be sent now, as a packet; `receive_max` bounds those under way.
    pub fn pop(&mut self, now: Duration, receive_max: usize, notes: &mut Notes<'_>) -> Option<Packet> {
        loop {
            let next = self.queue.front()?;
            if next.qos != Qos::AtMostOnce && self.in_flight.len() >= receive_max {
                return None;
            }
            let delivery = self.queue.pop_front()?;
            self.queue_bytes -= delivery.message.size();
            if delivery.message.is_expired(now) {
                if delivery.qos != Qos::AtMostOnce {
                    notes.done(delivery.number);
                }
                continue;
            }
            if delivery.qos == Qos::AtMostOnce {
                return Some(packet(&delivery, None, false, now));
            }
            let id = self.free_id()?;
            let (packet, number) = (packet(&delivery, Some(id), false, now), delivery.number);
            notes.sent(number, id);
            self.in_flight.push_back(InFlight { id, number, delivery: Some(delivery) });
            return Some(packet);
        }
    }

    /// A packet id that is not in use. There are fewer in flight than there are ids.
    fn free_id(&mut self) -> Option<NonZeroU16> {
        for _ in 0..=u16::MAX {
            self.last_id = self.last_id.wrapping_add(1);
            let id = NonZeroU16::new(self.last_id);
            if id.is_some_and(|id| self.in_flight.iter().all(|one| one.id != id)) {
                return id;
            }
        }
        None
    }

    /// The client has acknowledged the end of a publication.
    pub fn acknowledged(&mut self, id: NonZeroU16, notes: &mut Notes<'_>) {
        let at = self.in_flight.iter().position(|one| one.id == id);
        if let Some(done) = at.and_then(|at| self.in_flight.remove(at)) {
            notes.done(done.number);
        }
    }

    /// The client has received a publication of QoS 2; whether it was under way.
    pub fn received(&mut self, id: NonZeroU16, notes: &mut Notes<'_>) -> bool {
        let Some(one) = self.in_flight.iter_mut().find(|one| one.id == id) else { return false };
        if one.delivery.take().is_some() {
            notes.arrived(one.number);
        }
        true
    }

    /// What was under way when the connection was lost, to be said again: publications, and releases by their ids.
    pub fn again(&self, now: Duration) -> Vec<Result<Packet, NonZeroU16>> {
        let again = |one: &InFlight| match &one.delivery {
            Some(delivery) => Ok(packet(delivery, Some(one.id), true, now)),
            None => Err(one.id),
        };
        self.in_flight.iter().map(again).collect()
    }

    /// Drops what is sent at most once, and answers: the client is gone.
    pub fn lost(&mut self) {
        self.replies.clear();
        self.queue.retain(|delivery| delivery.qos != Qos::AtMostOnce);
        self.queue_bytes = self.queue.iter().map(|delivery| delivery.message.size()).sum();
    }
}

fn packet(delivery: &Delivery, id: Option<NonZeroU16>, dup: bool, now: Duration) -> Packet {
    let message = &delivery.message;
    let mut properties = message.properties.clone();
    let left = message.seconds_left(now).and_then(|seconds| MessageExpiryInterval::new(seconds).ok());
    properties.extend(left.map(Property::from));
    let ids = delivery.subscription_ids.iter().filter_map(|id| SubscriptionIdentifier::new(id.get()).ok());
    properties.extend(ids.map(Property::from));
    let publish = Publish {
        dup,
        retain: delivery.retain,
        qos: delivery.qos,
        topic: message.topic.clone(),
        packet_id: id,
        payload: message.payload.clone(),
        properties,
    };
    Packet::Publish(Box::new(publish))
}
