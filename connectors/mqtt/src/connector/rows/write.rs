//! Rows to messages.

use std::sync::Arc;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, SchemaRef};
use bytes::Bytes;
use headwater_connectors::{Context, Delivery, Result};
use headwater_ingest::{Encoder, Format, FormatOptions, IngestError, Options};
use mqtt_protocol_core::mqtt::packet::UserProperty;

use super::about::About;
use crate::topic::check_topic;
use crate::wire::{Property, Text, Version};

/// Topic, payload and properties of a row's message, or why there is none.
pub(in crate::connector) type Written = std::result::Result<(Text, Bytes, Vec<Property>), String>;

/// How rows become messages.
pub(in crate::connector) struct RowWriter {
    /// Where to publish, unless a column says it.
    topic: Option<Text>,
    /// The column that says where to publish.
    topic_column: Option<usize>,
    /// The columns that are published.
    values: Vec<usize>,
    schema: SchemaRef,
    format: Format,
    options: FormatOptions,
    version: Version,
}

impl RowWriter {
    /// Checks the columns and the format.
    pub(in crate::connector) fn new(
        context: &Context,
        format: Format,
        version: Version,
        topic: Option<String>,
        options: &Options,
    ) -> Result<Self> {
        let (mut values, mut topic_column) = (Vec::new(), None);
        for (at, field) in context.schema.fields().iter().enumerate() {
            let Some(name) = context.metadata.get(field.name()) else {
                values.push(at);
                continue;
            };
            let wrong =
                |why: &str| options.bad(&format!("METADATA FROM of column {}", field.name()), name, why);
            if About::from_name(name).map_err(wrong)? != About::Topic {
                return Err(wrong("of a sink only the topic can be said by a column").into());
            }
            About::Topic.check(field.data_type()).map_err(|_| wrong("it is VARCHAR"))?;
            topic_column = Some(at);
        }
        if topic.is_none() && topic_column.is_none() {
            let why = "give a topic, or a column with METADATA FROM 'topic'";
            return Err(options.bad("topic", "", why).into());
        }
        let schema = Arc::new(context.schema.project(&values).map_err(IngestError::from)?);
        match format {
            Format::JsonLines => {}
            Format::Raw if version == Version::V5 => {}
            Format::Raw => {
                let why = "3.1.1 has no place for a key beside a raw payload; use json or protocol-version 5";
                return Err(options.bad("format", format.name(), why).into());
            }
            _ => {
                return Err(options.bad("format", format.name(), "a message is one row: json or raw").into());
            }
        }
        Encoder::new(format, Arc::clone(&schema), &context.format_options)?;
        Ok(Self {
            topic: topic.map(Into::into),
            topic_column,
            values,
            schema,
            format,
            options: context.format_options.clone(),
            version,
        })
    }

    /// Whether rows may say where they go.
    pub(in crate::connector) fn reads_topics(&self) -> bool {
        self.topic_column.is_some()
    }

    /// Topic, payload and properties of each row, or why it can be no message.
    pub(in crate::connector) fn write(&self, delivery: &Delivery) -> Result<Vec<Written>> {
        let topics = self.topic_column.map(|at| cast(delivery.rows.column(at), &DataType::Utf8));
        let topics = topics.transpose().map_err(IngestError::from)?;
        let values = delivery.rows.project(&self.values).map_err(IngestError::from)?;
        let mut messages = Vec::with_capacity(values.num_rows());
        for (row, payload) in self.payloads(&values)?.into_iter().enumerate() {
            let sequence = delivery.first.plus(row as u64);
            let key = format!("{}/{}/{sequence}", delivery.stream, delivery.shard);
            let said = topics.as_ref().map(|topics| topics.as_string::<i32>());
            let said = said.filter(|topics| topics.is_valid(row)).map(|topics| Text::from(topics.value(row)));
            let written = payload.map_err(|error| error.to_string()).and_then(|payload| {
                let topic = said.or_else(|| self.topic.clone()).ok_or("it says no topic")?;
                check_topic(&topic)?;
                self.with_key(payload, &key).map(|(payload, properties)| (topic, payload, properties))
            });
            messages.push(written);
        }
        Ok(messages)
    }

    /// The payload with its key beside it, or in it where the version has no place beside it.
    fn with_key(
        &self,
        mut payload: Vec<u8>,
        key: &str,
    ) -> std::result::Result<(Bytes, Vec<Property>), String> {
        let mut properties = Vec::new();
        match self.version {
            Version::V5 => {
                let key = UserProperty::new("key", key).map_err(|_| "its key is too long".to_owned())?;
                properties.push(key.into());
            }
            Version::V3 => add_key(&mut payload, key),
        }
        Ok((Bytes::from(payload), properties))
    }

    fn payloads(&self, values: &RecordBatch) -> Result<Vec<Result<Vec<u8>>>> {
        // Text in JSON has no line feeds, so lines are rows; raw values may have them, so each is written by itself.
        if self.format == Format::JsonLines {
            let lines = self.encode(values)?;
            let lines = lines.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
            return Ok(lines.map(|line| Ok(line.to_vec())).collect());
        }
        let payload = |row| {
            let mut payload = self.encode(&values.slice(row, 1))?;
            payload.pop_if(|last| *last == b'\n');
            Ok(payload)
        };
        Ok((0..values.num_rows()).map(payload).collect())
    }

    fn encode(&self, values: &RecordBatch) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        let mut encoder = Encoder::new(self.format, Arc::clone(&self.schema), &self.options)?;
        encoder.encode(values, &mut bytes)?;
        encoder.finish(&mut bytes)?;
        Ok(bytes)
    }
}

/// Adds the key to a JSON object. Names of streams have no characters that JSON would have to escape.
fn add_key(object: &mut Vec<u8>, key: &str) {
    if object.pop() == Some(b'}') {
        let comma = if object.len() > 1 { "," } else { "" };
        object.extend_from_slice(format!("{comma}\"_key\":\"{key}\"}}").as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_added_to_an_object() {
        let mut object = br#"{"a":1}"#.to_vec();
        add_key(&mut object, "s/0/7");
        assert_eq!(object, br#"{"a":1,"_key":"s/0/7"}"#);
        let mut object = b"{}".to_vec();
        add_key(&mut object, "s/0/7");
        assert_eq!(object, br#"{"_key":"s/0/7"}"#);
    }
}
