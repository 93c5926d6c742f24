//! What is agreed about messages.
//!
//! ```text
//!  wamp.2.json  wamp.2.msgpack  wamp.2.cbor              text for JSON, binary for the others
//!  wamp.2.json.batched                                   each message followed by 1E (or 18, as Autobahn has it)
//!  wamp.2.msgpack.batched  wamp.2.cbor.batched           each message after its length, 4 bytes
//! ```

use crate::wire::Serializer;

/// What is agreed about messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Subprotocol {
    pub serializer: Serializer,
    pub is_batched: bool,
}

impl Subprotocol {
    /// The subprotocol of a name.
    pub(crate) fn from_name(name: &str) -> Option<Self> {
        let rest = name.trim().strip_prefix("wamp.2.")?;
        let (serializer, is_batched) =
            rest.strip_suffix(".batched").map_or((rest, false), |serializer| (serializer, true));
        Some(Self { serializer: Serializer::from_name(serializer)?, is_batched })
    }

    /// Its name.
    pub(crate) fn name(self) -> String {
        format!("wamp.2.{}{}", self.serializer.name(), if self.is_batched { ".batched" } else { "" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subprotocols_have_names() {
        for name in ["wamp.2.json", "wamp.2.cbor", "wamp.2.msgpack.batched"] {
            assert_eq!(Subprotocol::from_name(name).unwrap().name(), name);
        }
        for name in ["wamp.2.ubjson", "wamp.1", "chat", "wamp.2.json.batch", ""] {
            assert_eq!(Subprotocol::from_name(name), None);
        }
    }
}
