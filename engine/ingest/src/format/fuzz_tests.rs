//! Damaged input: whatever the bytes, an answer and no panic; and damage to one line leaves the other lines as they were.

use std::sync::Arc;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef, TimeUnit};
use bytes::Bytes;

use super::{Decoder, Encoder, Format, FormatOptions};

fn schema() -> SchemaRef {
    let item = Field::new("item", DataType::Float64, true);
    Arc::new(Schema::new(vec![
        Field::new("n", DataType::Int64, false),
        Field::new("text", DataType::Utf8View, true),
        Field::new("ts", DataType::Timestamp(TimeUnit::Millisecond, None), true),
        Field::new("list", DataType::List(item.into()), true),
        Field::new("price", DataType::Decimal128(10, 2), true),
    ]))
}

/// The bytes of some rows, whose `n` counts from 0.
fn encoded(format: Format, rows: usize) -> Vec<u8> {
    let line = |n: usize| {
        format!(
            "{{\"n\":{n},\"text\":\"t\\u00e4 \\\"{n}\",\"ts\":\"2013-01-01T00:00:00Z\",\"list\":[1,null,2.5],\"price\":{n}.25}}\n"
        )
    };
    let lines: String = (0..rows).map(line).collect();
    let mut decoder = Decoder::new(Format::JsonLines, schema(), &FormatOptions::default()).unwrap();
    let batch = decoder.decode(lines.into()).unwrap().rows;
    assert_eq!(batch.num_rows(), rows);
    let mut out = Vec::new();
    let mut encoder = Encoder::new(format, schema(), &FormatOptions::default()).unwrap();
    encoder.encode(&batch, &mut out).unwrap();
    encoder.finish(&mut out).unwrap();
    out
}

fn decode(format: Format, bytes: Vec<u8>) -> Option<(RecordBatch, usize)> {
    let mut decoder = Decoder::new(format, schema(), &FormatOptions::default()).unwrap();
    let decoded = decoder.decode(Bytes::from(bytes)).ok()?;
    Some((decoded.rows, decoded.bad.len()))
}

/// Bytes that mean something in one format or another.
const NASTY: &[u8] = b"\n\"\\{}[],:\r\0\xff0-e. ";

/// SplitMix64: the same numbers in every run.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        ((z ^ (z >> 31)) % bound as u64) as usize
    }
}

#[test]
fn every_format_reads_what_it_writes() {
    let expect = decode(Format::JsonLines, encoded(Format::JsonLines, 20)).unwrap().0;
    for format in [Format::JsonArray, Format::Csv, Format::Arrow, Format::Parquet] {
        let (rows, bad) = decode(format, encoded(format, 20)).unwrap();
        assert_eq!((&rows, bad), (&expect, 0), "{}", format.name());
    }
}

#[test]
fn damaged_bytes_never_cause_a_panic() {
    for format in [Format::JsonLines, Format::JsonArray, Format::Csv, Format::Arrow, Format::Parquet] {
        let good = encoded(format, 5);
        let mut numbers = Numbers(7);
        for _ in 0..3_000 {
            let mut bytes = good.clone();
            for _ in 0..=numbers.below(3) {
                let at = numbers.below(bytes.len());
                match numbers.below(4) {
                    0 => bytes[at] ^= 1 << numbers.below(8),
                    1 => bytes[at] = NASTY[numbers.below(NASTY.len())],
                    2 => bytes.truncate(at + 1),
                    _ => drop(bytes.remove(at)),
                }
                if bytes.is_empty() {
                    break;
                }
            }
            decode(format, bytes);
        }
    }
}

#[test]
fn damage_to_one_line_leaves_the_others() {
    for format in [Format::JsonLines, Format::Csv] {
        let good = encoded(format, 9);
        let mut numbers = Numbers(3);
        // The fifth row's line, without its line feed.
        let ends: Vec<usize> = (0..good.len()).filter(|at| good[*at] == b'\n').collect();
        let header = usize::from(format == Format::Csv);
        let (start, end) = (ends[header + 3] + 1, ends[header + 4]);
        for _ in 0..2_000 {
            let mut bytes = good.clone();
            for _ in 0..=numbers.below(4) {
                let at = start + numbers.below(end - start);
                // Without the line feed, so that it stays one line.
                bytes[at] = NASTY[1 + numbers.below(NASTY.len() - 1)];
            }
            let shown = String::from_utf8_lossy(&bytes).into_owned();
            let (rows, bad) = decode(format, bytes).unwrap();
            assert_eq!(rows.num_rows() + bad, 9, "{shown}");
            let n = rows.column(0).as_primitive::<Int64Type>();
            assert_eq!(n.null_count(), 0);
            let others: Vec<i64> = n.values().iter().copied().collect();
            assert_eq!(others[..4], [0, 1, 2, 3], "{shown}");
            assert_eq!(others[others.len() - 4..], [5, 6, 7, 8], "{shown}");
        }
    }
}
