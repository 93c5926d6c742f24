//! What every actuator is.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use headwater_core::{EventTime, World};

use crate::deliver::Allowed;
use crate::error::Result;

/// A decision of a scaling group that changes its size.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Activity {
    /// The group.
    pub group: String,
    /// Names the decision for ever, at each attempt alike: `GROUP/STREAM/NUMBER`, where `STREAM` tells the group from one that had
    /// its name before.
    pub id: String,
    /// Its number within the group, from 1; 0 is the size that the group begins with.
    pub number: u64,
    /// When it was decided, in event time.
    pub at: EventTime,
    /// The policy or scheduled action; empty for activity 0.
    pub by: String,
    /// The size before.
    pub before: u64,
    /// The size to be reached.
    pub size: u64,
    /// The bounds of the group.
    pub bounds: (u64, u64),
    /// Why.
    pub reason: String,
}

/// Something that an actuator did without being told to, for `system.scaling_attempts`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deed {
    /// One word, such as `replace`.
    pub action: &'static str,
    /// Whether it worked.
    pub succeeded: bool,
    /// To what, and why.
    pub detail: String,
}

/// Drives something whose size can be set.
///
/// Making one checks its options and touches nothing outside.
#[async_trait]
pub trait Actuator: Send {
    /// Brings what it drives to the activity's size and waits until it is there: what was added works, what was taken away is gone.
    /// Answers what was done, for people.
    ///
    /// MUST go on from whatever there is: it is called again for the same activity after a failure and after a crash, and it may be
    /// dropped at any `await` because a newer activity has come, which is then asked for in its place. An error of the kind
    /// `Outage` is tried again; any other gives the activity up.
    async fn scale(&mut self, activity: &Activity) -> Result<String>;

    /// Brings what it drives back to a size that was reached before the process ended. Only for what does not outlive the process;
    /// the others do nothing.
    async fn resume(&mut self, _size: u64) -> Result<()> {
        Ok(())
    }

    /// How often it wants to look after what it drives; `None`: never.
    fn tends_every(&self) -> Option<Duration> {
        None
    }

    /// Looks after what it drives, between activities. Answers what it did.
    async fn tend(&mut self) -> Result<Vec<Deed>> {
        Ok(Vec::new())
    }

    /// The group is dropped, or the engine closes.
    async fn stop(&mut self) {}
}

/// What an actuator is made with.
#[derive(Clone)]
pub struct ActuatorContext {
    /// Clock and randomness.
    pub world: World,
    /// The group.
    pub group: String,
    /// Tells what this group has started outside from what anybody else has: random, and the same after a restart. Empty while only
    /// options are checked.
    pub token: String,
    /// What the operator's configuration allows.
    pub allowed: Allowed,
    /// Sets how many workers a job of the engine has.
    pub set_workers: SetWorkers,
}

/// Sets how many workers a job of the engine has that runs the actuator, and answers how many it has now; `None` only asks.
pub type SetWorkers = Arc<dyn Fn(&str, Option<usize>) -> Result<usize, String> + Send + Sync>;
