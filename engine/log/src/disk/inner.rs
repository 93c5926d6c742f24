//! What the parts of a log on disk share besides its front: readers, committer, sealer and the rest.
//!
//! Locks are taken in this order: writer, catalog, view. Readers take the view only, and never during I/O.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Deref;
use std::sync::{Arc, OnceLock};

use arrow::datatypes::SchemaRef;
use headwater_core::world::{DiskFile, TaskWaker};
use headwater_core::{StreamId, World};
use parking_lot::Mutex;

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
use crate::error::Result;
use crate::stored::{Front, Store};
use crate::streams::Change;
use crate::view::View;

/// A log on disk, without the tasks that drive it.
pub(crate) struct Inner {
    front: Front,
    /// Where everything lies.
    pub layout: Layout,
    /// The settings.
    pub options: DiskLogOptions,
    /// What the committer works with.
    pub writer: Mutex<Writer>,
    /// What is kept about streams and files.
    pub catalog: Mutex<Catalog>,
    /// Active files, for readers.
    pub actives: Mutex<BTreeMap<u64, Arc<dyn DiskFile>>>,
    /// Sealed files, for readers.
    pub files: Files,
    /// What several readers of a shard read a moment ago.
    pub recent: Recent<DecodedBatch>,
    /// Active files that are full, oldest first.
    pub seals: Mutex<VecDeque<SealJob>>,
    /// Wakes the sealer.
    pub sealer: OnceLock<TaskWaker>,
    /// What the scrubber and the sealer found.
    pub damage: Mutex<Vec<Damage>>,
    /// Rows that `repair` could not save.
    pub lost: Vec<Lost>,
}

/// What is no different on disk is in front.
impl Deref for Inner {
    type Target = Front;

    fn deref(&self) -> &Front {
        &self.front
    }
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
            front: Front::new(
                world.clone(),
                layout.dir.display().to_string(),
                options.queue_bytes,
                opened.view,
            ),
            files: Files::new(Arc::clone(&world.disk), options.open_files),
            lost: opened.catalog.state.lost.clone(),
            writer: Mutex::new(opened.writer),
            catalog: Mutex::new(opened.catalog),
            actives: Mutex::new(opened.actives),
            seals: Mutex::new(opened.seals),
            damage: Mutex::new(opened.damage),
            recent: Recent::new(options.decoded_bytes),
            sealer: OnceLock::new(),
            layout,
            options,
        }
    }

    /// Keeps an event in the catalog. A failure poisons the log: what the catalog holds is then not known.
    pub(crate) fn keep(&self, catalog: &mut Catalog, event: Event, schema: Option<SchemaRef>) -> Result<()> {
        catalog.keep(event, schema).map_err(|error| self.poison_with(error))
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
