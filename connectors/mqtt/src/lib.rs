//! MQTT 3.1.1 and 5: a broker that lives in this process, and a client of brokers elsewhere.
//!
//! ```text
//!  wire       how packets are written: bytes to packets and back           pure values
//!  topic      names of topics, and filters over them                       pure values
//!  broker     what becomes of packets: sessions, subscriptions, recorders  no network, no tasks, no clock of its own
//!  store      what of it outlives the process: a file of changes
//!  net        TCP, TLS: one task for each connection
//!  client     a session with a broker elsewhere
//!  connector  topics to streams, streams to topics
//!  gateway    the broker as a part of the binary
//! ```
//!
//! ## Why this library
//!
//! The packets of both versions are [`mqtt_protocol_core`]'s, which knows neither sockets nor tasks and checks what the specification says
//! about each of them. The broker around them is ours, because an acknowledgement has to wait for the log while nothing
//! else waits for the acknowledgement:
//! - `rumqttd` acknowledges by itself, before anybody has seen the message.
//! - `rmqtt` and `mqtt5` call a hook for each PUBLISH, and read nothing more of that connection until it returns: one row for each
//!   `fdatasync` and client. `rmqtt` brings 85 crates, and both turn on a second provider of cryptography in rustls, after
//!   which whoever leaves the choice to rustls fails at run time.
//! - `ntex-mqtt` lets acknowledgements wait, but needs a runtime of its own, and has neither sessions nor subscriptions.
//!
//! Of the packet codecs, `rmqtt-codec` turns on features of `bytes` and `serde` for everything down to DataFusion, and `rumqttc`'s refuses
//! the DISCONNECT without a reason that most clients of version 5 send. `mqtt-protocol-core` also has the state of a connection, which is
//! not used: it counts what is under way per connection, not per session, and loses count when a session is resumed.
//!
//! The client is over the same packets. `rumqttc` keeps the packet ids of QoS 2 where they cannot be stored with the rows, which is
//! what makes each row come once.
//!
//! Invariants:
//! - What does not belong to the network knows nothing of it: packets go in and out as values, time is the world's.
//! - QoS 1 and 2: an acknowledgement says that every stream that wants the message has it, durably. See [`broker`].

pub mod broker;
pub mod client;
pub mod connector;
pub mod gateway;
pub mod net;
pub mod store;
pub mod topic;
pub mod wire;
