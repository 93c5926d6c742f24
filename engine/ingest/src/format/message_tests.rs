//! Values, keys and metadata of messages, good and bad.

use std::sync::Arc;

use arrow::array::{AsArray, Int64Array, RecordBatch};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef};
use bytes::Bytes;

use super::{Encoder, Format, FormatOptions, KeyFormat, MessageDecoder, Messages};
use crate::bad::RecordFault;

fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("device", DataType::Utf8, true),
        Field::new("n", DataType::Int64, false),
        Field::new("at", DataType::Int32, false),
    ]))
}

/// Messages with these values and keys, numbered from `first`.
fn messages(first: u64, values: &[Option<&str>], keys: &[Option<&str>], about: RecordBatch) -> Messages {
    let mut bytes = Vec::new();
    let mut lay = |part: &Option<&str>| {
        part.map(|text| {
            let start = bytes.len();
            bytes.extend_from_slice(text.as_bytes());
            start..bytes.len()
        })
    };
    let (mut at, mut key_at) = (Vec::new(), Vec::new());
    // As they come: the value and then the key of each message.
    for (nth, value) in values.iter().enumerate() {
        at.push(lay(value));
        key_at.extend(keys.get(nth).map(&mut lay));
    }
    let numbers = (first..).take(values.len()).collect();
    Messages { bytes: Bytes::from(bytes), values: at, keys: key_at, numbers, about }
}

fn about(offsets: std::ops::Range<i64>) -> RecordBatch {
    RecordBatch::try_from_iter([("at", Arc::new(Int64Array::from_iter_values(offsets)) as _)]).unwrap()
}

fn decoder(key: Option<KeyFormat>) -> MessageDecoder {
    let options = FormatOptions::default();
    MessageDecoder::new(&schema(), &["at"], (Format::JsonLines, &options), key).unwrap()
}

fn numbers(rows: &RecordBatch, column: &str) -> Vec<i64> {
    let column = arrow::compute::cast(rows.column_by_name(column).unwrap(), &DataType::Int64).unwrap();
    column.as_primitive::<Int64Type>().values().to_vec()
}

#[test]
fn values_and_metadata_become_rows_and_what_is_bad_keeps_its_number() {
    let values = [Some(r#"{"device":"a","n":1}"#), Some("oops"), None, Some(r#"{"n":4}"#)];
    let mut messages = messages(10, &values, &[], about(10..14));
    messages.numbers[3] = 15;
    for _ in 0..2 {
        let mut decoder = decoder(None);
        let decoded = decoder.decode(&messages).unwrap();
        assert_eq!(numbers(&decoded.rows, "n"), [1, 4]);
        assert_eq!(numbers(&decoded.rows, "at"), [10, 13]);
        let bad: Vec<_> = decoded.bad.iter().map(|bad| (bad.record, bad.fault, &bad.payload[..])).collect();
        assert_eq!(bad, [(11, RecordFault::Syntax, &b"oops"[..]), (12, RecordFault::Missing, b"")]);
        let origins: Vec<_> =
            decoded.origins.iter().map(|at| (at.record, &decoded.bytes[at.range()])).collect();
        assert_eq!(origins, [(10, &br#"{"device":"a","n":1}"#[..]), (15, br#"{"n":4}"#)]);
    }
}

#[test]
fn metadata_that_does_not_fit_is_bad_like_the_rest() {
    let about = RecordBatch::try_from_iter([("at", Arc::new(Int64Array::from(vec![1 << 40, 5])) as _)]);
    let messages = messages(7, &[Some(r#"{"n":1}"#), Some(r#"{"n":2}"#)], &[], about.unwrap());
    let decoded = decoder(None).decode(&messages).unwrap();
    assert_eq!(numbers(&decoded.rows, "n"), [2]);
    assert_eq!((decoded.bad[0].record, decoded.bad[0].fault), (7, RecordFault::Range));
    assert_eq!(&decoded.bad[0].payload[..], br#"{"n":1}"#);
}

#[test]
fn a_key_gives_its_columns_and_both_parts_must_be_good() {
    let key = KeyFormat {
        format: Format::JsonLines,
        options: FormatOptions::default(),
        fields: vec!["device".to_owned()],
        prefix: "dev".to_owned(),
        also_in_value: false,
    };
    let values = [Some(r#"{"n":1}"#), Some(r#"{"n":2}"#), Some(r#"{"n":"x"}"#), Some(r#"{"n":4}"#)];
    let keys = [Some(r#"{"ice":"a"}"#), Some("{"), Some(r#"{"ice":"c"}"#), None];
    let decoded = decoder(Some(key)).decode(&messages(0, &values, &keys, about(0..4))).unwrap();
    assert_eq!(numbers(&decoded.rows, "n"), [1]);
    let origins: Vec<_> = decoded.origins.iter().map(|at| (at.record, &decoded.bytes[at.range()])).collect();
    assert_eq!(origins, [(0, &br#"{"n":1}"#[..])], "only of what is good in both parts");
    assert_eq!(&decoded.bad[1].payload[..], br#"{"n":"x"}"#);
    assert_eq!(decoded.rows.column(0).as_string::<i32>().value(0), "a");
    let bad: Vec<_> = decoded.bad.iter().map(|bad| (bad.record, bad.reason.as_ref())).collect();
    assert_eq!(bad.iter().map(|bad| bad.0).collect::<Vec<_>>(), [1, 2, 3]);
    assert_eq!(bad[2].1, "the message has no key");
}

#[test]
fn each_row_is_a_message_of_its_own() {
    let rows = RecordBatch::try_from_iter([
        ("text", Arc::new(arrow::array::StringArray::from(vec!["a\nb", "c"])) as _),
        ("_weight", Arc::new(Int64Array::from(vec![2, -1])) as _),
    ])
    .unwrap();
    let check = |format, rows: &RecordBatch, expected: &[(usize, &str)]| {
        let mut encoder = Encoder::new(format, rows.schema(), &FormatOptions::default()).unwrap();
        let mut out = b"before".to_vec();
        let messages = encoder.encode_messages(rows, &mut out).unwrap();
        let messages: Vec<_> =
            messages.into_iter().map(|(row, at)| (row, std::str::from_utf8(&out[at]).unwrap())).collect();
        assert_eq!(messages, expected, "{format:?}");
    };
    check(
        Format::JsonLines,
        &rows,
        &[(0, r#"{"text":"a\nb","_weight":2}"#), (1, r#"{"text":"c","_weight":-1}"#)],
    );
    check(Format::Csv, &rows, &[(0, "\"a\nb\",2"), (1, "c,-1")]);
    check(Format::Raw, &rows.project(&[0]).unwrap(), &[(0, "a\nb"), (1, "c")]);
    let added = r#"{"before":null,"after":{"text":"a\nb"},"op":"c"}"#;
    let gone = r#"{"before":{"text":"c"},"after":null,"op":"d"}"#;
    check(Format::DebeziumJson, &rows, &[(0, added), (0, added), (1, gone)]);
}

fn upserts(also_in_value: bool) -> MessageDecoder {
    let schema = Arc::new(Schema::new(vec![
        Field::new("device", DataType::Utf8, false),
        Field::new("n", DataType::Int64, true),
        Field::new("at", DataType::Int32, false),
        Field::new("_weight", DataType::Int64, false),
    ]));
    let key = KeyFormat {
        format: Format::JsonLines,
        options: FormatOptions::default(),
        fields: vec!["device".to_owned()],
        prefix: String::new(),
        also_in_value,
    };
    MessageDecoder::upsert(&schema, &["at"], (Format::JsonLines, &FormatOptions::default()), &key).unwrap()
}

#[test]
fn a_message_without_value_deletes_the_row_of_its_key() {
    let keys = [Some(r#"{"device":"a"}"#), Some(r#"{"device":"b"}"#), Some(r#"{"device":"c"}"#), None];
    let messages = |first| messages(10, &[Some(first), None, Some("oops"), None], &keys, about(10..14));
    for (also_in_value, first) in [(true, r#"{"device":"a","n":1}"#), (false, r#"{"n":1}"#)] {
        let decoded = upserts(also_in_value).decode(&messages(first)).unwrap();
        let rows = &decoded.rows;
        assert_eq!(rows.column(0).as_string::<i32>().iter().collect::<Vec<_>>(), [Some("a"), Some("b")]);
        let values = rows.column(1).as_primitive::<Int64Type>();
        assert_eq!(values.iter().collect::<Vec<_>>(), [Some(1), None]);
        assert_eq!((numbers(rows, "at"), numbers(rows, "_weight")), (vec![10, 11], vec![1, -1]));
        let bad: Vec<_> = decoded.bad.iter().map(|bad| (bad.record, bad.fault)).collect();
        assert_eq!(bad, [(12, RecordFault::Syntax), (13, RecordFault::Missing)]);
    }
}

#[test]
fn behind_a_deletion_of_debezium_an_empty_message_says_nothing() {
    let schema = Arc::new(Schema::new(vec![
        Field::new("device", DataType::Utf8, true),
        Field::new("_weight", DataType::Int64, false),
    ]));
    let options = FormatOptions::default();
    let mut decoder = MessageDecoder::new(&schema, &[], (Format::DebeziumJson, &options), None).unwrap();
    let nothing = arrow::array::RecordBatchOptions::new().with_row_count(Some(3));
    let values = [
        Some(r#"{"before":{"device":"a"},"after":null,"op":"d"}"#),
        None,
        Some(r#"{"after":{"device":"b"},"op":"c"}"#),
    ];
    let about = RecordBatch::try_new_with_options(Arc::new(Schema::empty()), Vec::new(), &nothing).unwrap();
    let decoded = decoder.decode(&messages(1, &values, &[], about)).unwrap();
    assert!(decoded.bad.is_empty(), "{:?}", decoded.bad);
    assert_eq!(numbers(&decoded.rows, "_weight"), [-1, 1]);
}
