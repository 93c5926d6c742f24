//! A log as its users hold it: its store, and the tasks that drive that.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use arrow::datatypes::SchemaRef;
use headwater_core::world::{Task, TaskWaker};
use headwater_core::{ProducerId, Sequence, ShardId, StreamId};
use parking_lot::Mutex;

use super::commit;
use super::store::Store;
use crate::api::{
    Append, Appended, CommitGuard, Durability, Log, LogMetrics, LostRows, Pending, Producer, ReadSpec,
    Reader, Retention, SegmentInfo, ShardBounds, StreamInfo, StreamSpec,
};
use crate::disk::Damage;
use crate::error::{LogError, Result};
use crate::memory::MemoryReader;
use crate::pending::{Known, promise};
use crate::streams::Change;
use crate::submit::make_group;

/// A store with the tasks that drive it. Dropped without having been closed, it stops as if the process had been killed.
pub(crate) struct Driven<S: Store> {
    store: Arc<S>,
    tasks: Mutex<Option<Running>>,
    committer: TaskWaker,
}

/// What runs while the log is open. The tasks end before what is held is given back.
struct Running {
    committer: Task,
    others: Vec<Task>,
    _held: Box<dyn Send + Sync>,
}

impl<S: Store> Driven<S> {
    /// Starts the committer, then the other tasks. `held` is given back when all of them have ended.
    pub fn start(
        store: Arc<S>,
        others: impl FnOnce(&Arc<S>) -> Vec<Task>,
        held: impl Send + Sync + 'static,
    ) -> Self {
        let shared = Arc::clone(&store);
        let committer = store.world.tasks.spawn("log-commit", Box::new(move || commit::turn(&*shared)));
        let waker = committer.waker();
        let running = Running { committer, others: others(&store), _held: Box::new(held) };
        Self { store, tasks: Mutex::new(Some(running)), committer: waker }
    }

    /// The store.
    pub fn store(&self) -> &Arc<S> {
        &self.store
    }

    fn stop(&self, flush: bool) -> Result<()> {
        let Some(mut running) = self.tasks.lock().take() else { return Ok(()) };
        if flush {
            let (promise, answer) = promise(&self.store.world.tasks);
            self.store.queue.mark_end(promise);
            running.committer.wake();
            // Those who submitted get their own answers; whether writing failed is looked at below.
            let _ = Box::new(answer).wait();
        }
        // A turn that is under way ends before its task has stopped.
        running.committer.stop();
        running.others.iter_mut().for_each(Task::stop);
        self.store.queue.fail(&LogError::Closed);
        if flush { self.store.finish() } else { Ok(()) }
    }
}

impl<S: Store> Drop for Driven<S> {
    fn drop(&mut self) {
        self.store.set_closed();
        // Without a flush there is nothing to go wrong.
        let _ = self.stop(false);
    }
}

/// A log that is kept in a store.
pub(crate) trait StoredLog: Send + Sync {
    /// The store.
    type Store: Store;

    /// The store with the tasks that drive it.
    fn driven(&self) -> &Driven<Self::Store>;
}

impl<L: StoredLog> Log for L {
    fn create_stream(&self, spec: StreamSpec) -> Result<StreamInfo> {
        let store = self.driven().store();
        let now = store.world.clock.now();
        let (name, shards) = (spec.name.clone(), spec.shards);
        store.change(
            |streams| {
                let change = streams.propose_create(&spec, now)?;
                if let Change::Create(created) = &change {
                    store.make_room_for(created.id(), &spec)?;
                }
                Ok(Some((change, Some(Arc::clone(&spec.schema)))))
            },
            |writer, view| {
                let info = StreamInfo::clone(&view.streams.named(name.as_str())?.info);
                view.add(info.id, shards);
                writer.as_mut().add(info.id, name.clone(), shards);
                Ok(info)
            },
        )
    }

    fn drop_stream(&self, stream: StreamId) -> Result<()> {
        let store = self.driven().store();
        store.drop_stream(stream)?;
        store.wakes.dropped(stream);
        Ok(())
    }

    fn evolve(&self, stream: StreamId, schema: SchemaRef) -> Result<StreamInfo> {
        self.driven().store().change(
            |streams| Ok(streams.propose_evolve(stream, &schema)?.map(|change| (change, Some(schema)))),
            |_, view| Ok(StreamInfo::clone(&view.streams.get(stream)?.info)),
        )
    }

    fn set_retention(&self, stream: StreamId, retention: Retention) -> Result<()> {
        self.driven().store().change(
            |streams| {
                streams.get(stream)?;
                Ok(Some((Change::Retention { stream: stream.0, retention }, None)))
            },
            |_, _| Ok(()),
        )
    }

    fn set_properties(&self, stream: StreamId, properties: BTreeMap<String, String>) -> Result<()> {
        self.driven().store().change(
            |streams| {
                streams.get(stream)?;
                Ok(Some((Change::Properties { stream: stream.0, properties }, None)))
            },
            |_, _| Ok(()),
        )
    }

    fn streams(&self) -> Vec<Arc<StreamInfo>> {
        self.driven().store().view.read().streams.list()
    }

    fn stream(&self, id: StreamId) -> Result<Arc<StreamInfo>> {
        self.driven().store().view.read().streams.get(id).map(|stream| Arc::clone(&stream.info))
    }

    fn stream_named(&self, name: &str) -> Result<Arc<StreamInfo>> {
        self.driven().store().view.read().streams.named(name).map(|stream| Arc::clone(&stream.info))
    }

    fn bounds(&self, stream: StreamId) -> Result<Vec<ShardBounds>> {
        self.driven().store().view.read().bounds(stream)
    }

    fn lost(&self, stream: StreamId) -> Vec<LostRows> {
        self.driven().store().lost(stream)
    }

    fn submit(&self, group: Vec<Append>) -> Box<dyn Pending> {
        let Driven { store, committer, .. } = self.driven();
        if let Some(refusal) = store.queue.refusal() {
            return Known::boxed(Err(refusal));
        }
        let (promise, answer) = promise(&store.world.tasks);
        let pushed = make_group(&store.view, &group, &L::Store::LIMITS, promise)
            .and_then(|group| store.queue.push(group));
        match pushed {
            Ok(()) => {
                committer.wake();
                Box::new(answer)
            }
            Err(error) => Known::boxed(Err(error)),
        }
    }

    fn set_fence(&self, stream: StreamId, shard: ShardId, token: Option<u64>) -> Result<()> {
        self.driven().store().change(
            |streams| {
                streams.get(stream)?.check_shard(shard)?;
                Ok(Some((Change::Fence { stream: stream.0, shard: shard.0, token }, None)))
            },
            |writer, _| {
                if let Some(head) = writer.as_mut().head_mut(stream, shard) {
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
        let store = self.driven().store();
        let mut writer = store.writer().lock();
        store.check_open()?;
        store.view.read().shard(stream, shard)?;
        Ok(writer.as_mut().head(stream, shard).and_then(|head| head.producers.last_of(producer)))
    }

    fn read(&self, spec: ReadSpec) -> Result<Box<dyn Reader>> {
        let store = self.driven().store();
        if store.is_closed() {
            return Err(LogError::Closed);
        }
        let durability = store.view.read().streams.get(spec.stream)?.info.spec.durability;
        match durability {
            Durability::Memory => Ok(Box::new(MemoryReader::new(Arc::clone(&store.view), spec)?)),
            Durability::Disk | Durability::Process => store.reader(spec),
        }
    }

    fn trim(&self, stream: StreamId, shard: ShardId, before: Sequence) -> Result<()> {
        self.driven().store().trim(stream, shard, before)
    }

    fn begin_at(&self, stream: StreamId, shard: ShardId, first: Sequence) -> Result<()> {
        self.driven().store().begin_at(stream, shard, first)
    }

    fn set_hold(&self, stream: StreamId, held: bool) -> Result<()> {
        let store = self.driven().store();
        // Said at each opening, and nearly always so already: nothing has to be written for that.
        if !store.is_closed() && store.view.read().streams.get(stream)?.held == held {
            return Ok(());
        }
        store.change(
            |streams| {
                Ok((streams.get(stream)?.held != held)
                    .then_some((Change::Hold { stream: stream.0, held }, None)))
            },
            |_, _| Ok(()),
        )
    }

    fn release(&self, stream: StreamId, shard: ShardId, before: Sequence) -> Result<()> {
        self.driven().store().view.write().release(stream, shard, before)
    }

    fn segments(&self, stream: StreamId) -> Result<Vec<SegmentInfo>> {
        self.driven().store().segments(stream)
    }

    fn version(&self) -> u64 {
        self.driven().store().wakes.version()
    }

    fn on_commit(&self, streams: &[StreamId], wake: Arc<dyn Fn() + Send + Sync>) -> CommitGuard {
        self.driven().store().wakes.subscribe(streams, wake)
    }

    fn damage(&self) -> Vec<Damage> {
        self.driven().store().damage()
    }

    fn metrics(&self) -> LogMetrics {
        let store = self.driven().store();
        let poisoned = store.poison().map(|poison| poison.to_string());
        let damaged = store.damage().len() as u64;
        LogMetrics { poisoned, damaged, ..store.metrics.read() }
    }

    fn limit_waits(&self, patience: Duration) {
        self.driven().store().limit_waits(patience);
    }

    fn close(&self) -> Result<()> {
        self.driven().store().set_closed();
        self.driven().stop(true)
    }
}
