//! The lines of a compressed file. What was read before is unpacked again when a source goes on in the middle of one.

use std::io::{self, BufReader, Read};

use flate2::read::MultiGzDecoder;
use headwater_ingest::Decoder;

use super::chunks::FileReader;

/// How much is unpacked at a time.
const CHUNK: usize = 1 << 20;

/// What the name of a compressed file ends with.
const EXTENSION: &str = ".gz";

/// A compressed file that is being read, from its beginning on.
pub(super) struct Unpacked {
    decoder: MultiGzDecoder<BufReader<FileReader>>,
    /// What was unpacked and not given out.
    buffer: Vec<u8>,
    /// Whether the buffer holds all that is left.
    ended: bool,
}

/// The name without `.gz`, if the name says that the file is compressed.
pub(super) fn packed(name: &str) -> Option<&str> {
    let stem = name.len().checked_sub(EXTENSION.len())?;
    let ends = name.is_char_boundary(stem) && name[stem..].eq_ignore_ascii_case(EXTENSION);
    ends.then(|| &name[..stem])
}

impl Unpacked {
    pub(super) fn new(file: FileReader) -> Self {
        let decoder = MultiGzDecoder::new(BufReader::with_capacity(CHUNK, file));
        Self { decoder, buffer: Vec::new(), ended: false }
    }

    /// Unpacks up to so many bytes, and leaves them to be read.
    pub(super) fn beginning(&mut self, most: usize) -> io::Result<&[u8]> {
        self.fill(most)?;
        Ok(&self.buffer)
    }

    /// Passes over so many bytes.
    pub(super) fn skip(&mut self, mut bytes: u64) -> io::Result<()> {
        while bytes > 0 {
            self.fill(CHUNK)?;
            let some = usize::try_from(bytes).unwrap_or(usize::MAX).min(self.buffer.len());
            if some == 0 {
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "it is shorter than it was"));
            }
            self.buffer.drain(..some);
            bytes -= some as u64;
        }
        Ok(())
    }

    /// All that is left.
    pub(super) fn rest(&mut self) -> io::Result<Vec<u8>> {
        self.decoder.read_to_end(&mut self.buffer)?;
        self.ended = true;
        Ok(std::mem::take(&mut self.buffer))
    }

    /// The next whole records; none at the end.
    pub(super) fn next(&mut self, decoder: &Decoder) -> io::Result<Vec<u8>> {
        let mut size = CHUNK;
        loop {
            self.fill(size)?;
            let whole = if self.ended { self.buffer.len() } else { decoder.whole_records(&self.buffer) };
            if whole > 0 || self.ended {
                let rest = self.buffer.split_off(whole);
                return Ok(std::mem::replace(&mut self.buffer, rest));
            }
            size *= 2;
        }
    }

    fn fill(&mut self, size: usize) -> io::Result<()> {
        let missing = size.saturating_sub(self.buffer.len());
        if missing > 0 && !self.ended {
            let read = self.decoder.by_ref().take(missing as u64).read_to_end(&mut self.buffer)?;
            self.ended = read < missing;
        }
        Ok(())
    }
}
