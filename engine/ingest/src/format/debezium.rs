//! Changes as Debezium writes them, read.
//!
//! ```text
//!  {"before":null,"after":{"k":"a","n":1},"op":"c","ts_ms":1,"source":{"ts_ms":0,"table":"t"}}      the row is there from now on
//!  {"before":{"k":"a","n":1},"after":null,"op":"d"}                                                 it is gone
//! ```
//!
//! A record becomes one row: of `c`, `r` (a snapshot) and `u` the row after, with weight 1; of `d` the row before, with weight -1. An
//! update needs no row before: a table of changes knows its rows by their key. The object may lie in a `payload` beside its `schema`.
//! What is known of a change besides fills the columns that `debezium-json.metadata` names.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray, TimestampMillisecondArray};
use arrow::compute::cast;
use arrow::datatypes::{Schema, SchemaRef};
use bytes::Bytes;

use super::decode::{Decoded, Origin};
use super::fault::{Fault, Parsed};
use super::json::{JsonDecoder, not_utf8};
use super::json_cursor::{Cursor, element_end};
use super::settings::FormatOptions;
use super::weights::WEIGHT;
use crate::bad::RecordFault;
use crate::error::{IngestError, Result};

/// Decodes changes into rows whose last column is their weight.
pub(super) struct DebeziumDecoder {
    schema: SchemaRef,
    rows: JsonDecoder,
    /// The columns that the rows of a change have, by their places.
    own: Vec<usize>,
    /// The columns that are of the change itself.
    about: Vec<(usize, About)>,
    depth_max: u32,
    scratch: String,
}

/// What is known of a change besides its rows, in Flink's spelling.
#[derive(Clone, Copy)]
enum About {
    Ingested,
    Happened,
    Database,
    Schema,
    Table,
}

impl About {
    fn from_name(name: &str) -> Option<Self> {
        Some(match name {
            "ingestion-timestamp" => Self::Ingested,
            "source.timestamp" => Self::Happened,
            "source.database" => Self::Database,
            "source.schema" => Self::Schema,
            "source.table" => Self::Table,
            _ => return None,
        })
    }
}

/// One change: where its rows lie, and what else it says.
#[derive(Default)]
struct Change {
    before: Option<Range<usize>>,
    after: Option<Range<usize>>,
    operation: Option<String>,
    ingested: Option<i64>,
    source: Source,
}

#[derive(Default)]
struct Source {
    happened: Option<i64>,
    database: Option<String>,
    schema: Option<String>,
    table: Option<String>,
}

/// A change whose row is being decoded.
struct Open {
    record: u64,
    whole: Range<usize>,
    weight: i64,
    change: Change,
}

impl DebeziumDecoder {
    pub(super) fn new(schema: &SchemaRef, options: &FormatOptions) -> Result<Self> {
        let columns = schema.fields().len().saturating_sub(1);
        if schema.fields().last().is_none_or(|field| field.name() != WEIGHT) {
            return Err(IngestError::Unsupported {
                format: "debezium_json",
                column: schema.fields().first().map(|field| field.name().clone()).unwrap_or_default(),
                data_type: "a row that is only ever added".to_owned(),
                remedy: "the stream or table that takes changes needs PRIMARY KEY (...) NOT ENFORCED",
            });
        }
        let mut about = Vec::new();
        for (column, what) in &options.debezium_metadata {
            let place = schema.index_of(column)?;
            let known = About::from_name(what).ok_or_else(|| IngestError::Unreadable {
                format: "debezium_json",
                reason: format!("a change has no {what:?} for column {column}"),
            })?;
            about.push((place, known));
        }
        let is_about = |column: &usize| about.iter().any(|(place, _)| place == column);
        let own: Vec<usize> = (0..columns).filter(|column| !is_about(column)).collect();
        let inner = Arc::new(schema.project(&own)?);
        Ok(Self {
            schema: Arc::clone(schema),
            rows: JsonDecoder::new(&inner, options)?,
            own,
            about,
            depth_max: options.limits.depth_max,
            scratch: String::new(),
        })
    }

    /// Decodes lines, each a change. Blank lines count as lines and are passed over.
    pub(super) fn decode_lines(&mut self, bytes: Bytes, next_line: &mut u64) -> Result<Decoded> {
        let (mut records, mut start) = (Vec::new(), 0);
        while start < bytes.len() {
            let end = memchr::memchr(b'\n', &bytes[start..]).map_or(bytes.len(), |len| start + len);
            if !bytes[start..end].trim_ascii().is_empty() {
                records.push((*next_line, start..end));
            }
            *next_line += 1;
            start = end + 1;
        }
        self.decode(bytes, records)
    }

    /// Decodes one change, or an array of them, however it is laid out.
    pub(super) fn decode_array(&mut self, bytes: Bytes, next_record: &mut u64) -> Result<Decoded> {
        let space = |start: usize| {
            start + bytes[start..].iter().take_while(|byte| byte.is_ascii_whitespace()).count()
        };
        let mut start = space(0);
        let mut records = Vec::new();
        let mut add = |range: Range<usize>| {
            records.push((*next_record, range));
            *next_record += 1;
        };
        if bytes.get(start) != Some(&b'[') {
            if start < bytes.len() {
                add(start..bytes.len());
            }
            return self.decode(bytes.clone(), records);
        }
        start = space(start + 1);
        while start < bytes.len() && bytes[start] != b']' {
            let end = element_end(&bytes, start).unwrap_or(bytes.len());
            add(start..end);
            start = match bytes.get(end) {
                Some(b',') => space(end + 1),
                _ => bytes.len(),
            };
        }
        self.decode(bytes.clone(), records)
    }

    /// Decodes messages, each a change.
    pub(super) fn decode_messages(&mut self, messages: &[Bytes], next_record: &mut u64) -> Result<Decoded> {
        let joined = Bytes::from(messages.concat());
        super::decode::check_size(&joined)?;
        let mut start = 0;
        let records = messages.iter().map(|message| {
            let range = start..start + message.len();
            start = range.end;
            *next_record += 1;
            (*next_record - 1, range)
        });
        let records = records.collect();
        self.decode(joined, records)
    }

    fn decode(&mut self, bytes: Bytes, records: Vec<(u64, Range<usize>)>) -> Result<Decoded> {
        super::decode::check_size(&bytes)?;
        let (mut open, mut rows, mut bad) = (Vec::new(), Vec::new(), Vec::new());
        for (record, whole) in records {
            match self.change(&bytes[whole.clone()]) {
                Ok((row, weight, change)) => {
                    rows.push(whole.start + row.start..whole.start + row.end);
                    open.push(Open { record, whole, weight, change });
                }
                Err(fault) => bad.push(fault.into_bad(record, bytes.slice(whole))),
            }
        }
        let decoded = self.rows.decode_pieces(bytes.clone(), &rows, &mut 1)?;
        let of = |record: u64| &open[(record - 1) as usize];
        bad.extend(decoded.bad.into_iter().map(|found| {
            let Open { record, whole, .. } = of(found.record);
            crate::bad::BadRecord { record: *record, payload: bytes.slice(whole.clone()), ..found }
        }));
        bad.sort_by_key(|bad| bad.record);
        let good: Vec<&Open> = decoded.origins.iter().map(|origin| of(origin.record)).collect();
        let rows = self.with_what_is_known(&decoded.rows, &good)?;
        let at = |place: usize| u32::try_from(place).expect("an input is checked to be below 2 GiB");
        let origin = |open: &&Open| Origin {
            record: open.record,
            start: at(open.whole.start),
            end: at(open.whole.end),
        };
        let origins = good.iter().map(origin).collect();
        Ok(Decoded { rows, bad, origins, bytes })
    }

    /// The row that a change is about, its weight, and the rest.
    fn change(&mut self, record: &[u8]) -> Parsed<(Range<usize>, i64, Change)> {
        let text = std::str::from_utf8(record).map_err(|error| not_utf8(error.valid_up_to()))?;
        let mut change = Change::default();
        let mut cursor = Cursor::new(text, &mut self.scratch, self.depth_max);
        cursor.skip_space();
        if cursor.peek() != b'{' {
            let kind = cursor.kind();
            cursor.skip_value()?;
            return Err(Fault::new(RecordFault::Type, format!("expected an object, found {kind}")));
        }
        read_change(&mut cursor, &mut change)?;
        cursor.skip_space();
        if cursor.at < text.len() {
            return Err(cursor.expected("the end of the record"));
        }
        let (row, weight, part) = match change.operation.as_deref() {
            Some("c" | "r" | "u") => (change.after.clone(), 1, "after"),
            Some("d") => (change.before.clone(), -1, "before"),
            Some(other) => {
                let reason = format!("expected c, r, u or d, found {other:?}");
                return Err(Fault::new(RecordFault::Type, reason).within("op"));
            }
            None => return Err(Fault::new(RecordFault::Missing, "a change says what was done").within("op")),
        };
        let missing =
            || Fault::new(RecordFault::Missing, "the change does not say which row it is of").within(part);
        Ok((row.ok_or_else(missing)?, weight, change))
    }

    /// The rows, with the columns that are of the changes, and their weights.
    fn with_what_is_known(&self, rows: &RecordBatch, of: &[&Open]) -> Result<RecordBatch> {
        let mut columns: Vec<Option<ArrayRef>> = vec![None; self.schema.fields().len()];
        for (place, column) in self.own.iter().zip(rows.columns()) {
            columns[*place] = Some(Arc::clone(column));
        }
        for (place, about) in &self.about {
            let time = |of_one: fn(&Change) -> Option<i64>| -> ArrayRef {
                let times: TimestampMillisecondArray = of.iter().map(|open| of_one(&open.change)).collect();
                Arc::new(times)
            };
            let text = |of_one: fn(&Source) -> Option<&str>| -> ArrayRef {
                Arc::new(of.iter().map(|open| of_one(&open.change.source)).collect::<StringArray>())
            };
            let column = match about {
                About::Ingested => time(|change| change.ingested),
                About::Happened => time(|change| change.source.happened),
                About::Database => text(|source| source.database.as_deref()),
                About::Schema => text(|source| source.schema.as_deref()),
                About::Table => text(|source| source.table.as_deref()),
            };
            columns[*place] = Some(cast(&column, self.schema.field(*place).data_type())?);
        }
        let weights: Int64Array = of.iter().map(|open| Some(open.weight)).collect();
        if let Some(last) = columns.last_mut() {
            *last = Some(Arc::new(weights));
        }
        let loose: Vec<_> =
            self.schema.fields().iter().map(|field| field.as_ref().clone().with_nullable(true)).collect();
        let all =
            RecordBatch::try_new(Arc::new(Schema::new(loose)), columns.into_iter().flatten().collect())?;
        Ok(RecordBatch::try_new(Arc::clone(&self.schema), all.columns().to_vec())?)
    }
}

/// Reads the fields of a change, those of its `payload` included.
fn read_change(cursor: &mut Cursor<'_>, change: &mut Change) -> Parsed {
    cursor.sequence(b'}', |cursor| {
        let field = cursor.string()?.to_owned();
        cursor.colon()?;
        match (field.as_str(), cursor.peek()) {
            ("payload", b'{') => read_change(cursor, change),
            ("before", b'{') => span(cursor).map(|row| change.before = Some(row)),
            ("after", b'{') => span(cursor).map(|row| change.after = Some(row)),
            ("op", b'"') => cursor.string().map(|text| change.operation = Some(text.to_owned())),
            ("ts_ms", b'-' | b'0'..=b'9') => cursor.number().map(|text| change.ingested = text.parse().ok()),
            ("source", b'{') => read_source(cursor, &mut change.source),
            _ => cursor.skip_value(),
        }
    })
}

fn read_source(cursor: &mut Cursor<'_>, source: &mut Source) -> Parsed {
    cursor.sequence(b'}', |cursor| {
        let field = cursor.string()?.to_owned();
        cursor.colon()?;
        match (field.as_str(), cursor.peek()) {
            ("ts_ms", b'-' | b'0'..=b'9') => cursor.number().map(|text| source.happened = text.parse().ok()),
            ("db", b'"') => cursor.string().map(|text| source.database = Some(text.to_owned())),
            ("schema", b'"') => cursor.string().map(|text| source.schema = Some(text.to_owned())),
            ("table", b'"') => cursor.string().map(|text| source.table = Some(text.to_owned())),
            _ => cursor.skip_value(),
        }
    })
}

/// Where the value lies that begins here.
fn span(cursor: &mut Cursor<'_>) -> Parsed<Range<usize>> {
    let start = cursor.at;
    cursor.skip_value()?;
    Ok(start..cursor.at)
}
