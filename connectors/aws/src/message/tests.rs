//! Envelopes and their columns, bodies that cannot be read, and messages as they are written.

mod formats;

use std::sync::Arc;

use arrow::array::{Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema, TimeUnit};
use bytes::Bytes;
use futures::executor::block_on;
use headwater_connectors::{Context, Result};
use headwater_core::{StreamId, StreamName, World};
use headwater_ingest::{Format, Options};

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
    MessageReader::new(context, FIELDS, Bodies::Bytes, &mut Options::new("connector kinesis", [("", ""); 0]))
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
        vec![Arc::new(Int64Array::from(vec![Some(1), None])), Arc::new(StringArray::from(vec!["a\nb", "c"]))],
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
