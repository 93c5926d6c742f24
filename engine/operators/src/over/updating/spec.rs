//! What an OVER is whose rows change, or are not in the order of event time.
//!
//! Rows that are equal in what they are ordered by are ordered by all their columns, so that the result is a function of the rows alone
//! and not of the order in which they came. Rows that are equal in all columns count one by one.

use std::sync::Arc;
use std::time::Duration;

use arrow::compute::SortOptions;
use arrow::datatypes::{Schema, SchemaRef};

use super::operator::UpdatingOverOperator;
use super::rows::has_lengths;
use crate::api::{Changes, Operator, OperatorSpec, Reach, StateBound};
use crate::error::{OperatorError, Result};
use crate::over::frame::{Frame, FrameBound};
use crate::over::spec::{OverCall, OverFunction};

/// What an OVER is. The columns that come out: the input's, then one for each call.
#[derive(Clone, Debug)]
pub struct UpdatingOver {
    /// The rows that come in.
    pub input: SchemaRef,
    /// The columns whose values are a partition each; none: there is one partition.
    pub partition: Vec<usize>,
    /// What rows are ordered by; nothing: all rows of a partition are peers.
    pub order: Vec<(usize, SortOptions)>,
    /// The frames that calls are over. Both ends may be [`FrameBound::Unbounded`]; the length of a [`FrameBound::Range`] is in
    /// nanoseconds of a time, else in the numbers of the column.
    pub frames: Vec<Frame>,
    /// What is computed.
    pub calls: Vec<OverCall>,
    /// How the input's rows change.
    pub changes: Changes,
    /// After how many nanoseconds of event time in which no row has come into it a partition is forgotten; what was said of it stays
    /// said.
    pub ttl: Option<i64>,
}

impl UpdatingOver {
    /// Whether a frame has a length.
    pub(super) fn is_measured(&self) -> bool {
        let has_length = |bound: FrameBound| matches!(bound, FrameBound::Range(_));
        self.frames.iter().any(|frame| has_length(frame.start) || has_length(frame.end))
    }

    /// Whether different values of the order are counted.
    pub(super) fn is_dense(&self) -> bool {
        self.calls.iter().any(|call| matches!(call.function, OverFunction::DenseRank))
    }

    /// The columns that the calls give.
    pub(super) fn results(&self) -> SchemaRef {
        Arc::new(Schema::new(self.calls.iter().map(|call| Arc::clone(&call.field)).collect::<Vec<_>>()))
    }
}

/// Computes functions over the rows around each row, and anew whenever these change.
#[derive(Clone, Debug)]
pub struct UpdatingOverSpec {
    what: Arc<UpdatingOver>,
    schema: SchemaRef,
}

impl UpdatingOverSpec {
    /// Checks columns and frames.
    pub fn try_new(what: UpdatingOver) -> Result<Self> {
        let wrong = |reason: String| Err(OperatorError::unsupported("UpdatingOver", reason));
        let used = what.calls.iter().filter_map(|call| match call.function {
            OverFunction::Shift { column, .. } | OverFunction::Value { column, .. } => Some(column),
            _ => None,
        });
        let ordered = what.order.iter().map(|(column, _)| *column);
        let columns = what.partition.iter().copied().chain(ordered).chain(used);
        if let Some(column) = columns.into_iter().find(|column| *column >= what.input.fields().len()) {
            return wrong(format!("there is no column {column}"));
        }
        let measured = match &what.order[..] {
            [(column, _)] => has_lengths(what.input.field(*column).data_type()),
            _ => false,
        };
        if what.is_measured() && !measured {
            return wrong("a frame has a length only over one time or whole number".to_owned());
        }
        if what.calls.is_empty() {
            return wrong("there is nothing to compute".to_owned());
        }
        let fields = what.input.fields().iter().cloned();
        let fields: Vec<_> = fields.chain(what.calls.iter().map(|call| Arc::clone(&call.field))).collect();
        Ok(Self { schema: Arc::new(Schema::new(fields)), what: Arc::new(what) })
    }
}

impl OperatorSpec for UpdatingOverSpec {
    fn name(&self) -> &'static str {
        "UpdatingOver"
    }

    fn describe(&self) -> String {
        let UpdatingOver { input, partition, order, frames, calls, ttl, .. } = &*self.what;
        let name = |column: usize| input.field(column).name().as_str();
        let keys: Vec<_> = partition.iter().map(|column| name(*column)).collect();
        let by: Vec<_> = order
            .iter()
            .map(|(column, options)| {
                let direction = if options.descending { " desc" } else { "" };
                let nulls = if options.nulls_first { " nulls first" } else { "" };
                format!("{}{direction}{nulls}", name(*column))
            })
            .collect();
        let of_time = order.first().is_some_and(|(column, _)| input.field(*column).data_type().is_temporal());
        let frame = |frame: usize| frames[frame].describe(of_time);
        let calls: Vec<_> = calls.iter().map(|call| call.describe(input, &frame)).collect();
        let ttl = ttl.map(|ttl| Duration::from_nanos(ttl.unsigned_abs()));
        let ttl = ttl.map(|ttl| format!(", ttl={ttl:?}")).unwrap_or_default();
        format!("keys=[{}], order=[{}], calls=[{}]{ttl}", keys.join(", "), by.join(", "), calls.join(", "))
    }

    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn changes(&self) -> Changes {
        match &self.what.changes {
            Changes::Updating { key } => Changes::Updating { key: key.clone() },
            Changes::AppendOnly | Changes::Retracting => Changes::Retracting,
        }
    }

    fn state_bound(&self) -> StateBound {
        if self.what.ttl.is_some() { StateBound::Watermark } else { StateBound::GrowsWithRows }
    }

    fn reach(&self) -> Reach {
        Reach::History
    }

    fn instantiate(&self) -> Result<Box<dyn Operator>> {
        Ok(Box::new(UpdatingOverOperator::try_new(self.name(), &self.what, &self.schema)?))
    }
}
