//! Rows to messages: value, key, timestamp and headers.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type, Schema, SchemaRef, TimeUnit, TimestampMillisecondType};
use headwater_connectors::Result;
use headwater_ingest::{Encoder, Format, FormatOptions, IngestError, KeyFormat};

use crate::about::{About, AboutColumns};

/// The column of a changelog that says how often its row is added or retracted.
const WEIGHT: &str = "_weight";

/// Turns rows of a stream into messages.
pub(crate) struct MessageEncoder {
    value: Part,
    key: Option<Part>,
    about: AboutColumns,
    /// Whether a retracted row is a message without value, and only the last change of a key is written.
    is_upsert: bool,
    /// How many bytes a row took lately.
    row_bytes: usize,
}

/// One of the two parts of a message.
struct Part {
    encoder: Encoder,
    columns: Vec<usize>,
    schema: SchemaRef,
}

/// Messages of some rows, in their order.
pub(crate) struct Encoded {
    bytes: Vec<u8>,
    pub messages: Vec<Out>,
}

/// One message. The ranges lie in the bytes of [`Encoded`].
pub(crate) struct Out {
    /// Which row it is of.
    pub row: usize,
    value: Option<Range<usize>>,
    key: Option<Range<usize>>,
    /// Milliseconds since the epoch; `None`: the moment in which it is sent.
    pub timestamp: Option<i64>,
    pub headers: Vec<(String, Option<Vec<u8>>)>,
}

impl Encoded {
    pub fn value(&self, message: &Out) -> Option<&[u8]> {
        message.value.clone().map(|at| &self.bytes[at])
    }

    pub fn key(&self, message: &Out) -> Option<&[u8]> {
        message.key.clone().map(|at| &self.bytes[at])
    }

    /// How long a message is for a broker: as a batch of its own, not compressed, with one header more of these lengths.
    pub fn size(&self, message: &Out, (name, value): (usize, usize)) -> usize {
        let part = |bytes: Option<&[u8]>| bytes.map_or(1, |bytes| with_length(bytes.len()));
        let headers = message.headers.iter();
        let headers = headers.map(|(name, value)| with_length(name.len()) + part(value.as_deref()));
        let own = with_length(name) + with_length(value);
        let count = with_length(message.headers.len() + 1) - (message.headers.len() + 1);
        // Attributes, and how time and offset differ from those of the batch: not at all.
        let record =
            3 + part(self.key(message)) + part(self.value(message)) + count + headers.sum::<usize>() + own;
        BATCH_BYTES + with_length(record)
    }
}

/// What a batch has before its records.
const BATCH_BYTES: usize = 61;

/// So many bytes, with their number before them: a zigzag varint.
fn with_length(bytes: usize) -> usize {
    let bits = usize::BITS - (2 * bytes).leading_zeros();
    bytes + bits.div_ceil(7).max(1) as usize
}

impl MessageEncoder {
    pub fn new(
        schema: &SchemaRef,
        about: AboutColumns,
        (format, options): (Format, &FormatOptions),
        key: Option<KeyFormat>,
        is_upsert: bool,
    ) -> Result<Self> {
        let in_key =
            |name: &str| key.as_ref().is_some_and(|key| key.fields.iter().any(|field| field == name));
        let also_in_value = key.as_ref().is_none_or(|key| key.also_in_value);
        let is_value = |name: &str| {
            // Where changes are told by messages without value, the weight is said already.
            let is_said = about.names().contains(&name) || (is_upsert && name == WEIGHT);
            !is_said && (also_in_value || !in_key(name))
        };
        let columns = |wanted: &dyn Fn(&str) -> bool| {
            let names = schema.fields().iter().enumerate().filter(|(_, field)| wanted(field.name()));
            names.map(|(at, _)| at).collect::<Vec<_>>()
        };
        let value = Part::new(schema, columns(&is_value), format, options, "")?;
        let key_part = key.as_ref().map(|key| {
            Part::new(schema, columns(&|name| in_key(name)), key.format, &key.options, &key.prefix)
        });
        Ok(Self { value, key: key_part.transpose()?, about, is_upsert, row_bytes: 0 })
    }

    /// The schema of the value (part 0) or the key (part 1), if its format has one.
    pub fn schema_text(&self, part: usize) -> Option<String> {
        let part = if part == 0 { Some(&self.value) } else { self.key.as_ref() };
        part?.encoder.schema_text().map(str::to_owned)
    }

    /// Under which number the registry has that schema.
    pub fn set_schema_id(&mut self, part: usize, id: u32) {
        let part = if part == 0 { Some(&mut self.value) } else { self.key.as_mut() };
        if let Some(part) = part {
            part.encoder.set_schema_id(id);
        }
    }

    /// The messages of some rows, but for rows of which none can be made: those with the reason.
    pub fn encode_what_can_be(
        &mut self,
        rows: &RecordBatch,
    ) -> Result<(Vec<(usize, Encoded)>, Vec<(usize, String)>)> {
        let error = match self.encode(rows) {
            Ok(encoded) => return Ok((vec![(0, encoded)], Vec::new())),
            Err(error) if rows.num_rows() == 0 => return Err(error),
            Err(error) if rows.num_rows() == 1 => return Ok((Vec::new(), vec![(0, error.to_string())])),
            Err(error) => error,
        };
        tracing::debug!(%error, "a row cannot be written as a message: looking for it");
        let half = rows.num_rows() / 2;
        let (mut good, mut bad) = self.encode_what_can_be(&rows.slice(0, half))?;
        let (later, worse) = self.encode_what_can_be(&rows.slice(half, rows.num_rows() - half))?;
        good.extend(later.into_iter().map(|(first, encoded)| (half + first, encoded)));
        bad.extend(worse.into_iter().map(|(row, reason)| (half + row, reason)));
        Ok((good, bad))
    }

    /// The messages of some rows.
    fn encode(&mut self, rows: &RecordBatch) -> Result<Encoded> {
        let mut bytes = Vec::with_capacity(self.row_bytes * rows.num_rows());
        let keys = self.keys(rows, &mut bytes)?;
        let timestamps = self.timestamps(rows)?;
        let headers = self.headers(rows)?;
        let out = |row: usize, value: Option<Range<usize>>| Out {
            row,
            value,
            key: keys[row].clone(),
            timestamp: timestamps[row],
            headers: headers.get(row).cloned().unwrap_or_default(),
        };
        let mut messages = Vec::with_capacity(rows.num_rows());
        let values = self.value.encode(rows, &mut bytes)?;
        if self.is_upsert {
            let weights = rows.column_by_name(WEIGHT).map(|column| column.as_primitive::<Int64Type>());
            let is_gone = |row: usize| weights.is_some_and(|weights| weights.value(row) < 0);
            let last = last_of_each(&keys, &bytes);
            for (row, value) in values.into_iter().filter(|(row, _)| last[*row]) {
                messages.push(out(row, (!is_gone(row)).then_some(value)));
            }
        } else {
            messages.extend(values.into_iter().map(|(row, value)| out(row, Some(value))));
        }
        self.row_bytes = bytes.len() / rows.num_rows().max(1);
        Ok(Encoded { bytes, messages })
    }

    /// Where the key of each row lies.
    fn keys(&mut self, rows: &RecordBatch, bytes: &mut Vec<u8>) -> Result<Vec<Option<Range<usize>>>> {
        if let Some(part) = &mut self.key {
            return Ok(part.encode(rows, bytes)?.into_iter().map(|(_, key)| Some(key)).collect());
        }
        let Some(column) = self.about.column_of(About::Key).and_then(|name| rows.column_by_name(name)) else {
            return Ok(vec![None; rows.num_rows()]);
        };
        let column = to(column, &DataType::Binary)?;
        let values = column.as_binary::<i32>();
        let mut keys = Vec::with_capacity(values.len());
        for value in values {
            keys.push(value.map(|value| {
                let start = bytes.len();
                bytes.extend_from_slice(value);
                start..bytes.len()
            }));
        }
        Ok(keys)
    }

    fn timestamps(&self, rows: &RecordBatch) -> Result<Vec<Option<i64>>> {
        let Some(column) = self.about.column_of(About::Timestamp).and_then(|name| rows.column_by_name(name))
        else {
            return Ok(vec![None; rows.num_rows()]);
        };
        let column = to(column, &DataType::Timestamp(TimeUnit::Millisecond, None))?;
        Ok(column.as_primitive::<TimestampMillisecondType>().iter().collect())
    }

    /// The headers of each row; empty if there are none.
    fn headers(&self, rows: &RecordBatch) -> Result<Vec<Vec<(String, Option<Vec<u8>>)>>> {
        let Some(column) = self.about.column_of(About::Headers).and_then(|name| rows.column_by_name(name))
        else {
            return Ok(Vec::new());
        };
        let maps = column.as_map();
        let (names, values) = (to(maps.keys(), &DataType::Utf8)?, to(maps.values(), &DataType::Binary)?);
        let (names, values) = (names.as_string::<i32>(), values.as_binary::<i32>());
        let of_row = |row: usize| {
            let at = maps.value_offsets()[row] as usize..maps.value_offsets()[row + 1] as usize;
            let one = |at: usize| {
                let value = values.is_valid(at).then(|| values.value(at).to_vec());
                (names.value(at).to_owned(), value)
            };
            if maps.is_null(row) { Vec::new() } else { at.map(one).collect() }
        };
        Ok((0..rows.num_rows()).map(of_row).collect())
    }
}

fn to(column: &ArrayRef, data_type: &DataType) -> Result<ArrayRef> {
    Ok(cast(column, data_type).map_err(IngestError::from)?)
}

/// For each row whether none after it has the same key.
fn last_of_each(keys: &[Option<Range<usize>>], bytes: &[u8]) -> Vec<bool> {
    let mut last = HashMap::new();
    for (row, key) in keys.iter().enumerate() {
        last.insert(key.clone().map(|at| &bytes[at]), row);
    }
    let is_last = |(row, key): (usize, &Option<Range<usize>>)| last[&key.clone().map(|at| &bytes[at])] == row;
    keys.iter().enumerate().map(is_last).collect()
}

impl Part {
    fn new(
        schema: &SchemaRef,
        columns: Vec<usize>,
        format: Format,
        options: &FormatOptions,
        prefix: &str,
    ) -> Result<Self> {
        let fields = columns.iter().map(|at| {
            let field = schema.field(*at);
            field.clone().with_name(field.name().strip_prefix(prefix).unwrap_or(field.name()))
        });
        let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
        let encoder = Encoder::new(format, Arc::clone(&schema), options)?;
        Ok(Self { encoder, columns, schema })
    }

    fn encode(&mut self, rows: &RecordBatch, bytes: &mut Vec<u8>) -> Result<Vec<(usize, Range<usize>)>> {
        let rows = rows.project(&self.columns).map_err(IngestError::from)?;
        // Names may be shorter than those of the stream.
        let rows = RecordBatch::try_new(Arc::clone(&self.schema), rows.columns().to_vec());
        Ok(self.encoder.encode_messages(&rows.map_err(IngestError::from)?, bytes)?)
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{Int64Array, StringArray};

    use super::*;

    fn encode(is_upsert: bool, also_in_value: bool) -> Vec<(usize, Option<String>, Option<String>)> {
        let rows = RecordBatch::try_from_iter([
            ("k", Arc::new(StringArray::from(vec!["a", "b", "a", "a", "c"])) as ArrayRef),
            ("n", Arc::new(Int64Array::from(vec![1, 2, 1, 3, 4]))),
            (WEIGHT, Arc::new(Int64Array::from(vec![1, 1, -1, 1, -1]))),
        ])
        .unwrap();
        let options = FormatOptions::default();
        let key = KeyFormat {
            format: Format::Raw,
            options: options.clone(),
            fields: vec!["k".to_owned()],
            prefix: String::new(),
            also_in_value,
        };
        let about = AboutColumns::default();
        let format = (Format::JsonLines, &options);
        let mut encoder = MessageEncoder::new(&rows.schema(), about, format, Some(key), is_upsert).unwrap();
        let encoded = encoder.encode(&rows).unwrap();
        let text = |bytes: Option<&[u8]>| bytes.map(|bytes| String::from_utf8(bytes.to_vec()).unwrap());
        let one = |out: &Out| (out.row, text(encoded.key(out)), text(encoded.value(out)));
        encoded.messages.iter().map(one).collect()
    }

    #[test]
    fn upserts_are_the_last_change_of_each_key_and_deletions_have_no_value() {
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(
            encode(true, true),
            [
                (1, some("b"), some(r#"{"k":"b","n":2}"#)),
                (3, some("a"), some(r#"{"k":"a","n":3}"#)),
                (4, some("c"), None),
            ]
        );
    }

    #[test]
    fn a_plain_sink_writes_every_row_and_may_leave_the_key_out_of_the_value() {
        let messages = encode(false, false);
        assert_eq!(messages.len(), 5);
        assert_eq!(messages[2].2.as_deref(), Some(r#"{"n":1,"_weight":-1}"#));
    }
}
