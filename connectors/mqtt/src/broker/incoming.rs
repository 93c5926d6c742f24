//! What clients say.

use std::num::NonZeroU16;
use std::sync::Arc;

use super::ledger::{Notes, OWN_TOPICS};
use super::message::Message;
use super::options::BrokerOptions;
use super::recorder::Ticket;
use super::session::{Pending, Session};
use super::state::State;
use crate::topic::check_topic;
use crate::wire::{
    Acknowledgement, DisconnectReasonCode, Packet, Property, PubackReasonCode, Publish, PubrelReasonCode,
    Qos, Release,
};

/// The connection ends with this reason.
pub(super) type Result<T, E = DisconnectReasonCode> = std::result::Result<T, E>;

impl State {
    /// Takes a packet of a session's client.
    pub fn receive(&mut self, number: u64, packet: Packet) -> Result<()> {
        let noted = self.ledger.noted();
        let received = self.received_packet(number, packet);
        self.hold(number, noted);
        received
    }

    /// Lets a session's client wait for what was noted since.
    pub fn hold(&mut self, number: u64, noted: u64) {
        if self.ledger.noted() > noted
            && let Some(session) = self.sessions.get_mut(&number)
        {
            session.waits_for = self.ledger.noted();
        }
    }

    fn received_packet(&mut self, number: u64, packet: Packet) -> Result<()> {
        match packet {
            Packet::Publish(publish) => self.publish(number, *publish),
            Packet::Puback(ack) => {
                self.with(number, |session, notes| session.outgoing.acknowledged(ack.packet_id, notes));
                Ok(())
            }
            Packet::Pubrec(ack) => {
                self.received(number, &ack);
                Ok(())
            }
            Packet::Pubrel(ack) => {
                self.released(number, ack.packet_id);
                Ok(())
            }
            Packet::Pubcomp(ack) => {
                self.with(number, |session, notes| session.outgoing.acknowledged(ack.packet_id, notes));
                Ok(())
            }
            Packet::Subscribe(subscribe) => self.subscribe(number, subscribe),
            Packet::Unsubscribe(unsubscribe) => {
                self.unsubscribe(number, unsubscribe);
                Ok(())
            }
            Packet::Pingreq => {
                self.with(number, |session, _| session.outgoing.replies.push_back(Packet::Pingresp));
                Ok(())
            }
            Packet::Disconnect(goodbye) => self.goodbye(number, goodbye.reason, goodbye.session_expiry),
            // A second CONNECT, an AUTH that nobody asked for, or what only servers say.
            Packet::Connect(_)
            | Packet::Auth
            | Packet::Connack(_)
            | Packet::Suback(_)
            | Packet::Unsuback(_)
            | Packet::Pingresp => Err(DisconnectReasonCode::ProtocolError),
        }
    }

    fn with(&mut self, number: u64, change: impl FnOnce(&mut Session, &mut Notes<'_>)) {
        if let Some(session) = self.sessions.get_mut(&number) {
            let mut notes = self.ledger.of(session.kept());
            change(session, &mut notes);
        }
    }

    fn publish(&mut self, number: u64, mut publish: Publish) -> Result<()> {
        let in_flight_max = usize::from(self.options.in_flight_max);
        let Some(session) = self.sessions.get_mut(&number) else { return Ok(()) };
        resolve_alias(session, &mut publish)?;
        check_topic(&publish.topic).map_err(|_| DisconnectReasonCode::TopicNameInvalid)?;
        let id = publish.packet_id;
        // What is on its way already is not taken twice: its answer will come.
        if let Some(id) = id {
            if session.incoming.is_pending(id) {
                return Ok(());
            }
            if publish.qos == Qos::ExactlyOnce && session.incoming.received.contains(&id) {
                session.outgoing.replies.push_back(Packet::Pubrec(Acknowledgement::success(id)));
                return Ok(());
            }
            // Before version 5 nobody told the client how many it may have under way.
            let knows = session.link.as_ref().is_some_and(|link| link.has_reasons);
            if knows && session.incoming.len() >= in_flight_max {
                return Err(DisconnectReasonCode::ReceiveMaximumExceeded);
            }
        }
        self.figures.received += 1;
        if !session.rights.may_publish(&publish.topic) || publish.topic.starts_with(OWN_TOPICS) {
            tracing::info!(
                client = &*session.client,
                topic = &*publish.topic,
                "a publication is not allowed"
            );
            return self.refuse_publication(number, publish.qos, id);
        }
        let message = Arc::new(Message::new(publish, session.client.clone(), &self.world));
        let Some(id) = id else {
            self.record(&message, None, Some(number));
            self.route(&message, Some(number));
            return Ok(());
        };
        let place = session.incoming.first + session.incoming.pending.len() as u64;
        let ticket = Ticket::Publication { session: number, number: place };
        let recorders = self.record(&message, Some(ticket), Some(number));
        self.with(number, |session, _| {
            session.incoming.pending.push_back(Pending { id, message, recorders })
        });
        self.settle(number);
        Ok(())
    }

    /// Version 5 has a reason for each publication; before, the only way to say no was to hang up.
    fn refuse_publication(&mut self, number: u64, qos: Qos, id: Option<NonZeroU16>) -> Result<()> {
        let Some(session) = self.sessions.get_mut(&number) else { return Ok(()) };
        let reason = PubackReasonCode::NotAuthorized;
        match id {
            _ if !session.link.as_ref().is_some_and(|link| link.has_reasons) => {
                return Err(DisconnectReasonCode::NotAuthorized);
            }
            None => {}
            Some(id) if qos == Qos::ExactlyOnce => {
                session.outgoing.replies.push_back(Packet::Pubrec(Acknowledgement { packet_id: id, reason }));
            }
            Some(id) => {
                session.outgoing.replies.push_back(Packet::Puback(Acknowledgement { packet_id: id, reason }));
            }
        }
        Ok(())
    }

    /// Hands a message to the recorders that want it. Answers how many they are.
    pub fn record(&mut self, message: &Arc<Message>, ticket: Option<Ticket>, from: Option<u64>) -> usize {
        let mut wanted = 0;
        let mut held_by = None;
        for recorder in &mut self.recorders {
            if recorder.wants(&message.topic) {
                recorder.push(Arc::clone(message), ticket);
                wanted += 1;
                if let Some(from) = from
                    && recorder.is_full(&self.options)
                {
                    recorder.held.push(from);
                    held_by = Some(recorder.name.clone());
                }
            }
        }
        if let Some(held_by) = held_by
            && let Some(link) =
                from.and_then(|from| self.sessions.get_mut(&from)).and_then(|session| session.link.as_mut())
        {
            link.held_by = Some(held_by);
        }
        wanted
    }

    /// Routes and acknowledges what is durable, in order.
    pub fn settle(&mut self, number: u64) {
        let noted = self.ledger.noted();
        while let Some(settled) =
            self.sessions.get_mut(&number).and_then(|session| session.incoming.settled())
        {
            self.route(&settled.message, Some(number));
            let Some(session) = self.sessions.get_mut(&number) else { return };
            let id = settled.id;
            let answer = match settled.message.qos {
                Qos::ExactlyOnce => {
                    session.incoming.received.insert(id);
                    self.ledger.of(session.kept()).received(id);
                    Packet::Pubrec(Acknowledgement::success(id))
                }
                _ => Packet::Puback(Acknowledgement::success(id)),
            };
            // Without a connection there is nobody to tell: the client will ask again.
            if let Some(link) = &session.link {
                session.outgoing.replies.push_back(answer);
                link.wake.notify_one();
            }
        }
        self.hold(number, noted);
        let session = self.sessions.get(&number);
        if session.is_some_and(|session| session.is_over && session.incoming.pending.is_empty()) {
            self.sessions.remove(&number);
        }
    }

    /// Publishes what no client has.
    pub fn publish_from_inside(&mut self, message: Arc<Message>) {
        self.record(&message, None, None);
        self.route(&message, None);
    }

    /// PUBREC: the client has a message of QoS 2, or does not want it.
    fn received(&mut self, number: u64, said: &Acknowledgement) {
        self.with(number, |session, notes| {
            if said.reason.is_failure() {
                return session.outgoing.acknowledged(said.packet_id, notes);
            }
            let reason = match session.outgoing.received(said.packet_id, notes) {
                true => PubrelReasonCode::Success,
                false => PubrelReasonCode::PacketIdentifierNotFound,
            };
            session.outgoing.replies.push_back(Packet::Pubrel(Release { packet_id: said.packet_id, reason }));
        });
    }

    /// PUBREL: the client will not send that message again.
    fn released(&mut self, number: u64, id: NonZeroU16) {
        self.with(number, |session, notes| {
            notes.released(id);
            let reason = match session.incoming.received.remove(&id) {
                true => PubrelReasonCode::Success,
                false => PubrelReasonCode::PacketIdentifierNotFound,
            };
            session.outgoing.replies.push_back(Packet::Pubcomp(Release { packet_id: id, reason }));
        });
    }
}

/// Puts the topic in the place of its number.
fn resolve_alias(session: &mut Session, publish: &mut Publish) -> Result<()> {
    let alias = publish.properties.iter().find_map(|property| match property {
        Property::TopicAlias(alias) => Some(alias.val()),
        _ => None,
    });
    let Some(alias) = alias else { return Ok(()) };
    let Some(link) = &mut session.link else { return Ok(()) };
    if alias > BrokerOptions::TOPIC_ALIASES_MAX {
        return Err(DisconnectReasonCode::TopicAliasInvalid);
    }
    if publish.topic.is_empty() {
        let known = link.aliases.get(&alias).ok_or(DisconnectReasonCode::ProtocolError)?;
        publish.topic = known.clone();
    } else {
        link.aliases.insert(alias, publish.topic.clone());
    }
    Ok(())
}
