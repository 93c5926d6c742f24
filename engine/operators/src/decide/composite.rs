//! A composite alarm: an expression over the states of other alarms, for each value of their dimensions.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use headwater_decide::composite::Expression;

use super::alarm::Report;
use super::composite_operator::{CompositeOperator, hand_over};
use super::history::{AT, DIMENSIONS, alarm_history_schema};
use super::orders::Order;
use crate::api::{Changes, Emission, Operator, OperatorSpec, Reach, StateBound, StateEntries};
use crate::error::Result;

/// A composite alarm. Each input is the history of one alarm, partitioned by `dimensions`.
#[derive(Clone, Debug)]
pub struct CompositeAlarmSpec {
    /// Its name.
    pub name: String,
    /// When it is on.
    pub expression: Expression,
    /// The names of the alarms that come in, in the order of the inputs.
    pub inputs: Vec<String>,
    /// What it says.
    pub report: Report,
}

impl OperatorSpec for CompositeAlarmSpec {
    fn name(&self) -> &'static str {
        "CompositeAlarm"
    }

    fn describe(&self) -> String {
        format!("{}: {} of ({})", self.name, self.expression, self.inputs.join(", "))
    }

    fn takes_orders_for(&self) -> Option<&str> {
        Some(&self.name)
    }

    fn hand_over(&self, entries: &StateEntries) -> Result<Vec<(String, Order)>> {
        hand_over(self, entries)
    }

    /// It is told what its alarms said, too.
    fn reach_when_told(&self) -> Option<Reach> {
        Some(Reach::Row)
    }

    fn schema(&self) -> SchemaRef {
        alarm_history_schema()
    }

    fn changes(&self) -> Changes {
        Changes::AppendOnly
    }

    fn emission(&self) -> Emission {
        Emission { order: vec![AT, DIMENSIONS] }
    }

    fn state_bound(&self) -> StateBound {
        StateBound::Grows(vec!["dimensions".to_owned()])
    }

    fn instantiate(&self) -> Result<Box<dyn Operator>> {
        Ok(Box::new(CompositeOperator::new(Arc::new(self.clone()))))
    }
}
