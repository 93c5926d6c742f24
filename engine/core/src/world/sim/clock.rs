//! Time that passes only when somebody says so.

use std::time::Duration;

use parking_lot::Mutex;

use crate::time::EventTime;
use crate::world::Clock;

/// The wall clock's reading when a simulation starts: 2026-01-01T00:00:00Z.
const START: EventTime = EventTime(1_767_225_600_000_000_000);

/// The clocks of a simulated machine.
pub struct SimClock {
    now: Mutex<Now>,
}

struct Now {
    wall: EventTime,
    monotonic: Duration,
}

impl SimClock {
    /// Clocks that stand still.
    pub fn new() -> Self {
        Self { now: Mutex::new(Now { wall: START, monotonic: Duration::ZERO }) }
    }

    /// Lets time pass, on both clocks.
    pub fn advance(&self, by: Duration) {
        let mut now = self.now.lock();
        now.wall = now.wall.plus(by);
        now.monotonic += by;
    }

    /// Sets the wall clock, forward or back. The monotonic clock does not notice.
    pub fn set_wall(&self, to: EventTime) {
        self.now.lock().wall = to;
    }
}

impl Default for SimClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SimClock {
    fn now(&self) -> EventTime {
        self.now.lock().wall
    }

    fn monotonic(&self) -> Duration {
        self.now.lock().monotonic
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wall_clock_can_be_set_back_the_monotonic_one_not() {
        let clock = SimClock::new();
        clock.advance(Duration::from_secs(5));
        assert_eq!(clock.now(), START.plus(Duration::from_secs(5)));
        clock.set_wall(EventTime(3));
        assert_eq!(clock.now(), EventTime(3));
        assert_eq!(clock.monotonic(), Duration::from_secs(5));
    }
}
