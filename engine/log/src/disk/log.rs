//! The log on disk, as its users hold it: the shared parts and the tasks that drive them.

use std::path::Path;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use headwater_core::world::{DiskLock, Task};
use headwater_core::{ProducerId, Sequence, ShardId, StreamId, World};
use parking_lot::Mutex;

use super::event::{Event, Lost};
use super::inner::Inner;
use super::layout::Layout;
use super::options::DiskLogOptions;
use super::reader::DiskReader;
use super::recover::{recover, take_lock};
use super::scrub::{Damage, Scrubber};
use crate::api::{
    Append, Appended, CommitGuard, Durability, Log, LogMetrics, LostRows, Pending, Producer, ReadSpec,
    Reader, Retention, SegmentInfo, ShardBounds, StreamInfo, StreamSpec,
};
use crate::batch::Limits;
use crate::error::{LogError, Result};
use crate::memory::MemoryReader;
use crate::pending::{Known, promise};
use crate::streams::Change;
use crate::submit::make_group;

/// The most that one batch takes; a larger append becomes several batches of one group.
const LIMITS: Limits = Limits { rows: 1 << 20, header_bytes: 16 << 20, total_bytes: 64 << 20 };

/// A log on disk. Dropped without [`Log::close`], it stops as if the process had been killed.
pub struct DiskLog {
    inner: Arc<Inner>,
    tasks: Mutex<Option<Running>>,
    committer: headwater_core::world::TaskWaker,
}

/// What runs while the log is open. The tasks end before the lock is given back.
struct Running {
    committer: Task,
    others: Vec<Task>,
    _lock: DiskLock,
}

impl DiskLog {
    /// Opens the log in a data directory, or creates it there. Fails with [`LogError::Locked`] while another has it open.
    pub fn open(world: World, dir: &Path, options: DiskLogOptions) -> Result<Arc<Self>> {
        let layout = Layout::new(dir);
        let lock = take_lock(&world, dir, &layout)?;
        let opened = recover(&world, &layout)?;
        let inner = Arc::new(Inner::new(world.clone(), layout, options, opened));

        let shared = Arc::clone(&inner);
        let committer = world.tasks.spawn("log-commit", Box::new(move || shared.commit_turn()));
        let shared = Arc::clone(&inner);
        let sealer = world.tasks.spawn("log-seal", Box::new(move || shared.seal_turn()));
        let waker = sealer.waker();
        // Set once: this is the only place that sets it.
        let _ = inner.sealer.set(waker);
        let shared = Arc::clone(&inner);
        let keeper = world.tasks.spawn("log-retention", Box::new(move || shared.retention_turn()));
        let mut others = vec![sealer, keeper];
        if inner.options.scrub_bytes_per_second > 0 {
            let mut scrubber = Scrubber::new(Arc::clone(&inner));
            others.push(world.tasks.spawn("log-scrub", Box::new(move || scrubber.turn())));
        }
        let waker = committer.waker();
        let running = Running { committer, others, _lock: lock };
        Ok(Arc::new(Self { inner, tasks: Mutex::new(Some(running)), committer: waker }))
    }

    /// Damage that was found since the log was opened, by reading sealed files in the background.
    pub fn damage(&self) -> Vec<Damage> {
        self.inner.damage.lock().clone()
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
        running.others.iter_mut().for_each(Task::stop);
        self.inner.queue.fail(&LogError::Closed);
        if flush { self.inner.finish() } else { Ok(()) }
    }
}

impl Drop for DiskLog {
    fn drop(&mut self) {
        self.inner.set_closed();
        // Without a flush there is nothing to go wrong.
        let _ = self.stop(false);
    }
}

impl Inner {
    /// Leaves witnesses behind that everything is durable.
    fn finish(&self) -> Result<()> {
        let mut writer = self.writer.lock();
        if let Some(poison) = self.poison() {
            return Err(poison);
        }
        let finished = match &mut writer.active {
            Some(active) if !active.is_empty() => {
                active.sync().and_then(|()| active.write([].iter())).and_then(|()| active.sync())
            }
            _ => Ok(()),
        };
        finished.map_err(|error| self.poison_with(error))?;
        let mut catalog = self.catalog.lock();
        if let Some(active) = &writer.active {
            let durable = Event::Durable { active: active.number, bytes: active.len };
            self.keep(&mut catalog, durable, None)?;
        }
        self.keep(&mut catalog, Event::Closed, None)
    }
}

impl Log for DiskLog {
    fn create_stream(&self, spec: StreamSpec) -> Result<StreamInfo> {
        let now = self.inner.world.clock.now();
        let (name, shards) = (spec.name.clone(), spec.shards);
        self.inner.change(
            |streams| Ok(Some((streams.propose_create(&spec, now)?, Some(Arc::clone(&spec.schema))))),
            |writer, view| {
                let info = StreamInfo::clone(&view.streams.named(name.as_str())?.info);
                view.add(info.id, shards);
                writer.sequencer.add(info.id, name.clone(), shards);
                Ok(info)
            },
        )
    }

    fn drop_stream(&self, stream: StreamId) -> Result<()> {
        self.inner.drop_stream(stream)
    }

    fn evolve(&self, stream: StreamId, schema: SchemaRef) -> Result<StreamInfo> {
        self.inner.change(
            |streams| Ok(streams.propose_evolve(stream, &schema)?.map(|change| (change, Some(schema)))),
            |_, view| Ok(StreamInfo::clone(&view.streams.get(stream)?.info)),
        )
    }

    fn set_retention(&self, stream: StreamId, retention: Retention) -> Result<()> {
        self.inner.change(
            |streams| {
                streams.get(stream)?;
                Ok(Some((Change::Retention { stream: stream.0, retention }, None)))
            },
            |_, _| Ok(()),
        )
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

    fn lost(&self, stream: StreamId) -> Vec<LostRows> {
        let own = self.inner.lost.iter().filter(|lost| lost.stream == stream.0);
        let rows = |lost: &Lost| LostRows {
            stream,
            shard: ShardId(lost.shard),
            rows: Sequence(lost.from)..Sequence(lost.to),
        };
        own.map(rows).collect()
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
        let in_memory =
            self.inner.view.read().streams.get(spec.stream)?.info.spec.durability == Durability::Memory;
        if in_memory {
            return Ok(Box::new(MemoryReader::new(Arc::clone(&self.inner.view), spec)?));
        }
        Ok(Box::new(DiskReader::new(Arc::clone(&self.inner), spec)?))
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

    fn close(&self) -> Result<()> {
        self.inner.set_closed();
        self.stop(true)
    }
}
