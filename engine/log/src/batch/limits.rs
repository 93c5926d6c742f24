//! How large a batch may be: what is larger is not written, and not believed when read.

/// The most that a batch may take. Checked before a length is trusted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Limits {
    /// Rows.
    pub rows: u32,
    /// Bytes of the header.
    pub header_bytes: u32,
    /// Bytes of the whole batch, and of its body before compression.
    pub total_bytes: u64,
}

impl Limits {
    /// The limits of this version of the format: sixteen million rows, 16 MiB of header, 1 GiB in all. Far above what is
    /// useful, and low enough that a damaged length cannot take the machine down.
    pub(crate) const FORMAT: Self = Self { rows: 1 << 24, header_bytes: 1 << 24, total_bytes: 1 << 30 };

    /// Values of one array, nested ones included: no value takes less than a bit.
    pub(crate) fn values(&self) -> u64 {
        self.total_bytes * 8
    }
}
