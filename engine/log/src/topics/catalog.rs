//! The catalog topic: which streams there are, and who has opened the log. A message is one event as JSON; its note is the schema that
//! the event brings.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use bytes::Bytes;
use headwater_core::EventTime;

use super::broker::{Message, Stored};
use crate::error::{LogError, Result};
use crate::schema;
use crate::streams::{Change, Streams};

/// One event.
#[derive(Clone, PartialEq, Debug, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Event {
    /// The set of streams changed.
    Stream(Change),
    /// A process has opened the log: whoever reads this and is not that process is no longer its writer.
    Opened {
        /// A number drawn for the process.
        by: u64,
        /// When, by its wall clock: nanoseconds since the epoch.
        at: i64,
    },
}

impl Event {
    /// As a message.
    pub fn to_message(&self, topic: &Arc<str>, schema: Option<&SchemaRef>, now: EventTime) -> Message {
        Message {
            topic: Arc::clone(topic),
            partition: 0,
            value: serde_json::to_vec(self).expect("an event has only keys that JSON can have").into(),
            note: schema.map(|schema| Bytes::from(schema::to_bytes(schema))).unwrap_or_default(),
            timestamp_millis: now.millis(),
        }
    }
}

/// Applies what a message of the catalog says. Whether that is that the log was opened.
pub(crate) fn replay(topic: &str, stored: &Stored, streams: &mut Streams) -> Result<bool> {
    let at = u64::try_from(stored.offset).unwrap_or_default();
    let damaged = |reason: String| LogError::corrupt(topic, at, reason);
    let event = serde_json::from_slice(&stored.value)
        .map_err(|error| damaged(format!("the message holds no event: {error}")))?;
    match event {
        Event::Opened { .. } => Ok(true),
        Event::Stream(change) => {
            let schema = match &*stored.note {
                [] => None,
                bytes => Some(schema::from_bytes(bytes).map_err(damaged)?),
            };
            streams.apply(&change, schema).map_err(damaged)?;
            Ok(false)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::documented::{OF_TOPICS, assert_documented};

    #[test]
    fn the_document_has_all_fields_of_an_opening() {
        assert_documented(OF_TOPICS, &[Event::Opened { by: u64::MAX, at: i64::MIN }]);
    }
}
