//! One group's actuator at work.
//!
//! ```text
//!  activities of all groups   stored cursor            read so far
//!  ---------------------------|------------------------|----------
//!                             | pending: the newest is | not yet read
//!                             | being carried out      |
//! ```

mod carry;
mod place;

use std::sync::Arc;

use headwater_core::{Epoch, World};
use headwater_ingest::{Mark, Marks};
use headwater_log::{Log, StreamInfo};
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use self::carry::{How, Pending, What};
use self::place::{CURSOR, TOKEN, mark};
use super::actuator::{Activity, Actuator, Deed};
use super::feed::{Decided, Feed, id_of};
use super::ledger::{ACTIVITIES, Entry, Ledger, Outcome};
use super::settings::{ActuatorDef, Made};
use crate::backoff::Backoff;
use crate::error::{ConnectorError, Result};
use crate::status::{Board, State};
use crate::task::{Next, TaskContext, after_failure};

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

impl ActuatorTask {
    /// Prepares it; blocks. From here on each decision of the group will be seen: a group that is new begins with the next one.
    pub(crate) fn new(context: TaskContext, def: ActuatorDef) -> Result<Self> {
        let TaskContext { world, log, cursors, board, stopped } = context;
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
            let wait = || backoff.next(&self.world);
            match after_failure(&error, wait, &self.board, &mut self.stopped).await {
                Next::Again => {}
                Next::Stop => break,
                Next::Fail => return,
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

    fn note_failure(&self, reason: String) {
        let what = format!("scaling group {}", self.def.group);
        self.board.failed(&ConnectorError::outage(what, reason), State::Running);
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
}
