//! Which files a path means, on disk or in an object store, and how they are opened.

use std::io::{self, IoSlice};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use headwater_core::causes;
use headwater_core::world::{Disk, DiskFile, Open};
use headwater_objects::{Location, Object, ObjectError, fits};
use tokio::runtime::Handle;

use crate::error::{ConnectorError, Result};

/// A path, or the address of objects.
#[derive(Clone, Debug)]
pub(super) enum Place {
    /// On the disk.
    Disk(PathBuf),
    /// In an object store.
    Objects(Location),
}

/// A file to be read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Found {
    /// The name under which its mark is kept.
    pub(super) name: String,
    /// Where it is.
    at: At,
}

#[derive(Clone, PartialEq, Eq, Debug)]
enum At {
    Disk(PathBuf),
    Object(Object),
}

impl Place {
    /// What the option `path` means.
    pub(super) fn parse(given: &str) -> Result<Self, String> {
        match given.split_once("://") {
            None => Ok(Self::Disk(PathBuf::from(given))),
            Some(("file", path)) => Ok(Self::Disk(PathBuf::from(path))),
            Some(_) => Location::parse(given).map(Self::Objects).map_err(|error| error.to_string()),
        }
    }

    /// The files that it means, in the order of their names: a file, the files of a directory, or those that fit a pattern in the
    /// last part of the path. Names that begin with a dot or an underscore are left out, unless named in full.
    pub(super) fn list(&self, disk: &dyn Disk, runtime: &Handle) -> Result<Vec<Found>> {
        let failed = |error: io::Error| ConnectorError::outage(format!("list {self}"), error);
        match self {
            Self::Disk(path) => list(disk, path).map_err(failed),
            Self::Objects(location) => {
                let objects =
                    runtime.block_on(location.list()).map_err(|error| self.objects_failed(error))?;
                let found = |object: Object| Found { name: object.name.clone(), at: At::Object(object) };
                Ok(objects.into_iter().map(found).collect())
            }
        }
    }

    /// Opens a file that was found.
    pub(super) fn open(
        &self,
        found: &Found,
        disk: &dyn Disk,
        runtime: &Handle,
    ) -> io::Result<Arc<dyn DiskFile>> {
        match (self, &found.at) {
            (Self::Objects(location), At::Object(object)) => Ok(Arc::new(ObjectFile {
                location: location.clone(),
                object: object.clone(),
                runtime: runtime.clone(),
            })),
            (_, At::Disk(path)) => disk.open(path, Open::Read),
            (Self::Disk(_), At::Object(object)) => {
                Err(io::Error::other(format!("{} is no file", object.name)))
            }
        }
    }

    /// A file as people see it.
    pub(super) fn show(&self, found: &Found) -> String {
        match &found.at {
            At::Disk(path) => path.display().to_string(),
            At::Object(object) => format!("{self}/{}", object.name),
        }
    }

    fn objects_failed(&self, error: ObjectError) -> ConnectorError {
        if error.may_pass() {
            ConnectorError::outage(format!("list {self}"), causes(&error))
        } else {
            ConnectorError::refused(format!("list {self}"), causes(&error))
        }
    }
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Disk(path) => path.display().fmt(f),
            Self::Objects(location) => f.write_str(location.shown()),
        }
    }
}

/// An object as a file that can be read.
struct ObjectFile {
    location: Location,
    object: Object,
    runtime: Handle,
}

fn read_only() -> io::Error {
    io::Error::new(io::ErrorKind::Unsupported, "an object of a source is only read")
}

impl DiskFile for ObjectFile {
    fn read_exact_at(&self, buffer: &mut [u8], at: u64) -> io::Result<()> {
        if buffer.is_empty() {
            return Ok(());
        }
        let to = at + buffer.len() as u64;
        let bytes = self.runtime.block_on(self.location.bytes(&self.object.path, at, to));
        let bytes = bytes.map_err(io::Error::other)?;
        if bytes.len() != buffer.len() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        buffer.copy_from_slice(&bytes);
        Ok(())
    }

    fn write_all_at(&self, _slices: &mut [IoSlice<'_>], _at: u64) -> io::Result<()> {
        Err(read_only())
    }

    fn sync(&self) -> io::Result<()> {
        Err(read_only())
    }

    fn set_len(&self, _len: u64) -> io::Result<()> {
        Err(read_only())
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.object.size)
    }
}

fn list(disk: &dyn Disk, path: &Path) -> io::Result<Vec<Found>> {
    let last = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    if last.contains(['*', '?']) {
        let dir = path.parent().unwrap_or(Path::new("."));
        return files_of(disk, dir, |name| fits(last.as_bytes(), name.as_bytes()));
    }
    match disk.list(path) {
        Ok(_) => files_of(disk, path, |_| true),
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => {
            Ok(vec![Found { name: last, at: At::Disk(path.to_owned()) }])
        }
        Err(error) => Err(error),
    }
}

fn files_of(disk: &dyn Disk, dir: &Path, wanted: impl Fn(&str) -> bool) -> io::Result<Vec<Found>> {
    let dir = if dir.as_os_str().is_empty() { Path::new(".") } else { dir };
    let entries = disk.list(dir)?.into_iter();
    let shown =
        entries.filter(|entry| !entry.is_dir && !entry.name.starts_with(['.', '_']) && wanted(&entry.name));
    Ok(shown.map(|entry| Found { at: At::Disk(dir.join(&entry.name)), name: entry.name }).collect())
}
