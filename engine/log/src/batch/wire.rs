//! Little-endian fields, read with every step checked.

use super::error::{BatchError, Result};

/// Reads fields one after the other. What is not there is an error with its offset.
pub(super) struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8], at: usize) -> Self {
        Self { bytes, at }
    }

    /// The offset of the next field.
    pub(super) fn at(&self) -> u64 {
        self.at as u64
    }

    /// Bytes that are left.
    pub(super) fn left(&self) -> usize {
        self.bytes.len().saturating_sub(self.at)
    }

    pub(super) fn take(&mut self, len: usize) -> Result<&'a [u8]> {
        let end = self.at.checked_add(len).filter(|end| *end <= self.bytes.len());
        let Some(end) = end else {
            return Err(BatchError::damaged(
                self.at(),
                format!("the header ends in the middle of a field of {len} bytes"),
            ));
        };
        let bytes = &self.bytes[self.at..end];
        self.at = end;
        Ok(bytes)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N)?);
        Ok(array)
    }

    pub(super) fn u8(&mut self) -> Result<u8> {
        Ok(u8::from_le_bytes(self.array()?))
    }

    pub(super) fn u16(&mut self) -> Result<u16> {
        Ok(u16::from_le_bytes(self.array()?))
    }

    pub(super) fn u32(&mut self) -> Result<u32> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    pub(super) fn u64(&mut self) -> Result<u64> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    pub(super) fn i64(&mut self) -> Result<i64> {
        Ok(i64::from_le_bytes(self.array()?))
    }

    /// Reads bytes that must be zero, for a future version to use.
    pub(super) fn zeros(&mut self, len: usize) -> Result<()> {
        let at = self.at();
        if self.take(len)?.iter().all(|byte| *byte == 0) {
            Ok(())
        } else {
            Err(BatchError::damaged(at, format!("{len} reserved bytes are not zero")))
        }
    }
}

/// Rounds up to a multiple of 8.
pub(super) const fn padded_8(len: usize) -> usize {
    len.next_multiple_of(8)
}

/// Rounds up to a multiple of 64, the alignment of bodies and buffers.
pub(super) const fn padded_64(len: u64) -> u64 {
    len.next_multiple_of(64)
}
