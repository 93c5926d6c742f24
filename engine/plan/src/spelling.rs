//! Names that differ from those of columns in capital letters alone: Flink has no difference between names with quotes and without, so that
//! a column which was declared as `` `userId` `` is `userId` in one query and `` `userId` `` in another.

use std::ops::ControlFlow;

use datafusion::common::{Result, SchemaError};
use datafusion::error::DataFusionError;
use datafusion::logical_expr::LogicalPlan;
use datafusion::sql::sqlparser::ast::{Expr, Ident, Query};

use crate::parse::normal;
use crate::walk::expressions_mut;

/// More names than a query will have in another spelling.
const NAMES_MAX: usize = 100;

/// The plan of a query; while it fails as there is no column of a name, and there is one that is called so but for capital letters, that of
/// the query with the column's own name.
pub(crate) fn with_spelling(
    mut query: Query,
    plan: &dyn Fn(Query) -> Result<LogicalPlan>,
) -> Result<LogicalPlan> {
    for _ in 0..NAMES_MAX {
        let error = match plan(query.clone()) {
            Err(error) => error,
            planned => return planned,
        };
        let changed = respelled(&error).is_some_and(|(name, column)| respell(&mut query, &name, &column));
        if !changed {
            return Err(error);
        }
    }
    plan(query)
}

/// The name that no column has, and the only one in its place that differs in capital letters alone.
fn respelled(error: &DataFusionError) -> Option<(String, String)> {
    let DataFusionError::SchemaError(error, _) = error.find_root() else { return None };
    let SchemaError::FieldNotFound { field, valid_fields } = error.as_ref() else { return None };
    let wanted = field.name.to_lowercase();
    let mut alike: Vec<&str> = valid_fields.iter().map(|column| column.name.as_str()).collect();
    alike.retain(|name| name.to_lowercase() == wanted);
    alike.sort_unstable();
    alike.dedup();
    match alike.as_slice() {
        [column] if *column != field.name => Some((field.name.clone(), (*column).to_owned())),
        _ => None,
    }
}

/// Calls what has a name by another; whether there is any.
fn respell(query: &mut Query, name: &str, column: &str) -> bool {
    let mut is_found = false;
    let _ = expressions_mut(query, |expr| {
        let ident = match expr {
            Expr::Identifier(ident) => Some(ident),
            Expr::CompoundIdentifier(parts) => parts.last_mut(),
            _ => None,
        };
        if let Some(ident) = ident.filter(|ident| normal(ident) == name) {
            *ident = Ident { span: ident.span, ..Ident::with_quote('"', column) };
            is_found = true;
        }
        ControlFlow::<()>::Continue(())
    });
    is_found
}
