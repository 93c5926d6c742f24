//! The time of day and the time that has passed.

use std::time::{Duration, Instant, SystemTime};

use crate::time::EventTime;

/// Tells the time. The wall clock may be set back by its owner; the monotonic one never goes back.
pub trait Clock: Send + Sync {
    /// The wall clock, UTC.
    fn now(&self) -> EventTime;
    /// Time since some fixed point; only differences mean anything.
    fn monotonic(&self) -> Duration;
}

/// The clocks of this machine.
pub struct RealClock {
    start: Instant,
}

impl RealClock {
    /// Starts the monotonic clock at zero.
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the machine's clocks")]
    pub fn new() -> Self {
        Self { start: Instant::now() }
    }
}

impl Default for RealClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for RealClock {
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the machine's clocks")]
    fn now(&self) -> EventTime {
        let since_epoch = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        EventTime(i64::try_from(since_epoch.as_nanos()).unwrap_or(i64::MAX))
    }

    fn monotonic(&self) -> Duration {
        self.start.elapsed()
    }
}
