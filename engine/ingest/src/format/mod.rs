//! Formats: bytes to rows and rows to bytes.
//!
//! A [`Decoder`] turns bytes into rows of a given schema, record by record: what does not fit becomes a
//! [`BadRecord`], and its neighbours are kept. An [`Encoder`] turns rows into bytes.
//!
//! | name            | in | out | records told apart by                |
//! |-----------------|----|-----|--------------------------------------|
//! | `json`          | x  | x   | line feed                            |
//! | `json_array`    | x  | x   | the array's elements                 |
//! | `csv`           | x  | x   | line feed outside quotes             |
//! | `arrow`         | x  | x   | rows of an IPC stream or file        |
//! | `parquet`       | x  | x   | rows                                 |
//! | `raw`           | x  | x   | line feed, or each message is one    |
//!
//! How JSON and text become values, in all formats of text:
//! - a number column takes a number or a text that holds one; an integer column a number without a fraction; what does
//!   not fit is bad, never wrapped or rounded, except that a decimal is rounded to its scale half away from zero;
//! - a text column takes any JSON value, as its JSON text if it is no text itself (Flink does so too);
//! - a timestamp is RFC 3339 or `YYYY-MM-DD hh:mm:ss[.f]`, without an offset UTC; or a number, if `timestamp-format` says so;
//! - binary is base64 (standard alphabet, padding optional);
//! - a missing field, or null, is NULL, and bad where the column is NOT NULL; a field given twice is bad;
//! - in CSV an empty field without quotes is NULL, as is the text `csv.null-literal`; `""` is the empty text.

mod arrow_ipc;
mod column;
mod csv;
mod encode;
mod json;
mod json_cursor;
mod parquet;
mod raw;
mod settings;
mod text;

use std::ops::Range;

use ::arrow::array::RecordBatch;
use ::arrow::datatypes::SchemaRef;
use bytes::Bytes;

use crate::bad::BadRecord;
use crate::error::{IngestError, Result};

pub use encode::Encoder;
pub use settings::{CsvHeader, CsvOptions, FormatOptions, JsonOptions, Limits, TimestampFormat};

/// How records are written as bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Format {
    /// One JSON object per line.
    JsonLines,
    /// One JSON array of objects, or a single object.
    JsonArray,
    /// Comma-separated values (RFC 4180), with other separators by option.
    Csv,
    /// Arrow IPC: a stream or a file.
    Arrow,
    /// Apache Parquet.
    Parquet,
    /// Bytes as they are, in the one column of the stream.
    Raw,
}

impl Format {
    /// All formats.
    pub const ALL: [Self; 6] =
        [Self::JsonLines, Self::JsonArray, Self::Csv, Self::Arrow, Self::Parquet, Self::Raw];

    /// The name, as `format = '…'` has it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::JsonLines => "json",
            Self::JsonArray => "json_array",
            Self::Csv => "csv",
            Self::Arrow => "arrow",
            Self::Parquet => "parquet",
            Self::Raw => "raw",
        }
    }

    /// The format of a name.
    pub fn from_name(name: &str) -> Result<Self> {
        match name.trim().to_ascii_lowercase().replace('-', "_").as_str() {
            "json" | "json_lines" | "jsonl" | "ndjson" => Ok(Self::JsonLines),
            "json_array" => Ok(Self::JsonArray),
            "csv" => Ok(Self::Csv),
            "arrow" | "arrow_stream" | "arrow_file" | "ipc" => Ok(Self::Arrow),
            "parquet" => Ok(Self::Parquet),
            "raw" | "raw_string" | "raw_bytes" => Ok(Self::Raw),
            _ => Err(IngestError::UnknownFormat {
                name: name.to_owned(),
                known: Self::ALL.map(Self::name).join(", "),
            }),
        }
    }

    /// The format of a media type, as in `Content-Type` and `Accept`; parameters are ignored.
    pub fn from_media_type(media_type: &str) -> Option<Self> {
        match media_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase().as_str() {
            "application/x-ndjson"
            | "application/jsonl"
            | "application/json-lines"
            | "application/jsonlines"
            | "application/ndjson"
            | "application/x-jsonlines" => Some(Self::JsonLines),
            "application/json" => Some(Self::JsonArray),
            "text/csv" | "application/csv" => Some(Self::Csv),
            "application/vnd.apache.arrow.stream" | "application/vnd.apache.arrow.file" => Some(Self::Arrow),
            "application/vnd.apache.parquet" => Some(Self::Parquet),
            "application/octet-stream" => Some(Self::Raw),
            _ => None,
        }
    }

    /// The media type to answer with.
    pub const fn media_type(self) -> &'static str {
        match self {
            Self::JsonLines => "application/x-ndjson",
            Self::JsonArray => "application/json",
            Self::Csv => "text/csv; charset=utf-8; header=present",
            Self::Arrow => "application/vnd.apache.arrow.stream",
            Self::Parquet => "application/vnd.apache.parquet",
            Self::Raw => "application/octet-stream",
        }
    }

    /// The format that a file's name tells.
    pub fn from_path(path: &str) -> Option<Self> {
        match path.rsplit_once('.')?.1.to_ascii_lowercase().as_str() {
            "jsonl" | "ndjson" => Some(Self::JsonLines),
            "json" => Some(Self::JsonLines),
            "csv" => Some(Self::Csv),
            "arrow" | "arrows" | "ipc" | "feather" => Some(Self::Arrow),
            "parquet" => Some(Self::Parquet),
            "txt" | "log" | "raw" => Some(Self::Raw),
            _ => None,
        }
    }

    /// The extension of a file in this format.
    pub const fn extension(self) -> &'static str {
        match self {
            Self::JsonLines => "jsonl",
            Self::JsonArray => "json",
            Self::Csv => "csv",
            Self::Arrow => "arrow",
            Self::Parquet => "parquet",
            Self::Raw => "txt",
        }
    }

    /// Whether records follow one another line by line, so that an input may be cut after any record.
    pub const fn is_lines(self) -> bool {
        matches!(self, Self::JsonLines | Self::Csv | Self::Raw)
    }
}

/// Where in its input a good row came from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Origin {
    /// Which record, from 1; for formats of lines the number of the line.
    pub record: u64,
    /// First byte of the record in the bytes that were decoded.
    pub start: u32,
    /// The byte after the last.
    pub end: u32,
}

impl Origin {
    /// The bytes of the record.
    pub fn range(self) -> Range<usize> {
        self.start as usize..self.end as usize
    }
}

/// What became of some bytes.
#[derive(Debug, Clone)]
pub struct Decoded {
    /// The good rows, in order.
    pub rows: RecordBatch,
    /// The bad records, in order.
    pub bad: Vec<BadRecord>,
    /// Where each good row came from; empty for formats of columns, where row and record are the same.
    pub origins: Vec<Origin>,
    /// The bytes that `origins` point into; empty for formats of columns.
    pub bytes: Bytes,
}

/// Turns bytes into rows of one schema. Keeps its buffers and, for CSV, the header between calls.
pub struct Decoder {
    schema: SchemaRef,
    body: Body,
    /// The number of the next record, from 1.
    next_record: u64,
}

enum Body {
    Json(Box<json::JsonDecoder>),
    JsonArray(Box<json::JsonDecoder>),
    Csv(Box<csv::CsvDecoder>),
    Arrow,
    Parquet,
    Raw(raw::RawDecoder),
}

impl Decoder {
    /// A decoder at the beginning of an input.
    pub fn new(format: Format, schema: SchemaRef, options: &FormatOptions) -> Result<Self> {
        let body = match format {
            Format::JsonLines => Body::Json(Box::new(json::JsonDecoder::new(&schema, options)?)),
            Format::JsonArray => Body::JsonArray(Box::new(json::JsonDecoder::new(&schema, options)?)),
            Format::Csv => Body::Csv(Box::new(csv::CsvDecoder::new(&schema, options)?)),
            Format::Arrow => Body::Arrow,
            Format::Parquet => Body::Parquet,
            Format::Raw => Body::Raw(raw::RawDecoder::new(&schema, options)?),
        };
        Ok(Self { schema, body, next_record: 1 })
    }

    /// The schema of the rows.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// Goes back to the beginning of an input: records count from 1, and CSV may have a header.
    pub fn restart(&mut self) {
        self.next_record = 1;
        if let Body::Csv(csv) = &mut self.body {
            csv.restart();
        }
    }

    /// Goes to the middle of an input: the next record has this number.
    pub fn resume_at(&mut self, record: u64) {
        self.next_record = record;
    }

    /// The number of the next record, from 1; for formats of lines the number of the next line.
    pub fn next_record(&self) -> u64 {
        self.next_record
    }

    /// Takes the header from the beginning of an input, if there is one, and says how long it is. What a reader that
    /// continues in the middle of a CSV file does first.
    pub fn take_header(&mut self, bytes: &[u8]) -> usize {
        match &mut self.body {
            Body::Csv(csv) => csv.take_header(bytes),
            _ => 0,
        }
    }

    /// How many of these bytes are whole records; the rest must be given again with what follows. Only for
    /// formats of lines; for others it is all of them.
    pub fn whole_records(&self, bytes: &[u8]) -> usize {
        match &self.body {
            Body::Json(_) | Body::Raw(_) => memchr::memrchr(b'\n', bytes).map_or(0, |at| at + 1),
            Body::Csv(csv) => csv.whole_records(bytes),
            Body::JsonArray(_) | Body::Arrow | Body::Parquet => bytes.len(),
        }
    }

    /// Decodes bytes that hold whole records. Continues after the call before, unless restarted.
    pub fn decode(&mut self, bytes: Bytes) -> Result<Decoded> {
        check_size(&bytes)?;
        match &mut self.body {
            Body::Json(json) => json.decode_lines(bytes, &mut self.next_record),
            Body::JsonArray(json) => json.decode_array(bytes, &mut self.next_record),
            Body::Csv(csv) => csv.decode(bytes, &mut self.next_record),
            Body::Arrow => arrow_ipc::decode(&bytes, &self.schema, &mut self.next_record),
            Body::Parquet => parquet::decode(bytes, &self.schema, &mut self.next_record),
            Body::Raw(raw) => raw.decode_lines(bytes, &mut self.next_record),
        }
    }

    /// Decodes messages, each of which is one record by itself (for formats of columns: any number of rows).
    pub fn decode_messages(&mut self, messages: &[Bytes]) -> Result<Decoded> {
        match &mut self.body {
            Body::Json(json) | Body::JsonArray(json) => json.decode_messages(messages, &mut self.next_record),
            Body::Csv(csv) => csv.decode_messages(messages, &mut self.next_record),
            Body::Raw(raw) => raw.decode_messages(messages, &mut self.next_record),
            Body::Arrow | Body::Parquet => {
                let parts =
                    messages.iter().map(|message| self.decode(message.clone())).collect::<Result<_>>()?;
                concat(&self.schema, parts)
            }
        }
    }
}

/// Joins what was decoded piece by piece from formats of columns.
fn concat(schema: &SchemaRef, parts: Vec<Decoded>) -> Result<Decoded> {
    let rows = ::arrow::compute::concat_batches(schema, parts.iter().map(|part| &part.rows))?;
    let bad = parts.into_iter().flat_map(|part| part.bad).collect();
    Ok(Decoded { rows, bad, origins: Vec::new(), bytes: Bytes::new() })
}

/// Origins are 32 bits wide.
fn check_size(bytes: &[u8]) -> Result<()> {
    const MOST: u64 = i32::MAX as u64;
    let given = bytes.len() as u64;
    if given > MOST { Err(IngestError::TooLarge { what: "the input", given, most: MOST }) } else { Ok(()) }
}
