//! Which actuators there are. Adding one is a file and a line here, or a crate and a call of [`add_actuator`].

use headwater_ingest::{Options, nearest};
use parking_lot::Mutex;

use super::actuator::{Actuator, ActuatorContext};
use super::{command, job, webhook};
use crate::error::{ConnectorError, Result};

/// A kind of actuator: what it is called, and how to make one. Making one checks its options and touches nothing outside.
#[derive(Clone, Copy)]
pub struct ActuatorKind {
    /// The name, as `actuator = '…'` has it.
    pub name: &'static str,
    /// What it is, in a few words.
    pub summary: &'static str,
    /// Makes one. It takes its own options; what it leaves is an error.
    pub make: fn(ActuatorContext, &mut Options) -> Result<Box<dyn Actuator>>,
}

/// Those of this crate, by name.
const ACTUATORS: &[ActuatorKind] = &[command::ACTUATOR, job::ACTUATOR, webhook::ACTUATOR];

/// Those that live in crates of their own, as the binary has added them.
static ADDED: Mutex<Vec<&'static ActuatorKind>> = Mutex::new(Vec::new());

/// Adds an actuator that lives in a crate of its own. The binary does it before anything is made; twice is once.
pub fn add_actuator(kind: &'static ActuatorKind) {
    let mut added = ADDED.lock();
    if added.iter().all(|known| known.name != kind.name) {
        added.push(kind);
    }
}

/// The actuator of this name.
pub(super) fn kind(name: &str) -> Result<&'static ActuatorKind> {
    let added = ADDED.lock().clone();
    let all = || ACTUATORS.iter().chain(added.iter().copied());
    let wanted = name.trim().to_ascii_lowercase();
    all().find(|kind| kind.name == wanted).ok_or_else(|| {
        let names = || ["dry_run", "external"].into_iter().chain(all().map(|kind| kind.name));
        let hint = match nearest(&wanted, names()) {
            Some(near) => format!("did you mean '{near}'?"),
            None => format!("there are {}", names().collect::<Vec<_>>().join(", ")),
        };
        ConnectorError::refused(format!("actuator '{name}'"), format!("there is none of that name; {hint}"))
    })
}
