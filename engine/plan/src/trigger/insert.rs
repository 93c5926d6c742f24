//! `EXECUTE INSERT INTO`: for each column of the target an expression over a firing's columns.

use std::sync::Arc;

use arrow::compute::can_cast_types;
use arrow::datatypes::{FieldRef, SchemaRef};
use datafusion::common::ScalarValue;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::{CastExpr, Literal};
use headwater_functions::sql_type;

use super::columns::column;
use super::definition::Condition;
use super::flow::Expressions;
use crate::definition::StreamDef;
use crate::error::{Mistake, Result, SqlError, did_you_mean};
use crate::stream::assignable;
type Expr = Arc<dyn PhysicalExpr>;

/// The target's columns: from the values, or from the firing's columns of the same names.
pub(super) fn fill(
    firing: &SchemaRef,
    target: &StreamDef,
    columns: &[String],
    values: &[Condition],
    expressions: &Expressions<'_>,
) -> Result<Vec<Expr>> {
    let fields = target.schema.fields();
    let mut filled: Vec<Option<Expr>> = vec![None; fields.len()];
    if values.is_empty() {
        for (nth, field) in fields.iter().enumerate() {
            if let Ok(from) = firing.index_of(field.name()) {
                filled[nth] = Some(fit(column(firing, from), firing, field, target)?);
            }
        }
        if filled.iter().all(Option::is_none) {
            let names: Vec<_> = firing.fields().iter().map(|field| field.name().as_str()).collect();
            let message = format!("no column of '{}' has the name of a firing's column", target.name);
            return Err(SqlError::new(Mistake::TargetColumns, message)
                .hint(format!("a firing has {}; or say VALUES (...)", names.join(", "))));
        }
    } else {
        let places = places(target, columns, values.len())?;
        for (place, value) in places.into_iter().zip(values) {
            let expr = expressions.physical((*value.ast).clone(), value)?;
            let fitted = fit(expr, firing, &fields[place], target);
            filled[place] = Some(fitted.map_err(|error| error.at(value.position, &value.script))?);
        }
    }
    filled.into_iter().zip(fields).map(|(expr, field)| or_null(expr, field, target)).collect()
}

fn places(target: &StreamDef, columns: &[String], values: usize) -> Result<Vec<usize>> {
    let own: Vec<&str> = target.schema.fields().iter().map(|field| field.name().as_str()).collect();
    let places: Vec<usize> = if columns.is_empty() {
        (0..own.len()).collect()
    } else {
        let place = |name: &String| {
            own.iter().position(|known| known == name).ok_or_else(|| {
                let message = format!("'{}' has no column '{name}'", target.name);
                SqlError::new(Mistake::UnknownColumn, message)
                    .hint_if(did_you_mean(name, own.iter().copied()))
            })
        };
        columns.iter().map(place).collect::<Result<_>>()?
    };
    if places.len() != values {
        let message = format!("{} columns of '{}' get {values} values", places.len(), target.name);
        return Err(SqlError::new(Mistake::TargetColumns, message));
    }
    Ok(places)
}

fn fit(expr: Expr, firing: &SchemaRef, field: &FieldRef, target: &StreamDef) -> Result<Expr> {
    let wanted = field.data_type();
    let found = expr.data_type(firing).map_err(|error| SqlError::new(Mistake::Type, error.to_string()))?;
    if found == *wanted {
        return Ok(expr);
    }
    let is_literal = expr.is::<Literal>() && can_cast_types(&found, wanted);
    if !is_literal && !assignable(&found, wanted) {
        let message = format!(
            "{} does not fit '{}' of '{}', which is {}",
            sql_type(&found),
            field.name(),
            target.name,
            sql_type(wanted)
        );
        return Err(SqlError::new(Mistake::TargetColumns, message).hint("CAST(... AS ...)"));
    }
    Ok(Arc::new(CastExpr::new(expr, wanted.clone(), None)))
}

fn or_null(expr: Option<Expr>, field: &FieldRef, target: &StreamDef) -> Result<Expr> {
    match expr {
        Some(expr) => Ok(expr),
        None if field.is_nullable() => {
            let null = ScalarValue::try_from(field.data_type());
            let null = null.map_err(|error| SqlError::new(Mistake::Type, error.to_string()))?;
            Ok(Arc::new(Literal::new(null)))
        }
        None => Err(SqlError::new(
            Mistake::TargetColumns,
            format!("'{}' is NOT NULL in '{}', but is not filled", field.name(), target.name),
        )),
    }
}
