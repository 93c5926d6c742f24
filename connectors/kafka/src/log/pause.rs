//! Waits between attempts while a cluster does not answer, until that is told as an outage.

use std::time::Duration;

use headwater_core::World;
use parking_lot::{Condvar, Mutex};

const FIRST: Duration = Duration::from_millis(50);
const LONGEST: Duration = Duration::from_secs(3);

/// Waits that double up to a few seconds, each cut by up to half at random, and begin anew after a success.
#[derive(Default)]
pub(super) struct Pause {
    failures: Mutex<u32>,
    never: Condvar,
}

impl Pause {
    /// Waits after one more failure.
    pub fn take(&self, world: &World) {
        let mut failures = self.failures.lock();
        let full = FIRST.saturating_mul(1 << (*failures).min(10)).min(LONGEST);
        *failures += 1;
        let share = (world.random.next() >> 11) as f64 / (1_u64 << 53) as f64;
        // Nobody wakes it: the calls of a log block, and this is one of them.
        self.never.wait_for(&mut failures, full.mul_f64(0.5 + share / 2.0));
    }

    /// Begins anew.
    pub fn reset(&self) {
        *self.failures.lock() = 0;
    }
}
