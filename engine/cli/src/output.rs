//! Rows on standard output.

use std::io::{IsTerminal, Write};

use anyhow::Result;
use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use arrow::util::pretty::pretty_format_batches;
use clap::ValueEnum;
use datafusion::execution::SendableRecordBatchStream;
use futures::StreamExt;
use headwater_ingest::{Encoder, Format, FormatOptions};
use headwater_run::RunError;

/// How rows are shown.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum, Debug)]
pub(crate) enum OutputFormat {
    /// A table for people.
    Table,
    /// One JSON object per line.
    Json,
    /// Comma-separated values with a header.
    Csv,
    /// An Arrow IPC stream.
    Arrow,
}

impl OutputFormat {
    /// The format of bytes; a table has none.
    pub fn encoded(self) -> Option<Format> {
        match self {
            Self::Table => None,
            Self::Json => Some(Format::JsonLines),
            Self::Csv => Some(Format::Csv),
            Self::Arrow => Some(Format::Arrow),
        }
    }

    /// A table on a terminal, JSON lines into a pipe or file.
    pub fn usual() -> Self {
        if std::io::stdout().is_terminal() { Self::Table } else { Self::Json }
    }
}

/// Writes rows as they come; a table once all are there, since its columns are as wide as the widest value.
pub(crate) async fn write_stream(mut rows: SendableRecordBatchStream, format: OutputFormat) -> Result<usize> {
    let mut writer = RowWriter::new(rows.schema(), format)?;
    while let Some(batch) = rows.next().await {
        writer.write(batch.map_err(RunError::of_rows)?)?;
    }
    writer.finish()
}

/// Writes rows that are all there.
pub(crate) fn write_batches(
    schema: SchemaRef,
    batches: Vec<RecordBatch>,
    format: OutputFormat,
) -> Result<usize> {
    let mut writer = RowWriter::new(schema, format)?;
    batches.into_iter().try_for_each(|batch| writer.write(batch))?;
    writer.finish()
}

/// Writes rows in one of the formats.
pub(crate) struct RowWriter {
    body: Body,
    rows: usize,
}

enum Body {
    Table { schema: SchemaRef, batches: Vec<RecordBatch> },
    Bytes { encoder: Box<Encoder>, buffer: Vec<u8> },
}

impl RowWriter {
    pub fn new(schema: SchemaRef, format: OutputFormat) -> Result<Self> {
        let body = match format.encoded() {
            None => Body::Table { schema, batches: Vec::new() },
            Some(format) => Body::Bytes {
                encoder: Box::new(Encoder::new(format, schema, &FormatOptions::default())?),
                buffer: Vec::new(),
            },
        };
        Ok(Self { body, rows: 0 })
    }

    pub fn write(&mut self, batch: RecordBatch) -> Result<()> {
        self.rows += batch.num_rows();
        match &mut self.body {
            Body::Table { batches, .. } => batches.push(batch),
            Body::Bytes { encoder, buffer } => {
                buffer.clear();
                encoder.encode(&batch, buffer)?;
                std::io::stdout().write_all(buffer)?;
            }
        }
        Ok(())
    }

    /// Ends the output and answers how many rows there were.
    pub fn finish(self) -> Result<usize> {
        let mut out = std::io::stdout().lock();
        match self.body {
            Body::Table { schema, batches } => writeln!(out, "{}", table(&schema, &batches)?)?,
            Body::Bytes { encoder, mut buffer } => {
                buffer.clear();
                encoder.finish(&mut buffer)?;
                out.write_all(&buffer)?;
            }
        }
        out.flush()?;
        Ok(self.rows)
    }
}

/// Rows as a table for people. What a device sent does not command their terminal.
pub(crate) fn table(schema: &SchemaRef, batches: &[RecordBatch]) -> Result<String> {
    let empty = [RecordBatch::new_empty(schema.clone())];
    let batches = if batches.is_empty() { &empty[..] } else { batches };
    Ok(pretty_format_batches(batches)?.to_string().chars().map(visible).collect())
}

/// A character that is seen: for one that controls a terminal its picture.
fn visible(c: char) -> char {
    match c {
        '\n' | '\t' => c,
        '\0'..='\u{1f}' => char::from_u32(0x2400 + u32::from(c)).unwrap_or(char::REPLACEMENT_CHARACTER),
        '\u{7f}' => '\u{2421}',
        '\u{80}'..='\u{9f}' => char::REPLACEMENT_CHARACTER,
        _ => c,
    }
}

/// Writes a line to standard output.
pub(crate) fn say(line: impl std::fmt::Display) -> Result<()> {
    writeln!(std::io::stdout(), "{line}")?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, StringArray};

    use super::*;

    #[test]
    fn a_table_has_no_characters_that_control_a_terminal() {
        let names: ArrayRef = Arc::new(StringArray::from(vec!["\u{1b}[2Jgone\u{7f}\u{9b}", "two\nlines"]));
        let batch = RecordBatch::try_from_iter([("name", names)]).unwrap();
        let shown = table(&batch.schema(), &[batch]).unwrap();
        assert!(shown.contains("␛[2Jgone␡\u{fffd}") && shown.contains("lines"), "{shown}");
        assert!(!shown.contains(|c: char| c.is_control() && c != '\n'), "{shown}");
    }
}
