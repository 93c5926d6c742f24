//! What CSV becomes: `check(options, input, expect)` and its cases.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use bytes::Bytes;

use super::{Decoded, Decoder, Encoder, Format, FormatOptions};
use crate::options::Options;

fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("station", DataType::Utf8, false),
        Field::new("temp", DataType::Float64, true),
        Field::new("note", DataType::Utf8, true),
    ]))
}

fn decoder(with: &[(&str, &str)]) -> Decoder {
    let options = FormatOptions::take(&mut Options::new("test", with.iter().copied())).unwrap().1;
    Decoder::new(Format::Csv, schema(), &options).unwrap()
}

fn told(decoded: &Decoded) -> String {
    let mut out = Vec::new();
    let rows = &decoded.rows;
    let mut encoder = Encoder::new(Format::JsonLines, rows.schema(), &FormatOptions::default()).unwrap();
    encoder.encode(rows, &mut out).unwrap();
    let mut out = String::from_utf8(out).unwrap();
    for bad in &decoded.bad {
        let field = bad.field.as_deref().unwrap_or("-");
        out += &format!("! {} {} {field}: {}\n", bad.record, bad.code(), bad.reason);
    }
    out
}

fn check(with: &[(&str, &str)], input: &str, expect: &str) {
    let decoded = decoder(with).decode(Bytes::copy_from_slice(input.as_bytes())).unwrap();
    assert_eq!(told(&decoded), expect, "of {input}");
}

#[test]
fn a_header_is_found_and_obeyed() {
    let rows = "{\"station\":\"EWR\",\"temp\":39.02,\"note\":null}\n";
    check(&[], "origin,temp,station\nx,39.02,EWR\n", rows);
    check(&[], "\u{feff}STATION,Temp\r\nEWR,39.02\r\n", rows);
    check(&[("csv.header", "true")], "a,station,temp\n1,EWR,39.02", rows);
    check(&[], "EWR,39.02,\n", rows);
    check(
        &[("csv.header", "false")],
        "station,temp,note\nEWR,39.02,\n",
        concat!(
            "{\"station\":\"EWR\",\"temp\":39.02,\"note\":null}\n",
            "! 1 HW2102 temp: expected DOUBLE, found text \"temp\"\n",
        ),
    );
}

#[test]
fn a_column_that_a_header_names_twice_makes_every_record_bad() {
    check(
        &[],
        "station,temp,Station\nEWR,39.02,JFK\nLGA\n",
        "! 2 HW2101 station: named twice in the header\n! 3 HW2101 station: named twice in the header\n",
    );
    check(&[], "other,station,other\n1,EWR,2\n", "{\"station\":\"EWR\",\"temp\":null,\"note\":null}\n");
}

#[test]
fn quotes_and_nulls() {
    check(
        &[("csv.null-literal", "NA")],
        "\"E,W\",NA,\"say \"\"hi\"\"\"\nJFK,1,\"\"\nLGA,,NA\n\"two\nlines\",2,x\n,1,x\nEWR,3,\"NA\"\n",
        concat!(
            "{\"station\":\"E,W\",\"temp\":null,\"note\":\"say \\\"hi\\\"\"}\n",
            "{\"station\":\"JFK\",\"temp\":1.0,\"note\":\"\"}\n",
            "{\"station\":\"LGA\",\"temp\":null,\"note\":null}\n",
            "{\"station\":\"two\\nlines\",\"temp\":2.0,\"note\":\"x\"}\n",
            "{\"station\":\"EWR\",\"temp\":3.0,\"note\":\"NA\"}\n",
            "! 6 HW2103 station: expected VARCHAR, found null\n",
        ),
    );
}

#[test]
fn separators_are_options() {
    check(
        &[
            ("csv.field-delimiter", ";"),
            ("csv.quote-character", "'"),
            ("csv.escape-character", "\\"),
            ("csv.allow-comments", "true"),
        ],
        "# made by hand\n'a;b';1.5;it\\'s\n'it\\'s';2;\n",
        concat!(
            "{\"station\":\"a;b\",\"temp\":1.5,\"note\":\"it\\\\'s\"}\n",
            "{\"station\":\"it's\",\"temp\":2.0,\"note\":null}\n",
        ),
    );
    check(
        &[("csv.field-delimiter", "\\t")],
        "a\t1\tx\n",
        "{\"station\":\"a\",\"temp\":1.0,\"note\":\"x\"}\n",
    );
    check(
        &[("csv.disable-quote-character", "true")],
        "\"a\",1,\"\n",
        "{\"station\":\"\\\"a\\\"\",\"temp\":1.0,\"note\":\"\\\"\"}\n",
    );
}

#[test]
fn faults_stay_with_their_line() {
    check(
        &[],
        "EWR,1,a\nJFK,2\nLGA,3,b,c\nEWR,\"4\"x,c\nJFK,5,\"never closed\nLGA,6,d\n",
        concat!(
            "{\"station\":\"EWR\",\"temp\":1.0,\"note\":\"a\"}\n",
            "{\"station\":\"LGA\",\"temp\":6.0,\"note\":\"d\"}\n",
            "! 2 HW2108 -: expected 3 fields, found 2\n",
            "! 3 HW2108 -: expected 3 fields, found 4\n",
            "! 4 HW2101 -: expected a delimiter after the closing quote of field 2\n",
            "! 5 HW2101 -: a quote is never closed\n",
        ),
    );
}

#[test]
fn any_cut_of_the_input_gives_the_same() {
    let input: String = "station,temp,note\n".to_owned()
        + &(0..40).map(|n| format!("s{n},{n},\"line\n{n}, with \"\"quotes\"\"\"\n")).collect::<String>();
    let whole = told(&decoder(&[]).decode(Bytes::from(input.clone())).unwrap());
    for size in 1..60 {
        let mut decoder = decoder(&[]);
        let (mut rest, mut out) = (Vec::new(), String::new());
        for chunk in input.as_bytes().chunks(size) {
            rest.extend_from_slice(chunk);
            let whole = decoder.whole_records(&rest);
            let records: Vec<u8> = rest.drain(..whole).collect();
            if !records.is_empty() {
                out += &told(&decoder.decode(records.into()).unwrap());
            }
        }
        assert_eq!(rest, b"", "cut by {size}");
        assert_eq!(out, whole, "cut by {size}");
        assert_eq!(decoder.next_record(), 82);
    }
}

#[test]
fn what_is_written_is_read_back() {
    let input = "a,1.5,\" x\"\n\"b \"\"q\"\"\",,\"\"\n\"c\nd\",-2,plain\n\"#\",0,NA\n";
    let rows = decoder(&[("csv.header", "false")]).decode(Bytes::from(input)).unwrap().rows;
    let mut out = Vec::new();
    Encoder::new(Format::Csv, rows.schema(), &FormatOptions::default())
        .unwrap()
        .encode(&rows, &mut out)
        .unwrap();
    let back = decoder(&[("csv.allow-comments", "true")]).decode(out.into()).unwrap();
    assert_eq!(back.rows, rows);
    assert!(back.bad.is_empty());
}
