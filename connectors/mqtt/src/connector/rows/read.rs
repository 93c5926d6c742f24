//! Messages to rows.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow::datatypes::{Field, Schema, SchemaRef};
use bytes::Bytes;
use headwater_connectors::{ConnectorError, Context, Result};
use headwater_ingest::{BadRecord, Decoded, Decoder, Format, FormatOptions, Options, Payload, RecordFault};

use super::about::About;
use crate::broker::Message;

/// How messages become rows of a stream.
pub(in crate::connector) struct RowReader {
    schema: SchemaRef,
    /// For each column what it holds that is said about a message; `None` is read from the payload.
    about: Vec<Option<About>>,
    /// The columns that are read from the payload.
    values: SchemaRef,
    format: Format,
    options: FormatOptions,
}

impl RowReader {
    /// Checks the columns and the format.
    pub(in crate::connector) fn new(context: &Context, options: &Options) -> Result<Self> {
        let mut about = Vec::new();
        for field in context.schema.fields() {
            let name = context.metadata.get(field.name());
            about.push(name.map(|name| check(options, field, name)).transpose()?);
        }
        let is_value =
            |(field, about): (&Arc<Field>, &Option<About>)| about.is_none().then(|| Arc::clone(field));
        let values: Vec<_> = context.schema.fields().iter().zip(&about).filter_map(is_value).collect();
        let values = Arc::new(Schema::new(values));
        let format = context.format.unwrap_or(Format::JsonLines);
        if matches!(format, Format::Arrow | Format::Parquet) {
            return Err(options
                .bad("format", format.name(), "a message is one record: json, csv or raw")
                .into());
        }
        Decoder::new(format, Arc::clone(&values), &context.format_options)?;
        let schema = Arc::clone(&context.schema);
        Ok(Self { schema, about, values, format, options: context.format_options.clone() })
    }

    /// Reads messages where computing is allowed.
    pub(in crate::connector) async fn read(this: &Arc<Self>, messages: Vec<Arc<Message>>) -> Result<Payload> {
        let this = Arc::clone(this);
        let read = tokio::task::spawn_blocking(move || this.decode(&messages)).await;
        let decoded =
            read.map_err(|_| ConnectorError::outage("read messages", "the process is ending"))??;
        Ok(Payload::Decoded(decoded))
    }

    fn decode(&self, messages: &[Arc<Message>]) -> Result<Decoded> {
        let mut bad = Vec::new();
        // First those that cannot be rows whatever they hold: a NOT NULL level of the topic that is not there.
        let whole: Vec<usize> = (0..messages.len())
            .filter(|at| match self.missing(&messages[*at]) {
                None => true,
                Some(missing) => {
                    bad.push(bad_record(*at, missing, &messages[*at]));
                    false
                }
            })
            .collect();
        let payloads: Vec<Bytes> = whole.iter().map(|at| messages[*at].payload.clone()).collect();
        let decoded =
            Decoder::new(self.format, Arc::clone(&self.values), &self.options)?.decode_messages(&payloads)?;
        let mut is_good = vec![true; whole.len()];
        for mut record in decoded.bad {
            // Records are counted from 1 among those that were decoded.
            let at = usize::try_from(record.record.saturating_sub(1)).unwrap_or(usize::MAX);
            if let (Some(good), Some(message)) = (is_good.get_mut(at), whole.get(at)) {
                *good = false;
                record.record = *message as u64 + 1;
            }
            bad.push(record);
        }
        bad.sort_by_key(|record| record.record);
        let good: Vec<Arc<Message>> = whole
            .iter()
            .zip(&is_good)
            .filter(|(_, good)| **good)
            .map(|(at, _)| Arc::clone(&messages[*at]))
            .collect();
        let rows = self.assemble(&good, &decoded.rows)?;
        Ok(Decoded { rows, bad, origins: Vec::new(), bytes: Bytes::new() })
    }

    /// The first column that must be said and is not.
    fn missing(&self, message: &Message) -> Option<&Field> {
        let columns = self.schema.fields().iter().zip(&self.about);
        columns
            .filter(|(field, about)| {
                !field.is_nullable() && about.is_some_and(|about| !about.is_said(message))
            })
            .map(|(field, _)| field.as_ref())
            .next()
    }

    fn assemble(&self, messages: &[Arc<Message>], values: &RecordBatch) -> Result<RecordBatch> {
        let mut values = values.columns().iter();
        let mut columns: Vec<ArrayRef> = Vec::with_capacity(self.about.len());
        for (field, about) in self.schema.fields().iter().zip(&self.about) {
            match about {
                Some(about) => columns.push(
                    about.column(messages, field.data_type()).map_err(headwater_ingest::IngestError::from)?,
                ),
                None => columns.extend(values.next().cloned()),
            }
        }
        let options = RecordBatchOptions::new().with_row_count(Some(messages.len()));
        let rows = RecordBatch::try_new_with_options(Arc::clone(&self.schema), columns, &options);
        Ok(rows.map_err(headwater_ingest::IngestError::from)?)
    }
}

fn check(options: &Options, field: &Field, name: &str) -> Result<About> {
    let wrong = |why: String| options.bad(&format!("METADATA FROM of column {}", field.name()), name, why);
    let about = About::from_name(name).map_err(|why| wrong(why.to_owned()))?;
    about.check(field.data_type()).map_err(|kind| wrong(format!("it is {kind}")))?;
    Ok(about)
}

fn bad_record(at: usize, missing: &Field, message: &Message) -> BadRecord {
    BadRecord {
        record: at as u64 + 1,
        fault: RecordFault::Missing,
        field: Some(missing.name().clone()),
        reason: format!("the topic {:?} or its message does not say it", message.topic).into(),
        payload: message.payload.clone(),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use arrow::datatypes::{DataType, TimeUnit};
    use arrow::util::pretty::pretty_format_batches;
    use headwater_core::{StreamName, World};

    use super::*;
    use crate::wire::{Publish, Qos};

    fn context(columns: Vec<Field>, metadata: &[(&str, &str)], format: Option<Format>) -> Context {
        let pair = |(column, name): &(&str, &str)| ((*column).to_owned(), (*name).to_owned());
        let metadata = metadata.iter().map(pair).collect();
        let schema = Arc::new(Schema::new(columns));
        let context = Context::of(World::real(), StreamName::new("t").unwrap(), schema);
        Context { metadata, format, ..context }
    }

    fn message(topic: &str, payload: &str) -> Arc<Message> {
        let publish = Publish {
            dup: false,
            qos: Qos::AtLeastOnce,
            retain: false,
            topic: topic.into(),
            packet_id: None,
            payload: payload.to_owned().into(),
            properties: Vec::new(),
        };
        Arc::new(Message::new(publish, "c7".into(), &World::real()))
    }

    fn options() -> Options {
        Options::new("connector mqtt", BTreeMap::<String, String>::new())
    }

    #[test]
    fn topics_and_payloads_become_rows_and_what_does_not_fit_is_bad() {
        let columns = vec![
            Field::new("device", DataType::Utf8, false),
            Field::new("temp", DataType::Float64, true),
            Field::new("qos", DataType::Int16, true),
            Field::new("client", DataType::Utf8, true),
        ];
        let metadata = [("device", "topic.2"), ("qos", "qos"), ("client", "client_id")];
        let reader = RowReader::new(&context(columns, &metadata, None), &options()).unwrap();
        let messages = [
            message("plant/t1/temp", r#"{"temp":20.5}"#),
            message("plant", r#"{"temp":1}"#),
            message("plant/t2/temp", r#"{"temp":"warm"}"#),
            message("plant/t3/temp", r#"{"temp":null,"device":"a lie"}"#),
            message("plant/t4/temp", "nonsense"),
        ];
        let decoded = reader.decode(&messages).unwrap();
        let expected = "\
+--------+------+-----+--------+
| device | temp | qos | client |
+--------+------+-----+--------+
| t1     | 20.5 | 1   | c7     |
| t3     |      | 1   | c7     |
+--------+------+-----+--------+";
        assert_eq!(pretty_format_batches(&[decoded.rows]).unwrap().to_string(), expected);
        let bad: Vec<_> = decoded.bad.iter().map(|bad| (bad.record, bad.fault)).collect();
        assert_eq!(bad, [(2, RecordFault::Missing), (3, RecordFault::Type), (5, RecordFault::Syntax)]);
        assert_eq!(&decoded.bad[0].payload[..], br#"{"temp":1}"#);
    }

    #[test]
    fn a_raw_payload_may_stand_beside_what_is_said_about_it() {
        let columns = vec![
            Field::new("at", DataType::Timestamp(TimeUnit::Millisecond, None), false),
            Field::new("value", DataType::Utf8, true),
            Field::new("said", DataType::Utf8, true),
        ];
        let metadata = [("at", "timestamp"), ("said", "user_properties")];
        let reader = RowReader::new(&context(columns, &metadata, Some(Format::Raw)), &options()).unwrap();
        let decoded = reader.decode(&[message("a", "21.5"), message("b", "")]).unwrap();
        assert_eq!((decoded.rows.num_rows(), decoded.bad.len()), (2, 0));
        let text = pretty_format_batches(&[decoded.rows]).unwrap().to_string();
        assert!(text.contains("| 21.5  | {}   |"), "{text}");
    }

    #[test]
    fn wrong_metadata_is_told() {
        let told = |name: &str, kind: DataType, what: &str| {
            let context = context(vec![Field::new("c", kind, true)], &[("c", name)], None);
            let error = RowReader::new(&context, &options()).err().unwrap().to_string();
            assert!(error.contains(what), "{error}");
        };
        told("topik", DataType::Utf8, "topic.1");
        told("topic.0", DataType::Utf8, "topic.1");
        told("topic", DataType::Int64, "it is VARCHAR");
        told("qos", DataType::Utf8, "it is an integer");
        told("retain", DataType::Utf8, "it is BOOLEAN");
    }
}
