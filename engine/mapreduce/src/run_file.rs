//! Sorted runs on disk: the lines of each partition behind one another.
//!
//! ```text
//!  file of an attempt   | run 0: partition 0, 1, .. | run 1: partition 0, 1, .. |
//! ```
//!
//! A file's name is removed as soon as it is made. So nothing is left behind, however the process ends; and each file that is kept is one
//! that is open, of which a process may have some hundreds: so the runs of an attempt share one.

use std::io::{self, IoSlice};
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use headwater_core::world::{Disk, DiskFile, Open};

/// How much is gathered before it is written.
const WRITE_AT: usize = 1 << 20;

/// How much is read at a time.
const READ_AHEAD: usize = 128 << 10;

static NEXT: AtomicU64 = AtomicU64::new(0);

/// A sorted run.
#[derive(Clone)]
pub(crate) struct Run {
    file: Arc<dyn DiskFile>,
    /// Where each partition lies.
    partitions: Vec<Range<u64>>,
    /// Where the run lies.
    place: Range<u64>,
}

impl Run {
    /// The lines of one partition; `None` if there are none.
    pub(crate) fn partition(&self, partition: usize) -> Option<RunReader> {
        let range = self.partitions.get(partition)?.clone();
        (range.start < range.end).then(|| RunReader {
            file: Arc::clone(&self.file),
            at: range.start,
            end: range.end,
            buffer: Vec::new(),
            line: 0..0,
        })
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.place.end - self.place.start
    }
}

/// Writes a run.
pub(crate) struct RunWriter {
    file: Arc<dyn DiskFile>,
    /// Where the run begins.
    from: u64,
    written: u64,
    buffer: Vec<u8>,
    starts: Vec<u64>,
}

impl RunWriter {
    pub(crate) fn create(disk: &dyn Disk, dir: &Path) -> io::Result<Self> {
        let path = dir.join(format!("run-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed)));
        let file = disk.open(&path, Open::Create)?;
        disk.remove(&path)?;
        Ok(Self::at(file, 0))
    }

    /// Writes into the file of another run, which is the last in it.
    pub(crate) fn behind(run: &Run) -> Self {
        Self::at(Arc::clone(&run.file), run.place.end)
    }

    fn at(file: Arc<dyn DiskFile>, from: u64) -> Self {
        Self { file, from, written: from, buffer: Vec::with_capacity(WRITE_AT), starts: Vec::new() }
    }

    /// Adds a line; partitions come in order.
    pub(crate) fn add(&mut self, partition: usize, line: &[u8]) -> io::Result<()> {
        while self.starts.len() <= partition {
            self.starts.push(self.written + self.buffer.len() as u64);
        }
        self.buffer.extend_from_slice(line);
        self.buffer.push(b'\n');
        if self.buffer.len() >= WRITE_AT { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.write_all_at(&mut [IoSlice::new(&self.buffer)], self.written)?;
        self.written += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }

    pub(crate) fn finish(mut self) -> io::Result<Run> {
        self.flush()?;
        let ends = self.starts.iter().skip(1).copied().chain([self.written]);
        let partitions = self.starts.iter().zip(ends).map(|(start, end)| *start..end).collect();
        Ok(Run { file: self.file, partitions, place: self.from..self.written })
    }
}

/// Reads the lines of a partition of a run.
pub(crate) struct RunReader {
    file: Arc<dyn DiskFile>,
    at: u64,
    end: u64,
    buffer: Vec<u8>,
    line: Range<usize>,
}

impl RunReader {
    /// The line that [`RunReader::advance`] came to, without its line feed.
    pub(crate) fn line(&self) -> &[u8] {
        &self.buffer[self.line.clone()]
    }

    /// Goes on to the next line; `false`: there is none.
    pub(crate) fn advance(&mut self) -> io::Result<bool> {
        let mut start = if self.buffer.is_empty() { 0 } else { self.line.end + 1 };
        let mut searched = start;
        loop {
            if let Some(ahead) = memchr::memchr(b'\n', &self.buffer[searched..]) {
                self.line = start..searched + ahead;
                return Ok(true);
            }
            if self.at == self.end {
                return Ok(false);
            }
            self.buffer.drain(..start);
            start = 0;
            let kept = self.buffer.len();
            searched = kept;
            let more = usize::try_from(self.end - self.at).unwrap_or(usize::MAX).min(READ_AHEAD.max(kept));
            self.buffer.resize(kept + more, 0);
            self.file.read_exact_at(&mut self.buffer[kept..], self.at)?;
            self.at += more as u64;
        }
    }
}
