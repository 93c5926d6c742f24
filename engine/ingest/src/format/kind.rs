//! What formats there are, and by which names they go.

use crate::error::{IngestError, Result};
use crate::options::nearest;

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
    /// Changes as Debezium writes them: one JSON object per line with the row before, the row after and what was done.
    DebeziumJson,
    /// Avro: one datum a message.
    Avro,
    /// Avro with the number of its schema in a registry, as Confluent writes it.
    AvroConfluent,
    /// Protobuf: one message a message.
    Protobuf,
    /// Protobuf with the number of its schema in a registry, as Confluent writes it.
    ProtobufConfluent,
}

impl Format {
    /// All formats.
    pub const ALL: [Self; 11] = [
        Self::JsonLines,
        Self::JsonArray,
        Self::Csv,
        Self::Arrow,
        Self::Parquet,
        Self::Raw,
        Self::DebeziumJson,
        Self::Avro,
        Self::AvroConfluent,
        Self::Protobuf,
        Self::ProtobufConfluent,
    ];

    /// The name, as `format = '…'` has it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::JsonLines => "json",
            Self::JsonArray => "json_array",
            Self::Csv => "csv",
            Self::Arrow => "arrow",
            Self::Parquet => "parquet",
            Self::Raw => "raw",
            Self::DebeziumJson => "debezium_json",
            Self::Avro => "avro",
            Self::AvroConfluent => "avro_confluent",
            Self::Protobuf => "protobuf",
            Self::ProtobufConfluent => "protobuf_confluent",
        }
    }

    /// The format of a name.
    pub fn from_name(name: &str) -> Result<Self> {
        let written = name.trim().to_ascii_lowercase().replace('-', "_");
        match written.as_str() {
            "json" | "json_lines" | "jsonl" | "ndjson" => Ok(Self::JsonLines),
            "json_array" => Ok(Self::JsonArray),
            "csv" => Ok(Self::Csv),
            "arrow" | "arrow_stream" | "arrow_file" | "ipc" => Ok(Self::Arrow),
            "parquet" => Ok(Self::Parquet),
            "raw" | "raw_string" | "raw_bytes" => Ok(Self::Raw),
            "debezium_json" => Ok(Self::DebeziumJson),
            "avro" => Ok(Self::Avro),
            "avro_confluent" => Ok(Self::AvroConfluent),
            "protobuf" => Ok(Self::Protobuf),
            "protobuf_confluent" => Ok(Self::ProtobufConfluent),
            _ => Err(IngestError::UnknownFormat {
                name: name.to_owned(),
                nearest: nearest(&written, Self::ALL.map(Self::name)).map(str::to_owned),
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
            Self::DebeziumJson => "application/x-ndjson",
            Self::Avro | Self::AvroConfluent => "avro/binary",
            Self::Protobuf | Self::ProtobufConfluent => "application/x-protobuf",
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
            Self::JsonLines | Self::DebeziumJson => "jsonl",
            Self::JsonArray => "json",
            Self::Csv => "csv",
            Self::Arrow => "arrow",
            Self::Parquet => "parquet",
            Self::Raw => "txt",
            Self::Avro | Self::AvroConfluent => "avro",
            Self::Protobuf | Self::ProtobufConfluent => "pb",
        }
    }

    /// Whether each message carries the number of its schema in a registry.
    pub const fn is_registered(self) -> bool {
        matches!(self, Self::AvroConfluent | Self::ProtobufConfluent)
    }

    /// Whether records follow one another line by line, so that an input may be cut after any record.
    pub const fn is_lines(self) -> bool {
        matches!(self, Self::JsonLines | Self::Csv | Self::Raw | Self::DebeziumJson)
    }
}
