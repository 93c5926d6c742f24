//! What an address means.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::TryStreamExt;
use object_store::buffered::BufWriter;
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt, RetryConfig};

use crate::s3::s3;

/// The result of this crate.
pub type Result<T, E = ObjectError> = std::result::Result<T, E>;

/// What can go wrong with objects.
#[derive(thiserror::Error, Debug)]
pub enum ObjectError {
    /// An address that means nothing.
    #[error("{address}: {reason}")]
    Address {
        /// As it was given.
        address: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The store said no, or nothing.
    #[error("{what} {address}: {source}")]
    Store {
        /// What was tried.
        what: &'static str,
        /// Where.
        address: String,
        /// What the store said.
        source: object_store::Error,
    },
}

impl ObjectError {
    /// Whether trying again may help.
    pub fn may_pass(&self) -> bool {
        match self {
            Self::Address { .. } => false,
            Self::Store { source, .. } => !matches!(
                source,
                object_store::Error::NotFound { .. }
                    | object_store::Error::InvalidPath { .. }
                    | object_store::Error::PermissionDenied { .. }
                    | object_store::Error::Unauthenticated { .. }
            ),
        }
    }
}

/// A place that holds objects: a prefix, an object, or a pattern. Cheap to clone.
#[derive(Clone)]
pub struct Location {
    store: Arc<dyn ObjectStore>,
    prefix: Path,
    /// What the last part of a name must fit, if the address ends with a pattern.
    pattern: Option<Arc<str>>,
    shown: Arc<str>,
}

/// An object that is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Object {
    /// Its name, relative to the location; the last part of the address if that is the object itself.
    pub name: String,
    /// Its whole path in the store.
    pub path: Path,
    /// How many bytes it has.
    pub size: u64,
}

impl Location {
    /// What an address means. Nothing is touched.
    pub fn parse(address: &str) -> Result<Self> {
        let (parent, pattern) = match address.rsplit_once('/') {
            Some((parent, last)) if last.contains(['*', '?']) => (parent, Some(last)),
            None if address.contains(['*', '?']) => (".", Some(address)),
            _ => (address, None),
        };
        let (store, prefix): (Arc<dyn ObjectStore>, Path) = match parent.split_once("://") {
            None => local(address, parent)?,
            Some(("file", path)) => local(address, path)?,
            Some(("s3", _)) => bucket(parent)?,
            Some((scheme, _)) => {
                let reason =
                    format!("objects lie in s3://bucket/prefix or in a directory, not at {scheme}://");
                return Err(ObjectError::Address { address: address.to_owned(), reason });
            }
        };
        Ok(Self {
            store,
            prefix,
            pattern: pattern.map(Into::into),
            shown: address.trim_end_matches('/').into(),
        })
    }

    /// The address, for people.
    pub fn shown(&self) -> &str {
        &self.shown
    }

    /// The store.
    pub fn store(&self) -> &Arc<dyn ObjectStore> {
        &self.store
    }

    /// The objects that are meant, in the order of their names: the object itself, or those below the prefix. Names with a part that
    /// begins with a dot or an underscore are left out: that is how programs mark what is not data.
    pub async fn list(&self) -> Result<Vec<Object>> {
        if self.pattern.is_none()
            && let Ok(meta) = self.store.head(&self.prefix).await
        {
            let name = meta.location.filename().unwrap_or_default().to_owned();
            return Ok(vec![Object { name, path: meta.location, size: meta.size }]);
        }
        let mut objects = self.all().await?;
        objects.retain(|object| {
            let mut parts = object.name.split('/');
            let is_shown = !parts.clone().any(|part| part.starts_with(['.', '_']));
            let fits = match &self.pattern {
                None => true,
                Some(pattern) => {
                    let last = parts.next().unwrap_or_default();
                    parts.next().is_none() && fits(pattern.as_bytes(), last.as_bytes())
                }
            };
            is_shown && fits
        });
        Ok(objects)
    }

    /// Whether nothing at all lies below the prefix.
    pub async fn is_empty(&self) -> Result<bool> {
        Ok(self.all().await?.is_empty())
    }

    /// Whether an object of this name is there.
    pub async fn has(&self, name: &str) -> Result<bool> {
        match self.store.head(&self.path(name)).await {
            Ok(_) => Ok(true),
            Err(object_store::Error::NotFound { .. }) => Ok(false),
            Err(source) => Err(self.failed("look into", source)),
        }
    }

    async fn all(&self) -> Result<Vec<Object>> {
        let whole = Some(&self.prefix).filter(|path| !path.as_ref().is_empty());
        let found: Vec<_> =
            self.store.list(whole).try_collect().await.map_err(|source| self.failed("list", source))?;
        let relative = |meta: object_store::ObjectMeta| {
            let parts: Vec<_> =
                meta.location.prefix_match(&self.prefix)?.map(|part| part.as_ref().to_owned()).collect();
            Some(Object { name: parts.join("/"), path: meta.location, size: meta.size })
        };
        let mut objects: Vec<_> = found.into_iter().filter_map(relative).collect();
        objects.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(objects)
    }

    /// The whole path of a name below the prefix.
    pub fn path(&self, name: &str) -> Path {
        name.split('/')
            .filter(|part| !part.is_empty())
            .fold(self.prefix.clone(), |path, part| path.join(part))
    }

    /// Puts an object, in place of another if there is one.
    pub async fn put(&self, name: &str, bytes: Bytes) -> Result<()> {
        let put = self.store.put(&self.path(name), bytes.into()).await;
        put.map(drop).map_err(|source| self.failed("write", source))
    }

    /// Takes an object away; one that is not there is no error.
    pub async fn remove(&self, name: &str) -> Result<()> {
        match self.store.delete(&self.path(name)).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(source) => Err(self.failed("take away from", source)),
        }
    }

    /// Writes an object piece by piece; it is there, as a whole, once the writer has been shut down.
    pub fn writer(&self, name: &str) -> BufWriter {
        BufWriter::with_capacity(Arc::clone(&self.store), self.path(name), 8 << 20)
    }

    /// Some bytes of an object.
    pub async fn bytes(&self, path: &Path, from: u64, to: u64) -> Result<Bytes> {
        let bytes = self.store.get_range(path, from..to).await;
        bytes.map_err(|source| self.failed("read", source))
    }

    fn failed(&self, what: &'static str, source: object_store::Error) -> ObjectError {
        ObjectError::Store { what, address: self.shown.to_string(), source }
    }
}

impl std::fmt::Debug for Location {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Location({})", self.shown)
    }
}

fn local(address: &str, path: &str) -> Result<(Arc<dyn ObjectStore>, Path)> {
    let invalid = |reason: String| ObjectError::Address { address: address.to_owned(), reason };
    let path = if path.is_empty() { "/" } else { path };
    let absolute = std::path::absolute(path).map_err(|error| invalid(error.to_string()))?;
    let prefix = Path::from_absolute_path(&absolute).map_err(|error| invalid(error.to_string()))?;
    Ok((Arc::new(LocalFileSystem::new()), prefix))
}

fn bucket(place: &str) -> Result<(Arc<dyn ObjectStore>, Path)> {
    let retry =
        RetryConfig { max_retries: 3, retry_timeout: Duration::from_secs(30), ..RetryConfig::default() };
    let (store, prefix) = s3(place, retry)?;
    Ok((store, prefix))
}

/// Whether a name fits a pattern, in which `*` is any text and `?` any byte.
pub fn fits(pattern: &[u8], name: &[u8]) -> bool {
    match (pattern, name) {
        ([], []) => true,
        ([b'*', rest @ ..], _) => (0..=name.len()).any(|skip| fits(rest, &name[skip..])),
        ([b'?', pattern @ ..], [_, name @ ..]) => fits(pattern, name),
        ([p, pattern @ ..], [n, name @ ..]) if p == n => fits(pattern, name),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns() {
        for (pattern, name, expect) in [
            ("*.csv", "a.csv", true),
            ("*.csv", "a.csv.gz", false),
            ("a?c*", "abcd", true),
            ("a?c*", "ac", false),
            ("*", "", true),
            ("a*b*c", "aXbYbZc", true),
        ] {
            assert_eq!(fits(pattern.as_bytes(), name.as_bytes()), expect, "{pattern} {name}");
        }
    }

    #[test]
    fn addresses() {
        assert!(Location::parse("ftp://host/x").unwrap_err().to_string().contains("not at ftp://"));
        let told = Location::parse("s3://key:secret@bucket/x").unwrap_err().to_string();
        assert!(told.contains("AWS_SECRET_ACCESS_KEY") && !told.contains(":secret@"), "{told}");
    }

    #[tokio::test]
    async fn a_file_a_directory_and_a_pattern() {
        let dir = tempfile::tempdir().unwrap();
        let at = dir.path().to_str().unwrap();
        let place = Location::parse(at).unwrap();
        assert!(place.is_empty().await.unwrap());
        for name in ["b.txt", "a.txt", "sub/c.txt", "_SUCCESS", "sub/.hidden"] {
            place.put(name, Bytes::from_static(b"x\n")).await.unwrap();
        }
        let names = async |address: String| {
            let listed = Location::parse(&address).unwrap().list().await.unwrap();
            listed.into_iter().map(|object| object.name).collect::<Vec<_>>()
        };
        assert_eq!(names(at.to_owned()).await, ["a.txt", "b.txt", "sub/c.txt"]);
        assert_eq!(names(format!("file://{at}/*.txt")).await, ["a.txt", "b.txt"]);
        assert_eq!(names(format!("{at}/b.txt")).await, ["b.txt"]);
    }
}
