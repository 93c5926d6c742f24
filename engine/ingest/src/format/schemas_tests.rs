//! Avro and Protobuf, with and without a registry's numbers, good and bad.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, Float64Array, Int64Array, RecordBatch, StringArray, TimestampMillisecondArray,
};
use arrow::datatypes::{DataType, Field, Float64Type, Int64Type, Schema, SchemaRef, TimeUnit};
use bytes::Bytes;

use super::schemas::prefix;
use super::{Decoded, Decoder, Encoder, Format, FormatOptions, RegisteredSchema};
use crate::bad::RecordFault;

const PROTO: &str = r#"
    syntax = "proto3";
    package fleet;
    import "google/protobuf/timestamp.proto";
    message Other { string text = 1; }
    message Reading {
        string device = 1;
        int64 n = 2;
        optional double temp = 3;
        google.protobuf.Timestamp ts = 4;
        message Inner { int64 n = 1; }
    }
"#;

fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("device", DataType::Utf8, false),
        Field::new("n", DataType::Int64, true),
        Field::new("temp", DataType::Float64, true),
        Field::new("ts", DataType::Timestamp(TimeUnit::Millisecond, None), true),
    ]))
}

fn rows() -> RecordBatch {
    let columns: Vec<ArrayRef> = vec![
        Arc::new(StringArray::from(vec!["a", "b"])),
        Arc::new(Int64Array::from(vec![1 << 60, -2])),
        Arc::new(Float64Array::from(vec![Some(21.5), None])),
        Arc::new(TimestampMillisecondArray::from(vec![1_500, -1_250])),
    ];
    RecordBatch::try_new(schema(), columns).unwrap()
}

fn protobuf() -> FormatOptions {
    FormatOptions {
        protobuf_schema: Some(PROTO.to_owned()),
        protobuf_message: Some("fleet.Reading".to_owned()),
        ..FormatOptions::default()
    }
}

fn encode(format: Format, options: &FormatOptions, id: Option<u32>) -> Vec<Bytes> {
    let mut encoder = Encoder::new(format, schema(), options).unwrap();
    if let Some(id) = id {
        encoder.set_schema_id(id);
    }
    let mut out = Vec::new();
    let messages = encoder.encode_messages(&rows(), &mut out).unwrap();
    messages.into_iter().map(|(_, at)| Bytes::copy_from_slice(&out[at])).collect()
}

fn decode(format: Format, options: &FormatOptions, messages: &[Bytes]) -> Decoded {
    Decoder::new(format, schema(), options).unwrap().decode_messages(messages).unwrap()
}

fn bad(decoded: &Decoded) -> Vec<(u64, RecordFault)> {
    decoded.bad.iter().map(|bad| (bad.record, bad.fault)).collect()
}

#[test]
fn what_was_written_is_read_again() {
    for (format, options) in [(Format::Avro, FormatOptions::default()), (Format::Protobuf, protobuf())] {
        let messages = encode(format, &options, None);
        assert_eq!(messages.len(), 2);
        let decoded = decode(format, &options, &messages);
        assert_eq!((decoded.rows, decoded.bad), (rows(), Vec::new()), "{format:?}");
    }
}

#[test]
fn a_bad_message_leaves_its_neighbours_alone() {
    for (format, options) in [(Format::Avro, FormatOptions::default()), (Format::Protobuf, protobuf())] {
        let good = encode(format, &options, None);
        let cut = good[0].slice(..good[0].len() - 3);
        let mut longer = good[0].to_vec();
        longer.extend_from_slice(b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff");
        let messages = [good[0].clone(), cut, good[1].clone(), longer.into(), good[1].clone()];
        let decoded = decode(format, &options, &messages);
        assert_eq!(bad(&decoded), [(2, RecordFault::Syntax), (4, RecordFault::Syntax)], "{format:?}");
        let n = decoded.rows.column(1).as_primitive::<Int64Type>().values().to_vec();
        assert_eq!(n, [1 << 60, -2, -2], "{format:?}");
        assert_eq!(decoded.bad[0].payload, messages[1]);
    }
}

#[test]
fn noise_never_panics() {
    let mut noise = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = || {
        noise ^= noise << 13;
        noise ^= noise >> 7;
        noise ^= noise << 17;
        noise
    };
    for (format, options) in [(Format::Avro, FormatOptions::default()), (Format::Protobuf, protobuf())] {
        let good = encode(format, &options, None);
        for _ in 0..300 {
            let mut message = good[next() as usize % 2].to_vec();
            let at = next() as usize % message.len();
            message[at] = next() as u8;
            let decoded = decode(format, &options, &[good[0].clone(), message.into(), good[1].clone()]);
            assert_eq!(decoded.rows.num_rows() + decoded.bad.len(), 3, "{format:?}");
        }
    }
}

#[test]
fn numbered_schemas_may_change_from_message_to_message() {
    let options = FormatOptions::default();
    let put = |id: u32, text: &str| {
        let schema = RegisteredSchema { text: text.to_owned(), references: BTreeMap::new() };
        options.schemas.put(id, Some(schema));
    };
    let own = Encoder::new(Format::AvroConfluent, schema(), &options).unwrap();
    put(7, own.schema_text().unwrap());
    // An older schema of the same stream: fewer fields, another order, a smaller number.
    put(
        3,
        r#"{"type":"record","name":"reading","fields":[{"name":"n","type":"int"},
            {"name":"device","type":"string"},{"name":"unknown","type":["null","string"],"default":null}]}"#,
    );
    let new = encode(Format::AvroConfluent, &options, Some(7));
    let mut old = prefix(3).to_vec();
    old.extend_from_slice(&[84, 2, b'o', 0]);
    let mut lost = prefix(9).to_vec();
    lost.push(0);
    let messages =
        [new[0].clone(), old.into(), new[1].clone(), lost.into(), Bytes::from_static(b"no prefix")];
    assert_eq!(options.schemas.missing(messages.iter().map(Bytes::as_ref)), [9].into());
    options.schemas.put(9, None);
    assert!(options.schemas.missing(messages.iter().map(Bytes::as_ref)).is_empty());
    let decoded = decode(Format::AvroConfluent, &options, &messages);
    let n = decoded.rows.column(1).as_primitive::<Int64Type>().values().to_vec();
    assert_eq!(n, [1 << 60, 42, -2]);
    assert_eq!(decoded.rows.column(0).as_string::<i32>().value(1), "o");
    assert!(decoded.rows.column(2).is_null(1));
    assert_eq!(decoded.rows.column(2).as_primitive::<Float64Type>().value(0), 21.5);
    assert_eq!(bad(&decoded), [(4, RecordFault::Syntax), (5, RecordFault::Syntax)]);
    assert_eq!(decoded.bad[0].reason, "the registry has no schema 9");
}

#[test]
fn a_numbered_message_of_protobuf_says_where_in_its_file_it_is() {
    let options = protobuf();
    options.schemas.put(5, Some(RegisteredSchema { text: PROTO.to_owned(), references: BTreeMap::new() }));
    let messages = encode(Format::ProtobufConfluent, &options, Some(5));
    // The second message of the file: one number, which is 1, as zigzag varints.
    assert_eq!(&messages[0][..7], [0, 0, 0, 0, 5, 2, 2]);
    let mut first_of_file = prefix(5).to_vec();
    first_of_file.push(0);
    let no_such = [&prefix(5)[..], &[2, 40]].concat();
    let all = [messages[0].clone(), first_of_file.into(), messages[1].clone(), no_such.into()];
    let decoded = decode(Format::ProtobufConfluent, &options, &all);
    assert_eq!(decoded.rows, rows());
    // `Other` has no device, which must be there.
    assert_eq!(bad(&decoded), [(2, RecordFault::Missing), (4, RecordFault::Syntax)]);
}

#[test]
fn imports_are_found_among_the_references() {
    let text = r#"syntax = "proto3"; import "fleet/device.proto"; message R { fleet.Device device = 1; }"#;
    let device = r#"syntax = "proto3"; package fleet; message Device { string name = 1; }"#;
    let references = BTreeMap::from([("fleet/device.proto".to_owned(), device.to_owned())]);
    let options = FormatOptions::default();
    options.schemas.put(1, Some(RegisteredSchema { text: text.to_owned(), references }));
    let mut message = prefix(1).to_vec();
    message.extend_from_slice(&[0, 10, 4, 10, 2, b'd', b'1']);
    let decoded = decode(Format::ProtobufConfluent, &options, &[message.into()]);
    assert_eq!(decoded.bad, Vec::new());
    assert_eq!(decoded.rows.column(0).as_string::<i32>().value(0), r#"{"name":"d1"}"#);
}

#[test]
fn mistakes_in_options_are_told() {
    let told = |options: &FormatOptions| {
        Decoder::new(Format::Protobuf, schema(), options).err().unwrap().to_string()
    };
    assert!(told(&FormatOptions::default()).contains("protobuf.schema"));
    let named = FormatOptions { protobuf_message: Some("Reading".to_owned()), ..protobuf() };
    assert!(told(&named).contains("fleet.Reading"), "{}", told(&named));
    let broken = FormatOptions { protobuf_schema: Some("message {".to_owned()), ..protobuf() };
    assert!(told(&broken).contains("Protobuf"), "{}", told(&broken));
}
