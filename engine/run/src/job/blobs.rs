//! Where checkpoints lie: named, immutable, durable once put.

use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use futures::TryStreamExt;
use headwater_core::world::{Open, Tasks};
use headwater_core::{World, causes};
use object_store::{ObjectStore, ObjectStoreExt, path::Path};

type Result<T> = std::result::Result<T, String>;

/// Keeps blobs. Errors are texts that name the blob; whoever stores what in them adds the rest.
pub(crate) trait Blobs: Send + Sync {
    /// Stores a blob, durably, under a name that is not taken or whose blob may be replaced.
    fn put(&self, name: &str, bytes: Bytes) -> Result<()>;
    /// Reads a blob.
    fn get(&self, name: &str) -> Result<Bytes>;
    /// All names, sorted.
    fn list(&self) -> Result<Vec<String>>;
    /// Removes a blob; one that is gone already is no error.
    fn remove(&self, name: &str) -> Result<()>;
}

/// Blobs as files of one directory of the world's disk. A file gets its name only when it is whole and durable.
pub(crate) struct DiskBlobs {
    world: World,
    dir: PathBuf,
}

impl DiskBlobs {
    /// Blobs in a directory, made if missing.
    pub fn open(world: World, dir: PathBuf) -> Result<Self> {
        world.disk.create_dir(&dir).map_err(|error| format!("create {}: {error}", dir.display()))?;
        if let Some(parent) = dir.parent() {
            world.disk.sync_dir(parent).map_err(|error| format!("sync {}: {error}", parent.display()))?;
        }
        Ok(Self { world, dir })
    }
}

impl Blobs for DiskBlobs {
    fn put(&self, name: &str, bytes: Bytes) -> Result<()> {
        let disk = &self.world.disk;
        let (whole, partial) = (self.dir.join(name), self.dir.join(format!("{name}.tmp")));
        let write = || {
            // Left over from a crash in the middle of this.
            match disk.remove(&partial) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
            let file = disk.open(&partial, Open::Create)?;
            file.write_all_at(&mut [std::io::IoSlice::new(&bytes)], 0)?;
            file.sync()?;
            disk.rename(&partial, &whole)?;
            disk.sync_dir(&self.dir)
        };
        write().map_err(|error| format!("write {}: {error}", whole.display()))
    }

    fn get(&self, name: &str) -> Result<Bytes> {
        let path = self.dir.join(name);
        let read = || {
            let file = self.world.disk.open(&path, Open::Read)?;
            let mut bytes = vec![0; file.len()? as usize];
            file.read_exact_at(&mut bytes, 0)?;
            Ok::<_, std::io::Error>(Bytes::from(bytes))
        };
        read().map_err(|error| format!("read {}: {error}", path.display()))
    }

    fn list(&self) -> Result<Vec<String>> {
        let entries = self.world.disk.list(&self.dir);
        let entries = entries.map_err(|error| format!("list {}: {error}", self.dir.display()))?;
        let whole = entries.into_iter().filter(|entry| !entry.is_dir && !entry.name.ends_with(".tmp"));
        Ok(whole.map(|entry| entry.name).collect())
    }

    fn remove(&self, name: &str) -> Result<()> {
        match self.world.disk.remove(&self.dir.join(name)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(format!("remove {}: {error}", self.dir.join(name).display()))
            }
            _ => Ok(()),
        }
    }
}

/// Blobs as objects of an S3-compatible store, under a prefix.
pub(crate) struct ObjectBlobs {
    store: Arc<dyn ObjectStore>,
    prefix: Path,
    runtime: tokio::runtime::Handle,
    tasks: Arc<dyn Tasks>,
}

impl ObjectBlobs {
    /// Blobs under `prefix` of a store. Calls block the calling thread.
    pub fn new(
        store: Arc<dyn ObjectStore>,
        prefix: Path,
        runtime: tokio::runtime::Handle,
        tasks: Arc<dyn Tasks>,
    ) -> Self {
        Self { store, prefix, runtime, tasks }
    }

    /// Waits for an answer of the store, also on one of the runtime's own threads: an engine may be opened on one.
    fn wait<T>(&self, answer: impl Future<Output = T>) -> T {
        self.tasks.give_way();
        tokio::task::block_in_place(|| self.runtime.block_on(answer))
    }

    fn path(&self, name: &str) -> Path {
        self.prefix.clone().join(name)
    }
}

impl Blobs for ObjectBlobs {
    fn put(&self, name: &str, bytes: Bytes) -> Result<()> {
        let path = self.path(name);
        let put = self.store.put(&path, bytes.into());
        self.wait(put).map(|_| ()).map_err(|error| format!("put {path}: {}", causes(&error)))
    }

    fn get(&self, name: &str) -> Result<Bytes> {
        let path = self.path(name);
        let get = async { self.store.get(&path).await?.bytes().await };
        self.wait(get).map_err(|error| format!("get {path}: {}", causes(&error)))
    }

    fn list(&self) -> Result<Vec<String>> {
        let list = self.store.list(Some(&self.prefix)).try_collect::<Vec<_>>();
        let objects = self.wait(list).map_err(|error| format!("list {}: {}", self.prefix, causes(&error)))?;
        let names = objects.iter().filter_map(|object| object.location.filename().map(str::to_owned));
        let mut names: Vec<String> = names.collect();
        names.sort();
        Ok(names)
    }

    fn remove(&self, name: &str) -> Result<()> {
        let path = self.path(name);
        match self.wait(self.store.delete(&path)) {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(format!("delete {path}: {}", causes(&error))),
        }
    }
}
