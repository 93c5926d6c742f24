//! A place in bytes from which binary serializers take.

use super::Malformed;

/// Bytes that are taken from the front.
pub(super) struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// Where it stands.
    pub(super) fn at(&self) -> usize {
        self.at
    }

    /// The bytes from a place before to here.
    pub(super) fn since(&self, start: usize) -> &'a [u8] {
        &self.bytes[start..self.at]
    }

    /// The next byte, left where it is.
    pub(super) fn peek(&self) -> Result<u8, Malformed> {
        self.bytes.get(self.at).copied().ok_or_else(|| self.cut())
    }

    pub(super) fn byte(&mut self) -> Result<u8, Malformed> {
        let byte = self.peek()?;
        self.at += 1;
        Ok(byte)
    }

    pub(super) fn take(&mut self, len: u64) -> Result<&'a [u8], Malformed> {
        let len = usize::try_from(len).map_err(|_| self.cut())?;
        let end =
            self.at.checked_add(len).filter(|end| *end <= self.bytes.len()).ok_or_else(|| self.cut())?;
        let taken = &self.bytes[self.at..end];
        self.at = end;
        Ok(taken)
    }

    /// A big-endian number of `len` bytes.
    pub(super) fn uint(&mut self, len: u64) -> Result<u64, Malformed> {
        Ok(self.take(len)?.iter().fold(0, |number, byte| number << 8 | u64::from(*byte)))
    }

    pub(super) fn text(&mut self, len: u64) -> Result<&'a str, Malformed> {
        let at = self.at;
        std::str::from_utf8(self.take(len)?)
            .map_err(|error| Malformed::new(format!("text at byte {at} is not UTF-8: {error}")))
    }

    /// Fails unless everything was taken.
    pub(super) fn end(&self) -> Result<(), Malformed> {
        match self.bytes.len() - self.at {
            0 => Ok(()),
            more => Err(Malformed::new(format!("{more} bytes follow the end of the message"))),
        }
    }

    /// How many items to make room for: what is claimed, but no more than there are bytes.
    pub(super) fn room(&self, claimed: u64) -> usize {
        usize::try_from(claimed).unwrap_or(usize::MAX).min(self.bytes.len() - self.at)
    }

    fn cut(&self) -> Malformed {
        Malformed::new(format!("the message is cut short at byte {}", self.bytes.len()))
    }
}

/// One level deeper, unless that is too deep.
pub(super) fn deeper(depth: usize) -> Result<usize, Malformed> {
    depth.checked_sub(1).ok_or_else(|| Malformed::new("lists and dictionaries lie too deeply in each other"))
}
