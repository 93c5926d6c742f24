//! Which formats messages have.

use headwater_connectors::{ConnectorError, Context, Result};
use headwater_ingest::{CsvHeader, Format, FormatOptions, Options};

/// Whether messages in a format are other bytes than text.
pub(super) const fn is_binary(format: Format) -> bool {
    matches!(format, Format::Avro | Format::AvroConfluent | Format::Protobuf | Format::ProtobufConfluent)
}

/// The format in which messages are read: one in which each message is one record.
pub(super) fn read_format(context: &Context, options: &Options) -> Result<Format> {
    let format = context.format.unwrap_or(Format::JsonLines);
    match format {
        Format::DebeziumJson if context.key.is_empty() => {
            Err(options.bad("format", format.name(), "the table needs PRIMARY KEY (…) NOT ENFORCED").into())
        }
        Format::Arrow | Format::Parquet => Err(options
            .bad("format", format.name(), "a message is one record, and this is a format of columns")
            .into()),
        format => Ok(format),
    }
}

/// The format of messages that are written: one in which each message is one record, as text.
pub(super) fn format_of(context: &Context) -> Result<Format> {
    let format = context.format.unwrap_or(Format::JsonLines);
    match format {
        Format::JsonLines | Format::JsonArray | Format::Csv | Format::Raw => Ok(format),
        other => Err(ConnectorError::refused(
            format!("write messages as {}", other.name()),
            "a message is one record as text: use json, csv, raw or debezium_json",
        )),
    }
}

/// The options of formats; a message has no header.
pub(super) fn options_of(context: &Context) -> FormatOptions {
    let mut options = context.format_options.clone();
    options.csv.header = CsvHeader::Absent;
    options
}
