//! The disk as the log uses it: errors name the action and the path, and new files appear whole or not at all.

use std::io::IoSlice;
use std::path::Path;
use std::sync::Arc;

use arrow::buffer::Buffer;
use headwater_core::world::{Disk, DiskEntry, DiskFile, Open};

use super::layout::{BLOCK, temporary};
use crate::error::{LogError, Result};

/// Opens or creates a file.
pub(crate) fn open(disk: &dyn Disk, path: &Path, how: Open) -> Result<Arc<dyn DiskFile>> {
    let action = if how == Open::Create { "create" } else { "open" };
    disk.open(path, how).map_err(|error| LogError::io(action, path, error))
}

/// What a directory holds; nothing if there is none.
pub(crate) fn list(disk: &dyn Disk, dir: &Path) -> Result<Vec<DiskEntry>> {
    match disk.list(dir) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
        result => result.map_err(|error| LogError::io("list", dir, error)),
    }
}

/// Removes a file; one that is not there is no error.
pub(crate) fn remove(disk: &dyn Disk, path: &Path) -> Result<()> {
    match disk.remove(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        result => result.map_err(|error| LogError::io("remove", path, error)),
    }
}

/// Renames a file.
pub(crate) fn rename(disk: &dyn Disk, from: &Path, to: &Path) -> Result<()> {
    disk.rename(from, to).map_err(|error| LogError::io("rename", from, error))
}

/// Makes a directory.
pub(crate) fn create_dir(disk: &dyn Disk, dir: &Path) -> Result<()> {
    disk.create_dir(dir).map_err(|error| LogError::io("create directory", dir, error))
}

/// Makes a directory whose own name is durable before anything is put into it.
pub(crate) fn create_durable_dir(disk: &dyn Disk, dir: &Path) -> Result<()> {
    create_dir(disk, dir)?;
    dir.parent().map_or(Ok(()), |parent| sync_dir(disk, parent))
}

/// Makes the names in a directory durable.
pub(crate) fn sync_dir(disk: &dyn Disk, dir: &Path) -> Result<()> {
    disk.sync_dir(dir).map_err(|error| LogError::io("sync directory", dir, error))
}

/// Makes a file's bytes durable.
pub(crate) fn sync(file: &dyn DiskFile, path: &Path) -> Result<()> {
    file.sync().map_err(|error| LogError::io("sync", path, error))
}

/// Writes bytes.
pub(crate) fn write(file: &dyn DiskFile, path: &Path, bytes: &[u8], at: u64) -> Result<()> {
    write_slices(file, path, &mut [IoSlice::new(bytes)], at)
}

/// Writes slices one after the other.
pub(crate) fn write_slices(
    file: &dyn DiskFile,
    path: &Path,
    slices: &mut [IoSlice<'_>],
    at: u64,
) -> Result<()> {
    file.write_all_at(slices, at).map_err(|error| LogError::io("write", path, error))
}

/// The length of a file.
pub(crate) fn len(file: &dyn DiskFile, path: &Path) -> Result<u64> {
    file.len().map_err(|error| LogError::io("measure", path, error))
}

/// Cuts a file, durably.
pub(crate) fn cut(file: &dyn DiskFile, path: &Path, len: u64) -> Result<()> {
    file.set_len(len).map_err(|error| LogError::io("cut", path, error))?;
    sync(file, path)
}

/// Reads so many bytes.
pub(crate) fn read(file: &dyn DiskFile, path: &Path, at: u64, count: usize) -> Result<Buffer> {
    let bytes = file.read_vec_at(count, at).map_err(|error| LogError::io("read", path, error))?;
    Ok(bytes.into())
}

/// Reads a block.
pub(crate) fn read_block(file: &dyn DiskFile, path: &Path, at: u64) -> Result<[u8; BLOCK]> {
    let mut block = [0; BLOCK];
    file.read_exact_at(&mut block, at).map_err(|error| LogError::io("read", path, error))?;
    Ok(block)
}

/// Makes a file whose content is durable before it gets its name, and its name before this returns.
pub(crate) fn create_whole(
    disk: &dyn Disk,
    path: &Path,
    fill: impl FnOnce(&dyn DiskFile, &Path) -> Result<()>,
) -> Result<()> {
    let unfinished = temporary(path);
    remove(disk, &unfinished)?;
    let made = open(disk, &unfinished, Open::Create).and_then(|file| {
        fill(&*file, &unfinished)?;
        sync(&*file, &unfinished)
    });
    if let Err(error) = made.and_then(|()| rename(disk, &unfinished, path)) {
        // The cause is worth more than what became of the attempt to clean up; opening the log cleans up too.
        let _ = remove(disk, &unfinished);
        return Err(error);
    }
    match path.parent() {
        Some(dir) => sync_dir(disk, dir),
        None => Ok(()),
    }
}
