//! The log on topics, as its users hold it: the store and the tasks that drive it.

use std::sync::Arc;
use std::time::Duration;

use arrow::datatypes::SchemaRef;
use headwater_core::{Sequence, ShardId, StreamId, World};
use parking_lot::Mutex;

use super::broker::{TopicError, Topics};
use super::catalog::Event;
use super::commit::{Placed, Written, publish};
use super::inner::{Inner, Writer, is_in_topic, topic_of};
use super::open::{look, open};
use super::options::{LIMITS, TopicLogOptions};
use super::reader::TopicReader;
use super::write::Outgoing;
use crate::api::{Durability, ReadSpec, Reader, SegmentInfo, StreamSpec};
use crate::batch::Limits;
use crate::error::{LogError, Result};
use crate::queue::Group;
use crate::stored::{Commit, Driven, Store, StoredLog};
use crate::streams::{Change, Streams};
use crate::view::View;

/// A log on topics. Dropped without [`crate::Log::close`], it stops as if the process had been killed.
pub struct TopicLog(Driven<Inner>);

impl TopicLog {
    /// Opens the log of a name at a broker, or creates it there. Whichever process had it open before is its writer no more: its next
    /// append fails with [`TopicError::Fenced`].
    pub fn open(
        world: World,
        topics: Arc<dyn Topics>,
        name: &str,
        options: TopicLogOptions,
    ) -> Result<Arc<Self>> {
        let (view, writer) = open(&world, &topics, name)?;
        let inner = Arc::new(Inner::new(world.clone(), topics, name.to_owned(), options, view, writer));
        let keeper = |inner: &Arc<Inner>| {
            let shared = Arc::clone(inner);
            vec![world.tasks.spawn("log-retention", Box::new(move || shared.retention_turn()))]
        };
        Ok(Arc::new(Self(Driven::start(inner, keeper, ()))))
    }

    /// Opens the log of a name at a broker to look at it: all that is committed now, and nothing of what comes later. Whichever process
    /// writes it goes on undisturbed, as nothing is written here, and nothing removed: whatever would is [`LogError::OnlyLooked`].
    pub fn look(world: World, topics: Arc<dyn Topics>, name: &str) -> Result<Arc<Self>> {
        let (view, writer) = look(&topics, name)?;
        let options = TopicLogOptions::default();
        let inner = Arc::new(Inner::new(world, topics, name.to_owned(), options, view, writer));
        inner.only_look();
        Ok(Arc::new(Self(Driven::start(inner, |_| Vec::new(), ()))))
    }
}

impl StoredLog for TopicLog {
    type Store = Inner;

    fn driven(&self) -> &Driven<Inner> {
        &self.0
    }
}

impl Store for Inner {
    type Writer = Writer;
    type Placed = Placed;
    type Written = Written;

    const LIMITS: Limits = LIMITS;

    fn writer(&self) -> &Mutex<Writer> {
        &self.writer
    }

    fn change<T>(
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
            let offsets = self.transact(&outgoing, writer.catalog_end)?;
            writer.catalog_end = offsets[0] + 1;
            let applied = self.view.write().streams.apply(&change, schema);
            applied.map_err(|reason| LogError::corrupt(&*self.catalog_topic(), 0, reason))?;
        }
        apply(&mut writer, &mut self.view.write())
    }

    /// Makes the topic of a stream. One that a process has left behind that ended before the catalog named the stream is taken; one
    /// with messages is not ours.
    fn make_room_for(&self, id: StreamId, spec: &StreamSpec) -> Result<()> {
        if spec.durability == Durability::Memory {
            return Ok(());
        }
        let topics = &self.topics;
        let topic = format!("{}.{}.{id}", self.name, spec.name);
        topics.create(&topic, spec.shards)?;
        for partition in 0..spec.shards {
            if topics.bounds(&topic, partition)?.end > 0 {
                return Err(TopicError::Refused {
                    what: format!("create topic {topic}"),
                    reason: "there is one with messages; remove it, or give the log another name".to_owned(),
                }
                .into());
            }
        }
        Ok(())
    }

    fn drop_stream(&self, stream: StreamId) -> Result<()> {
        let info = self.view.read().streams.get(stream).map(|stream| Arc::clone(&stream.info))?;
        self.change(
            |streams| {
                streams.get(stream)?;
                Ok(Some((Change::Drop { stream: stream.0 }, None)))
            },
            |writer, view| {
                writer.sequencer.remove(stream);
                writer.ends.retain(|(of, _), _| *of != stream);
                view.remove(stream);
                Ok(())
            },
        )?;
        self.tail.forget(stream);
        if is_in_topic(&info)
            && let Err(error) = self.topics.remove(&topic_of(&self.name, &info))
        {
            tracing::warn!(%error, "the topic of a stream that was dropped stays; remove it by hand");
        }
        Ok(())
    }

    fn write(&self, writer: &mut Writer, groups: Vec<Group>, commit: &mut Commit<Placed>) -> Result<Written> {
        self.commit(writer, groups, commit)
    }

    fn publish(&self, view: &mut View, batches: Vec<Placed>, written: Written) {
        publish(view, batches, written);
    }

    fn reader(self: &Arc<Self>, spec: ReadSpec) -> Result<Box<dyn Reader>> {
        Ok(Box::new(TopicReader::new(Arc::clone(self), spec)?))
    }

    fn trim(&self, stream: StreamId, shard: ShardId, before: Sequence) -> Result<()> {
        Inner::trim(self, stream, shard, before)
    }

    fn segments(&self, stream: StreamId) -> Result<Vec<SegmentInfo>> {
        Inner::segments(self, stream)
    }

    fn finish(&self) -> Result<()> {
        // Who only looks has written all that there was to write.
        match self.poison() {
            None | Some(LogError::OnlyLooked { .. }) => Ok(()),
            Some(poison) => Err(poison),
        }
    }

    fn limit_waits(&self, patience: Duration) {
        Inner::limit_waits(self, patience);
    }
}
