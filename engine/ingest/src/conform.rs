//! Rows from elsewhere to rows of a stream: columns matched by name, cast, or NULL.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, BooleanArray, RecordBatch, RecordBatchOptions, new_null_array};
use arrow::buffer::BooleanBuffer;
use arrow::compute::{can_cast_types, cast, filter_record_batch};
use arrow::datatypes::{Field, SchemaRef};

use crate::bad::{BadRecord, RecordFault};
use crate::error::Result;
use crate::format::{row_as_json, type_name};

/// Gives rows the columns of `schema`. Rows that have a value which the column cannot hold, or none where one must be, are
/// bad; the first of them is record `first_record`.
pub fn conform(
    rows: &RecordBatch,
    schema: &SchemaRef,
    first_record: u64,
) -> Result<(RecordBatch, Vec<BadRecord>)> {
    if rows.schema_ref().fields() == schema.fields() {
        return Ok((rows.clone(), Vec::new()));
    }
    let mut faults = Faults { rows, first_record, bad: Vec::new() };
    let columns = schema.fields().iter().map(|field| faults.column(field)).collect::<Result<Vec<_>>>()?;
    let mut bad = faults.bad;
    bad.sort_by_key(|bad| bad.record);
    bad.dedup_by_key(|bad| bad.record);
    let keep = BooleanBuffer::collect_bool(rows.num_rows(), |row| {
        bad.binary_search_by_key(&(first_record + row as u64), |bad| bad.record).is_err()
    });
    // Not yet in the schema: a column that must not be null may be until the bad rows are out.
    let loose: Vec<Field> =
        schema.fields().iter().map(|field| field.as_ref().clone().with_nullable(true)).collect();
    let loose = Arc::new(arrow::datatypes::Schema::new(loose));
    let options = RecordBatchOptions::new().with_row_count(Some(rows.num_rows()));
    let all = RecordBatch::try_new_with_options(loose, columns, &options)?;
    let good = if bad.is_empty() { all } else { filter_record_batch(&all, &BooleanArray::new(keep, None))? };
    let options = RecordBatchOptions::new().with_row_count(Some(good.num_rows()));
    Ok((RecordBatch::try_new_with_options(Arc::clone(schema), good.columns().to_vec(), &options)?, bad))
}

/// The column of a name, or the only one that differs from it in capital letters alone.
fn named<'a>(rows: &'a RecordBatch, name: &str) -> Option<&'a ArrayRef> {
    rows.column_by_name(name).or_else(|| {
        let fields = rows.schema_ref().fields().iter().enumerate();
        let mut alike = fields.filter(|(_, field)| field.name().to_lowercase() == name);
        alike.next().filter(|_| alike.next().is_none()).map(|(at, _)| rows.column(at))
    })
}

/// Collects the bad rows of a batch.
struct Faults<'a> {
    rows: &'a RecordBatch,
    first_record: u64,
    bad: Vec<BadRecord>,
}

impl Faults<'_> {
    /// The column of this name in the type of `field`.
    fn column(&mut self, field: &Field) -> Result<ArrayRef> {
        let Some(given) = named(self.rows, field.name()) else {
            if !field.is_nullable() {
                let reason = format!("expected {}, found no such field", type_name(field.data_type()));
                self.all(field, |_| true, RecordFault::Missing, &reason)?;
            }
            return Ok(new_null_array(field.data_type(), self.rows.num_rows()));
        };
        if !can_cast_types(given.data_type(), field.data_type()) {
            let (expected, found) = (type_name(field.data_type()), type_name(given.data_type()));
            let reason = format!("expected {expected}, found {found}");
            self.all(field, |row| given.is_valid(row), RecordFault::Type, &reason)?;
            return Ok(new_null_array(field.data_type(), self.rows.num_rows()));
        }
        let column = if given.data_type() == field.data_type() {
            Arc::clone(given)
        } else {
            cast(given, field.data_type())?
        };
        if column.null_count() > given.null_count() {
            let reason = format!("the value does not fit {}", type_name(field.data_type()));
            self.all(field, |row| column.is_null(row) && given.is_valid(row), RecordFault::Range, &reason)?;
        }
        if !field.is_nullable() && given.null_count() > 0 {
            let reason = format!("expected {}, found null", type_name(field.data_type()));
            self.all(field, |row| given.is_null(row), RecordFault::Missing, &reason)?;
        }
        Ok(column)
    }

    /// Notes all rows of which `is_bad` holds.
    fn all(
        &mut self,
        field: &Field,
        is_bad: impl Fn(usize) -> bool,
        fault: RecordFault,
        reason: &str,
    ) -> Result<()> {
        for row in (0..self.rows.num_rows()).filter(|row| is_bad(*row)) {
            self.bad.push(BadRecord {
                record: self.first_record + row as u64,
                fault,
                field: Some(field.name().clone()),
                reason: reason.to_owned().into(),
                payload: row_as_json(self.rows, row)?.into(),
            });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{AsArray, Int32Array, Int64Array, StringArray};
    use arrow::datatypes::{DataType, Int32Type, Schema};

    use super::*;

    #[test]
    fn columns_are_matched_by_name_cast_or_null() {
        let given = RecordBatch::try_from_iter([
            ("b", Arc::new(Int64Array::from(vec![1, 2, 1 << 40])) as ArrayRef),
            ("a", Arc::new(StringArray::from(vec![Some("x"), None, Some("z")]))),
            ("unused", Arc::new(Int32Array::from(vec![0, 0, 0]))),
        ])
        .unwrap();
        let schema = Arc::new(Schema::new(vec![
            Field::new("a", DataType::Utf8, false),
            Field::new("b", DataType::Int32, false),
            Field::new("c", DataType::Utf8, true),
        ]));
        let (rows, bad) = conform(&given, &schema, 11).unwrap();
        assert_eq!(rows.num_rows(), 1);
        assert_eq!(rows.column(1).as_primitive::<Int32Type>().values(), &[1]);
        assert_eq!(rows.column(2).null_count(), 1);
        let told: Vec<_> =
            bad.iter().map(|bad| (bad.record, bad.fault, bad.field.as_deref().unwrap())).collect();
        assert_eq!(told, [(12, RecordFault::Missing, "a"), (13, RecordFault::Range, "b")]);
        assert_eq!(&bad[0].payload[..], br#"{"b":2,"a":null,"unused":0}"#);
    }
}
