//! Who gets what.

use std::cell::Cell;
use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::Arc;

use super::incoming::Result;
use super::message::Message;
use super::session::Delivery;
use super::state::State;
use crate::topic::{check_filter, split_shared};
use crate::wire::{
    DisconnectReasonCode, Packet, Qos, RetainHandling, Suback, SubackReasonCode, Subscribe,
    SubscriptionOptions, Text, Unsuback, UnsubackReasonCode, Unsubscribe,
};

/// Those who share a subscription, or the one who has it.
pub(super) enum Subscriber {
    One(Subscription),
    Group { name: Text, members: Vec<Subscription>, turn: Cell<usize> },
}

/// What one session wants of a filter.
pub(super) struct Subscription {
    session: u64,
    options: SubscriptionOptions,
    id: Option<NonZeroU32>,
}

/// What one session gets of a message.
struct Share {
    qos: Qos,
    retain: bool,
    ids: Vec<NonZeroU32>,
}

impl State {
    /// SUBSCRIBE: all filters of it, then their retained messages.
    pub fn subscribe(&mut self, number: u64, subscribe: Subscribe) -> Result<()> {
        let mut reasons = Vec::with_capacity(subscribe.filters.len());
        let mut kept = Vec::new();
        for (filter, options) in subscribe.filters {
            let answer = self.subscribe_one(number, &filter, options, subscribe.id)?;
            let (reason, is_new) = match answer {
                Ok(is_new) => (granted(options.qos), is_new),
                Err(reason) => (reason, false),
            };
            let wants_kept = match options.retain_handling {
                RetainHandling::SendRetained => true,
                RetainHandling::SendRetainedIfNotExists => is_new,
                RetainHandling::DoNotSendRetained => false,
            };
            if answer.is_ok() && wants_kept && split_shared(&filter).is_none() {
                kept.push((filter, options));
            }
            reasons.push(reason);
        }
        let Some(session) = self.sessions.get_mut(&number) else { return Ok(()) };
        let ack = Suback { packet_id: subscribe.packet_id, reasons };
        session.outgoing.replies.push_back(Packet::Suback(ack));
        let now = self.world.clock.monotonic();
        for (filter, options) in kept {
            for message in self.retained.matching(&filter, now) {
                let delivery = Delivery {
                    qos: message.qos.min(options.qos),
                    message,
                    retain: true,
                    subscription_ids: subscribe.id.into_iter().collect(),
                    number: 0,
                };
                let notes = &mut self.ledger.of(session.kept());
                let has_room =
                    session.outgoing.push(delivery, &session.client, &self.options, (notes, &self.world));
                self.figures.dropped += u64::from(!has_room);
            }
        }
        Ok(())
    }

    /// Answers whether the subscription is a new one, or why there is none.
    pub(super) fn subscribe_one(
        &mut self,
        number: u64,
        filter: &Text,
        options: SubscriptionOptions,
        id: Option<NonZeroU32>,
    ) -> Result<std::result::Result<bool, SubackReasonCode>> {
        let Some(session) = self.sessions.get_mut(&number) else { return Ok(Ok(false)) };
        let (group, plain) = match split_shared(filter) {
            None => (None, &**filter),
            Some(Ok((group, plain))) => (Some(group), plain),
            Some(Err(_)) => return Ok(Err(SubackReasonCode::TopicFilterInvalid)),
        };
        if check_filter(plain).is_err() {
            return Ok(Err(SubackReasonCode::TopicFilterInvalid));
        }
        if group.is_some() && options.no_local {
            return Err(DisconnectReasonCode::ProtocolError);
        }
        if !session.rights.may_subscribe(plain) {
            return Ok(Err(SubackReasonCode::NotAuthorized));
        }
        let is_new = session.filters.insert(filter.clone());
        self.ledger.of(session.kept()).subscribed(filter, options, id);
        let subscription = Subscription { session: number, options, id };
        let subscribers = self.subscriptions.entry(plain);
        match group {
            None => match subscribers.iter_mut().find_map(|one| one.only(number)) {
                Some(known) => *known = subscription,
                None => subscribers.push(Subscriber::One(subscription)),
            },
            Some(group) => match subscribers.iter_mut().find_map(|one| one.members(group)) {
                Some(members) => {
                    members.retain(|member| member.session != number);
                    members.push(subscription);
                }
                None => subscribers.push(Subscriber::Group {
                    name: group.into(),
                    members: vec![subscription],
                    turn: Cell::new(0),
                }),
            },
        }
        Ok(Ok(is_new))
    }

    /// UNSUBSCRIBE.
    pub fn unsubscribe(&mut self, number: u64, unsubscribe: Unsubscribe) {
        let mut reasons = Vec::with_capacity(unsubscribe.filters.len());
        for filter in unsubscribe.filters {
            let session = self.sessions.get_mut(&number);
            let session = session.filter(|session| session.filters.contains(&filter));
            let known = session.is_some();
            if let Some(session) = session {
                session.filters.remove(&filter);
                self.ledger.of(session.kept()).unsubscribed(&filter);
                self.unsubscribe_one(number, &filter);
            }
            reasons.push(match known {
                true => UnsubackReasonCode::Success,
                false => UnsubackReasonCode::NoSubscriptionExisted,
            });
        }
        let ack = Unsuback { packet_id: unsubscribe.packet_id, reasons };
        if let Some(session) = self.sessions.get_mut(&number) {
            session.outgoing.replies.push_back(Packet::Unsuback(ack));
        }
    }

    /// Takes one subscription out of the tree.
    pub fn unsubscribe_one(&mut self, number: u64, filter: &str) {
        match split_shared(filter) {
            None => self.subscriptions.remove(filter, &mut |one| one.only(number).is_some()),
            Some(Ok((group, plain))) => self.subscriptions.remove(plain, &mut |one| {
                let Some(members) = one.members(group) else { return false };
                members.retain(|member| member.session != number);
                members.is_empty()
            }),
            Some(Err(_)) => {}
        }
    }

    /// Gives a message to all who want it, and keeps it if it is to be kept. A session with several subscriptions that match gets it once,
    /// with the highest QoS of them.
    pub fn route(&mut self, message: &Arc<Message>, from: Option<u64>) {
        if message.retain {
            match self.retained.keep(message, self.options.retained_max) {
                true => self.ledger.retained(message, &self.world),
                false => {
                    tracing::warn!(topic = &*message.topic, "a message is not retained: there is no room");
                }
            }
        }
        let mut shares: HashMap<u64, Share> = HashMap::new();
        let sessions = &self.sessions;
        let is_connected = |number: u64| sessions.get(&number).is_some_and(|session| session.link.is_some());
        self.subscriptions.matching(&message.topic, &mut |subscriber| {
            let Some(subscription) = subscriber.choose(&is_connected) else { return };
            if subscription.options.no_local && from == Some(subscription.session) {
                return;
            }
            let qos = message.qos.min(subscription.options.qos);
            let retain = message.retain && subscription.options.retain_as_published;
            let share = shares.entry(subscription.session);
            let share = share.or_insert_with(|| Share { qos, retain, ids: Vec::new() });
            share.qos = share.qos.max(qos);
            share.retain |= retain;
            share.ids.extend(subscription.id);
        });
        for (number, share) in shares {
            let Some(session) = self.sessions.get_mut(&number) else { continue };
            // What is sent at most once does not wait for somebody to come back.
            if session.link.is_none() && share.qos == Qos::AtMostOnce {
                continue;
            }
            let Share { qos, retain, ids } = share;
            let message = Arc::clone(message);
            let delivery = Delivery { message, qos, retain, subscription_ids: ids, number: 0 };
            let notes = &mut self.ledger.of(session.kept());
            let has_room =
                session.outgoing.push(delivery, &session.client, &self.options, (notes, &self.world));
            self.figures.dropped += u64::from(!has_room);
            if let Some(link) = &session.link {
                link.wake.notify_one();
            }
        }
    }
}

impl Subscriber {
    /// The subscription, if this session alone has it.
    fn only(&mut self, session: u64) -> Option<&mut Subscription> {
        match self {
            Self::One(subscription) if subscription.session == session => Some(subscription),
            _ => None,
        }
    }

    /// The members, if this is the group of that name.
    fn members(&mut self, group: &str) -> Option<&mut Vec<Subscription>> {
        match self {
            Self::Group { name, members, .. } if **name == *group => Some(members),
            _ => None,
        }
    }

    /// Whose turn it is: in a group the next member that is connected, or else the next.
    fn choose(&self, is_connected: &impl Fn(u64) -> bool) -> Option<&Subscription> {
        let (members, turn) = match self {
            Self::One(subscription) => return Some(subscription),
            Self::Group { members, turn, .. } => (members, turn),
        };
        let first = turn.get();
        turn.set(first.wrapping_add(1));
        let at = |step: usize| members.get(first.wrapping_add(step) % members.len().max(1));
        let connected = (0..members.len()).filter_map(at).find(|member| is_connected(member.session));
        connected.or_else(|| at(0))
    }
}

fn granted(qos: Qos) -> SubackReasonCode {
    match qos {
        Qos::AtMostOnce => SubackReasonCode::GrantedQos0,
        Qos::AtLeastOnce => SubackReasonCode::GrantedQos1,
        Qos::ExactlyOnce => SubackReasonCode::GrantedQos2,
    }
}
