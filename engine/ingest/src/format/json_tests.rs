//! What JSON becomes: `check(schema, input, expect)` and its cases.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Fields, Schema, SchemaRef, TimeUnit};
use bytes::Bytes;

use super::{Decoded, Decoder, Encoder, Format, FormatOptions};
use crate::options::Options;

fn schema(fields: Vec<Field>) -> SchemaRef {
    Arc::new(Schema::new(fields))
}

fn options(entries: &[(&str, &str)]) -> FormatOptions {
    FormatOptions::take(&mut Options::new("test", entries.iter().copied())).unwrap().1
}

/// The good rows as JSON lines, then the bad records: number, code, field, reason.
fn told(decoded: &Decoded) -> String {
    let mut out = Vec::new();
    let mut encoder =
        Encoder::new(Format::JsonLines, decoded.rows.schema(), &FormatOptions::default()).unwrap();
    encoder.encode(&decoded.rows, &mut out).unwrap();
    let mut out = String::from_utf8(out).unwrap();
    for bad in &decoded.bad {
        let field = bad.field.as_deref().unwrap_or("-");
        out += &format!("! {} {} {field}: {}\n", bad.record, bad.code(), bad.reason);
    }
    out
}

fn check_as(format: Format, schema: &SchemaRef, with: &[(&str, &str)], input: &str, expect: &str) {
    let mut decoder = Decoder::new(format, Arc::clone(schema), &options(with)).unwrap();
    let decoded = decoder.decode(Bytes::copy_from_slice(input.as_bytes())).unwrap();
    assert_eq!(told(&decoded), expect, "of {input}");
    // Every good row knows where it came from, and rows and bad records together are all records.
    assert_eq!(decoded.origins.len(), decoded.rows.num_rows());
    // The same again: nothing may be left over from the call before.
    decoder.restart();
    assert_eq!(told(&decoder.decode(Bytes::copy_from_slice(input.as_bytes())).unwrap()), expect);
}

fn check(schema: &SchemaRef, input: &str, expect: &str) {
    check_as(Format::JsonLines, schema, &[], input, expect);
}

fn readings() -> SchemaRef {
    schema(vec![
        Field::new("id", DataType::Int32, false),
        Field::new("temp", DataType::Float64, true),
        Field::new("site", DataType::Utf8, true),
    ])
}

#[test]
fn good_lines_are_kept_among_bad_ones() {
    check(
        &readings(),
        concat!(
            "{\"id\":1,\"temp\":20.5,\"site\":\"a\"}\n",
            "{\"id\":2,\"temp\":\"hot\"}\n",
            "\n",
            "{\"id\":4\n",
            "{\"site\":\"b\", \"id\" : 5 , \"temp\":null}\r\n",
            "{\"temp\":1}\n",
            "[1]\n",
            "{\"id\":8} x",
        ),
        concat!(
            "{\"id\":1,\"temp\":20.5,\"site\":\"a\"}\n",
            "{\"id\":5,\"temp\":null,\"site\":\"b\"}\n",
            "! 2 HW2102 temp: expected DOUBLE, found text \"hot\"\n",
            "! 4 HW2101 -: expected ',' or '}' at byte 8, found the end\n",
            "! 6 HW2103 id: expected INT, found no such field\n",
            "! 7 HW2102 -: expected an object, found an array\n",
            "! 8 HW2101 -: expected the end of the record at byte 10, found 'x'\n",
        ),
    );
}

#[test]
fn payloads_are_the_bytes_of_the_record() {
    let mut decoder = Decoder::new(Format::JsonLines, readings(), &FormatOptions::default()).unwrap();
    let decoded = decoder.decode(Bytes::from_static(b"{\"id\":1}\n{\"id\": oops}\n\xff\xfe\n")).unwrap();
    let payloads: Vec<&[u8]> = decoded.bad.iter().map(|bad| &bad.payload[..]).collect();
    assert_eq!(payloads, [&b"{\"id\": oops}"[..], b"\xff\xfe"]);
    assert_eq!(decoded.bad[1].code().as_str(), "HW2107");
    assert_eq!(&decoded.bytes[decoded.origins[0].range()], b"{\"id\":1}");
}

#[test]
fn numbers_must_fit() {
    check(
        &readings(),
        concat!(
            "{\"id\":2147483648}\n",
            "{\"id\":99999999999999999999999999999999999999999999}\n",
            "{\"id\":1.5}\n",
            "{\"id\":\"7\"}\n",
            "{\"id\":8.0,\"temp\":1e400}\n",
            "{\"id\":9e0,\"temp\":-1.25e-3}\n",
            "{\"id\":true}\n",
            "{\"id\":null}\n",
            "{\"id\":01}\n",
        ),
        concat!(
            "{\"id\":7,\"temp\":null,\"site\":null}\n",
            "{\"id\":9,\"temp\":-0.00125,\"site\":null}\n",
            "! 1 HW2105 id: number 2147483648 does not fit INT\n",
            "! 2 HW2105 id: number 9999999999999999999999999999999999999999… does not fit INT\n",
            "! 3 HW2102 id: expected INT, found number 1.5\n",
            "! 5 HW2105 temp: number 1e400 does not fit DOUBLE\n",
            "! 7 HW2102 id: expected INT, found a boolean\n",
            "! 8 HW2103 id: expected INT, found null\n",
            "! 9 HW2101 id: expected a number without leading zeros at byte 7, found '0'\n",
        ),
    );
}

#[test]
fn text_columns_take_any_value() {
    let schema = schema(vec![Field::new("v", DataType::Utf8View, true)]);
    check(
        &schema,
        "{\"v\":12.50}\n{\"v\":{\"a\": [1]}}\n{\"v\":false}\n{\"v\":\"\\u00e4\\n\\ud83d\\ude00\"}\n",
        "{\"v\":\"12.50\"}\n{\"v\":\"{\\\"a\\\": [1]}\"}\n{\"v\":\"false\"}\n{\"v\":\"ä\\n😀\"}\n",
    );
}

#[test]
fn nested_values_and_their_faults() {
    let point =
        Fields::from(vec![Field::new("x", DataType::Int64, false), Field::new("y", DataType::Int64, true)]);
    let entries = Fields::from(vec![
        Field::new("key", DataType::Utf8, false),
        Field::new("value", DataType::Float64, true),
    ]);
    let item = Field::new("item", DataType::Int16, true);
    let schema = schema(vec![
        Field::new("p", DataType::Struct(point), true),
        Field::new("l", DataType::List(item.into()), true),
        Field::new(
            "m",
            DataType::Map(Field::new("entries", DataType::Struct(entries), false).into(), false),
            true,
        ),
    ]);
    check(
        &schema,
        concat!(
            "{\"p\":{\"y\":2,\"x\":1},\"l\":[1,null,3],\"m\":{\"a\":1.5,\"b\":null}}\n",
            "{\"l\":[1,2,99999]}\n",
            "{\"l\":[7],\"p\":{\"y\":2}}\n",
            "{\"m\":{\"a\":1,\"b\":\"x\"}}\n",
            "{\"p\":null,\"l\":[],\"m\":{}}\n",
            "{\"p\":[1]}\n",
        ),
        concat!(
            "{\"p\":{\"x\":1,\"y\":2},\"l\":[1,null,3],\"m\":{\"a\":1.5,\"b\":null}}\n",
            "{\"p\":null,\"l\":[],\"m\":{}}\n",
            "! 2 HW2105 l: number 99999 does not fit SMALLINT\n",
            "! 3 HW2103 p.x: expected BIGINT, found no such field\n",
            "! 4 HW2102 m: expected DOUBLE, found text \"x\"\n",
            "! 6 HW2102 p: expected ROW, found an array\n",
        ),
    );
}

#[test]
fn times_decimals_and_bytes() {
    let schema = schema(vec![
        Field::new("ts", DataType::Timestamp(TimeUnit::Millisecond, None), true),
        Field::new("d", DataType::Date32, true),
        Field::new("t", DataType::Time64(TimeUnit::Microsecond), true),
        Field::new("price", DataType::Decimal128(6, 2), true),
        Field::new("raw", DataType::Binary, true),
    ]);
    check(
        &schema,
        concat!(
            "{\"ts\":\"2013-01-01T06:00:00+01:00\",\"d\":\"2013-01-02\",\"t\":\"06:30:00.25\",\"price\":12.345,\"raw\":\"AQI=\"}\n",
            "{\"ts\":\"2013-01-01 06:00:00.125\",\"price\":\"-1\"}\n",
            "{\"ts\":1357020000000}\n",
            "{\"price\":12345.678}\n",
            "{\"raw\":\"***\"}\n",
            "{\"d\":\"2013-02-30\"}\n",
        ),
        concat!(
            "{\"ts\":\"2013-01-01T05:00:00\",\"d\":\"2013-01-02\",\"t\":\"06:30:00.250\",\"price\":12.35,\"raw\":\"AQI=\"}\n",
            "{\"ts\":\"2013-01-01T06:00:00.125\",\"d\":null,\"t\":null,\"price\":-1.00,\"raw\":null}\n",
            "! 3 HW2102 ts: expected TIMESTAMP as text (or set option timestamp-format), found number 1357020000000\n",
            "! 4 HW2105 price: number 12345.678 does not fit DECIMAL(6, 2)\n",
            "! 5 HW2102 raw: expected BYTES (base64), found text \"***\"\n",
            "! 6 HW2102 d: expected DATE, found text \"2013-02-30\"\n",
        ),
    );
    let nanos = self::schema(vec![Field::new(
        "ts",
        DataType::Timestamp(TimeUnit::Nanosecond, Some("UTC".into())),
        true,
    )]);
    check_as(
        Format::JsonLines,
        &nanos,
        &[("timestamp-format", "epoch-millis")],
        "{\"ts\":1357020000500}\n{\"ts\":\"1357020000500.25\"}\n{\"ts\":\"2013-01-01T06:00:00Z\"}\n{\"ts\":99999999999999}\n",
        concat!(
            "{\"ts\":\"2013-01-01T06:00:00.5Z\"}\n",
            "{\"ts\":\"2013-01-01T06:00:00.50025Z\"}\n",
            "{\"ts\":\"2013-01-01T06:00:00Z\"}\n",
            "! 4 HW2105 ts: number 99999999999999 does not fit TIMESTAMP\n",
        ),
    );
}

#[test]
fn strictness_is_an_option() {
    let input =
        "{\"id\":1,\"extra\":{\"deep\":[1,2]},\"temp\":2,\"site\":\"s\"}\n{\"id\":2}\n{\"id\":3,\"id\":4}\n";
    check_as(
        Format::JsonLines,
        &readings(),
        &[],
        input,
        concat!(
            "{\"id\":1,\"temp\":2.0,\"site\":\"s\"}\n",
            "{\"id\":2,\"temp\":null,\"site\":null}\n",
            "! 3 HW2101 id: given twice\n",
        ),
    );
    check_as(
        Format::JsonLines,
        &readings(),
        &[("json.fail-on-unknown-field", "true"), ("json.fail-on-missing-field", "true")],
        input,
        concat!(
            "! 1 HW2104 extra: the stream has no such column\n",
            "! 2 HW2103 temp: expected DOUBLE, found no such field\n",
            "! 3 HW2101 id: given twice\n",
        ),
    );
}

#[test]
fn records_are_bounded() {
    let deep = format!("{{\"id\":1,\"x\":{}1{}}}", "[".repeat(70), "]".repeat(70));
    let long = format!("{{\"id\":1,\"site\":\"{}\"}}", "x".repeat(300));
    check_as(
        Format::JsonLines,
        &readings(),
        &[("record-bytes-max", "200 B")],
        &format!("{deep}\n{long}\n{{\"id\":3}}\n"),
        concat!(
            "{\"id\":3,\"temp\":null,\"site\":null}\n",
            "! 1 HW2106 -: nested too deeply\n",
            "! 2 HW2106 -: 318 bytes, the most is 200\n",
        ),
    );
}

#[test]
fn arrays_keep_their_good_elements() {
    check_as(
        Format::JsonArray,
        &readings(),
        &[],
        " [ {\"id\":1}, nonsense , {\"id\":\"x, ]\"},\n{\"id\":4,\"site\":\"]},{\"} ] ",
        concat!(
            "{\"id\":1,\"temp\":null,\"site\":null}\n",
            "{\"id\":4,\"temp\":null,\"site\":\"]},{\"}\n",
            "! 2 HW2101 -: expected null at byte 1, found 'n'\n",
            "! 3 HW2102 id: expected INT, found text \"x, ]\"\n",
        ),
    );
    check_as(
        Format::JsonArray,
        &readings(),
        &[],
        "{\n \"id\": 1\n}\n",
        "{\"id\":1,\"temp\":null,\"site\":null}\n",
    );
    check_as(Format::JsonArray, &readings(), &[], "[]", "");
    check_as(
        Format::JsonArray,
        &readings(),
        &[],
        "[{\"id\":1},{\"id\":2",
        "{\"id\":1,\"temp\":null,\"site\":null}\n! 2 HW2101 -: expected ',' or '}' at byte 8, found the end\n",
    );
    check_as(
        Format::JsonArray,
        &readings(),
        &[],
        "[{\"id\":1}] {\"id\":2}",
        "{\"id\":1,\"temp\":null,\"site\":null}\n! 2 HW2101 -: expected the end after the array\n",
    );
    let mut decoder = Decoder::new(Format::JsonArray, readings(), &FormatOptions::default()).unwrap();
    assert_eq!(decoder.decode(Bytes::from_static(b"hello")).unwrap_err().code().as_str(), "HW2003");
}

#[test]
fn an_array_that_is_not_closed_says_so() {
    let row = "{\"id\":1,\"temp\":null,\"site\":null}\n";
    for (input, reason) in [
        ("[{\"id\":1}", "expected ',' or ']' after an element, found the end"),
        ("[{\"id\":1}\n", "expected ',' or ']' after an element, found the end"),
        ("[{\"id\":1}}", "expected ',' or ']' after an element, found '}'"),
        ("[{\"id\":1},", "expected a value at byte 1, found the end"),
    ] {
        check_as(Format::JsonArray, &readings(), &[], input, &format!("{row}! 2 HW2101 -: {reason}\n"));
    }
}

#[test]
fn a_mark_before_the_text_is_passed_over() {
    let row = "{\"id\":1,\"temp\":null,\"site\":null}\n";
    check_as(Format::JsonLines, &readings(), &[], "\u{feff}{\"id\":1}\n", row);
    check_as(Format::JsonArray, &readings(), &[], "\u{feff}[{\"id\":1}]", row);
    check_as(
        Format::JsonLines,
        &readings(),
        &[],
        "{\"id\":1}\n\u{feff}{\"id\":2}\n",
        &format!("{row}! 2 HW2101 -: expected a value at byte 1, found '\\u{{feff}}'\n"),
    );
}

#[test]
fn messages_are_records() {
    let mut decoder = Decoder::new(Format::JsonLines, readings(), &FormatOptions::default()).unwrap();
    let messages = [&b"{\"id\":1,\n\"temp\":1}"[..], b"", b"{\"id\":3}"].map(Bytes::from_static);
    assert_eq!(
        told(&decoder.decode_messages(&messages).unwrap()),
        concat!(
            "{\"id\":1,\"temp\":1.0,\"site\":null}\n",
            "{\"id\":3,\"temp\":null,\"site\":null}\n",
            "! 2 HW2101 -: expected a value at byte 1, found the end\n",
        )
    );
}

#[test]
fn any_cut_of_the_input_between_records_gives_the_same() {
    let input: String = (0..50).map(|id| format!("{{\"id\":{id},\"site\":\"s{id}\"}}\n")).collect();
    let whole = {
        let mut decoder = Decoder::new(Format::JsonLines, readings(), &FormatOptions::default()).unwrap();
        told(&decoder.decode(Bytes::from(input.clone())).unwrap())
    };
    for size in [1, 7, 100, 1000] {
        let mut decoder = Decoder::new(Format::JsonLines, readings(), &FormatOptions::default()).unwrap();
        let (mut rest, mut out) = (Vec::new(), String::new());
        for chunk in input.as_bytes().chunks(size) {
            rest.extend_from_slice(chunk);
            let whole = decoder.whole_records(&rest);
            let records: Vec<u8> = rest.drain(..whole).collect();
            out += &told(&decoder.decode(records.into()).unwrap());
        }
        assert!(rest.is_empty());
        assert_eq!(out, whole);
        assert_eq!(decoder.next_record(), 51);
    }
}

#[test]
fn records_have_names_with_the_capital_letters_that_they_were_written_with() {
    let place = DataType::Struct(Fields::from(vec![Field::new("placename", DataType::Utf8, true)]));
    let item = Arc::new(Field::new("item", place.clone(), true));
    let schema = schema(vec![
        Field::new("userid", DataType::Int32, true),
        Field::new("at", place, true),
        Field::new("been", DataType::List(item), true),
    ]);
    let names = [("field-names", "userId,placeName")];
    let input = concat!(
        r#"{"userId":1,"at":{"placeName":"x"},"been":[{"placeName":"y"}]}"#,
        "\n",
        r#"{"been":[{"placename":"z"}],"userid":2,"UserId":7}"#,
        "\n",
    );
    let expect = concat!(
        r#"{"userid":1,"at":{"placename":"x"},"been":[{"placename":"y"}]}"#,
        "\n",
        r#"{"userid":2,"at":null,"been":[{"placename":"z"}]}"#,
        "\n",
    );
    check_as(Format::JsonLines, &schema, &names, input, expect);
    check_as(
        Format::JsonLines,
        &schema,
        &[],
        r#"{"userId":1}"#,
        "{\"userid\":null,\"at\":null,\"been\":null}\n",
    );

    let mut decoder = Decoder::new(Format::JsonLines, schema.clone(), &options(&names)).unwrap();
    let rows = decoder.decode(Bytes::copy_from_slice(input.as_bytes())).unwrap().rows;
    let mut written = Vec::new();
    let mut encoder = Encoder::new(Format::JsonLines, schema, &options(&names)).unwrap();
    encoder.encode(&rows, &mut written).unwrap();
    assert_eq!(
        String::from_utf8(written).unwrap(),
        concat!(
            r#"{"userId":1,"at":{"placeName":"x"},"been":[{"placeName":"y"}]}"#,
            "\n",
            r#"{"userId":2,"at":null,"been":[{"placeName":"z"}]}"#,
            "\n",
        )
    );
}
