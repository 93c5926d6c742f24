//! Random columns of every type that can be stored, from a seed.

use std::sync::Arc;

use arrow::array::*;
use arrow::buffer::{BooleanBuffer, Buffer, NullBuffer, OffsetBuffer};
use arrow::datatypes::*;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

pub(super) fn random(seed: u64) -> SmallRng {
    SmallRng::seed_from_u64(seed)
}

/// Types without types in them.
pub(super) fn flat_types() -> Vec<DataType> {
    use DataType::*;
    let units = [TimeUnit::Second, TimeUnit::Millisecond, TimeUnit::Microsecond, TimeUnit::Nanosecond];
    let mut types = vec![
        Null,
        Boolean,
        Int8,
        Int16,
        Int32,
        Int64,
        UInt8,
        UInt16,
        UInt32,
        UInt64,
        Float16,
        Float32,
        Float64,
        Date32,
        Date64,
        Time32(TimeUnit::Second),
        Time32(TimeUnit::Millisecond),
        Time64(TimeUnit::Microsecond),
        Time64(TimeUnit::Nanosecond),
        Interval(IntervalUnit::YearMonth),
        Interval(IntervalUnit::DayTime),
        Interval(IntervalUnit::MonthDayNano),
        Decimal32(5, 2),
        Decimal64(12, 2),
        Decimal128(20, 4),
        Decimal256(50, 4),
        Utf8,
        LargeUtf8,
        Utf8View,
        Binary,
        LargeBinary,
        BinaryView,
        FixedSizeBinary(3),
        FixedSizeBinary(40),
        FixedSizeBinary(0),
    ];
    types.extend(units.map(|unit| Timestamp(unit, None)));
    types.extend(units.map(|unit| Timestamp(unit, Some("+02:00".into()))));
    types.extend(units.map(Duration));
    types
}

/// A type, nested ones to a depth.
pub(super) fn data_type(random: &mut SmallRng, depth: u32) -> DataType {
    let flat = flat_types();
    let pick = random.random_range(0..flat.len() + if depth > 0 { 20 } else { 0 });
    let mut child = |name: &str| Field::new(name, data_type(random, depth.saturating_sub(1)), true);
    match pick.checked_sub(flat.len()) {
        None => flat[pick].clone(),
        Some(0..4) => DataType::List(Arc::new(child("item"))),
        Some(4..7) => DataType::LargeList(Arc::new(child("item"))),
        Some(7..10) => DataType::FixedSizeList(Arc::new(child("item")), 3),
        Some(10..13) => {
            let key = Field::new("key", DataType::Utf8, false);
            let entries = Fields::from(vec![key, child("value")]);
            DataType::Map(Arc::new(Field::new("entries", DataType::Struct(entries), false)), false)
        }
        Some(_) => DataType::Struct(Fields::from(vec![child("a"), child("b"), child("c")])),
    }
}

/// Rows of a random schema; each column is a slice of a longer one.
pub(super) fn rows(random: &mut SmallRng) -> RecordBatch {
    let columns = random.random_range(1..6);
    let fields: Vec<Field> = (0..columns)
        .map(|index| {
            let data_type = data_type(random, 2);
            let nullable = data_type == DataType::Null || random.random_bool(0.7);
            Field::new(format!("c{index}"), data_type, nullable)
        })
        .collect();
    let rows = *[1, 2, 7, 8, 9, 64, 100].get(random.random_range(0..7)).unwrap();
    let columns = fields
        .iter()
        .map(|field| {
            let before = random.random_range(0..20);
            let after = random.random_range(0..20);
            let whole = column(random, field.data_type(), before + rows + after, field.is_nullable());
            whole.slice(before, rows)
        })
        .collect();
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).unwrap()
}

/// A column of so many values.
pub(super) fn column(random: &mut SmallRng, data_type: &DataType, len: usize, nullable: bool) -> ArrayRef {
    let nulls = (nullable && random.random_bool(0.6))
        .then(|| NullBuffer::from_iter((0..len).map(|_| random.random_bool(0.7))));
    match data_type {
        DataType::Null => Arc::new(NullArray::new(len)),
        DataType::Boolean => {
            let bits = BooleanBuffer::from_iter((0..len).map(|_| random.random()));
            Arc::new(BooleanArray::new(bits, nulls))
        }
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => {
            let texts = (0..len).map(|row| (!is_null(&nulls, row)).then(|| text(random)));
            let texts: StringArray = texts.collect();
            arrow::compute::cast(&texts, data_type).unwrap()
        }
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView => {
            let texts = (0..len).map(|row| (!is_null(&nulls, row)).then(|| bytes(random, 40)));
            let texts: BinaryArray = texts.collect();
            arrow::compute::cast(&texts, data_type).unwrap()
        }
        DataType::List(field) => Arc::new(list::<i32>(random, field, len, nulls)),
        DataType::LargeList(field) => Arc::new(list::<i64>(random, field, len, nulls)),
        DataType::Map(field, sorted) => {
            let list = list::<i32>(random, field, len, nulls);
            let (_, offsets, entries, nulls) = list.into_parts();
            let entries = entries.as_struct().clone();
            Arc::new(MapArray::new(Arc::clone(field), offsets, entries, nulls, *sorted))
        }
        DataType::FixedSizeList(field, size) => {
            let values = column(random, field.data_type(), len * *size as usize, field.is_nullable());
            Arc::new(FixedSizeListArray::new(Arc::clone(field), *size, values, nulls))
        }
        DataType::Struct(fields) => {
            let columns =
                fields.iter().map(|field| column(random, field.data_type(), len, field.is_nullable()));
            let columns = columns.collect();
            Arc::new(StructArray::new(fields.clone(), columns, nulls))
        }
        fixed => {
            let width = match fixed {
                DataType::FixedSizeBinary(width) => *width as usize,
                other => other.primitive_width().unwrap(),
            };
            let mut values = vec![0; len * width];
            random.fill(values.as_mut_slice());
            let data =
                ArrayData::builder(fixed.clone()).len(len).nulls(nulls).add_buffer(Buffer::from(values));
            make_array(data.align_buffers(true).build().unwrap())
        }
    }
}

fn list<O: OffsetSizeTrait>(
    random: &mut SmallRng,
    field: &FieldRef,
    len: usize,
    nulls: Option<NullBuffer>,
) -> GenericListArray<O> {
    let offsets = OffsetBuffer::<O>::from_lengths((0..len).map(|_| random.random_range(0..4)));
    let values = column(random, field.data_type(), offsets[len].as_usize(), field.is_nullable());
    GenericListArray::new(Arc::clone(field), offsets, values, nulls)
}

fn is_null(nulls: &Option<NullBuffer>, row: usize) -> bool {
    nulls.as_ref().is_some_and(|nulls| nulls.is_null(row))
}

fn text(random: &mut SmallRng) -> String {
    let len = random.random_range(0..40);
    (0..len).map(|_| ['a', 'b', 'é', '雨', '\u{10ffff}'][random.random_range(0..5)]).collect()
}

fn bytes(random: &mut SmallRng, most: usize) -> Vec<u8> {
    let mut bytes = vec![0; random.random_range(0..most)];
    random.fill(bytes.as_mut_slice());
    bytes
}
