//! The options that all actuators have; `mod.rs` lists them.

use std::collections::BTreeMap;
use std::time::Duration;

use headwater_ingest::Options;

use super::actuator::{Actuator, ActuatorContext};
use super::kinds::kind;
use crate::error::Result;
use crate::retry::{Retry, positive};

/// A scaling group whose decisions are carried out.
#[derive(Clone, Debug)]
pub struct ActuatorDef {
    /// The group.
    pub group: String,
    /// What tells it from a group that had its name before.
    pub identity: String,
    /// The actuator's name.
    pub actuator: String,
    /// The size that the group begins with.
    pub size: u64,
    /// Its bounds.
    pub bounds: (u64, u64),
    /// The options as they were written.
    pub options: BTreeMap<String, String>,
}

/// An actuator, and how it is to be tried.
pub(crate) struct Made {
    pub(super) actuator: Box<dyn Actuator>,
    pub(super) retry: Retry,
    /// Of an attempt.
    pub(super) timeout: Duration,
}

/// Makes an actuator. An option that nobody knows is an error. The context's group is that of the definition.
pub(crate) fn make(def: &ActuatorDef, context: ActuatorContext) -> Result<Made> {
    let mut options = Options::new("the actuator", def.options.iter());
    let retry = Retry {
        attempts: options.parse_with("attempts", positive)?.unwrap_or(16),
        first: options.duration("retry.first")?.unwrap_or(Duration::from_secs(1)),
        longest: options.duration("retry.longest")?.unwrap_or(Duration::from_secs(60)),
    };
    let timeout = options.duration("timeout")?.unwrap_or(Duration::from_secs(600));
    let actuator = (kind(&def.actuator)?.make)(context, &mut options)?;
    options.finish()?;
    Ok(Made { actuator, retry, timeout })
}
