//! The log on disk, as its users hold it: the store and the tasks that drive it.

use std::path::Path;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use headwater_core::world::Open;
use headwater_core::{Sequence, ShardId, StreamId, World};
use parking_lot::Mutex;

use super::commit::{Placed, Writer, publish};
use super::event::{Event, Lost};
use super::inner::Inner;
use super::layout::Layout;
use super::options::DiskLogOptions;
use super::reader::DiskReader;
use super::recover::{recover, take_lock};
use super::scrub::{Damage, Scrubber};
use crate::api::{LostRows, ReadSpec, Reader, SegmentInfo};
use crate::batch::Limits;
use crate::error::Result;
use crate::queue::Group;
use crate::stored::{Commit, Driven, Store, StoredLog};
use crate::streams::{Change, Streams};
use crate::view::View;

/// A log on disk. Dropped without [`crate::Log::close`], it stops as if the process had been killed.
pub struct DiskLog(Driven<Inner>);

impl DiskLog {
    /// Opens the log in a data directory, or creates it there. Fails with [`crate::LogError::Locked`] while another has it open.
    pub fn open(world: World, dir: &Path, options: DiskLogOptions) -> Result<Arc<Self>> {
        let layout = Layout::new(dir);
        let lock = take_lock(&world, dir, &layout)?;
        let mut opened = recover(&world, &layout)?;
        opened.writer.sequencer.remember(options.producers_remembered);
        let inner = Arc::new(Inner::new(world.clone(), layout, options, opened));
        let others = |inner: &Arc<Inner>| {
            if !inner.options.maintains {
                return Vec::new();
            }
            let shared = Arc::clone(inner);
            let sealer = world.tasks.spawn("log-seal", Box::new(move || shared.seal_turn()));
            // Set once: this is the only place that sets it.
            let _ = inner.sealer.set(sealer.waker());
            let shared = Arc::clone(inner);
            let keeper = world.tasks.spawn("log-retention", Box::new(move || shared.retention_turn()));
            let mut others = vec![sealer, keeper];
            if inner.options.scrub_bytes_per_second > 0 {
                let mut scrubber = Scrubber::new(Arc::clone(inner));
                others.push(world.tasks.spawn("log-scrub", Box::new(move || scrubber.turn())));
            }
            others
        };
        Ok(Arc::new(Self(Driven::start(inner, others, lock))))
    }

    /// Whether a data directory holds a log. Nothing is locked or made.
    pub fn is_in(world: &World, dir: &Path) -> bool {
        world.disk.open(&Layout::new(dir).catalog(), Open::Read).is_ok()
    }
}

impl StoredLog for DiskLog {
    type Store = Inner;

    fn driven(&self) -> &Driven<Inner> {
        &self.0
    }
}

impl Store for Inner {
    type Writer = Writer;
    type Placed = Placed;
    /// The number of the file.
    type Written = u64;

    const LIMITS: Limits = Limits { rows: 1 << 20, header_bytes: 16 << 20, total_bytes: 64 << 20 };

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
        let mut catalog = self.catalog.lock();
        if let Some((change, schema)) = propose(&catalog.state.streams)? {
            self.keep(&mut catalog, Event::Stream(change), schema)?;
        }
        let mut view = self.view.write();
        view.streams = catalog.state.streams.clone();
        apply(&mut writer, &mut view)
    }

    fn drop_stream(&self, stream: StreamId) -> Result<()> {
        Inner::drop_stream(self, stream)
    }

    fn write(&self, writer: &mut Writer, groups: Vec<Group>, commit: &mut Commit<Placed>) -> Result<u64> {
        self.commit(writer, groups, commit)
    }

    fn publish(&self, view: &mut View, batches: Vec<Placed>, file: u64) {
        publish(view, batches, file);
    }

    fn reader(self: &Arc<Self>, spec: ReadSpec) -> Result<Box<dyn Reader>> {
        Ok(Box::new(DiskReader::new(Arc::clone(self), spec)?))
    }

    fn begin_at(&self, stream: StreamId, shard: ShardId, first: Sequence) -> Result<()> {
        Inner::begin_at(self, stream, shard, first)
    }

    fn trim(&self, stream: StreamId, shard: ShardId, before: Sequence) -> Result<()> {
        Inner::trim(self, stream, shard, before)
    }

    fn segments(&self, stream: StreamId) -> Result<Vec<SegmentInfo>> {
        Inner::segments(self, stream)
    }

    fn lost(&self, stream: StreamId) -> Vec<LostRows> {
        let own = self.lost.iter().filter(|lost| lost.stream == stream.0);
        let rows = |lost: &Lost| LostRows {
            stream,
            shard: ShardId(lost.shard),
            rows: Sequence(lost.from)..Sequence(lost.to),
        };
        own.map(rows).collect()
    }

    fn damage(&self) -> Vec<Damage> {
        self.damage.lock().clone()
    }

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
