//! `PI` without parentheses, where there is no column of that name.

use std::ops::ControlFlow;

use datafusion::common::{Result, SchemaError};
use datafusion::error::DataFusionError;
use datafusion::logical_expr::LogicalPlan;
use datafusion::sql::sqlparser::ast::{Expr, Ident, Query};

use crate::parse::call;
use crate::walk::{expressions, expressions_mut};

const PI: &str = "pi";

/// The plan of a query; if it fails as there is no such column, that of the query with the number in its place.
pub(crate) fn with_constants(
    mut query: Query,
    plan: &dyn Fn(Query) -> Result<LogicalPlan>,
) -> Result<LogicalPlan> {
    let mentions = expressions(&query, |expr| match is_pi(expr) {
        true => ControlFlow::Break(()),
        false => ControlFlow::Continue(()),
    });
    if mentions.is_continue() {
        return plan(query);
    }
    let error = match plan(query.clone()) {
        Err(error) if lacks_pi(&error) => error,
        other => return other,
    };
    let _ = expressions_mut(&mut query, |expr| {
        if is_pi(expr) {
            *expr = call(Ident::new(PI), Vec::new());
        }
        ControlFlow::<()>::Continue(())
    });
    plan(query).map_err(|_| error)
}

fn is_pi(expr: &Expr) -> bool {
    matches!(expr, Expr::Identifier(ident) if ident.quote_style.is_none() && ident.value.eq_ignore_ascii_case(PI))
}

fn lacks_pi(error: &DataFusionError) -> bool {
    match error.find_root() {
        DataFusionError::SchemaError(error, _) => {
            matches!(&**error, SchemaError::FieldNotFound { field, .. } if field.name == PI && field.relation.is_none())
        }
        _ => false,
    }
}
