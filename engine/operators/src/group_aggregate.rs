//! GROUP BY without a window: one row per key, changed with every step that touches it; or, if a key is a time,
//! said once when the watermark has passed it.

use std::sync::Arc;

use arrow::datatypes::{Field, Schema, SchemaRef};

use crate::aggregates::AggregateCall;
use crate::api::{Changes, Emission, Operator, OperatorSpec, Reach, StateBound};
use crate::closing::Closing;
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
    /// Whether rows of the input may be retracted. Costs memory for MIN, MAX, DISTINCT and all but the simplest
    /// functions.
    pub retractions: bool,
    /// When a group ends, if it does. Unless `revises` says otherwise, its row comes out at its end, and is never
    /// retracted.
    pub closes: Option<Closing>,
    /// Whether the rows of groups that end come out before, or are changed after it.
    pub revises: Option<Revises>,
    /// After how many nanoseconds of event time without a row a group that has no end is forgotten; what was said
    /// of it stays said.
    pub ttl: Option<i64>,
}

/// When the row of a group that ends comes out, if it may change. The group is forgotten at
/// [`GroupAggregate::closes`], and what was said of it stays said.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Revises {
    /// With every step that changes it.
    Always,
    /// So many nanoseconds before it is forgotten, and with every step that changes it after that.
    Late(i64),
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
        if let Some(closing) = what.closes
            && !what.keys.contains(&closing.column)
        {
            let reason = "groups that end with the watermark are by a time";
            return Err(OperatorError::unsupported("GroupAggregate", reason));
        }
        if what.closes.is_none() && what.revises.is_some() || what.closes.is_some() && what.ttl.is_some() {
            let reason = "groups are revised until they end, and those without an end may be forgotten";
            return Err(OperatorError::unsupported("GroupAggregate", reason));
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
        match (self.what.aggregates.is_empty(), self.what.closes.is_some()) {
            (true, false) => "Distinct",
            (true, true) => "ClosingDistinct",
            (false, false) => "GroupAggregate",
            (false, true) => "ClosingAggregate",
        }
    }

    fn describe(&self) -> String {
        let columns =
            crate::windows::describe_columns(&self.what.input, &self.what.keys, &self.what.aggregates);
        let length = |nanos: i64| std::time::Duration::from_nanos(nanos.unsigned_abs());
        match (self.what.revises, self.what.ttl) {
            (Some(Revises::Always), _) => format!("{columns}, emit=changes"),
            (Some(Revises::Late(lateness)), _) => format!("{columns}, lateness={:?}", length(lateness)),
            (None, Some(ttl)) => format!("{columns}, ttl={:?}", length(ttl)),
            (None, None) => columns,
        }
    }

    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn changes(&self) -> Changes {
        let what = &self.what;
        let says_once = what.closes.is_some() || what.aggregates.is_empty() && !what.retractions;
        if says_once && what.revises.is_none() {
            Changes::AppendOnly
        } else {
            Changes::Updating { key: self.keys() }
        }
    }

    fn emission(&self) -> Emission {
        Emission { order: self.keys() }
    }

    fn state_bound(&self) -> StateBound {
        if self.what.closes.is_some() || self.what.ttl.is_some() {
            return StateBound::Watermark;
        }
        let names = self.what.keys.iter().map(|key| self.what.input.field(*key).name().clone()).collect();
        if self.what.keys.is_empty() { StateBound::None } else { StateBound::Grows(names) }
    }

    fn reach(&self) -> Reach {
        Reach::History
    }

    fn instantiate(&self) -> Result<Box<dyn Operator>> {
        Ok(Box::new(GroupOperator::try_new(self.name(), &self.what, &self.schema)?))
    }
}
