//! Decodes archived rows ahead of their reader, on a thread beside it.
//!
//! ```text
//!  thread   range 0..100 ── range 100..220 ── ..   decodes while there is memory for it, or the reader waits
//!  queue              [ rows, rows, end of 0..100, rows ]
//!  reader   takes
//! ```
//!
//! So who works on what it has read, such as a replay, does not wait for the store and the decoder meanwhile. The readers of an
//! archive share the memory for it; one that finds nothing ready gets its next rows all the same, so none waits for another.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use arrow::array::RecordBatch;
use arrow::datatypes::Schema;
use headwater_core::{EventTime, Sequence};
use parking_lot::{Condvar, Mutex};

use crate::error::{ArchiveError, Result};
use crate::handle::{Footers, Io};
use crate::layout::SEQUENCE;
use crate::manifest::{FileInfo, Manifest, Range};
use crate::place::Place;
use crate::prune::file_may_match;
use crate::reader::{FileReader, Wanted, fetch_footer, read_ordered};

/// So many bytes a reader holds that it has not come to.
const OWN_BYTES: usize = 32 << 20;
/// So many all readers of an archive do, beside what those hold that would wait otherwise.
const ALL_BYTES: usize = 64 << 20;

/// How many bytes the readers of an archive hold that they have not come to.
#[derive(Default)]
pub(crate) struct AheadBytes(AtomicUsize);

/// What to read of a shard's archive.
pub(crate) struct Course {
    pub place: Place,
    pub footers: Arc<Footers>,
    pub manifest: Arc<Manifest>,
    pub shard: u32,
    /// The first row, which is in a range.
    pub from: Sequence,
    /// The row after the last.
    pub until: Option<Sequence>,
    /// Ranges that begin here or later are not read.
    pub before: Sequence,
    pub wanted: Wanted,
    /// The column with event time.
    pub time: Option<String>,
}

/// What comes of the archive, in order.
pub(crate) enum Piece {
    /// Some rows of a range.
    Rows(Decoded),
    /// The range up to this row has no more.
    End(Sequence),
}

/// Some rows of a range.
pub(crate) struct Decoded {
    pub batch: RecordBatch,
    /// The sequence number of the first row, where the rows follow one another; otherwise they say their own.
    pub first: Option<u64>,
    /// No row from here on is wanted.
    pub end: Sequence,
    /// When the range's first and last row arrived.
    pub arrival: std::ops::Range<EventTime>,
}

/// The rows of an archive, decoded ahead. Dropping it ends that.
pub(crate) struct Ahead {
    queue: Arc<Queue>,
    io: Io,
}

struct Queue {
    state: Mutex<State>,
    changed: Condvar,
    all: Arc<AheadBytes>,
}

#[derive(Default)]
struct State {
    pieces: VecDeque<(Result<Piece>, usize)>,
    bytes: usize,
    /// The reader waits for a piece.
    waits: bool,
    /// No more pieces come.
    ended: bool,
    /// The reader has gone.
    left: bool,
}

impl Ahead {
    /// Begins.
    pub fn start(io: &Io, all: &Arc<AheadBytes>, course: Course) -> Self {
        let queue = Queue { state: Mutex::default(), changed: Condvar::new(), all: Arc::clone(all) };
        let queue = Arc::new(queue);
        let own = Arc::clone(&queue);
        io.beside(move |io| {
            // Also after a panic: the reader must not wait for ever.
            let _end = End(&own);
            if let Err(error) = course.run(io, &own) {
                own.push(Err(error), 0);
            }
        });
        Self { queue, io: io.clone() }
    }

    /// The next piece, once it is there. `None`: that was all.
    pub fn next(&self) -> Option<Result<Piece>> {
        let mut state = self.queue.state.lock();
        if state.pieces.is_empty() && !state.ended {
            self.io.pause(|| {
                state.waits = true;
                self.queue.changed.notify_all();
                while state.pieces.is_empty() && !state.ended {
                    self.queue.changed.wait(&mut state);
                }
                state.waits = false;
            });
        }
        let (piece, bytes) = state.pieces.pop_front()?;
        state.bytes -= bytes;
        self.queue.all.0.fetch_sub(bytes, Ordering::Relaxed);
        self.queue.changed.notify_all();
        Some(piece)
    }
}

impl Drop for Ahead {
    fn drop(&mut self) {
        self.queue.state.lock().left = true;
        self.queue.changed.notify_all();
    }
}

struct End<'a>(&'a Queue);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.state.lock().ended = true;
        self.0.changed.notify_all();
    }
}

impl Queue {
    /// Waits until another piece is wanted. `false`: none is any more.
    fn wait_for_room(&self) -> bool {
        let mut state = self.state.lock();
        loop {
            if state.left {
                return false;
            }
            let room = state.bytes < OWN_BYTES && self.all.0.load(Ordering::Relaxed) < ALL_BYTES;
            if room || (state.waits && state.pieces.is_empty()) {
                return true;
            }
            self.changed.wait(&mut state);
        }
    }

    fn push(&self, piece: Result<Piece>, bytes: usize) {
        let mut state = self.state.lock();
        state.pieces.push_back((piece, bytes));
        state.bytes += bytes;
        self.all.0.fetch_add(bytes, Ordering::Relaxed);
        self.changed.notify_all();
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        self.all.0.fetch_sub(self.state.get_mut().bytes, Ordering::Relaxed);
    }
}

impl Course {
    /// Reads range after range, as long as there is somebody to read them for.
    fn run(&self, io: &Io, queue: &Queue) -> Result<()> {
        let ranges = self.manifest.ranges(self.shard);
        let from = ranges.partition_point(|range| range.span.next <= self.from.0);
        let before = self.until.map_or(self.before, |until| until.min(self.before));
        for range in ranges[from..].iter().take_while(|range| range.span.first < before.0) {
            // Waiting for room holds up nobody: the thread has nothing else to do.
            if !queue.wait_for_room() || !io.wait(self.read(range, queue))? {
                break;
            }
        }
        Ok(())
    }

    /// Reads a range. `false`: nobody wants the rest.
    async fn read(&self, range: &Range, queue: &Queue) -> Result<bool> {
        let next = Sequence(range.span.next);
        let end = self.until.map_or(next, |until| until.min(next));
        let arrival = arrival_of(range);
        let rows = |batch, first| Piece::Rows(Decoded { batch, first, end, arrival: arrival.clone() });
        let push = |batch: RecordBatch, first| {
            let bytes = batch.get_array_memory_size();
            queue.push(Ok(rows(batch, first)), bytes);
        };
        let time = self.time.as_deref();
        let may_match = |file: &&FileInfo| file_may_match(file, time, &self.wanted.bounds);
        let files: Vec<&FileInfo> = range.files.iter().filter(may_match).collect();
        match files.as_slice() {
            [] => {}
            [file] if !file.sorted => {
                let (mut reader, mut first) = self.open(range, file).await?;
                while let Some(batch) = reader.next().await? {
                    let rows = batch.num_rows() as u64;
                    push(batch, first);
                    first = first.map(|first| first + rows);
                    if !queue.wait_for_room() {
                        return Ok(false);
                    }
                }
                if first.is_some_and(|first| first != range.span.next) {
                    let reason = format!(
                        "its range is {} to {}, its rows are fewer",
                        range.span.first, range.span.next
                    );
                    return Err(ArchiveError::damaged(self.place.show(&file.path), reason));
                }
            }
            files => {
                let mut readers = Vec::new();
                for file in files {
                    let footer = self.footer(file).await?;
                    readers.push(FileReader::new(self.place.clone(), file, footer, &self.wanted)?);
                }
                push(read_ordered(readers, &self.wanted.schema).await?, None);
            }
        }
        queue.push(Ok(Piece::End(end)), 0);
        Ok(true)
    }

    /// Opens the only file of a range, and says what the sequence number of its first row is, where that says it of all the others.
    async fn open(&self, range: &Range, file: &FileInfo) -> Result<(FileReader, Option<u64>)> {
        let footer = self.footer(file).await?;
        let open = |wanted: &Wanted| FileReader::new(self.place.clone(), file, Arc::clone(&footer), wanted);
        let is_whole = range.files.len() == 1 && file.rows == range.span.next - range.span.first;
        // A column must be left that says how many rows there are.
        let parquet = footer.file_metadata().schema_descr().root_schema().get_fields();
        let is_there = |name: &str| name != SEQUENCE && parquet.iter().any(|field| field.name() == name);
        let counts = self.wanted.schema.fields().iter().any(|field| is_there(field.name()));
        if !is_whole || !counts || !self.wanted.bounds.is_empty() {
            return Ok((open(&self.wanted)?, None));
        }
        let fields = self.wanted.schema.fields().iter().filter(|field| field.name() != SEQUENCE).cloned();
        let wanted = Wanted { schema: Arc::new(Schema::new(fields.collect::<Vec<_>>())), bounds: Vec::new() };
        Ok((open(&wanted)?, Some(range.span.first)))
    }

    async fn footer(&self, file: &FileInfo) -> Result<Arc<parquet::file::metadata::ParquetMetaData>> {
        if let Some(footer) = self.footers.get(&file.path) {
            return Ok(footer);
        }
        let footer = fetch_footer(&self.place, file).await?;
        self.footers.keep(&file.path, &footer);
        Ok(footer)
    }
}

/// When the first and the last row of a range arrived.
pub(crate) fn arrival_of(range: &Range) -> std::ops::Range<EventTime> {
    let arrivals = || range.files.iter().map(|file| file.arrival);
    EventTime(arrivals().map(|(first, _)| first).min().unwrap_or_default())
        ..EventTime(arrivals().map(|(_, last)| last).max().unwrap_or_default())
}
