//! Frames.
//!
//! ```text
//!  fin (1 bit), reserved (3), opcode (4) | masked (1), length (7) | length, 2 or 8 bytes | mask, 4 bytes | payload
//!  opcode: 0 goes on, 1 text, 2 binary, 8 close, 9 ping, 10 pong
//!  length: up to 125; 126: the next 2 bytes; 127: the next 8 bytes
//! ```

/// The reserved bit that says that a message is compressed.
const COMPRESSED: u8 = 0x40;

/// What a frame is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    GoesOn,
    Text,
    Binary,
    Close,
    Ping,
    Pong,
}

impl Kind {
    fn from_opcode(opcode: u8) -> Option<Self> {
        Some(match opcode {
            0 => Self::GoesOn,
            1 => Self::Text,
            2 => Self::Binary,
            8 => Self::Close,
            9 => Self::Ping,
            10 => Self::Pong,
            _ => return None,
        })
    }

    const fn opcode(self) -> u8 {
        match self {
            Self::GoesOn => 0,
            Self::Text => 1,
            Self::Binary => 2,
            Self::Close => 8,
            Self::Ping => 9,
            Self::Pong => 10,
        }
    }

    /// Whether it is about the connection, and may come between the parts of a message.
    pub(super) const fn is_control(self) -> bool {
        matches!(self, Self::Close | Self::Ping | Self::Pong)
    }
}

/// The beginning of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    pub kind: Kind,
    /// Whether the message ends with it.
    pub is_last: bool,
    /// Whether the first reserved bit is set: the message that begins is compressed.
    pub is_compressed: bool,
    pub mask: Option<[u8; 4]>,
    /// How many bytes the header itself has.
    pub header_bytes: usize,
    pub payload_bytes: u64,
}

/// Reads the beginning of a frame; `None` if more bytes are needed, an error if it is against the protocol.
pub(super) fn read_header(bytes: &[u8]) -> Result<Option<Header>, &'static str> {
    let [first, second, rest @ ..] = bytes else { return Ok(None) };
    if first & 0x30 != 0 {
        return Err("reserved bits are set");
    }
    let is_compressed = first & COMPRESSED != 0;
    let kind = Kind::from_opcode(first & 0x0f).ok_or("the opcode is reserved")?;
    let is_last = first & 0x80 != 0;
    let short = second & 0x7f;
    if kind.is_control() && (!is_last || short > 125) {
        return Err("a control frame is too long, or in parts");
    }
    let length_bytes = match short {
        126 => 2,
        127 => 8,
        _ => 0,
    };
    let Some(length) = rest.get(..length_bytes) else { return Ok(None) };
    let payload_bytes = match length_bytes {
        0 => u64::from(short),
        _ => length.iter().fold(0, |number, byte| number << 8 | u64::from(*byte)),
    };
    if payload_bytes >> 63 != 0 {
        return Err("the length is negative");
    }
    let mut header_bytes = 2 + length_bytes;
    let mut mask = None;
    if second & 0x80 != 0 {
        let Some(key) = rest.get(length_bytes..length_bytes + 4) else { return Ok(None) };
        mask = key.try_into().ok();
        header_bytes += 4;
    }
    Ok(Some(Header { kind, is_last, is_compressed, mask, header_bytes, payload_bytes }))
}

/// Writes a whole frame of a message that is compressed.
pub(super) fn write_compressed(kind: Kind, payload: &[u8], mask: Option<[u8; 4]>, out: &mut Vec<u8>) {
    let start = out.len();
    write(kind, payload, mask, out);
    out[start] |= COMPRESSED;
}

/// Writes a whole frame.
pub(super) fn write(kind: Kind, payload: &[u8], mask: Option<[u8; 4]>, out: &mut Vec<u8>) {
    out.reserve(14 + payload.len());
    out.push(0x80 | kind.opcode());
    let masked = if mask.is_some() { 0x80 } else { 0 };
    match payload.len() {
        short @ 0..=125 => out.push(masked | short as u8),
        middle @ 126..=0xffff => {
            out.push(masked | 126);
            out.extend_from_slice(&(middle as u16).to_be_bytes());
        }
        long => {
            out.push(masked | 127);
            out.extend_from_slice(&(long as u64).to_be_bytes());
        }
    }
    out.extend(mask.into_iter().flatten());
    let start = out.len();
    out.extend_from_slice(payload);
    if let Some(key) = mask {
        apply_mask(&mut out[start..], key);
    }
}

/// Masks, or takes the mask away.
pub(super) fn apply_mask(payload: &mut [u8], [a, b, c, d]: [u8; 4]) {
    let wide = u64::from_ne_bytes([a, b, c, d, a, b, c, d]);
    let mut chunks = payload.chunks_exact_mut(8);
    for chunk in &mut chunks {
        let mut eight = [0; 8];
        eight.copy_from_slice(chunk);
        chunk.copy_from_slice(&(u64::from_ne_bytes(eight) ^ wide).to_ne_bytes());
    }
    for (byte, key) in chunks.into_remainder().iter_mut().zip([a, b, c, d, a, b, c]) {
        *byte ^= key;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_of_all_lengths_are_read_as_they_were_written() {
        for len in [0, 1, 7, 8, 125, 126, 65_535, 65_536] {
            for mask in [None, Some([1, 2, 3, 4])] {
                let payload: Vec<u8> = (0..len).map(|at: usize| at as u8).collect();
                let mut bytes = Vec::new();
                write(Kind::Binary, &payload, mask, &mut bytes);
                for cut in 0..14.min(bytes.len() - len) {
                    assert_eq!(read_header(&bytes[..cut]), Ok(None), "{len} bytes, cut at {cut}");
                }
                let header = read_header(&bytes).unwrap().unwrap();
                assert_eq!((header.kind, header.is_last, header.mask), (Kind::Binary, true, mask));
                let body = &mut bytes[header.header_bytes..];
                assert_eq!((header.payload_bytes, body.len()), (len as u64, len));
                apply_mask(body, mask.unwrap_or_default());
                assert_eq!(body, payload);
            }
        }
    }

    #[test]
    fn what_is_against_the_protocol_is_refused() {
        for bytes in [
            &b"\xa1\0"[..],
            b"\x83\0",
            b"\x8b\0",
            b"\x09\0",
            b"\x89\x7e\0\x7e",
            b"\x82\x7f\xff\0\0\0\0\0\0\0",
        ] {
            assert!(read_header(bytes).is_err(), "{bytes:02x?}");
        }
    }
}
