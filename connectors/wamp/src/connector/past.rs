//! Rows of a recorded topic as the events that they were: what event history is made of.

use std::collections::BTreeSet;

use headwater_core::EventTime;

use super::row::PREFIX;
use crate::message::Match;
use crate::realm::{PastEvent, Receivers};
use crate::wire::{Dict, Malformed, Serializer, Value};

/// The columns without which a stream is no history, besides the topic where that is the same for all events.
pub const NEEDED: [&str; 2] = ["wamp_publication", "wamp_receivers"];

/// The column of topics.
pub const TOPIC: &str = "wamp_topic";

/// The column that says when an event came to be recorded.
pub const TIMESTAMP: &str = "wamp_timestamp";

/// The publishers of events, as details have them.
const PUBLISHER: [&str; 3] = ["publisher", "publisher_authid", "publisher_authrole"];

/// How the rows of a stream become events again.
#[derive(Debug, Clone)]
pub struct PastReader {
    /// The topic that is recorded, for streams that have no column for it.
    topic: String,
    /// Columns that are arguments by their names.
    columns: BTreeSet<String>,
    /// Whether columns hold the arguments as they came.
    has_arguments: bool,
}

impl PastReader {
    /// For a stream that records this topic into these columns; the error says what is missing.
    pub fn new<'a>(
        topic: &str,
        matching: Match,
        columns: impl Iterator<Item = &'a str>,
    ) -> Result<Self, &'static str> {
        let (about, columns): (BTreeSet<&str>, BTreeSet<&str>) =
            columns.partition(|name| name.starts_with(PREFIX));
        if let Some(missing) = NEEDED.into_iter().find(|name| !about.contains(name)) {
            return Err(missing);
        }
        if matching != Match::Exact && !about.contains(TOPIC) {
            return Err(TOPIC);
        }
        Ok(Self {
            topic: topic.to_owned(),
            columns: columns.into_iter().map(str::to_owned).collect(),
            has_arguments: about.contains("wamp_args") && about.contains("wamp_kwargs"),
        })
    }

    /// The event that a row was, and its topic. `row` is one JSON object.
    pub fn read(&self, row: &[u8], time: EventTime) -> Result<(String, PastEvent), Malformed> {
        let Value::Dict(row) = Serializer::Json.read(row)? else {
            return Err(Malformed::new("a row is not an object"));
        };
        let json =
            |column: &str| row.text(column).map(|text| Serializer::Json.read(text.as_bytes())).transpose();
        let dict = |value: Option<Value>| match value {
            Some(Value::Dict(dict)) => dict,
            _ => Dict::new(),
        };
        let receivers = Receivers::read(&dict(json("wamp_receivers")?), 0).map_err(Malformed::new)?;
        let (args, kwargs) = match self.has_arguments {
            true => match json("wamp_args")? {
                Some(Value::List(args)) => (args, dict(json("wamp_kwargs")?)),
                _ => (Vec::new(), dict(json("wamp_kwargs")?)),
            },
            false => (Vec::new(), self.named(&row)),
        };
        let topic = row.text(TOPIC).unwrap_or(&self.topic).to_owned();
        let mut details = Dict::new();
        for name in PUBLISHER {
            if let Some(value) = row.get(&format!("{PREFIX}{name}")).filter(|value| !value.is_null()) {
                details.insert(name, value.clone());
            }
        }
        details.insert("topic", topic.as_str());
        let event = PastEvent {
            time,
            publication: row.get("wamp_publication").and_then(Value::as_u64).unwrap_or_default(),
            details,
            args,
            kwargs,
            receivers,
        };
        Ok((topic, event))
    }

    /// The columns as named arguments, as a sink publishes them.
    fn named(&self, row: &Dict) -> Dict {
        let is_argument = |(name, value): &(&str, &Value)| self.columns.contains(*name) && !value.is_null();
        row.iter().filter(is_argument).map(|(name, value)| (name.to_owned(), value.clone())).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_that_does_not_say_for_whom_events_were_is_no_history() {
        let missing = |matching, columns: &[&'static str]| {
            PastReader::new("com.t", matching, columns.iter().copied()).map(|_| ()).err()
        };
        assert_eq!(missing(Match::Exact, &["wamp_publication", "wamp_receivers"]), None);
        assert_eq!(missing(Match::Exact, &["wamp_publication"]), Some("wamp_receivers"));
        assert_eq!(missing(Match::Prefix, &["wamp_publication", "wamp_receivers"]), Some("wamp_topic"));
    }

    #[test]
    fn arguments_are_those_of_the_event_or_the_columns_by_name() {
        let row = br#"{"device":"t7","temp":null,"_sequence":3,"wamp_publication":9,"wamp_publisher":4,
            "wamp_args":"[\"t7\",1]","wamp_kwargs":"{\"unit\":\"C\"}","wamp_receivers":"{\"exclude\":[3]}"}"#;
        let read = |columns: &[&'static str]| {
            let reader = PastReader::new("com.t", Match::Exact, columns.iter().copied()).unwrap();
            reader.read(row, EventTime(0)).unwrap()
        };
        let (topic, event) =
            read(&["device", "temp", "wamp_publication", "wamp_receivers", "wamp_args", "wamp_kwargs"]);
        assert_eq!((topic.as_str(), event.publication), ("com.t", 9));
        assert_eq!(event.args, ["t7".into(), Value::Int(1)]);
        assert_eq!(event.kwargs, Dict::new().with("unit", "C"));
        assert!(event.receivers.name_sessions(), "it was not for everybody");
        assert_eq!(event.details.get("publisher"), Some(&Value::Int(4)));
        let (_, event) = read(&["device", "temp", "wamp_publication", "wamp_receivers"]);
        assert_eq!((event.args.len(), event.kwargs), (0, Dict::new().with("device", "t7")));
    }
}
