//! The options of the actuator `command`; `mod.rs` lists them.

use std::time::Duration;

use headwater_core::World;
use headwater_ingest::Options;
use reqwest::Url;

use super::actuator::CommandActuator;
use super::health::Health;
use crate::actuate::actuator::{Actuator, ActuatorContext};
use crate::actuate::kinds::ActuatorKind;
use crate::deliver::Allowed;
use crate::error::{ConnectorError, Result};
use crate::retry::positive;

/// The place of the worker's number in arguments and URLs.
const SLOT: &str = "{{ slot }}";

/// The registry's entry.
pub(in crate::actuate) const ACTUATOR: ActuatorKind =
    ActuatorKind { name: "command", summary: "starts and stops worker processes on this host", make };

/// What workers are.
#[derive(Clone, Debug)]
pub(super) struct Settings {
    pub(super) group: String,
    pub(super) token: String,
    /// The program and its arguments; no shell is involved.
    words: Vec<String>,
    pub(super) health: Health,
    pub(super) stop_timeout: Duration,
}

impl Settings {
    /// The program and the arguments of one worker.
    pub(super) fn words(&self, slot: u32) -> Vec<String> {
        self.words.iter().map(|word| with_slot(word, slot)).collect()
    }
}

/// Puts a worker's number in its place.
pub(super) fn with_slot(text: &str, slot: u32) -> String {
    text.replace(SLOT, &slot.to_string())
}

fn make(context: ActuatorContext, options: &mut Options) -> Result<Box<dyn Actuator>> {
    let ActuatorContext { world, group, token, allowed, .. } = context;
    let name = options.require("command")?;
    let mut words = program(&name, &allowed)?;
    let arguments = options.get("arguments").unwrap_or_default();
    // The place of a slot has blanks of its own.
    let arguments = arguments.replace(SLOT, "\u{0}");
    words.extend(arguments.split_whitespace().map(|word| word.replace('\u{0}', SLOT)));
    let health = health(&world, &allowed, options)?;
    let stop_timeout = options.duration("stop.timeout")?.unwrap_or(Duration::from_secs(30));
    let settings = Settings { group, token, words, health, stop_timeout };
    Ok(Box::new(CommandActuator::new(world, settings)))
}

fn program(name: &str, allowed: &Allowed) -> Result<Vec<String>> {
    let found = allowed.worker(name);
    let refused = |reason| ConnectorError::refused(format!("command '{name}'"), reason);
    found.map(<[String]>::to_vec).map_err(refused)
}

fn health(world: &World, allowed: &Allowed, options: &mut Options) -> Result<Health> {
    let command = options.get("health.command").map(|name| program(&name, allowed)).transpose()?;
    let url = options.get("health.url");
    if let Some(url) = &url {
        let refused = |reason: String| ConnectorError::refused(format!("health.url '{url}'"), reason);
        let parsed = Url::parse(&with_slot(url, 0)).map_err(|error| refused(error.to_string()))?;
        allowed.check_url(&parsed).map_err(refused)?;
    }
    Ok(Health {
        world: world.clone(),
        allowed: allowed.clone(),
        command,
        url,
        interval: options.duration("health.interval")?.unwrap_or(Duration::from_secs(10)),
        timeout: options.duration("health.timeout")?.unwrap_or(Duration::from_secs(5)),
        failures: options.parse_with("health.failures", positive)?.unwrap_or(3),
        grace: options.duration("health.grace")?.unwrap_or(Duration::from_secs(60)),
    })
}
