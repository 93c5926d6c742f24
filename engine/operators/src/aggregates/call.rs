//! A call of an aggregate function in a query.

use std::sync::Arc;

use arrow::datatypes::{DataType, FieldRef, Schema};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::aggregate::AggregateFunctionExpr;
use datafusion::physical_expr::expressions::Literal;

use super::Aggregator;
use super::arrivals::Arrivals;
use super::basic::{BoolFold, Count};
use super::distinct::Distinct;
use super::extreme::extreme;
use super::fallback::{Fallback, Feeder};
use super::first_last::FirstLast;
use super::multiset::Multiset;
use super::sum::sum;
use super::variance::Variance;
use crate::error::Result;
use crate::sequences::SequenceFunction;

/// A call of an aggregate function, such as `sum(price) FILTER (WHERE open)`.
///
/// Made from what DataFusion's `create_aggregate_expr_and_maybe_filter` gives for a logical expression.
#[derive(Clone, Debug)]
pub struct AggregateCall {
    function: Arc<AggregateFunctionExpr>,
    filter: Option<Arc<dyn PhysicalExpr>>,
    /// The arguments, then what they are ordered by.
    inputs: Vec<Arc<dyn PhysicalExpr>>,
}

impl AggregateCall {
    /// A call of a function, with its arguments, DISTINCT and ORDER BY, and of its FILTER.
    pub fn try_new(
        function: Arc<AggregateFunctionExpr>,
        filter: Option<Arc<dyn PhysicalExpr>>,
    ) -> Result<Self> {
        let mut inputs = function.expressions();
        inputs.extend(function.order_bys().iter().map(|order| Arc::clone(&order.expr)));
        if !function.is_distinct() && function.fun().name() == "count" && all_literals(&inputs) {
            // COUNT(*) is COUNT(1): nothing to evaluate.
            inputs.clear();
        }
        Ok(Self { function, filter, inputs })
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

    /// What must be evaluated for each row.
    pub(crate) fn inputs(&self) -> &[Arc<dyn PhysicalExpr>] {
        &self.inputs
    }

    /// Whether the result is how many rows a group has.
    pub(super) fn counts_rows(&self) -> bool {
        let counts = self.function.fun().name() == "count" && !self.function.is_distinct();
        counts && self.inputs.is_empty() && self.filter.is_none()
    }

    /// State for the groups of an operator whose rows are of schema `input`. Rows can be retracted only if `retractions`
    /// says so.
    pub(super) fn aggregator(&self, input: &Schema, retractions: bool) -> Result<Box<dyn Aggregator>> {
        let types = self.inputs.iter().map(|expr| Ok(expr.data_type(input)?)).collect::<Result<Vec<_>>>()?;
        let feeder = || Feeder::try_new(&self.function, types.clone(), input);
        let distinct = self.function.is_distinct();
        let native = if distinct { None } else { self.linear(&types) };
        match (native, retractions) {
            (Some(native), _) => Ok(native),
            (None, true) => match self.by_arrival(&types)? {
                Some(native) => Ok(native),
                None => Ok(Box::new(Multiset::try_new(feeder()?, distinct)?)),
            },
            (None, false) if distinct => Ok(Box::new(Distinct::try_new(feeder()?)?)),
            (None, false) => match self.monotone(&types)? {
                Some(native) => Ok(native),
                None => Ok(Box::new(Fallback::new(feeder()?))),
            },
        }
    }

    /// Functions from which a row can be taken away again.
    fn linear(&self, types: &[DataType]) -> Option<Box<dyn Aggregator>> {
        match (self.function.fun().name(), types) {
            ("count", [] | [_]) => Some(Box::new(Count::default())),
            ("sum", [kind]) => sum(kind, false),
            ("avg", [DataType::Float64]) => sum(&DataType::Float64, true),
            _ => None,
        }
    }

    /// Functions that go by the order in which rows come, over rows that may be retracted.
    fn by_arrival(&self, types: &[DataType]) -> Result<Option<Box<dyn Aggregator>>> {
        let function = &self.function;
        Ok(match (function.fun().name(), types) {
            (name @ ("first_value" | "last_value"), [kind]) => {
                let (last, ignore_nulls) = (name == "last_value", function.ignore_nulls());
                Some(Box::new(Arrivals::try_new(kind.clone(), last, ignore_nulls, function.is_distinct())?))
            }
            _ => None,
        })
    }

    /// Functions to which rows can only be added.
    fn monotone(&self, types: &[DataType]) -> Result<Option<Box<dyn Aggregator>>> {
        let function = &self.function;
        if let Some(sequences) = function.fun().inner().downcast_ref::<SequenceFunction>() {
            return Ok(Some(sequences.aggregator(types)?));
        }
        let native: Option<Box<dyn Aggregator>> = match (function.fun().name(), types) {
            ("min", [kind]) => extreme(kind, false),
            ("max", [kind]) => extreme(kind, true),
            ("bool_and", [DataType::Boolean]) => Some(Box::new(BoolFold::new(true))),
            ("bool_or", [DataType::Boolean]) => Some(Box::new(BoolFold::new(false))),
            (name @ ("first_value" | "last_value"), [kind, orders @ ..]) => {
                let options = function.order_bys().iter().map(|order| order.options);
                let orders = orders.iter().cloned().zip(options).collect();
                let last = name == "last_value";
                Some(Box::new(FirstLast::try_new(kind.clone(), orders, last, function.ignore_nulls())?))
            }
            (name @ ("var" | "var_pop" | "stddev" | "stddev_pop"), [DataType::Float64]) => {
                Some(Box::new(Variance::new(name.ends_with("_pop"), name.starts_with("stddev"))))
            }
            _ => None,
        };
        Ok(native)
    }
}

fn all_literals(inputs: &[Arc<dyn PhysicalExpr>]) -> bool {
    inputs.iter().all(|expr| expr.downcast_ref::<Literal>().is_some_and(|literal| !literal.value().is_null()))
}
