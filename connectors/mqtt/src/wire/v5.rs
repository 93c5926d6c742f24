//! Packets of MQTT 5, read and written.

use std::num::{NonZeroU16, NonZeroU32};
use std::sync::Arc;

use bytes::Bytes;
use mqtt_protocol_core::mqtt::ArcPayload;
use mqtt_protocol_core::mqtt::connection::{PacketData, RawPacket};
use mqtt_protocol_core::mqtt::packet::{
    MaximumPacketSize, ReceiveMaximum, SessionExpiryInterval, SubEntry, SubOpts, SubscriptionIdentifier,
    WillDelayInterval, v5_0 as v5,
};
use mqtt_protocol_core::mqtt::result_code::{MqttError, PubcompReasonCode, PubrecReasonCode};

use super::{
    Acknowledgement, Connack, Connect, Disconnect, DisconnectReasonCode, Packet, Property, PubackReasonCode,
    Publish, PubrelReasonCode, Qos, Release, Suback, Subscribe, SubscriptionOptions, Text, Unsuback,
    Unsubscribe, Will,
};

/// Reads a packet.
pub(super) fn read(frame: &RawPacket) -> Result<Packet, MqttError> {
    Ok(match frame.packet_type() {
        1 => Packet::Connect(Box::new(read_connect(&frame.parse_exact(v5::Connect::parse)?))),
        2 => {
            let ack = frame.parse_exact(v5::Connack::parse)?;
            let (session_present, reason) = (ack.session_present(), ack.reason_code());
            Packet::Connack(Box::new(Connack { session_present, reason, properties: ack.props().clone() }))
        }
        3 => Packet::Publish(Box::new(read_publish(frame)?)),
        4 => {
            let ack = frame.parse_exact(v5::Puback::parse)?;
            let reason = ack.reason_code().unwrap_or(PubackReasonCode::Success);
            Packet::Puback(Acknowledgement { packet_id: id(ack.packet_id())?, reason })
        }
        5 => {
            let ack = frame.parse_exact(v5::Pubrec::parse)?;
            let reason = ack.reason_code().map_or(Ok(PubackReasonCode::Success), |code| {
                PubackReasonCode::try_from(code as u8).map_err(|_| MqttError::MalformedPacket)
            })?;
            Packet::Pubrec(Acknowledgement { packet_id: id(ack.packet_id())?, reason })
        }
        6 => {
            let release = frame.parse_exact(v5::Pubrel::parse)?;
            let reason = release.reason_code().unwrap_or(PubrelReasonCode::Success);
            Packet::Pubrel(Release { packet_id: id(release.packet_id())?, reason })
        }
        7 => {
            let end = frame.parse_exact(v5::Pubcomp::parse)?;
            let reason = end.reason_code().map_or(Ok(PubrelReasonCode::Success), |code| {
                PubrelReasonCode::try_from(code as u8).map_err(|_| MqttError::MalformedPacket)
            })?;
            Packet::Pubcomp(Release { packet_id: id(end.packet_id())?, reason })
        }
        8 => Packet::Subscribe(read_subscribe(&frame.parse_exact(v5::Subscribe::parse)?)?),
        9 => {
            let ack = frame.parse_exact(v5::Suback::parse)?;
            Packet::Suback(Suback { packet_id: id(ack.packet_id())?, reasons: ack.reason_codes() })
        }
        10 => {
            let unsubscribe = frame.parse_exact(v5::Unsubscribe::parse)?;
            let filters = unsubscribe.entries().iter().map(|filter| filter.as_str().into()).collect();
            Packet::Unsubscribe(Unsubscribe { packet_id: id(unsubscribe.packet_id())?, filters })
        }
        11 => {
            let ack = frame.parse_exact(v5::Unsuback::parse)?;
            Packet::Unsuback(Unsuback { packet_id: id(ack.packet_id())?, reasons: ack.reason_codes() })
        }
        12 => Packet::Pingreq,
        13 => Packet::Pingresp,
        14 => {
            let disconnect = frame.parse_exact(v5::Disconnect::parse)?;
            let session_expiry = disconnect.props().iter().flatten().find_map(|property| match property {
                Property::SessionExpiryInterval(seconds) => Some(seconds.val()),
                _ => None,
            });
            let reason = disconnect.reason_code().unwrap_or(DisconnectReasonCode::NormalDisconnection);
            Packet::Disconnect(Disconnect { reason, session_expiry })
        }
        15 => Packet::Auth,
        _ => return Err(MqttError::MalformedPacket),
    })
}

/// Writes a packet; `None` if it is one that nobody here says.
pub(super) fn write(packet: &Packet) -> Result<Option<Vec<u8>>, MqttError> {
    Ok(Some(match packet {
        Packet::Connect(connect) => write_connect(connect)?.to_continuous_buffer(),
        Packet::Connack(ack) => v5::Connack::builder()
            .session_present(ack.session_present)
            .reason_code(ack.reason)
            .props(ack.properties.clone())
            .build()?
            .to_continuous_buffer(),
        Packet::Publish(publish) => v5::Publish::builder()
            .topic_name(&*publish.topic)?
            .qos(publish.qos)
            .dup(publish.dup)
            .retain(publish.retain)
            .packet_id(publish.packet_id.map(NonZeroU16::get))
            .props(publish.properties.clone())
            .payload(Arc::<[u8]>::from(&publish.payload[..]))
            .build()?
            .to_continuous_buffer(),
        Packet::Puback(Acknowledgement { packet_id, reason }) => {
            let builder = v5::Puback::builder().packet_id(packet_id.get());
            let builder = match reason {
                PubackReasonCode::Success => builder,
                reason => builder.reason_code(*reason),
            };
            builder.build()?.to_continuous_buffer()
        }
        Packet::Pubrec(Acknowledgement { packet_id, reason }) => {
            let builder = v5::Pubrec::builder().packet_id(packet_id.get());
            let builder = match PubrecReasonCode::try_from(*reason as u8) {
                Ok(PubrecReasonCode::Success) | Err(_) => builder,
                Ok(reason) => builder.reason_code(reason),
            };
            builder.build()?.to_continuous_buffer()
        }
        Packet::Pubrel(Release { packet_id, reason }) => {
            let builder = v5::Pubrel::builder().packet_id(packet_id.get());
            let builder = match reason {
                PubrelReasonCode::Success => builder,
                reason => builder.reason_code(*reason),
            };
            builder.build()?.to_continuous_buffer()
        }
        Packet::Pubcomp(Release { packet_id, reason }) => {
            let builder = v5::Pubcomp::builder().packet_id(packet_id.get());
            let builder = match PubcompReasonCode::try_from(*reason as u8) {
                Ok(PubcompReasonCode::Success) | Err(_) => builder,
                Ok(reason) => builder.reason_code(reason),
            };
            builder.build()?.to_continuous_buffer()
        }
        Packet::Subscribe(subscribe) => write_subscribe(subscribe)?.to_continuous_buffer(),
        Packet::Suback(ack) => {
            let builder = v5::Suback::builder().packet_id(ack.packet_id.get());
            builder.reason_codes(ack.reasons.clone()).build()?.to_continuous_buffer()
        }
        Packet::Unsubscribe(unsubscribe) => {
            let builder = v5::Unsubscribe::builder().packet_id(unsubscribe.packet_id.get());
            let filters = unsubscribe.filters.iter().map(|filter| &**filter);
            builder.entries(filters)?.build()?.to_continuous_buffer()
        }
        Packet::Unsuback(ack) => {
            let builder = v5::Unsuback::builder().packet_id(ack.packet_id.get());
            builder.reason_codes(ack.reasons.clone()).build()?.to_continuous_buffer()
        }
        Packet::Pingreq => v5::Pingreq::new().to_continuous_buffer(),
        Packet::Pingresp => v5::Pingresp::new().to_continuous_buffer(),
        Packet::Disconnect(disconnect) => {
            v5::Disconnect::builder().reason_code(disconnect.reason).build()?.to_continuous_buffer()
        }
        Packet::Auth => return Ok(None),
    }))
}

/// A packet id that is not 0.
pub(super) fn id(id: u16) -> Result<NonZeroU16, MqttError> {
    NonZeroU16::new(id).ok_or(MqttError::ProtocolError)
}

/// A payload, without copying it.
pub(super) fn payload(payload: &ArcPayload) -> Bytes {
    struct Shared(ArcPayload);
    impl AsRef<[u8]> for Shared {
        fn as_ref(&self) -> &[u8] {
            self.0.as_slice()
        }
    }
    if payload.is_empty() { Bytes::new() } else { Bytes::from_owner(Shared(payload.clone())) }
}

fn read_connect(connect: &v5::Connect) -> Connect {
    let mut read = Connect {
        clean_start: connect.clean_start(),
        keep_alive: connect.keep_alive(),
        username: connect.user_name().map(Into::into),
        password: connect.password().map(Bytes::copy_from_slice),
        ..Connect::new(connect.client_id())
    };
    for property in connect.props() {
        match property {
            Property::SessionExpiryInterval(seconds) => read.session_expiry = seconds.val(),
            Property::ReceiveMaximum(most) => read.receive_maximum = NonZeroU16::new(most.val()),
            Property::MaximumPacketSize(most) => read.maximum_packet_size = NonZeroU32::new(most.val()),
            Property::AuthenticationMethod(_) => read.wants_auth = true,
            _ => {}
        }
    }
    read.will = connect.will_topic().map(|topic| {
        let (mut delay, mut properties) = (0, connect.will_props().clone());
        properties.retain(|property| match property {
            Property::WillDelayInterval(seconds) => {
                delay = seconds.val();
                false
            }
            _ => true,
        });
        Will {
            topic: topic.into(),
            payload: Bytes::copy_from_slice(connect.will_payload().unwrap_or_default()),
            qos: connect.will_qos(),
            retain: connect.will_retain(),
            delay,
            properties,
        }
    });
    read
}

fn write_connect(connect: &Connect) -> Result<v5::Connect, MqttError> {
    let mut properties = Vec::new();
    if connect.session_expiry > 0 {
        properties.push(SessionExpiryInterval::new(connect.session_expiry)?.into());
    }
    if let Some(most) = connect.receive_maximum {
        properties.push(ReceiveMaximum::new(most.get())?.into());
    }
    if let Some(most) = connect.maximum_packet_size {
        properties.push(MaximumPacketSize::new(most.get())?.into());
    }
    let mut builder = v5::Connect::builder()
        .client_id(&*connect.client_id)?
        .clean_start(connect.clean_start)
        .keep_alive(connect.keep_alive)
        .props(properties);
    if let Some(will) = &connect.will {
        let mut properties = will.properties.clone();
        if will.delay > 0 {
            properties.push(WillDelayInterval::new(will.delay)?.into());
        }
        builder = builder
            .will_message(&*will.topic, will.payload.to_vec(), will.qos, will.retain)?
            .will_props(properties);
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
    let (publish, _) = v5::Publish::parse(frame.flags(), Arc::clone(data))?;
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
        properties: publish.props().clone(),
    })
}

fn read_subscribe(subscribe: &v5::Subscribe) -> Result<Subscribe, MqttError> {
    let filter = |one: &SubEntry| {
        let options = one.sub_opts();
        let options = SubscriptionOptions {
            qos: options.qos(),
            no_local: options.nl(),
            retain_as_published: options.rap(),
            retain_handling: options.rh(),
        };
        (Text::from(one.topic_filter()), options)
    };
    let number = subscribe.props().iter().find_map(|property| match property {
        Property::SubscriptionIdentifier(id) => NonZeroU32::new(id.val()),
        _ => None,
    });
    let filters = subscribe.entries().iter().map(filter).collect();
    Ok(Subscribe { packet_id: id(subscribe.packet_id())?, id: number, filters })
}

fn write_subscribe(subscribe: &Subscribe) -> Result<v5::Subscribe, MqttError> {
    let entry = |(filter, options): &(Text, SubscriptionOptions)| {
        let written = SubOpts::new().set_qos(options.qos).set_nl(options.no_local);
        let written = written.set_rap(options.retain_as_published).set_rh(options.retain_handling);
        SubEntry::new(&**filter, written)
    };
    let entries = subscribe.filters.iter().map(entry).collect::<Result<Vec<_>, _>>()?;
    let number = subscribe.id.map(|id| SubscriptionIdentifier::new(id.get())).transpose()?;
    let properties = number.map(Into::into).into_iter().collect::<Vec<Property>>();
    v5::Subscribe::builder().packet_id(subscribe.packet_id.get()).entries(entries).props(properties).build()
}
