//! When to try again what one receiver has not taken, and when to give it up.

use std::time::Duration;

use headwater_core::World;
use headwater_ingest::{OptionError, Options};

/// When to try again.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Retry {
    /// How often at most, the first time included.
    pub attempts: u32,
    /// The wait after the first attempt; each is twice the one before ..
    pub first: Duration,
    /// .. up to this one.
    pub longest: Duration,
}

impl Retry {
    /// Takes the options `attempts`, `retry.first` and `retry.longest`: 16 attempts, waits from a second to an hour, unless they are set.
    pub(crate) fn take(options: &mut Options) -> Result<Self, OptionError> {
        Ok(Self {
            attempts: options.parse_with("attempts", positive)?.unwrap_or(16),
            first: options.duration("retry.first")?.unwrap_or(Duration::from_secs(1)),
            longest: options.duration("retry.longest")?.unwrap_or(Duration::from_secs(3_600)),
        })
    }

    /// The wait after so many attempts, cut by up to half at random, and not before the receiver wants to be asked again.
    pub(crate) fn wait(&self, attempts: u32, not_before: Option<Duration>, world: &World) -> Duration {
        let doubled = self.first.saturating_mul(1 << attempts.saturating_sub(1).min(30)).min(self.longest);
        let share = (world.random.next() >> 11) as f64 / (1_u64 << 53) as f64;
        let wait = doubled.mul_f64(0.5 + share / 2.0);
        wait.max(not_before.unwrap_or_default().min(self.longest))
    }
}

/// A number above 0.
pub(crate) fn positive(text: &str) -> Result<u32, String> {
    match text.trim().parse() {
        Ok(number) if number > 0 => Ok(number),
        _ => Err("it is a number above 0".to_owned()),
    }
}
