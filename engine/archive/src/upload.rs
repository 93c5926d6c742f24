//! Puts a file, in parts if it is large.
//!
//! A file that fits into two parts is put with one request, where nothing is. A larger one goes to a store that takes parts in parts,
//! and a note beside says which are there; whoever comes after a crash goes on behind them. A store makes an object of the
//! parts only when all are there, so half a file is never seen. Completing the parts cannot be made conditional on nothing
//! being there; that is asked just before, and whoever comes between has put the same bytes.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use object_store::MultipartId;
use object_store::multipart::{MultipartStore, PartId};
use parking_lot::Mutex;

use crate::encode::{ABOUT, About, Encoded, crc32c};
use crate::error::{ArchiveError, Result};
use crate::layout;
use crate::manifest::FileInfo;
use crate::place::Place;

/// How far the file that is being put is.
#[derive(Default, Debug)]
pub struct Progress {
    file: Mutex<String>,
    done: AtomicU64,
    total: AtomicU64,
    parts_resumed: AtomicU64,
}

impl Progress {
    fn begin(&self, file: &FileInfo) {
        self.file.lock().clone_from(&file.path);
        self.done.store(0, Ordering::Relaxed);
        self.total.store(file.bytes, Ordering::Relaxed);
    }

    fn end(&self) {
        self.file.lock().clear();
    }

    /// The file that is being put, how many of its bytes are there, and how many it has.
    pub fn now(&self) -> Option<(String, u64, u64)> {
        let file = self.file.lock().clone();
        let (done, total) = (self.done.load(Ordering::Relaxed), self.total.load(Ordering::Relaxed));
        (!file.is_empty()).then_some((file, done, total))
    }

    /// How many parts were found there after a crash.
    pub fn parts_resumed(&self) -> u64 {
        self.parts_resumed.load(Ordering::Relaxed)
    }
}

/// How far an upload in parts is.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
struct Note {
    upload: MultipartId,
    part_bytes: usize,
    parts: Vec<NotedPart>,
}

#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
struct NotedPart {
    id: String,
    crc32c: u32,
}

/// Puts a file where none is. Answers what the manifest is to say of it: of the file that is there, whoever put it.
pub(crate) async fn put_file(
    place: &Place,
    file: Encoded,
    about: &About,
    part_bytes: usize,
    progress: &Progress,
) -> Result<FileInfo> {
    progress.begin(&file.info);
    let put = put_by_size(place, file, about, part_bytes, progress).await;
    progress.end();
    put
}

async fn put_by_size(
    place: &Place,
    file: Encoded,
    about: &About,
    part_bytes: usize,
    progress: &Progress,
) -> Result<FileInfo> {
    let created = match place.multipart() {
        Some(store) if file.bytes.len() > 2 * part_bytes => {
            let upload = Upload { place, store, file: &file, part_bytes, progress };
            upload.run().await?
        }
        _ => place.put_new(&file.info.path, file.bytes.clone()).await?,
    };
    if created { Ok(file.info) } else { found(place, file, about).await }
}

/// What to say of a file that is there already: it must be this one.
async fn found(place: &Place, file: Encoded, about: &About) -> Result<FileInfo> {
    let path = &file.info.path;
    let gone =
        || ArchiveError::damaged(place.show(path), "the store says that it is there, and that it is not");
    let there = place.get(path).await?.ok_or_else(gone)?;
    if there == file.bytes {
        return Ok(file.info);
    }
    // The same rows may have been written by another version, or with other settings.
    let (theirs, rows) =
        about_of(&there).map_err(|reason| ArchiveError::damaged(place.show(path), reason))?;
    let same = |it: &About| (it.stream.clone(), it.created, it.span);
    if same(&theirs) != same(about) || rows != file.info.rows {
        let reason = format!(
            "it is there already and holds {rows} rows of {} {:?}; move it away",
            theirs.stream, theirs.span
        );
        return Err(ArchiveError::damaged(place.show(path), reason));
    }
    let sorted = !theirs.settings.sorts().is_empty();
    Ok(FileInfo { bytes: there.len() as u64, crc32c: crc32c(&there), sorted, ..file.info })
}

/// What a file says of itself, and how many rows it has.
pub(crate) fn about_of(file: &Bytes) -> std::result::Result<(About, u64), String> {
    let reader = parquet::file::metadata::ParquetMetaDataReader::new();
    let metadata = reader.parse_and_finish(file).map_err(|error| error.to_string())?;
    let rows = metadata.file_metadata().num_rows() as u64;
    let pairs = metadata.file_metadata().key_value_metadata();
    let text =
        pairs.into_iter().flatten().find(|pair| pair.key == ABOUT).and_then(|pair| pair.value.as_deref());
    let about = serde_json::from_str(text.ok_or("it was not written by an archive")?)
        .map_err(|error| error.to_string())?;
    Ok((about, rows))
}

struct Upload<'a> {
    place: &'a Place,
    store: &'a Arc<dyn MultipartStore>,
    file: &'a Encoded,
    part_bytes: usize,
    progress: &'a Progress,
}

impl Upload<'_> {
    /// `false` if the file is there already.
    async fn run(&self) -> Result<bool> {
        let name = &self.file.info.path;
        let note = layout::upload(name);
        if self.place.len(name).await?.is_some() {
            self.place.remove(&note).await?;
            return Ok(false);
        }
        if let Some(begun) = self.noted(&note).await? {
            match self.go_on(&note, begun).await {
                // The store knows nothing of this upload any more: it was completed, or swept away.
                Err(ArchiveError::Store { cause, .. }) if is_unknown(&cause) => {
                    self.place.remove(&note).await?;
                    if self.place.len(name).await?.is_some() {
                        return Ok(false);
                    }
                }
                other => return other,
            }
        }
        let upload = self.store.create_multipart(&self.place.path(name)).await;
        let upload = upload.map_err(|error| self.place.failed("begin to put", name, error))?;
        let begun = Note { upload, part_bytes: self.part_bytes, parts: Vec::new() };
        self.write(&note, &begun).await?;
        self.go_on(&note, begun).await
    }

    /// The note on an upload that was begun with the same bytes.
    async fn noted(&self, note: &str) -> Result<Option<Note>> {
        let Some(bytes) = self.place.get(note).await? else { return Ok(None) };
        let Ok(begun) = serde_json::from_slice::<Note>(&bytes) else { return Ok(None) };
        let same = begun.part_bytes == self.part_bytes
            && begun.parts.iter().zip(self.chunks()).all(|(part, chunk)| part.crc32c == crc32c(&chunk));
        if same {
            return Ok(Some(begun));
        }
        // Begun by another version or with other settings. What is not swept away now costs room until the store sweeps.
        let path = self.place.path(&self.file.info.path);
        if let Err(error) = self.store.abort_multipart(&path, &begun.upload).await {
            tracing::warn!(%error, file = self.file.info.path, "parts of an upload that is begun anew could not be removed");
        }
        Ok(None)
    }

    async fn go_on(&self, note: &str, mut begun: Note) -> Result<bool> {
        let name = &self.file.info.path;
        let path = self.place.path(name);
        for (index, chunk) in self.chunks().enumerate() {
            let bytes = chunk.len() as u64;
            if index < begun.parts.len() {
                self.progress.parts_resumed.fetch_add(1, Ordering::Relaxed);
            } else {
                let crc32c = crc32c(&chunk);
                let put = self.store.put_part(&path, &begun.upload, index, chunk.into()).await;
                let part = put.map_err(|error| self.place.failed("put a part of", name, error))?;
                begun.parts.push(NotedPart { id: part.content_id, crc32c });
                self.write(note, &begun).await?;
            }
            self.progress.done.fetch_add(bytes, Ordering::Relaxed);
        }
        let there = self.place.len(name).await?.is_some();
        if there {
            // What another has put is the same; these parts are not needed.
            let _ = self.store.abort_multipart(&path, &begun.upload).await;
        } else {
            let parts = begun.parts.into_iter().map(|part| PartId { content_id: part.id }).collect();
            let done = self.store.complete_multipart(&path, &begun.upload, parts).await;
            done.map_err(|error| self.place.failed("put the parts of", name, error))?;
        }
        self.place.remove(note).await?;
        Ok(!there)
    }

    fn chunks(&self) -> impl Iterator<Item = Bytes> {
        let bytes = &self.file.bytes;
        let end = move |from: usize| (from + self.part_bytes).min(bytes.len());
        (0..bytes.len()).step_by(self.part_bytes).map(move |from| bytes.slice(from..end(from)))
    }

    async fn write(&self, note: &str, begun: &Note) -> Result<()> {
        self.place.put(note, serde_json::to_vec(begun).unwrap_or_default().into()).await
    }
}

/// Whether a store says that it has no such upload. It says so in several ways.
fn is_unknown(error: &object_store::Error) -> bool {
    let text = format!("{error:?}");
    matches!(error, object_store::Error::NotFound { .. })
        || ["NoSuchUpload", "NoSuchKey", "InvalidPart", "No upload"].iter().any(|sign| text.contains(sign))
}
