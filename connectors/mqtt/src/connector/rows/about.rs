//! What is said about a message, as columns.

use std::sync::Arc;

use arrow::array::{ArrayRef, BinaryArray, BooleanArray, Int32Array, StringArray, TimestampNanosecondArray};
use arrow::compute::cast;
use arrow::datatypes::DataType;
use arrow::error::ArrowError;

use crate::broker::Message;
use crate::topic::segment;
use crate::wire::Property;

/// What is said about a message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum About {
    Topic,
    /// A level of the topic, from 1.
    Segment(usize),
    Qos,
    Retain,
    ClientId,
    Timestamp,
    ContentType,
    ResponseTopic,
    CorrelationData,
    UserProperties,
}

impl About {
    /// What a name means; the error says what there is.
    pub(super) fn from_name(name: &str) -> Result<Self, &'static str> {
        Ok(match name.trim() {
            "topic" => Self::Topic,
            "qos" => Self::Qos,
            "retain" => Self::Retain,
            "client_id" => Self::ClientId,
            "timestamp" => Self::Timestamp,
            "content_type" => Self::ContentType,
            "response_topic" => Self::ResponseTopic,
            "correlation_data" => Self::CorrelationData,
            "user_properties" => Self::UserProperties,
            other => match other.strip_prefix("topic.").and_then(|place| place.parse().ok()) {
                Some(place @ 1..) => Self::Segment(place),
                _ => {
                    return Err(
                        "it is one of topic, topic.1, topic.2, .., qos, retain, client_id, timestamp, \
                                content_type, response_topic, correlation_data, user_properties",
                    );
                }
            },
        })
    }

    /// The type that a column of it has; the error names it.
    pub(super) fn check(self, kind: &DataType) -> Result<(), &'static str> {
        let (fits, name) = match self {
            Self::Qos => (kind.is_integer(), "an integer"),
            Self::Retain => (*kind == DataType::Boolean, "BOOLEAN"),
            Self::Timestamp => (matches!(kind, DataType::Timestamp(..)), "TIMESTAMP"),
            Self::CorrelationData => {
                let binary = [DataType::Binary, DataType::LargeBinary, DataType::BinaryView];
                (binary.contains(kind), "BYTES")
            }
            _ => {
                let text = [DataType::Utf8, DataType::LargeUtf8, DataType::Utf8View];
                (text.contains(kind), "VARCHAR")
            }
        };
        if fits { Ok(()) } else { Err(name) }
    }

    /// Whether a message says it.
    pub(super) fn is_said(self, message: &Message) -> bool {
        match self {
            Self::Topic | Self::Qos | Self::Retain | Self::Timestamp | Self::UserProperties => true,
            Self::CorrelationData => self.bytes(message).is_some(),
            _ => self.text(message).is_some(),
        }
    }

    /// A column of it.
    pub(super) fn column(self, messages: &[Arc<Message>], kind: &DataType) -> Result<ArrayRef, ArrowError> {
        let column: ArrayRef = match self {
            Self::Qos => {
                let levels = messages.iter().map(|message| i32::from(message.qos as u8));
                Arc::new(Int32Array::from_iter_values(levels))
            }
            Self::Retain => {
                Arc::new(BooleanArray::from_iter(messages.iter().map(|message| Some(message.retain))))
            }
            Self::Timestamp => {
                let times = messages.iter().map(|message| message.received.0);
                Arc::new(TimestampNanosecondArray::from_iter_values(times))
            }
            Self::CorrelationData => {
                Arc::new(BinaryArray::from_iter(messages.iter().map(|message| self.bytes(message))))
            }
            Self::UserProperties => Arc::new(StringArray::from_iter_values(
                messages.iter().map(|message| user_properties(message)),
            )),
            _ => Arc::new(StringArray::from_iter(messages.iter().map(|message| self.text(message)))),
        };
        if column.data_type() == kind { Ok(column) } else { cast(&column, kind) }
    }

    fn text(self, message: &Message) -> Option<&str> {
        let said = |property: fn(&Property) -> Option<&str>| message.properties.iter().find_map(property);
        match self {
            Self::Topic => Some(&message.topic),
            Self::Segment(place) => segment(&message.topic, place),
            Self::ClientId => (!message.client.is_empty()).then_some(&*message.client),
            Self::ContentType => said(|property| match property {
                Property::ContentType(kind) => Some(kind.val()),
                _ => None,
            }),
            Self::ResponseTopic => said(|property| match property {
                Property::ResponseTopic(topic) => Some(topic.val()),
                _ => None,
            }),
            _ => None,
        }
    }

    fn bytes(self, message: &Message) -> Option<&[u8]> {
        message.properties.iter().find_map(|property| match property {
            Property::CorrelationData(data) => Some(data.val()),
            _ => None,
        })
    }
}

/// The user's properties as a JSON object. Of several of one name the last counts.
fn user_properties(message: &Message) -> String {
    let said = message.properties.iter().filter_map(|property| match property {
        Property::UserProperty(pair) => Some((pair.key().to_owned(), pair.val().into())),
        _ => None,
    });
    serde_json::Value::Object(said.collect()).to_string()
}
