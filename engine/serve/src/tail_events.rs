//! The events of a tail, in the wire format of server-sent events.
//!
//! ```text
//! event: row
//! data: {"origin":"EWR","temp":39.02}
//!
//! event: row
//! id: 0:2                              the last row of a batch says where to resume
//! data: {"origin":"JFK","temp":39.02}
//!
//! event: uncomputed                    of a query: rows of a step that are left out, how many and the first of them
//! data: {"rows":2,"stream":"readings","reason":"Project: Divide by zero error","payload":{"value":0}}
//!
//! event: cut | error | end             the last event says why there are no more
//! data: {"reason":"..."}
//! ```

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use bytes::Bytes;
use headwater_ingest::{Encoder, Format, FormatOptions, IngestError};
use headwater_run::{TailBatch, Uncomputed};

use crate::error::ErrorDetail;

/// The most rows that are put into one chunk of bytes.
pub(crate) const ROWS_PER_CHUNK: usize = 1_000;

/// Turns batches into events.
pub(crate) struct Events {
    encoder: Encoder,
    lines: Vec<u8>,
}

/// Why a tail ends.
#[derive(Debug)]
pub(crate) enum Farewell {
    /// Its inputs have ended.
    End,
    /// It was cut, and why.
    Cut(&'static str),
    /// It failed.
    Error(Box<ErrorDetail>),
}

impl Farewell {
    /// The last event.
    pub fn event(&self) -> Bytes {
        match self {
            Self::End => Bytes::from_static(b"event: end\ndata: {}\n\n"),
            Self::Cut(reason) => {
                format!("event: cut\ndata: {}\n\n", serde_json::json!({ "reason": reason })).into()
            }
            Self::Error(detail) => {
                format!("event: error\ndata: {}\n\n", serde_json::json!({ "error": detail })).into()
            }
        }
    }
}

impl Events {
    pub fn new(schema: &SchemaRef) -> Result<Self, IngestError> {
        let encoder = Encoder::new(Format::JsonLines, schema.clone(), &FormatOptions::default())?;
        Ok(Self { encoder, lines: Vec::new() })
    }

    /// A comment, which clients pass over.
    pub fn heartbeat() -> Bytes {
        Bytes::from_static(b":\n\n")
    }

    /// One event for each row, in chunks of bytes of limited size.
    pub fn encode(&mut self, batch: &TailBatch) -> Result<Vec<Bytes>, IngestError> {
        let rows = batch.rows.num_rows();
        let starts = (0..rows).step_by(ROWS_PER_CHUNK);
        let told = batch.uncomputed.iter().map(|uncomputed| Ok(told(uncomputed, batch)));
        told.chain(starts.map(|start| {
            let length = ROWS_PER_CHUNK.min(rows - start);
            // A place that is empty is none: sent, it would make clients forget the one that they have.
            let id = (start + length == rows && !batch.resume.is_empty()).then_some(batch.resume.as_str());
            self.encode_chunk(&batch.rows.slice(start, length), id)
        }))
        .collect()
    }

    fn encode_chunk(&mut self, rows: &RecordBatch, id: Option<&str>) -> Result<Bytes, IngestError> {
        self.lines.clear();
        self.encoder.encode(rows, &mut self.lines)?;
        let mut out = Vec::with_capacity(self.lines.len() + rows.num_rows() * 20 + 100);
        let lines = self.lines.strip_suffix(b"\n").unwrap_or(&self.lines);
        let mut lines = lines.split(|byte| *byte == b'\n').peekable();
        while let Some(line) = lines.next() {
            out.extend_from_slice(b"event: row\n");
            if let (None, Some(id)) = (lines.peek(), id) {
                out.extend_from_slice(b"id: ");
                out.extend_from_slice(id.as_bytes());
                out.push(b'\n');
            }
            out.extend_from_slice(b"data: ");
            out.extend_from_slice(line);
            out.extend_from_slice(b"\n\n");
        }
        Ok(out.into())
    }
}

/// The event that says what a step left out. It is the last one of a batch that has no rows.
fn told(uncomputed: &Uncomputed, batch: &TailBatch) -> Bytes {
    let Uncomputed { rows, stream, reason, payload } = uncomputed;
    let payload: serde_json::Value =
        serde_json::from_str(payload).unwrap_or_else(|_| serde_json::Value::String(payload.clone()));
    let data = serde_json::json!({ "rows": rows, "stream": stream, "reason": reason, "payload": payload });
    let is_last = batch.rows.num_rows() == 0 && !batch.resume.is_empty();
    let id = if is_last { format!("id: {}\n", batch.resume) } else { String::new() };
    format!("event: uncomputed\n{id}data: {data}\n\n").into()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Int64Array, StringArray};
    use arrow::datatypes::{DataType, Field, Schema};

    use super::*;

    #[test]
    fn each_row_is_an_event_and_the_last_one_has_the_id() {
        let schema: SchemaRef = Arc::new(Schema::new(vec![
            Field::new("n", DataType::Int64, true),
            Field::new("text", DataType::Utf8, true),
        ]));
        let rows = 2 * ROWS_PER_CHUNK + 1;
        let numbers = Int64Array::from_iter_values(0..rows as i64);
        let texts = StringArray::from_iter_values((0..rows).map(|_| "a\nb"));
        let columns: Vec<ArrayRef> = vec![Arc::new(numbers), Arc::new(texts)];
        let batch = TailBatch {
            rows: RecordBatch::try_new(schema.clone(), columns).unwrap(),
            place: None,
            uncomputed: None,
            resume: "0:7".to_owned(),
        };
        let chunks = Events::new(&schema).unwrap().encode(&batch).unwrap();
        assert_eq!(chunks.len(), 3);
        let text = String::from_utf8(chunks.concat()).unwrap();
        assert!(
            text.starts_with("event: row\ndata: {\"n\":0,\"text\":\"a\\nb\"}\n\nevent: row\n"),
            "{}",
            &text[..80]
        );
        assert!(text.ends_with("event: row\nid: 0:7\ndata: {\"n\":2000,\"text\":\"a\\nb\"}\n\n"));
        assert_eq!((text.matches("event: row").count(), text.matches("\nid: ").count()), (rows, 1));
        // All but the last batch of a step have no place.
        let batch = TailBatch { rows: batch.rows.slice(0, 2), resume: String::new(), ..batch };
        let text = Events::new(&schema).unwrap().encode(&batch).unwrap().concat();
        assert!(!String::from_utf8(text).unwrap().contains("id:"));
    }

    #[test]
    fn rows_that_are_left_out_are_told_and_resumed_behind_once() {
        let schema: SchemaRef = Arc::new(Schema::new(vec![Field::new("n", DataType::Int64, true)]));
        let column: ArrayRef = Arc::new(Int64Array::from(vec![5]));
        let uncomputed = Uncomputed {
            rows: 2,
            stream: "readings".to_owned(),
            reason: "Project: Divide by zero error".to_owned(),
            payload: r#"{"value":0}"#.to_owned(),
        };
        let batch = TailBatch {
            rows: RecordBatch::try_new(schema.clone(), vec![column]).unwrap(),
            place: None,
            uncomputed: Some(uncomputed),
            resume: "0;7;9".to_owned(),
        };
        let text = |batch: &TailBatch| {
            String::from_utf8(Events::new(&schema).unwrap().encode(batch).unwrap().concat()).unwrap()
        };
        let told = serde_json::json!({
            "rows": 2, "stream": "readings", "reason": "Project: Divide by zero error", "payload": {"value": 0}
        });
        let data = format!("data: {told}");
        let row = "event: row\nid: 0;7;9\ndata: {\"n\":5}\n\n";
        assert_eq!(text(&batch), format!("event: uncomputed\n{data}\n\n{row}"));
        let alone = TailBatch { rows: batch.rows.slice(0, 0), ..batch };
        assert_eq!(text(&alone), format!("event: uncomputed\nid: 0;7;9\n{data}\n\n"));
    }

    #[test]
    fn the_last_event_says_why() {
        let event = Farewell::Cut("too slow").event();
        assert_eq!(event, "event: cut\ndata: {\"reason\":\"too slow\"}\n\n");
    }
}
