//! A store with faults: an operation fails before or after it had its effect, or the process ends there.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use futures::stream::BoxStream;
use headwater_archive::Place;
use object_store::memory::InMemory;
use object_store::multipart::{MultipartStore, PartId};
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartId, MultipartUpload, ObjectMeta,
    ObjectStore, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};

/// What goes wrong.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fault {
    /// The operation fails and has no effect.
    Refused,
    /// The operation has its effect, and its answer is lost.
    AnswerLost,
    /// The operation has its effect, and from then on nothing can be reached: the process has ended.
    Ended,
}

/// A store in memory whose operation number `at` goes wrong. Every operation lets others have their turn first.
#[derive(Debug)]
pub struct Faulty {
    inner: Arc<InMemory>,
    at: u64,
    fault: Fault,
    count: AtomicU64,
}

impl Faulty {
    pub fn new(inner: &Arc<InMemory>, at: u64, fault: Fault) -> Arc<Self> {
        Arc::new(Self { inner: Arc::clone(inner), at, fault, count: AtomicU64::new(0) })
    }

    /// How many operations there were.
    pub fn count(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }

    pub fn place(self: &Arc<Self>) -> Place {
        Place::new(Arc::clone(self) as _, Some(Arc::clone(self) as _), Path::from("a/b"), "mem://a/b")
    }

    async fn with<T>(&self, work: impl Future<Output = Result<T>>) -> Result<T> {
        let mut yielded = false;
        std::future::poll_fn(|context| {
            if std::mem::replace(&mut yielded, true) {
                return std::task::Poll::Ready(());
            }
            context.waker().wake_by_ref();
            std::task::Poll::Pending
        })
        .await;
        let number = self.count.fetch_add(1, Ordering::Relaxed);
        let failed =
            |what: &str| Err(Error::Generic { store: "faulty", source: format!("{what} {number}").into() });
        match self.fault {
            Fault::Ended if number > self.at => failed("after the end"),
            Fault::Refused if number == self.at => failed("refused"),
            _ => {
                let answer = work.await;
                if number == self.at && self.fault != Fault::Refused {
                    failed("no answer to")
                } else {
                    answer
                }
            }
        }
    }
}

/// The place without faults.
pub fn healthy(inner: &Arc<InMemory>) -> Place {
    Faulty::new(inner, u64::MAX, Fault::Refused).place()
}

impl fmt::Display for Faulty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("faulty")
    }
}

#[async_trait]
impl ObjectStore for Faulty {
    async fn put_opts(&self, location: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        self.with(self.inner.put_opts(location, payload, options)).await
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.inner.put_multipart_opts(location, options).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.with(self.inner.get_opts(location, options)).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.inner.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, options).await
    }
}

#[async_trait]
impl MultipartStore for Faulty {
    async fn create_multipart(&self, path: &Path) -> Result<MultipartId> {
        self.with(self.inner.create_multipart(path)).await
    }

    async fn put_part(
        &self,
        path: &Path,
        id: &MultipartId,
        index: usize,
        data: PutPayload,
    ) -> Result<PartId> {
        self.with(self.inner.put_part(path, id, index, data)).await
    }

    async fn complete_multipart(
        &self,
        path: &Path,
        id: &MultipartId,
        parts: Vec<PartId>,
    ) -> Result<PutResult> {
        self.with(self.inner.complete_multipart(path, id, parts)).await
    }

    async fn abort_multipart(&self, path: &Path, id: &MultipartId) -> Result<()> {
        self.with(self.inner.abort_multipart(path, id)).await
    }
}
