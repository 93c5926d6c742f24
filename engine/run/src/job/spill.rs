//! State that is not in memory: files of one directory that live no longer than the process, and what they may relieve.
//!
//! Nothing depends on a spill file after a crash: a job is restored from its checkpoint and journal, and what is found in the
//! directory at the start is removed. So nothing is synced. Every part has a checksum all the same.

use std::collections::BTreeMap;
use std::io::IoSlice;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use headwater_core::World;
use headwater_core::world::{DiskFile, Open};
use headwater_operators::StateEntries;
use parking_lot::Mutex;

use super::parts::{self, Part};

/// What the states of all jobs of an engine may take of memory, and where the rest goes.
pub(crate) struct StateMemory {
    limit: u64,
    /// The bytes that each lease has taken.
    taken: Mutex<BTreeMap<u64, u64>>,
    leases: AtomicU64,
    world: World,
    dir: PathBuf,
}

impl StateMemory {
    /// At most `limit` bytes for all jobs together, roughly; the rest goes to `dir`, which is emptied.
    pub fn new(world: World, dir: PathBuf, limit: u64) -> std::io::Result<Arc<Self>> {
        world.disk.create_dir(&dir)?;
        for left_over in world.disk.list(&dir)?.iter().filter(|entry| !entry.is_dir) {
            world.disk.remove(&dir.join(&left_over.name))?;
        }
        let (taken, leases) = (Mutex::default(), AtomicU64::default());
        Ok(Arc::new(Self { limit, taken, leases, world, dir }))
    }

    /// A job's share.
    pub fn lease(self: &Arc<Self>) -> Lease {
        let id = self.leases.fetch_add(1, Ordering::Relaxed);
        self.taken.lock().insert(id, 0);
        Lease { memory: Arc::clone(self), id, files: 0 }
    }
}

/// What one job may take of the memory for state.
pub(crate) struct Lease {
    memory: Arc<StateMemory>,
    id: u64,
    files: u64,
}

impl Lease {
    /// Says how much the job takes now; answers how much it may take: what others leave, and an equal share in any case.
    pub fn note(&self, bytes: u64) -> u64 {
        let mut taken = self.memory.taken.lock();
        taken.insert(self.id, bytes);
        let others: u64 = taken.iter().filter(|(id, _)| **id != self.id).map(|(_, bytes)| *bytes).sum();
        let share = self.memory.limit / taken.len() as u64;
        self.memory.limit.saturating_sub(others).max(share)
    }

    /// A writer of spill files, for one thread.
    pub fn writer(&mut self) -> SpillWriter {
        self.files += 1;
        let stem = format!("{}-{}", self.id, self.files);
        SpillWriter { memory: Arc::clone(&self.memory), stem, files: 0 }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.memory.taken.lock().remove(&self.id);
    }
}

/// Writes spill files.
pub(crate) struct SpillWriter {
    memory: Arc<StateMemory>,
    stem: String,
    files: u64,
}

impl SpillWriter {
    /// Writes entries into a file of their own.
    pub fn write<'a>(
        &mut self,
        entries: impl IntoIterator<Item = &'a StateEntries>,
    ) -> Result<Vec<Spilled>, String> {
        let mut bytes = Vec::new();
        let mut all = Vec::new();
        for entries in entries {
            let part = parts::encode(entries, &mut bytes)?;
            let crc = parts::checksum(&bytes[part.offset..]);
            all.push((part, crc));
        }
        if all.is_empty() {
            return Ok(Vec::new());
        }
        self.files += 1;
        let path = self.memory.dir.join(format!("{}-{}.hwsp", self.stem, self.files));
        let disk = &self.memory.world.disk;
        let written = disk.open(&path, Open::Create).and_then(|file| {
            file.write_all_at(&mut [IoSlice::new(&bytes)], 0)?;
            Ok(file)
        });
        let file = written.map_err(|error| {
            // The cause is worth more than what became of the attempt to clean up.
            let _ = disk.remove(&path);
            format!("write {}: {error}", path.display())
        })?;
        let file = Arc::new(SpillFile { world: self.memory.world.clone(), path, file });
        Ok(all.into_iter().map(|(part, crc)| Spilled { file: Arc::clone(&file), part, crc }).collect())
    }
}

/// A file that is removed when nobody needs it any more.
struct SpillFile {
    world: World,
    path: PathBuf,
    file: Arc<dyn DiskFile>,
}

impl Drop for SpillFile {
    fn drop(&mut self) {
        if let Err(error) = self.world.disk.remove(&self.path) {
            tracing::warn!(file = %self.path.display(), %error, "a spill file could not be removed");
        }
    }
}

/// Entries of state that lie in a file.
#[derive(Clone)]
pub(crate) struct Spilled {
    file: Arc<SpillFile>,
    part: Part,
    crc: u32,
}

impl Spilled {
    /// What it is; offset and length are those within its file.
    pub fn part(&self) -> &Part {
        &self.part
    }

    /// The bytes, verified.
    pub fn bytes(&self) -> Result<Vec<u8>, String> {
        let path = self.file.path.display();
        let bytes = self.file.file.read_vec_at(self.part.length, self.part.offset as u64);
        let bytes = bytes.map_err(|error| format!("read {path}: {error}"))?;
        if parts::checksum(&bytes) == self.crc {
            Ok(bytes)
        } else {
            Err(format!("{path} is damaged at byte {}: the checksum does not match", self.part.offset))
        }
    }

    /// The entries.
    pub fn entries(&self) -> Result<StateEntries, String> {
        parts::decode(&self.bytes()?, &self.part)
            .map_err(|reason| format!("{}: {reason}", self.file.path.display()))
    }
}

/// A part of a snapshot, in memory or in a file.
pub(crate) enum StatePart {
    /// In memory.
    Here(StateEntries),
    /// In a file.
    Away(Spilled),
}

impl StatePart {
    /// Bytes of memory.
    pub fn memory(&self) -> usize {
        match self {
            Self::Here(entries) => entries.rows.get_array_memory_size() + entries.slots.len() * 4,
            Self::Away(_) => 0,
        }
    }

    /// The entries.
    pub fn entries(&self) -> Result<StateEntries, String> {
        match self {
            Self::Here(entries) => Ok(entries.clone()),
            Self::Away(spilled) => spilled.entries(),
        }
    }

    /// Appends its bytes to `out`.
    pub fn encode(&self, out: &mut Vec<u8>) -> Result<Part, String> {
        match self {
            Self::Here(entries) => parts::encode(entries, out),
            Self::Away(spilled) => {
                let offset = out.len();
                out.extend_from_slice(&spilled.bytes()?);
                Ok(Part { offset, ..spilled.part.clone() })
            }
        }
    }
}
