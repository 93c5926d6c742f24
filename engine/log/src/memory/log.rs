//! A log that keeps everything in memory: for tests, and for what need not last.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use headwater_core::{EventTime, ProducerId, Sequence, ShardId, StreamId, World};
use parking_lot::{Mutex, RwLock};

use super::reader::MemoryReader;
use super::rows::MemoryBatch;
use crate::admit::admit;
use crate::api::{
    Append, Appended, CommitGuard, Log, LogMetrics, Pending, Producer, ReadSpec, Reader, Retention,
    SegmentInfo, ShardBounds, StreamInfo, StreamSpec,
};
use crate::error::{LogError, Result};
use crate::pending::Known;
use crate::sequencer::{Ask, Sequencer};
use crate::streams::Change;
use crate::view::View;
use crate::wakes::Wakes;

/// A log in memory. Every group is committed by the thread that submits it.
pub struct MemoryLog {
    world: World,
    view: Arc<RwLock<View>>,
    /// Held from placing to publishing, so that groups become visible in the order of their sequence numbers.
    writer: Mutex<Writer>,
    wakes: Arc<Wakes>,
}

#[derive(Default)]
struct Writer {
    sequencer: Sequencer,
    last_arrival: Option<EventTime>,
    closed: bool,
    metrics: LogMetrics,
}

impl MemoryLog {
    /// An empty log.
    pub fn new(world: World) -> Arc<Self> {
        Arc::new(Self { world, view: Arc::default(), writer: Mutex::default(), wakes: Arc::default() })
    }

    fn commit(&self, group: &[Append]) -> Result<Vec<Appended>> {
        let mut writer = self.open_writer()?;
        let rows = {
            let view = self.view.read();
            let admitted = |append: &Append| admit(view.streams.get(append.stream)?, append);
            group.iter().map(admitted).collect::<Result<Vec<_>>>()?
        };
        let asks: Vec<Ask> = group.iter().map(Ask::from).collect();
        let placed = writer.sequencer.place(&asks)?;
        let now = self.world.clock.now();
        let arrival = writer.last_arrival.map_or(now, |last| last.max(now));
        writer.last_arrival = Some(arrival);

        let mut view = self.view.write();
        let (mut fresh, mut streams) = (0, Vec::new());
        for ((append, rows), place) in group.iter().zip(rows).zip(&placed) {
            writer.metrics.duplicates += u64::from(place.duplicate);
            if place.duplicate || rows.num_rows() == 0 {
                continue;
            }
            fresh += rows.num_rows() as u64;
            streams.push(append.stream);
            let stream = view.streams.get(append.stream)?;
            let (event_time, retention, held) = (stream.event_time, stream.info.spec.retention, stream.held);
            if let Some(shard) = view.shard_mut(append.stream, append.shard) {
                shard.memory.push(MemoryBatch::new(place.first, rows, arrival, event_time));
                shard.next = place.next;
                let within = shard.removable(held, shard.next);
                shard.first = shard.memory.retain(&retention, arrival, within).unwrap_or(shard.first);
            }
        }
        drop(view);
        writer.metrics.rows += fresh;
        writer.metrics.commits += u64::from(fresh > 0);
        drop(writer);
        self.wakes.committed(streams);
        Ok(placed)
    }

    fn open_writer(&self) -> Result<parking_lot::MutexGuard<'_, Writer>> {
        let writer = self.writer.lock();
        if writer.closed { Err(LogError::Closed) } else { Ok(writer) }
    }

    fn apply(&self, change: &Change, schema: Option<SchemaRef>) {
        let applied = self.view.write().streams.apply(change, schema);
        debug_assert_eq!(applied, Ok(()), "what was proposed can be applied");
    }
}

impl Log for MemoryLog {
    fn create_stream(&self, spec: StreamSpec) -> Result<StreamInfo> {
        let mut writer = self.open_writer()?;
        let change = self.view.read().streams.propose_create(&spec, self.world.clock.now())?;
        self.apply(&change, Some(Arc::clone(&spec.schema)));
        let mut view = self.view.write();
        let info = StreamInfo::clone(&view.streams.named(spec.name.as_str())?.info);
        view.add(info.id, spec.shards);
        writer.sequencer.add(info.id, spec.name, spec.shards);
        Ok(info)
    }

    fn drop_stream(&self, stream: StreamId) -> Result<()> {
        let mut writer = self.open_writer()?;
        self.view.read().streams.get(stream)?;
        self.apply(&Change::Drop { stream: stream.0 }, None);
        self.view.write().remove(stream);
        writer.sequencer.remove(stream);
        self.wakes.dropped(stream);
        Ok(())
    }

    fn evolve(&self, stream: StreamId, schema: SchemaRef) -> Result<StreamInfo> {
        let _writer = self.open_writer()?;
        let change = self.view.read().streams.propose_evolve(stream, &schema)?;
        if let Some(change) = change {
            self.apply(&change, Some(schema));
        }
        Ok(StreamInfo::clone(&*self.stream(stream)?))
    }

    fn set_retention(&self, stream: StreamId, retention: Retention) -> Result<()> {
        let _writer = self.open_writer()?;
        self.view.read().streams.get(stream)?;
        self.apply(&Change::Retention { stream: stream.0, retention }, None);
        Ok(())
    }

    fn set_properties(&self, stream: StreamId, properties: BTreeMap<String, String>) -> Result<()> {
        let _writer = self.open_writer()?;
        self.view.read().streams.get(stream)?;
        self.apply(&Change::Properties { stream: stream.0, properties }, None);
        Ok(())
    }

    fn streams(&self) -> Vec<Arc<StreamInfo>> {
        self.view.read().streams.list()
    }

    fn stream(&self, id: StreamId) -> Result<Arc<StreamInfo>> {
        self.view.read().streams.get(id).map(|stream| Arc::clone(&stream.info))
    }

    fn stream_named(&self, name: &str) -> Result<Arc<StreamInfo>> {
        self.view.read().streams.named(name).map(|stream| Arc::clone(&stream.info))
    }

    fn bounds(&self, stream: StreamId) -> Result<Vec<ShardBounds>> {
        self.view.read().bounds(stream)
    }

    fn submit(&self, group: Vec<Append>) -> Box<dyn Pending> {
        Known::boxed(self.commit(&group))
    }

    fn set_fence(&self, stream: StreamId, shard: ShardId, token: Option<u64>) -> Result<()> {
        let mut writer = self.open_writer()?;
        self.view.read().shard(stream, shard)?;
        self.apply(&Change::Fence { stream: stream.0, shard: shard.0, token }, None);
        if let Some(head) = writer.sequencer.head_mut(stream, shard) {
            head.fence = token;
        }
        Ok(())
    }

    fn last_of(
        &self,
        stream: StreamId,
        shard: ShardId,
        producer: ProducerId,
    ) -> Result<Option<(Producer, Appended)>> {
        let writer = self.open_writer()?;
        self.view.read().shard(stream, shard)?;
        Ok(writer.sequencer.head(stream, shard).and_then(|head| head.producers.last_of(producer)))
    }

    fn read(&self, spec: ReadSpec) -> Result<Box<dyn Reader>> {
        drop(self.open_writer()?);
        Ok(Box::new(MemoryReader::new(Arc::clone(&self.view), spec)?))
    }

    fn trim(&self, stream: StreamId, shard: ShardId, before: Sequence) -> Result<()> {
        let _writer = self.open_writer()?;
        let mut view = self.view.write();
        let held = view.shard(stream, shard)?.0.held;
        if let Some(shard) = view.shard_mut(stream, shard) {
            let before = shard.removable(held, before);
            shard.first = shard.memory.trim(before).unwrap_or(shard.first);
        }
        Ok(())
    }

    fn begin_at(&self, stream: StreamId, shard: ShardId, first: Sequence) -> Result<()> {
        let mut writer = self.open_writer()?;
        let mut view = self.view.write();
        let (of, rows) = view.shard(stream, shard)?;
        if rows.is_to_begin_at(&of.info, shard, first)? {
            view.shard_mut(stream, shard).into_iter().for_each(|rows| rows.begin_at(first));
            writer.sequencer.head_mut(stream, shard).into_iter().for_each(|head| head.next = first);
        }
        Ok(())
    }

    fn set_hold(&self, stream: StreamId, held: bool) -> Result<()> {
        let _writer = self.open_writer()?;
        self.view.read().streams.get(stream)?;
        self.apply(&Change::Hold { stream: stream.0, held }, None);
        Ok(())
    }

    fn release(&self, stream: StreamId, shard: ShardId, before: Sequence) -> Result<()> {
        self.view.write().release(stream, shard, before)
    }

    fn segments(&self, stream: StreamId) -> Result<Vec<SegmentInfo>> {
        let view = self.view.read();
        view.streams.get(stream)?;
        let of = |(number, shard): (u32, &crate::view::Shard)| shard.memory.segment(stream, ShardId(number));
        Ok((0..).zip(view.shards(stream)).filter_map(of).collect())
    }

    fn version(&self) -> u64 {
        self.wakes.version()
    }

    fn on_commit(&self, streams: &[StreamId], wake: Arc<dyn Fn() + Send + Sync>) -> CommitGuard {
        self.wakes.subscribe(streams, wake)
    }

    fn metrics(&self) -> LogMetrics {
        self.writer.lock().metrics.clone()
    }

    fn close(&self) -> Result<()> {
        self.writer.lock().closed = true;
        Ok(())
    }
}
