//! A disk in memory that can lose power, fill up and fail.
//!
//! What it promises is what [`Disk`] promises, and no more: a program that relies on anything else is found out by
//! [`SimDisk::power_loss`]. The modules `names` and `file` say what exactly may survive.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, IoSlice};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;

use super::SimRandom;
use super::names::{NodeId, Tree};
use crate::world::faulty_disk::join;
use crate::world::{Disk, DiskEntry, DiskFile, DiskLock, Errno, Faults, Op, Open};

/// A disk in memory. A clone is another handle of the same disk.
#[derive(Clone)]
pub struct SimDisk {
    shared: Arc<Shared>,
}

struct Shared {
    faults: Faults,
    random: SimRandom,
    state: Mutex<DiskState>,
}

struct DiskState {
    tree: Tree,
    locks: BTreeSet<NodeId>,
    /// Grows with each crash; a handle of an older generation is dead.
    generation: u64,
    capacity: Option<usize>,
}

/// All directories and files of a disk, for tests that compare, damage or restore them.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct DiskImage {
    /// The directories, the top one included.
    pub dirs: BTreeSet<PathBuf>,
    /// The files and their bytes.
    pub files: BTreeMap<PathBuf, Vec<u8>>,
}

impl SimDisk {
    /// An empty disk. What survives a loss of power is drawn from `random`.
    pub fn new(random: SimRandom) -> Self {
        let state = DiskState { tree: Tree::new(), locks: BTreeSet::new(), generation: 0, capacity: None };
        Self { shared: Arc::new(Shared { faults: Faults::default(), random, state: Mutex::new(state) }) }
    }

    /// The failures to come. A sync that is made to fail marks the pages clean without making them durable.
    pub fn faults(&self) -> &Faults {
        &self.shared.faults
    }

    /// Limits the bytes that all files together may take; a write beyond writes what fits and fails.
    pub fn set_capacity(&self, bytes: Option<u64>) {
        self.shared.state.lock().capacity = bytes.map(|bytes| bytes as usize);
    }

    /// The bytes that all files take.
    pub fn used(&self) -> u64 {
        self.shared.state.lock().tree.used() as u64
    }

    /// Cuts the power. Of what was not synced, each page and each change of names survives or not; handles are dead.
    pub fn power_loss(&self) {
        let mut state = self.shared.state.lock();
        state.end_process();
        state.tree.power_loss(&self.shared.random);
    }

    /// Ends the process. What was written stays, synced or not; handles are dead.
    pub fn process_crash(&self) {
        let mut state = self.shared.state.lock();
        state.end_process();
        state.tree.process_crash(&self.shared.random);
    }

    /// What a reader sees.
    pub fn image(&self) -> DiskImage {
        self.take_image(false)
    }

    /// What would be left if nothing unsynced survived.
    pub fn durable_image(&self) -> DiskImage {
        self.take_image(true)
    }

    fn take_image(&self, durable: bool) -> DiskImage {
        let mut image = DiskImage::default();
        self.shared.state.lock().tree.walk(durable, &mut |path, file| match file {
            Some(file) => {
                let bytes = if durable { file.durable_bytes() } else { file.bytes() };
                image.files.insert(path, bytes.to_vec());
            }
            None => {
                image.dirs.insert(path);
            }
        });
        image
    }

    /// Puts an image in the place of everything, all of it durable. Handles are dead.
    pub fn restore(&self, image: &DiskImage) -> io::Result<()> {
        let mut state = self.shared.state.lock();
        state.end_process();
        let mut tree = Tree::new();
        for dir in &image.dirs {
            tree.create_dir(dir)?;
        }
        for (path, bytes) in &image.files {
            let file = tree.create(path)?;
            tree.image(file).write(bytes, 0);
        }
        tree.settle();
        state.tree = tree;
        Ok(())
    }

    /// Flips the bits of `xor` in one byte of a file, durably and behind everybody's back.
    pub fn corrupt(&self, path: &Path, at: u64, xor: u8) -> io::Result<()> {
        self.damage(path, |bytes| match bytes.get_mut(at as usize) {
            Some(byte) => {
                *byte ^= xor;
                Ok(())
            }
            None => Err(io::ErrorKind::UnexpectedEof.into()),
        })
    }

    /// Cuts a file, durably and behind everybody's back.
    pub fn truncate(&self, path: &Path, len: u64) -> io::Result<()> {
        self.damage(path, |bytes| {
            bytes.truncate(len as usize);
            Ok(())
        })
    }

    fn damage(&self, path: &Path, how: impl FnOnce(&mut Vec<u8>) -> io::Result<()>) -> io::Result<()> {
        let mut state = self.shared.state.lock();
        let file = state.tree.file(path)?;
        let image = state.tree.image(file);
        let mut bytes = image.bytes().to_vec();
        how(&mut bytes)?;
        *image = super::file::FileImage::durable(bytes);
        Ok(())
    }

    fn check(&self, op: Op, path: &Path) -> io::Result<()> {
        self.shared.faults.check(op, &path.to_string_lossy())
    }
}

impl DiskState {
    fn end_process(&mut self) {
        self.generation += 1;
        self.locks.clear();
    }

    /// How many of `wanted` more bytes fit.
    fn room(&self, wanted: usize) -> usize {
        self.capacity.map_or(wanted, |capacity| wanted.min(capacity.saturating_sub(self.tree.used())))
    }
}

impl Disk for SimDisk {
    fn open(&self, path: &Path, how: Open) -> io::Result<Arc<dyn DiskFile>> {
        self.check(if how == Open::Create { Op::Create } else { Op::Open }, path)?;
        let mut state = self.shared.state.lock();
        let file = match how {
            Open::Read | Open::Write => state.tree.file(path)?,
            Open::Create => state.tree.create(path)?,
        };
        state.tree.opened(file);
        Ok(Arc::new(SimFile {
            shared: Arc::clone(&self.shared),
            file,
            path: path.to_string_lossy().into_owned(),
            writable: how != Open::Read,
            generation: state.generation,
        }))
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<DiskEntry>> {
        self.check(Op::List, dir)?;
        let names = self.shared.state.lock().tree.list(dir)?;
        Ok(names.into_iter().map(|(name, is_dir)| DiskEntry { name, is_dir }).collect())
    }

    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        self.check(Op::CreateDir, dir)?;
        self.shared.state.lock().tree.create_dir(dir)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.check(Op::Rename, from)?;
        self.shared.state.lock().tree.rename(from, to)
    }

    fn rename_new(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.check(Op::Rename, from)?;
        self.shared.state.lock().tree.rename_new(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.check(Op::Remove, path)?;
        self.shared.state.lock().tree.remove(path)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.check(Op::SyncDir, dir)?;
        self.shared.state.lock().tree.sync_dir(dir)
    }

    fn lock(&self, path: &Path) -> io::Result<DiskLock> {
        self.check(Op::Lock, path)?;
        let mut state = self.shared.state.lock();
        let file = match state.tree.file(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => state.tree.create(path)?,
            found => found?,
        };
        if !state.locks.insert(file) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        Ok(DiskLock::new(SimLock { shared: Arc::clone(&self.shared), file, generation: state.generation }))
    }
}

struct SimLock {
    shared: Arc<Shared>,
    file: NodeId,
    generation: u64,
}

impl Drop for SimLock {
    fn drop(&mut self) {
        let mut state = self.shared.state.lock();
        if state.generation == self.generation {
            state.locks.remove(&self.file);
        }
    }
}

struct SimFile {
    shared: Arc<Shared>,
    file: NodeId,
    path: String,
    writable: bool,
    generation: u64,
}

impl SimFile {
    /// Runs `with` on the disk, unless it has crashed since the file was opened.
    fn with<T>(&self, with: impl FnOnce(&mut DiskState) -> io::Result<T>) -> io::Result<T> {
        let mut state = self.shared.state.lock();
        if state.generation != self.generation {
            return Err(io::Error::other(format!(
                "{}: opened before a crash, so the handle is dead",
                self.path
            )));
        }
        with(&mut state)
    }

    fn write(&self, bytes: &[u8], at: usize) -> io::Result<()> {
        if !self.writable {
            return Err(rustix::io::Errno::BADF.into());
        }
        self.with(|state| {
            let len = state.tree.image(self.file).bytes().len();
            let grows = (at + bytes.len()).saturating_sub(len);
            let short = grows - state.room(grows);
            let fits = bytes.len().saturating_sub(short);
            state.tree.image(self.file).write(&bytes[..fits], at);
            if short == 0 { Ok(()) } else { Err(Errno::NoSpace.into()) }
        })
    }
}

impl Drop for SimFile {
    fn drop(&mut self) {
        let mut state = self.shared.state.lock();
        if state.generation == self.generation {
            state.tree.closed(self.file);
        }
    }
}

impl DiskFile for SimFile {
    fn read_exact_at(&self, buffer: &mut [u8], at: u64) -> io::Result<()> {
        self.shared.faults.check(Op::Read, &self.path)?;
        self.with(|state| {
            let bytes = state.tree.image(self.file).bytes();
            let start = at as usize;
            match bytes.get(start..start.saturating_add(buffer.len())) {
                Some(found) => {
                    buffer.copy_from_slice(found);
                    Ok(())
                }
                None => Err(io::ErrorKind::UnexpectedEof.into()),
            }
        })
    }

    fn write_all_at(&self, slices: &mut [IoSlice<'_>], at: u64) -> io::Result<()> {
        let bytes = join(slices);
        match self.shared.faults.strike(Op::Write, &self.path) {
            None => self.write(&bytes, at as usize),
            Some(failure) => {
                self.write(&bytes[..failure.written.min(bytes.len())], at as usize)?;
                Err(failure.errno.into())
            }
        }
    }

    fn sync(&self) -> io::Result<()> {
        let failure = self.shared.faults.strike(Op::Sync, &self.path);
        self.with(|state| {
            let image = state.tree.image(self.file);
            match failure {
                None => {
                    image.sync();
                    Ok(())
                }
                Some(failure) => {
                    image.fail_sync();
                    Err(failure.errno.into())
                }
            }
        })
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.shared.faults.check(Op::SetLen, &self.path)?;
        if !self.writable {
            return Err(rustix::io::Errno::INVAL.into());
        }
        self.with(|state| {
            let len = len as usize;
            let grows = len.saturating_sub(state.tree.image(self.file).bytes().len());
            if state.room(grows) < grows {
                return Err(Errno::NoSpace.into());
            }
            state.tree.image(self.file).set_len(len);
            Ok(())
        })
    }

    fn len(&self) -> io::Result<u64> {
        self.shared.faults.check(Op::Len, &self.path)?;
        self.with(|state| Ok(state.tree.image(self.file).bytes().len() as u64))
    }
}

#[cfg(test)]
#[path = "disk_tests.rs"]
mod tests;
