//! Archives: started with the engine or their statement, stopped with it.

use std::collections::BTreeMap;
use std::sync::Arc;

use headwater_archive::{Archive, ArchiveStatus, Codec, Partition, Place, Roll, Settings};
use headwater_log::{Log, StreamInfo};
use headwater_plan::{ArchiveCodec, ArchiveDef, ArchivePartition, Catalog, Entry};

use super::state::Inner;
use crate::error::Result;

impl Inner {
    /// Takes the place of an archive that is to be created, and holds its stream's rows from now on. Blocks.
    pub fn claim_archive(&self, def: &ArchiveDef) -> Result<()> {
        let info = self.log.stream_named(&def.stream)?;
        let place = Place::open(&self.world, &def.address)?;
        let log = self.history.log();
        Archive::claim(&self.world, log, &info, &place, &settings_of(def), self.runtime.clone())?;
        Ok(self.log.set_hold(info.id, true)?)
    }

    /// Starts archiving, unless the directory is only looked at, and reads the stream's older rows from the archive.
    pub fn start_archive(&self, def: &ArchiveDef) -> Result<()> {
        let info = self.log.stream_named(&def.stream)?;
        let place = Place::open(&self.world, &def.address)?;
        let at_rest = self.state.lock().at_rest;
        let (world, runtime, settings) = (&self.world, self.runtime.clone(), settings_of(def));
        let archive = match at_rest {
            true => Archive::at_rest(world, info, place, &settings, runtime),
            false => Archive::start(world, Arc::clone(self.history.log()), info, place, settings, runtime),
        };
        self.history.attach(Arc::clone(&archive));
        self.state.lock().archives.insert(def.name.clone(), archive);
        Ok(())
    }

    /// Stops archiving; the files stay. The log may drop what it likes from now on. Blocks.
    pub fn remove_archive(&self, def: &ArchiveDef) -> Result<()> {
        let archive = self.state.lock().archives.remove(&def.name);
        if let Some(archive) = archive {
            self.history.detach(archive.info().id);
            archive.stop();
        }
        let info = self.log.stream_named(&def.stream)?;
        Ok(self.log.set_hold(info.id, false)?)
    }

    /// Stops all archives after what they are doing. Blocks.
    pub fn stop_archives(&self) {
        let archives = std::mem::take(&mut self.state.lock().archives);
        archives.values().for_each(|archive| archive.stop());
    }

    /// All archives, by name.
    pub fn archives(&self) -> BTreeMap<String, Arc<Archive>> {
        self.state.lock().archives.clone()
    }

    /// How all archives do, by name.
    pub fn archive_statuses(&self) -> Vec<(String, ArchiveStatus)> {
        self.archives().into_iter().map(|(name, archive)| (name, archive.status())).collect()
    }
}

/// Holds the streams that are archived, and no others: after a crash between a statement and its effect.
pub(super) fn reconcile_holds(log: &dyn Log, catalog: &Catalog) -> Result<()> {
    let archived = |info: &StreamInfo| {
        catalog.entries().any(
            |entry| matches!(entry, Entry::Archive(archive) if archive.stream == info.spec.name.as_str()),
        )
    };
    for info in log.streams() {
        log.set_hold(info.id, archived(&info))?;
    }
    Ok(())
}

fn settings_of(def: &ArchiveDef) -> Settings {
    Settings {
        partition: match def.partition {
            ArchivePartition::None => Partition::None,
            ArchivePartition::Day => Partition::Day,
            ArchivePartition::Hour => Partition::Hour,
        },
        roll: Roll { bytes: def.roll_bytes, rows: def.roll_rows, age: def.roll_age },
        codec: match def.codec {
            ArchiveCodec::None => Codec::None,
            ArchiveCodec::Snappy => Codec::Snappy,
            ArchiveCodec::Lz4 => Codec::Lz4,
            ArchiveCodec::Zstd(level) => Codec::Zstd(level),
        },
        sort: def.sort.clone(),
        bloom: def.bloom.clone(),
        page_index: def.page_index.clone(),
        row_group_rows: usize::try_from(def.row_group_rows).unwrap_or(usize::MAX),
        part_bytes: usize::try_from(def.part_bytes).unwrap_or(usize::MAX),
        attach: def.attach,
    }
}
