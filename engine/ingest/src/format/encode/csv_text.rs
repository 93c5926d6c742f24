//! Rows as lines of CSV. Nested values are written as JSON.

use std::fmt::Write as _;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::{DataType, SchemaRef};
use arrow::util::display::{ArrayFormatter, FormatOptions as DisplayOptions};

use super::super::settings::{CsvOptions, FormatOptions};
use super::json_text;
use super::time_text::TimeText;
use crate::error::Result;

/// Writes the names of the columns.
pub(super) fn write_header(schema: &SchemaRef, options: &FormatOptions, out: &mut Vec<u8>) {
    for (at, field) in schema.fields().iter().enumerate() {
        if at > 0 {
            out.push(options.csv.delimiter);
        }
        write_text(field.name(), &options.csv, out);
    }
    out.push(b'\n');
}

/// Writes the rows.
pub(super) fn write(rows: &RecordBatch, options: &FormatOptions, out: &mut Vec<u8>) -> Result<()> {
    let columns =
        rows.columns().iter().map(|column| Cells::new(column, options)).collect::<Result<Vec<_>>>()?;
    let mut scratch = String::new();
    for row in 0..rows.num_rows() {
        for (at, (column, cells)) in rows.columns().iter().zip(&columns).enumerate() {
            if at > 0 {
                out.push(options.csv.delimiter);
            }
            if column.is_null(row) {
                out.extend_from_slice(options.csv.null_literal.as_deref().unwrap_or_default().as_bytes());
            } else {
                cells.write(row, &options.csv, &mut scratch, out);
            }
        }
        out.push(b'\n');
    }
    Ok(())
}

/// How the cells of one column are written.
enum Cells<'a> {
    /// Quoted where they must be.
    Text(&'a ArrayRef),
    /// As Arrow displays them.
    Plain(ArrayFormatter<'a>),
    /// A timestamp; never needs quotes.
    Time(TimeText),
    /// As JSON, without the quotes around a text.
    Json(Vec<Option<Vec<u8>>>),
}

impl<'a> Cells<'a> {
    fn new(column: &'a ArrayRef, options: &FormatOptions) -> Result<Self> {
        const DISPLAY: DisplayOptions<'static> = DisplayOptions::new();
        if let Some(times) = TimeText::new(column.as_ref(), options.timestamps)? {
            return Ok(Self::Time(times));
        }
        Ok(match column.data_type() {
            DataType::Utf8 => Self::Text(column),
            data_type
                if data_type.is_nested()
                    || data_type.is_binary()
                    || matches!(data_type, DataType::BinaryView) =>
            {
                Self::Json(json_text::cells(column, options)?)
            }
            _ => Self::Plain(ArrayFormatter::try_new(column.as_ref(), &DISPLAY)?),
        })
    }

    fn write(&self, row: usize, csv: &CsvOptions, scratch: &mut String, out: &mut Vec<u8>) {
        match self {
            Self::Text(column) => write_text(column.as_string::<i32>().value(row), csv, out),
            Self::Plain(formatter) => {
                scratch.clear();
                // Writing to a string fails only if a value cannot be displayed; what could be displayed stays.
                let _ = write!(scratch, "{}", formatter.value(row));
                write_text(scratch, csv, out);
            }
            Self::Time(times) => times.write(row, out),
            Self::Json(cells) => {
                let cell = cells[row].as_deref().unwrap_or_default();
                let bare = cell.strip_prefix(b"\"").and_then(|cell| cell.strip_suffix(b"\"")).unwrap_or(cell);
                write_text(&String::from_utf8_lossy(bare), csv, out);
            }
        }
    }
}

/// Writes a text, between quotes if it would be read differently without.
fn write_text(text: &str, csv: &CsvOptions, out: &mut Vec<u8>) {
    let special =
        |byte: u8| byte == csv.delimiter || Some(byte) == csv.quote || matches!(byte, b'\n' | b'\r');
    let is_null = text.is_empty() || csv.null_literal.as_deref() == Some(text);
    let spaced = text.starts_with([' ', '#']) || text.ends_with(' ');
    match csv.quote {
        Some(quote) if is_null || spaced || text.bytes().any(special) => {
            out.push(quote);
            for byte in text.bytes() {
                if byte == quote || Some(byte) == csv.escape {
                    out.push(csv.escape.unwrap_or(quote));
                }
                out.push(byte);
            }
            out.push(quote);
        }
        _ => out.extend_from_slice(text.as_bytes()),
    }
}
