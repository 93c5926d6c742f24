//! What is said, in the words of version 5, as far as it means something here.

use std::num::{NonZeroU16, NonZeroU32};
use std::sync::Arc;

use bytes::Bytes;

use super::{
    ConnectReasonCode, DisconnectReasonCode, Property, PubackReasonCode, PubrelReasonCode, Qos,
    RetainHandling, SubackReasonCode, UnsubackReasonCode,
};

/// Text that is cheap to share: topics, filters, names of clients.
pub type Text = Arc<str>;

/// A packet.
#[derive(Clone, PartialEq, Debug)]
pub enum Packet {
    /// A client asks to come in.
    Connect(Box<Connect>),
    /// The answer.
    Connack(Box<Connack>),
    /// A message.
    Publish(Box<Publish>),
    /// The end of a message of QoS 1.
    Puback(Acknowledgement),
    /// The receiver has a message of QoS 2.
    Pubrec(Acknowledgement),
    /// The sender knows that, and will not send it again.
    Pubrel(Release),
    /// The end of a message of QoS 2.
    Pubcomp(Release),
    /// A client wants messages.
    Subscribe(Subscribe),
    /// The answer.
    Suback(Suback),
    /// A client wants no more messages.
    Unsubscribe(Unsubscribe),
    /// The answer.
    Unsuback(Unsuback),
    /// A sign of life.
    Pingreq,
    /// The answer.
    Pingresp,
    /// The end.
    Disconnect(Disconnect),
    /// Authentication in several steps, which is not there.
    Auth,
}

/// A client asks to come in.
#[derive(Clone, PartialEq, Debug)]
pub struct Connect {
    /// Who it is; empty if it has no name.
    pub client_id: Text,
    /// Whether a session that it had is to be forgotten.
    pub clean_start: bool,
    /// After how many seconds of silence it is gone; 0 is never.
    pub keep_alive: u16,
    /// How many seconds its session is to outlive the connection.
    pub session_expiry: u32,
    /// How many messages of QoS 1 and 2 it takes before it acknowledges.
    pub receive_maximum: Option<NonZeroU16>,
    /// How long a packet may be for it.
    pub maximum_packet_size: Option<NonZeroU32>,
    /// Whether it wants to prove in several steps who it is.
    pub wants_auth: bool,
    /// What is to be published when it is gone without a word.
    pub will: Option<Will>,
    /// Its user.
    pub username: Option<Text>,
    /// The user's password.
    pub password: Option<Bytes>,
}

/// What is to be published when a client is gone without a word.
#[derive(Clone, PartialEq, Debug)]
pub struct Will {
    /// Where.
    pub topic: Text,
    /// What.
    pub payload: Bytes,
    /// With what certainty.
    pub qos: Qos,
    /// Whether it is to be kept.
    pub retain: bool,
    /// How many seconds later.
    pub delay: u32,
    /// What else version 5 says about it.
    pub properties: Vec<Property>,
}

/// The answer to CONNECT.
#[derive(Clone, PartialEq, Debug)]
pub struct Connack {
    /// Whether the session was there before.
    pub session_present: bool,
    /// Whether the client may come in, or why not.
    pub reason: ConnectReasonCode,
    /// What version 5 says about the server.
    pub properties: Vec<Property>,
}

/// A message.
#[derive(Clone, PartialEq, Debug)]
pub struct Publish {
    /// Whether it may have been sent before.
    pub dup: bool,
    /// With what certainty.
    pub qos: Qos,
    /// Whether it is to be kept; to a subscriber: whether it was kept.
    pub retain: bool,
    /// Where; empty if its number is among the properties.
    pub topic: Text,
    /// The number that it is acknowledged by, unless it is of QoS 0.
    pub packet_id: Option<NonZeroU16>,
    /// What.
    pub payload: Bytes,
    /// What version 5 says about it.
    pub properties: Vec<Property>,
}

/// PUBACK and PUBREC.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Acknowledgement {
    /// Of which message.
    pub packet_id: NonZeroU16,
    /// Whether it is taken, or why not.
    pub reason: PubackReasonCode,
}

/// PUBREL and PUBCOMP.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Release {
    /// Of which message.
    pub packet_id: NonZeroU16,
    /// Whether the number is known.
    pub reason: PubrelReasonCode,
}

/// A client wants messages.
#[derive(Clone, PartialEq, Debug)]
pub struct Subscribe {
    /// The number that it is acknowledged by.
    pub packet_id: NonZeroU16,
    /// What is to be said with each message that comes by this.
    pub id: Option<NonZeroU32>,
    /// Of which topics.
    pub filters: Vec<(Text, SubscriptionOptions)>,
}

/// How messages are wanted.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct SubscriptionOptions {
    /// With at most this certainty.
    pub qos: Qos,
    /// Without those that the client publishes itself.
    pub no_local: bool,
    /// With the mark that the publisher asked to keep them.
    pub retain_as_published: bool,
    /// Whether those that are kept already are wanted.
    pub retain_handling: RetainHandling,
}

impl SubscriptionOptions {
    /// Those of 3.1.1.
    pub fn new(qos: Qos) -> Self {
        let retain_handling = RetainHandling::SendRetained;
        Self { qos, no_local: false, retain_as_published: false, retain_handling }
    }
}

/// The answer to SUBSCRIBE.
#[derive(Clone, PartialEq, Debug)]
pub struct Suback {
    /// To which.
    pub packet_id: NonZeroU16,
    /// For each filter.
    pub reasons: Vec<SubackReasonCode>,
}

/// A client wants no more messages.
#[derive(Clone, PartialEq, Debug)]
pub struct Unsubscribe {
    /// The number that it is acknowledged by.
    pub packet_id: NonZeroU16,
    /// Of which topics.
    pub filters: Vec<Text>,
}

/// The answer to UNSUBSCRIBE.
#[derive(Clone, PartialEq, Debug)]
pub struct Unsuback {
    /// To which.
    pub packet_id: NonZeroU16,
    /// For each filter; empty in 3.1.1.
    pub reasons: Vec<UnsubackReasonCode>,
}

/// The end of a connection.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Disconnect {
    /// Why.
    pub reason: DisconnectReasonCode,
    /// How many seconds the session is to outlive it after all.
    pub session_expiry: Option<u32>,
}

impl Connect {
    /// A client without a user or a will, whose session ends with the connection.
    pub fn new(client_id: impl Into<Text>) -> Self {
        Self {
            client_id: client_id.into(),
            clean_start: true,
            keep_alive: 0,
            session_expiry: 0,
            receive_maximum: None,
            maximum_packet_size: None,
            wants_auth: false,
            will: None,
            username: None,
            password: None,
        }
    }
}

impl Acknowledgement {
    /// The message is taken.
    pub fn success(packet_id: NonZeroU16) -> Self {
        Self { packet_id, reason: PubackReasonCode::Success }
    }
}

impl Release {
    /// The number is known.
    pub fn success(packet_id: NonZeroU16) -> Self {
        Self { packet_id, reason: PubrelReasonCode::Success }
    }
}

impl Disconnect {
    /// An end for this reason.
    pub fn new(reason: DisconnectReasonCode) -> Self {
        Self { reason, session_expiry: None }
    }
}
