//! What windows of ordered rows are.
//!
//! The rows of a partition are in the order of event time, those of one time in the order of all their columns, so that windows are
//! a function of the rows alone. A window is `[first, last + 1 ms)`, so that its `window_time` is the time of its last row. As
//! several windows may begin and end at the same moments, they are numbered.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::physical_expr::PhysicalExpr;

use super::operator::OrderedOperator;
use crate::aggregates::AggregateCall;
use crate::api::{Changes, Operator, OperatorSpec, Reach, StateBound};
use crate::error::{OperatorError, Result};
use crate::windows::{MILLISECOND, OutputColumn, window_schema, window_type};

/// Which rows make a window.
#[derive(Clone, Debug)]
pub enum OrderedKind {
    /// The last `size` rows, after every `hop` of them; the first window is when there are so many.
    Count {
        /// How many rows a window has.
        size: u32,
        /// How many rows come between the ends of two windows; at most `size`.
        hop: u32,
    },
    /// The rows from one for which `begin` holds to the next one behind it for which `emit` does. Without `emit` a window ends
    /// before the next row for which `begin` holds, and at the time of that.
    State {
        /// Begins a window, unless one is open.
        begin: Arc<dyn PhysicalExpr>,
        /// Ends it.
        emit: Option<Arc<dyn PhysicalExpr>>,
    },
}

/// What the windows are. The columns that come out: those that come in, `window_start`, `window_end`, `window_time` and
/// `window_number`.
#[derive(Clone, Debug)]
pub struct OrderedWindows {
    /// The rows that come in; they are only ever added.
    pub input: SchemaRef,
    /// The columns whose values have windows of their own.
    pub partition: Vec<usize>,
    /// The column of event time.
    pub time: usize,
    /// A row is late when its clock is more than this many nanoseconds past its time: 0 for a time, more for a
    /// column that stands for a window.
    pub after: i64,
    /// Which rows make a window.
    pub kind: OrderedKind,
    /// What comes out of windows of so many rows instead of the rows.
    pub aggregates: Option<OrderedAggregates>,
}

/// What is computed of each window. Its rows are not kept.
#[derive(Clone, Debug)]
pub struct OrderedAggregates {
    /// What is computed.
    pub calls: Vec<AggregateCall>,
    /// The columns that come out; a key is a column of the partition.
    pub output: Vec<OutputColumn>,
}

/// Of how many rows each the parts are of which all windows of so many rows consist: of the most that both are multiples of.
pub fn part_rows(size: u32, hop: u32) -> u32 {
    let (mut a, mut b) = (size, hop);
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

impl OrderedWindows {
    /// How far the end of a window may lie behind the watermark when its rows come out, in nanoseconds.
    pub fn delay(&self) -> i64 {
        // The row that begins the next window is told only when the watermark has passed it, and the one before ends with it.
        let behind = if matches!(self.kind, OrderedKind::State { emit: None, .. }) { MILLISECOND } else { 0 };
        self.after.saturating_add(behind)
    }

    fn names(&self) -> Vec<String> {
        self.partition.iter().map(|column| self.input.field(*column).name().clone()).collect()
    }
}

/// Gives each row out once for every window that it lies in, when the window has ended. Rows in no window do not come out.
#[derive(Clone, Debug)]
pub struct OrderedWindowsSpec {
    what: Arc<OrderedWindows>,
    schema: SchemaRef,
}

impl OrderedWindowsSpec {
    /// Checks the columns, the sizes and the conditions.
    pub fn try_new(what: OrderedWindows) -> Result<Self> {
        let wrong = |reason: String| Err(OperatorError::unsupported("OrderedWindows", reason));
        let width = what.input.fields().len();
        if let Some(column) = what.partition.iter().find(|column| **column >= width) {
            return wrong(format!("there is no column {column}"));
        }
        match &what.kind {
            OrderedKind::Count { size, hop } if *hop == 0 || hop > size => {
                return wrong(format!("windows of {size} rows cannot follow each other every {hop} rows"));
            }
            OrderedKind::Count { .. } => {}
            OrderedKind::State { begin, emit } => {
                for condition in [begin].into_iter().chain(emit) {
                    let kind = condition.data_type(&what.input)?;
                    if kind != DataType::Boolean {
                        return wrong(format!("{condition} is {kind}, not boolean"));
                    }
                }
            }
        }
        if let Some(sums) = &what.aggregates {
            if !matches!(what.kind, OrderedKind::Count { .. }) {
                return wrong("only windows of so many rows are aggregated without them".to_owned());
            }
            let schema = window_schema(
                &what.input,
                what.time,
                &what.partition,
                &sums.calls,
                &sums.output,
                "CountAggregate",
            )?;
            return Ok(Self { what: Arc::new(what), schema });
        }
        let kind = window_type(&what.input, what.time, "OrderedWindows")?;
        let bounds = ["window_start", "window_end", "window_time"];
        let bounds = bounds.map(|name| Arc::new(Field::new(name, kind.clone(), false)));
        let number = Arc::new(Field::new("window_number", DataType::Int64, false));
        let fields = what.input.fields().iter().cloned().chain(bounds).chain([number]);
        let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
        Ok(Self { what: Arc::new(what), schema })
    }
}

impl OperatorSpec for OrderedWindowsSpec {
    fn name(&self) -> &'static str {
        match self.what.kind {
            OrderedKind::Count { .. } if self.what.aggregates.is_some() => "CountAggregate",
            OrderedKind::Count { .. } => "CountWindows",
            OrderedKind::State { .. } => "StateWindows",
        }
    }

    fn describe(&self) -> String {
        let kind = match &self.what.kind {
            OrderedKind::Count { size, hop } => format!("size={size} rows, hop={hop} rows"),
            OrderedKind::State { begin, emit: None } => format!("begin={begin}"),
            OrderedKind::State { begin, emit: Some(emit) } => format!("begin={begin}, emit={emit}"),
        };
        let time = self.what.input.field(self.what.time).name();
        let sums = match &self.what.aggregates {
            None => String::new(),
            Some(sums) => {
                let calls: Vec<_> = sums.calls.iter().map(AggregateCall::describe).collect();
                format!(", aggs=[{}]", calls.join(", "))
            }
        };
        format!("{kind}, partition=[{}], time={time}{sums}", self.what.names().join(", "))
    }

    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn changes(&self) -> Changes {
        Changes::AppendOnly
    }

    fn state_bound(&self) -> StateBound {
        match (&self.what.kind, self.what.partition.is_empty()) {
            (OrderedKind::State { .. }, _) => StateBound::GrowsWithRows,
            (OrderedKind::Count { .. }, true) => StateBound::Watermark,
            (OrderedKind::Count { .. }, false) => StateBound::Grows(self.what.names()),
        }
    }

    fn reach(&self) -> Reach {
        Reach::History
    }

    fn instantiate(&self) -> Result<Box<dyn Operator>> {
        Ok(Box::new(OrderedOperator::try_new(self.name(), &self.what, &self.schema)?))
    }
}
