//! The file that takes the appends of all streams and shards.

use std::io::IoSlice;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use headwater_core::EventTime;
use headwater_core::world::{Disk, DiskFile, Open};

use super::layout::{BLOCK, CommitHeader, FileHeader, Kind, Layout};
use super::store;
use crate::batch::Encoded;
use crate::error::{LogError, Result};

/// An active file, open to be written. `len` is where the next commit goes, `synced_to` up to where it is durable.
pub(crate) struct Active {
    /// Its number.
    pub number: u64,
    /// Its path.
    pub path: PathBuf,
    /// The file.
    pub file: Arc<dyn DiskFile>,
    /// Where the next commit goes.
    pub len: u64,
    /// Up to where it is durable.
    pub synced_to: u64,
    /// The checksum from which the next batch chains.
    pub chain: u32,
    /// When it was created, by the monotonic clock.
    pub since: Duration,
}

impl Active {
    /// Makes a new one, durably. All of the one before, `previous` bytes, must be durable.
    pub(crate) fn create(
        disk: &dyn Disk,
        layout: &Layout,
        number: u64,
        previous: u64,
        now: EventTime,
        since: Duration,
    ) -> Result<Self> {
        let path = layout.active(number);
        let file = store::open(disk, &path, Open::Create)?;
        let header = FileHeader { kind: Kind::Active, number, stream: None, created: now, previous };
        let (block, chain) = header.encode();
        store::write(&*file, &path, &block, 0)?;
        store::sync(&*file, &path)?;
        store::sync_dir(disk, &layout.dir)?;
        let len = BLOCK as u64;
        Ok(Self { number, path, file, len, synced_to: len, chain, since })
    }

    /// Whether it holds no commit yet.
    pub(crate) fn is_empty(&self) -> bool {
        self.len == BLOCK as u64
    }

    /// Where the batches of the next commit start.
    pub(crate) fn next_batch(&self) -> u64 {
        self.len + BLOCK as u64
    }

    /// Writes a commit: batches that chain from `self.chain`, in one gather write. Without batches it says that
    /// everything before is durable.
    pub(crate) fn write<'a>(&mut self, batches: impl ExactSizeIterator<Item = &'a Encoded>) -> Result<()> {
        let count = batches.len() as u32;
        let (mut bytes, mut chain) = (0, self.chain);
        let mut slices = Vec::with_capacity(1 + 16 * batches.len());
        slices.push(IoSlice::new(&[]));
        for batch in batches {
            bytes += batch.total_bytes();
            chain = batch.crc();
            slices.extend(batch.slices().map(IoSlice::new));
        }
        let header = CommitHeader {
            file: self.number,
            at: self.len,
            bytes,
            batches: count,
            synced_to: self.synced_to,
        };
        let header = header.encode();
        slices[0] = IoSlice::new(&header);
        store::write_slices(&*self.file, &self.path, &mut slices, self.len)?;
        self.len += BLOCK as u64 + bytes;
        self.chain = chain;
        Ok(())
    }

    /// Makes everything written durable.
    pub(crate) fn sync(&mut self) -> Result<()> {
        store::sync(&*self.file, &self.path)?;
        self.synced_to = self.len;
        Ok(())
    }

    /// Makes durable what may look durable and not be: after a sync that failed, the system may hold pages that it
    /// believes to be written. Writing the same bytes again makes them dirty again.
    pub(crate) fn rewrite_unsynced(&mut self) -> Result<()> {
        if self.synced_to < self.len {
            let count = usize::try_from(self.len - self.synced_to).map_err(|_| LogError::TooLarge {
                what: "bytes that are not known to be durable",
                given: self.len - self.synced_to,
                most: usize::MAX as u64,
            })?;
            let bytes = store::read(&*self.file, &self.path, self.synced_to, count)?;
            store::write(&*self.file, &self.path, &bytes, self.synced_to)?;
        }
        self.sync()
    }
}
