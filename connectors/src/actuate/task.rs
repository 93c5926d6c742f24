//! One group's actuator at work.
//!
//! ```text
//!  activities of all groups   stored cursor            read so far
//!  ---------------------------|------------------------|----------
//!                             | pending: the newest is | not yet read
//!                             | being carried out      |
//! ```

use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use headwater_core::{Epoch, EventTime, World};
use headwater_ingest::{IngestError, Mark, Marks, Place, SourceStep};
use headwater_log::{Append, Log, LogError, StreamInfo};
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use super::actuator::{Activity, Actuator, Deed};
use super::feed::{Decided, Feed, id_of};
use super::ledger::{ACTIVITIES, Entry, Ledger, Outcome, Progress};
use super::settings::{ActuatorDef, Made};
use crate::backoff::Backoff;
use crate::error::{ConnectorError, Result};
use crate::retry::Retry;
use crate::status::{Board, State};

/// The partitions under which the cursor, the size that was last asked for and the token are stored.
const CURSOR: &str = "cursor";
const SIZE: &str = "size";
const TOKEN: &str = "token";

/// After so many rows of other groups the cursor is stored, although there is nothing of ours among them.
const STORE_ROWS: u64 = 10_000;

/// Carries out what one group decides.
pub(crate) struct ActuatorTask {
    world: World,
    log: Arc<dyn Log>,
    cursors: Arc<Marks>,
    board: Arc<Board>,
    stopped: watch::Receiver<bool>,
    info: Arc<StreamInfo>,
    def: Arc<ActuatorDef>,
    ledger: Ledger,
    /// See [`super::ActuatorContext::token`].
    pub(crate) token: String,
    epoch: Epoch,
    step: u64,
    /// The cursor as it is stored.
    stored: u64,
    /// The size that was last asked for.
    size: u64,
    tended: Instant,
    wake: Arc<Notify>,
}

/// What the actuator is to do.
enum What {
    Scale(Activity),
    Resume(u64),
}

impl What {
    fn size(&self) -> u64 {
        match self {
            Self::Scale(activity) => activity.size,
            Self::Resume(size) => *size,
        }
    }
}

/// How often and how long it is tried.
#[derive(Clone, Copy)]
struct How {
    retry: Retry,
    /// Of an attempt.
    timeout: Duration,
}

impl How {
    /// A single attempt.
    const fn once(self) -> Self {
        Self { retry: Retry { attempts: 1, ..self.retry }, ..self }
    }
}

/// An activity that was given up. The group goes on from its size all the same, so that it is tried again now and then until it succeeds or
/// there is a newer one.
struct GivenUp {
    activity: Activity,
    next_try: Instant,
}

impl GivenUp {
    fn new(activity: Activity, how: How) -> Self {
        Self { activity, next_try: Instant::now() + how.retry.longest }
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
struct Pending {
    all: Vec<Decided>,
    /// How many of them have their row that says that they are superseded.
    noted: usize,
}

impl ActuatorTask {
    /// Prepares it; blocks. From here on each decision of the group will be seen: a group that is new begins with the next one.
    pub(crate) fn new(
        world: World,
        log: Arc<dyn Log>,
        cursors: Arc<Marks>,
        board: Arc<Board>,
        stopped: watch::Receiver<bool>,
        def: ActuatorDef,
    ) -> Result<Self> {
        let info = log.stream_named(ACTIVITIES)?;
        let ledger = Ledger::open(&*log, &def.group, &def.actuator)?;
        let mut task = Self {
            world,
            log,
            cursors,
            board,
            stopped,
            info,
            def: Arc::new(def),
            ledger,
            token: String::new(),
            epoch: Epoch(0),
            step: 0,
            stored: 0,
            size: 0,
            tended: Instant::now(),
            wake: Arc::new(Notify::new()),
        };
        let place = task.cursors.claim(&task.owner())?;
        task.note_place(&place);
        if !place.positions.contains_key(CURSOR) {
            task.stored = task.log.bounds(task.info.id)?[0].next.0;
            task.token = format!("{:016x}{:016x}", task.world.random.next(), task.world.random.next());
            let token = Mark { partition: TOKEN.to_owned(), position: task.token.clone() };
            let step = task.next_step(vec![mark(CURSOR, task.stored), token]);
            task.cursors.store(&step)?;
        }
        Ok(task)
    }

    /// Runs until it is told to stop, or the log fails for good.
    pub(crate) async fn run(mut self, made: Made) {
        let Made { mut actuator, retry, timeout } = made;
        let how = How { retry, timeout };
        let mut backoff = Backoff::default();
        loop {
            let error = match self.run_once(&mut *actuator, how).await {
                Ok(()) => break,
                Err(error) => error,
            };
            if !error.is_retryable() {
                return self.board.failed(&error, State::Failed);
            }
            self.board.failed(&error, State::Retrying);
            let wait = backoff.next(&self.world);
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                _ = self.stopped.wait_for(|stop| *stop) => break,
            }
        }
        actuator.stop().await;
        self.board.state(State::Stopped);
    }

    async fn run_once(&mut self, actuator: &mut dyn Actuator, how: How) -> Result<()> {
        let mut size = self.claim().await?;
        let from = self.stored.max(self.log.bounds(self.info.id)?[0].first.0);
        let mut feed = Feed::open(&*self.log, &self.info, Arc::clone(&self.def), from)?;
        let waker = Arc::clone(&self.wake);
        let _guard = self.log.on_commit(&[self.info.id], Arc::new(move || waker.notify_one()));
        let mut pending = Pending::default();
        let mut given_up: Option<GivenUp> = None;
        if size.is_none() {
            pending.all.push(self.first());
        }
        self.board.state(State::Running);
        loop {
            if feed.has_more(&*self.log, &self.info)? {
                pending.all.extend(feed.read().await?);
            }
            self.board.lag(Some(pending.all.len() as u64));
            if *self.stopped.borrow() {
                return Ok(());
            }
            let due = given_up.as_ref().map(|given_up| given_up.next_try);
            if let Some(newest) = pending.all.last() {
                size = None;
                let activity = newest.activity.clone();
                let what = What::Scale(activity.clone());
                let parked = self.carry_out(actuator, what, how, &mut feed, &mut pending).await?;
                given_up = parked.then(|| GivenUp::new(activity, how));
            } else if let Some(size) = size.take() {
                self.carry_out(actuator, What::Resume(size), how, &mut feed, &mut pending).await?;
            } else if let Some(GivenUp { activity, .. }) =
                given_up.take_if(|one| one.next_try <= Instant::now())
            {
                let what = What::Scale(activity.clone());
                let parked = self.carry_out(actuator, what, how.once(), &mut feed, &mut pending).await?;
                given_up = parked.then(|| GivenUp::new(activity, how));
            } else {
                if due.is_none() && feed.next - self.stored >= STORE_ROWS {
                    self.append(&[], &[], vec![mark(CURSOR, feed.next)]).await?;
                }
                self.idle(actuator, due).await?;
            }
        }
    }

    /// Waits for a commit, for the end, for a moment, or until the actuator wants to look after what it drives.
    async fn idle(&mut self, actuator: &mut dyn Actuator, until: Option<Instant>) -> Result<()> {
        let mut stopped = self.stopped.clone();
        let every = actuator.tends_every();
        tokio::select! {
            () = self.wake.notified() => return Ok(()),
            () = tokio::time::sleep_until(until.unwrap_or(self.tended)), if until.is_some() => return Ok(()),
            // An error says that the handle is gone, which means the same.
            _ = stopped.wait_for(|stop| *stop) => return Ok(()),
            () = tokio::time::sleep_until(self.tended + every.unwrap_or_default()), if every.is_some() => {}
        }
        let (began, clock) = (self.world.clock.now(), self.world.clock.monotonic());
        let deeds = actuator.tend().await?;
        self.tended = Instant::now();
        let of = |deed: Deed| Entry {
            action: deed.action,
            activity: None,
            outcome: if deed.succeeded { Outcome::Done } else { Outcome::Failed },
            detail: Some(deed.detail),
            ..self.entry(&What::Resume(self.size), 1, began, clock)
        };
        let entries: Vec<Entry> = deeds.into_iter().map(of).collect();
        if let Some(failed) = entries.iter().find(|entry| entry.outcome == Outcome::Failed) {
            self.note_failure(failed.detail.clone().unwrap_or_default());
        }
        self.append(&entries, &[], Vec::new()).await
    }

    /// Tries until it is done, given up, superseded, or told to stop; writes down what came of it. Answers whether it was given up.
    async fn carry_out(
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

    /// Writes down which of the pending ones will not be carried out by themselves. `attempt`: of the last one of them, which was tried.
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

    fn note_failure(&self, reason: String) {
        let what = format!("scaling group {}", self.def.group);
        self.board.failed(&ConnectorError::outage(what, reason), State::Running);
    }

    fn entry(&self, what: &What, attempt: u32, at: EventTime, began: Duration) -> Entry {
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

    /// The size that the group begins with, as an activity.
    fn first(&self) -> Decided {
        let now = self.world.clock.now();
        let activity = Activity {
            group: self.def.group.clone(),
            id: id_of(&self.def, 0),
            number: 0,
            at: now,
            by: String::new(),
            before: self.def.size,
            size: self.def.size,
            bounds: self.def.bounds,
            reason: "the size that the group begins with".to_owned(),
        };
        Decided { activity, sequence: None, arrived: now }
    }

    /// The cursor's owner: not the group's name alone, which a group that was dropped may have had before.
    fn owner(&self) -> String {
        format!("scaling group {} {}", self.def.group, self.def.identity)
    }

    /// Fences off what is left of a former self, and answers the size that was last asked for.
    async fn claim(&mut self) -> Result<Option<u64>> {
        let (cursors, owner) = (Arc::clone(&self.cursors), self.owner());
        let place = tokio::task::spawn_blocking(move || cursors.claim(&owner));
        let place = place.await.map_err(|_| IngestError::Log(LogError::Closed))??;
        Ok(self.note_place(&place))
    }

    fn note_place(&mut self, place: &Place) -> Option<u64> {
        let number = |key: &str| place.positions.get(key).and_then(|position| position.parse::<u64>().ok());
        (self.epoch, self.step) = (place.epoch, place.step);
        self.stored = number(CURSOR).unwrap_or(self.stored);
        self.token = place.positions.get(TOKEN).cloned().unwrap_or_default();
        number(SIZE)
    }

    fn next_step(&mut self, marks: Vec<Mark>) -> SourceStep {
        self.step += 1;
        SourceStep { source: self.owner(), epoch: self.epoch, step: self.step, marks }
    }

    /// Appends attempts, progress and where it stands, all or nothing.
    async fn append(&mut self, entries: &[Entry], progress: &[Progress], marks: Vec<Mark>) -> Result<()> {
        let cursor = marks.iter().find(|mark| mark.partition == CURSOR);
        let cursor = cursor.and_then(|mark| mark.position.parse().ok());
        let mut group: Vec<Append> = Vec::new();
        if !marks.is_empty() {
            let step = self.next_step(marks);
            group.push(self.cursors.append_of(&step)?);
        }
        group.extend(self.ledger.attempts(entries)?);
        group.extend(self.ledger.progress(progress)?);
        self.submit(group).await?;
        self.stored = cursor.unwrap_or(self.stored);
        Ok(())
    }

    async fn append_rows(&self, entries: &[Entry]) -> Result<()> {
        self.submit(self.ledger.attempts(entries)?.into_iter().collect()).await
    }

    async fn submit(&self, group: Vec<Append>) -> Result<()> {
        if group.is_empty() {
            return Ok(());
        }
        let (log, cursors) = (Arc::clone(&self.log), Arc::clone(&self.cursors));
        let append = move || -> Result<()> {
            log.append(group)?;
            Ok(cursors.compact_if_long()?)
        };
        tokio::task::spawn_blocking(append).await.map_err(|_| IngestError::Log(LogError::Closed))?
    }
}

fn mark(partition: &str, position: u64) -> Mark {
    Mark { partition: partition.to_owned(), position: position.to_string() }
}
