//! Aggregates over windows whose bounds do not depend on the rows: in one phase, or the second of two.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;

use super::kind::WindowKind;
use super::operator::{FinalOperator, WindowOperator};

use super::layout::{OutputColumn, PerKey, describe_columns, window_order, window_schema};
use crate::aggregates::AggregateCall;
use crate::api::{Changes, Emission, Operator, OperatorSpec, Reach, StateBound};
use crate::error::{OperatorError, Result};

/// What a windowed aggregation is: the same for one phase and for two.
#[derive(Clone, Debug)]
pub struct WindowAggregate {
    /// Where the windows lie.
    pub kind: WindowKind,
    /// The rows that come in (in two phases: into the first).
    pub input: SchemaRef,
    /// The input column that says when a row happened: a timestamp of any unit.
    pub time: usize,
    /// The input columns that rows are grouped by, besides the window.
    pub keys: Vec<usize>,
    /// What is computed, over the input's columns.
    pub aggregates: Vec<AggregateCall>,
    /// The columns that come out.
    pub output: Vec<OutputColumn>,
    /// A timeline per key instead of the shards' clocks; in one phase only.
    pub per_key: Option<PerKey>,
}

/// Aggregates over windows in one phase, from rows.
#[derive(Clone, Debug)]
pub struct WindowAggregateSpec {
    what: Arc<WindowAggregate>,
    schema: SchemaRef,
}

impl WindowAggregateSpec {
    /// Checks sizes, columns and types.
    pub fn try_new(what: WindowAggregate) -> Result<Self> {
        let schema = what.check()?;
        Ok(Self { what: Arc::new(what), schema })
    }
}

impl OperatorSpec for WindowAggregateSpec {
    fn name(&self) -> &'static str {
        match self.what.kind {
            WindowKind::Tumble { .. } => "TumbleAggregate",
            WindowKind::Hop { .. } => "HopAggregate",
            WindowKind::Cumulate { .. } => "CumulateAggregate",
        }
    }

    fn describe(&self) -> String {
        self.what.describe()
    }

    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn changes(&self) -> Changes {
        Changes::AppendOnly
    }

    fn emission(&self) -> Emission {
        self.what.emission()
    }

    fn state_bound(&self) -> StateBound {
        match &self.what.per_key {
            None => StateBound::Watermark,
            Some(_) => StateBound::Grows(self.what.key_names()),
        }
    }

    fn reach(&self) -> Reach {
        Reach::Within(self.what.kind.size())
    }

    fn instantiate(&self) -> Result<Box<dyn Operator>> {
        Ok(Box::new(WindowOperator::try_new(self.name(), &self.what, &self.schema)?))
    }
}

/// The second phase: merges what [`super::WindowPartialSpec`] has added up, and closes windows.
#[derive(Clone, Debug)]
pub struct WindowFinalSpec {
    what: Arc<WindowAggregate>,
    schema: SchemaRef,
}

impl WindowFinalSpec {
    /// Checks sizes, columns and types. `what` is the same as the first phase's.
    pub fn try_new(what: WindowAggregate) -> Result<Self> {
        let schema = what.check()?;
        what.check_two_phases()?;
        Ok(Self { what: Arc::new(what), schema })
    }
}

impl OperatorSpec for WindowFinalSpec {
    fn name(&self) -> &'static str {
        match self.what.kind {
            WindowKind::Tumble { .. } => "TumbleFinal",
            WindowKind::Hop { .. } => "HopFinal",
            WindowKind::Cumulate { .. } => "CumulateFinal",
        }
    }

    fn describe(&self) -> String {
        self.what.describe()
    }

    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn changes(&self) -> Changes {
        Changes::AppendOnly
    }

    fn emission(&self) -> Emission {
        self.what.emission()
    }

    fn state_bound(&self) -> StateBound {
        StateBound::Watermark
    }

    fn reach(&self) -> Reach {
        Reach::Within(self.what.kind.size())
    }

    fn instantiate(&self) -> Result<Box<dyn Operator>> {
        Ok(Box::new(FinalOperator(WindowOperator::try_new(self.name(), &self.what, &self.schema)?)))
    }
}

impl WindowAggregate {
    /// The schema of the output, if all fits.
    pub(super) fn check(&self) -> Result<SchemaRef> {
        self.kind.check()?;
        window_schema(&self.input, self.time, &self.keys, &self.aggregates, &self.output, self.kind.name())
    }

    pub(super) fn check_two_phases(&self) -> Result<()> {
        match self.per_key {
            Some(_) => Err(OperatorError::unsupported(
                self.kind.name(),
                "a timeline per key needs the rows themselves, so one phase",
            )),
            None => Ok(()),
        }
    }

    pub(super) fn describe(&self) -> String {
        let columns = describe_columns(&self.input, &self.keys, &self.aggregates);
        let timeline = if self.per_key.is_some() { ", timeline per key" } else { "" };
        format!("{}, time={}, {columns}{timeline}", self.kind, self.input.field(self.time).name())
    }

    fn emission(&self) -> Emission {
        Emission { order: window_order(self.keys.len(), &self.output) }
    }

    fn key_names(&self) -> Vec<String> {
        self.keys.iter().map(|key| self.input.field(*key).name().clone()).collect()
    }
}
