//! Keeps as many workers running as a scaling group is large, each a process by a command.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::time::Duration;

use async_trait::async_trait;
use headwater_core::World;

use super::config::Settings;
use super::orphans;
use super::worker::Worker;
use crate::actuate::actuator::{Activity, Actuator, Deed};
use crate::error::{ConnectorError, Result};

/// Without checks a worker is well when it has lived for so long.
const SETTLES: Duration = Duration::from_secs(1);

/// How often workers are looked after while they are waited for.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// How often it is looked whether workers have ended.
const TENDS: Duration = Duration::from_secs(1);

/// How long the start of a worker is put off that ends again and again.
const PUT_OFF_FIRST: Duration = Duration::from_secs(1);
const PUT_OFF_LONGEST: Duration = Duration::from_secs(60);

pub(super) struct CommandActuator {
    world: World,
    settings: Settings,
    size: u32,
    workers: BTreeMap<u32, Worker>,
    /// Slots whose worker has ended: how often in a row, and when the next may be started.
    troubles: BTreeMap<u32, Trouble>,
    /// Whether it was looked for what a former life has left.
    has_looked: bool,
    checked: Duration,
}

#[derive(Clone, Copy, Default)]
struct Trouble {
    times: u32,
    not_before: Duration,
}

impl CommandActuator {
    pub(super) fn new(world: World, settings: Settings) -> Self {
        let checked = world.clock.monotonic();
        Self {
            world,
            settings,
            size: 0,
            workers: BTreeMap::new(),
            troubles: BTreeMap::new(),
            has_looked: false,
            checked,
        }
    }

    fn now(&self) -> Duration {
        self.world.clock.monotonic()
    }

    /// Takes over what a former life has left. Of two of one slot, which a crash between two starts cannot make but people can, the
    /// younger is stopped.
    fn take_over(&mut self) {
        if std::mem::replace(&mut self.has_looked, true) {
            return;
        }
        for orphan in orphans::find(&self.settings.token) {
            let worker = Worker::take_over(orphan, self.now());
            match self.workers.entry(orphan.slot) {
                Entry::Occupied(_) => worker.ask_to_end(),
                Entry::Vacant(place) => {
                    place.insert(worker);
                }
            }
        }
    }

    /// Forgets workers that have ended; answers which slots, and how.
    fn reap(&mut self) -> Vec<(u32, String)> {
        let mut ended = Vec::new();
        for (slot, worker) in &mut self.workers {
            if let Some(how) = worker.end() {
                // Whoever it has started itself ends with it.
                worker.ask_to_end();
                ended.push((*slot, how));
            }
        }
        for (slot, _) in &ended {
            let lived = self.workers.remove(slot).map(|worker| self.now().saturating_sub(worker.since));
            self.note_trouble(*slot, lived.unwrap_or_default());
        }
        ended
    }

    /// A worker that has lived for long begins anew with its troubles.
    fn note_trouble(&mut self, slot: u32, lived: Duration) {
        let now = self.now();
        let trouble = self.troubles.entry(slot).or_default();
        if lived > PUT_OFF_LONGEST {
            *trouble = Trouble::default();
        }
        let wait = PUT_OFF_FIRST.saturating_mul(1 << trouble.times.min(10)).min(PUT_OFF_LONGEST);
        // The first time it is replaced at once.
        trouble.not_before = if trouble.times == 0 { now } else { now + wait };
        trouble.times += 1;
    }

    /// Starts what is missing and may be started. The error is of the first that cannot be.
    fn start_missing(&mut self, at_once: bool) -> Result<Vec<u32>> {
        let mut started = Vec::new();
        for slot in (0..self.size).filter(|slot| !self.workers.contains_key(slot)).collect::<Vec<_>>() {
            let now = self.now();
            if !at_once && self.troubles.get(&slot).is_some_and(|trouble| now < trouble.not_before) {
                continue;
            }
            let worker = Worker::start(&self.settings, slot, now)
                .map_err(|reason| ConnectorError::outage(format!("worker {slot}"), reason))?;
            self.workers.insert(slot, worker);
            started.push(slot);
        }
        Ok(started)
    }

    /// Stops workers, all at the same time. If this is dropped midway they are still there, and asked again.
    async fn stop_workers(&mut self, slots: &[u32]) {
        let asked = |slot: &u32| self.workers.get(slot).inspect(|worker| worker.ask_to_end()).is_some();
        let slots: Vec<u32> = slots.iter().copied().filter(|slot| asked(slot)).collect();
        for slot in slots {
            if let Some(worker) = self.workers.get_mut(&slot) {
                worker.ended(&self.world, self.settings.stop_timeout).await;
            }
            self.workers.remove(&slot);
            self.troubles.remove(&slot);
        }
    }

    /// Brings the workers to a size.
    async fn bring_to(&mut self, size: u64) -> Result<String> {
        self.size = u32::try_from(size).unwrap_or(u32::MAX);
        self.take_over();
        self.reap();
        let before = self.workers.len();
        let surplus: Vec<u32> = self.workers.keys().copied().filter(|slot| *slot >= self.size).collect();
        self.stop_workers(&surplus).await;
        let started = self.start_missing(true)?;
        self.until_well().await?;
        Ok(format!(
            "{before} workers before, {} started, {} stopped, {} now",
            started.len(),
            surplus.len(),
            self.workers.len()
        ))
    }

    /// Waits until all workers are well. One that ends meanwhile is an error.
    async fn until_well(&mut self) -> Result<()> {
        loop {
            if let Some((slot, how)) = self.reap().into_iter().next() {
                return Err(ConnectorError::outage(format!("worker {slot}"), how));
            }
            let Some(slot) = self.workers.iter().find(|(_, worker)| !worker.was_well).map(|(slot, _)| *slot)
            else {
                return Ok(());
            };
            let (pid, since) = match self.workers.get(&slot) {
                Some(worker) => (worker.pid(), worker.since),
                None => continue,
            };
            let lived = self.now().saturating_sub(since);
            let health = self.settings.health.clone();
            let is_well = if health.has_checks() {
                let checked = health.check(&self.settings.group, slot, pid).await;
                if let Err(reason) = &checked
                    && lived > health.grace
                {
                    let reason = format!("it is not well after {:?}: {reason}", health.grace);
                    return Err(ConnectorError::outage(format!("worker {slot}"), reason));
                }
                checked.is_ok()
            } else {
                lived >= SETTLES
            };
            if let Some(worker) = self.workers.get_mut(&slot) {
                worker.was_well = is_well;
            }
            if !is_well {
                tokio::time::sleep(LOOK_AGAIN).await;
            }
        }
    }

    /// Checks all workers; answers which are not well, and why.
    async fn check(&mut self) -> Vec<(u32, String)> {
        let mut unwell = Vec::new();
        let health = self.settings.health.clone();
        if !health.has_checks() || self.now().saturating_sub(self.checked) < health.interval {
            return unwell;
        }
        self.checked = self.now();
        let workers: Vec<(u32, i32)> =
            self.workers.iter().map(|(slot, worker)| (*slot, worker.pid())).collect();
        for (slot, pid) in workers {
            let checked = health.check(&self.settings.group, slot, pid).await;
            let now = self.now();
            let Some(worker) = self.workers.get_mut(&slot) else { continue };
            match checked {
                Ok(()) => (worker.failures, worker.was_well) = (0, true),
                Err(reason) => {
                    worker.failures += 1;
                    if worker.failures >= health.failures && now.saturating_sub(worker.since) > health.grace {
                        unwell.push((slot, format!("{} checks in a row failed: {reason}", worker.failures)));
                    }
                }
            }
        }
        unwell
    }
}

#[async_trait]
impl Actuator for CommandActuator {
    async fn scale(&mut self, activity: &Activity) -> Result<String> {
        self.bring_to(activity.size).await
    }

    async fn resume(&mut self, size: u64) -> Result<()> {
        self.bring_to(size).await.map(drop)
    }

    fn tends_every(&self) -> Option<Duration> {
        Some(self.settings.health.interval.min(TENDS))
    }

    async fn tend(&mut self) -> Result<Vec<Deed>> {
        let ended = self.reap();
        let unwell = self.check().await;
        for (slot, _) in &unwell {
            self.stop_workers(&[*slot]).await;
            self.note_trouble(*slot, Duration::ZERO);
        }
        let mut deeds: Vec<Deed> = ended
            .into_iter()
            .chain(unwell)
            .map(|(slot, why)| Deed {
                action: "remove",
                succeeded: true,
                detail: format!("worker {slot}: {why}"),
            })
            .collect();
        match self.start_missing(false) {
            Ok(started) => deeds.extend(started.into_iter().map(|slot| Deed {
                action: "replace",
                succeeded: true,
                detail: format!("worker {slot} was started anew"),
            })),
            Err(error) => {
                // Tried again with the next look, not before its time.
                for slot in (0..self.size).filter(|slot| !self.workers.contains_key(slot)).collect::<Vec<_>>()
                {
                    self.note_trouble(slot, Duration::ZERO);
                }
                deeds.push(Deed { action: "replace", succeeded: false, detail: error.to_string() });
            }
        }
        Ok(deeds)
    }

    async fn stop(&mut self) {
        self.take_over();
        let all: Vec<u32> = self.workers.keys().copied().collect();
        self.stop_workers(&all).await;
    }
}
