//! Activities that are not over, and instances that warm up after them.
//!
//! ```text
//!  decided ── launching ── finished ── warming up ── warmed up: it counts in metrics
//! ```

use headwater_core::EventTime;
use serde::{Deserialize, Serialize};

/// What came of one decision and is not forgotten yet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Activity {
    pub(super) number: u64,
    /// Instances that it adds; 0 if it takes away.
    pub(super) adds: i64,
    /// How long they warm up, nanoseconds.
    warmup: i64,
    /// The cooldown that it begins when it is over, nanoseconds.
    cooldown: Option<i64>,
    /// When the instances will have warmed up; `None`: the activity is in progress.
    until: Option<i64>,
}

/// All of them, in order.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(super) struct Activities(Vec<Activity>);

impl Activities {
    pub(super) fn begin(&mut self, number: u64, adds: i64, warmup: i64, cooldown: Option<i64>) {
        self.0.push(Activity { number, adds, warmup, cooldown, until: None });
    }

    /// Ends an activity. Answers the cooldown that it begins.
    pub(super) fn finish(&mut self, number: u64, at: EventTime, succeeded: bool) -> Option<i64> {
        let place =
            self.0.iter().position(|activity| activity.number == number && activity.until.is_none())?;
        let activity = &mut self.0[place];
        if !succeeded || activity.adds == 0 {
            let activity = self.0.remove(place);
            return activity.cooldown.filter(|_| succeeded);
        }
        activity.until = Some(at.0.saturating_add(activity.warmup));
        activity.cooldown
    }

    /// Forgets those whose instances have warmed up.
    pub(super) fn pass(&mut self, now: EventTime) {
        self.0.retain(|activity| activity.until.is_none_or(|until| until > now.0));
    }

    /// The oldest one in progress.
    pub(super) fn in_progress(&self) -> Option<u64> {
        self.0.iter().find(|activity| activity.until.is_none()).map(|activity| activity.number)
    }

    /// Instances that are launching or warming up.
    pub(super) fn warming(&self) -> i64 {
        self.0.iter().map(|activity| activity.adds).sum()
    }
}
