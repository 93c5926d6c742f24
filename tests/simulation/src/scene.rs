//! One run: a machine, a log on it, the model of that log, and the actors that use it.
//!
//! Everything that happens is drawn from the seed. The scene gives turns to actors and to the tasks of the log, lets
//! the weather strike, and opens the log again after each crash.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use headwater_core::StreamId;
use headwater_core::world::sim::{SimRandom, SimWorld};
use headwater_log::{Durability, Log, LogError, StreamInfo};

use crate::model::{Complaint, Model, Place};
use crate::seeds::Story;

/// Someone who uses the log: a producer, a reader, a job.
pub trait Actor {
    /// Does a little. The log is open, but may be failing.
    fn act(&mut self, scene: &mut Scene) -> Result<(), Complaint>;

    /// The log was closed in order: whoever waits for an answer must have got it.
    fn closed(&mut self, scene: &mut Scene) -> Result<(), Complaint>;

    /// The process ended: drop everything that belonged to it.
    fn crashed(&mut self);

    /// Brings what it began to an end. Nothing fails any more.
    fn finish(&mut self, scene: &mut Scene) -> Result<(), Complaint>;
}

/// What the actors share.
pub struct Scene {
    /// The machine.
    pub machine: SimWorld,
    /// What must be in the log.
    pub model: Model,
    /// What the actors draw from.
    pub random: SimRandom,
    /// What happened.
    pub story: Story,
    /// Groups that were submitted and not answered.
    pub in_flight: usize,
    /// Whether the log said that it takes no more appends.
    pub failing: bool,
    /// Whether a sync failed, so that bytes the process wrote may be gone though only the process ends.
    pub sync_failed: bool,
    /// The streams, as they were acknowledged.
    pub streams: BTreeMap<StreamId, StreamInfo>,
    /// Names of streams whose creation, change or end was asked for and not acknowledged.
    pub uncertain: BTreeSet<String>,
    /// Fencing tokens that were acknowledged.
    pub fences: BTreeMap<Place, Option<u64>>,
    /// Whether the disk may be full.
    pub disk_is_full: bool,
    /// How many faults had struck when the log was opened.
    pub struck_before: u64,
    /// The log, while it is open.
    pub open: Option<Arc<dyn Log>>,
}

impl Scene {
    /// A machine without a log.
    pub fn new(seed: u64, story: &Story) -> Self {
        let machine = SimWorld::new(seed);
        Self {
            random: machine.random("scene"),
            machine,
            model: Model::default(),
            story: story.clone(),
            in_flight: 0,
            failing: false,
            sync_failed: false,
            streams: BTreeMap::new(),
            uncertain: BTreeSet::new(),
            fences: BTreeMap::new(),
            disk_is_full: false,
            struck_before: 0,
            open: None,
        }
    }

    /// The log, which is open while actors act.
    pub fn log(&self) -> Arc<dyn Log> {
        Arc::clone(self.open.as_ref().expect("actors act while the log is open"))
    }

    /// A stream is gone.
    pub fn forget(&mut self, stream: StreamId) {
        self.model.drop_stream(stream);
        self.streams.remove(&stream);
        self.fences.retain(|place, _| place.0 != stream);
    }

    /// One of the shards, if there are any.
    pub fn any_place(&self) -> Option<Place> {
        let places = self.model.places();
        (!places.is_empty()).then(|| places[self.random.index(places.len())])
    }

    /// Judges an error that a call gave: it must be explained by a fault.
    pub fn excuse(&mut self, what: &str, error: &LogError) -> Result<(), Complaint> {
        self.story.note(format!("{what}: {error}"));
        let explained = match error {
            LogError::Io { .. } | LogError::Poisoned { .. } => self.failing || self.has_struck(),
            LogError::NoStream { .. } => !self.uncertain.is_empty(),
            _ => false,
        };
        if !explained {
            return Err(format!("{what} failed and nothing explains it: {error} ({error:?})"));
        }
        self.failing = true;
        Ok(())
    }

    /// Whether a fault may have struck since the log was opened.
    pub fn has_struck(&self) -> bool {
        self.disk_is_full || self.machine.disk().faults().struck() > self.struck_before
    }
}

/// How a process ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum End {
    /// The power goes.
    Power,
    /// It is killed.
    Killed,
    /// It closes the log; the power goes some time later.
    Closed,
}

impl End {
    /// One of them.
    pub fn draw(random: &SimRandom) -> Self {
        [Self::Power, Self::Power, Self::Killed, Self::Killed, Self::Closed][random.index(5)]
    }

    /// The least promise that must hold after it.
    pub fn survives(self, sync_failed: bool) -> Durability {
        match self {
            Self::Power => Durability::Disk,
            Self::Killed if sync_failed => Durability::Disk,
            Self::Killed | Self::Closed => Durability::Process,
        }
    }
}
