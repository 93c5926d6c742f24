//! What the parts of a log on topics share besides its front. Readers never hold a lock while they wait for the broker.

use std::ops::{Deref, Range};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use hashbrown::HashMap;
use headwater_core::{EventTime, ShardId, StreamId, World};
use parking_lot::Mutex;

use super::batch::{Batch, Place};
use super::broker::{TopicError, Topics};
use super::note::Totals;
use super::options::TopicLogOptions;
use super::tail::Tail;
use crate::api::{Durability, StreamInfo};
use crate::error::{LogError, Result};
use crate::sequencer::Sequencer;
use crate::stored::Front;
use crate::view::View;

/// A log on topics, without the tasks that drive it.
pub(crate) struct Inner {
    front: Front,
    /// The broker.
    pub topics: Arc<dyn Topics>,
    /// The settings.
    pub options: TopicLogOptions,
    /// What the committer works with.
    pub writer: Mutex<Writer>,
    /// The newest batches.
    pub tail: Tail,
    /// When waiting for the broker ends, once the process is to end.
    waits_end: OnceLock<Duration>,
}

/// What is no different on topics is in front.
impl Deref for Inner {
    type Target = Front;

    fn deref(&self) -> &Front {
        &self.front
    }
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

impl AsMut<Sequencer> for Writer {
    fn as_mut(&mut self) -> &mut Sequencer {
        &mut self.sequencer
    }
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
            front: Front::new(world, name, options.queue_bytes, view),
            tail: Tail::new(options.recent_bytes),
            writer: Mutex::new(writer),
            waits_end: OnceLock::new(),
            topics,
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

    /// Reads batches of a shard, as [`Topics::read`] does, and waits while the broker is away.
    pub fn read(&self, place: &Place, offsets: Range<i64>) -> Result<Vec<Batch>> {
        self.world.tasks.give_way();
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
