//! Messages with an envelope to rows, and rows to messages.
//!
//! A column with `METADATA FROM` holds what the envelope says, or makes it up; the others are the body. What cannot be decoded goes
//! to the dead letters with its body and with the place that it had outside.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, Int64Array, RecordBatch, RecordBatchOptions, StringArray, TimestampMillisecondArray,
};
use arrow::compute::{can_cast_types, cast};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use headwater_connectors::{ConnectorError, Context, Delivery, Parking, Result, SchemaRegistry};
use headwater_core::{Sequence, ShardId};
use headwater_ingest::{
    BadRecord, CsvHeader, Decoded, Decoder, Encoder, Format, FormatOptions, IngestError, Options,
    RecordFault, Schemas,
};

/// What an envelope says in one of its fields.
pub(crate) enum About {
    /// A text.
    Text(Option<String>),
    /// A number.
    Number(Option<i64>),
    /// Milliseconds since the epoch.
    Millis(Option<i64>),
}

/// One thing that envelopes say.
pub(crate) struct AboutField {
    /// The name, as `METADATA FROM` has it; `_` is the same as `-`.
    pub name: &'static str,
    /// What comes out of it: a text, a number or a time.
    pub kind: fn() -> DataType,
    /// Whether every envelope says it.
    pub is_always: bool,
}

pub(crate) fn text() -> DataType {
    DataType::Utf8
}

pub(crate) fn number() -> DataType {
    DataType::Int64
}

pub(crate) fn millis() -> DataType {
    DataType::Timestamp(TimeUnit::Millisecond, None)
}

/// What bodies of messages are made of.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Bodies {
    /// Any bytes.
    Bytes,
    /// Text: formats that are not text lie in it as Base64.
    Text,
}

/// Turns messages into rows.
pub(crate) struct MessageReader {
    schema: SchemaRef,
    decoder: Decoder,
    is_base64: bool,
    registry: Option<SchemaRegistry>,
    /// What is known of the registry's schemas; the decoder looks them up here.
    schemas: Schemas,
    /// For each column that the envelope fills, its place in the schema and among the envelope's fields.
    about: Vec<(usize, usize)>,
}

impl MessageReader {
    /// A reader of messages for a stream, whose envelopes say what is in `fields`. Takes the options of a schema registry.
    pub(crate) fn new(
        context: &Context,
        fields: &[AboutField],
        bodies: Bodies,
        options: &mut Options,
    ) -> Result<Self> {
        let (mut about, mut body) = (Vec::new(), Vec::new());
        for (at, column) in context.schema.fields().iter().enumerate() {
            match context.metadata.get(column.name()) {
                Some(wanted) => about.push((at, field_for(column, wanted, fields)?)),
                None => body.push(Arc::clone(column)),
            }
        }
        let format = read_format(context, options)?;
        let body = Arc::new(Schema::new(body));
        let of_format = options_of(context);
        let decoder = Decoder::new(format, body, &of_format)?;
        let registry = SchemaRegistry::take_for(&[format], options)?;
        let is_base64 = bodies == Bodies::Text && is_binary(format);
        let (schema, schemas) = (Arc::clone(&context.schema), of_format.schemas);
        Ok(Self { schema, decoder, is_base64, registry, schemas, about })
    }

    /// The rows of messages. `about` tells what the envelope of a message says in a field, `place` where the message lay. Schemas that the
    /// messages name are fetched first.
    pub(crate) async fn read(
        &mut self,
        messages: &[Bytes],
        about: impl Fn(usize, usize) -> About,
        place: impl Fn(usize) -> String,
    ) -> Result<Decoded> {
        if !self.is_base64 {
            return self.rows(messages, about, place).await;
        }
        let (mut bodies, mut places, mut torn) = (Vec::new(), Vec::new(), Vec::new());
        for (at, message) in messages.iter().enumerate() {
            match STANDARD.decode(message.trim_ascii()) {
                Ok(body) => {
                    bodies.push(Bytes::from(body));
                    places.push(at);
                }
                Err(error) => torn.push((at, error)),
            }
        }
        let mut decoded =
            self.rows(&bodies, |at, field| about(places[at], field), |at| place(places[at])).await?;
        let record = |at: usize| at as u64 + 1;
        let number = |found: u64| record(places[(found - 1) as usize]);
        decoded.bad.iter_mut().for_each(|bad| bad.record = number(bad.record));
        decoded.origins.iter_mut().for_each(|origin| origin.record = number(origin.record));
        decoded.bad.extend(
            torn.into_iter().map(|(at, error)| BadRecord {
                record: record(at),
                fault: RecordFault::Syntax,
                field: None,
                reason: format!(
                    "the body is no Base64, in which this format is sent: {error} ({})",
                    place(at)
                )
                .into(),
                payload: messages[at].clone(),
            }),
        );
        decoded.bad.sort_by_key(|bad| bad.record);
        Ok(decoded)
    }

    async fn rows(
        &mut self,
        messages: &[Bytes],
        about: impl Fn(usize, usize) -> About,
        place: impl Fn(usize) -> String,
    ) -> Result<Decoded> {
        if let Some(registry) = &self.registry {
            registry.fetch_for(messages.iter().map(|message| &message[..]), &self.schemas).await?;
        }
        self.decoder.restart();
        let mut decoded = self.decoder.decode_messages(messages)?;
        let mut is_good = vec![true; messages.len()];
        for bad in &mut decoded.bad {
            let at = usize::try_from(bad.record - 1).unwrap_or(usize::MAX);
            if let Some(is_good) = is_good.get_mut(at) {
                *is_good = false;
                bad.reason = format!("{} ({})", bad.reason, place(at)).into();
            }
        }
        let good: Vec<usize> = (0..messages.len()).filter(|at| is_good[*at]).collect();
        decoded.rows = self.with_about(&decoded.rows, &good, about)?;
        Ok(decoded)
    }

    fn with_about(
        &self,
        rows: &RecordBatch,
        good: &[usize],
        about: impl Fn(usize, usize) -> About,
    ) -> Result<RecordBatch> {
        let mut columns = rows.columns().to_vec();
        for (at, field) in &self.about {
            let values = good.iter().map(|message| about(*message, *field));
            let column = cast(&column_of(values), self.schema.field(*at).data_type());
            columns.insert(*at, column.map_err(IngestError::from)?);
        }
        let options = RecordBatchOptions::new().with_row_count(Some(good.len()));
        let rows = RecordBatch::try_new_with_options(Arc::clone(&self.schema), columns, &options);
        Ok(rows.map_err(IngestError::from)?)
    }
}

/// The names of metadata are compared without case, and `_` is the same as `-`.
fn canonical(name: &str) -> String {
    name.trim().to_ascii_lowercase().replace('_', "-")
}

/// The place among the envelope's fields of what a column is to hold.
fn field_for(column: &Field, wanted: &str, fields: &[AboutField]) -> Result<usize> {
    let refuse = |reason: String| ConnectorError::refused(format!("fill column {}", column.name()), reason);
    let Some(at) = fields.iter().position(|field| field.name == canonical(wanted)) else {
        let names: Vec<_> = fields.iter().map(|field| field.name).collect();
        return Err(refuse(format!("a message has no {wanted:?}; it has {}", names.join(", "))));
    };
    let kind = (fields[at].kind)();
    if !can_cast_types(&kind, column.data_type()) {
        return Err(refuse(format!("its type cannot hold a {kind}")));
    }
    if !fields[at].is_always && !column.is_nullable() {
        return Err(refuse("not every message has it; leave out NOT NULL".to_owned()));
    }
    Ok(at)
}

/// A column of values that are all of one kind.
fn column_of(values: impl Iterator<Item = About>) -> ArrayRef {
    let (mut texts, mut numbers, mut times) = (Vec::new(), Vec::new(), Vec::new());
    for value in values {
        match value {
            About::Text(text) => texts.push(text),
            About::Number(number) => numbers.push(number),
            About::Millis(millis) => times.push(millis),
        }
    }
    if !numbers.is_empty() {
        Arc::new(Int64Array::from(numbers))
    } else if !times.is_empty() {
        Arc::new(TimestampMillisecondArray::from(times))
    } else {
        Arc::new(StringArray::from(texts))
    }
}

/// Whether messages in a format are other bytes than text.
const fn is_binary(format: Format) -> bool {
    matches!(format, Format::Avro | Format::AvroConfluent | Format::Protobuf | Format::ProtobufConfluent)
}

/// The format in which messages are read: one in which each message is one record.
fn read_format(context: &Context, options: &Options) -> Result<Format> {
    let format = context.format.unwrap_or(Format::JsonLines);
    match format {
        Format::DebeziumJson if context.key.is_empty() => {
            Err(options.bad("format", format.name(), "the table needs PRIMARY KEY (…) NOT ENFORCED").into())
        }
        Format::Arrow | Format::Parquet => Err(options
            .bad("format", format.name(), "a message is one record, and this is a format of columns")
            .into()),
        format => Ok(format),
    }
}

/// The format of messages that are written: one in which each message is one record, as text.
fn format_of(context: &Context) -> Result<Format> {
    let format = context.format.unwrap_or(Format::JsonLines);
    match format {
        Format::JsonLines | Format::JsonArray | Format::Csv | Format::Raw => Ok(format),
        other => Err(ConnectorError::refused(
            format!("write messages as {}", other.name()),
            "a message is one record as text: use json, csv, raw or debezium_json",
        )),
    }
}

/// The options of formats; a message has no header.
fn options_of(context: &Context) -> FormatOptions {
    let mut options = context.format_options.clone();
    options.csv.header = CsvHeader::Absent;
    options
}

/// The column that goes to this part of the envelope. One that goes to a part that is not among `known` is refused.
pub(crate) fn column_for(context: &Context, part: &str, known: &[&str]) -> Result<Option<String>> {
    if let Some((column, wanted)) =
        context.metadata.iter().find(|(_, wanted)| !known.contains(&canonical(wanted).as_str()))
    {
        let reason = match known.is_empty() {
            true => "there is no metadata to write".to_owned(),
            false => format!("{wanted:?} cannot be written; what can: {}", known.join(", ")),
        };
        return Err(ConnectorError::refused(format!("send column {column}"), reason));
    }
    let found = context.metadata.iter().find(|(_, wanted)| canonical(wanted) == part);
    Ok(found.map(|(column, _)| column.clone()))
}

/// Turns rows into messages, one each, without the columns that are metadata.
pub(crate) struct MessageWriter {
    format: Format,
    /// The columns of the body, as places in the stream's schema.
    body: Vec<usize>,
    schema: SchemaRef,
    options: FormatOptions,
    /// The field of a JSON object that the row's key goes to.
    key_field: Option<String>,
}

impl MessageWriter {
    /// A writer of a stream's rows. With `key_field`, each JSON object gets a field more, with the row's key.
    pub(crate) fn new(context: &Context, key_field: Option<String>) -> Result<Self> {
        let format = match context.format.unwrap_or(Format::JsonLines) {
            Format::JsonArray => Format::JsonLines,
            Format::DebeziumJson => Format::DebeziumJson,
            _ => format_of(context)?,
        };
        let is_body = |at: &usize| !context.metadata.contains_key(context.schema.field(*at).name());
        let body: Vec<usize> = (0..context.schema.fields().len()).filter(is_body).collect();
        let schema = Arc::new(context.schema.project(&body).map_err(IngestError::from)?);
        let options = options_of(context);
        Encoder::new(format, Arc::clone(&schema), &options)?;
        Ok(Self { format, body, schema, options, key_field })
    }

    /// The rows as messages; `key` is asked for the key of each.
    pub(crate) fn write(&self, rows: &RecordBatch, key: impl Fn(usize) -> String) -> Result<Vec<Bytes>> {
        let rows = rows.project(&self.body).map_err(IngestError::from)?;
        let mut encoder = Encoder::new(self.format, Arc::clone(&self.schema), &self.options)?;
        let mut out = Vec::new();
        if self.format == Format::JsonLines {
            // In JSON a line feed stands nowhere but between rows.
            encoder.encode(&rows, &mut out)?;
            let lines = Bytes::from(out);
            let lines = lines
                .split(|byte| *byte == b'\n')
                .filter(|line| !line.is_empty())
                .map(|line| lines.slice_ref(line));
            return Ok(lines.enumerate().map(|(row, line)| self.with_key(line, || key(row))).collect());
        }
        let mut ends = Vec::with_capacity(rows.num_rows());
        for row in 0..rows.num_rows() {
            encoder.encode(&rows.slice(row, 1), &mut out)?;
            out.pop_if(|last| *last == b'\n');
            ends.push(out.len());
        }
        let all = Bytes::from(out);
        let mut start = 0;
        Ok(ends.into_iter().map(|end| all.slice(std::mem::replace(&mut start, end)..end)).collect())
    }

    /// A JSON object with the row's key in it, if that is wanted.
    fn with_key(&self, object: Bytes, key: impl FnOnce() -> String) -> Bytes {
        let (Some(field), Some(open)) = (&self.key_field, object.strip_suffix(b"}")) else { return object };
        let comma = if open == b"{" { "" } else { "," };
        let (field, key) = (serde_json::json!(field), serde_json::json!(key()));
        [open, format!("{comma}{field}:{key}}}").as_bytes()].concat().into()
    }
}

/// A row as it was delivered, for the case that it is never taken.
pub(crate) struct Delivered {
    shard: ShardId,
    pub sequence: Sequence,
    row: RecordBatch,
}

impl Delivered {
    /// Row `at` of a delivery.
    pub(crate) fn of(delivery: &Delivery, at: usize) -> Self {
        let sequence = delivery.first.plus(at as u64);
        Self { shard: delivery.shard, sequence, row: delivery.rows.slice(at, 1) }
    }

    /// The shard.
    pub(crate) fn shard(&self) -> ShardId {
        self.shard
    }

    /// Puts the row aside.
    pub(crate) async fn park(self, parking: &Parking, why: impl ToString) -> Result<()> {
        parking.park(self.shard, self.row, vec![(self.sequence, why.to_string())]).await
    }
}

/// The values of columns as text, row by row: keys of records, groups of messages. NULL is the empty text.
pub(crate) struct KeyColumns {
    columns: Vec<usize>,
    delimiter: String,
}

impl KeyColumns {
    /// Columns by name, with commas between.
    pub(crate) fn find(schema: &Schema, names: &str, delimiter: &str) -> std::result::Result<Self, String> {
        let columns = names
            .split(',')
            .map(str::trim)
            .map(|name| schema.index_of(name).map_err(|_| format!("the table has no column {name}")))
            .collect::<std::result::Result<_, _>>()?;
        Ok(Self { columns, delimiter: delimiter.to_owned() })
    }

    /// The columns of a table's primary key.
    pub(crate) fn of(schema: &Schema, names: &[String], delimiter: &str) -> Result<Self> {
        let find = |name: &String| schema.index_of(name).map_err(IngestError::from);
        let columns = names.iter().map(find).collect::<std::result::Result<_, _>>()?;
        Ok(Self { columns, delimiter: delimiter.to_owned() })
    }

    /// The key of each row.
    pub(crate) fn keys(&self, rows: &RecordBatch) -> Result<Vec<String>> {
        let mut keys = vec![String::new(); rows.num_rows()];
        for (nth, column) in self.columns.iter().enumerate() {
            let column = cast(rows.column(*column), &DataType::Utf8).map_err(IngestError::from)?;
            let column = arrow::array::AsArray::as_string::<i32>(&column);
            for (key, value) in keys.iter_mut().zip(column) {
                if nth > 0 {
                    key.push_str(&self.delimiter);
                }
                key.push_str(value.unwrap_or_default());
            }
        }
        Ok(keys)
    }
}

#[cfg(test)]
mod tests {
    use futures::executor::block_on;
    use headwater_core::{StreamId, StreamName, World};

    use super::*;

    fn context(fields: Vec<Field>, format: Option<Format>) -> Context {
        let schema = Arc::new(Schema::new(fields));
        let context = Context::of(World::real(), StreamName::new("t").unwrap(), schema);
        Context { stream_id: StreamId(7), format, ..context }
    }

    const FIELDS: &[AboutField] = &[
        AboutField { name: "key", kind: text, is_always: true },
        AboutField { name: "sub-sequence", kind: number, is_always: false },
        AboutField { name: "at", kind: millis, is_always: true },
    ];

    fn reader(context: &Context) -> Result<MessageReader> {
        MessageReader::new(
            context,
            FIELDS,
            Bodies::Bytes,
            &mut Options::new("connector kinesis", [("", ""); 0]),
        )
    }

    fn about(message: usize, field: usize) -> About {
        match field {
            0 => About::Text(Some(format!("k{message}"))),
            1 => About::Number((message > 0).then_some(message as i64)),
            _ => About::Millis(Some(1_000 * message as i64)),
        }
    }

    #[test]
    fn envelopes_fill_their_columns_beside_bad_bodies() {
        let fields = vec![
            Field::new("x_sub", DataType::Int32, true),
            Field::new("n", DataType::Int64, false),
            Field::new("x_key", DataType::Utf8, false),
            Field::new("x_at", DataType::Timestamp(TimeUnit::Microsecond, None), false),
        ];
        let mut context = context(fields, None);
        for (column, wanted) in [("x_sub", "Sub_Sequence"), ("x_key", "key"), ("x_at", "at")] {
            context.metadata.insert(column.to_owned(), wanted.to_owned());
        }
        let mut reader = reader(&context).unwrap();
        let messages = [r#"{"n":1}"#, "nonsense", r#"{"n":3,"x_key":"a lie"}"#].map(Bytes::from_static_str);
        for _ in 0..2 {
            let decoded = block_on(reader.read(&messages, about, |at| format!("place {at}"))).unwrap();
            let text = arrow::util::pretty::pretty_format_batches(&[decoded.rows]).unwrap().to_string();
            assert!(text.contains("|       | 1 | k0    | 1970-01-01T00:00:00 |"), "{text}");
            assert!(text.contains("| 2     | 3 | k2    | 1970-01-01T00:00:02 |"), "{text}");
            assert_eq!(decoded.bad.len(), 1);
            assert!(decoded.bad[0].reason.ends_with("(place 1)"), "{}", decoded.bad[0].reason);
            assert_eq!(&decoded.bad[0].payload[..], b"nonsense");
        }
    }

    trait FromStatic {
        fn from_static_str(text: &'static str) -> Bytes;
    }

    impl FromStatic for Bytes {
        fn from_static_str(text: &'static str) -> Bytes {
            Bytes::from_static(text.as_bytes())
        }
    }

    #[test]
    fn columns_that_no_envelope_can_fill_are_told() {
        let told = |wanted: &str, kind: DataType, is_nullable: bool| {
            let fields = vec![Field::new("n", DataType::Int64, false), Field::new("x", kind, is_nullable)];
            let mut context = context(fields, None);
            context.metadata.insert("x".to_owned(), wanted.to_owned());
            reader(&context).err().unwrap().to_string()
        };
        assert!(told("kee", DataType::Utf8, true).contains("it has key, sub-sequence, at"));
        assert!(told("sub-sequence", DataType::Int64, false).contains("leave out NOT NULL"));
        let nested = DataType::Struct(vec![Field::new("a", DataType::Date32, true)].into());
        assert!(told("at", nested, true).contains("cannot hold"));
    }

    #[test]
    fn each_row_is_a_message_with_its_key() {
        let fields = vec![Field::new("n", DataType::Int64, true), Field::new("s", DataType::Utf8, true)];
        let rows = RecordBatch::try_new(
            Arc::new(Schema::new(fields.clone())),
            vec![
                Arc::new(Int64Array::from(vec![Some(1), None])),
                Arc::new(StringArray::from(vec!["a\nb", "c"])),
            ],
        )
        .unwrap();
        let key = |row: usize| format!("t/0/{row}");
        let json = MessageWriter::new(&context(fields.clone(), None), Some("_key".to_owned())).unwrap();
        let written = json.write(&rows, key).unwrap();
        assert_eq!(written[0], r#"{"n":1,"s":"a\nb","_key":"t/0/0"}"#);
        assert_eq!(written[1], r#"{"n":null,"s":"c","_key":"t/0/1"}"#);
        let csv = MessageWriter::new(&context(fields.clone(), Some(Format::Csv)), None).unwrap();
        assert_eq!(csv.write(&rows, key).unwrap(), ["1,\"a\nb\"", ",c"]);
        let mut about = context(fields, None);
        about.metadata.insert("s".to_owned(), "Partition_Key".to_owned());
        assert_eq!(column_for(&about, "partition-key", &["partition-key"]).unwrap().as_deref(), Some("s"));
        let told = column_for(&about, "group", &["group"]).unwrap_err().to_string();
        assert_eq!(told, "send column s: \"Partition_Key\" cannot be written; what can: group");
        let body = MessageWriter::new(&about, None).unwrap();
        assert_eq!(body.write(&rows, key).unwrap(), [r#"{"n":1}"#, r#"{"n":null}"#]);
        let keys = KeyColumns::find(&rows.schema(), "s, n", "|").unwrap();
        assert_eq!(keys.keys(&rows).unwrap(), ["a\nb|1", "c|"]);
        assert!(KeyColumns::find(&rows.schema(), "nope", "|").is_err());
    }
}
