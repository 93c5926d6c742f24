//! What is known of a message besides its value: columns declared with `METADATA`.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryBuilder, Int32Builder, Int64Builder, MapBuilder, RecordBatch, RecordBatchOptions,
    StringBuilder, TimestampMillisecondBuilder,
};
use arrow::compute::can_cast_types;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use headwater_connectors::{ConnectorError, Result};
use headwater_ingest::Options;
use rdkafka::message::{BorrowedMessage, Headers, Message, Timestamp};

/// One thing that is known of a message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum About {
    Topic,
    Partition,
    Offset,
    Timestamp,
    TimestampType,
    Headers,
    Key,
}

impl About {
    const ALL: [(&'static str, Self); 7] = [
        ("topic", Self::Topic),
        ("partition", Self::Partition),
        ("offset", Self::Offset),
        ("timestamp", Self::Timestamp),
        ("timestamp-type", Self::TimestampType),
        ("headers", Self::Headers),
        ("key", Self::Key),
    ];

    /// The type that it has before it is cast to that of its column.
    fn data_type(self) -> DataType {
        match self {
            Self::Topic | Self::TimestampType => DataType::Utf8,
            Self::Partition => DataType::Int32,
            Self::Offset => DataType::Int64,
            Self::Timestamp => DataType::Timestamp(TimeUnit::Millisecond, None),
            Self::Key => DataType::Binary,
            Self::Headers => headers_type(),
        }
    }
}

/// The columns of a stream that are metadata, and what each of them is.
#[derive(Clone, Debug, Default)]
pub(crate) struct AboutColumns(pub Vec<(String, About)>);

impl AboutColumns {
    /// Reads what `METADATA FROM` says, and checks the columns' types.
    pub fn new(metadata: &BTreeMap<String, String>, schema: &SchemaRef, options: &Options) -> Result<Self> {
        let mut columns = Vec::new();
        for (column, wanted) in metadata {
            let key = wanted.trim().to_ascii_lowercase().replace('_', "-");
            let known = About::ALL
                .into_iter()
                .find(|(name, _)| *name == key || (key == "offset-id" && *name == "offset"));
            let Some((_, about)) = known else {
                let names = About::ALL.map(|(name, _)| name).join(", ");
                return Err(bad(
                    options,
                    column,
                    format!("a message of Kafka has no {wanted:?}; it has {names}"),
                ));
            };
            let field =
                schema.field_with_name(column).map_err(|error| bad(options, column, error.to_string()))?;
            if !can_cast_types(&about.data_type(), field.data_type()) {
                let reason =
                    format!("{wanted} is {}, which does not become {}", about.data_type(), field.data_type());
                return Err(bad(options, column, reason));
            }
            columns.push((column.clone(), about));
        }
        Ok(Self(columns))
    }

    /// The names of the columns.
    pub fn names(&self) -> Vec<&str> {
        self.0.iter().map(|(name, _)| name.as_str()).collect()
    }

    /// The column that is this.
    pub fn column_of(&self, about: About) -> Option<&str> {
        self.0.iter().find(|(_, one)| *one == about).map(|(name, _)| name.as_str())
    }

    /// Columns that grow with each message.
    pub fn builder(&self) -> AboutBuilder {
        let columns = self.0.iter().map(|(name, about)| (name.clone(), Growing::new(*about))).collect();
        AboutBuilder { columns, rows: 0 }
    }
}

fn bad(options: &Options, column: &str, reason: String) -> ConnectorError {
    options.bad("METADATA", column, reason).into()
}

/// Metadata that is being collected.
pub(crate) struct AboutBuilder {
    columns: Vec<(String, Growing)>,
    rows: usize,
}

enum Growing {
    Topic(StringBuilder),
    Partition(Int32Builder),
    Offset(Int64Builder),
    Timestamp(TimestampMillisecondBuilder),
    TimestampType(StringBuilder),
    Headers(Box<MapBuilder<StringBuilder, BinaryBuilder>>),
    Key(BinaryBuilder),
}

impl AboutBuilder {
    /// Adds what is known of a message.
    pub fn push(&mut self, message: &BorrowedMessage<'_>) {
        self.rows += 1;
        for (_, column) in &mut self.columns {
            match column {
                Growing::Topic(values) => values.append_value(message.topic()),
                Growing::Partition(values) => values.append_value(message.partition()),
                Growing::Offset(values) => values.append_value(message.offset()),
                Growing::Timestamp(values) => values.append_option(message.timestamp().to_millis()),
                Growing::TimestampType(values) => values.append_value(match message.timestamp() {
                    Timestamp::NotAvailable => "NoTimestampType",
                    Timestamp::CreateTime(_) => "CreateTime",
                    Timestamp::LogAppendTime(_) => "LogAppendTime",
                }),
                Growing::Headers(values) => push_headers(message, values),
                Growing::Key(values) => values.append_option(message.key()),
            }
        }
    }

    /// The columns, one row for each message.
    pub fn finish(self) -> Result<RecordBatch> {
        let (mut fields, mut columns) = (Vec::new(), Vec::<ArrayRef>::new());
        for (name, column) in self.columns {
            let column = column.finish();
            fields.push(Field::new(name, column.data_type().clone(), true));
            columns.push(column);
        }
        let options = RecordBatchOptions::new().with_row_count(Some(self.rows));
        let batch = RecordBatch::try_new_with_options(Arc::new(Schema::new(fields)), columns, &options);
        batch.map_err(|error| headwater_ingest::IngestError::from(error).into())
    }
}

/// Adds the headers as a map. A map has each key once: the last header of a name counts, as in Flink.
fn push_headers(message: &BorrowedMessage<'_>, values: &mut MapBuilder<StringBuilder, BinaryBuilder>) {
    let mut last: HashMap<&str, usize> = HashMap::new();
    if let Some(headers) = message.headers() {
        last.extend((0..headers.count()).map(|nth| (headers.get(nth).key, nth)));
        for nth in 0..headers.count() {
            let header = headers.get(nth);
            if last.get(header.key) == Some(&nth) {
                values.keys().append_value(header.key);
                values.values().append_option(header.value);
            }
        }
    }
    // Keys and values are appended in pairs, so that this cannot fail.
    let _ = values.append(true);
}

impl Growing {
    fn new(about: About) -> Self {
        match about {
            About::Topic => Self::Topic(StringBuilder::new()),
            About::Partition => Self::Partition(Int32Builder::new()),
            About::Offset => Self::Offset(Int64Builder::new()),
            About::Timestamp => Self::Timestamp(TimestampMillisecondBuilder::new()),
            About::TimestampType => Self::TimestampType(StringBuilder::new()),
            About::Headers => {
                let headers = MapBuilder::new(None, StringBuilder::new(), BinaryBuilder::new());
                Self::Headers(Box::new(headers))
            }
            About::Key => Self::Key(BinaryBuilder::new()),
        }
    }

    fn finish(self) -> ArrayRef {
        match self {
            Self::Topic(mut values) | Self::TimestampType(mut values) => Arc::new(values.finish()),
            Self::Partition(mut values) => Arc::new(values.finish()),
            Self::Offset(mut values) => Arc::new(values.finish()),
            Self::Timestamp(mut values) => Arc::new(values.finish()),
            Self::Headers(mut values) => Arc::new(values.finish()),
            Self::Key(mut values) => Arc::new(values.finish()),
        }
    }
}

/// Headers as Arrow's map builder makes them.
fn headers_type() -> DataType {
    let mut empty = MapBuilder::new(None, StringBuilder::new(), BinaryBuilder::new());
    arrow::array::Array::data_type(&empty.finish()).clone()
}
