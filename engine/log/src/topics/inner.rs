//! What the parts of a log on topics share.
//!
//! Locks are taken in this order: writer, view. Readers take the view only, and never while they wait for the broker.

use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use arrow::datatypes::SchemaRef;
use hashbrown::HashMap;
use headwater_core::{EventTime, ShardId, StreamId, World};
use parking_lot::{Mutex, RwLock};

use super::batch::{Batch, Place};
use super::broker::{TopicError, Topics};
use super::catalog::Event;
use super::note::Totals;
use super::options::TopicLogOptions;
use super::tail::Tail;
use super::write::Outgoing;
use crate::api::{Durability, StreamInfo};
use crate::error::{LogError, Result};
use crate::metrics::Metrics;
use crate::queue::Queue;
use crate::sequencer::Sequencer;
use crate::streams::{Change, Streams};
use crate::view::View;
use crate::wakes::Wakes;

/// A log on topics, without the tasks that drive it.
pub(crate) struct Inner {
    /// The world outside.
    pub world: World,
    /// The broker.
    pub topics: Arc<dyn Topics>,
    /// What the names of its topics begin with.
    pub name: String,
    /// The settings.
    pub options: TopicLogOptions,
    /// What readers see.
    pub view: Arc<RwLock<View>>,
    /// Who wants to know of new rows.
    pub wakes: Arc<Wakes>,
    /// What the committer works with.
    pub writer: Mutex<Writer>,
    /// What waits to be committed.
    pub queue: Queue,
    /// The newest batches.
    pub tail: Tail,
    /// Counters.
    pub metrics: Metrics,
    poison: OnceLock<LogError>,
    closed: AtomicBool,
    /// When waiting for the broker ends, once the process is to end.
    waits_end: OnceLock<Duration>,
}

/// What only the committer, and changes of streams, may touch.
pub(crate) struct Writer {
    /// Gives places.
    pub sequencer: Sequencer,
    /// Where partitions end.
    pub ends: HashMap<(StreamId, ShardId), End>,
    /// The offset after the newest message of the catalog.
    pub catalog_end: i64,
    /// No row arrives before the one before it, whatever the wall clock says.
    pub last_arrival: EventTime,
}

/// Where a partition ends.
#[derive(Clone, Copy, Default)]
pub(crate) struct End {
    /// The offset after its newest message.
    pub offset: i64,
    /// What the shard's batches come to.
    pub totals: Totals,
    /// Where the newest message with producers is.
    pub producers_at: Option<i64>,
    /// Bytes of the batches since then.
    pub since: u64,
    /// After how many bytes producers are said again.
    pub due: u64,
}

impl Inner {
    /// Puts the parts together.
    pub fn new(
        world: World,
        topics: Arc<dyn Topics>,
        name: String,
        options: TopicLogOptions,
        view: View,
        writer: Writer,
    ) -> Self {
        Self {
            queue: Queue::new(options.queue_bytes, Arc::clone(&world.tasks)),
            tail: Tail::new(options.recent_bytes),
            view: Arc::new(RwLock::new(view)),
            writer: Mutex::new(writer),
            wakes: Arc::default(),
            metrics: Metrics::default(),
            poison: OnceLock::new(),
            closed: AtomicBool::new(false),
            waits_end: OnceLock::new(),
            world,
            topics,
            name,
            options,
        }
    }

    /// The topic of the catalog.
    pub fn catalog_topic(&self) -> Arc<str> {
        catalog_topic(&self.name)
    }

    /// Where a shard's rows are.
    pub fn place(&self, info: &StreamInfo, shard: ShardId) -> Place {
        Place { topic: topic_of(&self.name, info), stream: info.id, shard }
    }

    /// Why nothing more is written, if so.
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

    /// Whether the log was closed.
    pub fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    /// Takes nothing from now on.
    pub fn set_closed(&self) {
        self.queue.refuse(LogError::Closed);
        self.closed.store(true, Ordering::Release);
    }

    /// Lets nothing wait for the broker for longer than this from now on.
    pub fn limit_waits(&self, patience: Duration) {
        // Whoever says it first has it.
        let _ = self.waits_end.set(self.world.clock.monotonic().saturating_add(patience));
    }

    /// Whether the broker is not waited for any more.
    pub fn gives_up(&self) -> bool {
        let is_over = |end: &Duration| self.world.clock.monotonic() >= *end;
        self.is_closed() || self.waits_end.get().is_some_and(is_over)
    }

    /// Refuses a call when the log is closed or poisoned.
    pub fn check_open(&self) -> Result<()> {
        match self.poison() {
            Some(poison) => Err(poison),
            None if self.is_closed() => Err(LogError::Closed),
            None => Ok(()),
        }
    }

    /// Reads batches of a shard, as [`Topics::read`] does, and waits while the broker is away.
    pub fn read(&self, place: &Place, offsets: Range<i64>) -> Result<Vec<Batch>> {
        loop {
            match read_batches(&*self.topics, place, offsets.clone()) {
                Err(LogError::Topics(error @ TopicError::Outage { .. })) => {
                    if self.gives_up() {
                        return Err(if self.is_closed() { LogError::Closed } else { error.into() });
                    }
                    tracing::warn!(log = self.name, %error, "the broker is away; reading goes on when it is back");
                }
                done => return done,
            }
        }
    }

    /// Changes the set of streams: proposes, keeps, and applies to what the committer and the readers have.
    pub fn change<T>(
        &self,
        propose: impl FnOnce(&Streams) -> Result<Option<(Change, Option<SchemaRef>)>>,
        apply: impl FnOnce(&mut Writer, &mut View) -> Result<T>,
    ) -> Result<T> {
        let mut writer = self.writer.lock();
        self.check_open()?;
        // A copy: proposing may ask the broker, and readers must not wait for that.
        let streams = self.view.read().streams.clone();
        let proposed = propose(&streams)?;
        if let Some((change, schema)) = proposed {
            let now = self.world.clock.now();
            let event = Event::Stream(change.clone());
            let message = event.to_message(&self.catalog_topic(), schema.as_ref(), now);
            let outgoing = [Outgoing { message, after: writer.catalog_end }];
            let offsets = self.write(&outgoing, writer.catalog_end)?;
            writer.catalog_end = offsets[0] + 1;
            let applied = self.view.write().streams.apply(&change, schema);
            applied.map_err(|reason| LogError::corrupt(&*self.catalog_topic(), 0, reason))?;
        }
        apply(&mut writer, &mut self.view.write())
    }
}

/// The topic of a log's catalog.
pub(crate) fn catalog_topic(log: &str) -> Arc<str> {
    format!("{log}.catalog").into()
}

/// The topic of a stream: its name for people, its number so that a stream of that name that was dropped is another topic.
pub(crate) fn topic_of(log: &str, info: &StreamInfo) -> Arc<str> {
    format!("{log}.{}.{}", info.spec.name, info.id).into()
}

/// Whether a stream's rows are in a topic; else they are in memory.
pub(crate) fn is_in_topic(info: &StreamInfo) -> bool {
    info.spec.durability != Durability::Memory
}

/// Reads batches of a shard once.
pub(crate) fn read_batches(topics: &dyn Topics, place: &Place, offsets: Range<i64>) -> Result<Vec<Batch>> {
    if offsets.is_empty() {
        return Ok(Vec::new());
    }
    let stored = topics.read(&place.topic, place.shard.0, offsets)?;
    stored.into_iter().map(|stored| Batch::of(place, stored)).collect()
}
