//! MQTT as a connector: topics are recorded into streams, and streams are published.
//!
//! | option | meaning |
//! |---|---|
//! | `topic` | source: a topic filter, `plant/+/temp`; sink: the topic, unless a column says it |
//! | `url` | a broker elsewhere: `mqtt://host:port`, or with TLS `mqtts://`; the broker of this process unless set |
//! | `qos` | `0`, `1` (unless set) or `2`; also `AtMostOnce`, `AtLeastOnce`, `ExactlyOnce` |
//! | `username`, `password` | for a broker elsewhere; `{{ VARIABLE }}` is taken from the environment |
//! | `password-file` | a file that holds the password |
//! | `client-id` | by which the broker knows the session; made of the table's name and number unless set |
//! | `client-prefix` | what such an id begins with; `headwater` unless set |
//! | `protocol-version` | `5` (unless set) or `3.1.1` |
//! | `tls.ca`, `tls.cert`, `tls.key` | files in PEM: whom to trust, unless it is those whom this machine trusts; the client's certificate |
//! | `max-packet-size` | how long a packet may be that comes in; 1 MiB unless set |
//! | `sink.retain` | sink: whether messages are kept for later subscribers |
//!
//! ## Messages and rows
//!
//! A payload is one record in the format of the table, JSON unless another is set (CSV, raw). Columns that are declared with `METADATA FROM
//! '…'` hold what is said about the message:
//!
//! | metadata | type | what it holds |
//! |---|---|---|
//! | `topic` | VARCHAR | the topic |
//! | `topic.N` | VARCHAR | its level N, from 1: in `plant/t7/temp` the device is `topic.2`; NULL if there is none |
//! | `qos` | INT | with what certainty it was published, or delivered |
//! | `retain` | BOOLEAN | whether it was published to be kept; from a broker elsewhere: whether it had been kept |
//! | `client_id` | VARCHAR | the client that published it; NULL from a broker elsewhere, which does not tell |
//! | `timestamp` | TIMESTAMP | when it came |
//! | `content_type`, `response_topic` | VARCHAR | as version 5 has them |
//! | `correlation_data` | BYTES | as version 5 has it |
//! | `user_properties` | VARCHAR | as version 5 has them: a JSON object |
//!
//! A row is published as one JSON object (or raw, if there is one column) of the columns that are not metadata; the column that is
//! declared with `METADATA FROM 'topic'` says where to instead of `topic`. A user property `key` holds `STREAM/SHARD/SEQUENCE`, by which a
//! receiver can tell what came twice; 3.1.1 has no such properties, there it is a field `_key` of the object.
//!
//! Firings of triggers are published, too: `trigger.rs`.
//!
//! ## What is promised
//!
//! - *From the broker of this process*: what is published with QoS 1 or 2 is acknowledged when its row is durable. From the moment on at
//!   which the table is there, nothing that was acknowledged is missing, whatever the log or the process do; while the log is away,
//!   publishers wait. Of QoS 2 each message is there once as long as the process lives. QoS 0 is recorded once if it
//!   was received; publishers that are faster than the log are not read from.
//! - *From a broker elsewhere*: what comes with QoS 1 or 2 is acknowledged when its row is durable. The broker keeps the
//!   session (a week, in version 5) while the connector is away. With QoS 2 each message is there once whenever the process dies, as the
//!   packet ids that are under way are stored with the rows; with QoS 1 what was not acknowledged comes again. Mosquitto may send a
//!   message of QoS 2 again after it has released it: that is known by its packet id and content until the broker has shown that it heard
//!   of the end (`exchanges.rs`). A broker that uses an id anew within that moment, for a message with the same topic and payload which it
//!   has to repeat, would lose that one.
//! - *To a broker*: a row counts as delivered when the broker has acknowledged it. After a crash some come twice, with the same key. A row
//!   whose own topic is none, or is not allowed, whose payload is refused, or whose message is longer than the broker takes is parked in
//!   `system.dead_letters`; if no row may be published, the sink stops. A broker that hangs up instead of refusing, as those of 3.1.1
//!   must, gets one row at a time then: the one over which it has done so three times is parked, and if it does so over each of nine rows,
//!   the sink stops.

mod config;
mod embedded;
mod exchanges;
mod rows;
mod sink;
mod source;
mod subscriber;
mod trigger;

pub use config::CONNECTOR;
pub(crate) use config::read_password;
pub use embedded::{forget, set_broker, unset_broker};
pub use trigger::PUBLISHER;
