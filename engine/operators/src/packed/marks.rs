//! What stands before a text: its length, or its number in a dictionary. In LEB128, the lowest bit tells which.

/// Whether a mark is a number in a dictionary, and no length.
#[inline]
pub(super) const fn is_number(mark: usize) -> bool {
    mark & 1 == 1
}

#[inline]
pub(super) const fn varint_len(value: usize) -> usize {
    match value {
        0..0x80 => 1,
        0x80..0x4000 => 2,
        0x4000..0x20_0000 => 3,
        0x20_0000..0x1000_0000 => 4,
        _ => 5,
    }
}

/// Writes a mark, and answers how many bytes it takes.
#[inline]
pub(super) fn put_varint(bytes: &mut [u8], mut value: usize) -> usize {
    let mut at = 0;
    while value >= 0x80 {
        bytes[at] = value as u8 | 0x80;
        value >>= 7;
        at += 1;
    }
    bytes[at] = value as u8;
    at + 1
}

/// A mark, and how many bytes it takes.
#[inline]
pub(super) fn varint(bytes: &[u8]) -> (usize, usize) {
    let (mut value, mut at) = (0, 0);
    loop {
        let byte = bytes[at];
        value |= usize::from(byte & 0x7f) << (7 * at);
        at += 1;
        if byte < 0x80 {
            return (value, at);
        }
    }
}
