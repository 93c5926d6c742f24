//! Replays that are under way: each shows in `system.replays`, and ends when it is cancelled or when whoever asked for it is gone.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};

use headwater_core::EventTime;
use parking_lot::Mutex;

use crate::ReplaySpec;
use crate::engine::Inner;
use crate::error::{Result, RunError};

/// The most at a time: each has a thread.
const REPLAYS_MAX: usize = 32;

/// The replays of an engine.
#[derive(Default)]
pub(crate) struct Replays(Mutex<State>);

#[derive(Default)]
struct State {
    last: u64,
    running: BTreeMap<u64, Arc<Watched>>,
}

/// A replay as others see it.
pub(crate) struct Watched {
    pub id: u64,
    pub spec: ReplaySpec,
    pub began: EventTime,
    rows_in: AtomicU64,
    rows_out: AtomicU64,
    uncomputed: AtomicU64,
    watermark: AtomicI64,
    cancelled: AtomicBool,
}

impl Replays {
    /// Those that are under way, the oldest first.
    pub fn running(&self) -> Vec<Arc<Watched>> {
        self.0.lock().running.values().map(Arc::clone).collect()
    }

    /// Ends one.
    pub fn cancel(&self, id: u64) -> Result<()> {
        match self.0.lock().running.get(&id) {
            Some(watched) => {
                watched.cancel();
                Ok(())
            }
            None => Err(RunError::Invalid(format!(
                "there is no replay {id} under way; SELECT id, job FROM system.replays shows those that are"
            ))),
        }
    }

    fn begin(&self, spec: ReplaySpec, began: EventTime) -> Result<Arc<Watched>> {
        let mut state = self.0.lock();
        if state.running.len() >= REPLAYS_MAX {
            return Err(RunError::Invalid(format!(
                "{REPLAYS_MAX} replays are under way, which is the most; wait for one, or CANCEL REPLAY id"
            )));
        }
        let same = |other: &&Arc<Watched>| spec.into.is_some() && other.spec.into == spec.into;
        if let Some(other) = state.running.values().find(same) {
            let into = spec.into.as_deref().unwrap_or_default();
            return Err(RunError::Invalid(format!(
                "replay {} writes into {into} already: replay into another stream, or CANCEL REPLAY {}",
                other.id, other.id
            )));
        }
        state.last += 1;
        let watched = Arc::new(Watched {
            id: state.last,
            spec,
            began,
            rows_in: AtomicU64::new(0),
            rows_out: AtomicU64::new(0),
            uncomputed: AtomicU64::new(0),
            watermark: AtomicI64::new(EventTime::MIN.0),
            cancelled: AtomicBool::new(false),
        });
        state.running.insert(watched.id, Arc::clone(&watched));
        Ok(watched)
    }
}

impl Watched {
    /// Lets it end before its next step.
    pub fn cancel(&self) {
        self.cancelled.store(true, Ordering::Relaxed);
    }

    /// Fails once it is to end.
    pub fn check(&self, inner: &Inner) -> Result<()> {
        if self.cancelled.load(Ordering::Relaxed) { Err(self.cancelled()) } else { inner.check_open() }
    }

    /// What is said of one that was cancelled.
    pub fn cancelled(&self) -> RunError {
        let kept = self.spec.into.as_ref().map_or_else(String::new, |into| {
            format!("; {into} keeps what it has written: drop it before the replay is repeated")
        });
        RunError::Cancelled { replay: self.id, job: self.spec.job.clone(), kept }
    }

    /// Notes what a step did.
    pub fn note(&self, rows_in: u64, rows_out: u64, uncomputed: u64, watermark: EventTime) {
        self.rows_in.fetch_add(rows_in, Ordering::Relaxed);
        self.rows_out.fetch_add(rows_out, Ordering::Relaxed);
        self.uncomputed.fetch_add(uncomputed, Ordering::Relaxed);
        self.watermark.store(watermark.0, Ordering::Relaxed);
    }

    pub fn rows_in(&self) -> u64 {
        self.rows_in.load(Ordering::Relaxed)
    }

    pub fn rows_out(&self) -> u64 {
        self.rows_out.load(Ordering::Relaxed)
    }

    pub fn uncomputed(&self) -> u64 {
        self.uncomputed.load(Ordering::Relaxed)
    }

    pub fn watermark(&self) -> EventTime {
        EventTime(self.watermark.load(Ordering::Relaxed))
    }
}

/// A replay that is under way as long as this is there.
pub(super) struct Registered {
    pub inner: Arc<Inner>,
    pub watched: Arc<Watched>,
}

impl Registered {
    /// Begins one, unless there are too many, or another one writes into the same stream.
    pub fn new(inner: &Arc<Inner>, spec: &ReplaySpec) -> Result<Self> {
        let watched = inner.replays.begin(spec.clone(), inner.world.clock.now())?;
        Ok(Self { inner: Arc::clone(inner), watched })
    }

    /// What cancels it when it is dropped.
    pub fn wanted(&self) -> Wanted {
        Wanted(Arc::clone(&self.watched))
    }
}

impl Drop for Registered {
    fn drop(&mut self) {
        self.inner.replays.0.lock().running.remove(&self.watched.id);
    }
}

/// Held by whoever wants a replay's results: dropped, it cancels the replay.
pub(super) struct Wanted(Arc<Watched>);

impl Wanted {
    pub fn id(&self) -> u64 {
        self.0.id
    }
}

impl Drop for Wanted {
    fn drop(&mut self) {
        self.0.cancel();
    }
}
