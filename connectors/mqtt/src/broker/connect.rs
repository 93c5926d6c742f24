//! How clients come in and go.

use std::collections::HashMap;
use std::num::NonZeroU16;
use std::sync::Arc;
use std::time::Duration;

use headwater_core::EventTime;
use mqtt_protocol_core::mqtt::packet::{
    AssignedClientIdentifier, MaximumPacketSize, ReceiveMaximum, ServerKeepAlive, SessionExpiryInterval,
    TopicAliasMaximum,
};
use tokio::sync::Notify;

use super::access::Rights;
use super::ledger::{Ledger, OWN_TOPICS};
use super::message::Message;
use super::options::BrokerOptions;
use super::recorder::Ticket;
use super::session::{Incoming, Link, Outbox, Session};
use super::state::State;
use crate::topic::check_topic;
use crate::wire::{
    Connack, Connect, ConnectReasonCode, DisconnectReasonCode, Packet, Property, Release, Text, Version, Will,
};

/// A client that came in.
pub(super) struct Entered {
    pub session: u64,
    pub link: u64,
    /// After how much silence it is given up.
    pub silence_max: Option<Duration>,
}

/// How a client is answered.
struct Answered {
    version: Version,
    /// It came without a name, and is told the one that it was given.
    is_nameless: bool,
}

impl State {
    /// Lets a client in: answers who it is, or why not, and puts CONNACK among what is said to it.
    pub fn connect(
        &mut self,
        mut connect: Connect,
        version: Version,
        wake: Arc<Notify>,
    ) -> Result<Entered, ConnectReasonCode> {
        if self.is_closed {
            return Err(ConnectReasonCode::ServerUnavailable);
        }
        if connect.wants_auth {
            return Err(ConnectReasonCode::BadAuthenticationMethod);
        }
        let is_nameless = connect.client_id.is_empty();
        if is_nameless {
            self.name(&mut connect, version)?;
        }
        let rights = self.access.admit(
            &connect.client_id,
            connect.username.as_deref(),
            connect.password.as_deref().unwrap_or_default(),
        )?;
        check_will(&connect, &rights)?;
        let answered = Answered { version, is_nameless };
        self.enter(connect, rights, answered, wake)
    }

    /// Gives a client that may come in its session, the one that it has left or a new one.
    fn enter(
        &mut self,
        mut connect: Connect,
        rights: Arc<Rights>,
        answered: Answered,
        wake: Arc<Notify>,
    ) -> Result<Entered, ConnectReasonCode> {
        let noted = self.ledger.noted();
        let before = self.take_over(&connect.client_id, connect.clean_start);
        let session_present = before.is_some();
        let session = before.unwrap_or_else(|| self.new_session(connect.client_id.clone()));
        let (link, now) = (self.number(), self.world.clock.monotonic());
        let entered = self.sessions.get_mut(&session).ok_or(ConnectReasonCode::UnspecifiedError)?;
        let asked = Duration::from_secs(u64::from(connect.session_expiry));
        entered.rights = rights;
        entered.expiry = asked.min(self.options.session_expiry_max);
        entered.expires_at = None;
        keep(entered, &mut self.ledger, None);
        entered.set_will(connect.will.take(), &mut self.ledger);
        let receive_max = usize::from(connect.receive_maximum.map_or(u16::MAX, NonZeroU16::get));
        entered.link = Some(Link {
            number: link,
            wake,
            receive_max: receive_max.min(usize::from(self.options.in_flight_max)),
            aliases: HashMap::new(),
            closing: None,
            has_reasons: answered.version == Version::V5,
            held_by: None,
        });
        let expiry = u32::try_from(entered.expiry.as_secs()).unwrap_or(u32::MAX);
        let keep_alive = keep_alive(&self.options, connect.keep_alive);
        let granted = Granted {
            session_expiry: (expiry != connect.session_expiry).then_some(expiry),
            client_id: answered.is_nameless.then_some(&connect.client_id),
            keep_alive: (keep_alive != connect.keep_alive).then_some(keep_alive),
        };
        let ack = Connack {
            session_present,
            reason: ConnectReasonCode::Success,
            properties: granted.properties(&self.options),
        };
        welcome(entered, ack, now);
        self.hold(session, noted);
        let silence_max = (keep_alive > 0).then(|| Duration::from_millis(u64::from(keep_alive) * 1_500));
        Ok(Entered { session, link, silence_max })
    }

    /// Gives a client a name that came without one.
    fn name(&self, connect: &mut Connect, version: Version) -> Result<(), ConnectReasonCode> {
        // 3.1.1 has nothing to tell a client its name with: it must not need it again.
        if version == Version::V3 && !connect.clean_start {
            return Err(ConnectReasonCode::ClientIdentifierNotValid);
        }
        connect.client_id = format!("auto-{:016x}", self.world.random.next()).into();
        Ok(())
    }

    /// The session that a client had, if it wants it back; whoever is connected with that id is cut off.
    fn take_over(&mut self, client: &Text, clean: bool) -> Option<u64> {
        let number = *self.clients.get(client)?;
        if let Some(link) = self.sessions.get_mut(&number).and_then(|session| session.link.take()) {
            // The connection's task finds that the session is no longer its own.
            link.wake.notify_one();
            let session = self.sessions.get_mut(&number)?;
            // Its network is gone as far as its will is concerned, unless the will was to wait and the session goes on.
            let is_put_off = session.will.as_ref().is_some_and(|will| will.delay > 0);
            if clean || !is_put_off {
                self.publish_will(number);
            }
        }
        let session = self.sessions.get_mut(&number)?;
        session.set_will(None, &mut self.ledger);
        let now = self.world.clock.monotonic();
        if clean || session.expires_at.is_some_and(|at| at <= now) || session.expiry.is_zero() {
            self.end_session(number);
            return None;
        }
        Some(number)
    }

    pub(super) fn new_session(&mut self, client: Text) -> u64 {
        let number = self.number();
        self.clients.insert(client.clone(), number);
        self.sessions.insert(
            number,
            Session {
                client,
                rights: Arc::default(),
                link: None,
                expiry: Duration::ZERO,
                expires_at: None,
                will: None,
                will_at: None,
                filters: Default::default(),
                incoming: Incoming::default(),
                outgoing: Outbox::default(),
                is_kept: false,
                waits_for: 0,
                is_over: false,
            },
        );
        number
    }

    /// A connection has ended. Unless the client has said goodbye, its will is published, now or when it is due.
    pub fn lost(&mut self, number: u64, link: u64) {
        let now = self.world.clock.monotonic();
        let Some(session) = self.sessions.get_mut(&number) else { return };
        if session.link.as_ref().is_none_or(|current| current.number != link) {
            return;
        }
        session.link = None;
        session.outgoing.lost();
        let expiry = session.expiry;
        session.expires_at = Some(now.saturating_add(expiry));
        keep(session, &mut self.ledger, Some(self.world.clock.now()));
        let delay = session.will.as_ref().map_or(0, |will| will.delay);
        let delay = Duration::from_secs(u64::from(delay)).min(expiry);
        match delay.is_zero() {
            true => self.publish_will(number),
            false => {
                session.will_at = Some(now.saturating_add(delay));
                let nanos = i64::try_from(delay.as_nanos()).unwrap_or(i64::MAX);
                let due = EventTime(self.world.clock.now().0.saturating_add(nanos));
                let will = session.will.as_ref().map(|will| (will, Some(due)));
                self.ledger.will(&session.client, will);
            }
        }
        if expiry.is_zero() {
            self.end_session(number);
        }
    }

    /// The client says goodbye.
    pub fn goodbye(
        &mut self,
        number: u64,
        reason: DisconnectReasonCode,
        expiry: Option<u32>,
    ) -> Result<(), DisconnectReasonCode> {
        let most = self.options.session_expiry_max;
        let Some(session) = self.sessions.get_mut(&number) else { return Ok(()) };
        if let Some(seconds) = expiry {
            if session.expiry.is_zero() && seconds > 0 {
                return Err(DisconnectReasonCode::ProtocolError);
            }
            session.expiry = Duration::from_secs(u64::from(seconds)).min(most);
        }
        if reason != DisconnectReasonCode::DisconnectWithWillMessage {
            session.set_will(None, &mut self.ledger);
        }
        Ok(())
    }

    /// Publishes the will of a session, if it has one.
    pub fn publish_will(&mut self, number: u64) {
        let Some(session) = self.sessions.get_mut(&number) else { return };
        session.will_at = None;
        let Some(will) = session.will.take() else { return };
        let client = session.client.clone();
        let message = Arc::new(Message::of_will(will, client.clone(), &self.world));
        let published = self.number();
        let recorders = self.record(&message, Some(Ticket::Will(published)), None);
        self.route(&message, None);
        // Who records it may not get to it any more. Then the next broker does, which finds it here.
        if recorders > 0 {
            self.wills.insert(published, recorders);
            self.ledger.unrecorded(published, &message, &self.world);
        }
        self.ledger.will(&client, None);
    }

    /// A recorder has made a will durable.
    pub fn will_recorded(&mut self, published: u64) {
        let Some(recorders) = self.wills.get_mut(&published) else { return };
        *recorders = recorders.saturating_sub(1);
        if *recorders == 0 {
            self.wills.remove(&published);
            self.ledger.recorded(published);
        }
    }
}

impl Session {
    /// Gives it another will, or none.
    fn set_will(&mut self, will: Option<Will>, ledger: &mut Ledger) {
        if self.will.is_some() || will.is_some() {
            ledger.will(&self.client, will.as_ref().map(|will| (will, None)));
        }
        self.will = will;
        self.will_at = None;
    }
}

/// Whether a client may leave the will that it comes with.
fn check_will(connect: &Connect, rights: &Rights) -> Result<(), ConnectReasonCode> {
    let Some(will) = &connect.will else { return Ok(()) };
    check_topic(&will.topic).map_err(|_| ConnectReasonCode::TopicNameInvalid)?;
    if !rights.may_publish(&will.topic) || will.topic.starts_with(OWN_TOPICS) {
        return Err(ConnectReasonCode::NotAuthorized);
    }
    Ok(())
}

/// Says CONNACK to a client, and then again what it may have missed, in the old order, before anything new.
fn welcome(session: &mut Session, ack: Connack, now: Duration) {
    session.outgoing.lost();
    session.outgoing.replies.push_back(Packet::Connack(Box::new(ack)));
    for again in session.outgoing.again(now) {
        let packet = again.unwrap_or_else(|id| Packet::Pubrel(Release::success(id)));
        session.outgoing.replies.push_back(packet);
    }
}

/// Notes how long a session lives, or that it ends with its connection.
fn keep(session: &mut Session, ledger: &mut Ledger, lost_at: Option<EventTime>) {
    if session.expiry.is_zero() {
        ledger.of(session.kept()).end();
        session.is_kept = false;
    } else {
        session.is_kept = true;
        ledger.of(session.kept()).session(session.expiry, lost_at);
    }
}

/// How long a client may be silent, in seconds; 0 is for ever.
fn keep_alive(options: &BrokerOptions, asked: u16) -> u16 {
    let Some(most) = options.keep_alive_max else { return asked };
    let most = u16::try_from(most.as_secs()).unwrap_or(u16::MAX);
    if asked == 0 { most } else { asked.min(most) }
}

/// What a client gets that differs from what it asked for.
struct Granted<'a> {
    session_expiry: Option<u32>,
    client_id: Option<&'a Text>,
    keep_alive: Option<u16>,
}

impl Granted<'_> {
    /// As properties of CONNACK, with what holds for all. A value that cannot be said is left out: the protocol has one for it then.
    fn properties(&self, options: &BrokerOptions) -> Vec<Property> {
        let said = [
            self.session_expiry.and_then(|seconds| Some(SessionExpiryInterval::new(seconds).ok()?.into())),
            self.client_id.and_then(|id| Some(AssignedClientIdentifier::new(&**id).ok()?.into())),
            self.keep_alive.and_then(|seconds| Some(ServerKeepAlive::new(seconds).ok()?.into())),
            ReceiveMaximum::new(options.in_flight_max).ok().map(Property::from),
            MaximumPacketSize::new(options.packet_bytes_max).ok().map(Property::from),
            TopicAliasMaximum::new(BrokerOptions::TOPIC_ALIASES_MAX).ok().map(Property::from),
        ];
        said.into_iter().flatten().collect()
    }
}
