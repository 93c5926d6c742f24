//! One file that is being read: rows piece by piece, and where to go on.

use std::io::BufReader;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;
use arrow::ipc::reader as ipc;
use bytes::Bytes;
use headwater_core::causes;
use headwater_core::world::DiskFile;
use headwater_ingest::{Decoded, Decoder, Format, FormatOptions, conform};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use super::chunks::FileReader;
use super::unpack::{Unpacked, packed};
use crate::error::{ConnectorError, Result};

/// How many bytes of a file of lines are read at a time.
const CHUNK: usize = 1 << 20;

/// How many rows of a file of columns are read at a time.
const ROWS: usize = 16_384;

/// How much of a file is looked at for a header.
const HEADER_MAX: usize = 1 << 20;

/// Where to go on in a file: at a byte (or, for files of columns, a row), which is the beginning of a record.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Place {
    pub(super) at: u64,
    /// The number of that record, from 1.
    pub(super) record: u64,
}

impl Place {
    pub(super) const START: Self = Self { at: 0, record: 1 };

    /// Reads what [`std::fmt::Display`] writes.
    pub(super) fn read(text: &str) -> Option<Self> {
        let (at, record) = text.split_once(' ')?;
        Some(Self { at: at.parse().ok()?, record: record.parse().ok()? })
    }
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.at, self.record)
    }
}

/// One file that is being read.
pub(super) struct Input {
    name: String,
    schema: SchemaRef,
    place: Place,
    body: Body,
}

enum Body {
    Lines { file: FileReader, decoder: Box<Decoder> },
    PackedLines { file: Box<Unpacked>, decoder: Box<Decoder> },
    Whole { file: FileReader, decoder: Box<Decoder> },
    PackedWhole { file: Box<Unpacked>, decoder: Box<Decoder> },
    Columns(Box<dyn Iterator<Item = Result<RecordBatch, ArrowError>> + Send>),
}

impl Input {
    /// Reads a file from a place on. In a compressed one, places are those of what it unpacks to.
    pub(super) fn open(
        file: Arc<dyn DiskFile>,
        name: String,
        format: Option<Format>,
        options: &FormatOptions,
        schema: &SchemaRef,
        place: Place,
    ) -> Result<Self> {
        let failed = |error: std::io::Error| ConnectorError::outage(format!("open {name}"), causes(&error));
        let file = FileReader::new(file).map_err(failed)?;
        let plain = packed(&name);
        let Some(format) = format.or_else(|| Format::from_path(plain.unwrap_or(&name))) else {
            return Err(ConnectorError::refused(
                format!("read {name}"),
                "its name tells no format; set the option 'format'",
            ));
        };
        let body = match format {
            // Changes are only written; their decoder says so.
            Format::JsonLines | Format::Csv | Format::Raw | Format::DebeziumJson => {
                let decoder = Box::new(Decoder::new(format, Arc::clone(schema), options)?);
                if plain.is_some() {
                    packed_lines(file, decoder, place).map_err(|error| damaged(&name, error))?
                } else {
                    lines(file, decoder, place).map_err(failed)?
                }
            }
            Format::JsonArray if plain.is_some() => Body::PackedWhole {
                file: Box::new(Unpacked::new(file)),
                decoder: Box::new(Decoder::new(format, Arc::clone(schema), options)?),
            },
            // Of a format of messages the file is one.
            Format::JsonArray
            | Format::Avro
            | Format::AvroConfluent
            | Format::Protobuf
            | Format::ProtobufConfluent => {
                Body::Whole { file, decoder: Box::new(Decoder::new(format, Arc::clone(schema), options)?) }
            }
            Format::Arrow | Format::Parquet if plain.is_some() => {
                return Err(ConnectorError::refused(
                    format!("read {name}"),
                    "a file of columns is compressed within, not as a whole; unpack it",
                ));
            }
            Format::Arrow | Format::Parquet => {
                let columns =
                    if format == Format::Parquet { parquet(file, place.at) } else { arrow(file, place.at) };
                Body::Columns(columns.map_err(|error| unreadable(&name, error))?)
            }
        };
        Ok(Self { name, schema: Arc::clone(schema), place, body })
    }

    /// The next rows and the place after them, or `None` at the end of the file.
    pub(super) fn next(&mut self) -> Result<Option<(Decoded, Place)>> {
        let decoded = match &mut self.body {
            Body::Lines { file, decoder } => {
                let records = next_lines(file, decoder, self.place.at);
                let records = records
                    .map_err(|error| ConnectorError::outage(format!("read {}", self.name), causes(&error)))?;
                if records.is_empty() {
                    return Ok(None);
                }
                let at = self.place.at + records.len() as u64;
                let decoded = decoder.decode(records.into())?;
                self.place = Place { at, record: decoder.next_record() };
                decoded
            }
            Body::PackedLines { file, decoder } => {
                let records = file.next(decoder).map_err(|error| damaged(&self.name, error))?;
                if records.is_empty() {
                    return Ok(None);
                }
                let at = self.place.at + records.len() as u64;
                let decoded = decoder.decode(records.into())?;
                self.place = Place { at, record: decoder.next_record() };
                decoded
            }
            Body::PackedWhole { file, decoder } => {
                if self.place != Place::START {
                    return Ok(None);
                }
                let bytes = file.rest().map_err(|error| damaged(&self.name, error))?;
                let at = bytes.len().max(1) as u64;
                let decoded = decoder.decode(bytes.into())?;
                self.place = Place { at, record: decoder.next_record() };
                decoded
            }
            Body::Whole { file, decoder } => {
                if self.place.at >= file.len() {
                    return Ok(None);
                }
                let bytes = file.bytes_at(0, usize::MAX);
                let bytes = bytes
                    .map_err(|error| ConnectorError::outage(format!("read {}", self.name), causes(&error)))?;
                let decoded = decoder.decode(bytes.into())?;
                self.place = Place { at: file.len(), record: decoder.next_record() };
                decoded
            }
            Body::Columns(batches) => {
                let Some(batch) = batches.next() else { return Ok(None) };
                let batch = batch.map_err(|error| unreadable(&self.name, error))?;
                let (rows, bad) = conform(&batch, &self.schema, self.place.record)?;
                let count = batch.num_rows() as u64;
                self.place = Place { at: self.place.at + count, record: self.place.record + count };
                Decoded { rows, bad, origins: Vec::new(), bytes: Bytes::new() }
            }
        };
        Ok(Some((decoded, self.place)))
    }
}

/// A file of lines, from a place on. What its header says is read in any case.
fn lines(file: FileReader, mut decoder: Box<Decoder>, place: Place) -> std::io::Result<Body> {
    if place != Place::START {
        decoder.take_header(&file.bytes_at(0, HEADER_MAX)?);
        decoder.resume_at(place.record);
    }
    Ok(Body::Lines { file, decoder })
}

/// The same of a compressed file.
fn packed_lines(file: FileReader, mut decoder: Box<Decoder>, place: Place) -> std::io::Result<Body> {
    let mut file = Box::new(Unpacked::new(file));
    if place != Place::START {
        let header = file.beginning(HEADER_MAX)?;
        decoder.take_header(header);
        decoder.resume_at(place.record);
        file.skip(place.at)?;
    }
    Ok(Body::PackedLines { file, decoder })
}

/// The next whole records from `at`. A record that is larger than a chunk makes the chunk larger; the last needs no line feed.
fn next_lines(file: &FileReader, decoder: &Decoder, at: u64) -> std::io::Result<Vec<u8>> {
    let mut size = CHUNK;
    loop {
        let mut bytes = file.bytes_at(at, size)?;
        let is_end = at + bytes.len() as u64 == file.len();
        let whole = if is_end { bytes.len() } else { decoder.whole_records(&bytes) };
        if whole > 0 || bytes.is_empty() {
            bytes.truncate(whole);
            return Ok(bytes);
        }
        size *= 2;
    }
}

type Batches = Box<dyn Iterator<Item = Result<RecordBatch, ArrowError>> + Send>;

fn parquet(file: FileReader, from: u64) -> Result<Batches, ArrowError> {
    let skip = usize::try_from(from).unwrap_or(usize::MAX);
    let reader =
        ParquetRecordBatchReaderBuilder::try_new(file)?.with_batch_size(ROWS).with_offset(skip).build()?;
    Ok(Box::new(reader))
}

fn arrow(file: FileReader, from: u64) -> Result<Batches, ArrowError> {
    let is_file = file.bytes_at(0, 6).is_ok_and(|magic| magic == b"ARROW1");
    let batches: Batches = if is_file {
        Box::new(ipc::FileReader::try_new(BufReader::new(file), None)?)
    } else {
        Box::new(ipc::StreamReader::try_new(BufReader::new(file), None)?)
    };
    let mut skip = usize::try_from(from).unwrap_or(usize::MAX);
    Ok(Box::new(batches.filter_map(move |batch| {
        let Ok(rows) = batch else { return Some(batch) };
        let skipped = skip.min(rows.num_rows());
        skip -= skipped;
        (skipped < rows.num_rows()).then(|| Ok(rows.slice(skipped, rows.num_rows() - skipped)))
    })))
}

/// A compressed file that does not unpack will not do so next time.
fn damaged(name: &str, error: std::io::Error) -> ConnectorError {
    let what = format!("unpack {name}");
    match error.kind() {
        std::io::ErrorKind::InvalidInput
        | std::io::ErrorKind::InvalidData
        | std::io::ErrorKind::UnexpectedEof => ConnectorError::refused(what, causes(&error)),
        _ => ConnectorError::outage(what, causes(&error)),
    }
}

fn unreadable(name: &str, error: ArrowError) -> ConnectorError {
    ConnectorError::refused(format!("read {name}"), causes(&error))
}
