//! How long to wait before trying again.

use std::time::Duration;

use headwater_core::World;

const FIRST: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(30);

/// Waits that double from a tenth of a second to half a minute, each cut by up to half at random, so that many who lost the same
/// server do not all come back at once.
#[derive(Default)]
pub struct Backoff {
    failures: u32,
}

impl Backoff {
    /// The wait after one more failure.
    pub fn next(&mut self, world: &World) -> Duration {
        let full = FIRST.saturating_mul(1 << self.failures.min(10)).min(LONGEST);
        self.failures += 1;
        let share = (world.random.next() >> 11) as f64 / (1_u64 << 53) as f64;
        full.mul_f64(0.5 + share / 2.0)
    }

    /// Begins anew after a success.
    pub fn reset(&mut self) {
        self.failures = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_a_bound_and_begin_anew() {
        let world = World::real();
        let mut backoff = Backoff::default();
        for attempt in 0..20 {
            let full = FIRST.saturating_mul(1 << attempt.min(10)).min(LONGEST);
            let wait = backoff.next(&world);
            assert!(wait >= full / 2 && wait <= full, "{attempt}: {wait:?}");
        }
        backoff.reset();
        assert!(backoff.next(&world) <= FIRST);
    }
}
