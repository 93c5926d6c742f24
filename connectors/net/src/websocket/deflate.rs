//! Compression of messages: `permessage-deflate` (RFC 7692).
//!
//! Each message is compressed by itself in both directions, whatever else is offered. So a connection that waits holds no window of what
//! was said, which would be a hundred times what it takes otherwise. Short messages, which gain nothing by that, go as they are.

use std::cmp::Ordering;

use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};

/// Messages shorter than this are not compressed.
const BYTES_MIN: usize = 1_024;

/// What ends a message where its sender flushes, and is left out of the frame.
const TAIL: [u8; 4] = [0, 0, 0xff, 0xff];

/// How much room there is for what comes out of a message at a time.
const ROOM: usize = 16 << 10;

/// What was agreed about compression.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Deflate {
    /// How large a window the other side has, if it says so: the logarithm of its bytes.
    window_bits: Option<u8>,
}

impl Deflate {
    /// What is agreed of the values of `Sec-WebSocket-Extensions`: the first offer that can be.
    pub(super) fn of_offers<'a>(mut values: impl Iterator<Item = &'a str>) -> Option<Self> {
        values.find_map(|value| value.split(',').find_map(Self::of_offer))
    }

    fn of_offer(offer: &str) -> Option<Self> {
        let mut parts = offer.split(';').map(str::trim);
        if parts.next() != Some("permessage-deflate") {
            return None;
        }
        let mut window_bits = None;
        let mut seen = Vec::new();
        for part in parts {
            let (name, value) =
                part.split_once('=').map_or((part, None), |(name, value)| (name, Some(value)));
            let value = value.map(|value| value.trim().trim_matches('"'));
            match (name.trim(), value) {
                (
                    "server_no_context_takeover" | "client_no_context_takeover" | "client_max_window_bits",
                    None,
                ) => {}
                ("client_max_window_bits", Some(bits)) => drop(read_bits(bits)?),
                // The smallest window is more than what compresses can be told to keep to.
                ("server_max_window_bits", Some(bits)) => {
                    window_bits = Some(read_bits(bits).filter(|bits| *bits > 8)?);
                }
                _ => return None,
            }
            if seen.contains(&name.trim()) {
                return None;
            }
            seen.push(name.trim());
        }
        Some(Self { window_bits })
    }

    /// What is answered to the offer.
    pub(super) fn answer(self) -> String {
        let window =
            self.window_bits.map(|bits| format!("; server_max_window_bits={bits}")).unwrap_or_default();
        format!("permessage-deflate; server_no_context_takeover; client_no_context_takeover{window}")
    }
}

fn read_bits(text: &str) -> Option<u8> {
    (8..=15).find(|bits: &u8| bits.to_string() == text)
}

/// Compresses what is sent.
pub(super) struct Deflater {
    agreed: Deflate,
    /// Kept from one message to the next while several are written.
    compress: Option<Compress>,
}

impl Deflater {
    pub(super) fn new(agreed: Deflate) -> Self {
        Self { agreed, compress: None }
    }

    /// A message compressed; `None` if it goes as it is.
    pub(super) fn deflate(&mut self, message: &[u8]) -> Option<Vec<u8>> {
        if message.len() < BYTES_MIN {
            return None;
        }
        let bits = self.agreed.window_bits.unwrap_or(15);
        let new = || Compress::new_with_window_bits(Compression::fast(), false, bits);
        let compress = self.compress.get_or_insert_with(new);
        compress.reset();
        let mut out = Vec::new();
        loop {
            let rest = &message[compress.total_in() as usize..];
            out.reserve((rest.len() / 2).max(256));
            compress.compress_vec(rest, &mut out, FlushCompress::Sync).ok()?;
            // Where there is room left, all has come out.
            if compress.total_in() as usize == message.len() && out.len() < out.capacity() {
                break;
            }
        }
        out.truncate(out.len() - TAIL.len());
        (out.len() < message.len()).then_some(out)
    }

    /// Nothing is to be sent for a while.
    pub(super) fn rest(&mut self) {
        self.compress = None;
    }
}

/// Why a message cannot be read.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Unreadable {
    /// It is longer than allowed.
    TooLong,
    /// It was not compressed like this.
    Damaged,
}

/// A message as it was before it was compressed.
pub(super) fn inflate(compressed: &[u8], bytes_max: usize) -> Result<Vec<u8>, Unreadable> {
    let mut decompress = Decompress::new(false);
    let mut out = Vec::new();
    for mut rest in [compressed, &TAIL] {
        loop {
            let room = ROOM.min(bytes_max + 1 - out.len());
            out.reserve(room);
            let before = (decompress.total_in(), out.len());
            let status = decompress.decompress_vec(rest, &mut out, FlushDecompress::Sync);
            let status = status.map_err(|_| Unreadable::Damaged)?;
            rest = &rest[(decompress.total_in() - before.0) as usize..];
            if out.len() > bytes_max {
                return Err(Unreadable::TooLong);
            }
            if status == Status::StreamEnd {
                // Its sender has ended a stream within the message, and begins another one.
                decompress.reset(false);
            }
            let has_room = out.len() < out.capacity();
            let is_stuck = before.1 == out.len() && status == Status::BufError;
            match rest.len().cmp(&0) {
                Ordering::Greater if is_stuck => return Err(Unreadable::Damaged),
                Ordering::Equal if has_room || is_stuck => break,
                _ => {}
            }
        }
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn agreed(offers: &str) -> Option<String> {
        Deflate::of_offers(std::iter::once(offers)).map(Deflate::answer)
    }

    #[test]
    fn the_first_offer_that_can_be_kept_is_accepted() {
        const PLAIN: &str = "permessage-deflate; server_no_context_takeover; client_no_context_takeover";
        let with_bits = |bits| Some(format!("{PLAIN}; server_max_window_bits={bits}"));
        assert_eq!(agreed("permessage-deflate").as_deref(), Some(PLAIN));
        assert_eq!(agreed("permessage-deflate; client_max_window_bits").as_deref(), Some(PLAIN));
        assert_eq!(agreed("x-other, permessage-deflate;server_max_window_bits=\"10\""), with_bits(10));
        let two =
            "permessage-deflate; server_max_window_bits=8, permessage-deflate; server_max_window_bits=9";
        assert_eq!(agreed(two), with_bits(9));
        for offer in [
            "",
            "x-webkit-deflate-frame",
            "permessage-deflate; what",
            "permessage-deflate; server_max_window_bits",
            "permessage-deflate; server_max_window_bits=16",
            "permessage-deflate; server_max_window_bits=09",
            "permessage-deflate; client_max_window_bits=7",
            "permessage-deflate; server_no_context_takeover=1",
            "permessage-deflate; client_max_window_bits; client_max_window_bits=10",
        ] {
            assert_eq!(agreed(offer), None, "{offer}");
        }
    }

    #[test]
    fn messages_come_out_as_they_went_in() {
        for bits in [None, Some(9), Some(15)] {
            let mut deflater = Deflater::new(Deflate { window_bits: bits });
            assert_eq!(deflater.deflate(b"short"), None);
            for length in [BYTES_MIN, 40_000, 1 << 20] {
                let message: Vec<u8> = (0..length).map(|at| (at * at / 7 % 251 / 16) as u8).collect();
                let compressed = deflater.deflate(&message).unwrap();
                assert_eq!(inflate(&compressed, length).unwrap(), message, "{bits:?} {length}");
                assert_eq!(inflate(&compressed, length - 1), Err(Unreadable::TooLong));
                deflater.rest();
            }
        }
    }

    #[test]
    fn messages_of_others_are_read_and_damaged_ones_are_not() {
        // The examples of RFC 7692, 7.2.3: one block, a block that is not compressed, one that ends the stream, and two blocks.
        for message in [
            &b"\xf2\x48\xcd\xc9\xc9\x07\x00"[..],
            b"\x00\x05\x00\xfa\xff\x48\x65\x6c\x6c\x6f\x00",
            b"\xf3\x48\xcd\xc9\xc9\x07\x00\x00",
            b"\xf2\x48\x05\x00\x00\x00\xff\xff\xca\xc9\xc9\x07\x00",
        ] {
            assert_eq!(inflate(message, 100).unwrap(), b"Hello", "{message:02x?}");
        }
        assert_eq!(inflate(b"\x00", 100).unwrap(), b"");
        assert_eq!(inflate(b"\xff\xff\xff", 100), Err(Unreadable::Damaged));
    }
}
