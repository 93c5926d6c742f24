//! CSV to columns (RFC 4180, with other separators by option).
//!
//! A quote that is never closed must not swallow what follows: if no closing quote comes before the end of the input, the
//! line that opened it is a bad record by itself, and reading goes on with the next line.

use std::collections::HashSet;
use std::ops::Range;

use arrow::datatypes::SchemaRef;
use bytes::{Bytes, BytesMut};

use super::Format;
use super::column::{Column, Group, Rules, Token, Values};
use super::decode::{Decoded, MARK, Origin, check_size};
use super::fault::{Fault, Parsed};
use super::json::{not_utf8, push_value};
use super::json_cursor::Cursor;
use super::settings::{CsvHeader, FormatOptions};
use crate::bad::{BadRecord, RecordFault};
use crate::error::Result;

/// Decodes CSV into rows of one schema.
pub(super) struct CsvDecoder {
    schema: SchemaRef,
    group: Group,
    rules: Rules,
    /// Which column each field goes to; `None` before the beginning of an input was seen.
    layout: Option<Layout>,
    fields: Vec<FieldAt>,
    scratch: String,
    origins: Vec<Origin>,
    bad: Vec<BadRecord>,
}

/// Which column each field goes to.
struct Layout {
    columns: Vec<Option<usize>>,
    /// Whether the columns were named, so that missing and further fields are no fault.
    named: bool,
    /// A column that two fields would go to: no record is right then.
    twice: Option<usize>,
}

impl Layout {
    /// Fields that go to the columns in their order.
    fn in_order(columns: usize) -> Self {
        Self { columns: (0..columns).map(Some).collect(), named: false, twice: None }
    }

    /// Fields that go to the columns of these names, if there are such.
    fn named(columns: Vec<Option<usize>>) -> Self {
        let mut known = HashSet::new();
        let twice = columns.iter().flatten().copied().find(|column| !known.insert(*column));
        Self { columns, named: true, twice }
    }
}

/// One field of a record, within the input; quotes are left out, doubled ones inside are not.
#[derive(Clone)]
struct FieldAt {
    range: Range<usize>,
    quoted: bool,
    /// Whether quotes or escapes within must be resolved.
    escaped: bool,
}

impl CsvDecoder {
    pub(super) fn new(schema: &SchemaRef, options: &FormatOptions) -> Result<Self> {
        Ok(Self {
            schema: SchemaRef::clone(schema),
            group: Group::new(schema.fields(), Format::Csv.name())?,
            rules: Rules { options: options.clone() },
            layout: None,
            fields: Vec::new(),
            scratch: String::new(),
            origins: Vec::new(),
            bad: Vec::new(),
        })
    }

    pub(super) fn restart(&mut self) {
        self.layout = None;
    }

    /// Takes the header, if the input begins with one: how long it is, with its line end.
    pub(super) fn take_header(&mut self, bytes: &[u8]) -> usize {
        let mut start = if bytes.starts_with(MARK) { MARK.len() } else { 0 };
        while start < bytes.len() && self.is_passed_over(bytes, start) {
            start = line_end(bytes, start).1;
        }
        let (split, next) = self.split(bytes, start);
        let names: Vec<String> = match split {
            Ok(()) => self
                .fields
                .clone()
                .iter()
                .map(|field| self.field(bytes, field).unwrap_or_default().trim().to_owned())
                .collect(),
            Err(_) => Vec::new(),
        };
        let is_header = match self.rules.options.csv.header {
            CsvHeader::Present => true,
            CsvHeader::Absent => false,
            CsvHeader::Auto => self.looks_like_header(&names),
        };
        self.layout = Some(if is_header {
            Layout::named(names.iter().map(|name| self.column_named(name)).collect())
        } else {
            Layout::in_order(self.group.columns.len())
        });
        if is_header { next } else { start }
    }

    fn looks_like_header(&self, names: &[String]) -> bool {
        names.iter().any(|name| self.column_named(name).is_some())
            && names.iter().all(|name| name.parse::<f64>().is_err() || self.column_named(name).is_some())
    }

    fn column_named(&self, name: &str) -> Option<usize> {
        let exact = self.group.index_of(name);
        exact.or_else(|| self.group.columns.iter().position(|column| column.name.eq_ignore_ascii_case(name)))
    }

    /// How many of these bytes are whole records.
    pub(super) fn whole_records(&self, bytes: &[u8]) -> usize {
        let last_line = memchr::memrchr(b'\n', bytes).map_or(0, |at| at + 1);
        let Some(quote) = self.rules.options.csv.quote else { return last_line };
        if memchr::memchr(quote, &bytes[..last_line]).is_none() {
            return last_line;
        }
        let mut fields = Vec::new();
        let mut start = 0;
        while start < last_line {
            let (split, next) = self.split_into(bytes, start, &mut fields);
            let ends_here = next > bytes.len() || bytes[..next].last() != Some(&b'\n');
            let unclosed = matches!(&split, Err(fault) if fault.fault == RecordFault::Syntax && fault.reason == UNCLOSED);
            // What is open here may be closed by the bytes to come, unless it is too large already.
            if ends_here || (unclosed && bytes.len() - start <= self.rules.options.limits.record_bytes_max) {
                break;
            }
            start = next;
        }
        start
    }

    pub(super) fn decode(&mut self, bytes: Bytes, next_line: &mut u64) -> Result<Decoded> {
        let mut start = 0;
        if self.layout.is_none() {
            start = self.take_header(&bytes);
            *next_line += lines_in(&bytes[..start]);
        }
        while start < bytes.len() {
            if self.is_passed_over(&bytes, start) {
                start = line_end(&bytes, start).1;
                *next_line += 1;
                continue;
            }
            let next = self.record(&bytes, start, *next_line);
            *next_line += lines_in(&bytes[start..next]).max(1);
            start = next;
        }
        self.finish(bytes)
    }

    pub(super) fn decode_messages(&mut self, messages: &[Bytes], next_record: &mut u64) -> Result<Decoded> {
        let mut joined = BytesMut::with_capacity(messages.iter().map(|message| message.len() + 1).sum());
        let mut starts = Vec::with_capacity(messages.len());
        for message in messages {
            starts.push(joined.len());
            joined.extend_from_slice(message.trim_ascii_end());
            joined.extend_from_slice(b"\n");
        }
        check_size(&joined)?;
        let joined = joined.freeze();
        if self.layout.is_none() {
            // Messages have no beginning of an input: fields are told by their position.
            self.layout = Some(Layout::in_order(self.group.columns.len()));
        }
        for start in starts {
            self.record(&joined, start, *next_record);
            *next_record += 1;
        }
        self.finish(joined)
    }

    fn finish(&mut self, bytes: Bytes) -> Result<Decoded> {
        let rows = self.group.finish_batch(&self.schema)?;
        let origins = std::mem::take(&mut self.origins);
        Ok(Decoded { rows, bad: std::mem::take(&mut self.bad), origins, bytes })
    }

    /// Whether the line that begins here is blank or a comment.
    fn is_passed_over(&self, bytes: &[u8], start: usize) -> bool {
        match bytes.get(start) {
            Some(b'\n') => true,
            Some(b'\r') => matches!(bytes.get(start + 1), Some(b'\n') | None),
            Some(b'#') => self.rules.options.csv.comments,
            _ => false,
        }
    }

    /// Decodes the record that begins here: a row, or a bad record. Answers where the next one begins.
    fn record(&mut self, bytes: &Bytes, start: usize, line: u64) -> usize {
        let (split, next) = self.split(bytes, start);
        let end = start + bytes[start..next].trim_ascii_end().len();
        match split.and_then(|()| self.parse(bytes, start, end)) {
            Ok(()) => {
                let at = |place: usize| u32::try_from(place).expect("an input is checked to be below 2 GiB");
                self.origins.push(Origin { record: line, start: at(start), end: at(end) });
            }
            Err(fault) => {
                self.group.truncate(self.origins.len());
                self.bad.push(fault.into_bad(line, bytes.slice(start..end)));
            }
        }
        next
    }

    fn parse(&mut self, bytes: &[u8], start: usize, end: usize) -> Parsed {
        let limits = self.rules.options.limits;
        if end - start > limits.record_bytes_max {
            let reason = format!("{} bytes, the most is {}", end - start, limits.record_bytes_max);
            return Err(Fault::new(RecordFault::TooLarge, reason));
        }
        if let Err(error) = std::str::from_utf8(&bytes[start..end]) {
            return Err(not_utf8(error.valid_up_to()));
        }
        let layout = self.layout.take().expect("the layout is set at the beginning of an input");
        let parsed = self.push_fields(bytes, &layout);
        self.layout = Some(layout);
        parsed?;
        self.group.end_record(&self.rules)
    }

    fn push_fields(&mut self, bytes: &[u8], layout: &Layout) -> Parsed {
        let fields = std::mem::take(&mut self.fields);
        let pushed = self.check_count(fields.len(), layout).and_then(|()| {
            for (field, column) in fields.iter().zip(&layout.columns) {
                if let Some(column) = *column {
                    self.push_field(bytes, field, column)?;
                }
            }
            Ok(())
        });
        self.fields = fields;
        pushed
    }

    fn check_count(&self, given: usize, layout: &Layout) -> Parsed {
        let expected = layout.columns.len();
        // With a header the end of a record may be left out: those columns are NULL, if they can be.
        if given > expected || (given < expected && !layout.named) {
            return Err(Fault::new(
                RecordFault::FieldCount,
                format!("expected {expected} fields, found {given}"),
            ));
        }
        match layout.twice {
            Some(column) => {
                let fault = Fault::new(RecordFault::Syntax, "named twice in the header");
                Err(fault.within(&self.group.columns[column].name))
            }
            None => Ok(()),
        }
    }

    fn push_field(&mut self, bytes: &[u8], field: &FieldAt, column: usize) -> Parsed {
        let mut unescaped = std::mem::take(&mut self.scratch);
        let text = field_text(bytes, field, &self.rules, &mut unescaped);
        let column = &mut self.group.columns[column];
        let pushed = match text {
            Some(text) if !field.quoted && self.rules.is_null(text) => column.push_null(),
            Some(text) => push_cell(column, text, &self.rules),
            None => Err(not_utf8(0)),
        };
        self.scratch = unescaped;
        pushed.map_err(|fault| fault.within(&column.name))
    }

    /// A field's text, for headers.
    fn field(&self, bytes: &[u8], field: &FieldAt) -> Option<String> {
        field_text(bytes, field, &self.rules, &mut String::new()).map(str::to_owned)
    }

    fn split(&mut self, bytes: &[u8], start: usize) -> (Parsed, usize) {
        let mut fields = std::mem::take(&mut self.fields);
        let split = self.split_into(bytes, start, &mut fields);
        self.fields = fields;
        split
    }

    /// Splits the record that begins here into fields. Answers where the next one begins, also after a fault.
    fn split_into(&self, bytes: &[u8], start: usize, fields: &mut Vec<FieldAt>) -> (Parsed, usize) {
        fields.clear();
        let csv = &self.rules.options.csv;
        let (line_content_end, line_next) = line_end(bytes, start);
        let line = &bytes[start..line_content_end];
        let has_quote = csv.quote.is_some_and(|quote| memchr::memchr(quote, line).is_some());
        if !has_quote {
            let mut from = start;
            for at in memchr::memchr_iter(csv.delimiter, line) {
                fields.push(FieldAt { range: from..start + at, quoted: false, escaped: false });
                from = start + at + 1;
            }
            fields.push(FieldAt { range: from..line_content_end, quoted: false, escaped: false });
            return (Ok(()), line_next);
        }
        match self.split_quoted(bytes, start, fields) {
            Ok(next) => (Ok(()), next),
            Err(fault) => (Err(fault), line_next),
        }
    }

    fn split_quoted(&self, bytes: &[u8], start: usize, fields: &mut Vec<FieldAt>) -> Parsed<usize> {
        let csv = &self.rules.options.csv;
        let mut at = start;
        loop {
            let end;
            if csv.quote.is_some() && bytes.get(at).copied() == csv.quote {
                let (close, escaped) = self.closing_quote(bytes, at + 1)?;
                fields.push(FieldAt { range: at + 1..close, quoted: true, escaped });
                end = close + 1;
            } else {
                let rest = &bytes[at..];
                let len = memchr::memchr2(csv.delimiter, b'\n', rest).unwrap_or(rest.len());
                end = at + len;
                let line_feed = bytes.get(end) != Some(&csv.delimiter);
                let content = if line_feed && rest[..len].ends_with(b"\r") { end - 1 } else { end };
                fields.push(FieldAt { range: at..content, quoted: false, escaped: false });
            }
            match bytes.get(end..).unwrap_or_default() {
                [] | [b'\r'] => return Ok(bytes.len()),
                [b'\n', ..] => return Ok(end + 1),
                [b'\r', b'\n', ..] => return Ok(end + 2),
                [delimiter, ..] if *delimiter == csv.delimiter => at = end + 1,
                _ => {
                    let reason =
                        format!("expected a delimiter after the closing quote of field {}", fields.len());
                    return Err(Fault::new(RecordFault::Syntax, reason));
                }
            }
        }
    }

    /// Where the quote that was opened before `from` is closed, and whether there is anything to resolve in between.
    fn closing_quote(&self, bytes: &[u8], from: usize) -> Parsed<(usize, bool)> {
        let csv = &self.rules.options.csv;
        let quote = csv.quote.expect("only called where there are quotes");
        let limit = bytes.len().min(from.saturating_add(self.rules.options.limits.record_bytes_max));
        let mut escaped = false;
        let mut at = from;
        while at < limit {
            let byte = bytes[at];
            let escapes = Some(byte) == csv.escape && at + 1 < limit;
            if escapes || (byte == quote && bytes.get(at + 1) == Some(&quote)) {
                escaped = true;
                at += 2;
            } else if byte == quote {
                return Ok((at, escaped));
            } else {
                at += 1;
            }
        }
        Err(Fault::new(RecordFault::Syntax, UNCLOSED))
    }
}

const UNCLOSED: &str = "a quote is never closed";

impl Rules {
    /// Whether the text of a field without quotes stands for NULL.
    fn is_null(&self, text: &str) -> bool {
        text.is_empty() || self.options.csv.null_literal.as_deref().is_some_and(|null| null == text.trim())
    }
}

fn push_cell(column: &mut Column, text: &str, rules: &Rules) -> Parsed {
    if !matches!(column.values, Values::Struct(_) | Values::List { .. } | Values::Map { .. }) {
        return column.push_text(Token::Text(text), rules);
    }
    // A nested value is written as JSON.
    let mut scratch = String::new();
    let mut cursor = Cursor::new(text, &mut scratch, rules.options.limits.depth_max);
    cursor.skip_space();
    push_value(column, &mut cursor, rules)?;
    cursor.skip_space();
    if cursor.at < text.len() { Err(cursor.expected("the end of the field")) } else { Ok(()) }
}

/// A field's text, quotes and escapes resolved. `None` if it is not UTF-8.
fn field_text<'a>(
    bytes: &'a [u8],
    field: &FieldAt,
    rules: &Rules,
    scratch: &'a mut String,
) -> Option<&'a str> {
    let raw = std::str::from_utf8(&bytes[field.range.clone()]).ok()?;
    if !field.escaped {
        return Some(raw);
    }
    let csv = &rules.options.csv;
    scratch.clear();
    let mut characters = raw.chars();
    while let Some(character) = characters.next() {
        let is = |byte: Option<u8>| byte.is_some_and(|byte| char::from(byte) == character);
        let doubles = is(csv.escape) || is(csv.quote);
        scratch.extend(if doubles { characters.next() } else { Some(character) });
    }
    Some(scratch)
}

/// Where the content of the line that begins here ends, and where the next line begins.
fn line_end(bytes: &[u8], start: usize) -> (usize, usize) {
    match memchr::memchr(b'\n', &bytes[start..]) {
        Some(len) => (start + len - usize::from(bytes[start..start + len].ends_with(b"\r")), start + len + 1),
        None => {
            (start + bytes[start..].strip_suffix(b"\r").map_or(bytes.len() - start, <[u8]>::len), bytes.len())
        }
    }
}

fn lines_in(bytes: &[u8]) -> u64 {
    memchr::memchr_iter(b'\n', bytes).count() as u64
}
