//! Columns that grow value by value and can be cut back, so that a record that turns out bad leaves no trace.
//!
//! Values of like kind share a buffer type (all integers and times are `i64` until [`Column::finish`]), which keeps the
//! code that reads text small; the buffers of the common types become Arrow arrays without a copy.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryArray, BooleanArray, BooleanBufferBuilder, Decimal128Array, Float32Array, Float64Array,
    ListArray, MapArray, NullBufferBuilder, PrimitiveArray, RecordBatch, RecordBatchOptions, StringArray,
    StructArray, UInt64Array,
};
use arrow::buffer::{Buffer, OffsetBuffer, ScalarBuffer};
use arrow::datatypes::{
    ArrowPrimitiveType, DataType, Date32Type, Field, Fields, Int8Type, Int16Type, Int32Type, Int64Type,
    SchemaRef, TimeUnit, UInt8Type, UInt16Type, UInt32Type,
};
use bytes::Bytes;
use hashbrown::HashMap;

use super::settings::FormatOptions;
use super::text;
use crate::bad::{BadRecord, RecordFault};
use crate::error::{IngestError, Result};

/// Why a value cannot be used. Boxed: it is rare, and the way without it should be short.
#[derive(Debug)]
pub(super) struct Fault {
    pub(super) fault: RecordFault,
    pub(super) field: Option<String>,
    pub(super) reason: Cow<'static, str>,
}

pub(super) type Parsed<T = ()> = std::result::Result<T, Box<Fault>>;

impl Fault {
    #[cold]
    pub(super) fn new(fault: RecordFault, reason: impl Into<Cow<'static, str>>) -> Box<Self> {
        Box::new(Self { fault, field: None, reason: reason.into() })
    }

    /// The bad record that has this fault.
    pub(super) fn into_bad(self, record: u64, payload: Bytes) -> BadRecord {
        BadRecord { record, fault: self.fault, field: self.field, reason: self.reason, payload }
    }

    /// The same fault, in a field of something.
    #[cold]
    pub(super) fn within(mut self: Box<Self>, name: &str) -> Box<Self> {
        self.field = Some(match self.field {
            Some(inner) => format!("{name}.{inner}"),
            None => name.to_owned(),
        });
        self
    }
}

/// What text is read by.
#[derive(Clone, Debug, Default)]
pub(super) struct Rules {
    pub(super) options: FormatOptions,
}

/// One growing column.
pub(super) struct Column {
    pub(super) name: Box<str>,
    pub(super) nullable: bool,
    data_type: DataType,
    nulls: NullBufferBuilder,
    pub(super) values: Values,
}

/// Values of one kind. Text and binary lie end to end; `offsets` has one entry more than there are values.
pub(super) enum Values {
    Bool(BooleanBufferBuilder),
    Int { values: Vec<i64>, min: i64, max: i64 },
    UInt(Vec<u64>),
    Float { values: Vec<f64>, single: bool },
    Decimal { values: Vec<i128>, precision: u8, scale: i8 },
    Timestamp { values: Vec<i64>, unit: TimeUnit },
    Date { values: Vec<i64>, unit: DateUnit },
    TimeOfDay { values: Vec<i64>, unit: TimeUnit },
    Text(Strings),
    Binary(Strings),
    Struct(Group),
    List { offsets: Vec<i32>, child: Box<Column> },
    Map { offsets: Vec<i32>, key: Box<Column>, value: Box<Column> },
}

/// What a date counts.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum DateUnit {
    Days,
    Millis,
}

/// Values of any length, end to end.
pub(super) struct Strings {
    offsets: Vec<i32>,
    pub(super) bytes: Vec<u8>,
}

impl Strings {
    fn new() -> Self {
        Self { offsets: vec![0], bytes: Vec::new() }
    }

    /// Ends a value: what was put into `bytes` since the one before. Inputs are below 2 GiB, and no value grows when it is read.
    pub(super) fn end(&mut self) {
        self.offsets.push(i32::try_from(self.bytes.len()).expect("an input is checked to be below 2 GiB"));
    }

    pub(super) fn push(&mut self, value: &[u8]) {
        self.bytes.extend_from_slice(value);
        self.end();
    }

    fn truncate(&mut self, rows: usize) {
        self.offsets.truncate(rows + 1);
        self.bytes.truncate(self.offsets[rows] as usize);
    }

    fn take(&mut self) -> (OffsetBuffer<i32>, Buffer) {
        let offsets = take_vec(&mut self.offsets);
        self.offsets.push(0);
        (OffsetBuffer::new(offsets.into()), Buffer::from_vec(take_vec(&mut self.bytes)))
    }
}

impl Column {
    fn new(field: &Field, format: &'static str) -> Result<Self> {
        let values = Values::new(field, field.data_type(), format)?;
        Ok(Self {
            name: field.name().as_str().into(),
            nullable: field.is_nullable(),
            data_type: field.data_type().clone(),
            nulls: NullBufferBuilder::new(0),
            values,
        })
    }

    pub(super) fn len(&self) -> usize {
        self.nulls.len()
    }

    /// Marks the value that was just put into `values` as there.
    #[inline]
    pub(super) fn mark_valid(&mut self) {
        self.nulls.append_non_null();
    }

    /// The name of the type in SQL, for messages.
    pub(super) fn type_name(&self) -> String {
        type_name(&self.data_type)
    }

    /// Adds a null; a fault where that is not allowed.
    pub(super) fn push_null(&mut self) -> Parsed {
        if !self.nullable {
            return Err(Fault::new(
                RecordFault::Missing,
                format!("expected {}, found null", self.type_name()),
            ));
        }
        self.push_blank();
        Ok(())
    }

    /// Adds a null, allowed or not: what a null struct has inside.
    fn push_blank(&mut self) {
        match &mut self.values {
            Values::Bool(values) => values.append(false),
            Values::Int { values, .. }
            | Values::Timestamp { values, .. }
            | Values::Date { values, .. }
            | Values::TimeOfDay { values, .. } => values.push(0),
            Values::UInt(values) => values.push(0),
            Values::Float { values, .. } => values.push(0.0),
            Values::Decimal { values, .. } => values.push(0),
            Values::Text(strings) | Values::Binary(strings) => strings.end(),
            Values::Struct(group) => group.push_blank(),
            Values::List { offsets, .. } | Values::Map { offsets, .. } => {
                offsets.push(offsets[offsets.len() - 1])
            }
        }
        self.nulls.append_null();
    }

    /// Cuts back to `rows`, also what a value that was never finished has left behind.
    pub(super) fn truncate(&mut self, rows: usize) {
        self.nulls.truncate(rows);
        match &mut self.values {
            Values::Bool(values) => values.truncate(rows),
            Values::Int { values, .. }
            | Values::Timestamp { values, .. }
            | Values::Date { values, .. }
            | Values::TimeOfDay { values, .. } => values.truncate(rows),
            Values::UInt(values) => values.truncate(rows),
            Values::Float { values, .. } => values.truncate(rows),
            Values::Decimal { values, .. } => values.truncate(rows),
            Values::Text(strings) | Values::Binary(strings) => strings.truncate(rows),
            Values::Struct(group) => group.truncate(rows),
            Values::List { offsets, child } => {
                offsets.truncate(rows + 1);
                child.truncate(offsets[rows] as usize);
            }
            Values::Map { offsets, key, value } => {
                offsets.truncate(rows + 1);
                key.truncate(offsets[rows] as usize);
                value.truncate(offsets[rows] as usize);
            }
        }
    }

    /// Adds a value that is written as text: in CSV, between quotes in JSON, or a number of JSON.
    pub(super) fn push_text(&mut self, token: Token<'_>, rules: &Rules) -> Parsed {
        let text = token.text().trim();
        let expected = |what: &str| Fault::new(RecordFault::Type, format!("expected {what}, found {token}"));
        let data_type = &self.data_type;
        let wrong = || expected(&type_name(data_type));
        let range =
            || Fault::new(RecordFault::Range, format!("{token} does not fit {}", type_name(data_type)));
        match &mut self.values {
            Values::Text(strings) => strings.push(token.text().as_bytes()),
            Values::Binary(strings) => {
                if token.is_number() || !text::base64(text, &mut strings.bytes) {
                    return Err(expected("BYTES (base64)"));
                }
                strings.end();
            }
            Values::Bool(values) => values.append(match text {
                "true" | "TRUE" | "True" => true,
                "false" | "FALSE" | "False" => false,
                _ => return Err(wrong()),
            }),
            Values::Int { values, min, max } => {
                let value = integer(text).ok_or_else(wrong)?;
                let value = value.and_then(|value| i64::try_from(value).ok());
                values.push(value.filter(|value| (*min..=*max).contains(value)).ok_or_else(range)?);
            }
            Values::UInt(values) => {
                let value = integer(text).ok_or_else(wrong)?;
                values.push(value.and_then(|value| u64::try_from(value).ok()).ok_or_else(range)?);
            }
            Values::Float { values, single } => {
                let value = text.parse::<f64>().map_err(|_| wrong())?;
                let infinite = value.is_infinite() || (*single && (value as f32).is_infinite());
                if infinite && text.bytes().any(|b| b.is_ascii_digit()) {
                    return Err(range());
                }
                values.push(value);
            }
            Values::Decimal { values, precision, scale } => {
                let value = text::decimal(text, i32::from(*scale)).ok_or_else(wrong)?.map(|read| read.value);
                let most = 10_i128.pow(u32::from(*precision)) - 1;
                values.push(value.filter(|value| value.abs() <= most).ok_or_else(range)?);
            }
            Values::Timestamp { values, unit } => {
                let format = rules.options.timestamps;
                let epoch = format.nanos().and_then(|nanos| epoch_time(text, nanos));
                let instant =
                    epoch.or_else(|| text::timestamp(text.as_bytes())).ok_or_else(|| {
                        match format.nanos() {
                            None if token.is_number() => {
                                expected("TIMESTAMP as text (or set option timestamp-format)")
                            }
                            _ => expected(&format!("TIMESTAMP ({format})")),
                        }
                    })?;
                values.push(instant.to_unit(*unit).ok_or_else(range)?);
            }
            Values::Date { values, unit } => {
                let days = text::date(text.as_bytes()).ok_or_else(wrong)?;
                values.push(if *unit == DateUnit::Days { days } else { days * 86_400_000 });
            }
            Values::TimeOfDay { values, unit } => {
                let nanos = text::time_of_day(text.as_bytes()).ok_or_else(wrong)?;
                values.push(nanos / headwater_core::time::nanos_per(*unit));
            }
            Values::Struct(_) | Values::List { .. } | Values::Map { .. } => return Err(wrong()),
        }
        self.mark_valid();
        Ok(())
    }

    /// Ends the column and begins it anew.
    fn finish(&mut self) -> Result<ArrayRef> {
        let rows = self.len();
        let nulls = self.nulls.finish();
        Ok(match &mut self.values {
            Values::Bool(values) => Arc::new(BooleanArray::new(values.finish(), nulls)),
            Values::Int { values, .. }
            | Values::Timestamp { values, .. }
            | Values::Date { values, .. }
            | Values::TimeOfDay { values, .. } => {
                let values = take_vec(values);
                integers(&self.data_type, values, nulls)?
            }
            Values::UInt(values) => Arc::new(UInt64Array::new(take_vec(values).into(), nulls)),
            Values::Float { values, single: true } => {
                let values: Vec<f32> = take_vec(values).into_iter().map(|value| value as f32).collect();
                Arc::new(Float32Array::new(values.into(), nulls))
            }
            Values::Float { values, single: false } => {
                Arc::new(Float64Array::new(take_vec(values).into(), nulls))
            }
            Values::Decimal { values, precision, scale } => Arc::new(
                Decimal128Array::new(take_vec(values).into(), nulls)
                    .with_precision_and_scale(*precision, *scale)?,
            ),
            Values::Text(strings) => {
                let (offsets, bytes) = strings.take();
                let array: ArrayRef = Arc::new(StringArray::try_new(offsets, bytes, nulls)?);
                if self.data_type == DataType::Utf8 {
                    array
                } else {
                    arrow::compute::cast(&array, &self.data_type)?
                }
            }
            Values::Binary(strings) => {
                let (offsets, bytes) = strings.take();
                let array: ArrayRef = Arc::new(BinaryArray::try_new(offsets, bytes, nulls)?);
                if self.data_type == DataType::Binary {
                    array
                } else {
                    arrow::compute::cast(&array, &self.data_type)?
                }
            }
            Values::Struct(group) => {
                let DataType::Struct(fields) = &self.data_type else {
                    unreachable!("a group is made for a struct")
                };
                let columns = group.finish()?;
                if columns.is_empty() {
                    Arc::new(StructArray::new_empty_fields(rows, nulls))
                } else {
                    Arc::new(StructArray::try_new(fields.clone(), columns, nulls)?)
                }
            }
            Values::List { offsets, child } => {
                let DataType::List(item) = &self.data_type else { unreachable!("a list is made for a list") };
                Arc::new(ListArray::try_new(item.clone(), take_offsets(offsets), child.finish()?, nulls)?)
            }
            Values::Map { offsets, key, value } => {
                let DataType::Map(entries, sorted) = &self.data_type else {
                    unreachable!("a map is made for a map")
                };
                let DataType::Struct(fields) = entries.data_type() else {
                    unreachable!("a map has a struct inside")
                };
                let pairs = StructArray::try_new(fields.clone(), vec![key.finish()?, value.finish()?], None)?;
                Arc::new(MapArray::try_new(entries.clone(), take_offsets(offsets), pairs, nulls, *sorted)?)
            }
        })
    }
}

impl Values {
    fn new(field: &Field, data_type: &DataType, format: &'static str) -> Result<Self> {
        let int = |min, max| Self::Int { values: Vec::new(), min, max };
        Ok(match data_type {
            DataType::Boolean => Self::Bool(BooleanBufferBuilder::new(0)),
            DataType::Int8 => int(i8::MIN.into(), i8::MAX.into()),
            DataType::Int16 => int(i16::MIN.into(), i16::MAX.into()),
            DataType::Int32 => int(i32::MIN.into(), i32::MAX.into()),
            DataType::Int64 => int(i64::MIN, i64::MAX),
            DataType::UInt8 => int(0, u8::MAX.into()),
            DataType::UInt16 => int(0, u16::MAX.into()),
            DataType::UInt32 => int(0, u32::MAX.into()),
            DataType::UInt64 => Self::UInt(Vec::new()),
            DataType::Float32 => Self::Float { values: Vec::new(), single: true },
            DataType::Float64 => Self::Float { values: Vec::new(), single: false },
            DataType::Decimal128(precision, scale) => {
                Self::Decimal { values: Vec::new(), precision: *precision, scale: *scale }
            }
            DataType::Timestamp(unit, _) => Self::Timestamp { values: Vec::new(), unit: *unit },
            DataType::Date32 => Self::Date { values: Vec::new(), unit: DateUnit::Days },
            DataType::Date64 => Self::Date { values: Vec::new(), unit: DateUnit::Millis },
            DataType::Time32(unit) | DataType::Time64(unit) => {
                Self::TimeOfDay { values: Vec::new(), unit: *unit }
            }
            DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => Self::Text(Strings::new()),
            DataType::Binary | DataType::LargeBinary | DataType::BinaryView => Self::Binary(Strings::new()),
            DataType::Struct(fields) => Self::Struct(Group::new(fields, format)?),
            DataType::List(item) => {
                Self::List { offsets: vec![0], child: Box::new(Column::new(item, format)?) }
            }
            DataType::Map(entries, _) => match entries.data_type() {
                DataType::Struct(pair) if pair.len() == 2 => Self::Map {
                    offsets: vec![0],
                    key: Box::new(Column::new(&pair[0], format)?),
                    value: Box::new(Column::new(&pair[1], format)?),
                },
                _ => return Err(unsupported(field, format)),
            },
            _ => return Err(unsupported(field, format)),
        })
    }
}

fn unsupported(field: &Field, format: &'static str) -> IngestError {
    IngestError::Unsupported {
        format,
        column: field.name().clone(),
        data_type: type_name(field.data_type()),
        remedy: "declare the column with a type that text can carry, or send arrow",
    }
}

/// Columns that grow together: the fields of a struct, or of a whole record.
pub(super) struct Group {
    pub(super) columns: Vec<Column>,
    /// `"name":` of each column, as it stands in compact JSON.
    pub(super) keys: Vec<Box<[u8]>>,
    by_name: HashMap<Box<str>, usize>,
    pub(super) rows: usize,
}

impl Group {
    pub(super) fn new(fields: &Fields, format: &'static str) -> Result<Self> {
        let columns = fields.iter().map(|field| Column::new(field, format)).collect::<Result<Vec<_>>>()?;
        let key = |column: &Column| {
            let mut key = serde_json::Value::from(&*column.name).to_string().into_bytes();
            key.push(b':');
            key.into_boxed_slice()
        };
        let keys = columns.iter().map(key).collect();
        let by_name = columns.iter().enumerate().map(|(at, column)| (column.name.clone(), at)).collect();
        Ok(Self { columns, keys, by_name, rows: 0 })
    }

    pub(super) fn index_of(&self, name: &str) -> Option<usize> {
        self.by_name.get(name).copied()
    }

    /// Gives the columns that a record does not name a null, where that is allowed, and ends the record.
    pub(super) fn end_record(&mut self, rules: &Rules) -> Parsed {
        for column in &mut self.columns {
            if column.len() == self.rows {
                if !column.nullable || rules.options.json.fail_on_missing_field {
                    let reason = format!("expected {}, found no such field", column.type_name());
                    return Err(Fault::new(RecordFault::Missing, reason).within(&column.name));
                }
                column.push_blank();
            }
        }
        self.rows += 1;
        Ok(())
    }

    fn push_blank(&mut self) {
        for column in &mut self.columns {
            column.push_blank();
        }
        self.rows += 1;
    }

    pub(super) fn truncate(&mut self, rows: usize) {
        for column in &mut self.columns {
            column.truncate(rows);
        }
        self.rows = rows;
    }

    fn finish(&mut self) -> Result<Vec<ArrayRef>> {
        self.rows = 0;
        self.columns.iter_mut().map(Column::finish).collect()
    }

    /// Ends the columns as a batch and begins them anew.
    pub(super) fn finish_batch(&mut self, schema: &SchemaRef) -> Result<RecordBatch> {
        let options = RecordBatchOptions::new().with_row_count(Some(self.rows));
        let columns = self.finish()?;
        Ok(RecordBatch::try_new_with_options(Arc::clone(schema), columns, &options)?)
    }
}

/// Takes the values and leaves room for as many.
fn take_vec<T>(values: &mut Vec<T>) -> Vec<T> {
    let room = Vec::with_capacity(values.len());
    std::mem::replace(values, room)
}

fn take_offsets(offsets: &mut Vec<i32>) -> OffsetBuffer<i32> {
    let taken = take_vec(offsets);
    offsets.push(0);
    OffsetBuffer::new(taken.into())
}

/// An array of integers or times out of 64-bit values that are known to fit.
fn integers(
    data_type: &DataType,
    values: Vec<i64>,
    nulls: Option<arrow::buffer::NullBuffer>,
) -> Result<ArrayRef> {
    fn narrow<T: ArrowPrimitiveType<Native: TryFrom<i64>>>(values: &[i64]) -> ScalarBuffer<T::Native> {
        values.iter().map(|value| T::Native::try_from(*value).unwrap_or_default()).collect::<Vec<_>>().into()
    }
    fn array<T: ArrowPrimitiveType>(
        values: ScalarBuffer<T::Native>,
        nulls: Option<arrow::buffer::NullBuffer>,
    ) -> ArrayRef {
        Arc::new(PrimitiveArray::<T>::new(values, nulls))
    }
    let array = match data_type {
        DataType::Int8 => array::<Int8Type>(narrow::<Int8Type>(&values), nulls),
        DataType::Int16 => array::<Int16Type>(narrow::<Int16Type>(&values), nulls),
        DataType::Int32 | DataType::Time32(_) => array::<Int32Type>(narrow::<Int32Type>(&values), nulls),
        DataType::UInt8 => array::<UInt8Type>(narrow::<UInt8Type>(&values), nulls),
        DataType::UInt16 => array::<UInt16Type>(narrow::<UInt16Type>(&values), nulls),
        DataType::UInt32 => array::<UInt32Type>(narrow::<UInt32Type>(&values), nulls),
        DataType::Date32 => array::<Date32Type>(narrow::<Date32Type>(&values), nulls),
        _ => array::<Int64Type>(values.into(), nulls),
    };
    // Times are integers with another name: the cast shares the buffer.
    if array.data_type() == data_type { Ok(array) } else { Ok(arrow::compute::cast(&array, data_type)?) }
}

/// Reads an integer; a fraction of zeros and an exponent are allowed. `None`: no integer. `Some(None)`: too large for 128 bits.
fn integer(text: &str) -> Option<Option<i128>> {
    if let Ok(value) = text.parse::<i64>() {
        return Some(Some(value.into()));
    }
    match text::decimal(text, 0)? {
        Some(read) if !read.exact => None,
        read => Some(read.map(|read| read.value)),
    }
}

/// Reads a number of units since the epoch.
fn epoch_time(text: &str, nanos_per_unit: i64) -> Option<text::Instant> {
    let digits = nanos_per_unit.ilog10().cast_signed();
    let nanos = text::decimal(text, digits)??.value;
    let seconds = i64::try_from(nanos.div_euclid(1_000_000_000)).ok()?;
    Some(text::Instant { seconds, nanos: u32::try_from(nanos.rem_euclid(1_000_000_000)).ok()? })
}

/// A value as it is written, and as messages show it.
#[derive(Clone, Copy)]
pub(super) enum Token<'a> {
    Text(&'a str),
    Number(&'a str),
}

impl<'a> Token<'a> {
    fn text(self) -> &'a str {
        match self {
            Self::Text(text) | Self::Number(text) => text,
        }
    }

    fn is_number(self) -> bool {
        matches!(self, Self::Number(_))
    }
}

impl fmt::Display for Token<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let short: String = self.text().chars().take(40).collect();
        let dots = if short.len() < self.text().len() { "…" } else { "" };
        match self {
            Self::Text(_) => write!(f, "text {short:?}{dots}"),
            Self::Number(_) => write!(f, "number {short}{dots}"),
        }
    }
}

/// The name of a type as SQL has it.
pub fn type_name(data_type: &DataType) -> String {
    match data_type {
        DataType::Boolean => "BOOLEAN".into(),
        DataType::Int8 => "TINYINT".into(),
        DataType::Int16 => "SMALLINT".into(),
        DataType::Int32 => "INT".into(),
        DataType::Int64 => "BIGINT".into(),
        DataType::UInt64 => "BIGINT UNSIGNED".into(),
        DataType::Float32 => "FLOAT".into(),
        DataType::Float64 => "DOUBLE".into(),
        DataType::Decimal128(precision, scale) => format!("DECIMAL({precision}, {scale})"),
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => "VARCHAR".into(),
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView => "BYTES".into(),
        DataType::Timestamp(..) => "TIMESTAMP".into(),
        DataType::Date32 | DataType::Date64 => "DATE".into(),
        DataType::Time32(_) | DataType::Time64(_) => "TIME".into(),
        DataType::List(item) => format!("ARRAY<{}>", type_name(item.data_type())),
        DataType::Struct(_) => "ROW".into(),
        DataType::Map(..) => "MAP".into(),
        other => other.to_string(),
    }
}
