//! One side's codec of a connection.

use bytes::{Buf as _, BytesMut};
use mqtt_protocol_core::mqtt::common::Cursor;
use mqtt_protocol_core::mqtt::connection::{PacketBuildResult, PacketBuilder, RawPacket};
use mqtt_protocol_core::mqtt::result_code::MqttError;

use super::{DisconnectReasonCode, Packet, v3, v5};

/// The versions of the protocol.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Version {
    /// 3.1.1.
    V3,
    /// 5.
    #[default]
    V5,
}

/// Bytes that are no packet.
#[derive(Debug, thiserror::Error)]
#[error("{reason}")]
pub struct Malformed {
    reason: String,
    /// How version 5 calls it.
    pub code: DisconnectReasonCode,
}

impl From<MqttError> for Malformed {
    fn from(error: MqttError) -> Self {
        let code = u8::try_from(error as u16).ok().and_then(|code| DisconnectReasonCode::try_from(code).ok());
        Self { reason: error.to_string(), code: code.unwrap_or(DisconnectReasonCode::MalformedPacket) }
    }
}

/// One side's codec of a connection.
pub struct Wire {
    frames: PacketBuilder,
    /// `None` until the first packet of the client has said it.
    version: Option<Version>,
}

impl Wire {
    /// A server's: the client's first packet says the version. No packet may be longer than `bytes_max`.
    pub fn accepting(bytes_max: u32) -> Self {
        Self { frames: PacketBuilder::with_maximum_packet_size(bytes_max), version: None }
    }

    /// A client's.
    pub fn speaking(version: Version, bytes_max: u32) -> Self {
        Self { version: Some(version), ..Self::accepting(bytes_max) }
    }

    /// The version, once it is known.
    pub fn version(&self) -> Option<Version> {
        self.version
    }

    /// Takes the next packet off `bytes`, if it is there as a whole.
    pub fn read(&mut self, bytes: &mut BytesMut) -> Result<Option<Packet>, Malformed> {
        let mut cursor = Cursor::new(&bytes[..]);
        let built = self.frames.feed(&mut cursor);
        let read = usize::try_from(cursor.position()).unwrap_or(usize::MAX).min(bytes.len());
        bytes.advance(read);
        let frame = match built {
            PacketBuildResult::Incomplete => return Ok(None),
            PacketBuildResult::Error(error) => return Err(error.into()),
            PacketBuildResult::Complete(frame) => frame,
        };
        check_flags(&frame)?;
        let version = match self.version {
            Some(version) => version,
            None => version_of(&frame)?,
        };
        self.version = Some(version);
        let packet = match version {
            Version::V3 => v3::read(&frame)?,
            Version::V5 => v5::read(&frame)?,
        };
        Ok(Some(packet))
    }
}

impl Version {
    /// Appends a packet to `out`; whether it is there: one that this version does not have, that cannot be written or that is longer
    /// than `most` is left out.
    pub fn write(self, packet: &Packet, out: &mut BytesMut, most: usize) -> bool {
        let written = match self {
            Self::V3 => v3::write(packet),
            Self::V5 => v5::write(packet),
        };
        let Ok(Some(bytes)) = written else { return false };
        if bytes.len() > most {
            return false;
        }
        out.extend_from_slice(&bytes);
        true
    }
}

/// The four bits beside the packet's type are fixed, but for PUBLISH.
fn check_flags(frame: &RawPacket) -> Result<(), MqttError> {
    let expected = match frame.packet_type() {
        3 => return Ok(()),
        6 | 8 | 10 => 0b0010,
        _ => 0,
    };
    if frame.flags() == expected { Ok(()) } else { Err(MqttError::MalformedPacket) }
}

/// The version that a CONNECT says, which has its number at the same place in all of them.
fn version_of(frame: &RawPacket) -> Result<Version, MqttError> {
    const CONNECT: u8 = 1;
    const AT: usize = 6;
    if frame.packet_type() != CONNECT {
        return Err(MqttError::ProtocolError);
    }
    match frame.data_as_slice().get(AT) {
        Some(4) => Ok(Version::V3),
        Some(5) => Ok(Version::V5),
        _ => Err(MqttError::UnsupportedProtocolVersion),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::{Connect, Property, Publish, Qos};
    use super::*;

    fn connect() -> Packet {
        Packet::Connect(Box::new(Connect { keep_alive: 7, ..Connect::new("c") }))
    }

    #[test]
    fn the_first_packet_says_the_version() {
        for version in [Version::V3, Version::V5] {
            let mut bytes = BytesMut::new();
            assert!(version.write(&connect(), &mut bytes, usize::MAX));
            let mut server = Wire::accepting(1_000);
            let whole = bytes.split();
            // Byte by byte: what is not there yet is waited for.
            for (at, byte) in whole.iter().enumerate() {
                bytes.extend_from_slice(&[*byte]);
                let packet = server.read(&mut bytes).unwrap();
                assert_eq!(packet.is_some(), at + 1 == whole.len(), "{at}");
                if let Some(packet) = packet {
                    assert_eq!(packet, connect());
                }
            }
            assert_eq!(server.version(), Some(version));
        }
    }

    fn publish(qos: Qos, properties: Vec<Property>) -> Packet {
        Packet::Publish(Box::new(Publish {
            dup: false,
            retain: true,
            qos,
            topic: "a/ü".into(),
            packet_id: (qos != Qos::AtMostOnce).then(|| 7.try_into().unwrap()),
            payload: vec![7; 2_000].into(),
            properties,
        }))
    }

    #[test]
    fn what_is_too_long_is_not_read_and_not_written() {
        for version in [Version::V3, Version::V5] {
            let mut out = BytesMut::from(&b"before"[..]);
            assert!(!version.write(&publish(Qos::AtMostOnce, Vec::new()), &mut out, 1_999));
            assert_eq!(&out[..], b"before");
            out.clear();
            assert!(version.write(&publish(Qos::AtMostOnce, Vec::new()), &mut out, 3_000));
            let error = Wire::speaking(version, 1_000).read(&mut out).unwrap_err();
            assert_eq!(error.code, DisconnectReasonCode::PacketTooLarge);
        }
    }

    #[test]
    fn messages_are_read_as_they_were_written() {
        for version in [Version::V3, Version::V5] {
            for qos in [Qos::AtMostOnce, Qos::AtLeastOnce, Qos::ExactlyOnce] {
                let mut bytes = BytesMut::new();
                assert!(version.write(&publish(qos, Vec::new()), &mut bytes, usize::MAX));
                assert!(version.write(&Packet::Pingreq, &mut bytes, usize::MAX));
                let mut wire = Wire::speaking(version, u32::MAX);
                assert_eq!(wire.read(&mut bytes).unwrap(), Some(publish(qos, Vec::new())));
                assert_eq!(wire.read(&mut bytes).unwrap(), Some(Packet::Pingreq));
                assert_eq!(wire.read(&mut bytes).unwrap(), None);
            }
        }
    }

    proptest! {
        /// Whatever comes, it is a packet, an error, or not enough; and what was read can be written.
        #[test]
        fn anything_can_be_read(bytes in proptest::collection::vec(any::<u8>(), 0..120), kind in any::<u8>()) {
            let mut framed = vec![kind, bytes.len() as u8];
            framed.extend_from_slice(&bytes);
            for given in [&bytes, &framed] {
                for mut wire in [
                    Wire::accepting(1_000),
                    Wire::speaking(Version::V3, 1_000),
                    Wire::speaking(Version::V5, 1_000),
                ] {
                    let mut bytes = BytesMut::from(&given[..]);
                    while let Ok(Some(packet)) = wire.read(&mut bytes) {
                        let mut out = BytesMut::new();
                        for version in [Version::V3, Version::V5] {
                            version.write(&packet, &mut out, usize::MAX);
                        }
                    }
                }
            }
        }
    }
}
