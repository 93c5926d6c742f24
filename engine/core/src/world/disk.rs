//! A disk, in eight methods, so that every fault is easy to inject.
//!
//! What is promised about durability, and no more: bytes written are visible to readers at once; they survive a loss of
//! power only after [`DiskFile::sync`] has returned without an error; a created, renamed or removed name survives it
//! only after [`Disk::sync_dir`] of its directory has. Unsynced writes may survive in part, page by page and in any order.

use std::io::{self, IoSlice};
use std::path::Path;
use std::sync::Arc;

/// How a file is opened.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Open {
    /// To read; fails with `NotFound` where there is none.
    Read,
    /// To read and write what is there; fails with `NotFound` where there is none.
    Write,
    /// To read and write a new file; fails with `AlreadyExists` where there is one.
    Create,
}

/// One name in a directory.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct DiskEntry {
    /// The last part of the path.
    pub name: String,
    /// Whether it is a directory.
    pub is_dir: bool,
}

/// Keeps files. Paths are as the caller made them; directories must exist before files are created in them.
pub trait Disk: Send + Sync {
    /// Opens or creates a file.
    fn open(&self, path: &Path, how: Open) -> io::Result<Arc<dyn DiskFile>>;
    /// What a directory holds, sorted by name.
    fn list(&self, dir: &Path) -> io::Result<Vec<DiskEntry>>;
    /// Makes a directory and those above it; one that is there already is no error.
    fn create_dir(&self, dir: &Path) -> io::Result<()>;
    /// Renames a file within one file system, replacing what had the name.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Renames a file within one file system to a name that nothing has; `AlreadyExists` if something has it. Of two who try at
    /// once one succeeds.
    fn rename_new(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Removes a file. Handles that are open keep working.
    fn remove(&self, path: &Path) -> io::Result<()>;
    /// Makes the names in a directory durable.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;
    /// Takes an exclusive lock that ends with the returned value or with the process; `WouldBlock` if another has it.
    fn lock(&self, path: &Path) -> io::Result<DiskLock>;
}

/// Makes a directory and those above it, and makes their names durable: of those that are new, and of those that a crash has left before
/// they were. One that may not be looked into is somebody else's, and was there before.
pub fn create_durable_dir(disk: &dyn Disk, dir: &Path) -> io::Result<()> {
    disk.create_dir(dir)?;
    for above in dir.ancestors().skip(1) {
        // Above a relative path is where the process is.
        let above = if above.as_os_str().is_empty() { Path::new(".") } else { above };
        match disk.sync_dir(above) {
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => break,
            synced => synced?,
        }
    }
    Ok(())
}

/// An open file. Positions are explicit, so that reads and writes need no order among each other.
pub trait DiskFile: Send + Sync {
    /// Fills `buffer` from `at`; `UnexpectedEof` if the file ends before.
    fn read_exact_at(&self, buffer: &mut [u8], at: u64) -> io::Result<()>;
    /// Reads `count` bytes from `at` into memory of their own; `UnexpectedEof` if the file ends before. A disk that can does not
    /// clear that memory first.
    fn read_vec_at(&self, count: usize, at: u64) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; count];
        self.read_exact_at(&mut bytes, at)?;
        Ok(bytes)
    }
    /// Writes all the slices one after the other from `at` on.
    fn write_all_at(&self, slices: &mut [IoSlice<'_>], at: u64) -> io::Result<()>;
    /// Makes what was written durable (`fdatasync`). After an error nothing is known about any unsynced byte.
    fn sync(&self) -> io::Result<()>;
    /// Cuts the file or extends it with zeros.
    fn set_len(&self, len: u64) -> io::Result<()>;
    /// The length in bytes.
    fn len(&self) -> io::Result<u64>;
    /// Whether the file is empty.
    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }
}

/// An exclusive lock on a path, held until dropped.
pub struct DiskLock(#[expect(dead_code, reason = "held for its drop")] Box<dyn Send + Sync>);

impl DiskLock {
    /// Wraps whatever releases the lock when dropped.
    pub fn new(guard: impl Send + Sync + 'static) -> Self {
        Self(Box::new(guard))
    }
}
