//! Names and numbers: what a stream, a shard, a row and a producer are called.
//!
//! (stream, shard, sequence) names an event for ever. All of these are newtypes, so that a shard is never passed
//! where a sequence is meant.

use std::fmt;
use std::sync::Arc;

macro_rules! number {
    ($(#[$doc:meta])* $name:ident($inner:ty)) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Default)]
        pub struct $name(pub $inner);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

number!(
    /// The number of a stream within one log. Never used again after the stream is dropped.
    StreamId(u32)
);
number!(
    /// The number of a shard within its stream, from 0.
    ShardId(u32)
);
number!(
    /// The place of a row in its shard: dense, increasing, from 0.
    Sequence(u64)
);
number!(
    /// The number of a schema within its stream, from 0; it grows by one with each evolution.
    SchemaId(u32)
);
number!(
    /// Who appends: a job, a source, a client. Chosen by the caller, unique within a log.
    ProducerId(u64)
);
number!(
    /// The incarnation of a producer. A higher epoch fences off the lower ones.
    Epoch(u32)
);

impl Sequence {
    /// The first sequence number of a shard.
    pub const ZERO: Self = Self(0);

    /// The sequence number `rows` rows further on.
    pub const fn plus(self, rows: u64) -> Self {
        Self(self.0 + rows)
    }
}

/// The name of a stream: `[a-z_][a-z0-9_]*`, dotted for namespaces (`system.jobs`), at most 200 bytes.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StreamName(Arc<str>);

/// Why a text is not a name of a stream.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{name:?} cannot name a stream: use lower-case letters, digits and '_', parts joined by '.', \
     not starting with a digit, at most 200 bytes"
)]
pub struct BadName {
    /// The text that was given.
    pub name: String,
}

impl StreamName {
    /// Checks and keeps a name.
    pub fn new(name: &str) -> Result<Self, BadName> {
        let part_fits = |part: &str| {
            part.bytes().next().is_some_and(|b| b.is_ascii_lowercase() || b == b'_')
                && part.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
        };
        if name.len() <= 200 && name.split('.').all(part_fits) {
            Ok(Self(name.into()))
        } else {
            Err(BadName { name: name.to_owned() })
        }
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether this is a stream of the engine itself (`system.…`), which users read and do not write.
    pub fn is_system(&self) -> bool {
        self.0.starts_with("system.")
    }
}

impl fmt::Display for StreamName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for StreamName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.0, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_checked() {
        for good in ["weather", "_x", "system.dead_letters", "a1.b2"] {
            assert_eq!(StreamName::new(good).map(|n| n.to_string()), Ok(good.to_owned()));
        }
        for bad in ["", "Weather", "1a", "a..b", "a.", "a-b", "a b", "../x", &"x".repeat(201)] {
            assert!(StreamName::new(bad).is_err(), "{bad:?}");
        }
    }
}
