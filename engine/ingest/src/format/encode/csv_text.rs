//! Rows as lines of CSV. Nested values are written as JSON.

use std::fmt::Write as _;

use arrow::array::{Array, ArrayRef, AsArray, Int64Array, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type, SchemaRef};
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
    /// Never quoted.
    Integer(Int64Array),
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
            DataType::Int8
            | DataType::Int16
            | DataType::Int32
            | DataType::Int64
            | DataType::UInt8
            | DataType::UInt16
            | DataType::UInt32
                if is_never_quoted(&options.csv) =>
            {
                Self::Integer(cast(column, &DataType::Int64)?.as_primitive::<Int64Type>().clone())
            }
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
            Self::Integer(column) => write_integer(column.value(row), out),
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

/// Whether an integer is read as it is, without quotes.
fn is_never_quoted(csv: &CsvOptions) -> bool {
    let is_of_integers = |byte: u8| byte.is_ascii_digit() || byte == b'-';
    let is_null = csv.null_literal.as_ref().is_some_and(|literal| literal.bytes().all(is_of_integers));
    !is_null && !is_of_integers(csv.delimiter) && !csv.quote.is_some_and(is_of_integers)
}

fn write_integer(value: i64, out: &mut Vec<u8>) {
    // The least has 19 digits and a sign.
    let mut text = [0; 20];
    let (mut at, mut rest) = (text.len(), value.unsigned_abs());
    loop {
        at -= 1;
        text[at] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    if value < 0 {
        at -= 1;
        text[at] = b'-';
    }
    out.extend_from_slice(&text[at..]);
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{Int8Array, UInt32Array, UInt64Array};

    use super::*;

    fn lines(csv: CsvOptions) -> String {
        let columns: [(&str, ArrayRef); 4] = [
            ("a", Arc::new(Int64Array::from(vec![Some(i64::MIN), None, Some(0), Some(-7)]))),
            ("b", Arc::new(Int8Array::from(vec![i8::MIN, -1, 10, i8::MAX]))),
            ("c", Arc::new(UInt32Array::from(vec![u32::MAX, 0, 9, 99]))),
            ("d", Arc::new(UInt64Array::from(vec![u64::MAX, 0, 9, 100]))),
        ];
        let mut out = Vec::new();
        let options = FormatOptions { csv, ..FormatOptions::default() };
        write(&RecordBatch::try_from_iter(columns).unwrap(), &options, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn integers_are_quoted_only_where_they_mean_something_else() {
        assert_eq!(
            lines(CsvOptions::default()),
            "-9223372036854775808,-128,4294967295,18446744073709551615\n,-1,0,0\n0,10,9,9\n-7,127,99,100\n"
        );
        let dashes = CsvOptions { delimiter: b'-', ..CsvOptions::default() };
        assert!(lines(dashes).ends_with("0-10-9-9\n\"-7\"-127-99-100\n"));
        let sevens = CsvOptions { null_literal: Some("-7".to_owned()), ..CsvOptions::default() };
        assert!(lines(sevens).ends_with("-7,-1,0,0\n0,10,9,9\n\"-7\",127,99,100\n"));
    }
}
