//! GROUP BY without a window: one row per key, changed with every step that touches it.

use std::sync::Arc;

use arrow::datatypes::{Field, Schema, SchemaRef};

use crate::aggregates::AggregateCall;
use crate::api::{Changes, Emission, Operator, OperatorSpec, StateBound};
use crate::error::{OperatorError, Result};
use crate::group_operator::GroupOperator;

/// What an aggregation without windows is. The columns that come out: the keys, then the aggregates.
#[derive(Clone, Debug)]
pub struct GroupAggregate {
    /// The rows that come in.
    pub input: SchemaRef,
    /// The input columns that rows are grouped by; none: all rows are one group.
    pub keys: Vec<usize>,
    /// What is computed; none: the distinct keys.
    pub aggregates: Vec<AggregateCall>,
    /// Whether rows of the input may be retracted. Costs memory for MIN, MAX, DISTINCT and all but the simplest functions.
    pub retractions: bool,
}

/// Aggregates without windows, updating.
#[derive(Clone, Debug)]
pub struct GroupAggregateSpec {
    what: Arc<GroupAggregate>,
    schema: SchemaRef,
}

impl GroupAggregateSpec {
    /// Checks columns and functions.
    pub fn try_new(what: GroupAggregate) -> Result<Self> {
        let missing = |key| OperatorError::unsupported("GroupAggregate", format!("there is no column {key}"));
        let mut fields = Vec::<Field>::new();
        for key in &what.keys {
            let field = what.input.fields().get(*key).ok_or_else(|| missing(*key))?;
            fields.push(field.as_ref().clone());
        }
        fields.extend(what.aggregates.iter().map(|call| call.field().as_ref().clone()));
        let schema = Arc::new(Schema::new(fields));
        Ok(Self { what: Arc::new(what), schema })
    }

    fn keys(&self) -> Vec<usize> {
        (0..self.what.keys.len()).collect()
    }
}

impl OperatorSpec for GroupAggregateSpec {
    fn name(&self) -> &'static str {
        if self.what.aggregates.is_empty() { "Distinct" } else { "GroupAggregate" }
    }

    fn describe(&self) -> String {
        crate::windows::describe_columns(&self.what.input, &self.what.keys, &self.what.aggregates)
    }

    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn changes(&self) -> Changes {
        if self.what.aggregates.is_empty() && !self.what.retractions {
            Changes::AppendOnly
        } else {
            Changes::Updating { key: self.keys() }
        }
    }

    fn emission(&self) -> Emission {
        Emission { order: self.keys() }
    }

    fn state_bound(&self) -> StateBound {
        let names = self.what.keys.iter().map(|key| self.what.input.field(*key).name().clone()).collect();
        if self.what.keys.is_empty() { StateBound::None } else { StateBound::Grows(names) }
    }

    fn instantiate(&self) -> Result<Box<dyn Operator>> {
        Ok(Box::new(GroupOperator::try_new(self.name(), &self.what, &self.schema)?))
    }
}
