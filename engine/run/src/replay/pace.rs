//! A replay at a multiple of real time: small steps, each of which waits until as much real time has passed as its event time
//! asks for.

use std::time::Duration;

use headwater_core::EventTime;
use headwater_plan::Dataflow;
use parking_lot::{Condvar, Mutex};

use super::watch::Watched;
use crate::engine::Inner;
use crate::error::{Result, RunError};

/// The most rows of a step when it matters when they come.
pub(super) const PACED_ROWS: usize = 64;

/// Lets event time pass at a multiple of real time.
pub(super) struct Pace {
    speed: f64,
    /// Where event time and the monotonic clock were at the first step.
    began: Option<(EventTime, Duration)>,
    nudge: (Mutex<()>, Condvar),
}

impl Pace {
    /// Checks that there is time that could pass.
    pub fn new(inner: &Inner, dataflow: &Dataflow, speed: f64) -> Result<Self> {
        inner.check_open()?;
        if !(speed.is_finite() && speed > 0.0) {
            return Err(RunError::Invalid(format!("{speed} is no speed; 60 lets a minute pass in a second")));
        }
        if dataflow.sources.iter().all(|source| source.watermark.is_none()) {
            return Err(RunError::Invalid(
                "no stream that the job reads has event time, so there is no speed at which it could pass"
                    .into(),
            ));
        }
        Ok(Self { speed, began: None, nudge: (Mutex::new(()), Condvar::new()) })
    }

    /// Waits until it is time for what happened at `reached`.
    pub fn wait(&mut self, inner: &Inner, watched: &Watched, reached: EventTime) -> Result<()> {
        if reached == EventTime::MIN {
            return Ok(());
        }
        let clock = &inner.world.clock;
        let (from, began) = *self.began.get_or_insert_with(|| (reached, clock.monotonic()));
        let passed = reached.0.saturating_sub(from.0).max(0) as f64 / self.speed;
        let due = began.saturating_add(Duration::from_nanos(passed as u64));
        loop {
            let now = clock.monotonic();
            if now >= due {
                return Ok(());
            }
            watched.check(inner)?;
            if !inner.world.tasks.drive() {
                // Nobody nudges: this is a pause that looks up now and then whether it is to end.
                let pause = (due - now).min(Duration::from_millis(200));
                self.nudge.1.wait_for(&mut self.nudge.0.lock(), pause);
            }
        }
    }
}
