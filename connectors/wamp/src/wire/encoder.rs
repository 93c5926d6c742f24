//! Writes a message item by item.

use bytes::Bytes;

use super::{Dict, Malformed, Payload, Serializer, cbor, msgpack};

/// Writes one message. The number of its items is told first, and exactly so many follow.
pub struct Encoder {
    serializer: Serializer,
    out: Vec<u8>,
    written: usize,
    items: usize,
}

impl Encoder {
    /// Begins a message of `items` items and a payload, and writes its code.
    pub fn new(serializer: Serializer, code: u64, items: usize, payload: Option<&Payload>) -> Self {
        let items = 1 + items + payload.map_or(0, Payload::items);
        let mut out = Vec::with_capacity(96 + payload.map_or(0, Payload::bytes));
        match serializer {
            Serializer::Json => out.push(b'['),
            Serializer::MsgPack => msgpack::write_list_head(items, &mut out),
            Serializer::Cbor => cbor::write_list_head(items, &mut out),
        }
        let mut encoder = Self { serializer, out, written: 0, items };
        encoder.uint(code);
        encoder
    }

    fn next(&mut self) -> &mut Vec<u8> {
        if self.serializer == Serializer::Json && self.written > 0 {
            self.out.push(b',');
        }
        self.written += 1;
        &mut self.out
    }

    /// Writes a number.
    pub fn uint(&mut self, int: u64) {
        let serializer = self.serializer;
        serializer.write_uint(int, self.next());
    }

    /// Writes text.
    pub fn text(&mut self, text: &str) {
        let serializer = self.serializer;
        serializer.write_text(text, self.next());
    }

    /// Writes a dictionary.
    pub fn dict(&mut self, dict: &Dict) {
        let serializer = self.serializer;
        serializer.write_dict(dict, self.next());
    }

    /// Writes a payload, as it is if it came by the same serializer.
    pub fn payload(&mut self, payload: &Payload) -> Result<(), Malformed> {
        let serializer = self.serializer;
        for item in 0..payload.items() {
            payload.write_item(item, serializer, self.next())?;
        }
        Ok(())
    }

    /// Ends the message.
    pub fn finish(mut self) -> Bytes {
        debug_assert_eq!(self.written, self.items, "as many items are written as were announced");
        if self.serializer == Serializer::Json {
            self.out.push(b']');
        }
        self.out.into()
    }
}
