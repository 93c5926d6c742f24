//! Time when nothing comes: shards fall idle, and when all are, time goes on by the wall clock from where the rows left it, as long as
//! there is state that waits for it.

use std::time::Duration;

use headwater_core::{EventTime, World};

use super::pipeline::{Pipeline, Step};
use crate::error::Result;

/// When all is quiet, how often time goes on by the wall clock.
const ADVANCE_INTERVAL: Duration = Duration::from_secs(1);

/// Since when a pipeline has had no rows.
pub(crate) struct Quiet {
    /// The wall clock when rows last came.
    last_rows: EventTime,
    /// When time last went on by itself.
    last_advance: Option<Duration>,
}

impl Quiet {
    /// From now on.
    pub fn begin(world: &World) -> Self {
        Self { last_rows: world.clock.now(), last_advance: None }
    }

    /// Rows came just now.
    pub fn rows_came(&mut self, world: &World) {
        self.last_rows = world.clock.now();
    }

    /// The step that is taken when no rows are there, if that changes anything.
    pub fn step(&mut self, pipeline: &mut Pipeline, world: &World, now: Duration) -> Result<Option<Step>> {
        let waiting = pipeline.executor().waits_for_time();
        let latest = pipeline.latest();
        let now_wall = world.clock.now();
        let reached = match pipeline.is_in_processing_time() {
            true => now_wall,
            false => EventTime(latest.0.saturating_add(now_wall.0.saturating_sub(self.last_rows.0).max(0))),
        };
        // The clock is ahead of the last step again as soon as that is done: without a rest, one step would follow the other.
        let rested = self.last_advance.is_none_or(|last| now.saturating_sub(last) >= ADVANCE_INTERVAL);
        let advance = (waiting && rested && latest > EventTime::MIN).then_some(reached);
        let step = pipeline.step_idle(now, advance)?;
        if step.as_ref().is_some_and(|step| step.cut.advance.is_some()) {
            self.last_advance = Some(now);
        }
        Ok(step)
    }

    /// When to look again although no rows came: a shard may fall idle, time may have to be moved on.
    pub fn deadline(pipeline: &mut Pipeline, now: Duration) -> Option<Duration> {
        let idle = pipeline.idle_in(now);
        let moves_on = pipeline.all_idle() && pipeline.executor().waits_for_time();
        let idle = idle.map(|time| if moves_on { time.min(ADVANCE_INTERVAL) } else { time });
        idle.map(|time| time.max(Duration::from_millis(1)))
    }
}
