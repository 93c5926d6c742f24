//! A directory of the world's disk as an object store.
//!
//! Unlike the one that comes with `object_store`, what it has put survives a loss of power, and it runs on a simulated disk. An
//! object is written under a name in `_tmp`, made durable, and then given its name, as a whole; `PutMode::Create` is the disk's
//! exclusive rename. What a crash leaves in `_tmp` is no object.

use std::fmt;
use std::io::{self, IoSlice};
use std::path::PathBuf;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::{self, BoxStream, StreamExt};
use headwater_core::World;
use headwater_core::world::{Open, create_durable_dir};
use object_store::path::Path;
use object_store::{
    CopyMode, CopyOptions, Error, GetOptions, GetResult, GetResultPayload, ListResult, MultipartUpload,
    ObjectMeta, ObjectStore, PutMode, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};

/// Where objects are written before they have their names.
const PARTIAL: &str = "_tmp";

/// A directory of the world's disk as an object store.
pub(crate) struct DiskStore {
    world: World,
    root: PathBuf,
}

impl DiskStore {
    /// The objects in a directory, which is made if missing.
    pub fn open(world: World, root: PathBuf) -> io::Result<Self> {
        create_durable_dir(&*world.disk, &root.join(PARTIAL))?;
        Ok(Self { world, root })
    }

    fn file(&self, location: &Path) -> PathBuf {
        self.root.join(location.as_ref())
    }

    fn write(&self, location: &Path, payload: &PutPayload, mode: &PutMode) -> Result<()> {
        let disk = &self.world.disk;
        let whole = self.file(location);
        let partial = self.root.join(PARTIAL).join(format!("{:016x}", self.world.random.next()));
        let write = || {
            let file = disk.open(&partial, Open::Create)?;
            let mut slices: Vec<IoSlice<'_>> = payload.iter().map(|bytes| IoSlice::new(bytes)).collect();
            file.write_all_at(&mut slices, 0)?;
            file.sync()?;
            let above = whole.parent().unwrap_or(&self.root);
            disk.create_dir(above)?;
            match mode {
                PutMode::Create => disk.rename_new(&partial, &whole)?,
                _ => disk.rename(&partial, &whole)?,
            }
            // The directories above may be new, too.
            above
                .ancestors()
                .take_while(|dir| dir.starts_with(&self.root))
                .try_for_each(|dir| disk.sync_dir(dir))
        };
        write().map_err(|error| {
            // What is left in `_tmp` if even this fails is no object.
            let _ = disk.remove(&partial);
            self.failed(location, error)
        })
    }

    fn failed(&self, location: &Path, error: io::Error) -> Error {
        let path = self.file(location).display().to_string();
        match error.kind() {
            io::ErrorKind::NotFound => Error::NotFound { path, source: error.into() },
            io::ErrorKind::AlreadyExists => Error::AlreadyExists { path, source: error.into() },
            _ => Error::Generic { store: "directory", source: format!("{path}: {error}").into() },
        }
    }

    fn meta(&self, location: &Path, size: u64) -> ObjectMeta {
        // The world's disk keeps no times; an object that has a name never changes.
        let last_modified = chrono::DateTime::<chrono::Utc>::UNIX_EPOCH;
        ObjectMeta { location: location.clone(), last_modified, size, e_tag: None, version: None }
    }

    fn walk(&self, below: &Path, deep: bool) -> Result<ListResult> {
        let mut found = ListResult { common_prefixes: Vec::new(), objects: Vec::new() };
        let mut todo = vec![below.clone()];
        while let Some(dir) = todo.pop() {
            let entries = match self.world.disk.list(&self.file(&dir)) {
                Err(error)
                    if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) =>
                {
                    continue;
                }
                entries => entries.map_err(|error| self.failed(&dir, error))?,
            };
            for entry in entries.into_iter().filter(|entry| !dir.as_ref().is_empty() || entry.name != PARTIAL)
            {
                let location = dir.clone().join(entry.name);
                match (entry.is_dir, deep) {
                    (true, true) => todo.push(location),
                    (true, false) => found.common_prefixes.push(location),
                    (false, _) => match self.world.disk.open(&self.file(&location), Open::Read) {
                        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                        file => {
                            let size = file.and_then(|file| file.len());
                            let size = size.map_err(|error| self.failed(&location, error))?;
                            found.objects.push(self.meta(&location, size));
                        }
                    },
                }
            }
        }
        found.objects.sort_by(|a, b| a.location.cmp(&b.location));
        Ok(found)
    }
}

impl fmt::Debug for DiskStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DiskStore({})", self.root.display())
    }
}

impl fmt::Display for DiskStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

fn not_supported(what: &str) -> Error {
    Error::NotSupported { source: format!("{what} in a directory").into() }
}

#[async_trait]
impl ObjectStore for DiskStore {
    async fn put_opts(&self, location: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        if matches!(options.mode, PutMode::Update(_)) {
            return Err(not_supported("conditional updates"));
        }
        self.write(location, &payload, &options.mode)?;
        Ok(PutResult { e_tag: None, version: None })
    }

    async fn put_multipart_opts(&self, _: &Path, _: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        Err(not_supported("uploads in parts"))
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        let failed = |error| self.failed(location, error);
        let file = self.world.disk.open(&self.file(location), Open::Read).map_err(failed)?;
        let size = file.len().map_err(failed)?;
        let range = match &options.range {
            Some(range) => range.as_range(size).map_err(|error| Error::Generic {
                store: "directory",
                source: format!("{location}: {error}").into(),
            })?,
            None => 0..size,
        };
        let mut bytes = vec![0; if options.head { 0 } else { (range.end - range.start) as usize }];
        file.read_exact_at(&mut bytes, range.start).map_err(failed)?;
        let payload = GetResultPayload::Stream(stream::iter([Ok(Bytes::from(bytes))]).boxed());
        Ok(GetResult { payload, meta: self.meta(location, size), range, attributes: Default::default() })
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        let (world, root) = (self.world.clone(), self.root.clone());
        let remove = move |location: Result<Path>| {
            let store = Self { world: world.clone(), root: root.clone() };
            let location = location?;
            store
                .world
                .disk
                .remove(&store.file(&location))
                .map_err(|error| store.failed(&location, error))?;
            Ok(location)
        };
        locations.map(remove).boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let found = self.walk(prefix.unwrap_or(&Path::default()), true);
        match found {
            Ok(found) => stream::iter(found.objects.into_iter().map(Ok)).boxed(),
            Err(error) => stream::iter([Err(error)]).boxed(),
        }
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.walk(prefix.unwrap_or(&Path::default()), false)
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        let bytes = self.get_opts(from, GetOptions::default()).await?.bytes().await?;
        let mode = match options.mode {
            CopyMode::Overwrite => PutMode::Overwrite,
            CopyMode::Create => PutMode::Create,
        };
        self.write(to, &bytes.into(), &mode)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use futures::TryStreamExt;
    use headwater_core::world::sim::SimWorld;
    use object_store::ObjectStoreExt;

    use super::*;

    fn run<T>(work: impl Future<Output = T>) -> T {
        futures::executor::block_on(work)
    }

    #[test]
    fn an_object_is_put_once_and_survives_a_loss_of_power() {
        let sim = SimWorld::new(1);
        sim.world().disk.create_dir("/a".as_ref()).unwrap();
        let open = || Arc::new(DiskStore::open(sim.world(), "/a/b".into()).unwrap());
        let store = open();
        let name = Path::from("day=1/x.parquet");
        let put = |text: &'static str| run(store.put_opts(&name, text.into(), PutMode::Create.into()));
        put("first").unwrap();
        assert!(matches!(put("second"), Err(Error::AlreadyExists { .. })));
        run(store.put(&Path::from("y"), "other".into())).unwrap();
        sim.power_loss();
        let store = open();
        let get = |name: &Path| run(async { store.get(name).await?.bytes().await });
        assert_eq!(get(&name).unwrap(), "first");
        let part = run(store.get_ranges(&name, &[1..3, 3..5])).unwrap();
        assert_eq!(part, ["ir", "st"]);
        let list = |prefix: Option<&Path>| run(store.list(prefix).try_collect::<Vec<_>>()).unwrap();
        let names: Vec<_> = list(None).iter().map(|meta| meta.location.to_string()).collect();
        assert_eq!(names, ["day=1/x.parquet", "y"]);
        assert_eq!(list(Some(&Path::from("day=1"))).len(), 1);
        assert_eq!(list(Some(&Path::from("none"))).len(), 0);
        run(store.delete(&name)).unwrap();
        assert!(matches!(get(&name), Err(Error::NotFound { .. })));
    }
}
