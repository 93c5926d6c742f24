//! Where a shard is to be read from, and how that is written in `system.positions`.
//!
//! | text | meaning |
//! |---|---|
//! | `SEQUENCE` | after the record of this number |
//! | `@MILLIS` | from the records on that arrived at this time, since the epoch |
//! | `SHARD_END` | nothing more will come |

use aws_sdk_kinesis::primitives::DateTime;
use aws_sdk_kinesis::types::{ShardIteratorType, StartingPosition};

/// Where a shard is to be read from.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Position {
    /// Its oldest record.
    TrimHorizon,
    /// What comes from now on.
    Latest,
    /// What arrived at this time or later, in milliseconds since the epoch.
    AtTimestamp(i64),
    /// This record.
    At(String),
    /// What follows this record.
    After(String),
    /// Nowhere: it is closed and read to its end.
    End,
}

const END: &str = "SHARD_END";

impl Position {
    /// What a stored text means. A text that nobody wrote means the beginning: rather twice than never.
    pub(super) fn read(text: &str) -> Self {
        if text == END {
            return Self::End;
        }
        match text.strip_prefix('@').map(str::parse) {
            Some(Ok(millis)) => Self::AtTimestamp(millis),
            _ if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) => {
                Self::After(text.to_owned())
            }
            _ => Self::TrimHorizon,
        }
    }

    /// The text to store, if there is one.
    pub(super) fn write(&self) -> Option<String> {
        match self {
            Self::AtTimestamp(millis) => Some(format!("@{millis}")),
            Self::After(sequence) => Some(sequence.clone()),
            Self::End => Some(END.to_owned()),
            Self::TrimHorizon | Self::Latest | Self::At(_) => None,
        }
    }

    /// What a request for an iterator says: its type, a sequence number, a time.
    pub(super) fn request(&self) -> (ShardIteratorType, Option<String>, Option<DateTime>) {
        match self {
            Self::TrimHorizon => (ShardIteratorType::TrimHorizon, None, None),
            Self::Latest | Self::End => (ShardIteratorType::Latest, None, None),
            Self::AtTimestamp(millis) => {
                (ShardIteratorType::AtTimestamp, None, Some(DateTime::from_millis(*millis)))
            }
            Self::At(sequence) => (ShardIteratorType::AtSequenceNumber, Some(sequence.clone()), None),
            Self::After(sequence) => (ShardIteratorType::AfterSequenceNumber, Some(sequence.clone()), None),
        }
    }

    /// The same for a subscription.
    pub(super) fn starting(&self) -> Option<StartingPosition> {
        let (kind, sequence, time) = self.request();
        let start = StartingPosition::builder().r#type(kind);
        start.set_sequence_number(sequence).set_timestamp(time).build().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_are_read_as_they_were_written() {
        for position in
            [Position::After("49".into()), Position::AtTimestamp(1_700_000_000_123), Position::End]
        {
            assert_eq!(Position::read(&position.write().unwrap()), position);
        }
        for text in ["", "@x", "x7"] {
            assert_eq!(Position::read(text), Position::TrimHorizon);
        }
        assert_eq!(Position::Latest.write(), None);
    }
}
