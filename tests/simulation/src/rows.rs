//! Rows that can be checked: everything in them follows from their number.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, Int64Array, RecordBatch, StringArray, TimestampNanosecondArray,
};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef, TimeUnit, TimestampNanosecondType};

use crate::model::Row;

/// The columns of a stream that was not evolved: number, time, text.
const FIRST_COLUMNS: usize = 3;

/// The schema with so many columns added.
pub fn schema(added: usize) -> SchemaRef {
    let mut fields = vec![
        Field::new("number", DataType::Int64, false),
        Field::new("at", DataType::Timestamp(TimeUnit::Nanosecond, None), false),
        Field::new("text", DataType::Utf8, true),
    ];
    fields.extend((0..added).map(|n| Field::new(format!("added_{n}"), DataType::Int64, true)));
    Arc::new(Schema::new(fields))
}

/// Rows with the columns of a schema made by [`schema`].
pub fn make(rows: Range<Row>, schema: &SchemaRef) -> RecordBatch {
    let columns = (0..schema.fields().len()).map(|column| -> ArrayRef {
        match column {
            0 => Arc::new(Int64Array::from_iter_values(rows.clone().map(Row::cast_signed))),
            1 => Arc::new(TimestampNanosecondArray::from_iter_values(rows.clone().map(time))),
            2 => Arc::new(rows.clone().map(text).collect::<StringArray>()),
            _ => Arc::new(rows.clone().map(|row| added(row, column)).collect::<Int64Array>()),
        }
    });
    RecordBatch::try_new(Arc::clone(schema), columns.collect()).expect("the columns are those of the schema")
}

fn time(row: Row) -> i64 {
    row.cast_signed() * 1_000_000_007
}

/// Some have none, some are empty, some fill pages.
fn text(row: Row) -> Option<String> {
    match row % 7 {
        0 => None,
        1 => Some(String::new()),
        2 => Some("rain ".repeat((row % 97) as usize)),
        _ => Some(format!("row {row}")),
    }
}

fn added(row: Row, column: usize) -> Option<i64> {
    (!row.is_multiple_of(3)).then(|| row.cast_signed() * column as i64)
}

/// The numbers of rows that were read with some columns, `number` first; the other columns must follow from it.
pub fn check(batch: &RecordBatch, projection: &[usize]) -> Result<Vec<Row>, String> {
    if projection.first() != Some(&0) || batch.num_columns() != projection.len() {
        return Err(format!("{} columns came for {projection:?}", batch.num_columns()));
    }
    let numbers = batch.column(0).as_primitive::<Int64Type>();
    let rows: Vec<Row> = numbers.values().iter().map(|number| number.cast_unsigned()).collect();
    for (array, &column) in batch.columns().iter().zip(projection).skip(1) {
        for (index, &row) in rows.iter().enumerate() {
            if !holds(array, index, row, column) {
                return Err(format!("row {row}: column {column} is wrong: {:?}", array.slice(index, 1)));
            }
        }
    }
    Ok(rows)
}

fn holds(array: &ArrayRef, index: usize, row: Row, column: usize) -> bool {
    let is_null = array.is_null(index);
    match column {
        1 => array.as_primitive::<TimestampNanosecondType>().value(index) == time(row),
        2 => (!is_null).then(|| array.as_string::<i32>().value(index).to_owned()) == text(row),
        // A row that was written before the column was added has none.
        _ => is_null || Some(array.as_primitive::<Int64Type>().value(index)) == added(row, column),
    }
}

/// How many columns were added to a schema.
pub fn added_columns(schema: &Schema) -> usize {
    schema.fields().len() - FIRST_COLUMNS
}

#[test]
fn rows_are_checked_by_their_number() {
    let rows = make(100..150, &schema(1));
    assert_eq!(check(&rows, &[0, 1, 2, 3]), Ok((100..150).collect()));
    let other = make(101..151, &schema(1));
    for column in 1..4 {
        let swapped = RecordBatch::try_from_iter([
            ("number", Arc::clone(rows.column(0))),
            ("other", Arc::clone(other.column(column))),
        ]);
        assert!(check(&swapped.unwrap(), &[0, column]).is_err(), "column {column}");
    }
}
