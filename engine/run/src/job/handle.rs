//! A job as the engine holds it: its state, and how it is paused, ended and stopped. The work is the driver's.

use std::collections::VecDeque;
use std::sync::{Arc, OnceLock};
use std::task::Waker;
use std::time::Duration;

use arrow::array::RecordBatch;
use headwater_core::hash::SLOTS;
use headwater_core::world::{Task, TaskWaker};
use headwater_core::{EventTime, Sequence, StreamId, World};
use headwater_log::{CommitGuard, Log};
use headwater_plan::Dataflow;
use parking_lot::{Condvar, Mutex};

use super::driver::{Driver, JobPlan};
use super::exec::earlier;
use super::lookup::{Again, Patience};
use super::pipeline::{ShardTime, stages_told};
use super::progress::Steps;
use crate::error::Result;
use crate::{JobState, JobStatus};

/// A job that runs. Dropping the handle stops it after its current step, without a checkpoint: as a crash would.
pub(crate) struct JobHandle {
    shared: Arc<Shared>,
    log: Arc<dyn Log>,
    journal: StreamId,
    dataflow: Arc<Dataflow>,
    waker: TaskWaker,
    world: World,
    _wake_on_commit: CommitGuard,
    _task: Task,
}

/// What a job and its handle share.
pub(super) struct Shared {
    /// All but how far it is.
    pub(super) status: Mutex<JobStatus>,
    /// How far it is. It is locked while the status is held, or alone.
    pub(super) steps: Mutex<Steps>,
    pub(super) control: Mutex<Control>,
    /// Told when the job has closed.
    pub(super) closed: Condvar,
    /// Woken when the state of the job changes.
    pub(super) changed: tokio::sync::watch::Sender<JobState>,
    /// Gives the job a turn, once it has been started.
    pub(super) waker: OnceLock<Waker>,
}

/// What the handle asks of the job.
#[derive(Default)]
pub(super) struct Control {
    pub(super) paused: bool,
    pub(super) closing: bool,
    pub(super) closed: bool,
    /// The handle is gone, and nobody waits for a checkpoint.
    pub(super) abandoned: bool,
    /// How many workers there are to be, if that is to change.
    pub(super) workers: Option<usize>,
    pub(super) ends: Vec<(String, Vec<Sequence>)>,
    /// What people say to alarms and scaling groups.
    pub(super) orders: VecDeque<Said>,
    /// Streams that are quiet, and where time is to be put when what they hold has been taken.
    pub(super) advances: Vec<(String, EventTime)>,
}

/// What somebody says to an alarm or a scaling group.
pub(super) struct Said {
    /// To whom.
    pub(super) to: String,
    /// What, as a row.
    pub(super) order: RecordBatch,
    /// Told when it is done and durable.
    pub(super) done: tokio::sync::oneshot::Sender<()>,
}

impl JobHandle {
    /// Starts a job: restores it, so that its status tells where it goes on, and gives it turns.
    pub fn start(world: &World, log: Arc<dyn Log>, plan: JobPlan) -> Result<Self> {
        let status = Mutex::new(new_status(&plan));
        let control = Control { paused: plan.paused, ends: plan.ends.clone(), ..Control::default() };
        let changed = tokio::sync::watch::Sender::new(JobState::Running);
        let (steps, control, closed) = (Mutex::default(), Mutex::new(control), Condvar::new());
        let shared = Arc::new(Shared { status, steps, control, closed, changed, waker: OnceLock::new() });
        let (name, dataflow) = (format!("job-{}", plan.name), Arc::clone(&plan.dataflow));
        let journal = plan.journal.own().id;
        let mut driver = Driver::open(world.clone(), Arc::clone(&log), plan, Arc::clone(&shared))?;
        let streams = driver.pipeline.streams();
        let task = world.tasks.spawn_shared(&name, Box::new(move || driver.turn()));
        let waker = task.waker();
        // Set once: this is the only place that sets it.
        let _ = shared.waker.set(Waker::from(Arc::new(waker.clone())));
        let wake = waker.clone();
        let guard = log.on_commit(&streams, Arc::new(move || wake.wake()));
        // For rows that came after its first look and before this.
        waker.wake();
        let world = world.clone();
        Ok(Self { shared, log, journal, dataflow, waker, world, _wake_on_commit: guard, _task: task })
    }

    /// What it computes.
    pub fn dataflow(&self) -> &Arc<Dataflow> {
        &self.dataflow
    }

    /// How it does: how far it is with what is in the log now, and how far behind.
    pub fn status(&self) -> JobStatus {
        let (mut status, taken) = {
            let held = self.shared.status.lock();
            let mut status = held.clone();
            let taken = self.shared.steps.lock().tell(&*self.log, self.journal, &mut status).to_vec();
            (status, taken)
        };
        // Rows behind the end of its inputs are not for it.
        if status.state != JobState::Finished {
            match taken.iter().map(|taken| taken.lag(&*self.log)).sum::<Result<u64>>() {
                Ok(lag) => status.lag = lag,
                Err(error) => {
                    let shown = || format!("{} how far it is behind is not known: {error}", error.code());
                    status.error.get_or_insert_with(shown);
                }
            }
        }
        status
    }

    /// How far event time is in each shard of its sources, with what is in the log now.
    pub fn shard_times(&self) -> Vec<ShardTime> {
        ShardTime::of(self.shared.steps.lock().taken(&*self.log, self.journal))
    }

    /// The watermark of its results: no row of them that is not late is before it and not yet in the log.
    pub fn result_watermark(&self) -> EventTime {
        let delay = self.dataflow.stages.last().map_or(0, |stage| stage.delay);
        earlier(self.status().watermark, delay)
    }

    /// Follows its state.
    pub fn watch(&self) -> tokio::sync::watch::Receiver<JobState> {
        self.shared.changed.subscribe()
    }

    /// Pauses or goes on.
    pub fn set_paused(&self, paused: bool) {
        self.shared.control.lock().paused = paused;
        self.waker.wake();
    }

    /// Sets how many workers compute a step. It takes effect between two steps; [`JobStatus::workers`] says when.
    pub fn set_workers(&self, workers: usize) {
        self.shared.control.lock().workers = Some(workers);
        self.waker.wake();
    }

    /// Whether it computes an alarm or a scaling group of this name, which can be told something.
    pub fn hears(&self, name: &str) -> bool {
        !stages_told(&self.dataflow, name).is_empty()
    }

    /// Says something to an alarm or a scaling group that it computes. What comes back is heard when that is done and durable.
    pub fn tell(&self, to: &str, order: RecordBatch) -> tokio::sync::oneshot::Receiver<()> {
        let (done, heard) = tokio::sync::oneshot::channel();
        self.shared.control.lock().orders.push_back(Said { to: to.to_owned(), order, done });
        self.waker.wake();
        heard
    }

    /// Lets it look whether there is something to do.
    pub fn wake(&self) {
        self.waker.wake();
    }

    /// Says where the shards of a stream end.
    pub fn end_stream(&self, stream: &str, ends: Vec<Sequence>) {
        self.shared.control.lock().ends.push((stream.to_owned(), ends));
        self.waker.wake();
    }

    /// Says that a stream is quiet, and that time has come to `time` meanwhile.
    pub fn advance_stream(&self, stream: &str, time: EventTime) {
        self.shared.control.lock().advances.push((stream.to_owned(), time));
        self.waker.wake();
    }

    /// Asks the job to take a last checkpoint and stop; [`JobHandle::wait_closed`] waits for it.
    pub fn begin_close(&self) {
        self.shared.control.lock().closing = true;
        self.waker.wake();
    }

    /// Waits until the job has stopped after [`JobHandle::begin_close`]. Blocks the thread.
    pub fn wait_closed(&mut self) {
        while !self.shared.control.lock().closed && !self._task.is_done() {
            if !self.world.tasks.drive() {
                let mut control = self.shared.control.lock();
                if !control.closed {
                    // A job that panicked tells nobody; it is looked after now and then.
                    self.shared.closed.wait_for(&mut control, Duration::from_millis(100));
                }
            }
        }
    }
}

impl Drop for JobHandle {
    fn drop(&mut self) {
        self.shared.control.lock().abandoned = true;
        self.shared.closed.notify_all();
    }
}

/// How often a job that waits for a table outside looks whether it should stop.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// Waits until a table outside is to be asked again: ever longer up to ten seconds while it does not answer, and shows why. Ends when the
/// job is to stop.
pub(super) fn hold_back(shared: Arc<Shared>) -> Patience {
    Box::new(move |again| {
        let mut left = match again {
            Again::Missing(delay) => delay,
            Again::Unanswered { reason, attempt } => {
                shared.status.lock().error = Some(format!("HW4006 waiting for an answer: {reason}"));
                LOOK_AGAIN * (1_u32 << attempt.min(8)).min(200)
            }
        };
        loop {
            let mut control = shared.control.lock();
            if control.closing || control.abandoned {
                return false;
            }
            if left.is_zero() {
                return true;
            }
            shared.closed.wait_for(&mut control, left.min(LOOK_AGAIN));
            left = left.saturating_sub(LOOK_AGAIN);
        }
    })
}

fn new_status(plan: &JobPlan) -> JobStatus {
    let state = if plan.paused { JobState::Paused } else { JobState::Running };
    let workers = plan.settings.workers.min(SLOTS as usize);
    JobStatus { state, workers, ..JobStatus::new(plan.name.clone(), plan.results.target().to_owned()) }
}
