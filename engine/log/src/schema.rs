//! Schemas of streams: which are allowed, how they may change, how rows of an old one read as the new one, and how the
//! catalog keeps them.
//!
//! A column may get a wider type, which takes every value of the narrower one ([`headwater_core::is_wider`]). A timestamp that a finer
//! unit cannot hold is clamped, as event time is.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, PrimitiveArray};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{
    ArrowTimestampType, DataType, Field, Schema, SchemaRef, TimeUnit, TimestampMicrosecondType,
    TimestampMillisecondType, TimestampNanosecondType, TimestampSecondType,
};
use arrow::ipc::convert::try_schema_from_flatbuffer_bytes;
use arrow::ipc::writer::{DictionaryTracker, IpcDataGenerator, IpcWriteOptions};
use headwater_core::is_wider;
use headwater_core::time::nanos_per;

use crate::error::Result;

/// Whether a stream may have this schema; if not, why (for [`crate::LogError::BadSpec`]).
pub(crate) fn check(schema: &Schema) -> std::result::Result<(), String> {
    for (index, field) in schema.fields().iter().enumerate() {
        if schema.fields()[..index].iter().any(|before| before.name() == field.name()) {
            return Err(format!("two columns are named {}", field.name()));
        }
        let stored = match field.data_type() {
            DataType::Dictionary(key, value) => {
                if !matches!(**key, DataType::Int32 | DataType::UInt32 | DataType::Int64 | DataType::UInt64) {
                    return Err(format!(
                        "column {}: a dictionary's keys must have 32 or 64 bits, so that merged batches fit",
                        field.name()
                    ));
                }
                value
            }
            other => other,
        };
        check_type(stored).map_err(|reason| format!("column {}: {reason}", field.name()))?;
    }
    Ok(())
}

fn check_type(data_type: &DataType) -> std::result::Result<(), String> {
    match data_type {
        DataType::Union(..) => Err("a union cannot be stored; use a struct of nullable columns".to_owned()),
        DataType::Dictionary(..) => {
            Err("a dictionary inside another type cannot be stored; use the type of its values".to_owned())
        }
        DataType::RunEndEncoded(..) => {
            Err("a run-end encoded column cannot be stored; use the type of its values".to_owned())
        }
        DataType::ListView(_) | DataType::LargeListView(_) => {
            Err("a list view cannot be stored; use a list".to_owned())
        }
        DataType::FixedSizeBinary(len) if *len < 0 => Err(format!("a length of {len}")),
        DataType::FixedSizeList(_, len) if *len < 0 => Err(format!("a length of {len}")),
        DataType::List(field) | DataType::LargeList(field) | DataType::FixedSizeList(field, _) => {
            check_type(field.data_type())
        }
        DataType::Map(entries, _) => match entries.data_type() {
            DataType::Struct(fields) if fields.len() == 2 && !entries.is_nullable() => {
                check_type(entries.data_type())
            }
            _ => Err("a map must have entries that are not nullable, of a key and a value".to_owned()),
        },
        DataType::Struct(fields) => fields.iter().try_for_each(|field| check_type(field.data_type())),
        _ => Ok(()),
    }
}

/// The type a column is stored with: of a dictionary the type of its values, else its own.
pub(crate) fn stored_type(data_type: &DataType) -> &DataType {
    match data_type {
        DataType::Dictionary(_, value) => value,
        other => other,
    }
}

/// Whether `old` may become `new`; if not, why (for [`crate::LogError::BadSpec`]): the old columns in order, each with the
/// same name, the same type or a wider one, and at most a looser nullability; then new columns, all nullable.
pub(crate) fn evolve(old: &Schema, new: &Schema) -> std::result::Result<(), String> {
    check(new)?;
    for (index, was) in old.fields().iter().enumerate() {
        let Some(is) = new.fields().get(index) else {
            return Err(format!("column {} is missing: columns are never removed", was.name()));
        };
        keeps(was, is)?;
    }
    match new.fields()[old.fields().len()..].iter().find(|field| !field.is_nullable()) {
        Some(added) => {
            Err(format!("column {} is new, so it must be nullable: older rows have no value", added.name()))
        }
        None => Ok(()),
    }
}

fn keeps(was: &Field, is: &Field) -> std::result::Result<(), String> {
    let name = was.name();
    if is.name() != name {
        return Err(format!(
            "column {name} comes where {} was found: columns keep their order and names",
            is.name()
        ));
    }
    if was.is_nullable() && !is.is_nullable() {
        return Err(format!("column {name} is nullable and must stay so: older rows may hold NULL"));
    }
    if was.data_type() == is.data_type() || is_wider(was.data_type(), is.data_type()) {
        Ok(())
    } else {
        Err(format!(
            "column {name} cannot change from {} to {}: only to a wider type",
            was.data_type(),
            is.data_type()
        ))
    }
}

/// Converts a column to a type that is the same or wider, or from and to the dictionary of the same type.
pub(crate) fn widen(column: &ArrayRef, to: &DataType) -> Result<ArrayRef> {
    if column.data_type() == to {
        return Ok(Arc::clone(column));
    }
    if let (DataType::Timestamp(coarse, _), DataType::Timestamp(fine, zone)) = (column.data_type(), to) {
        return Ok(match fine {
            TimeUnit::Nanosecond => finer::<TimestampNanosecondType>(column, *coarse, zone.clone()),
            TimeUnit::Microsecond => finer::<TimestampMicrosecondType>(column, *coarse, zone.clone()),
            TimeUnit::Millisecond => finer::<TimestampMillisecondType>(column, *coarse, zone.clone()),
            TimeUnit::Second => finer::<TimestampSecondType>(column, *coarse, zone.clone()),
        });
    }
    // Not `safe`: that would turn what does not fit into NULL.
    Ok(cast_with_options(column, to, &CastOptions { safe: false, ..CastOptions::default() })?)
}

fn finer<T: ArrowTimestampType>(column: &ArrayRef, coarse: TimeUnit, zone: Option<Arc<str>>) -> ArrayRef {
    let factor = nanos_per(coarse) / nanos_per(T::UNIT);
    let scale = |value: i64| value.saturating_mul(factor);
    let fine: PrimitiveArray<T> = match coarse {
        TimeUnit::Second => column.as_primitive::<TimestampSecondType>().unary(scale),
        TimeUnit::Millisecond => column.as_primitive::<TimestampMillisecondType>().unary(scale),
        TimeUnit::Microsecond => column.as_primitive::<TimestampMicrosecondType>().unary(scale),
        TimeUnit::Nanosecond => column.as_primitive::<TimestampNanosecondType>().unary(scale),
    };
    Arc::new(fine.with_timezone_opt(zone))
}

/// A schema as bytes: the flatbuffer of an Arrow IPC schema message.
pub(crate) fn to_bytes(schema: &Schema) -> Vec<u8> {
    let mut dictionaries = DictionaryTracker::new(false);
    let options = IpcWriteOptions::default();
    IpcDataGenerator::default()
        .schema_to_bytes_with_dictionary_tracker(schema, &mut dictionaries, &options)
        .ipc_message
}

/// A schema from the bytes of [`to_bytes`]; if they are not such, why.
pub(crate) fn from_bytes(bytes: &[u8]) -> std::result::Result<SchemaRef, String> {
    try_schema_from_flatbuffer_bytes(bytes)
        .map(Arc::new)
        .map_err(|error| format!("not an Arrow schema: {error}"))
}

#[cfg(test)]
mod tests {
    use DataType::*;
    use arrow::array::{Decimal256Array, Float64Array, TimestampNanosecondArray, UInt32Array};

    use super::*;

    fn schema(columns: &[(&str, DataType, bool)]) -> Schema {
        Schema::new(columns.iter().map(|(n, t, null)| Field::new(*n, t.clone(), *null)).collect::<Vec<_>>())
    }

    #[test]
    fn types_only_get_wider() {
        let at = |unit, zone: Option<&str>| Timestamp(unit, zone.map(Into::into));
        let cases = [
            (Int8, Int16, true),
            (Int32, Int64, true),
            (Int64, Int32, false),
            (UInt32, Int64, true),
            (UInt32, Int32, false),
            (Int32, UInt64, false),
            (UInt8, UInt16, true),
            (Int32, Float64, true),
            (Int64, Float64, false),
            (Int32, Float32, false),
            (UInt16, Float32, true),
            (Int8, Float16, true),
            (Float32, Float64, true),
            (Float64, Float32, false),
            (Utf8, LargeUtf8, true),
            (Utf8, Utf8View, true),
            (LargeUtf8, Utf8, false),
            (Utf8, Binary, false),
            (at(TimeUnit::Second, None), at(TimeUnit::Nanosecond, None), true),
            (at(TimeUnit::Nanosecond, None), at(TimeUnit::Second, None), false),
            (at(TimeUnit::Second, None), at(TimeUnit::Millisecond, Some("UTC")), false),
            (Decimal128(10, 2), Decimal128(12, 2), true),
            (Decimal64(10, 2), Decimal256(50, 2), true),
            (Decimal128(10, 2), Decimal128(12, 3), false),
            (Decimal128(10, 2), Decimal64(12, 2), false),
            (Decimal128(10, 2), Float64, false),
            (Boolean, Int8, false),
            (Date32, Int32, false),
        ];
        for (old, new, expect) in cases {
            let result = evolve(&schema(&[("c", old.clone(), false)]), &schema(&[("c", new.clone(), true)]));
            assert_eq!(result.is_ok(), expect, "{old} to {new}: {result:?}");
        }
    }

    #[test]
    fn columns_stay_and_new_ones_are_nullable() {
        let old = schema(&[("a", Int64, true), ("b", Utf8, false)]);
        let check = |new: &[(&str, DataType, bool)], expect: &str| {
            let result = evolve(&old, &schema(new)).err().unwrap_or_default();
            assert!(result.contains(expect) && result.is_empty() == expect.is_empty(), "{result}");
        };
        check(&[("a", Int64, true), ("b", Utf8, false)], "");
        check(&[("a", Int64, true), ("b", Utf8, true), ("c", Int8, true)], "");
        check(&[("a", Int64, true)], "column b is missing");
        check(&[("b", Utf8, false), ("a", Int64, true)], "column a comes where b was found");
        check(&[("a", Int64, false), ("b", Utf8, false)], "column a is nullable and must stay so");
        check(
            &[("a", Int64, true), ("b", Utf8, false), ("c", Int8, false)],
            "column c is new, so it must be nullable",
        );
        check(&[("a", Int64, true), ("b", Utf8, false), ("a", Int8, true)], "two columns are named a");
    }

    #[test]
    fn some_types_are_not_stored() {
        let item = |data_type| Arc::new(Field::new("item", data_type, true));
        let dictionary = |key| Dictionary(Box::new(key), Box::new(Utf8));
        for bad in [
            ListView(item(Int8)),
            List(item(dictionary(Int32))),
            dictionary(Int8),
            FixedSizeBinary(-1),
            FixedSizeList(item(Int8), -1),
            Map(item(Int8), false),
        ] {
            let reason = check(&schema(&[("c", bad.clone(), true)])).unwrap_err();
            assert!(reason.starts_with("column c: "), "{bad}: {reason}");
        }
        check(&schema(&[("c", dictionary(Int32), true), ("d", List(item(Utf8)), true)])).unwrap();
    }

    #[test]
    fn wider_columns_keep_their_values() {
        let wide = |column: ArrayRef, to: DataType| widen(&column, &to).unwrap();
        let count = wide(Arc::new(UInt32Array::from(vec![Some(u32::MAX), None])), Float64);
        assert_eq!(count.as_ref(), &Float64Array::from(vec![Some(4_294_967_295.0), None]) as &dyn Array);
        let price = arrow::array::Decimal64Array::from(vec![123]).with_precision_and_scale(12, 2).unwrap();
        let price = wide(Arc::new(price), Decimal256(40, 2));
        let expected = Decimal256Array::from(vec![arrow::datatypes::i256::from_i128(123)]);
        assert_eq!(price.as_ref(), &expected.with_precision_and_scale(40, 2).unwrap() as &dyn Array);
        let at = arrow::array::TimestampMillisecondArray::from(vec![i64::MIN, -1, i64::MAX]);
        let at = wide(Arc::new(at.with_timezone("UTC")), Timestamp(TimeUnit::Nanosecond, Some("UTC".into())));
        let expected =
            TimestampNanosecondArray::from(vec![i64::MIN, -1_000_000, i64::MAX]).with_timezone("UTC");
        assert_eq!(at.as_ref(), &expected as &dyn Array);
    }

    #[test]
    fn schemas_come_back_from_bytes() {
        let entries = Struct(vec![Field::new("key", Utf8, false), Field::new("value", Int8, true)].into());
        let schema = schema(&[
            ("time", Timestamp(TimeUnit::Millisecond, Some("UTC".into())), false),
            ("name", Dictionary(Box::new(Int32), Box::new(Utf8)), true),
            ("price", Decimal64(12, 2), true),
            ("tags", Map(Arc::new(Field::new("entries", entries, false)), false), true),
            ("view", Utf8View, true),
        ])
        .with_metadata([("source".to_owned(), "NOAA".to_owned())].into());
        let bytes = to_bytes(&schema);
        assert_eq!(*from_bytes(&bytes).unwrap(), schema);
        assert!(from_bytes(&bytes[..10]).unwrap_err().contains("not an Arrow schema"));
        assert!(from_bytes(&[]).is_err());
    }
}
