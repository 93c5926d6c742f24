//! The three serializers, by the names and numbers that transports know them by.

use super::{Dict, Malformed, Value, cbor, json, msgpack};

/// How many items a message may have. The longest that is defined has seven; longer ones are room for extensions.
const ITEMS_MAX: usize = 16;

/// How deeply lists and dictionaries may lie in each other.
pub(super) const DEPTH_MAX: usize = 128;

/// How messages are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Serializer {
    /// RFC 8259, bytes as U+0000 and base64.
    Json,
    /// MessagePack, version 5: text and bytes are told apart.
    MsgPack,
    /// RFC 8949.
    Cbor,
}

impl Serializer {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Json, Self::MsgPack, Self::Cbor];

    /// The name, as in `wamp.2.json`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::MsgPack => "msgpack",
            Self::Cbor => "cbor",
        }
    }

    /// The serializer of a name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|one| one.name() == name)
    }

    /// The number in the handshake of RawSocket.
    pub const fn rawsocket_id(self) -> u8 {
        match self {
            Self::Json => 1,
            Self::MsgPack => 2,
            Self::Cbor => 3,
        }
    }

    /// The serializer of a number in the handshake of RawSocket.
    pub fn from_rawsocket_id(id: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|one| one.rawsocket_id() == id)
    }

    /// Whether messages are text.
    pub const fn is_text(self) -> bool {
        matches!(self, Self::Json)
    }

    /// Finds the items of a message, which must be well-formed to its end.
    pub fn split(self, message: &[u8]) -> Result<Parts<'_>, Malformed> {
        let mut parts = Parts { items: [&[]; ITEMS_MAX], len: 0 };
        match self {
            Self::Json => json::split(message, &mut parts)?,
            Self::MsgPack => msgpack::split(message, &mut parts)?,
            Self::Cbor => cbor::split(message, &mut parts)?,
        }
        Ok(parts)
    }

    /// Reads one value that fills `item`.
    pub fn read(self, item: &[u8]) -> Result<Value, Malformed> {
        match self {
            Self::Json => json::read(item),
            Self::MsgPack => msgpack::read(item),
            Self::Cbor => cbor::read(item),
        }
    }

    /// Writes one value.
    pub fn write(self, value: &Value, out: &mut Vec<u8>) {
        match self {
            Self::Json => json::write(value, out),
            Self::MsgPack => msgpack::write(value, out),
            Self::Cbor => cbor::write(value, out),
        }
    }

    /// Writes one whole number.
    pub(super) fn write_uint(self, int: u64, out: &mut Vec<u8>) {
        match self {
            Self::Json => json::write_int(i128::from(int), out),
            Self::MsgPack => msgpack::write_uint(int, out),
            Self::Cbor => cbor::write_uint(int, out),
        }
    }

    /// Writes one text.
    pub(super) fn write_text(self, text: &str, out: &mut Vec<u8>) {
        match self {
            Self::Json => json::write_text(text, out),
            Self::MsgPack => msgpack::write_text(text, out),
            Self::Cbor => cbor::write_text(text, out),
        }
    }

    /// Writes one dictionary.
    pub(super) fn write_dict(self, dict: &Dict, out: &mut Vec<u8>) {
        match self {
            Self::Json => json::write_dict(dict, out),
            Self::MsgPack => msgpack::write_dict(dict, out),
            Self::Cbor => cbor::write_dict(dict, out),
        }
    }

    /// Writes one list.
    pub(super) fn write_list(self, list: &[Value], out: &mut Vec<u8>) {
        match self {
            Self::Json => json::write_list(list, out),
            Self::MsgPack => msgpack::write_list(list, out),
            Self::Cbor => cbor::write_list(list, out),
        }
    }

    /// Whether an item that is well-formed is a list, by its first byte.
    pub(super) fn is_list(self, item: &[u8]) -> bool {
        match (self, item.first()) {
            (Self::Json, Some(b'[')) => true,
            (Self::MsgPack, Some(first)) => matches!(first, 0x90..=0x9f | 0xdc | 0xdd),
            (Self::Cbor, Some(first)) => first >> 5 == 4,
            _ => false,
        }
    }

    /// Whether an item that is well-formed is a dictionary, by its first byte.
    pub(super) fn is_dict(self, item: &[u8]) -> bool {
        match (self, item.first()) {
            (Self::Json, Some(b'{')) => true,
            (Self::MsgPack, Some(first)) => matches!(first, 0x80..=0x8f | 0xde | 0xdf),
            (Self::Cbor, Some(first)) => first >> 5 == 5,
            _ => false,
        }
    }
}

/// The items of a message, each still as bytes.
pub struct Parts<'a> {
    items: [&'a [u8]; ITEMS_MAX],
    len: usize,
}

impl<'a> Parts<'a> {
    /// Adds an item.
    pub(super) fn push(&mut self, item: &'a [u8]) -> Result<(), Malformed> {
        let place = self
            .items
            .get_mut(self.len)
            .ok_or_else(|| Malformed::new(format!("a message has more than {ITEMS_MAX} items")))?;
        *place = item;
        self.len += 1;
        Ok(())
    }

    /// The items.
    pub fn items(&self) -> &[&'a [u8]] {
        &self.items[..self.len]
    }
}
