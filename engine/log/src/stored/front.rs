//! What the users of a log meet first, and what all its parts share: readers, committer and the rest.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use headwater_core::{EventTime, World};
use parking_lot::RwLock;

use crate::error::{LogError, Result};
use crate::metrics::Metrics;
use crate::queue::Queue;
use crate::view::View;
use crate::wakes::Wakes;

/// What all parts of a log share.
pub(crate) struct Front {
    /// The world outside.
    pub world: World,
    /// Which log it is, for people.
    pub name: String,
    /// What readers see. Never locked while something is waited for.
    pub view: Arc<RwLock<View>>,
    /// Who wants to know of new rows.
    pub wakes: Arc<Wakes>,
    /// What waits to be committed.
    pub queue: Queue,
    /// Counters.
    pub metrics: Metrics,
    poison: OnceLock<LogError>,
    closed: AtomicBool,
}

impl Front {
    /// Of a log that has just been opened.
    pub fn new(world: World, name: String, queue_bytes: u64, view: View) -> Self {
        Self {
            queue: Queue::new(queue_bytes, Arc::clone(&world.tasks)),
            view: Arc::new(RwLock::new(view)),
            wakes: Arc::default(),
            metrics: Metrics::default(),
            poison: OnceLock::new(),
            closed: AtomicBool::new(false),
            world,
            name,
        }
    }

    /// The first failure to write, if there was one: nothing more is written.
    pub fn poison(&self) -> Option<LogError> {
        self.poison.get().cloned()
    }

    /// Takes no more appends because of this error, or of an earlier one, which is then the one that is answered with.
    pub fn poison_with(&self, cause: LogError) -> LogError {
        let poison = self.poison.get_or_init(|| {
            tracing::error!(log = self.name, %cause, "the log takes no more appends");
            LogError::Poisoned { cause: Arc::new(cause) }
        });
        self.queue.refuse(poison.clone());
        poison.clone()
    }

    /// Takes no appends and no changes from the beginning: the log is another process's.
    pub fn only_look(&self) {
        let refusal = LogError::OnlyLooked { log: self.name.clone() };
        self.queue.refuse(self.poison.get_or_init(|| refusal).clone());
    }

    /// Whether the log was closed.
    pub fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    /// Takes nothing from now on.
    pub fn set_closed(&self) {
        self.queue.refuse(LogError::Closed);
        self.closed.store(true, Ordering::Release);
    }

    /// Refuses a call when the log is closed or poisoned.
    pub fn check_open(&self) -> Result<()> {
        match self.poison() {
            Some(poison) => Err(poison),
            None if self.is_closed() => Err(LogError::Closed),
            None => Ok(()),
        }
    }

    /// When a commit arrives: no row arrives before the one before it, whatever the wall clock says.
    pub fn arrival(&self, last: &mut EventTime) -> EventTime {
        *last = (*last).max(self.world.clock.now());
        *last
    }
}
