//! What queries that run once may take of memory, together, and where the rest of a sort, an aggregation or a join goes: files of one
//! directory that live no longer than their query. What is found there at the start is removed.

use std::io::IoSlice;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::disk_manager::{DiskManagerBuilder, DiskManagerMode};
use datafusion::execution::memory_pool::{FairSpillPool, TrackConsumersPool};
use datafusion::execution::runtime_env::{RuntimeEnv, RuntimeEnvBuilder};
use datafusion::execution::{SpillFile, SpillWriter, TempFileFactory};
use futures::{Stream, TryStreamExt, stream};
use headwater_core::World;
use headwater_core::world::{DiskFile, Open};

/// How many of those that take most memory an error names.
const NAMED: std::num::NonZeroUsize = std::num::NonZeroUsize::new(3).unwrap();

/// How much is written and read at once.
const CHUNK: usize = 256 << 10;

/// At most `limit` bytes of memory for all queries together, roughly; the rest goes to `spill`, which is emptied. `None` there: what does
/// not fit is an error.
pub(crate) fn bounded_runtime(world: &World, limit: u64, spill: Option<PathBuf>) -> Result<Arc<RuntimeEnv>> {
    let pool = FairSpillPool::new(usize::try_from(limit).unwrap_or(usize::MAX));
    let mode = match spill {
        Some(dir) => DiskManagerMode::Custom(Arc::new(SpillDir::new(world.clone(), dir)?)),
        None => DiskManagerMode::Disabled,
    };
    RuntimeEnvBuilder::new()
        .with_memory_pool(Arc::new(TrackConsumersPool::new(pool, NAMED)))
        .with_disk_manager_builder(DiskManagerBuilder::default().with_mode(mode))
        .build_arc()
}

struct SpillDir {
    world: World,
    dir: PathBuf,
    files: AtomicU64,
}

impl SpillDir {
    fn new(world: World, dir: PathBuf) -> std::io::Result<Self> {
        world.disk.create_dir(&dir)?;
        for left_over in world.disk.list(&dir)?.iter().filter(|entry| !entry.is_dir) {
            world.disk.remove(&dir.join(&left_over.name))?;
        }
        Ok(Self { world, dir, files: AtomicU64::new(0) })
    }
}

impl TempFileFactory for SpillDir {
    fn create_temp_file(&self, _description: &str) -> Result<Arc<dyn SpillFile>> {
        let path = self.dir.join(format!("{}.arrow", self.files.fetch_add(1, Ordering::Relaxed)));
        let file = self.world.disk.open(&path, Open::Create).map_err(|error| failed("make", &path, error))?;
        let written = AtomicU64::new(0);
        Ok(Arc::new(QueryFile(Arc::new(Content { world: self.world.clone(), path, file, written }))))
    }
}

fn failed(what: &str, path: &Path, error: std::io::Error) -> DataFusionError {
    let message = format!("cannot {what} {}: {error}", path.display());
    DataFusionError::IoError(std::io::Error::new(error.kind(), message))
}

struct QueryFile(Arc<Content>);

/// A file that is removed when nobody needs it any more.
struct Content {
    world: World,
    path: PathBuf,
    file: Arc<dyn DiskFile>,
    written: AtomicU64,
}

impl Drop for Content {
    fn drop(&mut self) {
        if let Err(error) = self.world.disk.remove(&self.path) {
            tracing::warn!(file = %self.path.display(), %error, "a query's file could not be removed");
        }
    }
}

impl SpillFile for QueryFile {
    fn size(&self) -> Option<u64> {
        Some(self.0.written.load(Ordering::Relaxed))
    }

    fn read_stream(&self) -> Result<Pin<Box<dyn Stream<Item = Result<Bytes>> + Send>>> {
        let content = Arc::clone(&self.0);
        let chunks = stream::try_unfold(0, move |at| {
            let content = Arc::clone(&content);
            async move {
                // It may be written while it is read.
                let count = (content.written.load(Ordering::Relaxed) - at).min(CHUNK as u64);
                if count == 0 {
                    return Ok::<_, DataFusionError>(None);
                }
                let read = move || content.file.read_vec_at(count as usize, at);
                let read = tokio::task::spawn_blocking(read).await;
                let bytes = read.map_err(|error| DataFusionError::ExecutionJoin(Box::new(error)))??;
                Ok(Some((Bytes::from(bytes), at + count)))
            }
        });
        let path = self.0.path.clone();
        Ok(Box::pin(chunks.map_err(move |error| match error {
            DataFusionError::IoError(error) => failed("read", &path, error),
            other => other,
        })))
    }

    fn open_writer(&self) -> Result<Box<dyn SpillWriter>> {
        Ok(Box::new(Writer { content: Arc::clone(&self.0), waiting: Vec::new() }))
    }
}

struct Writer {
    content: Arc<Content>,
    /// What is not worth a call of its own yet.
    waiting: Vec<u8>,
}

impl std::io::Write for Writer {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.waiting.extend_from_slice(bytes);
        if self.waiting.len() >= CHUNK {
            self.flush()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        if self.waiting.is_empty() {
            return Ok(());
        }
        let at = self.content.written.load(Ordering::Relaxed);
        self.content.file.write_all_at(&mut [IoSlice::new(&self.waiting)], at).map_err(|error| {
            let message = format!("cannot write {}: {error}", self.content.path.display());
            std::io::Error::new(error.kind(), message)
        })?;
        self.content.written.fetch_add(self.waiting.len() as u64, Ordering::Relaxed);
        self.waiting.clear();
        Ok(())
    }
}

impl SpillWriter for Writer {
    fn finish(&mut self) -> Result<()> {
        std::io::Write::flush(self).map_err(DataFusionError::IoError)
    }
}
