//! Bytes to rows: one decoder in front of all formats.

use std::ops::Range;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use bytes::Bytes;

use super::avro::AvroDecoder;
use super::csv::CsvDecoder;
use super::debezium::DebeziumDecoder;
use super::json::JsonDecoder;
use super::protobuf::ProtobufDecoder;
use super::raw::RawDecoder;
use super::untrusted::fenced;
use super::weights::{filled, without_need};
use super::{Format, FormatOptions, arrow_ipc, parquet};
use crate::bad::BadRecord;
use crate::error::{IngestError, Result};

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

impl Decoded {
    /// Nothing, of this schema.
    pub fn empty(schema: &SchemaRef) -> Self {
        let rows = RecordBatch::new_empty(SchemaRef::clone(schema));
        Self { rows, bad: Vec::new(), origins: Vec::new(), bytes: Bytes::new() }
    }
}

/// Turns bytes into rows of one schema. Keeps its buffers and, for CSV, the header between calls.
pub struct Decoder {
    schema: SchemaRef,
    /// What formats are decoded into: the schema, in which a change need not have a weight.
    inner: SchemaRef,
    body: Body,
    /// The number of the next record, from 1.
    next_record: u64,
}

enum Body {
    Json(Box<JsonDecoder>),
    JsonArray(Box<JsonDecoder>),
    Csv(Box<CsvDecoder>),
    Arrow,
    Parquet,
    Raw(RawDecoder),
    Debezium(Box<DebeziumDecoder>),
    Avro(Box<AvroDecoder>),
    Protobuf(Box<ProtobufDecoder>),
}

impl Decoder {
    /// A decoder at the beginning of an input.
    pub fn new(format: Format, schema: SchemaRef, options: &FormatOptions) -> Result<Self> {
        let inner = without_need(&schema);
        let body = match format {
            Format::JsonLines => Body::Json(Box::new(JsonDecoder::new(&inner, options)?)),
            Format::JsonArray => Body::JsonArray(Box::new(JsonDecoder::new(&inner, options)?)),
            Format::Csv => Body::Csv(Box::new(CsvDecoder::new(&inner, options)?)),
            Format::Arrow => Body::Arrow,
            Format::Parquet => Body::Parquet,
            Format::Raw => Body::Raw(RawDecoder::new(&schema, options)?),
            Format::Avro | Format::AvroConfluent => {
                Body::Avro(Box::new(AvroDecoder::new(format, &inner, options)?))
            }
            Format::Protobuf | Format::ProtobufConfluent => {
                Body::Protobuf(Box::new(ProtobufDecoder::new(format, &inner, options)?))
            }
            Format::DebeziumJson => Body::Debezium(Box::new(DebeziumDecoder::new(&schema, options)?)),
        };
        Ok(Self { schema, inner, body, next_record: 1 })
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
            Body::Json(_) | Body::Raw(_) | Body::Debezium(_) => {
                memchr::memrchr(b'\n', bytes).map_or(0, |at| at + 1)
            }
            Body::Csv(csv) => csv.whole_records(bytes),
            Body::JsonArray(_) | Body::Arrow | Body::Parquet | Body::Avro(_) | Body::Protobuf(_) => {
                bytes.len()
            }
        }
    }

    /// Decodes bytes that hold whole records. Continues after the call before, unless restarted.
    pub fn decode(&mut self, mut bytes: Bytes) -> Result<Decoded> {
        check_size(&bytes)?;
        let is_json = matches!(self.body, Body::Json(_) | Body::JsonArray(_) | Body::Debezium(_));
        if is_json && self.next_record == 1 && bytes.starts_with(MARK) {
            bytes = bytes.slice(MARK.len()..);
        }
        let decoded = match &mut self.body {
            Body::Debezium(changes) => return changes.decode_lines(bytes, &mut self.next_record),
            Body::Json(json) => json.decode_lines(bytes, &mut self.next_record),
            Body::JsonArray(json) => json.decode_array(bytes, &mut self.next_record),
            Body::Csv(csv) => csv.decode(bytes, &mut self.next_record),
            Body::Arrow => {
                fenced("Arrow IPC", || arrow_ipc::decode(bytes, &self.inner, &mut self.next_record))
            }
            Body::Parquet => fenced("Parquet", || parquet::decode(bytes, &self.inner, &mut self.next_record)),
            Body::Raw(raw) => raw.decode_lines(bytes, &mut self.next_record),
            // Nothing tells where a record ends but the end of its message.
            Body::Avro(avro) => avro.decode_messages(&[bytes], &mut self.next_record),
            Body::Protobuf(protobuf) => protobuf.decode_messages(&[bytes], &mut self.next_record),
        }?;
        self.weighted(decoded)
    }

    /// Decodes one record, or a JSON array of records, of a format of JSON; of another what [`Decoder::decode`] does.
    pub(crate) fn decode_whole(&mut self, bytes: Bytes) -> Result<Decoded> {
        match &mut self.body {
            Body::Debezium(changes) => changes.decode_array(bytes, &mut self.next_record),
            _ => self.decode(bytes),
        }
    }

    /// Gives changes their weights.
    fn weighted(&self, decoded: Decoded) -> Result<Decoded> {
        let rows = filled(decoded.rows, &self.schema)?;
        Ok(Decoded { rows: rows.with_schema(SchemaRef::clone(&self.schema))?, ..decoded })
    }

    /// Decodes messages that are pieces of the same bytes, as [`Decoder::decode_messages`] does.
    pub(super) fn decode_pieces(&mut self, bytes: &Bytes, pieces: &[Range<usize>]) -> Result<Decoded> {
        match &mut self.body {
            Body::Json(json) | Body::JsonArray(json) => {
                let decoded = json.decode_pieces(bytes.clone(), pieces, &mut self.next_record)?;
                self.weighted(decoded)
            }
            _ => {
                let messages: Vec<_> = pieces.iter().map(|piece| bytes.slice(piece.clone())).collect();
                self.decode_messages(&messages)
            }
        }
    }

    /// Decodes messages, each of which is one record by itself (for formats of columns: any number of rows).
    pub fn decode_messages(&mut self, messages: &[Bytes]) -> Result<Decoded> {
        let decoded = match &mut self.body {
            Body::Debezium(changes) => return changes.decode_messages(messages, &mut self.next_record),
            Body::Json(json) | Body::JsonArray(json) => json.decode_messages(messages, &mut self.next_record),
            Body::Csv(csv) => csv.decode_messages(messages, &mut self.next_record),
            Body::Raw(raw) => raw.decode_messages(messages, &mut self.next_record),
            Body::Avro(avro) => avro.decode_messages(messages, &mut self.next_record),
            Body::Protobuf(protobuf) => protobuf.decode_messages(messages, &mut self.next_record),
            Body::Arrow | Body::Parquet => {
                let parts =
                    messages.iter().map(|message| self.decode(message.clone())).collect::<Result<_>>()?;
                return concat(&self.schema, parts);
            }
        }?;
        self.weighted(decoded)
    }
}

/// Joins what was decoded message by message from formats of columns.
pub(super) fn concat(schema: &SchemaRef, parts: Vec<Decoded>) -> Result<Decoded> {
    let rows = arrow::compute::concat_batches(schema, parts.iter().map(|part| &part.rows))?;
    let bad = parts.into_iter().flat_map(|part| part.bad).collect();
    Ok(Decoded { rows, bad, origins: Vec::new(), bytes: Bytes::new() })
}

/// What some programs put before a text in UTF-8.
pub(super) const MARK: &[u8] = "\u{feff}".as_bytes();

/// Origins are 32 bits wide.
pub(super) fn check_size(bytes: &[u8]) -> Result<()> {
    const MOST: u64 = i32::MAX as u64;
    let given = bytes.len() as u64;
    if given > MOST { Err(IngestError::TooLarge { what: "the input", given, most: MOST }) } else { Ok(()) }
}
