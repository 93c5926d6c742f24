//! The entries of the manifest: read, and appended one at a time by whoever comes first.

use bytes::Bytes;
use headwater_core::World;

use crate::error::{ArchiveError, Result};
use crate::layout;
use crate::manifest::{Act, Entry, FORMAT, Manifest};
use crate::place::Place;

/// So many entries apart all that they come to is written down, so that opening need not read them all.
const SNAPSHOT_EVERY: u64 = 64;

/// The manifest of an archive, as far as it has been read.
pub struct Ledger {
    place: Place,
    writer: String,
    manifest: Manifest,
}

impl Ledger {
    /// Reads the manifest of a place; one without entries is empty.
    pub async fn open(world: &World, place: Place) -> Result<Self> {
        let writer = format!("{:016x}", world.random.next());
        let mut ledger = Self { place, writer, manifest: Manifest::default() };
        ledger.load().await?;
        Ok(ledger)
    }

    /// What is known.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Where it lies.
    pub fn place(&self) -> &Place {
        &self.place
    }

    async fn load(&mut self) -> Result<()> {
        let prefix = format!("{}/", layout::MANIFEST);
        let names = self.place.list(layout::MANIFEST).await?;
        let numbers = names.iter().filter_map(|(name, _)| layout::number_of(name.strip_prefix(&prefix)?));
        let newest = numbers.filter(|(_, snapshot)| *snapshot).map(|(number, _)| number).max();
        if let Some(number) = newest {
            let name = layout::snapshot(number);
            let bytes = self.place.get(&name).await?;
            let bytes = bytes.ok_or_else(|| self.damaged(&name, "it was listed and is gone"))?;
            let found: Manifest =
                serde_json::from_slice(&bytes).map_err(|error| self.damaged(&name, error.to_string()))?;
            if found.format != FORMAT || found.number != number {
                return Err(
                    self.damaged(&name, format!("it is for entry {}, format {}", found.number, found.format))
                );
            }
            self.manifest = found;
        }
        self.refresh().await.map(drop)
    }

    /// Reads what others have added. `true` if there was something.
    pub async fn refresh(&mut self) -> Result<bool> {
        let before = self.manifest.number;
        while let Some(bytes) = self.place.get(&layout::entry(self.manifest.number + 1)).await? {
            self.apply(&bytes)?;
        }
        Ok(self.manifest.number > before)
    }

    fn apply(&mut self, bytes: &Bytes) -> Result<()> {
        let name = layout::entry(self.manifest.number + 1);
        let entry: Entry =
            serde_json::from_slice(bytes).map_err(|error| self.damaged(&name, error.to_string()))?;
        self.manifest.apply(&entry).map_err(|reason| self.damaged(&name, reason))
    }

    fn damaged(&self, name: &str, reason: impl Into<String>) -> ArchiveError {
        ArchiveError::damaged(self.place.show(name), reason)
    }

    /// Adds an entry, if nobody else has added one since the last that was read. `false`: somebody has, and what they said is
    /// known now, so that the caller decides anew. After an error the entry may be there or not; the next call finds out.
    pub(crate) async fn append(&mut self, world: &World, act: Act) -> Result<bool> {
        if let Err(reason) = self.manifest.check(&act) {
            return Err(self.damaged(layout::MANIFEST, reason));
        }
        let number = self.manifest.number + 1;
        let at = world.clock.now().to_string();
        let entry = Entry { format: FORMAT, number, writer: self.writer.clone(), at, act };
        let mut bytes = serde_json::to_vec(&entry).unwrap_or_default();
        bytes.push(b'\n');
        let (name, bytes) = (layout::entry(number), Bytes::from(bytes));
        let put = self.place.put_new(&name, bytes.clone()).await;
        if let Ok(true) = put {
            self.apply(&bytes)?;
            self.snapshot_if_due().await;
            return Ok(true);
        }
        // Somebody was first, or it was us and the answer was lost: what is there tells.
        match (put, self.place.get(&name).await) {
            (_, Ok(Some(there))) => {
                self.apply(&there)?;
                self.refresh().await?;
                Ok(there == bytes)
            }
            (Err(error), _) | (_, Err(error)) => Err(error),
            (Ok(_), Ok(None)) => {
                Err(self.damaged(&name, "the store says that it is there, and that it is not"))
            }
        }
    }

    async fn snapshot_if_due(&self) {
        let number = self.manifest.number;
        if !number.is_multiple_of(SNAPSHOT_EVERY) {
            return;
        }
        let bytes = serde_json::to_vec(&self.manifest).unwrap_or_default();
        if let Err(error) = self.place.put_new(&layout::snapshot(number), bytes.into()).await {
            tracing::warn!(%error, "a snapshot of an archive's manifest was not written; opening reads more entries");
        }
    }

    /// Removes entries that two snapshots cover.
    pub(crate) async fn trim(&self) -> Result<u64> {
        let prefix = format!("{}/", layout::MANIFEST);
        let names = self.place.list(layout::MANIFEST).await?;
        let numbered: Vec<_> = names
            .iter()
            .filter_map(|(name, _)| Some((name, layout::number_of(name.strip_prefix(&prefix)?)?)))
            .collect();
        let mut snapshots: Vec<u64> =
            numbered.iter().filter(|(_, (_, snapshot))| *snapshot).map(|(_, (number, _))| *number).collect();
        snapshots.sort_unstable();
        // Whoever reads by the newest snapshot but one just now still finds what follows it.
        let Some(covered) = snapshots.iter().rev().nth(1) else { return Ok(0) };
        let mut removed = 0;
        for (name, (number, snapshot)) in &numbered {
            if *number < *covered || (*number == *covered && !snapshot) {
                self.place.remove(name).await?;
                removed += 1;
            }
        }
        Ok(removed)
    }
}
