//! Session windows: a key's rows that follow each other within a gap.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;

use super::layout::{OutputColumn, PerKey, WindowColumn, describe_columns, window_order, window_schema};
use super::session_operator::SessionOperator;
use crate::aggregates::AggregateCall;
use crate::api::{Changes, Emission, Operator, OperatorSpec, StateBound};
use crate::error::{OperatorError, Result};

/// What an aggregation over sessions is.
#[derive(Clone, Debug)]
pub struct SessionAggregate {
    /// How long nothing must happen for a session to end, in nanoseconds. A session is `[first, last + gap)`.
    pub gap: i64,
    /// The rows that come in.
    pub input: SchemaRef,
    /// The input column that says when a row happened: a timestamp of any unit.
    pub time: usize,
    /// The input columns whose values have sessions of their own.
    pub keys: Vec<usize>,
    /// What is computed.
    pub aggregates: Vec<AggregateCall>,
    /// The columns that come out.
    pub output: Vec<OutputColumn>,
    /// A timeline per key instead of the shards' clocks.
    pub per_key: Option<PerKey>,
    /// Whether a session comes out with every step that changes it, and not at its end.
    pub early: bool,
    /// How long after its end a session takes rows, in nanoseconds. It changes with them, so that it comes out early.
    pub lateness: i64,
}

/// Aggregates over sessions.
#[derive(Clone, Debug)]
pub struct SessionAggregateSpec {
    what: Arc<SessionAggregate>,
    schema: SchemaRef,
}

impl SessionAggregateSpec {
    /// Checks the gap, columns and types.
    pub fn try_new(what: SessionAggregate) -> Result<Self> {
        if what.gap <= 0 {
            return Err(OperatorError::unsupported(
                "SESSION",
                format!("gap {} ns is not positive", what.gap),
            ));
        }
        if what.lateness < 0 || what.lateness > 0 && !what.early {
            let reason = "a session that has come out at its end does not change any more";
            return Err(OperatorError::unsupported("SESSION", reason));
        }
        let schema =
            window_schema(&what.input, what.time, &what.keys, &what.aggregates, &what.output, "SESSION")?;
        Ok(Self { what: Arc::new(what), schema })
    }
}

impl OperatorSpec for SessionAggregateSpec {
    fn name(&self) -> &'static str {
        "SessionAggregate"
    }

    fn describe(&self) -> String {
        let what = &self.what;
        let columns = describe_columns(&what.input, &what.keys, &what.aggregates);
        let timeline = if what.per_key.is_some() { ", timeline per key" } else { "" };
        let gap = std::time::Duration::from_nanos(what.gap.unsigned_abs());
        let early = if what.early { ", emit=changes" } else { "" };
        let lateness = match what.lateness {
            0 => String::new(),
            nanos => format!(", lateness={:?}", std::time::Duration::from_nanos(nanos.unsigned_abs())),
        };
        format!(
            "gap={gap:?}, time={}, {columns}{timeline}{early}{lateness}",
            what.input.field(what.time).name()
        )
    }

    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn changes(&self) -> Changes {
        let what = &self.what;
        if !what.early {
            return Changes::AppendOnly;
        }
        // A key's sessions lie apart, so that either bound tells them from each other.
        let place = |wanted: WindowColumn| what.output.iter().position(|column| column.from == wanted);
        let bounds = [WindowColumn::Start, WindowColumn::End, WindowColumn::Time];
        let bound = bounds.into_iter().find_map(place);
        let keys = (0..what.keys.len()).map(|key| place(WindowColumn::Key(key)));
        match keys.chain([bound]).collect() {
            Some(key) => Changes::Updating { key },
            None => Changes::Retracting,
        }
    }

    fn emission(&self) -> Emission {
        Emission { order: window_order(self.what.keys.len(), &self.what.output) }
    }

    fn state_bound(&self) -> StateBound {
        let names = self.what.keys.iter().map(|key| self.what.input.field(*key).name().clone());
        match &self.what.per_key {
            None => StateBound::Watermark,
            Some(_) => StateBound::Grows(names.collect()),
        }
    }

    fn instantiate(&self) -> Result<Box<dyn Operator>> {
        Ok(Box::new(SessionOperator::try_new(&self.what, &self.schema)?))
    }
}
