//! The options of formats, under the names that Flink and Arroyo give them.

use std::fmt;

use crate::error::Result;
use crate::options::{FIELD_NAMES, OptionError, Options};

use super::{FieldNames, Format, Schemas};

/// How times are written where the column is a timestamp.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum TimestampFormat {
    /// RFC 3339, or `YYYY-MM-DD hh:mm:ss[.f]`; without an offset UTC.
    #[default]
    Iso,
    /// Seconds since the epoch, with a fraction if need be.
    EpochSeconds,
    /// Milliseconds since the epoch.
    EpochMillis,
    /// Microseconds since the epoch.
    EpochMicros,
    /// Nanoseconds since the epoch.
    EpochNanos,
}

impl TimestampFormat {
    fn from_name(name: &str) -> std::result::Result<Self, String> {
        match name.trim().to_ascii_lowercase().replace('_', "-").as_str() {
            "iso" | "iso-8601" | "rfc3339" | "sql" => Ok(Self::Iso),
            "epoch-seconds" | "unix-seconds" => Ok(Self::EpochSeconds),
            "epoch-millis" | "unix-millis" => Ok(Self::EpochMillis),
            "epoch-micros" | "unix-micros" => Ok(Self::EpochMicros),
            "epoch-nanos" | "unix-nanos" => Ok(Self::EpochNanos),
            _ => Err("it is one of iso, epoch-seconds, epoch-millis, epoch-micros, epoch-nanos".to_owned()),
        }
    }

    /// Nanoseconds in one unit; `None` for text.
    pub(super) const fn nanos(self) -> Option<i64> {
        match self {
            Self::Iso => None,
            Self::EpochSeconds => Some(1_000_000_000),
            Self::EpochMillis => Some(1_000_000),
            Self::EpochMicros => Some(1_000),
            Self::EpochNanos => Some(1),
        }
    }
}

/// Whether a CSV input begins with the names of its columns.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum CsvHeader {
    /// It does if a field of the first record is the name of a column and none is a number.
    #[default]
    Auto,
    /// It does; fields are matched to columns by name, others are ignored.
    Present,
    /// It does not; fields are matched to columns by position.
    Absent,
}

impl CsvHeader {
    fn from_name(name: &str) -> std::result::Result<Self, String> {
        match name.trim().to_ascii_lowercase().as_str() {
            "auto" => Ok(Self::Auto),
            "true" | "present" => Ok(Self::Present),
            "false" | "absent" => Ok(Self::Absent),
            _ => Err("it is auto, true or false".to_owned()),
        }
    }
}

/// How CSV is written.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CsvOptions {
    /// Between fields (`csv.field-delimiter`).
    pub delimiter: u8,
    /// Around fields that hold a delimiter, a quote or a line feed (`csv.quote-character`, `csv.disable-quote-character`).
    pub quote: Option<u8>,
    /// Before a quote within quotes, besides doubling it (`csv.escape-character`).
    pub escape: Option<u8>,
    /// The text that is NULL, besides the empty field (`csv.null-literal`).
    pub null_literal: Option<String>,
    /// Whether lines that begin with `#` are left out (`csv.allow-comments`).
    pub comments: bool,
    /// Whether there is a header (`csv.header`).
    pub header: CsvHeader,
}

impl Default for CsvOptions {
    fn default() -> Self {
        Self {
            delimiter: b',',
            quote: Some(b'"'),
            escape: None,
            null_literal: None,
            comments: false,
            header: CsvHeader::Auto,
        }
    }
}

/// How strict JSON is taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct JsonOptions {
    /// A field that the stream does not have makes the record bad (`json.fail-on-unknown-field`).
    pub fail_on_unknown_field: bool,
    /// A missing field makes the record bad also where NULL is allowed (`json.fail-on-missing-field`).
    pub fail_on_missing_field: bool,
}

/// Bounds on one record.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// The most bytes (`record-bytes-max`).
    pub record_bytes_max: usize,
    /// The deepest nesting.
    pub depth_max: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self { record_bytes_max: 1 << 20, depth_max: 64 }
    }
}

/// All options of all formats. Those of a format that is not used do nothing.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct FormatOptions {
    /// How times are written (`timestamp-format`).
    pub timestamps: TimestampFormat,
    /// For CSV.
    pub csv: CsvOptions,
    /// For JSON.
    pub json: JsonOptions,
    /// The schema of Avro (`avro.schema`, `avro-confluent.schema`), as JSON; made of the columns unless given.
    pub avro_schema: Option<String>,
    /// The text of a `.proto` file (`protobuf.schema`).
    pub protobuf_schema: Option<String>,
    /// Which of its messages it is (`protobuf.message-name`); the first unless given.
    pub protobuf_message: Option<String>,
    /// The columns that changes fill with what is known of them besides their rows, and with what (`debezium-json.metadata`).
    pub debezium_metadata: Vec<(String, String)>,
    /// The names of columns and of their fields as records have them, where those of the schema are in lower case (`field-names`).
    pub names: FieldNames,
    /// What is known of a registry's schemas.
    pub schemas: Schemas,
    /// Bounds on one record.
    pub limits: Limits,
}

impl FormatOptions {
    /// Takes the options of formats, and `format` itself if given.
    pub fn take(options: &mut Options) -> Result<(Option<Format>, Self)> {
        let format = match options.get("format") {
            Some(name) => Some(Format::from_name(&name).map_err(|error| match error {
                crate::IngestError::UnknownFormat { .. } => {
                    options.bad("format", &name, error.to_string()).into()
                }
                other => other,
            })?),
            None => None,
        };
        let mut taken = Self::default();
        taken.take_timestamps(options)?;
        taken.take_csv(options)?;
        taken.take_json(options)?;
        taken.take_debezium(options)?;
        taken.avro_schema = options.get_any(&["avro.schema", "avro-confluent.schema"]);
        taken.protobuf_schema = options.get_any(&["protobuf.schema", "protobuf-confluent.schema"]);
        taken.protobuf_message =
            options.get_any(&["protobuf.message-name", "protobuf-confluent.message-name"]);
        taken.names = FieldNames::new(&options.get(FIELD_NAMES).unwrap_or_default());
        if let Some(bytes) = options.size("record-bytes-max")? {
            taken.limits.record_bytes_max = usize::try_from(bytes).unwrap_or(usize::MAX);
        }
        Ok((format, taken))
    }

    fn take_timestamps(&mut self, options: &mut Options) -> std::result::Result<(), OptionError> {
        for name in ["timestamp-format", "json.timestamp-format", "json.timestamp-format.standard"] {
            if let Some(format) = options.parse_with(name, TimestampFormat::from_name)? {
                self.timestamps = format;
            }
        }
        Ok(())
    }

    fn take_csv(&mut self, options: &mut Options) -> std::result::Result<(), OptionError> {
        let csv = &mut self.csv;
        if let Some(delimiter) = options.parse_with("csv.field-delimiter", one_byte)? {
            csv.delimiter = delimiter;
        }
        if let Some(quote) = options.parse_with("csv.quote-character", one_byte)? {
            csv.quote = Some(quote);
        }
        if options.flag("csv.disable-quote-character")? == Some(true) {
            csv.quote = None;
        }
        csv.escape = options.parse_with("csv.escape-character", one_byte)?;
        csv.null_literal = options.get("csv.null-literal");
        csv.comments = options.flag("csv.allow-comments")?.unwrap_or(false);
        if let Some(header) = options.parse_with("csv.header", CsvHeader::from_name)? {
            csv.header = header;
        }
        // Records that do not parse are always passed over, to the dead letters: nothing is left for these to say.
        options.flag("csv.ignore-parse-errors")?;
        Ok(())
    }

    fn take_debezium(&mut self, options: &mut Options) -> std::result::Result<(), OptionError> {
        // Whether a change lies in a payload shows by itself; what does not parse goes to the dead letters.
        for name in ["schema-include", "ignore-parse-errors"] {
            options.flag(&format!("debezium-json.{name}"))?;
            options.flag(&format!("value.debezium-json.{name}"))?;
        }
        let pairs = options.get("debezium-json.metadata").unwrap_or_default();
        let pairs = pairs.split(',').filter_map(|pair| pair.split_once('='));
        self.debezium_metadata = pairs.map(|(column, what)| (column.to_owned(), what.to_owned())).collect();
        // The key says which row a change is of; the table that takes changes was made with one.
        options.get("changelog.mode");
        Ok(())
    }

    fn take_json(&mut self, options: &mut Options) -> std::result::Result<(), OptionError> {
        options.flag("json.ignore-parse-errors")?;
        self.json.fail_on_unknown_field = options.flag("json.fail-on-unknown-field")?.unwrap_or(false);
        self.json.fail_on_missing_field = options.flag("json.fail-on-missing-field")?.unwrap_or(false);
        Ok(())
    }
}

/// One character of ASCII, or `\t`.
fn one_byte(text: &str) -> std::result::Result<u8, String> {
    match text.as_bytes() {
        b"\\t" => Ok(b'\t'),
        [byte] if byte.is_ascii() && !matches!(byte, b'\n' | b'\r') => Ok(*byte),
        _ => Err("it is one character of ASCII, or \\t".to_owned()),
    }
}

impl fmt::Display for TimestampFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Iso => "iso",
            Self::EpochSeconds => "epoch-seconds",
            Self::EpochMillis => "epoch-millis",
            Self::EpochMicros => "epoch-micros",
            Self::EpochNanos => "epoch-nanos",
        })
    }
}
