//! Messages in every format that a message may have.

use std::sync::Arc;

use arrow::array::{AsArray, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef};
use axum::extract::Path;
use axum::routing::get;
use axum::{Json, Router};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use headwater_connectors::{Context, Result};
use headwater_core::{StreamName, World};
use headwater_ingest::{Decoded, Encoder, Format, FormatOptions, Options, RecordFault};
use serde_json::{Value, json};

use crate::message::{About, AboutField, Bodies, MessageReader, text};

const FIELDS: &[AboutField] = &[AboutField { name: "key", kind: text, is_always: true }];

const NO_OPTIONS: [(&str, &str); 0] = [];

fn fields() -> Vec<Field> {
    vec![Field::new("n", DataType::Int64, false), Field::new("text", DataType::Utf8, true)]
}

/// What Protobuf needs to know, and no other format minds.
fn options() -> FormatOptions {
    let schema = "syntax = \"proto3\"; message Event { int64 n = 1; optional string text = 2; }";
    FormatOptions { protobuf_schema: Some(schema.to_owned()), ..FormatOptions::default() }
}

fn rows(schema: &SchemaRef) -> RecordBatch {
    let texts = StringArray::from(vec![Some("one"), None, Some("three")]);
    RecordBatch::try_new(Arc::clone(schema), vec![Arc::new(Int64Array::from(vec![1, 2, 3])), Arc::new(texts)])
        .unwrap()
}

/// Three rows as messages; in a format whose schemas a registry has with this number.
fn written(format: Format, number: u32) -> (Vec<Bytes>, Option<String>) {
    let schema = Arc::new(Schema::new(fields()));
    let mut encoder = Encoder::new(format, Arc::clone(&schema), &options()).unwrap();
    if format.is_registered() {
        encoder.set_schema_id(number);
    }
    let mut out = Vec::new();
    let places = encoder.encode_messages(&rows(&schema), &mut out).unwrap();
    let messages = places.into_iter().map(|(_, place)| Bytes::copy_from_slice(&out[place])).collect();
    (messages, encoder.schema_text().map(str::to_owned))
}

/// What the rows of a stream are made for that has a column `key` besides, of the envelope.
fn context(mut fields: Vec<Field>, format: Format) -> Context {
    fields.insert(1, Field::new("key", DataType::Utf8, false));
    let name = StreamName::new("t").unwrap();
    let context = Context::of(World::real(), name, Arc::new(Schema::new(fields)));
    let metadata = [("key".to_owned(), "key".to_owned())].into();
    Context { format: Some(format), format_options: options(), metadata, ..context }
}

fn reader(context: &Context, bodies: Bodies, given: &[(&str, &str)]) -> Result<MessageReader> {
    MessageReader::new(context, FIELDS, bodies, &mut Options::new("connector sqs", given.iter().copied()))
}

async fn read(reader: &mut MessageReader, messages: &[Bytes]) -> Decoded {
    let about = |message: usize, _| About::Text(Some(format!("k{message}")));
    reader.read(messages, about, |message| format!("message {message}")).await.unwrap()
}

/// Number, key and text of each row.
fn shown(decoded: &Decoded) -> Vec<(i64, String, Option<String>)> {
    let rows = &decoded.rows;
    let texts = |name: &str| rows.column_by_name(name).unwrap().as_string::<i32>().clone();
    let (keys, texts) = (texts("key"), texts("text"));
    let numbers = rows.column_by_name("n").unwrap().as_primitive::<Int64Type>();
    let row = |row: usize| {
        let text = texts.iter().nth(row).unwrap().map(str::to_owned);
        (numbers.value(row), keys.value(row).to_owned(), text)
    };
    (0..rows.num_rows()).map(row).collect()
}

fn row(n: i64, key: &str, text: Option<&str>) -> (i64, String, Option<String>) {
    (n, key.to_owned(), text.map(str::to_owned))
}

fn base64(messages: &[Bytes]) -> Vec<Bytes> {
    messages.iter().map(|message| Bytes::from(STANDARD.encode(message))).collect()
}

#[tokio::test]
async fn formats_that_are_no_text_lie_in_text_as_base64() {
    let expect = [row(1, "k0", Some("one")), row(2, "k1", None), row(3, "k2", Some("three"))];
    for format in [Format::Avro, Format::Protobuf] {
        let (messages, _) = written(format, 0);
        let context = context(fields(), format);
        let mut of_bytes = reader(&context, Bodies::Bytes, &[]).unwrap();
        let decoded = read(&mut of_bytes, &messages).await;
        assert!(decoded.bad.is_empty(), "{:?}", decoded.bad);
        assert_eq!(shown(&decoded), expect, "{format:?}");

        // Bodies that are none, and one that is Base64 of something else, are bad; those beside them are rows with their own envelope.
        let mut of_text = reader(&context, Bodies::Text, &[]).unwrap();
        let mut bodies = base64(&messages);
        bodies.insert(0, Bytes::from_static(b"{\"n\":1}"));
        bodies.insert(2, Bytes::from(STANDARD.encode([0xff_u8; 9])));
        for _ in 0..2 {
            let decoded = read(&mut of_text, &bodies).await;
            let expect = [row(1, "k1", Some("one")), row(2, "k3", None), row(3, "k4", Some("three"))];
            assert_eq!(shown(&decoded), expect, "{format:?}");
            let bad: Vec<_> = decoded.bad.iter().map(|bad| bad.record).collect();
            assert_eq!(bad, [1, 3], "{format:?}");
            let first = &decoded.bad[0];
            assert_eq!((first.fault, &first.payload[..]), (RecordFault::Syntax, &b"{\"n\":1}"[..]));
            assert!(
                first.reason.contains("no Base64") && first.reason.ends_with("(message 0)"),
                "{}",
                first.reason
            );
            assert!(decoded.bad[1].reason.ends_with("(message 2)"), "{}", decoded.bad[1].reason);
        }
    }
    // Text is text.
    let mut lines = reader(&context(fields(), Format::JsonLines), Bodies::Text, &[]).unwrap();
    let decoded = read(&mut lines, &[Bytes::from_static(b"{\"n\":7}")]).await;
    assert_eq!(shown(&decoded), [row(7, "k0", None)]);
}

/// A registry that has these schemas, numbered from 1.
async fn registry(schemas: Vec<String>) -> String {
    let answer = move |Path(id): Path<usize>| {
        let schema = schemas.get(id.wrapping_sub(1)).cloned();
        async move { Json::<Value>(json!({"schema": schema.unwrap_or_default()})) }
    };
    let router = Router::new().route("/schemas/ids/{id}", get(answer));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await });
    url
}

#[tokio::test]
async fn schemas_are_those_of_the_registry() {
    let mut schemas = Vec::new();
    let formats = [
        (Format::AvroConfluent, "avro-confluent.url"),
        (Format::ProtobufConfluent, "protobuf-confluent.url"),
    ];
    let written = [1, 2].map(|number| written(formats[number as usize - 1].0, number));
    schemas.extend(written.iter().map(|(_, schema)| schema.clone().unwrap()));
    let url = registry(schemas).await;
    for ((format, option), (messages, _)) in formats.into_iter().zip(&written) {
        let context = context(fields(), format);
        for (bodies, messages) in [(Bodies::Bytes, messages.clone()), (Bodies::Text, base64(messages))] {
            let mut reader = reader(&context, bodies, &[(option, &url)]).unwrap();
            let decoded = read(&mut reader, &messages).await;
            assert!(decoded.bad.is_empty(), "{:?}", decoded.bad);
            assert_eq!(shown(&decoded).len(), 3, "{format:?}");
            assert_eq!(shown(&decoded)[2], row(3, "k2", Some("three")), "{format:?}");
        }
        let error = reader(&context, Bodies::Bytes, &NO_OPTIONS).err().unwrap().to_string();
        assert!(error.contains(option) && error.contains("schema registry"), "{error}");
    }
}

#[tokio::test]
async fn changes_are_rows_with_weights() {
    let mut of_changes = fields();
    of_changes.push(Field::new("_weight", DataType::Int64, false));
    let without_key = context(of_changes, Format::DebeziumJson);
    let error = reader(&without_key, Bodies::Text, &[]).err().unwrap().to_string();
    assert!(error.contains("PRIMARY KEY"), "{error}");
    let context = Context { key: vec!["n".to_owned()], ..without_key };
    let mut reader = reader(&context, Bodies::Text, &[]).unwrap();
    let changes = [
        r#"{"before":null,"after":{"n":1,"text":"a"},"op":"c"}"#,
        "nonsense",
        r#"{"before":{"n":1,"text":"a"},"after":null,"op":"d"}"#,
    ];
    let decoded = read(&mut reader, &changes.map(|change| Bytes::from_static(change.as_bytes()))).await;
    assert_eq!(shown(&decoded), [row(1, "k0", Some("a")), row(1, "k2", Some("a"))]);
    let weights = decoded.rows.column(3).as_primitive::<Int64Type>();
    assert_eq!(weights.values(), &[1, -1]);
    assert!(decoded.bad.len() == 1 && decoded.bad[0].reason.ends_with("(message 1)"), "{:?}", decoded.bad);
}

#[test]
fn formats_of_columns_are_no_messages() {
    for format in [Format::Parquet, Format::Arrow] {
        let error = reader(&context(fields(), format), Bodies::Bytes, &[]).err().unwrap().to_string();
        assert!(error.contains(format.name()) && error.contains("one record"), "{error}");
    }
}
