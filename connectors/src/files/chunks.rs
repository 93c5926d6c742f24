//! A file of the world's disk as the standard library and Parquet want it.

use std::io::{self, Read, Seek, SeekFrom};
use std::sync::Arc;

use bytes::Bytes;
use headwater_core::world::DiskFile;
use parquet::errors::{ParquetError, Result as ParquetResult};
use parquet::file::reader::{ChunkReader, Length};

/// A file, and a place in it.
#[derive(Clone)]
pub(super) struct FileReader {
    file: Arc<dyn DiskFile>,
    len: u64,
    at: u64,
}

impl FileReader {
    pub(super) fn new(file: Arc<dyn DiskFile>) -> io::Result<Self> {
        let len = file.len()?;
        Ok(Self { file, len, at: 0 })
    }

    pub(super) fn len(&self) -> u64 {
        self.len
    }

    /// Up to `most` bytes from `at`; fewer only at the end.
    pub(super) fn bytes_at(&self, at: u64, most: usize) -> io::Result<Vec<u8>> {
        let left = usize::try_from(self.len.saturating_sub(at)).unwrap_or(usize::MAX);
        let mut buffer = vec![0; most.min(left)];
        self.file.read_exact_at(&mut buffer, at)?;
        Ok(buffer)
    }
}

impl Read for FileReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.len.saturating_sub(self.at)).unwrap_or(usize::MAX);
        let some = buffer.len().min(left);
        self.file.read_exact_at(&mut buffer[..some], self.at)?;
        self.at += some as u64;
        Ok(some)
    }
}

impl Seek for FileReader {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let at = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::End(by) => self.len.checked_add_signed(by),
            SeekFrom::Current(by) => self.at.checked_add_signed(by),
        };
        self.at = at.ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.at)
    }
}

impl Length for FileReader {
    fn len(&self) -> u64 {
        self.len
    }
}

impl ChunkReader for FileReader {
    type T = io::BufReader<Self>;

    fn get_read(&self, start: u64) -> ParquetResult<Self::T> {
        Ok(io::BufReader::new(Self { at: start, ..self.clone() }))
    }

    fn get_bytes(&self, start: u64, length: usize) -> ParquetResult<Bytes> {
        // A length that was read from a damaged file must not allocate more than the file has.
        if start.saturating_add(length as u64) > self.len {
            return Err(ParquetError::EOF(format!("bytes {start} to {start}+{length} of {}", self.len)));
        }
        Ok(self.bytes_at(start, length)?.into())
    }
}
