//! Where everything lies, and the two fixed blocks of 64 bytes that give files their structure.
//!
//! ```text
//!  DIR/log/LOCK                  held by the process that has the log open
//!  DIR/log/catalog.hwc           streams, schemas, which files are sealed, what was trimmed
//!  DIR/log/catalog-copy.hwc      the same, as it was some time ago
//!  DIR/log/active-<n>.hwl        takes the appends of all streams; the one with the highest number is written to
//!  DIR/log/<stream>/<n>.hws      what one stream had in active file n, sealed
//!
//!  an active file
//!  0            64                                                                  64-aligned throughout
//!  | file header | commit | batch | batch | ... | commit | batch | ... | commit (closed) |
//!                '---------- one write -----------'
//! ```
//!
//! Everything in a file starts at a multiple of 64, so that what follows damage is found by looking at every
//! 64th byte. Integers are little-endian.

use std::path::{Path, PathBuf};

use headwater_core::{EventTime, StreamId};

/// Bytes of a file header, of a commit header and of a sealed file's trailer; what everything is aligned to.
pub(crate) const BLOCK: usize = 64;

const FILE_MAGIC: [u8; 8] = *b"HWLOGF\r\n";
const COMMIT_MAGIC: [u8; 8] = *b"HWCOMMIT";
const VERSION: u16 = 1;

/// Names of the files of one log.
#[derive(Clone, Debug)]
pub(crate) struct Layout {
    /// The directory of the log.
    pub dir: PathBuf,
}

impl Layout {
    /// The log in a data directory.
    pub(crate) fn new(data_dir: &Path) -> Self {
        Self { dir: data_dir.join("log") }
    }

    /// The lock.
    pub(crate) fn lock(&self) -> PathBuf {
        self.dir.join("LOCK")
    }

    /// The catalog.
    pub(crate) fn catalog(&self) -> PathBuf {
        self.dir.join("catalog.hwc")
    }

    /// The catalog as it was some time ago: what `repair` takes damaged events from.
    pub(crate) fn catalog_copy(&self) -> PathBuf {
        self.dir.join("catalog-copy.hwc")
    }

    /// An active file.
    pub(crate) fn active(&self, number: u64) -> PathBuf {
        self.dir.join(format!("active-{number}.hwl"))
    }

    /// The sealed files of a stream.
    pub(crate) fn stream_dir(&self, stream: StreamId) -> PathBuf {
        self.dir.join(stream.to_string())
    }

    /// What a stream had in an active file, sealed.
    pub(crate) fn sealed(&self, stream: StreamId, number: u64) -> PathBuf {
        self.stream_dir(stream).join(format!("{number}.hws"))
    }

    /// A path as people see it, relative to the log.
    pub(crate) fn name_of(&self, path: &Path) -> String {
        path.strip_prefix(&self.dir).unwrap_or(path).display().to_string()
    }
}

/// A path under which a file is made before it gets its name.
pub(crate) fn temporary(path: &Path) -> PathBuf {
    path.with_extension("tmp")
}

/// Whether a name is that of a file that was never finished.
pub(crate) fn is_temporary(name: &str) -> bool {
    name.ends_with(".tmp")
}

/// The number of an active file, from its name.
pub(crate) fn active_number(name: &str) -> Option<u64> {
    name.strip_prefix("active-")?.strip_suffix(".hwl")?.parse().ok()
}

/// The number of a sealed file, from its name.
pub(crate) fn sealed_number(name: &str) -> Option<u64> {
    name.strip_suffix(".hws")?.parse().ok()
}

/// What a file is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    /// It takes appends, or took them and was adopted as a sealed file.
    Active,
    /// It was written when sealing.
    Sealed,
    /// The catalog.
    Catalog,
}

/// What a file starts with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct FileHeader {
    /// What it is.
    pub kind: Kind,
    /// Its number.
    pub number: u64,
    /// The stream that a sealed file belongs to.
    pub stream: Option<StreamId>,
    /// When it was created.
    pub created: EventTime,
    /// How long the active file before it is: all of that was durable before this file was created.
    pub previous: u64,
}

impl FileHeader {
    /// As bytes, and the checksum in them, from which the first batch chains.
    pub(crate) fn encode(&self) -> ([u8; BLOCK], u32) {
        let mut block = [0; BLOCK];
        block[..8].copy_from_slice(&FILE_MAGIC);
        block[12..14].copy_from_slice(&VERSION.to_le_bytes());
        let kind: u16 = match self.kind {
            Kind::Active => 1,
            Kind::Sealed => 2,
            Kind::Catalog => 3,
        };
        block[14..16].copy_from_slice(&kind.to_le_bytes());
        block[16..24].copy_from_slice(&self.number.to_le_bytes());
        block[24..28].copy_from_slice(&self.stream.map_or(u32::MAX, |stream| stream.0).to_le_bytes());
        block[32..40].copy_from_slice(&self.created.0.to_le_bytes());
        block[40..48].copy_from_slice(&self.previous.to_le_bytes());
        let crc = seal_block(&mut block);
        (block, crc)
    }

    /// From bytes; if they are not a file header, why.
    pub(crate) fn decode(block: &[u8; BLOCK]) -> Result<(Self, u32), String> {
        if block[..8] != FILE_MAGIC {
            return Err("this is no file of the log: the magic is missing".to_owned());
        }
        let crc = check_block(block).ok_or("the checksum of the file header does not hold")?;
        if !is_zero(&block[28..32]) || !is_zero(&block[48..]) {
            return Err("the file header says something that this program does not know".to_owned());
        }
        let version = u16::from_le_bytes([block[12], block[13]]);
        if version != VERSION {
            return Err(format!("format version {version}; this program reads version {VERSION}"));
        }
        let kind = match u16::from_le_bytes([block[14], block[15]]) {
            1 => Kind::Active,
            2 => Kind::Sealed,
            3 => Kind::Catalog,
            other => return Err(format!("a file of kind {other} is not known")),
        };
        let stream = match u32_at(block, 24) {
            u32::MAX => None,
            stream => Some(StreamId(stream)),
        };
        let created = EventTime(u64_at(block, 32).cast_signed());
        let header = Self { kind, number: u64_at(block, 16), stream, created, previous: u64_at(block, 40) };
        Ok((header, crc))
    }
}

/// What a commit starts with. A commit is one write: it is there as a whole or not at all.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct CommitHeader {
    /// The number of the file.
    pub file: u64,
    /// Where in the file it is.
    pub at: u64,
    /// Bytes of the batches that follow.
    pub bytes: u64,
    /// How many they are; none: the log was closed here.
    pub batches: u32,
    /// Up to where the file was known to be durable when this was written.
    pub synced_to: u64,
}

impl CommitHeader {
    /// As bytes.
    pub(crate) fn encode(&self) -> [u8; BLOCK] {
        let mut block = [0; BLOCK];
        block[..8].copy_from_slice(&COMMIT_MAGIC);
        block[12..16].copy_from_slice(&self.batches.to_le_bytes());
        block[16..24].copy_from_slice(&self.file.to_le_bytes());
        block[24..32].copy_from_slice(&self.at.to_le_bytes());
        block[32..40].copy_from_slice(&self.bytes.to_le_bytes());
        block[40..48].copy_from_slice(&self.synced_to.to_le_bytes());
        seal_block(&mut block);
        block
    }

    /// From bytes, if they are the header of a commit at this place of this file.
    pub(crate) fn decode(block: &[u8; BLOCK], file: u64, at: u64) -> Option<Self> {
        if block[..8] != COMMIT_MAGIC {
            return None;
        }
        check_block(block)?;
        let header = Self {
            file: u64_at(block, 16),
            at: u64_at(block, 24),
            bytes: u64_at(block, 32),
            batches: u32_at(block, 12),
            synced_to: u64_at(block, 40),
        };
        (header.file == file && header.at == at && is_zero(&block[48..])).then_some(header)
    }
}

/// Fills in the checksum at byte 8, of all that follows it.
pub(crate) fn seal_block(block: &mut [u8; BLOCK]) -> u32 {
    let crc = crc_fast::crc32_iscsi(&block[12..]);
    block[8..12].copy_from_slice(&crc.to_le_bytes());
    crc
}

/// The checksum at byte 8, if it holds.
pub(crate) fn check_block(block: &[u8; BLOCK]) -> Option<u32> {
    let crc = u32_at(block, 8);
    (crc == crc_fast::crc32_iscsi(&block[12..])).then_some(crc)
}

/// Whether reserved bytes are as this version writes them.
pub(crate) fn is_zero(bytes: &[u8]) -> bool {
    bytes.iter().all(|byte| *byte == 0)
}

pub(crate) fn u32_at(block: &[u8; BLOCK], at: usize) -> u32 {
    let mut bytes = [0; 4];
    bytes.copy_from_slice(&block[at..at + 4]);
    u32::from_le_bytes(bytes)
}

pub(crate) fn u64_at(block: &[u8; BLOCK], at: usize) -> u64 {
    let mut bytes = [0; 8];
    bytes.copy_from_slice(&block[at..at + 8]);
    u64::from_le_bytes(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_come_back_and_every_flipped_bit_is_noticed() {
        let header = FileHeader {
            kind: Kind::Sealed,
            number: 7,
            stream: Some(StreamId(3)),
            created: EventTime(-5),
            previous: 640,
        };
        let commit = CommitHeader { file: 7, at: 128, bytes: 4096, batches: 2, synced_to: 64 };
        let (file_block, crc) = header.encode();
        let commit_block = commit.encode();
        assert_eq!(FileHeader::decode(&file_block), Ok((header, crc)));
        assert_eq!(CommitHeader::decode(&commit_block, 7, 128), Some(commit));
        assert_eq!(CommitHeader::decode(&commit_block, 7, 192), None);
        for bit in 0..BLOCK * 8 {
            let (mut one, mut two) = (file_block, commit_block);
            one[bit / 8] ^= 1 << (bit % 8);
            two[bit / 8] ^= 1 << (bit % 8);
            assert!(FileHeader::decode(&one).is_err());
            assert_eq!(CommitHeader::decode(&two, 7, 128), None);
        }
    }

    #[test]
    fn names_are_read_back() {
        assert_eq!(active_number("active-12.hwl"), Some(12));
        assert_eq!(active_number("active-x.hwl"), None);
        assert_eq!(sealed_number("12.hws"), Some(12));
        assert!(is_temporary("12.tmp"));
    }
}
