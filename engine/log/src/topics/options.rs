//! What can be set about a log on topics.

use std::time::Duration;

use crate::batch::Limits;

/// The most that one batch takes; a larger append becomes several batches of one group. Brokers hold a message in memory as a whole.
pub(crate) const LIMITS: Limits = Limits { rows: 1 << 20, header_bytes: 4 << 20, total_bytes: 8 << 20 };

/// Settings of a [`super::TopicLog`].
#[derive(Clone, PartialEq, Debug)]
pub struct TopicLogOptions {
    /// `submit` blocks while more bytes than this wait to be written. Default 256 MiB.
    pub queue_bytes: u64,
    /// How many bytes of the newest batches stay in memory, so that who follows the log asks no broker. Default 64 MiB.
    pub recent_bytes: usize,
    /// How often retention is looked at. Default one minute.
    pub retention_interval: Duration,
}

impl Default for TopicLogOptions {
    fn default() -> Self {
        Self { queue_bytes: 256 << 20, recent_bytes: 64 << 20, retention_interval: Duration::from_secs(60) }
    }
}
