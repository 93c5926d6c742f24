//! Rows to messages.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use bytes::Bytes;
use headwater_connectors::{Context, Result};
use headwater_ingest::{Encoder, Format, FormatOptions, IngestError};

use super::formats::{format_of, options_of};

/// Turns rows into messages, one each, without the columns that are metadata.
pub(crate) struct MessageWriter {
    format: Format,
    /// The columns of the body, as places in the stream's schema.
    body: Vec<usize>,
    schema: SchemaRef,
    options: FormatOptions,
    /// The field of a JSON object that the row's key goes to.
    key_field: Option<String>,
}

impl MessageWriter {
    /// A writer of a stream's rows. With `key_field`, each JSON object gets a field more, with the row's key.
    pub(crate) fn new(context: &Context, key_field: Option<String>) -> Result<Self> {
        let format = match context.format.unwrap_or(Format::JsonLines) {
            Format::JsonArray => Format::JsonLines,
            Format::DebeziumJson => Format::DebeziumJson,
            _ => format_of(context)?,
        };
        let is_body = |at: &usize| !context.metadata.contains_key(context.schema.field(*at).name());
        let body: Vec<usize> = (0..context.schema.fields().len()).filter(is_body).collect();
        let schema = Arc::new(context.schema.project(&body).map_err(IngestError::from)?);
        let options = options_of(context);
        Encoder::new(format, Arc::clone(&schema), &options)?;
        Ok(Self { format, body, schema, options, key_field })
    }

    /// The rows as messages; `key` is asked for the key of each.
    pub(crate) fn write(&self, rows: &RecordBatch, key: impl Fn(usize) -> String) -> Result<Vec<Bytes>> {
        let rows = rows.project(&self.body).map_err(IngestError::from)?;
        let mut encoder = Encoder::new(self.format, Arc::clone(&self.schema), &self.options)?;
        let mut out = Vec::new();
        if self.format == Format::JsonLines {
            // In JSON a line feed stands nowhere but between rows.
            encoder.encode(&rows, &mut out)?;
            let lines = Bytes::from(out);
            let lines = lines
                .split(|byte| *byte == b'\n')
                .filter(|line| !line.is_empty())
                .map(|line| lines.slice_ref(line));
            return Ok(lines.enumerate().map(|(row, line)| self.with_key(line, || key(row))).collect());
        }
        let mut ends = Vec::with_capacity(rows.num_rows());
        for row in 0..rows.num_rows() {
            encoder.encode(&rows.slice(row, 1), &mut out)?;
            out.pop_if(|last| *last == b'\n');
            ends.push(out.len());
        }
        let all = Bytes::from(out);
        let mut start = 0;
        Ok(ends.into_iter().map(|end| all.slice(std::mem::replace(&mut start, end)..end)).collect())
    }

    /// A JSON object with the row's key in it, if that is wanted.
    fn with_key(&self, object: Bytes, key: impl FnOnce() -> String) -> Bytes {
        let (Some(field), Some(open)) = (&self.key_field, object.strip_suffix(b"}")) else { return object };
        let comma = if open == b"{" { "" } else { "," };
        let (field, key) = (serde_json::json!(field), serde_json::json!(key()));
        [open, format!("{comma}{field}:{key}}}").as_bytes()].concat().into()
    }
}
