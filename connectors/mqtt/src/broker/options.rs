//! The bounds of a broker.

use std::time::Duration;

/// The bounds of a broker.
#[derive(Clone, Debug)]
pub struct BrokerOptions {
    /// How long a packet may be, in bytes. At most 268,435,455, which is the protocol's own bound.
    pub packet_bytes_max: u32,
    /// How many publications of one session may wait for their acknowledgement, in either direction.
    pub in_flight_max: u16,
    /// How many messages may wait for one session.
    pub queue_messages_max: usize,
    /// How many bytes may wait for one session.
    pub queue_bytes_max: usize,
    /// How many messages may wait to be recorded into one stream before publishers are held back.
    pub recorder_messages_max: usize,
    /// How many bytes may wait to be recorded into one stream before publishers are held back.
    pub recorder_bytes_max: usize,
    /// How long a session lives without a connection, at most.
    pub session_expiry_max: Duration,
    /// How many topics may hold a retained message.
    pub retained_max: usize,
    /// How long a client may be silent that asks for no limit itself.
    pub keep_alive_max: Option<Duration>,
    /// How long a new connection may take until its CONNECT is there.
    pub connect_timeout: Duration,
    /// How many connections there may be.
    pub connections_max: usize,
    /// How often the broker tells about itself under `$SYS/`; not at all if `None`.
    pub figures_interval: Option<Duration>,
}

impl BrokerOptions {
    /// How many topics a client may give a number to.
    pub(crate) const TOPIC_ALIASES_MAX: u16 = 64;
}

impl Default for BrokerOptions {
    fn default() -> Self {
        Self {
            packet_bytes_max: 1 << 20,
            in_flight_max: 1_000,
            queue_messages_max: 10_000,
            queue_bytes_max: 64 << 20,
            recorder_messages_max: 65_536,
            recorder_bytes_max: 64 << 20,
            session_expiry_max: Duration::from_secs(7 * 86_400),
            retained_max: 100_000,
            keep_alive_max: None,
            connect_timeout: Duration::from_secs(10),
            connections_max: 50_000,
            figures_interval: Some(Duration::from_secs(10)),
        }
    }
}
