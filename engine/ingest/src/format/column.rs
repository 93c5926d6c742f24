//! Columns that grow value by value and can be cut back, so that a record that turns out bad leaves no trace.
//!
//! Values of like kind share a buffer type (all integers and times are `i64` until [`Column::finish`]), which keeps the
//! code that reads text small; the buffers of the common types become Arrow arrays without a copy.

mod finish;
mod token;

use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanBufferBuilder, NullBufferBuilder, RecordBatch, RecordBatchOptions};
use arrow::buffer::{Buffer, OffsetBuffer};
use arrow::datatypes::{DataType, Field, Fields, SchemaRef, TimeUnit};
use hashbrown::HashMap;

pub(super) use self::token::{Rules, Token};
use super::fault::{Fault, Parsed};
use super::field_names::FieldNames;
use super::type_name::type_name;
use crate::bad::RecordFault;
use crate::error::{IngestError, Result};

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
    #[inline]
    pub(super) fn end(&mut self) {
        self.offsets.push(i32::try_from(self.bytes.len()).expect("an input is checked to be below 2 GiB"));
    }

    #[inline]
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

    /// Lets records have other names for what is within it.
    fn also(&mut self, names: &FieldNames) {
        match &mut self.values {
            Values::Struct(group) => group.also(names),
            Values::List { child, .. } => child.also(names),
            Values::Map { key, value, .. } => {
                key.also(names);
                value.also(names);
            }
            _ => {}
        }
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

/// `"name":`, as it stands in compact JSON.
fn key_of(name: &str) -> Box<[u8]> {
    let mut key = serde_json::Value::from(name).to_string().into_bytes();
    key.push(b':');
    key.into_boxed_slice()
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
        let keys = columns.iter().map(|column| key_of(&column.name)).collect();
        let by_name = columns.iter().enumerate().map(|(at, column)| (column.name.clone(), at)).collect();
        Ok(Self { columns, keys, by_name, rows: 0 })
    }

    /// Lets records have other names for the columns, too; these are looked for first.
    pub(super) fn also(&mut self, names: &FieldNames) {
        for (at, column) in self.columns.iter_mut().enumerate() {
            if let Some(name) = names.of(&column.name)
                && !self.by_name.contains_key(name)
            {
                self.keys[at] = key_of(name);
                self.by_name.insert(name.into(), at);
            }
            column.also(names);
        }
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
