//! A column of a stream gets another type while rows are there.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, TimeUnit};
use headwater_core::is_wider;
use headwater_functions::sql_type;

use crate::definition::StreamDef;
use crate::error::{Mistake, Result, SqlError, did_you_mean};
use crate::parse::names_in;
use crate::statement::ColumnChange;

const ANOTHER: &str = "create another stream and copy the rows with INSERT INTO ... SELECT";

/// Changes a column of a stream to a type that takes every value of the one before, or lets it be NULL; refuses all else.
pub(super) fn modify_column(stream: &mut StreamDef, change: &ColumnChange) -> Result<()> {
    let name = &change.name.value;
    check_role(stream, name)?;
    let place = stream.schema.index_of(name).map_err(|_| {
        let message = format!("stream '{}' has no column '{name}'", stream.name);
        let near = did_you_mean(name, stream.schema.fields().iter().map(|field| field.name().as_str()));
        SqlError::new(Mistake::UnknownColumn, message).hint_if(near)
    })?;
    let was = stream.schema.field(place);
    // What is in the key is not declared to be NULL or not by the way.
    let wanted = change.nullable.filter(|_| !stream.primary_key.contains(name));
    let nullable = wanted.unwrap_or(was.is_nullable());
    if was.is_nullable() && !nullable {
        let message = format!("'{name}' may be NULL and must stay so: rows that are there may have no value");
        return Err(SqlError::new(Mistake::Definition, message).hint("leave NOT NULL out"));
    }
    check_type(was, &change.kind)?;
    let mut fields: Vec<Arc<Field>> = stream.schema.fields().to_vec();
    fields[place] = Arc::new(was.clone().with_data_type(change.kind.clone()).with_nullable(nullable));
    stream.schema = Arc::new(Schema::new(fields));
    Ok(())
}

/// Refuses to change a column by which something else goes.
fn check_role(stream: &StreamDef, name: &str) -> Result<()> {
    let refuse = |message: String, hint: &str| Err(SqlError::new(Mistake::Definition, message).hint(hint));
    if stream.is_changelog() {
        return refuse(format!("'{}' holds changes, whose columns stay as they are", stream.name), ANOTHER);
    }
    if stream.is_computed(name) {
        return refuse(format!("'{name}' of '{}' is computed from others", stream.name), "CAST it in a view");
    }
    if stream.partition_by.iter().any(|column| column == name) {
        let why = "and the same value of another type may belong to another shard";
        return refuse(format!("'{}' is PARTITIONED BY '{name}', {why}", stream.name), ANOTHER);
    }
    match stream.computed.iter().find(|column| names_in(&column.expr).iter().any(|used| used == name)) {
        Some(column) => {
            refuse(format!("'{}' of '{}' is computed from '{name}'", column.name, stream.name), ANOTHER)
        }
        None => Ok(()),
    }
}

fn check_type(was: &Field, kind: &DataType) -> Result<()> {
    if was.data_type() == kind {
        return Ok(());
    }
    let refuse = |why: &str, hint: &str| {
        let (name, from, to) = (was.name(), sql_type(was.data_type()), sql_type(kind));
        let message = format!("'{name}' is {from} and cannot become {to}: {why}");
        Err(SqlError::new(Mistake::Type, message).hint(hint))
    };
    if !is_wider(was.data_type(), kind) {
        return refuse(
            "rows that are there may have values which that does not hold, or which it holds as others",
            "a wider type is taken: INT as BIGINT or DOUBLE, FLOAT as DOUBLE, DECIMAL(10, 2) as DECIMAL(12, 2), TIMESTAMP(3) as \
             TIMESTAMP(6); for another add a column, or CAST this one in a view",
        );
    }
    match kind {
        DataType::Timestamp(TimeUnit::Nanosecond, _) => refuse(
            "nanoseconds reach from 1677 to 2262 alone, and rows that are there may lie outside",
            "TIMESTAMP(6) reaches as far as anybody needs",
        ),
        _ => Ok(()),
    }
}
