//! Splits: stretches of objects, cut at the ends of lines.
//!
//! ```text
//!  object    ....... line \n line ........ \n line ...
//!  split                       ^from                ^to
//!  lines                               those that begin at a byte from `from` up to, not including, `to`
//! ```
//!
//! So each line belongs to one split, wherever an object is cut. What is compressed cannot be cut.

use std::io::{self, Read, Write};

use tokio::runtime::Handle;

use crate::location::{Location, Object, ObjectError, Result};
use crate::reader::Reader;

/// A stretch of an object.
#[derive(Clone, Debug)]
pub struct Split {
    /// Where the object is.
    pub location: Location,
    /// The object.
    pub object: Object,
    /// Lines that begin before this byte are not its own.
    pub from: u64,
    /// Nor are those that begin at this byte or after it.
    pub to: u64,
}

/// The splits of all inputs, for so many that read at a time; `most` is the most bytes of one, as suits them unless given. An input
/// where nothing lies is a mistake: it would be read without a word, and so would an address with a letter wrong.
pub async fn splits(inputs: &[Location], slots: usize, most: Option<u64>) -> Result<Vec<Split>> {
    let mut objects = Vec::new();
    for location in inputs {
        let listed = location.list().await?;
        if listed.is_empty() {
            let (address, reason) = (location.shown().to_owned(), "nothing lies there".to_owned());
            return Err(ObjectError::Address { address, reason });
        }
        objects.extend(listed.into_iter().map(|object| (location, object)));
    }
    let total: u64 = objects.iter().map(|(_, object)| object.size).sum();
    // Some for each slot, so that a slow one does not keep the others waiting; not too small to be worth a process.
    let most = most.unwrap_or_else(|| (total / (slots as u64 * 4)).clamp(8 << 20, 128 << 20)).max(1);
    let mut splits = Vec::new();
    for (location, object) in objects {
        let whole = Reader::is_compressed(&object.name);
        let pieces = if whole { 1 } else { object.size.div_ceil(most).max(1) };
        for nth in 0..pieces {
            let bound = |nth: u64| (u128::from(object.size) * u128::from(nth) / u128::from(pieces)) as u64;
            splits.push(Split {
                location: location.clone(),
                object: object.clone(),
                from: bound(nth),
                to: bound(nth + 1),
            });
        }
    }
    Ok(splits)
}

impl Split {
    /// Copies the lines of the split, each with a line feed at its end.
    pub fn copy(&self, into: &mut dyn Write, runtime: Handle) -> io::Result<()> {
        let is_compressed = Reader::is_compressed(&self.object.name);
        let from = if is_compressed { 0 } else { self.from.saturating_sub(1) };
        let mut reader = Reader::open(&self.location, &self.object, from, runtime);
        let mut buffer = vec![0; 256 << 10];
        // Whether the first line, which belongs to the split before, has been passed over.
        let mut begun = from == 0 && self.from == 0;
        let (mut at, mut last) = (from, b'\n');
        loop {
            let count = reader.read(&mut buffer)?;
            if count == 0 {
                break;
            }
            let mut bytes = &buffer[..count];
            if !begun {
                let Some(end) = memchr::memchr(b'\n', bytes) else {
                    at += count as u64;
                    if at >= self.to {
                        return Ok(());
                    }
                    continue;
                };
                bytes = &bytes[end + 1..];
                at += end as u64 + 1;
                begun = true;
                if at >= self.to {
                    return Ok(());
                }
            }
            if !is_compressed && at + bytes.len() as u64 >= self.to {
                // The line that has byte `to - 1` is the last.
                let skip = (self.to - 1).saturating_sub(at) as usize;
                if let Some(end) = memchr::memchr(b'\n', &bytes[skip..]) {
                    return into.write_all(&bytes[..skip + end + 1]);
                }
            }
            if let Some(end) = bytes.last() {
                last = *end;
                into.write_all(bytes)?;
            }
            at += bytes.len() as u64;
        }
        if last == b'\n' { Ok(()) } else { into.write_all(b"\n") }
    }
}
