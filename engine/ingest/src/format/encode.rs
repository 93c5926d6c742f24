//! Rows to bytes: for sinks, for answers over HTTP, and for dead letters.
//!
//! Text formats write what the decoder reads back as the same value: timestamps as RFC 3339 in UTC, binary as base64, decimals
//! as JSON numbers. NULL is `null` in JSON and an empty field in CSV; the empty text is `""` in CSV.

mod csv_text;
mod debezium;
mod json_text;
mod time_text;

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch};
use arrow::datatypes::SchemaRef;
use arrow::ipc::writer::StreamWriter;
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;

use super::avro::{AvroEncoder, to_instants};
use super::field_names::renamed;
use super::protobuf::ProtobufEncoder;
use super::{CsvHeader, Format, FormatOptions};
use crate::error::{IngestError, Result};

pub(crate) use json_text::row_as_json;

/// Each value of a column as JSON text; NULL is `None`.
pub fn json_cells(column: &ArrayRef) -> Result<Vec<Option<Vec<u8>>>> {
    json_text::cells(column, &FormatOptions::default())
}

/// Turns rows of one schema into bytes.
pub struct Encoder {
    schema: SchemaRef,
    options: FormatOptions,
    body: Body,
    /// Whether anything was written.
    begun: bool,
}

enum Body {
    JsonLines,
    JsonArray { any_rows: bool },
    Csv,
    Arrow(Box<StreamWriter<Vec<u8>>>),
    Parquet(Box<ArrowWriter<Vec<u8>>>),
    Raw,
    Debezium,
    Avro(Box<AvroEncoder>),
    Protobuf(ProtobufEncoder),
}

impl Encoder {
    /// An encoder at the beginning of an output.
    pub fn new(format: Format, schema: SchemaRef, options: &FormatOptions) -> Result<Self> {
        let schema = options.names.written(&schema);
        let body = match format {
            Format::JsonLines => Body::JsonLines,
            Format::JsonArray => Body::JsonArray { any_rows: false },
            Format::Csv => Body::Csv,
            Format::Raw => Body::Raw,
            Format::DebeziumJson => Body::Debezium,
            Format::Avro | Format::AvroConfluent => Body::Avro(Box::new(AvroEncoder::new(&schema, options)?)),
            Format::Protobuf | Format::ProtobufConfluent => {
                Body::Protobuf(ProtobufEncoder::new(&schema, options)?)
            }
            Format::Arrow => Body::Arrow(Box::new(StreamWriter::try_new(Vec::new(), &schema)?)),
            Format::Parquet => {
                let zstd = Compression::ZSTD(ZstdLevel::default());
                let properties = WriterProperties::builder().set_compression(zstd).build();
                let writer = ArrowWriter::try_new(Vec::new(), Arc::clone(&schema), Some(properties));
                Body::Parquet(Box::new(writer.map_err(parquet_error)?))
            }
        };
        if format == Format::Raw && schema.fields().len() != 1 {
            return Err(IngestError::Unsupported {
                format: format.name(),
                column: schema.fields().get(1).map(|field| field.name().clone()).unwrap_or_default(),
                data_type: "any".to_owned(),
                remedy: "select a single column",
            });
        }
        Ok(Self { schema, options: options.clone(), body, begun: false })
    }

    /// The rows under the names that records have, if these are others.
    fn written(&self, rows: &RecordBatch) -> Result<Option<RecordBatch>> {
        (!self.options.names.is_empty()).then(|| renamed(rows, &self.schema)).transpose()
    }

    /// Appends rows to `out`; the first call begins with what comes before them. Parquet writes most of it in [`Encoder::finish`].
    pub fn encode(&mut self, rows: &RecordBatch, out: &mut Vec<u8>) -> Result<()> {
        let first = !std::mem::replace(&mut self.begun, true);
        let written = self.written(rows)?;
        let rows = written.as_ref().unwrap_or(rows);
        match &mut self.body {
            Body::JsonLines => json_text::write(rows, &self.options, b"", b"\n", out),
            Body::JsonArray { any_rows } => {
                out.extend_from_slice(if first { b"[" } else { b"" });
                // The very first row has no comma before it.
                let bare = usize::from(!*any_rows).min(rows.num_rows());
                *any_rows |= bare > 0;
                json_text::write(&rows.slice(0, bare), &self.options, b"", b"", out)?;
                json_text::write(&rows.slice(bare, rows.num_rows() - bare), &self.options, b",\n", b"", out)
            }
            Body::Csv => {
                if first && self.options.csv.header != CsvHeader::Absent {
                    csv_text::write_header(&self.schema, &self.options, out);
                }
                csv_text::write(rows, &self.options, out)
            }
            Body::Raw => json_text::write_raw(rows, out),
            Body::Debezium => debezium::write(rows, &self.options, out),
            Body::Avro(_) | Body::Protobuf(_) => Err(IngestError::Unsupported {
                format: if matches!(self.body, Body::Avro(_)) { "avro" } else { "protobuf" },
                column: "(all)".to_owned(),
                data_type: "any".to_owned(),
                remedy: "nothing tells where a record ends; it is a format of messages, for a queue",
            }),
            Body::Arrow(writer) => {
                writer.write(rows)?;
                out.append(writer.get_mut());
                Ok(())
            }
            Body::Parquet(writer) => {
                writer.write(rows).map_err(parquet_error)?;
                out.append(writer.inner_mut());
                Ok(())
            }
        }
    }

    /// Appends each row to `out` as a message of its own: for queues. Answers which row each message is of, and where it lies. A
    /// change that is made several times is several messages. Formats of whole files have no messages.
    pub fn encode_messages(
        &mut self,
        rows: &RecordBatch,
        out: &mut Vec<u8>,
    ) -> Result<Vec<(usize, Range<usize>)>> {
        let mut messages = Vec::with_capacity(rows.num_rows());
        let written = self.written(rows)?;
        let rows = written.as_ref().unwrap_or(rows);
        match &mut self.body {
            Body::JsonLines | Body::JsonArray { .. } => {
                let from = out.len();
                json_text::write(rows, &self.options, b"", b"\n", out)?;
                // JSON text has no line feed inside.
                messages
                    .extend(lines(&out[from..]).map(|line| line.start + from..line.end + from).enumerate());
            }
            Body::Csv | Body::Raw | Body::Debezium => {
                for row in 0..rows.num_rows() {
                    let (from, one) = (out.len(), rows.slice(row, 1));
                    match &self.body {
                        Body::Csv => csv_text::write(&one, &self.options, out)?,
                        Body::Raw => json_text::write_raw(&one, out)?,
                        _ => {
                            debezium::write(&one, &self.options, out)?;
                            let lines = lines(&out[from..]).map(|line| line.start + from..line.end + from);
                            messages.extend(lines.map(|line| (row, line)));
                            continue;
                        }
                    }
                    messages.push((row, from..out.len() - 1));
                }
            }
            Body::Avro(avro) => {
                let mut start = out.len();
                avro.encode(rows, out, |end| {
                    messages.push((messages.len(), start..end));
                    start = end;
                })?;
            }
            Body::Protobuf(protobuf) => {
                let mut objects = Vec::new();
                json_text::write(&to_instants(rows)?, &self.options, b"", b"\n", &mut objects)?;
                for (row, line) in lines(&objects).enumerate() {
                    let start = out.len();
                    protobuf.encode(&objects[line], out)?;
                    messages.push((row, start..out.len()));
                }
            }
            Body::Arrow(_) | Body::Parquet(_) => {
                return Err(IngestError::Unsupported {
                    format: if matches!(self.body, Body::Arrow(_)) { "arrow" } else { "parquet" },
                    column: "(all)".to_owned(),
                    data_type: "any".to_owned(),
                    remedy: "a message holds one row; choose a format of single records, such as json",
                });
            }
        }
        Ok(messages)
    }

    /// The text of the schema that a registry must know before anything is written, if the format wants that.
    pub fn schema_text(&self) -> Option<&str> {
        match &self.body {
            Body::Avro(avro) => Some(avro.text()),
            Body::Protobuf(protobuf) => Some(protobuf.text()),
            _ => None,
        }
    }

    /// Puts this number of the registry's before each message from now on.
    pub fn set_schema_id(&mut self, id: u32) {
        match &mut self.body {
            Body::Avro(avro) => avro.id = Some(id),
            Body::Protobuf(protobuf) => protobuf.id = Some(id),
            _ => {}
        }
    }

    /// How many bytes wait for [`Encoder::finish`], about.
    pub fn buffered(&self) -> usize {
        match &self.body {
            Body::Parquet(writer) => writer.in_progress_size(),
            _ => 0,
        }
    }

    /// Ends the output: closes an array, writes a footer. An output without rows is ended too.
    pub fn finish(mut self, out: &mut Vec<u8>) -> Result<()> {
        if !self.begun {
            self.encode(&RecordBatch::new_empty(Arc::clone(&self.schema)), out)?;
        }
        match self.body {
            Body::JsonArray { .. } => out.extend_from_slice(b"]\n"),
            Body::Arrow(mut writer) => {
                writer.finish()?;
                out.append(writer.get_mut());
            }
            Body::Parquet(writer) => {
                let rest = writer.into_inner().map_err(parquet_error)?;
                out.extend_from_slice(&rest);
            }
            Body::JsonLines | Body::Csv | Body::Raw | Body::Debezium | Body::Avro(_) | Body::Protobuf(_) => {}
        }
        Ok(())
    }
}

/// Where the lines lie, without their line feeds.
fn lines(text: &[u8]) -> impl Iterator<Item = Range<usize>> + '_ {
    let mut start = 0;
    memchr::memchr_iter(b'\n', text).map(move |end| std::mem::replace(&mut start, end + 1)..end)
}

fn parquet_error(error: parquet::errors::ParquetError) -> IngestError {
    arrow::error::ArrowError::from(error).into()
}
