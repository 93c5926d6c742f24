//! Changes of Debezium, from their JSON to rows.

use std::sync::Arc;

use arrow::array::{AsArray, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef, TimeUnit, TimestampMillisecondType};
use bytes::Bytes;

use super::{Decoded, Decoder, Encoder, Format, FormatOptions};
use crate::bad::RecordFault;

fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("k", DataType::Utf8, false),
        Field::new("n", DataType::Int64, true),
        Field::new("_weight", DataType::Int64, false),
    ]))
}

fn decode(text: &str) -> Decoded {
    let mut decoder = Decoder::new(Format::DebeziumJson, schema(), &FormatOptions::default()).unwrap();
    decoder.decode(Bytes::from(text.to_owned())).unwrap()
}

fn rows(decoded: &Decoded) -> Vec<(String, Option<i64>, i64)> {
    let (keys, numbers) = (decoded.rows.column(0).as_string::<i32>(), decoded.rows.column(1));
    let (numbers, weights) =
        (numbers.as_primitive::<Int64Type>(), decoded.rows.column(2).as_primitive::<Int64Type>());
    let row = |nth: usize| {
        let number = numbers.iter().nth(nth).flatten();
        (keys.value(nth).to_owned(), number, weights.value(nth))
    };
    (0..decoded.rows.num_rows()).map(row).collect()
}

#[test]
fn a_change_is_the_row_that_is_there_after_it_or_is_gone() {
    let decoded = decode(
        r#"{"before":null,"after":{"k":"a","n":1},"source":{"version":"3","ts_ms":5,"db":"d"},"op":"c","ts_ms":7,"transaction":null}
{"op":"r","after":{"n":2,"k":"b"}}

{"before":null,"after":{"k":"a","n":3},"op":"u"}
{"schema":{"type":"struct","fields":[{"op":"x"}]},"payload":{"before":{"k":"b"},"after":null,"op":"d"}}
"#,
    );
    assert!(decoded.bad.is_empty(), "{:?}", decoded.bad);
    let expected = [("a", Some(1), 1), ("b", Some(2), 1), ("a", Some(3), 1), ("b", None, -1)];
    assert_eq!(rows(&decoded), expected.map(|(key, number, weight)| (key.to_owned(), number, weight)));
    let lines: Vec<u64> = decoded.origins.iter().map(|origin| origin.record).collect();
    assert_eq!(lines, [1, 2, 4, 5]);
    assert!(decoded.bytes[decoded.origins[1].range()].starts_with(br#"{"op":"r""#));
}

#[test]
fn what_is_no_change_is_bad_with_all_its_bytes() {
    let decoded = decode(
        "{\"op\":\"u\",\"before\":{\"k\":\"a\"},\"after\":null}\n{\"op\":\"t\"}\n{\"after\":{\"k\":\"a\"}}\n[1]\n\
         {\"op\":\"c\",\"after\":{\"k\":\"a\",\"n\":\"x\"}}\n{\"op\":\"c\",\"after\":{\"k\":\"a\"}} x\n{\"op\":\"c\",\"after\":{\"k\":\"z\",\"n\":9}}\n",
    );
    assert_eq!(rows(&decoded), [("z".to_owned(), Some(9), 1)]);
    let told: Vec<_> = decoded.bad.iter().map(|bad| (bad.record, bad.fault, bad.field.as_deref())).collect();
    let expected = [
        (1, RecordFault::Missing, Some("after")),
        (2, RecordFault::Type, Some("op")),
        (3, RecordFault::Missing, Some("op")),
        (4, RecordFault::Type, None),
        (5, RecordFault::Type, Some("n")),
        (6, RecordFault::Syntax, None),
    ];
    assert_eq!(told, expected);
    assert_eq!(&decoded.bad[4].payload[..], br#"{"op":"c","after":{"k":"a","n":"x"}}"#);
}

#[test]
fn what_is_known_of_a_change_fills_columns() {
    let time = DataType::Timestamp(TimeUnit::Millisecond, None);
    let schema = Arc::new(Schema::new(vec![
        Field::new("at", time, true),
        Field::new("k", DataType::Utf8, true),
        Field::new("of", DataType::Utf8, true),
        Field::new("_weight", DataType::Int64, false),
    ]));
    let metadata = [("at", "source.timestamp"), ("of", "source.table")];
    let options = FormatOptions {
        debezium_metadata: metadata.map(|(column, what)| (column.to_owned(), what.to_owned())).into(),
        ..FormatOptions::default()
    };
    let mut decoder = Decoder::new(Format::DebeziumJson, schema, &options).unwrap();
    let change = r#"{"op":"d","before":{"k":"a","at":1},"ts_ms":9,"source":{"table":"orders","ts_ms":5000}}"#;
    let decoded = decoder.decode_messages(&[Bytes::from_static(change.as_bytes())]).unwrap();
    assert!(decoded.bad.is_empty(), "{:?}", decoded.bad);
    assert_eq!(decoded.rows.column(0).as_primitive::<TimestampMillisecondType>().value(0), 5_000);
    assert_eq!(decoded.rows.column(2).as_string::<i32>().value(0), "orders");
}

#[test]
fn what_is_written_is_read_back() {
    let written = RecordBatch::try_new(
        schema(),
        vec![
            Arc::new(StringArray::from(vec!["a", "a", "b", "a"])),
            Arc::new(Int64Array::from(vec![Some(1), Some(1), None, Some(2)])),
            Arc::new(Int64Array::from(vec![1, -1, 1, 1])),
        ],
    )
    .unwrap();
    let mut text = Vec::new();
    let mut encoder = Encoder::new(Format::DebeziumJson, schema(), &FormatOptions::default()).unwrap();
    encoder.encode(&written, &mut text).unwrap();
    assert_eq!(decode(std::str::from_utf8(&text).unwrap()).rows, written);
}

#[test]
fn without_a_weight_a_row_is_there_once() {
    let mut decoder = Decoder::new(Format::JsonLines, schema(), &FormatOptions::default()).unwrap();
    let lines = Bytes::from_static(b"{\"k\":\"a\",\"n\":1}\n{\"k\":\"a\",\"_weight\":-1}\n");
    let decoded = decoder.decode(lines).unwrap();
    assert!(decoded.bad.is_empty(), "{:?}", decoded.bad);
    assert_eq!(rows(&decoded), [("a".to_owned(), Some(1), 1), ("a".to_owned(), None, -1)]);
}
