//! Changes to what a broker keeps: a key and its new value, or none.

use std::collections::BTreeMap;

use bytes::Buf as _;

/// What is in force: values by their keys.
pub type Entries = BTreeMap<Vec<u8>, Vec<u8>>;

/// What a value is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// A session: how long it lives.
    Session,
    /// A subscription, by its filter.
    Filter,
    /// A message that waits for the client, by its number.
    Waiting,
    /// Under which packet id a message was sent, by its number.
    Sent,
    /// A packet id under which the client has sent a message of QoS 2 that it has not released.
    Received,
    /// A retained message, by its topic. It belongs to no client.
    Retained,
    /// What is published when a client is gone without a word. It may have no session that is kept.
    Will,
    /// A will that was published and whose row is not durable, by its number. It belongs to no client: it outlives the session.
    Unrecorded,
}

impl Kind {
    const ALL: [Self; 8] = [
        Self::Session,
        Self::Filter,
        Self::Waiting,
        Self::Sent,
        Self::Received,
        Self::Retained,
        Self::Will,
        Self::Unrecorded,
    ];
}

/// The name of a value: whose it is, what, and which.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Key<'a> {
    /// The client; empty for what belongs to none, as no client has an empty name.
    pub client: &'a str,
    /// What it is.
    pub kind: Kind,
    /// Which one, so that numbers are in order.
    pub which: &'a [u8],
}

impl<'a> Key<'a> {
    /// As bytes: what belongs to one client lies together, kind after kind.
    pub fn write(self) -> Vec<u8> {
        let mut out = Self::all_of(self.client);
        out.push(self.kind as u8);
        out.extend_from_slice(self.which);
        out
    }

    /// What the keys of a client begin with.
    pub fn all_of(client: &str) -> Vec<u8> {
        let length = u16::try_from(client.len()).unwrap_or(u16::MAX);
        let mut out = length.to_be_bytes().to_vec();
        out.extend_from_slice(client.as_bytes());
        out
    }

    /// From bytes; `None` if they are no key.
    pub fn read(mut bytes: &'a [u8]) -> Option<Self> {
        let length = usize::from(bytes.try_get_u16().ok()?);
        let (client, rest) = bytes.split_at_checked(length)?;
        let (kind, which) = rest.split_first()?;
        let kind = *Kind::ALL.get(usize::from(*kind))?;
        Some(Self { client: std::str::from_utf8(client).ok()?, kind, which })
    }
}

/// A change of what is in force.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Change {
    /// A key has this value now.
    Put(Vec<u8>, Vec<u8>),
    /// A key has no value any more.
    Remove(Vec<u8>),
    /// No key that begins like this has a value any more.
    RemoveAll(Vec<u8>),
}

impl Change {
    /// Makes the change.
    pub(super) fn apply(self, entries: &mut Entries) {
        match self {
            Self::Put(key, value) => drop(entries.insert(key, value)),
            Self::Remove(key) => drop(entries.remove(&key)),
            Self::RemoveAll(beginning) => {
                let keys = entries.range(beginning.clone()..).map(|(key, _)| key);
                let keys: Vec<_> = keys.take_while(|key| key.starts_with(&beginning)).cloned().collect();
                keys.iter().for_each(|key| drop(entries.remove(key)));
            }
        }
    }

    pub(super) fn write(&self, out: &mut Vec<u8>) {
        let (code, parts): (u8, [Option<&Vec<u8>>; 2]) = match self {
            Self::Put(key, value) => (1, [Some(key), Some(value)]),
            Self::Remove(key) => (2, [Some(key), None]),
            Self::RemoveAll(beginning) => (3, [Some(beginning), None]),
        };
        out.push(code);
        for part in parts.into_iter().flatten() {
            // A packet, which is the longest of values, has 256 MiB at most.
            out.extend_from_slice(&u32::try_from(part.len()).unwrap_or(u32::MAX).to_le_bytes());
            out.extend_from_slice(part);
        }
    }

    /// Takes the next change off `bytes`.
    pub(super) fn read(bytes: &mut &[u8]) -> Option<Self> {
        let code = bytes.try_get_u8().ok()?;
        let mut part = || {
            let length = bytes.try_get_u32_le().ok()?;
            let (part, rest) = bytes.split_at_checked(usize::try_from(length).ok()?)?;
            *bytes = rest;
            Some(part.to_vec())
        };
        Some(match code {
            1 => Self::Put(part()?, part()?),
            2 => Self::Remove(part()?),
            3 => Self::RemoveAll(part()?),
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_of_a_client_lie_together_and_are_read_as_they_were_written() {
        let key = |client, kind, which| Key { client, kind, which };
        let numbers = [1_u64, 256].map(u64::to_be_bytes);
        let keys = [
            key("a", Kind::Session, &b""[..]),
            key("a", Kind::Waiting, &numbers[0]),
            key("a", Kind::Waiting, &numbers[1]),
            key("b", Kind::Filter, b"x/#"),
            key("ab", Kind::Session, b""),
        ];
        let written = keys.map(Key::write);
        assert!(written.is_sorted());
        for (key, bytes) in keys.into_iter().zip(&written) {
            assert_eq!(Key::read(bytes), Some(key));
            assert_eq!(bytes.starts_with(&Key::all_of("a")), key.client == "a");
        }
        assert_eq!(Key::read(b"\0\x01a\x09"), None);
        assert_eq!(Key::read(b"\0\x05a"), None);
    }
}
