//! Messages as queues carry them, with a value, a key and metadata: to rows.
//!
//! ```text
//!  value ── decoder ──> columns of the value ─┐
//!  key ──── decoder ──> columns of the key ───┼─> a row, if all of it is good; else a bad record with the value's bytes
//!  metadata, as it is ────────────────────────┘
//! ```
//!
//! Each message is one record: formats of which one message holds many rows (Arrow, Parquet) are refused.
//!
//! What a message without a value means is up to the stream: it is bad; or, behind a change of Debezium, nothing; or it deletes the row
//! of its key ([`MessageDecoder::upsert`]), of which the columns of the value are then NULL.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, RecordBatchOptions, UInt32Array};
use arrow::compute::take;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use bytes::Bytes;

use super::{Decoded, Decoder, Format, FormatOptions, WEIGHT};
use crate::bad::{BadRecord, RecordFault};
use crate::conform::conform;
use crate::error::{IngestError, Result};

/// Messages of one partition of a queue, in their order.
pub struct Messages {
    /// What values and keys are pieces of.
    pub bytes: Bytes,
    /// Where the values lie; `None` is a message without one, which some queues read as a deletion.
    pub values: Vec<Option<Range<usize>>>,
    /// Where the keys lie; empty if nobody asks for them.
    pub keys: Vec<Option<Range<usize>>>,
    /// By which number the queue knows each message: dead letters carry it.
    pub numbers: Vec<u64>,
    /// What is known of each message besides, in columns named as those of the stream.
    pub about: RecordBatch,
}

/// How the keys of messages are read.
#[derive(Clone, Debug)]
pub struct KeyFormat {
    /// The format.
    pub format: Format,
    /// Its options.
    pub options: FormatOptions,
    /// The columns of the stream that the key holds (`key.fields`).
    pub fields: Vec<String>,
    /// What the names of these columns begin with, other than in the key itself (`key.fields-prefix`).
    pub prefix: String,
    /// Whether the value holds these columns, too (`value.fields-include`): then it is what counts.
    pub also_in_value: bool,
}

/// Turns messages into rows of a stream.
pub struct MessageDecoder {
    schema: SchemaRef,
    value: Option<Part>,
    key: Option<Part>,
    without_value: WithoutValue,
}

/// What a message without a value means.
#[derive(Clone, Copy, PartialEq, Eq)]
enum WithoutValue {
    /// It is no record.
    Bad,
    /// It repeats that the row of its key is gone.
    Nothing,
    /// The row of its key is gone.
    Deletion,
}

/// What one of the two parts of a message gives.
struct Part {
    decoder: Decoder,
    /// The names that the columns have in the stream.
    names: Vec<String>,
}

impl MessageDecoder {
    /// A decoder for messages into rows of `schema`, of which `about` names the columns that are metadata.
    pub fn new(
        schema: &SchemaRef,
        about: &[&str],
        (format, options): (Format, &FormatOptions),
        key: Option<KeyFormat>,
    ) -> Result<Self> {
        let in_key = |name: &String| key.as_ref().is_some_and(|key| key.fields.contains(name));
        let in_value = |name: &String| key.as_ref().is_none_or(|key| key.also_in_value) || !in_key(name);
        let names = schema.fields().iter().map(|field| field.name().clone());
        let (keys, values): (Vec<_>, Vec<_>) = names
            .filter(|name| !about.contains(&name.as_str()))
            .partition(|name| in_key(name) && !in_value(name));
        let key = match &key {
            Some(key) if !keys.is_empty() => {
                Some(Part::new(schema, keys, key.format, &key.options, &key.prefix)?)
            }
            _ => None,
        };
        let value = match values.is_empty() {
            true => None,
            false => Some(Part::new(schema, values, format, options, "")?),
        };
        let without_value =
            if format == Format::DebeziumJson { WithoutValue::Nothing } else { WithoutValue::Bad };
        Ok(Self { schema: Arc::clone(schema), value, key, without_value })
    }

    /// A decoder for messages each of which is the newest row of its key, or deletes it if it has no value. The last column of `schema` is
    /// the weight: 1, or -1 of a deletion. What the key says of its columns counts, whether or not the value has them, too.
    pub fn upsert(
        schema: &SchemaRef,
        about: &[&str],
        (format, options): (Format, &FormatOptions),
        key: &KeyFormat,
    ) -> Result<Self> {
        let names = schema.fields().iter().map(|field| field.name().clone());
        let own = names.filter(|name| !about.contains(&name.as_str()) && name != WEIGHT);
        let (keys, others): (Vec<_>, Vec<_>) = own.clone().partition(|name| key.fields.contains(name));
        let values: Vec<String> = if key.also_in_value { own.collect() } else { others };
        let key = Part::new(schema, keys, key.format, &key.options, &key.prefix)?;
        let value = match values.is_empty() {
            true => None,
            false => Some(Part::new(schema, values, format, options, "")?),
        };
        let without_value = WithoutValue::Deletion;
        Ok(Self { schema: Arc::clone(schema), value, key: Some(key), without_value })
    }

    /// Whether [`Messages::keys`] are needed.
    pub fn wants_keys(&self) -> bool {
        self.key.is_some()
    }

    /// Decodes messages. What does not fit is bad, with its value's bytes.
    pub fn decode(&mut self, messages: &Messages) -> Result<Decoded> {
        let mut found = Found { bad: vec![None; messages.values.len()], columns: Vec::new() };
        let mut text = (Vec::new(), Bytes::new());
        // The key first: of its columns, what it says counts.
        if let Some(part) = &mut self.key {
            part.decode(&messages.bytes, &messages.keys, &mut found, Some("key"))?;
        }
        if let Some(part) = &mut self.value {
            let needed = (self.without_value == WithoutValue::Bad).then_some("value");
            let decoded = part.decode(&messages.bytes, &messages.values, &mut found, needed)?;
            text = (decoded.origins, decoded.bytes);
        }
        let is_passed_over =
            |at: usize| self.without_value == WithoutValue::Nothing && messages.values[at].is_none();
        let good: Vec<u32> = (0_u32..)
            .zip(&found.bad)
            .filter(|(at, bad)| bad.is_none() && !is_passed_over(*at as usize))
            .map(|(at, _)| at)
            .collect();
        let rows = self.join(&found, messages, &good)?;
        let bad = found.into_bad(messages);
        let (rows, unfit) = conform(&rows, &self.schema, 1)?;
        let (origins, bytes) = text;
        let mut decoded = Decoded { rows, bad, origins, bytes };
        if unfit.is_empty() && decoded.origins.len() >= good.len() {
            if good.len() < messages.values.len() {
                // Records are numbered from 1 in the order of the messages.
                let is_good = |record: u64| good.binary_search(&((record - 1) as u32)).is_ok();
                decoded.origins.retain(|origin| is_good(origin.record));
            }
            for origin in &mut decoded.origins {
                origin.record = number(messages, (origin.record - 1) as usize);
            }
        } else {
            (decoded.origins, decoded.bytes) = (Vec::new(), Bytes::new());
        }
        for bad in unfit {
            let at = good[(bad.record - 1) as usize] as usize;
            let payload = messages.value(at);
            decoded.bad.push(BadRecord { record: number(messages, at), payload, ..bad });
        }
        decoded.bad.sort_by_key(|bad| bad.record);
        Ok(decoded)
    }

    /// The rows of the messages that are good in all their parts, with columns as they were decoded.
    fn join(&self, found: &Found, messages: &Messages, good: &[u32]) -> Result<RecordBatch> {
        let (all, about) = (found.bad.len(), &messages.about);
        let mut fields: Vec<Field> = Vec::new();
        let mut columns: Vec<ArrayRef> = Vec::new();
        for (names, rows, of) in &found.columns {
            // Which row of the part each good message is; a deletion is none of the value's.
            let place = |at: &u32| of.binary_search(at).ok().map(|row| row as u32);
            let whole = of.len() == all && good.len() == all;
            let places = (!whole).then(|| good.iter().map(place).collect::<UInt32Array>());
            for (name, (field, column)) in
                names.iter().zip(rows.schema_ref().fields().iter().zip(rows.columns()))
            {
                if fields.iter().any(|field| field.name() == name) {
                    continue;
                }
                fields.push(field.as_ref().clone().with_name(name).with_nullable(true));
                columns.push(match &places {
                    Some(places) => take(column, places, None)?,
                    None => Arc::clone(column),
                });
            }
        }
        let places = UInt32Array::from_iter_values(good.iter().copied());
        for (field, column) in about.schema_ref().fields().iter().zip(about.columns()) {
            fields.push(field.as_ref().clone());
            columns.push(if good.len() == all { Arc::clone(column) } else { take(column, &places, None)? });
        }
        if self.without_value == WithoutValue::Deletion {
            let weight = |at: &u32| if messages.values[*at as usize].is_some() { 1 } else { -1 };
            fields.push(Field::new(WEIGHT, DataType::Int64, false));
            columns.push(Arc::new(Int64Array::from_iter_values(good.iter().map(weight))));
        }
        let options = RecordBatchOptions::new().with_row_count(Some(good.len()));
        Ok(RecordBatch::try_new_with_options(Arc::new(Schema::new(fields)), columns, &options)?)
    }
}

/// What the parts gave.
struct Found {
    /// For each message why it is bad, if it is.
    bad: Vec<Option<BadRecord>>,
    /// For each part the names, the good rows, and which message each of them is.
    columns: Vec<(Vec<String>, RecordBatch, Vec<u32>)>,
}

impl Found {
    fn into_bad(self, messages: &Messages) -> Vec<BadRecord> {
        let bad = self.bad.into_iter().enumerate().filter_map(|(at, bad)| {
            let payload = messages.value(at);
            Some(BadRecord { record: number(messages, at), payload, ..bad? })
        });
        bad.collect()
    }
}

impl Messages {
    /// The bytes of a value; none if the message has no value.
    fn value(&self, at: usize) -> Bytes {
        self.values[at].clone().map(|piece| self.bytes.slice(piece)).unwrap_or_default()
    }
}

impl Part {
    fn new(
        schema: &SchemaRef,
        names: Vec<String>,
        format: Format,
        options: &FormatOptions,
        prefix: &str,
    ) -> Result<Self> {
        let mut fields = Vec::new();
        for name in &names {
            let field = schema.field_with_name(name)?;
            let inside = name.strip_prefix(prefix).unwrap_or(name);
            fields.push(field.clone().with_name(inside));
        }
        if matches!(format, Format::Arrow | Format::Parquet | Format::JsonArray) {
            return Err(IngestError::Unsupported {
                format: format.name(),
                column: names[0].clone(),
                data_type: "any".to_owned(),
                remedy: "a message holds one record; choose a format of single records, such as json",
            });
        }
        Ok(Self { decoder: Decoder::new(format, Arc::new(Schema::new(fields)), options)?, names })
    }

    /// Decodes this part of all messages, and notes what is bad; a message without it, if it is needed and so has a name.
    fn decode(
        &mut self,
        bytes: &Bytes,
        parts: &[Option<Range<usize>>],
        found: &mut Found,
        needed: Option<&'static str>,
    ) -> Result<Decoded> {
        let mut absent = Vec::new();
        let mut present = Vec::with_capacity(parts.len());
        for (at, part) in (0_u32..).zip(parts) {
            match part {
                Some(part) => present.push(part.clone()),
                None => absent.push(at),
            }
        }
        for (at, what) in absent.iter().flat_map(|at| needed.map(|what| (at, what))) {
            found.bad[*at as usize].get_or_insert_with(|| BadRecord {
                record: 0,
                fault: RecordFault::Missing,
                field: None,
                reason: format!("the message has no {what}").into(),
                payload: Bytes::new(),
            });
        }
        self.decoder.restart();
        let mut decoded = self.decoder.decode_pieces(bytes, &present)?;
        // The messages that were decoded, by their place among those that have this part.
        let places: Vec<u32> = match absent.is_empty() {
            true => (0..parts.len() as u32).collect(),
            false => (0..parts.len() as u32).filter(|at| absent.binary_search(at).is_err()).collect(),
        };
        let mut is_bad = vec![false; present.len()];
        for bad in decoded.bad.drain(..) {
            let nth = (bad.record - 1) as usize;
            is_bad[nth] = true;
            found.bad[places[nth] as usize].get_or_insert(bad);
        }
        let of: Vec<u32> = places.iter().zip(&is_bad).filter(|(_, bad)| !**bad).map(|(at, _)| *at).collect();
        if of.len() != decoded.rows.num_rows() {
            return Err(IngestError::Unreadable {
                format: "a message of one record",
                reason: format!("{} messages gave {} rows", of.len(), decoded.rows.num_rows()),
            });
        }
        for origin in &mut decoded.origins {
            origin.record = u64::from(places[(origin.record - 1) as usize]) + 1;
        }
        found.columns.push((self.names.clone(), decoded.rows.clone(), of));
        Ok(decoded)
    }
}

/// By which number the queue knows a message.
fn number(messages: &Messages, at: usize) -> u64 {
    messages.numbers.get(at).copied().unwrap_or(at as u64 + 1)
}
