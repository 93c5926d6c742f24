//! Carries out one activity: attempts until it is done, given up, or superseded by a newer one; and what is written down of each.

use std::pin::{Pin, pin};
use std::time::Duration;

use headwater_core::EventTime;

use super::ActuatorTask;
use super::place::{CURSOR, SIZE, mark};
use crate::actuate::actuator::{Activity, Actuator};
use crate::actuate::feed::{Decided, Feed};
use crate::actuate::ledger::{Entry, Outcome, Progress};
use crate::error::{ConnectorError, Result};
use crate::retry::Retry;

/// What the actuator is to do.
pub(super) enum What {
    Scale(Activity),
    Resume(u64),
}

impl What {
    pub(super) fn size(&self) -> u64 {
        match self {
            Self::Scale(activity) => activity.size,
            Self::Resume(size) => *size,
        }
    }
}

/// How often and how long it is tried.
#[derive(Clone, Copy)]
pub(super) struct How {
    pub(super) retry: Retry,
    /// Of an attempt.
    pub(super) timeout: Duration,
}

impl How {
    /// A single attempt.
    pub(super) const fn once(self) -> Self {
        Self { retry: Retry { attempts: 1, ..self.retry }, ..self }
    }
}

/// What ended a wait.
enum Waited<T> {
    Over(T),
    Newer,
    Stopped,
}

/// How an attempt ended.
enum Ended {
    Answer(Result<String>),
    /// There are newer activities.
    Superseded,
    Stopped,
}

/// What was read and is not settled; the last one is being carried out.
#[derive(Default)]
pub(super) struct Pending {
    pub(super) all: Vec<Decided>,
    /// How many of them have their row that says that they are superseded.
    noted: usize,
}

impl ActuatorTask {
    /// Tries until it is done, given up, superseded, or told to stop; writes down what came of it. Answers whether it was given up.
    pub(super) async fn carry_out(
        &mut self,
        actuator: &mut dyn Actuator,
        what: What,
        how: How,
        feed: &mut Feed,
        pending: &mut Pending,
    ) -> Result<bool> {
        self.size = what.size();
        self.note_superseded(pending, 0).await?;
        for number in 1.. {
            let (began, clock) = (self.world.clock.now(), self.world.clock.monotonic());
            let ended = self.attempt(actuator, &what, how.timeout, feed, pending).await?;
            let entry = self.entry(&what, number, began, clock);
            let error = match ended {
                Ended::Stopped => return Ok(false),
                Ended::Superseded => {
                    self.note_superseded(pending, number).await?;
                    return Ok(false);
                }
                Ended::Answer(Ok(detail)) => {
                    let entry = Entry { detail: Some(detail), ..entry };
                    self.settle(entry, true, feed.next, pending).await?;
                    return Ok(false);
                }
                Ended::Answer(Err(error)) => error,
            };
            self.note_failure(error.to_string());
            let entry = Entry { outcome: Outcome::Failed, detail: Some(error.to_string()), ..entry };
            if !error.is_retryable() || number >= how.retry.attempts {
                let entry = Entry { outcome: Outcome::Parked, ..entry };
                self.settle(entry, false, feed.next, pending).await?;
                return Ok(true);
            }
            let wait = how.retry.wait(number, None, &self.world);
            let next_try = Some(self.world.clock.now().plus(wait));
            self.append(&[Entry { next_try, ..entry }], &[], Vec::new()).await?;
            match self.until_newer(pin!(tokio::time::sleep(wait)), feed, pending).await? {
                Waited::Over(()) => {}
                Waited::Newer => {
                    self.note_superseded(pending, 0).await?;
                    return Ok(false);
                }
                Waited::Stopped => return Ok(false),
            }
        }
        Ok(false)
    }

    /// One attempt, which a newer activity cuts short.
    async fn attempt(
        &self,
        actuator: &mut dyn Actuator,
        what: &What,
        timeout: Duration,
        feed: &mut Feed,
        pending: &mut Pending,
    ) -> Result<Ended> {
        let work = async {
            match what {
                What::Scale(activity) => actuator.scale(activity).await,
                What::Resume(size) => {
                    actuator.resume(*size).await.map(|()| "as before the restart".to_owned())
                }
            }
        };
        let work = pin!(tokio::time::timeout(timeout, work));
        Ok(match self.until_newer(work, feed, pending).await? {
            Waited::Over(Ok(answer)) => Ended::Answer(answer),
            Waited::Over(Err(_)) => {
                let reason = format!("it was not done within {timeout:?}");
                Ended::Answer(Err(ConnectorError::outage("scale", reason)))
            }
            Waited::Newer => Ended::Superseded,
            Waited::Stopped => Ended::Stopped,
        })
    }

    /// Waits for something, unless a newer activity or the end comes first.
    async fn until_newer<F: Future<Output: Send> + Send>(
        &self,
        mut work: Pin<&mut F>,
        feed: &mut Feed,
        pending: &mut Pending,
    ) -> Result<Waited<F::Output>> {
        let mut stopped = self.stopped.clone();
        loop {
            tokio::select! {
                over = &mut work => return Ok(Waited::Over(over)),
                _ = stopped.wait_for(|stop| *stop) => return Ok(Waited::Stopped),
                () = self.wake.notified() => {}
            }
            if feed.has_more(&*self.log, &self.info)? {
                let newer = feed.read().await?;
                if !newer.is_empty() {
                    pending.all.extend(newer);
                    return Ok(Waited::Newer);
                }
            }
        }
    }

    /// An attempt is the last one: all that is pending is over with it. What is given up is read again after a restart, and the size is
    /// what was reached before.
    async fn settle(
        &mut self,
        entry: Entry,
        succeeded: bool,
        next: u64,
        pending: &mut Pending,
    ) -> Result<()> {
        let all = std::mem::take(pending).all;
        let now = self.world.clock.now();
        let newest = all.last().map(|decided| decided.activity.number);
        // The group does not know of activity 0: it has begun with that size.
        let known = all.iter().filter(|decided| decided.activity.number > 0);
        let progress: Vec<Progress> = known
            .map(|Decided { activity, arrived, .. }| Progress {
                at: EventTime(activity.at.0.saturating_add((now.0 - arrived.0).max(0))),
                activity: activity.number,
                succeeded,
                detail: match newest {
                    Some(newest) if newest != activity.number => format!("superseded by activity {newest}"),
                    _ => entry.detail.clone().unwrap_or_default(),
                },
            })
            .collect();
        match succeeded {
            true => self.board.moved(all.len() as u64, 0),
            false => self.board.moved(0, all.len() as u64),
        }
        let marks = match (succeeded, all.last()) {
            (true, _) => vec![mark(CURSOR, next), mark(SIZE, self.size)],
            (false, Some(newest)) => vec![mark(CURSOR, newest.sequence.unwrap_or(next))],
            (false, None) => Vec::new(),
        };
        self.append(&[entry], &progress, marks).await
    }

    /// Writes down which of the pending ones will not be carried out by themselves. `attempt`: of the first of them, which was tried.
    async fn note_superseded(&self, pending: &mut Pending, attempt: u32) -> Result<()> {
        let (now, clock) = (self.world.clock.now(), self.world.clock.monotonic());
        let Some((newest, older)) = pending.all.split_last() else { return Ok(()) };
        let entry = |decided: &Decided| Entry {
            outcome: Outcome::Superseded,
            detail: Some(format!("by activity {}", newest.activity.number)),
            ..self.entry(&What::Scale(decided.activity.clone()), 0, now, clock)
        };
        let mut entries: Vec<Entry> = older.iter().skip(pending.noted).map(entry).collect();
        if let Some(first) = entries.first_mut() {
            first.attempt = attempt;
        }
        pending.noted = older.len();
        self.append_rows(&entries).await
    }

    pub(super) fn entry(&self, what: &What, attempt: u32, at: EventTime, began: Duration) -> Entry {
        let took = self.world.clock.monotonic().saturating_sub(began);
        let (action, activity) = match what {
            What::Scale(activity) => ("scale", Some((activity.number, activity.id.clone()))),
            What::Resume(_) => ("resume", None),
        };
        Entry {
            at,
            action,
            activity,
            size: what.size(),
            attempt,
            outcome: Outcome::Done,
            detail: None,
            millis: u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
            next_try: None,
        }
    }
}
