//! What 3.1.1 says, in the words of version 5, and back.
//!
//! | 3.1.1 | 5 |
//! |---|---|
//! | clean session 0 | clean start 0, the session never expires |
//! | SUBSCRIBE with a QoS | the options that a subscription has unless others are asked for |
//! | acknowledgements without a reason | success |
//! | return codes 1 to 5 of CONNACK | the reasons of the same names |
//! | DISCONNECT by a server | there is none: the connection is closed |

use std::num::NonZeroU16;
use std::sync::Arc;

use bytes::Bytes;
use mqtt_protocol_core::mqtt::connection::{PacketData, RawPacket};
use mqtt_protocol_core::mqtt::packet::{SubEntry, SubOpts, v3_1_1 as v3};
use mqtt_protocol_core::mqtt::result_code::{ConnectReturnCode, MqttError, SubackReturnCode};

use super::v5::{id, payload};
use super::{
    Acknowledgement, Connack, Connect, ConnectReasonCode, Disconnect, DisconnectReasonCode, Packet, Publish,
    Qos, Release, Suback, SubackReasonCode, Subscribe, SubscriptionOptions, Unsuback, Unsubscribe, Will,
};

/// Reads a packet.
pub(super) fn read(frame: &RawPacket) -> Result<Packet, MqttError> {
    Ok(match frame.packet_type() {
        1 => Packet::Connect(Box::new(read_connect(&frame.parse_exact(v3::Connect::parse)?))),
        2 => {
            let ack = frame.parse_exact(v3::Connack::parse)?;
            let (session_present, reason) = (ack.session_present(), reason_of(ack.return_code()));
            Packet::Connack(Box::new(Connack { session_present, reason, properties: Vec::new() }))
        }
        3 => Packet::Publish(Box::new(read_publish(frame)?)),
        4 => Packet::Puback(Acknowledgement::success(id(frame.parse_exact(v3::Puback::parse)?.packet_id())?)),
        5 => Packet::Pubrec(Acknowledgement::success(id(frame.parse_exact(v3::Pubrec::parse)?.packet_id())?)),
        6 => Packet::Pubrel(Release::success(id(frame.parse_exact(v3::Pubrel::parse)?.packet_id())?)),
        7 => Packet::Pubcomp(Release::success(id(frame.parse_exact(v3::Pubcomp::parse)?.packet_id())?)),
        8 => {
            let subscribe = frame.parse_exact(v3::Subscribe::parse)?;
            let filter =
                |one: &SubEntry| (one.topic_filter().into(), SubscriptionOptions::new(one.sub_opts().qos()));
            let filters = subscribe.entries().iter().map(filter).collect();
            Packet::Subscribe(Subscribe { packet_id: id(subscribe.packet_id())?, id: None, filters })
        }
        9 => {
            let ack = frame.parse_exact(v3::Suback::parse)?;
            let reason = |code: &SubackReturnCode| {
                SubackReasonCode::try_from(*code as u8).unwrap_or(SubackReasonCode::UnspecifiedError)
            };
            let reasons = ack.return_codes().iter().map(reason).collect();
            Packet::Suback(Suback { packet_id: id(ack.packet_id())?, reasons })
        }
        10 => {
            let unsubscribe = frame.parse_exact(v3::Unsubscribe::parse)?;
            let filters = unsubscribe.entries().iter().map(|filter| filter.as_str().into()).collect();
            Packet::Unsubscribe(Unsubscribe { packet_id: id(unsubscribe.packet_id())?, filters })
        }
        11 => {
            let packet_id = id(frame.parse_exact(v3::Unsuback::parse)?.packet_id())?;
            Packet::Unsuback(Unsuback { packet_id, reasons: Vec::new() })
        }
        12 => Packet::Pingreq,
        13 => Packet::Pingresp,
        14 => Packet::Disconnect(Disconnect::new(DisconnectReasonCode::NormalDisconnection)),
        _ => return Err(MqttError::MalformedPacket),
    })
}

/// Writes a packet; `None` if 3.1.1 does not have it.
pub(super) fn write(packet: &Packet) -> Result<Option<Vec<u8>>, MqttError> {
    Ok(Some(match packet {
        Packet::Connect(connect) => write_connect(connect)?.to_continuous_buffer(),
        Packet::Connack(ack) => v3::Connack::builder()
            .session_present(ack.session_present)
            .return_code(return_code_of(ack.reason))
            .build()?
            .to_continuous_buffer(),
        Packet::Publish(publish) => v3::Publish::builder()
            .topic_name(&*publish.topic)?
            .qos(publish.qos)
            .dup(publish.dup)
            .retain(publish.retain)
            .packet_id(publish.packet_id.map(NonZeroU16::get))
            .payload(Arc::<[u8]>::from(&publish.payload[..]))
            .build()?
            .to_continuous_buffer(),
        Packet::Puback(ack) => {
            v3::Puback::builder().packet_id(ack.packet_id.get()).build()?.to_continuous_buffer()
        }
        Packet::Pubrec(ack) => {
            v3::Pubrec::builder().packet_id(ack.packet_id.get()).build()?.to_continuous_buffer()
        }
        Packet::Pubrel(ack) => {
            v3::Pubrel::builder().packet_id(ack.packet_id.get()).build()?.to_continuous_buffer()
        }
        Packet::Pubcomp(ack) => {
            v3::Pubcomp::builder().packet_id(ack.packet_id.get()).build()?.to_continuous_buffer()
        }
        Packet::Subscribe(subscribe) => {
            let entry = |(filter, options): &(super::Text, SubscriptionOptions)| {
                SubEntry::new(&**filter, SubOpts::new().set_qos(options.qos))
            };
            let entries = subscribe.filters.iter().map(entry).collect::<Result<Vec<_>, _>>()?;
            let builder = v3::Subscribe::builder().packet_id(subscribe.packet_id.get()).entries(entries);
            builder.build()?.to_continuous_buffer()
        }
        Packet::Suback(ack) => {
            let codes = ack
                .reasons
                .iter()
                .map(|reason| SubackReturnCode::try_from(*reason as u8).unwrap_or(SubackReturnCode::Failure));
            let builder = v3::Suback::builder().packet_id(ack.packet_id.get());
            builder.return_codes(codes.collect()).build()?.to_continuous_buffer()
        }
        Packet::Unsubscribe(unsubscribe) => {
            let builder = v3::Unsubscribe::builder().packet_id(unsubscribe.packet_id.get());
            let filters = unsubscribe.filters.iter().map(|filter| &**filter);
            builder.entries(filters)?.build()?.to_continuous_buffer()
        }
        Packet::Unsuback(ack) => {
            v3::Unsuback::builder().packet_id(ack.packet_id.get()).build()?.to_continuous_buffer()
        }
        Packet::Pingreq => v3::Pingreq::new().to_continuous_buffer(),
        Packet::Pingresp => v3::Pingresp::new().to_continuous_buffer(),
        Packet::Disconnect(Disconnect { reason: DisconnectReasonCode::NormalDisconnection, .. }) => {
            v3::Disconnect::new().to_continuous_buffer()
        }
        Packet::Disconnect(_) | Packet::Auth => return Ok(None),
    }))
}

fn read_connect(connect: &v3::Connect) -> Connect {
    let will = connect.will_topic().map(|topic| Will {
        topic: topic.into(),
        payload: Bytes::copy_from_slice(connect.will_payload().unwrap_or_default()),
        qos: connect.will_qos(),
        retain: connect.will_retain(),
        delay: 0,
        properties: Vec::new(),
    });
    Connect {
        clean_start: connect.clean_session(),
        session_expiry: if connect.clean_session() { 0 } else { u32::MAX },
        keep_alive: connect.keep_alive(),
        will,
        username: connect.user_name().map(Into::into),
        password: connect.password().map(Bytes::copy_from_slice),
        ..Connect::new(connect.client_id())
    }
}

fn write_connect(connect: &Connect) -> Result<v3::Connect, MqttError> {
    let mut builder = v3::Connect::builder()
        .client_id(&*connect.client_id)?
        .clean_session(connect.clean_start && connect.session_expiry == 0)
        .keep_alive(connect.keep_alive);
    if let Some(will) = &connect.will {
        builder = builder.will_message(&*will.topic, will.payload.to_vec(), will.qos, will.retain)?;
    }
    if let Some(username) = &connect.username {
        builder = builder.user_name(&**username)?;
    }
    if let Some(password) = &connect.password {
        builder = builder.password(password.to_vec())?;
    }
    builder.build()
}

fn read_publish(frame: &RawPacket) -> Result<Publish, MqttError> {
    let PacketData::Publish(data) = &frame.data else { return Err(MqttError::MalformedPacket) };
    let (publish, _) = v3::Publish::parse(frame.flags(), Arc::clone(data))?;
    let packet_id = match publish.qos() {
        Qos::AtMostOnce => None,
        _ => Some(id(publish.packet_id().unwrap_or_default())?),
    };
    Ok(Publish {
        dup: publish.dup(),
        qos: publish.qos(),
        retain: publish.retain(),
        topic: publish.topic_name().into(),
        packet_id,
        payload: payload(publish.payload()),
        properties: Vec::new(),
    })
}

fn reason_of(code: ConnectReturnCode) -> ConnectReasonCode {
    match code {
        ConnectReturnCode::Accepted => ConnectReasonCode::Success,
        ConnectReturnCode::UnacceptableProtocolVersion => ConnectReasonCode::UnsupportedProtocolVersion,
        ConnectReturnCode::IdentifierRejected => ConnectReasonCode::ClientIdentifierNotValid,
        ConnectReturnCode::ServerUnavailable => ConnectReasonCode::ServerUnavailable,
        ConnectReturnCode::BadUserNameOrPassword => ConnectReasonCode::BadUserNameOrPassword,
        ConnectReturnCode::NotAuthorized => ConnectReasonCode::NotAuthorized,
    }
}

fn return_code_of(reason: ConnectReasonCode) -> ConnectReturnCode {
    match reason {
        ConnectReasonCode::Success => ConnectReturnCode::Accepted,
        ConnectReasonCode::UnsupportedProtocolVersion => ConnectReturnCode::UnacceptableProtocolVersion,
        ConnectReasonCode::ClientIdentifierNotValid => ConnectReturnCode::IdentifierRejected,
        ConnectReasonCode::BadUserNameOrPassword => ConnectReturnCode::BadUserNameOrPassword,
        ConnectReasonCode::NotAuthorized | ConnectReasonCode::Banned => ConnectReturnCode::NotAuthorized,
        _ => ConnectReturnCode::ServerUnavailable,
    }
}
