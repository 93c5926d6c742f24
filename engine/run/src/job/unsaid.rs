//! Steps that leave nothing but how far they went: their lines in the journal are put together.
//!
//! A filter that lets no row pass says nothing, and what it lets pass into a black hole is nothing to the log. Without state such steps
//! are as good as one: done again, all their rows give what they gave step by step. So the line waits for the next step that says
//! something, for a while, or until there are so many rows that a step should not take more. Killed before that, the job takes the rows
//! again.
//!
//! ```text
//!   steps      a    b    c    d!   e    f    g*        ! says something   * a shard falls idle, wakes or ends
//!   lines      a    ·    ·    b..d ·    e..f g
//! ```
//!
//! The first step is written down in any case: from then on it is known where the job began. Steps come to the same watermark together
//! as one by one if the same shards count in all of them, since the watermark is the least of theirs. One that was idle wakes at the
//! watermark of the step before: so that must not be another when it is done again.

use std::time::Duration;

use headwater_core::EventTime;

use super::pipeline::{Cut, Step, Taken};

/// Steps of more rows than this, together, are written down: they are done again as one, in memory.
const ROWS_MAX: u64 = 65_536;

/// How long a line waits.
const PATIENCE: Duration = Duration::from_secs(1);

/// What waits to be written down.
pub(super) struct Unsaid {
    /// How far the last of the steps went.
    pub cut: Cut,
    /// How far each source has been taken with it.
    pub taken: Vec<Taken>,
    /// The watermark after it.
    pub watermark: EventTime,
    rows: u64,
    since: Duration,
}

impl Unsaid {
    /// What waits after a step that says nothing; `None`: it does not wait.
    pub fn after(before: Option<Self>, step: &Step, now: Duration) -> Option<Self> {
        let (rows, since) = before.map_or((0, now), |before| (before.rows, before.since));
        let rows = rows + step.rows_in;
        let waits = step.rows_in > 0 && step.cut.advance.is_none() && rows <= ROWS_MAX;
        let (watermark, taken) = (step.watermark, &step.taken);
        waits.then(|| Self { cut: step.cut.clone(), taken: taken.clone(), watermark, rows, since })
    }

    /// Whether a step can be done again as one with those that wait.
    pub fn goes_with(&self, step: &Step) -> bool {
        let counts = |cut: &Cut| -> Vec<(bool, bool)> {
            cut.shards.iter().flatten().map(|shard| (shard.idle, shard.ended)).collect()
        };
        step.cut.advance.is_none() && counts(&self.cut) == counts(&step.cut)
    }

    /// How long it still waits.
    pub fn patience(&self, now: Duration) -> Duration {
        (self.since + PATIENCE).saturating_sub(now)
    }
}
