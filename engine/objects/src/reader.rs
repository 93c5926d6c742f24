//! The bytes of an object for those who read: decompressed if its name ends with `.gz`.

use std::io::{self, BufReader, Read};

use bytes::{Buf, Bytes};
use flate2::read::MultiGzDecoder;
use object_store::path::Path;
use tokio::runtime::Handle;

use crate::location::{Location, Object, Result};

/// How much is asked of a store at a time.
const PIECE: u64 = 4 << 20;

/// The bytes of an object, from some byte on. Reading blocks: it does not belong on a thread of the runtime.
pub enum Reader {
    /// As they lie.
    Plain(Pieces),
    /// Decompressed; of several members all.
    Gzip(Box<MultiGzDecoder<BufReader<Pieces>>>),
}

/// The bytes as they lie, asked for piece by piece.
pub struct Pieces {
    location: Location,
    path: Path,
    runtime: Handle,
    at: u64,
    size: u64,
    piece: Bytes,
}

impl Reader {
    /// Reads an object, from byte `at` of what lies there; a compressed one can only be read from its start.
    pub fn open(location: &Location, object: &Object, at: u64, runtime: Handle) -> Self {
        let pieces = Pieces {
            location: location.clone(),
            path: object.path.clone(),
            runtime,
            at,
            size: object.size,
            piece: Bytes::new(),
        };
        if Self::is_compressed(&object.name) {
            Self::Gzip(Box::new(MultiGzDecoder::new(BufReader::with_capacity(1 << 16, pieces))))
        } else {
            Self::Plain(pieces)
        }
    }

    /// Whether an object is compressed, by its name.
    pub fn is_compressed(name: &str) -> bool {
        name.to_ascii_lowercase().ends_with(".gz")
    }
}

impl Pieces {
    fn next(&mut self) -> Result<()> {
        let to = self.size.min(self.at + PIECE);
        self.piece = self.runtime.block_on(self.location.bytes(&self.path, self.at, to))?;
        self.at = to;
        Ok(())
    }
}

impl Read for Pieces {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.piece.is_empty() && self.at < self.size {
            self.next().map_err(io::Error::other)?;
        }
        let some = buffer.len().min(self.piece.len());
        self.piece.copy_to_slice(&mut buffer[..some]);
        Ok(some)
    }
}

impl Read for Reader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(pieces) => pieces.read(buffer),
            Self::Gzip(decoder) => decoder.read(buffer),
        }
    }
}
