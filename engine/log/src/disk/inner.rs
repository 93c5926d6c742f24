//! What the parts of a log on disk share: readers, committer, sealer and the rest.
//!
//! Locks are taken in this order: writer, catalog, view. Readers take the view only, and never during I/O.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use arrow::datatypes::SchemaRef;
use headwater_core::world::{DiskFile, TaskWaker};
use headwater_core::{StreamId, World};
use parking_lot::{Mutex, RwLock};

use super::catalog::Catalog;
use super::commit::Writer;
use super::event::{Event, Lost};
use super::files::Files;
use super::layout::Layout;
use super::options::DiskLogOptions;
use super::reader::DecodedBatch;
use super::recent::Recent;
use super::scrub::Damage;
use super::seal::SealJob;
use super::store;
use crate::error::{LogError, Result};
use crate::metrics::Metrics;
use crate::queue::Queue;
use crate::streams::{Change, Streams};
use crate::view::View;
use crate::wakes::Wakes;

/// A log on disk, without the tasks that drive it.
pub(crate) struct Inner {
    /// The world outside.
    pub world: World,
    /// Where everything lies.
    pub layout: Layout,
    /// The settings.
    pub options: DiskLogOptions,
    /// What readers see.
    pub view: Arc<RwLock<View>>,
    /// Who wants to know of new rows.
    pub wakes: Arc<Wakes>,
    /// What the committer works with.
    pub writer: Mutex<Writer>,
    /// What is kept about streams and files.
    pub catalog: Mutex<Catalog>,
    /// What waits to be committed.
    pub queue: Queue,
    /// Active files, for readers.
    pub actives: Mutex<BTreeMap<u64, Arc<dyn DiskFile>>>,
    /// Sealed files, for readers.
    pub files: Files,
    /// What several readers of a shard read a moment ago.
    pub recent: Recent<DecodedBatch>,
    /// Counters.
    pub metrics: Metrics,
    /// Active files that are full, oldest first.
    pub seals: Mutex<VecDeque<SealJob>>,
    /// Wakes the sealer.
    pub sealer: OnceLock<TaskWaker>,
    /// What the scrubber and the sealer found.
    pub damage: Mutex<Vec<Damage>>,
    /// Rows that `repair` could not save.
    pub lost: Vec<Lost>,
    poison: OnceLock<LogError>,
    closed: AtomicBool,
}

/// What [`Inner`] is made of once the files have been read.
pub(crate) struct Opened {
    /// What readers see.
    pub view: View,
    /// What the committer works with.
    pub writer: Writer,
    /// What is kept about streams and files.
    pub catalog: Catalog,
    /// Active files, for readers.
    pub actives: BTreeMap<u64, Arc<dyn DiskFile>>,
    /// Active files that are full, oldest first.
    pub seals: VecDeque<SealJob>,
    /// What was found damaged and could be made good.
    pub damage: Vec<Damage>,
}

impl Inner {
    /// Puts the parts together.
    pub(crate) fn new(world: World, layout: Layout, options: DiskLogOptions, opened: Opened) -> Self {
        Self {
            queue: Queue::new(options.queue_bytes, Arc::clone(&world.tasks)),
            files: Files::new(Arc::clone(&world.disk), options.open_files),
            lost: opened.catalog.state.lost.clone(),
            view: Arc::new(RwLock::new(opened.view)),
            writer: Mutex::new(opened.writer),
            catalog: Mutex::new(opened.catalog),
            actives: Mutex::new(opened.actives),
            seals: Mutex::new(opened.seals),
            damage: Mutex::new(opened.damage),
            wakes: Arc::default(),
            recent: Recent::default(),
            metrics: Metrics::default(),
            sealer: OnceLock::new(),
            poison: OnceLock::new(),
            closed: AtomicBool::new(false),
            world,
            layout,
            options,
        }
    }

    /// The first failed write or sync, if there was one.
    pub(crate) fn poison(&self) -> Option<LogError> {
        self.poison.get().cloned()
    }

    /// Takes no more appends because of this error, or of an earlier one, which is then the one that is answered with.
    pub(crate) fn poison_with(&self, cause: LogError) -> LogError {
        let poison = self.poison.get_or_init(|| {
            tracing::error!(%cause, "the log takes no more appends");
            LogError::Poisoned { cause: Arc::new(cause) }
        });
        self.queue.refuse(poison.clone());
        poison.clone()
    }

    /// Whether the log was closed.
    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    /// Takes nothing from now on. `false` if that was so already.
    pub(crate) fn set_closed(&self) -> bool {
        self.queue.refuse(LogError::Closed);
        !self.closed.swap(true, Ordering::AcqRel)
    }

    /// Refuses a call when the log is closed or poisoned.
    pub(crate) fn check_open(&self) -> Result<()> {
        match self.poison() {
            Some(poison) => Err(poison),
            None if self.is_closed() => Err(LogError::Closed),
            None => Ok(()),
        }
    }

    /// Keeps an event in the catalog. A failure poisons the log: what the catalog holds is then not known.
    pub(crate) fn keep(&self, catalog: &mut Catalog, event: Event, schema: Option<SchemaRef>) -> Result<()> {
        catalog.keep(event, schema).map_err(|error| self.poison_with(error))
    }

    /// Changes the set of streams: proposes, keeps, and applies to what the committer and the readers have.
    pub(crate) fn change<T>(
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

    /// Drops a stream, and its files once nobody can find them any more.
    pub(crate) fn drop_stream(&self, stream: StreamId) -> Result<()> {
        let mut numbers = Vec::new();
        self.change(
            |streams| {
                streams.get(stream)?;
                Ok(Some((Change::Drop { stream: stream.0 }, None)))
            },
            |writer, view| {
                writer.sequencer.remove(stream);
                for shard in view.remove(stream) {
                    numbers.extend(shard.files.sealed.iter().map(|part| part.segment.number));
                }
                Ok(())
            },
        )?;
        numbers.sort_unstable();
        numbers.dedup();
        self.recent.forget(stream);
        self.remove_sealed(stream, &numbers);
        Ok(())
    }

    /// Removes files that are no longer part of the log. What fails here is done when the log is opened again.
    pub(crate) fn remove_sealed(&self, stream: StreamId, numbers: &[u64]) {
        for number in numbers {
            let path = self.layout.sealed(stream, *number);
            self.files.forget(&path);
            if let Err(error) = store::remove(&*self.world.disk, &path) {
                tracing::warn!(%error, "a file that is no longer needed stays until the log is opened again");
            }
        }
    }
}
