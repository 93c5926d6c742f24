//! The weight of a change in formats that know nothing of it: a row that does not say how often it is added is added once.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int64Array, RecordBatch};
use arrow::datatypes::{Int64Type, Schema, SchemaRef};

use crate::error::Result;

/// The last column of a stream of changes: how often its row is added or, below zero, retracted.
pub(crate) const WEIGHT: &str = "_weight";

/// The schema to decode rows of changes in: the weight may be missing.
pub(super) fn without_need(schema: &SchemaRef) -> SchemaRef {
    if !is_changelog(schema) {
        return Arc::clone(schema);
    }
    let mut fields = schema.fields().to_vec();
    if let Some(last) = fields.last_mut() {
        *last = Arc::new(last.as_ref().clone().with_nullable(true));
    }
    Arc::new(Schema::new(fields))
}

/// Gives the rows that have no weight the weight 1.
pub(crate) fn filled(rows: RecordBatch, schema: &SchemaRef) -> Result<RecordBatch> {
    if !is_changelog(schema) || rows.schema_ref() == schema {
        return Ok(rows);
    }
    let place = rows.schema_ref().index_of(WEIGHT).ok();
    let given = place.and_then(|place| rows.column(place).as_primitive_opt::<Int64Type>());
    let weight = |row: usize| match given {
        Some(weights) if weights.is_valid(row) => weights.value(row),
        _ => 1,
    };
    if place.is_some() && given.is_none() {
        // Of another type: whether it fits is for others to say.
        return Ok(rows);
    }
    let weights: ArrayRef = Arc::new(Int64Array::from_iter_values((0..rows.num_rows()).map(weight)));
    let mut columns = rows.columns().to_vec();
    let mut fields = rows.schema_ref().fields().to_vec();
    let field = Arc::new(arrow::datatypes::Field::new(WEIGHT, weights.data_type().clone(), false));
    match place {
        Some(place) => (columns[place], fields[place]) = (weights, field),
        None => {
            columns.push(weights);
            fields.push(field);
        }
    }
    Ok(RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)?)
}

fn is_changelog(schema: &SchemaRef) -> bool {
    schema.fields().last().is_some_and(|field| field.name() == WEIGHT)
}
