//! The log on topics, as its users hold it: the shared parts and the tasks that drive them.

use std::sync::Arc;
use std::time::Duration;

use arrow::datatypes::SchemaRef;
use headwater_core::world::{Task, TaskWaker};
use headwater_core::{ProducerId, Sequence, ShardId, StreamId, World};
use parking_lot::Mutex;

use super::broker::{TopicError, Topics};
use super::inner::{Inner, is_in_topic, topic_of};
use super::open::open;
use super::options::{LIMITS, TopicLogOptions};
use super::reader::TopicReader;
use crate::api::{
    Append, Appended, CommitGuard, Durability, Log, LogMetrics, Pending, Producer, ReadSpec, Reader,
    Retention, SegmentInfo, ShardBounds, StreamInfo, StreamSpec,
};
use crate::error::{LogError, Result};
use crate::memory::MemoryReader;
use crate::pending::{Known, promise};
use crate::streams::Change;
use crate::submit::make_group;

/// A log on topics. Dropped without [`Log::close`], it stops as if the process had been killed.
pub struct TopicLog {
    inner: Arc<Inner>,
    tasks: Mutex<Option<Running>>,
    committer: TaskWaker,
}

/// What runs while the log is open.
struct Running {
    committer: Task,
    keeper: Task,
}

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
        let shared = Arc::clone(&inner);
        let committer = world.tasks.spawn("log-commit", Box::new(move || shared.commit_turn()));
        let shared = Arc::clone(&inner);
        let keeper = world.tasks.spawn("log-retention", Box::new(move || shared.retention_turn()));
        let waker = committer.waker();
        let running = Running { committer, keeper };
        Ok(Arc::new(Self { inner, tasks: Mutex::new(Some(running)), committer: waker }))
    }

    fn stop(&self, flush: bool) -> Result<()> {
        let Some(mut running) = self.tasks.lock().take() else { return Ok(()) };
        if flush {
            let (promise, answer) = promise(&self.inner.world.tasks);
            self.inner.queue.mark_end(promise);
            running.committer.wake();
            // Those who submitted get their own answers; whether writing failed is looked at below.
            let _ = Box::new(answer).wait();
        }
        // A turn that is under way ends before its task has stopped.
        running.committer.stop();
        running.keeper.stop();
        self.inner.queue.fail(&LogError::Closed);
        match self.inner.poison() {
            Some(poison) if flush => Err(poison),
            _ => Ok(()),
        }
    }

    fn set(&self, stream: StreamId, change: Change) -> Result<()> {
        self.inner.change(
            |streams| {
                streams.get(stream)?;
                Ok(Some((change, None)))
            },
            |_, _| Ok(()),
        )
    }
}

impl Drop for TopicLog {
    fn drop(&mut self) {
        self.inner.set_closed();
        // Without a flush there is nothing to go wrong.
        let _ = self.stop(false);
    }
}

impl Log for TopicLog {
    fn create_stream(&self, spec: StreamSpec) -> Result<StreamInfo> {
        let inner = &self.inner;
        let now = inner.world.clock.now();
        let (name, shards) = (spec.name.clone(), spec.shards);
        inner.change(
            |streams| {
                let change = streams.propose_create(&spec, now)?;
                if let Change::Create(created) = &change
                    && spec.durability != Durability::Memory
                {
                    self.create_topic(created.id(), &spec)?;
                }
                Ok(Some((change, Some(Arc::clone(&spec.schema)))))
            },
            |writer, view| {
                let info = StreamInfo::clone(&view.streams.named(name.as_str())?.info);
                view.add(info.id, shards);
                writer.sequencer.add(info.id, name.clone(), shards);
                Ok(info)
            },
        )
    }

    fn drop_stream(&self, stream: StreamId) -> Result<()> {
        let info = self.stream(stream)?;
        self.inner.change(
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
        self.inner.tail.forget(stream);
        if is_in_topic(&info) {
            let topic = topic_of(&self.inner.name, &info);
            if let Err(error) = self.inner.topics.remove(&topic) {
                tracing::warn!(%error, "the topic of a stream that was dropped stays; remove it by hand");
            }
        }
        Ok(())
    }

    fn evolve(&self, stream: StreamId, schema: SchemaRef) -> Result<StreamInfo> {
        self.inner.change(
            |streams| Ok(streams.propose_evolve(stream, &schema)?.map(|change| (change, Some(schema)))),
            |_, view| Ok(StreamInfo::clone(&view.streams.get(stream)?.info)),
        )
    }

    fn set_retention(&self, stream: StreamId, retention: Retention) -> Result<()> {
        self.set(stream, Change::Retention { stream: stream.0, retention })
    }

    fn streams(&self) -> Vec<Arc<StreamInfo>> {
        self.inner.view.read().streams.list()
    }

    fn stream(&self, id: StreamId) -> Result<Arc<StreamInfo>> {
        self.inner.view.read().streams.get(id).map(|stream| Arc::clone(&stream.info))
    }

    fn stream_named(&self, name: &str) -> Result<Arc<StreamInfo>> {
        self.inner.view.read().streams.named(name).map(|stream| Arc::clone(&stream.info))
    }

    fn bounds(&self, stream: StreamId) -> Result<Vec<ShardBounds>> {
        let view = self.inner.view.read();
        view.streams.get(stream)?;
        Ok(view.shards(stream).iter().map(|shard| shard.bounds()).collect())
    }

    fn submit(&self, group: Vec<Append>) -> Box<dyn Pending> {
        if let Some(refusal) = self.inner.queue.refusal() {
            return Known::boxed(Err(refusal));
        }
        let (promise, answer) = promise(&self.inner.world.tasks);
        let pushed = make_group(&self.inner.view, &group, &LIMITS, promise)
            .and_then(|group| self.inner.queue.push(group));
        match pushed {
            Ok(()) => {
                self.committer.wake();
                Box::new(answer)
            }
            Err(error) => Known::boxed(Err(error)),
        }
    }

    fn set_fence(&self, stream: StreamId, shard: ShardId, token: Option<u64>) -> Result<()> {
        self.inner.change(
            |streams| {
                streams.get(stream)?.check_shard(shard)?;
                Ok(Some((Change::Fence { stream: stream.0, shard: shard.0, token }, None)))
            },
            |writer, _| {
                if let Some(head) = writer.sequencer.head_mut(stream, shard) {
                    head.fence = token;
                }
                Ok(())
            },
        )
    }

    fn last_of(
        &self,
        stream: StreamId,
        shard: ShardId,
        producer: ProducerId,
    ) -> Result<Option<(Producer, Appended)>> {
        let writer = self.inner.writer.lock();
        self.inner.check_open()?;
        self.inner.view.read().shard(stream, shard)?;
        Ok(writer.sequencer.head(stream, shard).and_then(|head| head.producers.last_of(producer)))
    }

    fn read(&self, spec: ReadSpec) -> Result<Box<dyn Reader>> {
        if self.inner.is_closed() {
            return Err(LogError::Closed);
        }
        let info = self.stream(spec.stream)?;
        if is_in_topic(&info) {
            Ok(Box::new(TopicReader::new(Arc::clone(&self.inner), spec)?))
        } else {
            Ok(Box::new(MemoryReader::new(Arc::clone(&self.inner.view), spec)?))
        }
    }

    fn trim(&self, stream: StreamId, shard: ShardId, before: Sequence) -> Result<()> {
        self.inner.trim(stream, shard, before)
    }

    fn set_hold(&self, stream: StreamId, held: bool) -> Result<()> {
        self.inner.change(
            |streams| {
                Ok((streams.get(stream)?.held != held)
                    .then_some((Change::Hold { stream: stream.0, held }, None)))
            },
            |_, _| Ok(()),
        )
    }

    fn release(&self, stream: StreamId, shard: ShardId, before: Sequence) -> Result<()> {
        self.inner.view.write().release(stream, shard, before)
    }

    fn segments(&self, stream: StreamId) -> Result<Vec<SegmentInfo>> {
        self.inner.segments(stream)
    }

    fn version(&self) -> u64 {
        self.inner.wakes.version()
    }

    fn on_commit(&self, wake: Arc<dyn Fn() + Send + Sync>) -> CommitGuard {
        self.inner.wakes.subscribe(wake)
    }

    fn metrics(&self) -> LogMetrics {
        let poisoned = self.inner.poison().map(|poison| poison.to_string());
        LogMetrics { poisoned, ..self.inner.metrics.read() }
    }

    fn limit_waits(&self, patience: Duration) {
        self.inner.limit_waits(patience);
    }

    fn close(&self) -> Result<()> {
        self.inner.set_closed();
        self.stop(true)
    }
}

impl TopicLog {
    /// Makes the topic of a stream. One that a process has left behind that ended before the catalog named the stream is taken; one
    /// with messages is not ours.
    fn create_topic(&self, id: StreamId, spec: &StreamSpec) -> Result<()> {
        let topics = &self.inner.topics;
        let topic = format!("{}.{}.{id}", self.inner.name, spec.name);
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
}
