//! Events to rows, and rows to publications, by way of JSON.

use headwater_core::EventTime;

use crate::client::Event;
use crate::realm::RECEIVERS;
use crate::wire::{Dict, Malformed, Payload, Serializer, Value};

/// What names of columns begin with that are about the event, not in it.
pub(super) const PREFIX: &str = "wamp_";

/// How events become rows of some columns.
pub(super) struct RowWriter {
    /// The columns that positional arguments fill.
    positional: Vec<String>,
    /// The columns about the event that are wanted.
    about: Vec<String>,
}

impl RowWriter {
    pub(super) fn new<'a>(columns: impl Iterator<Item = &'a str>) -> Self {
        let (about, positional) = columns.map(str::to_owned).partition(|name| name.starts_with(PREFIX));
        Self { positional, about }
    }

    /// Whether it is wanted for whom events are meant.
    pub(super) fn has_receivers(&self) -> bool {
        self.about.iter().any(|name| name == "wamp_receivers")
    }

    /// The event as one JSON object.
    pub(super) fn write(&self, event: &Event, topic: &str, now: EventTime) -> Result<Vec<u8>, Malformed> {
        let (args, kwargs) = (event.payload.args()?, event.payload.kwargs()?);
        let mut row = Dict::new();
        for name in &self.about {
            if let Some(value) = about(name, (event, topic, now), &args, &kwargs) {
                row.insert(name.as_str(), value);
            }
        }
        match args.as_slice() {
            [Value::Dict(fields)] if kwargs.is_empty() => add(&mut row, fields),
            args => {
                for (name, value) in self.positional.iter().zip(args) {
                    if kwargs.get(name).is_none() {
                        row.insert(name.as_str(), value.clone());
                    }
                }
                add(&mut row, &kwargs);
            }
        }
        let mut out = Vec::new();
        Serializer::Json.write(&row.into(), &mut out);
        Ok(out)
    }
}

/// Adds fields, but none that are about the event: what an application says is not to pass for what the router says.
fn add(row: &mut Dict, fields: &Dict) {
    for (name, value) in fields.iter().filter(|(name, _)| !name.starts_with(PREFIX)) {
        row.insert(name, value.clone());
    }
}

fn about(
    name: &str,
    (event, topic, now): (&Event, &str, EventTime),
    args: &[Value],
    kwargs: &Dict,
) -> Option<Value> {
    Some(match name.strip_prefix(PREFIX)? {
        "topic" => event.details.text("topic").unwrap_or(topic).into(),
        "timestamp" => now.to_string().into(),
        "receivers" => json(event.details.get(RECEIVERS)?),
        "publication" => event.publication.into(),
        "args" => json(&Value::List(args.to_vec())),
        "kwargs" => json(&Value::Dict(kwargs.clone())),
        // The other three are called like the details that they come from.
        detail => event.details.get(detail)?.clone(),
    })
}

fn json(value: &Value) -> Value {
    let mut out = Vec::new();
    Serializer::Json.write(value, &mut out);
    String::from_utf8_lossy(&out).into_owned().into()
}

/// A row, which is one JSON object, as the arguments of a publication; and its topic, if it says one.
pub(super) fn publication(row: &[u8], key: String) -> Result<(Option<String>, Payload), Malformed> {
    let Value::Dict(fields) = Serializer::Json.read(row)? else {
        return Err(Malformed::new("a row is not an object"));
    };
    let topic = fields.text("wamp_topic").map(str::to_owned);
    let mut kwargs = Dict::new();
    add(&mut kwargs, &fields);
    kwargs.insert("_key", key);
    Ok((topic, Payload::new(Vec::new(), kwargs)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(args: Vec<Value>, kwargs: Dict, expected: &str) {
        let columns = ["wamp_topic", "device", "temp", "wamp_publisher", "wamp_args"];
        let details = Dict::new().with("publisher", 7_u64);
        let event = Event { publication: 1, details, payload: Payload::new(args, kwargs) };
        let row = RowWriter::new(columns.into_iter()).write(&event, "com.temp", EventTime(0)).unwrap();
        assert_eq!(String::from_utf8(row).unwrap(), expected);
    }

    #[test]
    fn arguments_go_to_columns_by_place_or_name() {
        check(
            vec!["t7".into(), Value::Float(21.5)],
            Dict::new(),
            r#"{"wamp_topic":"com.temp","wamp_publisher":7,"wamp_args":"[\"t7\",21.5]","device":"t7","temp":21.5}"#,
        );
        check(
            vec!["t7".into()],
            Dict::new().with("temp", 3_u64),
            r#"{"wamp_topic":"com.temp","wamp_publisher":7,"wamp_args":"[\"t7\"]","device":"t7","temp":3}"#,
        );
        check(
            vec![Dict::new().with("temp", 3_u64).with("wamp_publisher", 8_u64).into()],
            Dict::new(),
            r#"{"wamp_topic":"com.temp","wamp_publisher":7,"wamp_args":"[{\"temp\":3,\"wamp_publisher\":8}]","temp":3}"#,
        );
        check(
            vec!["t7".into()],
            Dict::new().with("device", "named"),
            r#"{"wamp_topic":"com.temp","wamp_publisher":7,"wamp_args":"[\"t7\"]","device":"named"}"#,
        );
    }

    #[test]
    fn what_is_known_about_an_event_is_in_columns_of_its_own() {
        let columns = ["wamp_timestamp", "wamp_receivers", "wamp_publication", "wamp_publisher_authid"];
        let writer = RowWriter::new(columns.into_iter());
        assert!(writer.has_receivers() && !RowWriter::new(["wamp_topic"].into_iter()).has_receivers());
        let details = Dict::new().with("x_receivers", Dict::new().with("eligible_authrole", vec!["admin"]));
        let event = Event { publication: 7, details, payload: Payload::default() };
        let row = writer.write(&event, "com.temp", EventTime(1_500_000_000)).unwrap();
        let expected = r#"{"wamp_timestamp":"1970-01-01T00:00:01.500Z","wamp_receivers":"{\"eligible_authrole\":[\"admin\"]}","wamp_publication":7}"#;
        assert_eq!(String::from_utf8(row).unwrap(), expected);
    }

    #[test]
    fn rows_are_published_by_name_with_a_key() {
        let (topic, payload) = publication(br#"{"a":1,"wamp_topic":"com.x"}"#, "s/0/7".into()).unwrap();
        assert_eq!(topic.as_deref(), Some("com.x"));
        assert_eq!(payload.kwargs().unwrap(), Dict::new().with("a", 1_u64).with("_key", "s/0/7"));
    }
}
