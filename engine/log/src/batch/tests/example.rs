//! The worked example of `FORMAT.md`, so that the document cannot rot.

use std::fmt::Write;

use arrow::array::*;
use headwater_core::{Epoch, ProducerId};

use super::bytes::*;
use crate::api::Producer;

const DOCUMENT: &str = include_str!("../../../FORMAT.md");

fn example() -> Vec<u8> {
    let rows = RecordBatch::try_from_iter_with_nullable([
        ("time", Arc::new(TimestampSecondArray::from(vec![1_357_020_000, 1_357_023_600])) as ArrayRef, false),
        ("station", Arc::new(StringArray::from(vec!["EWR", "JFK"])), false),
        ("celsius", Arc::new(Float64Array::from(vec![Some(3.9), None])), true),
    ])
    .unwrap();
    let producer = Some(Producer { id: ProducerId(42), epoch: Epoch(1), sequence: 6 });
    let source = Source { event_time: Some(0), producer, ..source(Compression::None) };
    let prepared = prepare(&source, &rows, &Arrivals::Same(EventTime(0)), &Limits::FORMAT).unwrap();
    bytes_of(&prepared.finish(placement()))
}

fn dump(bytes: &[u8]) -> String {
    let mut out = String::new();
    for (line, chunk) in bytes.chunks(16).enumerate() {
        // Lines of zeros, but for the first of a run, are left out.
        if line > 0 && bytes[(line - 1) * 16..].iter().take(32).all(|byte| *byte == 0) {
            continue;
        }
        let hex: Vec<String> = chunk.iter().map(|byte| format!("{byte:02x}")).collect();
        let text: String =
            chunk.iter().map(|byte| if byte.is_ascii_graphic() { char::from(*byte) } else { '.' }).collect();
        writeln!(out, "{:4}  {} {}  {text}", line * 16, hex[..8].join(" "), hex[8..].join(" ")).unwrap();
    }
    out
}

#[test]
fn the_document_shows_these_bytes() {
    let dump = dump(&example());
    assert!(DOCUMENT.contains(&dump), "FORMAT.md must show this under \"A batch, byte by byte\":\n{dump}");
}
