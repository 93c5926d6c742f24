//! Any disk, with faults: what [`SimDisk`](super::sim::SimDisk) does by itself, on top of a real file system.

use std::io::{self, IoSlice};
use std::path::Path;
use std::sync::Arc;

use super::disk::{Disk, DiskEntry, DiskFile, DiskLock, Open};
use super::faults::{Faults, Op};

/// A disk whose operations fail as a plan says.
pub struct FaultyDisk {
    inner: Arc<dyn Disk>,
    faults: Arc<Faults>,
}

impl FaultyDisk {
    /// A disk that works until a fault is added to the plan.
    pub fn new(inner: Arc<dyn Disk>, faults: Arc<Faults>) -> Self {
        Self { inner, faults }
    }

    fn check(&self, op: Op, path: &Path) -> io::Result<()> {
        self.faults.check(op, &path.to_string_lossy())
    }
}

impl Disk for FaultyDisk {
    fn open(&self, path: &Path, how: Open) -> io::Result<Arc<dyn DiskFile>> {
        self.check(if how == Open::Create { Op::Create } else { Op::Open }, path)?;
        Ok(Arc::new(FaultyFile {
            inner: self.inner.open(path, how)?,
            faults: Arc::clone(&self.faults),
            path: path.to_string_lossy().into_owned(),
        }))
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<DiskEntry>> {
        self.check(Op::List, dir)?;
        self.inner.list(dir)
    }

    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        self.check(Op::CreateDir, dir)?;
        self.inner.create_dir(dir)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.check(Op::Rename, from)?;
        self.inner.rename(from, to)
    }

    fn rename_new(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.check(Op::Rename, from)?;
        self.inner.rename_new(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.check(Op::Remove, path)?;
        self.inner.remove(path)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.check(Op::SyncDir, dir)?;
        self.inner.sync_dir(dir)
    }

    fn lock(&self, path: &Path) -> io::Result<DiskLock> {
        self.check(Op::Lock, path)?;
        self.inner.lock(path)
    }
}

struct FaultyFile {
    inner: Arc<dyn DiskFile>,
    faults: Arc<Faults>,
    path: String,
}

/// The bytes of all slices, one after the other.
pub(super) fn join(slices: &[IoSlice<'_>]) -> Vec<u8> {
    slices.iter().flat_map(|slice| slice.iter().copied()).collect()
}

impl DiskFile for FaultyFile {
    fn read_exact_at(&self, buffer: &mut [u8], at: u64) -> io::Result<()> {
        self.faults.check(Op::Read, &self.path)?;
        self.inner.read_exact_at(buffer, at)
    }

    fn read_vec_at(&self, count: usize, at: u64) -> io::Result<Vec<u8>> {
        self.faults.check(Op::Read, &self.path)?;
        self.inner.read_vec_at(count, at)
    }

    fn write_all_at(&self, slices: &mut [IoSlice<'_>], at: u64) -> io::Result<()> {
        let Some(failure) = self.faults.strike(Op::Write, &self.path) else {
            return self.inner.write_all_at(slices, at);
        };
        let mut bytes = join(slices);
        bytes.truncate(failure.written);
        self.inner.write_all_at(&mut [IoSlice::new(&bytes)], at)?;
        Err(failure.errno.into())
    }

    fn sync(&self) -> io::Result<()> {
        self.faults.check(Op::Sync, &self.path)?;
        self.inner.sync()
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.faults.check(Op::SetLen, &self.path)?;
        self.inner.set_len(len)
    }

    fn len(&self) -> io::Result<u64> {
        self.faults.check(Op::Len, &self.path)?;
        self.inner.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::world::{Errno, Fault, RealDisk};

    #[test]
    fn a_write_that_fails_midway_leaves_its_first_bytes_on_a_real_disk() {
        let dir = tempfile::tempdir().unwrap();
        let faults = Arc::new(Faults::default());
        let disk = FaultyDisk::new(Arc::new(RealDisk), Arc::clone(&faults));
        let file = disk.open(&dir.path().join("a"), Open::Create).unwrap();
        faults.add(Fault::new(&[Op::Write], Errno::NoSpace).after_bytes(3));
        let slices = &mut [IoSlice::new(b"ab"), IoSlice::new(b"cd")];
        let error = file.write_all_at(slices, 0).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
        assert_eq!(file.len().unwrap(), 3);
        file.write_all_at(&mut [IoSlice::new(b"xyz!")], 0).unwrap();
        let mut read = [0; 4];
        file.read_exact_at(&mut read, 0).unwrap();
        assert_eq!(&read, b"xyz!");
    }

    #[test]
    fn every_operation_can_fail() {
        let dir = tempfile::tempdir().unwrap();
        let faults = Arc::new(Faults::default());
        let disk = FaultyDisk::new(Arc::new(RealDisk), Arc::clone(&faults));
        let path = dir.path().join("a");
        let file = disk.open(&path, Open::Create).unwrap();
        let try_all = || {
            [
                disk.open(&path, Open::Read).is_err(),
                disk.list(dir.path()).is_err(),
                disk.create_dir(dir.path()).is_err(),
                disk.rename(&path, &path).is_err(),
                disk.sync_dir(dir.path()).is_err(),
                disk.lock(&path).is_err(),
                file.read_exact_at(&mut [], 0).is_err(),
                file.sync().is_err(),
                file.set_len(0).is_err(),
                file.len().is_err(),
                disk.remove(&path).is_err(),
            ]
        };
        let all: &[Op] = &[Op::Open, Op::List, Op::Lock, Op::Read, Op::Len];
        faults.add(Fault::new(all, Errno::Io).for_good());
        faults.add(Fault::new(Op::CHANGES, Errno::Io).for_good());
        assert_eq!(try_all(), [true; 11]);
        faults.clear();
        assert_eq!(try_all(), [false; 11]);
    }
}
