//! JSON to columns, in one pass and without a tree in between.
//!
//! Devices write their fields in the same order over and over. So at each field the decoder first compares with the
//! `"name":` of the column after the one before, and only if that fails reads the name and looks it up. Values go
//! straight into growing columns. A record that turns out bad is cut back out of them.

use std::ops::Range;

use arrow::datatypes::SchemaRef;
use bytes::{Bytes, BytesMut};

use super::column::{Column, Group, Rules, Token, Values};
use super::decode::{Decoded, Origin, check_size};
use super::fault::{Fault, Parsed};
use super::json_cursor::{Cursor, element_end};
use super::settings::FormatOptions;
use super::{Format, text};
use crate::bad::{BadRecord, RecordFault};
use crate::error::{IngestError, Result};

/// Decodes JSON objects into rows of one schema.
pub(super) struct JsonDecoder {
    schema: SchemaRef,
    group: Group,
    rules: Rules,
    scratch: String,
    origins: Vec<Origin>,
    bad: Vec<BadRecord>,
}

impl JsonDecoder {
    pub(super) fn new(schema: &SchemaRef, options: &FormatOptions) -> Result<Self> {
        let mut group = Group::new(schema.fields(), Format::JsonLines.name())?;
        group.also(&options.names);
        Ok(Self {
            schema: SchemaRef::clone(schema),
            group,
            rules: Rules { options: options.clone() },
            scratch: String::new(),
            origins: Vec::new(),
            bad: Vec::new(),
        })
    }

    /// Decodes lines, each an object. Blank lines count as lines and are passed over.
    pub(super) fn decode_lines(&mut self, bytes: Bytes, next_line: &mut u64) -> Result<Decoded> {
        let mut start = 0;
        while start < bytes.len() {
            let end = memchr::memchr(b'\n', &bytes[start..]).map_or(bytes.len(), |len| start + len);
            if !bytes[start..end].trim_ascii().is_empty() {
                self.record(&bytes, start, end, *next_line);
            }
            *next_line += 1;
            start = end + 1;
        }
        self.finish(bytes)
    }

    /// Decodes an array of objects, or one object.
    pub(super) fn decode_array(&mut self, bytes: Bytes, next_record: &mut u64) -> Result<Decoded> {
        let start = skip_space(&bytes, 0);
        match bytes.get(start) {
            None => {}
            Some(b'{') => {
                self.record(&bytes, start, bytes.len(), *next_record);
                *next_record += 1;
            }
            Some(b'[') => self.elements(&bytes, start + 1, next_record),
            Some(_) => {
                let reason = "it begins with neither '[' nor '{'".to_owned();
                return Err(IngestError::Unreadable { format: "a JSON array", reason });
            }
        }
        self.finish(bytes)
    }

    /// Decodes the elements of an array, the first of which begins at `start`.
    fn elements(&mut self, bytes: &Bytes, start: usize, next_record: &mut u64) {
        let mut start = skip_space(bytes, start);
        if bytes.get(start) == Some(&b']') {
            return self.nothing_after(bytes, start + 1, *next_record);
        }
        loop {
            let end = element_end(bytes, start);
            let bad = self.bad.len();
            self.record(bytes, start, end.unwrap_or(bytes.len()), *next_record);
            *next_record += 1;
            match end.map(|end| (end, bytes[end])) {
                Some((end, b',')) => start = skip_space(bytes, end + 1),
                Some((end, b']')) => return self.nothing_after(bytes, end + 1, *next_record),
                Some((end, _)) => {
                    let fault =
                        Fault::new(RecordFault::Syntax, "expected ',' or ']' after an element, found '}'");
                    return self.push_bad(bytes, end, bytes.len(), *next_record, *fault);
                }
                // An element that is cut short has said so itself.
                None if self.bad.len() > bad => return,
                None => {
                    let fault = Fault::new(
                        RecordFault::Syntax,
                        "expected ',' or ']' after an element, found the end",
                    );
                    return self.push_bad(bytes, bytes.len(), bytes.len(), *next_record, *fault);
                }
            }
        }
    }

    /// What follows an array, other than space, is one bad record.
    fn nothing_after(&mut self, bytes: &Bytes, start: usize, record: u64) {
        let start = skip_space(bytes, start);
        if start < bytes.len() {
            let fault = Fault::new(RecordFault::Syntax, "expected the end after the array");
            self.push_bad(bytes, start, bytes.len(), record, *fault);
        }
    }

    /// Decodes messages, each an object.
    pub(super) fn decode_messages(&mut self, messages: &[Bytes], next_record: &mut u64) -> Result<Decoded> {
        let mut joined = BytesMut::with_capacity(messages.iter().map(Bytes::len).sum());
        let mut pieces = Vec::with_capacity(messages.len());
        for message in messages {
            let start = joined.len();
            joined.extend_from_slice(message);
            pieces.push(start..joined.len());
        }
        self.decode_pieces(joined.freeze(), &pieces, next_record)
    }

    /// Decodes messages that are pieces of the same bytes.
    pub(super) fn decode_pieces(
        &mut self,
        bytes: Bytes,
        pieces: &[Range<usize>],
        next_record: &mut u64,
    ) -> Result<Decoded> {
        check_size(&bytes)?;
        for piece in pieces {
            self.record(&bytes, piece.start, piece.end, *next_record);
            *next_record += 1;
        }
        self.finish(bytes)
    }

    /// Decodes one record: a row, or a bad record.
    fn record(&mut self, bytes: &Bytes, start: usize, end: usize, record: u64) {
        match self.parse(&bytes[start..end]) {
            Ok(()) => {
                let at = |place: usize| u32::try_from(place).expect("an input is checked to be below 2 GiB");
                self.origins.push(Origin { record, start: at(start), end: at(end) });
            }
            Err(fault) => {
                self.group.truncate(self.origins.len());
                self.push_bad(bytes, start, end, record, *fault);
            }
        }
    }

    fn parse(&mut self, record: &[u8]) -> Parsed {
        let limits = self.rules.options.limits;
        if record.len() > limits.record_bytes_max {
            let reason = format!("{} bytes, the most is {}", record.len(), limits.record_bytes_max);
            return Err(Fault::new(RecordFault::TooLarge, reason));
        }
        let text = std::str::from_utf8(record).map_err(|error| not_utf8(error.valid_up_to()))?;
        let mut cursor = Cursor::new(text, &mut self.scratch, limits.depth_max);
        cursor.skip_space();
        if cursor.peek() != b'{' {
            let kind = cursor.kind();
            // A record that does not parse is a fault of syntax, whatever was expected.
            cursor.skip_value()?;
            return Err(Fault::new(RecordFault::Type, format!("expected an object, found {kind}")));
        }
        push_object(&mut self.group, &mut cursor, &self.rules)?;
        cursor.skip_space();
        if cursor.at < text.len() { Err(cursor.expected("the end of the record")) } else { Ok(()) }
    }

    #[cold]
    fn push_bad(&mut self, bytes: &Bytes, start: usize, end: usize, record: u64, fault: Fault) {
        self.bad.push(fault.into_bad(record, bytes.slice(start..end)));
    }

    fn finish(&mut self, bytes: Bytes) -> Result<Decoded> {
        let rows = self.group.finish_batch(&self.schema)?;
        let room = Vec::with_capacity(self.origins.len());
        let origins = std::mem::replace(&mut self.origins, room);
        Ok(Decoded { rows, bad: std::mem::take(&mut self.bad), origins, bytes })
    }
}

pub(super) fn not_utf8(valid_up_to: usize) -> Box<Fault> {
    Fault::new(RecordFault::Utf8, format!("byte {} is not UTF-8", valid_up_to + 1))
}

fn skip_space(bytes: &[u8], start: usize) -> usize {
    bytes[start..].iter().position(|b| !b.is_ascii_whitespace()).map_or(bytes.len(), |space| start + space)
}

/// Takes an object as one row of the group.
fn push_object(group: &mut Group, cursor: &mut Cursor<'_>, rules: &Rules) -> Parsed {
    let row = group.rows;
    let mut next = 0;
    let mut seen = 0;
    cursor.sequence(b'}', |cursor| {
        let expected = group.keys.get(next).is_some_and(|key| cursor.take_all(key));
        let index = if expected {
            cursor.skip_space();
            next
        } else {
            match named_column(group, cursor, rules)? {
                Some(index) => index,
                None => return cursor.skip_value(),
            }
        };
        next = index + 1;
        seen += 1;
        let column = &mut group.columns[index];
        if column.len() > row {
            return Err(Fault::new(RecordFault::Syntax, "given twice").within(&column.name));
        }
        push_value(column, cursor, rules).map_err(|fault| fault.within(&column.name))
    })?;
    if seen == group.columns.len() {
        group.rows += 1;
        Ok(())
    } else {
        group.end_record(rules)
    }
}

/// Takes a name and its colon, and finds the column; `None` if there is none and that is allowed.
fn named_column(group: &Group, cursor: &mut Cursor<'_>, rules: &Rules) -> Parsed<Option<usize>> {
    let name = cursor.string()?;
    let index = group.index_of(name);
    if index.is_none() && rules.options.json.fail_on_unknown_field {
        return Err(Fault::new(RecordFault::Unknown, "the stream has no such column").within(name));
    }
    cursor.colon()?;
    Ok(index)
}

/// Takes a value as the next one of a column.
pub(super) fn push_value(column: &mut Column, cursor: &mut Cursor<'_>, rules: &Rules) -> Parsed {
    if push_common(column, cursor, rules) {
        column.mark_valid();
        return Ok(());
    }
    match (cursor.peek(), &mut column.values) {
        (b'n', _) => {
            cursor.literal("null")?;
            return column.push_null();
        }
        (b'"', _) => {
            let text = cursor.string()?;
            return column.push_text(Token::Text(text), rules);
        }
        (b'{', Values::Struct(group)) => push_object(group, cursor, rules)?,
        (b'[', Values::List { offsets, child }) => {
            cursor.sequence(b']', |cursor| push_value(child, cursor, rules))?;
            offsets.push(offset(child));
        }
        (b'{', Values::Map { offsets, key, value }) => {
            cursor.sequence(b'}', |cursor| {
                key.push_text(Token::Text(cursor.string()?), rules)?;
                cursor.colon()?;
                push_value(value, cursor, rules)
            })?;
            offsets.push(offset(key));
        }
        (_, Values::Text(strings)) => {
            let start = cursor.at;
            cursor.skip_value()?;
            strings.push(cursor.since(start).as_bytes());
        }
        (b't', Values::Bool(values)) => {
            cursor.literal("true")?;
            values.append(true);
        }
        (b'f', Values::Bool(values)) => {
            cursor.literal("false")?;
            values.append(false);
        }
        (b'-' | b'0'..=b'9', _) => {
            let number = cursor.number()?;
            return column.push_text(Token::Number(number), rules);
        }
        _ => {
            let kind = cursor.kind();
            // A value that does not parse is a fault of syntax, whatever was expected.
            cursor.skip_value()?;
            let reason = format!("expected {}, found {kind}", column.type_name());
            return Err(Fault::new(RecordFault::Type, reason));
        }
    }
    column.mark_valid();
    Ok(())
}

/// Takes a value of a common kind on the shortest way. `false`: it is not one; nothing was taken.
#[inline]
fn push_common(column: &mut Column, cursor: &mut Cursor<'_>, rules: &Rules) -> bool {
    let start = cursor.at;
    match &mut column.values {
        Values::Int { values, min, max } => match cursor.short_integer() {
            Some(value) if (*min..=*max).contains(&value) => values.push(value),
            _ => {
                cursor.at = start;
                return false;
            }
        },
        Values::Float { values, single: false } => match cursor.short_float() {
            Some(value) => values.push(value),
            None => return false,
        },
        Values::Text(strings) if cursor.peek() == b'"' => match cursor.string() {
            Ok(text) => strings.push(text.as_bytes()),
            Err(_) => {
                cursor.at = start;
                return false;
            }
        },
        Values::Timestamp { values, unit }
            if cursor.peek() == b'"' && rules.options.timestamps.nanos().is_none() =>
        {
            let read = cursor.string().ok().and_then(|text| text::timestamp(text.as_bytes()));
            match read.and_then(|instant| instant.to_unit(*unit)) {
                Some(value) => values.push(value),
                None => {
                    cursor.at = start;
                    return false;
                }
            }
        }
        _ => return false,
    }
    true
}

fn offset(child: &Column) -> i32 {
    i32::try_from(child.len()).expect("an input is checked to be below 2 GiB")
}
