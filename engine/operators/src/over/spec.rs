//! What an OVER is.
//!
//! Rows that are equal in what they are ordered by are ordered by all their columns, so that the result is a
//! function of the rows alone and not of the order in which they came.

use std::sync::Arc;

use arrow::compute::SortOptions;
use arrow::datatypes::{FieldRef, Schema, SchemaRef};
use datafusion::scalar::ScalarValue;

use super::frame::{Frame, FrameBound};
use super::operator::OverOperator;
use super::partitions::Stretch;
use crate::aggregates::AggregateCall;
use crate::api::{Changes, Emission, Operator, OperatorSpec, Reach, StateBound};
use crate::error::{OperatorError, Result};

/// What an OVER is. The columns that come out: the input's, then one for each call.
#[derive(Clone, Debug)]
pub struct Over {
    /// The rows that come in; they are only ever added.
    pub input: SchemaRef,
    /// The columns whose values are a partition each; none: there is one partition.
    pub partition: Vec<usize>,
    /// The column of event time, by which rows are ordered first.
    pub time: usize,
    /// A row is known to have all rows before it once the watermark is more than this many nanoseconds past its
    /// time, and is late when its clock is: 0 for a time, more for a column that stands for a window.
    pub after: i64,
    /// What rows of one time are ordered by.
    pub order: Vec<(usize, SortOptions)>,
    /// The frames that calls are over.
    pub frames: Vec<Frame>,
    /// What is computed.
    pub calls: Vec<OverCall>,
}

/// A function over rows of the partition.
#[derive(Clone, Debug)]
pub struct OverCall {
    /// Which.
    pub function: OverFunction,
    /// The column that comes out.
    pub field: FieldRef,
}

/// A function over rows of the partition. Frames are indices into [`Over::frames`].
#[derive(Clone, Debug)]
pub enum OverFunction {
    /// `ROW_NUMBER()`.
    RowNumber,
    /// `RANK()`.
    Rank,
    /// `DENSE_RANK()`.
    DenseRank,
    /// `LAG` and `LEAD`: the column's value so many rows behind the current one (before it, if negative), or a default.
    Shift {
        /// The column of the input.
        column: usize,
        /// How many rows.
        by: i64,
        /// What is given where there is no such row; of the column's type.
        default: ScalarValue,
    },
    /// `FIRST_VALUE`, `LAST_VALUE` and `NTH_VALUE`.
    Value {
        /// The column of the input.
        column: usize,
        /// Which row of the frame.
        row: FrameRow,
        /// The frame.
        frame: usize,
    },
    /// An aggregate over the frame.
    Aggregate {
        /// Which.
        call: AggregateCall,
        /// The frame.
        frame: usize,
    },
}

/// A row of a frame.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FrameRow {
    /// The first.
    First,
    /// The last.
    Last,
    /// The nth, from 1.
    Nth(u32),
}

impl OverCall {
    /// The call as EXPLAIN shows it.
    pub(super) fn describe(&self, input: &Schema, frames: &dyn Fn(usize) -> String) -> String {
        match &self.function {
            OverFunction::RowNumber => "row_number()".to_owned(),
            OverFunction::Rank => "rank()".to_owned(),
            OverFunction::DenseRank => "dense_rank()".to_owned(),
            OverFunction::Shift { column, by, .. } => {
                let name = if *by > 0 { "lead" } else { "lag" };
                format!("{name}({}, {})", input.field(*column).name(), by.abs())
            }
            OverFunction::Value { column, row, frame } => {
                let (name, nth) = match row {
                    FrameRow::First => ("first_value", String::new()),
                    FrameRow::Last => ("last_value", String::new()),
                    FrameRow::Nth(nth) => ("nth_value", format!(", {nth}")),
                };
                format!("{name}({}{nth}) {}", input.field(*column).name(), frames(*frame))
            }
            OverFunction::Aggregate { call, frame } => format!("{} {}", call.describe(), frames(*frame)),
        }
    }
}

impl FrameRow {
    /// Its position, if the frame has it.
    pub(super) fn of(self, frame: Stretch) -> Option<u64> {
        let position = match self {
            Self::First => frame.start,
            Self::Last => frame.end.checked_sub(1)?,
            Self::Nth(nth) => frame.start + u64::from(nth) - 1,
        };
        (frame.start..frame.end).contains(&position).then_some(position)
    }
}

impl Over {
    /// How many rows of its partition must follow before a row comes out.
    pub(super) fn rows_behind(&self) -> i64 {
        let shifts = self.calls.iter().map(|call| match call.function {
            OverFunction::Shift { by, .. } => by.max(0),
            _ => 0,
        });
        let frames = self.frames.iter().map(|frame| frame.rows_behind());
        shifts.chain(frames).max().unwrap_or(0)
    }

    /// How far past a row's time the watermark must be before it comes out, in nanoseconds.
    pub(super) fn time_behind(&self) -> i64 {
        self.frames.iter().map(|frame| frame.time_behind()).max().unwrap_or(0)
    }

    /// How many rows before the next one LAG looks at.
    pub(super) fn rows_before(&self) -> i64 {
        let shifts = self.calls.iter().map(|call| match call.function {
            OverFunction::Shift { by, .. } => by.min(0),
            _ => 0,
        });
        -shifts.min().unwrap_or(0)
    }

    /// How many rows at the head of a partition are looked at for ever.
    pub(super) fn head(&self) -> u64 {
        let rows = self.calls.iter().map(|call| match call.function {
            OverFunction::Value { row, frame, .. } if !self.frames[frame].slides() => match row {
                FrameRow::First => 1,
                FrameRow::Nth(nth) => u64::from(nth),
                FrameRow::Last => 0,
            },
            _ => 0,
        });
        rows.max().unwrap_or(0)
    }

    /// After how many nanoseconds without a row nothing of a partition is of use any more; `None`: never.
    pub(super) fn lasts(&self) -> Option<i64> {
        let mut lasts = 0;
        for call in &self.calls {
            let frame = match call.function {
                OverFunction::Aggregate { frame, .. } | OverFunction::Value { frame, .. } => {
                    self.frames[frame]
                }
                _ => return None,
            };
            match (frame.start, frame.end) {
                (FrameBound::Range(back), FrameBound::Range(_) | FrameBound::Peers) => {
                    lasts = lasts.max(back.saturating_neg());
                }
                (FrameBound::Peers, FrameBound::Range(_) | FrameBound::Peers) => {}
                _ => return None,
            }
        }
        Some(lasts)
    }
}

/// Computes functions over the rows around each row.
#[derive(Clone, Debug)]
pub struct OverSpec {
    what: Arc<Over>,
    schema: SchemaRef,
}

impl OverSpec {
    /// Checks columns and frames.
    pub fn try_new(what: Over) -> Result<Self> {
        let wrong = |reason: String| Err(OperatorError::unsupported("OverAggregate", reason));
        let used = what.calls.iter().filter_map(|call| match call.function {
            OverFunction::Shift { column, .. } | OverFunction::Value { column, .. } => Some(column),
            _ => None,
        });
        let ordered = what.order.iter().map(|(column, _)| *column);
        let columns = what.partition.iter().copied().chain([what.time]).chain(ordered).chain(used);
        if let Some(column) = columns.into_iter().find(|column| *column >= what.input.fields().len()) {
            return wrong(format!("there is no column {column}"));
        }
        if let Some(frame) = what.frames.iter().find(|frame| frame.end == FrameBound::Unbounded) {
            return wrong(format!("the frame {frame} never ends"));
        }
        let fields = what.input.fields().iter().cloned();
        let fields: Vec<_> = fields.chain(what.calls.iter().map(|call| Arc::clone(&call.field))).collect();
        Ok(Self { schema: Arc::new(Schema::new(fields)), what: Arc::new(what) })
    }

    fn names(&self) -> Vec<String> {
        self.what.partition.iter().map(|column| self.what.input.field(*column).name().clone()).collect()
    }

    /// How far behind the watermark rows come out, in nanoseconds; `None` if they may wait for others for ever.
    pub fn delay(&self) -> Option<i64> {
        (self.what.rows_behind() == 0).then(|| self.what.time_behind())
    }
}

impl OperatorSpec for OverSpec {
    fn name(&self) -> &'static str {
        "OverAggregate"
    }

    fn describe(&self) -> String {
        let Over { input, time, order, frames, calls, .. } = &*self.what;
        let order = std::iter::once(*time).chain(order.iter().map(|(column, _)| *column));
        let order: Vec<_> = order.map(|column| input.field(column).name().as_str()).collect();
        let frame = |frame: usize| frames[frame].to_string();
        let calls: Vec<String> = calls.iter().map(|call| call.describe(input, &frame)).collect();
        format!(
            "keys=[{}], order=[{}], calls=[{}]",
            self.names().join(", "),
            order.join(", "),
            calls.join(", ")
        )
    }

    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn changes(&self) -> Changes {
        Changes::AppendOnly
    }

    fn emission(&self) -> Emission {
        Emission {
            order: std::iter::once(self.what.time).chain(self.what.partition.iter().copied()).collect(),
        }
    }

    fn state_bound(&self) -> StateBound {
        match (self.what.lasts(), self.what.rows_behind()) {
            (Some(_), 0) => StateBound::Watermark,
            _ if self.what.partition.is_empty() => StateBound::None,
            _ => StateBound::Grows(self.names()),
        }
    }

    fn reach(&self) -> Reach {
        match (self.what.lasts(), self.what.rows_behind()) {
            (Some(back), 0) => Reach::Within(back.max(self.what.time_behind())),
            _ => Reach::History,
        }
    }

    fn instantiate(&self) -> Result<Box<dyn Operator>> {
        Ok(Box::new(OverOperator::try_new(self.name(), &self.what, &self.schema)?))
    }
}
