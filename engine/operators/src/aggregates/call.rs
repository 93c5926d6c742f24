//! A call of an aggregate function in a query.

use std::sync::Arc;

use arrow::datatypes::FieldRef;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::aggregate::AggregateFunctionExpr;

use crate::error::Result;

/// A call of an aggregate function, such as `sum(price) FILTER (WHERE open)`.
///
/// Made from what DataFusion's `create_aggregate_expr_and_maybe_filter` gives for a logical expression.
#[derive(Clone, Debug)]
pub struct AggregateCall {
    function: Arc<AggregateFunctionExpr>,
    filter: Option<Arc<dyn PhysicalExpr>>,
}

impl AggregateCall {
    /// A call of a function, with its arguments, DISTINCT and ORDER BY, and of its FILTER.
    pub fn try_new(
        function: Arc<AggregateFunctionExpr>,
        filter: Option<Arc<dyn PhysicalExpr>>,
    ) -> Result<Self> {
        Ok(Self { function, filter })
    }

    /// The function with its arguments.
    pub fn function(&self) -> &AggregateFunctionExpr {
        &self.function
    }

    /// What its FILTER says.
    pub fn filter(&self) -> Option<&Arc<dyn PhysicalExpr>> {
        self.filter.as_ref()
    }

    /// What the result's column is called unless the query says otherwise.
    pub fn name(&self) -> &str {
        self.function.name()
    }

    /// The result's column.
    pub fn field(&self) -> FieldRef {
        self.function.field()
    }

    /// The call as EXPLAIN shows it.
    pub fn describe(&self) -> String {
        let text = self.function.human_display().unwrap_or(self.function.name());
        match &self.filter {
            Some(filter) if !text.contains("FILTER") => format!("{text} FILTER (WHERE {filter})"),
            _ => text.to_owned(),
        }
    }
}
