//! Where an archive lies: a prefix of a bucket, or a directory.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::TryStreamExt;
use headwater_core::World;
use object_store::multipart::MultipartStore;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt, PutMode, RetryConfig};

use crate::disk_store::DiskStore;
use crate::error::{ArchiveError, Result};

/// A prefix of a bucket, or a directory. Cheap to clone.
#[derive(Clone)]
pub struct Place {
    store: Arc<dyn ObjectStore>,
    multipart: Option<Arc<dyn MultipartStore>>,
    prefix: Path,
    shown: Arc<str>,
}

impl Place {
    /// A place by its address: `s3://bucket/prefix`, `file:///directory` or a directory. What S3 needs beside (credentials,
    /// region, another endpoint, a private authority) comes from the environment's `AWS_` variables.
    pub fn open(world: &World, address: &str) -> Result<Self> {
        let invalid = |reason: String| ArchiveError::Invalid(format!("{address}: {reason}"));
        let directory = match address.split_once("://") {
            None => address,
            Some(("file", directory)) => directory,
            Some(("s3", _)) => return Self::s3(address),
            Some((scheme, _)) => {
                return Err(invalid(format!(
                    "an archive lies in s3://bucket/prefix or in a directory, not at {scheme}://"
                )));
            }
        };
        if !directory.starts_with('/') {
            return Err(invalid("a directory is named by its whole path, from / on".into()));
        }
        let store = DiskStore::open(world.clone(), PathBuf::from(directory))
            .map_err(|error| invalid(error.to_string()))?;
        Ok(Self::new(Arc::new(store), None, Path::default(), directory))
    }

    fn s3(address: &str) -> Result<Self> {
        // Whoever calls tries again, and shows that; a store that is away is to be noticed soon.
        let retry =
            RetryConfig { max_retries: 2, retry_timeout: Duration::from_secs(10), ..RetryConfig::default() };
        let (store, prefix) = headwater_objects::s3(address, retry)
            .map_err(|error| ArchiveError::Invalid(error.to_string()))?;
        Ok(Self::new(Arc::clone(&store) as _, Some(store), prefix, address))
    }

    /// A place in a store; with `multipart`, large files go there in parts.
    pub fn new(
        store: Arc<dyn ObjectStore>,
        multipart: Option<Arc<dyn MultipartStore>>,
        prefix: Path,
        shown: &str,
    ) -> Self {
        Self { store, multipart, prefix, shown: shown.trim_end_matches('/').into() }
    }

    /// The address, for people.
    pub fn shown(&self) -> &str {
        &self.shown
    }

    /// The store, for those who read files by other means.
    pub fn store(&self) -> &Arc<dyn ObjectStore> {
        &self.store
    }

    /// The whole path of a name within the store.
    pub fn path(&self, name: &str) -> Path {
        name.split('/')
            .filter(|part| !part.is_empty())
            .fold(self.prefix.clone(), |path, part| path.join(part))
    }

    pub(crate) fn multipart(&self) -> Option<&Arc<dyn MultipartStore>> {
        self.multipart.as_ref()
    }

    /// A name as people see it.
    pub(crate) fn show(&self, name: &str) -> String {
        format!("{}/{name}", self.shown)
    }

    pub(crate) fn failed(&self, what: &str, name: &str, source: object_store::Error) -> ArchiveError {
        ArchiveError::Store { what: format!("{what} {}", self.show(name)), cause: Arc::new(source) }
    }

    /// Puts an object where none is. `false`: there is one.
    pub(crate) async fn put_new(&self, name: &str, bytes: Bytes) -> Result<bool> {
        match self.store.put_opts(&self.path(name), bytes.into(), PutMode::Create.into()).await {
            Ok(_) => Ok(true),
            Err(object_store::Error::AlreadyExists { .. }) => Ok(false),
            Err(error) => Err(self.failed("put", name, error)),
        }
    }

    /// Puts an object, in place of another if there is one.
    pub(crate) async fn put(&self, name: &str, bytes: Bytes) -> Result<()> {
        let put = self.store.put(&self.path(name), bytes.into()).await;
        put.map(drop).map_err(|error| self.failed("put", name, error))
    }

    /// An object's bytes, if it is there.
    pub(crate) async fn get(&self, name: &str) -> Result<Option<Bytes>> {
        let get = async { self.store.get(&self.path(name)).await?.bytes().await };
        match get.await {
            Ok(bytes) => Ok(Some(bytes)),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(self.failed("get", name, error)),
        }
    }

    /// Some stretches of an object's bytes.
    pub(crate) async fn get_ranges(&self, name: &str, ranges: &[std::ops::Range<u64>]) -> Result<Vec<Bytes>> {
        let get = self.store.get_ranges(&self.path(name), ranges).await;
        get.map_err(|error| self.failed("get", name, error))
    }

    /// An object's length, if it is there.
    pub(crate) async fn len(&self, name: &str) -> Result<Option<u64>> {
        match self.store.head(&self.path(name)).await {
            Ok(meta) => Ok(Some(meta.size)),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(self.failed("look for", name, error)),
        }
    }

    /// The names below a name, relative to the place, with their lengths, sorted.
    pub(crate) async fn list(&self, below: &str) -> Result<Vec<(String, u64)>> {
        let from = self.path(below);
        let whole = Some(&from).filter(|path| !path.as_ref().is_empty());
        let found: Vec<_> =
            self.store.list(whole).try_collect().await.map_err(|error| self.failed("list", below, error))?;
        let relative = |meta: object_store::ObjectMeta| {
            let parts = meta.location.prefix_match(&self.prefix)?;
            let parts: Vec<_> = parts.map(|part| part.as_ref().to_owned()).collect();
            Some((parts.join("/"), meta.size))
        };
        let mut names: Vec<_> = found.into_iter().filter_map(relative).collect();
        names.sort();
        Ok(names)
    }

    /// Removes an object; one that is gone already is no error.
    pub(crate) async fn remove(&self, name: &str) -> Result<()> {
        match self.store.delete(&self.path(name)).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(self.failed("remove", name, error)),
        }
    }
}

impl std::fmt::Debug for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Place({})", self.shown)
    }
}
