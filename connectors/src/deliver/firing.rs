//! Firings as they are delivered: JSON objects with an id.

use arrow::array::RecordBatch;
use headwater_ingest::{Encoder, Format, FormatOptions};
use serde_json::{Map, Value};

use crate::error::{ConnectorError, Result};

/// A firing on its way out.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Firing {
    /// Its sequence number in the stream of firings.
    pub(super) sequence: u64,
    /// Its columns.
    pub(super) columns: Map<String, Value>,
}

impl Firing {
    /// What tells firings apart by these columns, as text.
    pub(super) fn key(&self, columns: &[String]) -> String {
        let values: Vec<&Value> =
            columns.iter().map(|column| self.columns.get(column).unwrap_or(&Value::Null)).collect();
        serde_json::to_string(&values).unwrap_or_default()
    }
}

/// The rows of a stream of firings, the first of which has this sequence number.
pub(super) fn firings(first: u64, rows: &RecordBatch) -> Result<Vec<Firing>> {
    let unreadable = |reason: String| ConnectorError::refused("read firings", reason);
    let mut text = Vec::new();
    let mut encoder = Encoder::new(Format::JsonLines, rows.schema(), &FormatOptions::default())?;
    encoder.encode(rows, &mut text)?;
    encoder.finish(&mut text)?;
    let lines = text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    lines
        .zip(first..)
        .map(|(line, sequence)| {
            let columns = serde_json::from_slice(line).map_err(|error| unreadable(error.to_string()))?;
            Ok(Firing { sequence, columns })
        })
        .collect()
}
