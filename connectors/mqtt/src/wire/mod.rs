//! How packets are written: bytes to packets and back.
//!
//! Inside there is one protocol, that of version 5. What 3.1.1 says is translated where it comes in and goes out, so that nothing else
//! has two of everything. The bytes themselves are `mqtt-protocol-core`'s.

mod codec;
mod packet;
mod v3;
mod v5;

pub use codec::{Malformed, Version, Wire};
pub use mqtt_protocol_core::mqtt::packet::{Property, Qos, RetainHandling};
pub use mqtt_protocol_core::mqtt::result_code::{
    ConnectReasonCode, DisconnectReasonCode, PubackReasonCode, PubrelReasonCode, SubackReasonCode,
    UnsubackReasonCode,
};
pub use packet::{
    Acknowledgement, Connack, Connect, Disconnect, Packet, Publish, Release, Suback, Subscribe,
    SubscriptionOptions, Text, Unsuback, Unsubscribe, Will,
};
