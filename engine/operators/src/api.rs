//! The interface between operators and whoever runs them.
//!
//! A job runs in steps. In a step the runner calls, for each operator instance, [`Operator::on_batch`] for every batch in
//! canonical order, then [`Operator::on_watermark`] once. Between steps it may call [`Operator::snapshot`]. A keyed
//! operator has one instance per worker; each sees the rows of its own slots (`headwater_core::hash::slot_of`) only,
//! in an order that does not depend on how many workers there are.
//!
//! ```text
//!  restore*  ( on_batch*  on_watermark  snapshot? )*
//! ```
//!
//! What several instances emit in one step is merged by [`Emission::order`], so that the result does not depend on how
//! many there are. Rows of one instance must come out already sorted by that order.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use arrow::array::{BooleanArray, Int64Array, RecordBatch, TimestampNanosecondArray};
use arrow::datatypes::SchemaRef;
use headwater_core::EventTime;

use crate::decide::Order;
use crate::error::Result;
use crate::lookup::LookupSpec;

/// The watermark of a row's own shard just before that row: by it a row is late or not, whatever other shards do.
#[derive(Clone, Debug)]
pub enum Clocks {
    /// The same for all rows.
    Uniform(EventTime),
    /// One per row, not decreasing within one shard's run of rows; no nulls.
    PerRow(TimestampNanosecondArray),
}

/// Rows on their way between operators.
#[derive(Clone, Debug)]
pub struct Rows {
    /// The columns.
    pub batch: RecordBatch,
    /// How often each row is added (positive) or retracted (negative); `None`: each once. Never zero.
    pub weights: Option<Int64Array>,
    /// By what a row is late.
    pub clocks: Clocks,
}

impl Rows {
    /// Rows that are each added once and never late.
    pub fn new(batch: RecordBatch) -> Self {
        Self { batch, weights: None, clocks: Clocks::Uniform(EventTime::MIN) }
    }

    /// How many rows (not the sum of their weights).
    pub fn len(&self) -> usize {
        self.batch.num_rows()
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The clock of one row.
    pub fn clock(&self, row: usize) -> EventTime {
        match &self.clocks {
            Clocks::Uniform(time) => *time,
            Clocks::PerRow(times) => EventTime(times.value(row)),
        }
    }

    /// The same rows with other columns, such as a projection's.
    pub fn with_batch(&self, batch: RecordBatch) -> Self {
        debug_assert_eq!(batch.num_rows(), self.len());
        Self { batch, weights: self.weights.clone(), clocks: self.clocks.clone() }
    }

    /// The rows for which the mask is true (null counts as false).
    pub fn filter(&self, mask: &BooleanArray) -> Result<Self> {
        use arrow::compute::{filter, filter_record_batch};
        let weights = match &self.weights {
            Some(weights) => Some(downcast(&filter(weights, mask)?)),
            None => None,
        };
        let clocks = match &self.clocks {
            Clocks::Uniform(time) => Clocks::Uniform(*time),
            Clocks::PerRow(times) => Clocks::PerRow(downcast(&filter(times, mask)?)),
        };
        Ok(Self { batch: filter_record_batch(&self.batch, mask)?, weights, clocks })
    }

    /// The rows at these indices, in this order.
    pub fn take(&self, indices: &arrow::array::UInt32Array) -> Result<Self> {
        use arrow::compute::{take, take_record_batch};
        let weights = match &self.weights {
            Some(weights) => Some(downcast(&take(weights, indices, None)?)),
            None => None,
        };
        let clocks = match &self.clocks {
            Clocks::Uniform(time) => Clocks::Uniform(*time),
            Clocks::PerRow(times) => Clocks::PerRow(downcast(&take(times, indices, None)?)),
        };
        Ok(Self { batch: take_record_batch(&self.batch, indices)?, weights, clocks })
    }

    /// A stretch of the rows, without copying.
    pub fn slice(&self, rows: Range<usize>) -> Self {
        let clocks = match &self.clocks {
            Clocks::Uniform(time) => Clocks::Uniform(*time),
            Clocks::PerRow(times) => Clocks::PerRow(times.slice(rows.start, rows.len())),
        };
        Self {
            batch: self.batch.slice(rows.start, rows.len()),
            weights: self.weights.as_ref().map(|weights| weights.slice(rows.start, rows.len())),
            clocks,
        }
    }
}

fn downcast<T: arrow::array::Array + Clone + 'static>(array: &dyn arrow::array::Array) -> T {
    array.as_any().downcast_ref::<T>().expect("filter and take keep the type").clone()
}

/// Where an operator puts what it has to say.
#[derive(Default, Debug)]
pub struct Output {
    /// Rows for the next operator.
    pub rows: Vec<Rows>,
    /// Rows that came too late, with the input's columns, and why (such as `window closed`).
    pub late: Vec<Late>,
    /// Rows for which an expression could not be computed: they go no further.
    pub failed: Vec<Failed>,
    /// The slot of each of `rows`, not decreasing, from operators whose instances' outputs are merged by slot. Such an operator
    /// emits at most once in a step, and orders rows of one slot by what does not depend on other slots.
    pub slots: Vec<u32>,
}

/// Rows that came after their window had closed.
#[derive(Debug, Clone)]
pub struct Late {
    /// The rows, with the columns of the operator's input.
    pub batch: RecordBatch,
    /// The event time of each row; null if it has none.
    pub times: TimestampNanosecondArray,
    /// By what each row is late: the watermark that it came after. Null if it has no event time.
    pub clocks: TimestampNanosecondArray,
    /// Which operator, as EXPLAIN shows it.
    pub operator: Arc<str>,
}

/// Rows for which an expression could not be computed, each of which was to be added.
#[derive(Debug, Clone)]
pub struct Failed {
    /// The rows, with the columns of the operator's input.
    pub batch: RecordBatch,
    /// Why, for each row.
    pub reasons: Vec<String>,
    /// Which operator, as EXPLAIN shows it.
    pub operator: &'static str,
    /// The table outside that answered them; `None`: they came from what is read.
    pub table: Option<Arc<str>>,
    /// Of a set of triggers: the number of the one for which it is so.
    pub member: Option<i64>,
}

impl Failed {
    /// The first of the rows.
    pub fn first(&self, rows: usize) -> Self {
        let reasons = self.reasons.iter().take(rows).cloned().collect();
        let batch = self.batch.slice(0, rows.min(self.batch.num_rows()));
        Self { batch, reasons, table: self.table.clone(), ..*self }
    }
}

impl Late {
    /// The rows at these indices, in this order.
    pub fn take(&self, indices: &arrow::array::UInt32Array) -> Result<Self> {
        use arrow::compute::{take, take_record_batch};
        Ok(Self {
            batch: take_record_batch(&self.batch, indices)?,
            times: downcast(&take(&self.times, indices, None)?),
            clocks: downcast(&take(&self.clocks, indices, None)?),
            operator: Arc::clone(&self.operator),
        })
    }
}

impl Output {
    /// Hands on rows, unless there are none.
    pub fn emit(&mut self, rows: Rows) {
        if !rows.is_empty() {
            self.rows.push(rows);
        }
    }
}

/// What kind of changes come out of an operator.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Changes {
    /// Rows are only ever added.
    AppendOnly,
    /// There is at most one row for each value of these output columns; a change retracts the old row and adds the new.
    Updating {
        /// Indices of the key columns in the output.
        key: Vec<usize>,
    },
    /// Rows are added and retracted, without a key.
    Retracting,
}

/// How the rows that several instances emit in a step are put in one order: by these output columns, ascending, nulls first;
/// rows equal in all of them keep the order of their slots' workers, retractions before additions. Operators that fill
/// [`Output::slots`] are merged by those instead.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Emission {
    /// Indices of the output columns to sort by. Empty for operators that keep the input's order.
    pub order: Vec<usize>,
}

/// How long an operator's state lasts, for EXPLAIN.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum StateBound {
    /// There is none.
    None,
    /// It ends with the watermark.
    Watermark,
    /// It grows with the distinct values of these columns, for ever.
    Grows(Vec<String>),
    /// It grows with the rows of its inputs, less those that are retracted.
    GrowsWithRows,
    /// It is the rows of a table, which are all there before it is asked about them.
    Table,
}

/// How far from a result, in event time, the rows lie that it depends on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Reach {
    /// It depends on one row.
    Row,
    /// It depends on rows that lie no further before or after it than this many nanoseconds.
    Within(i64),
    /// It may depend on any row before it.
    History,
}

impl Reach {
    /// How far one operator behind the other reaches.
    #[must_use]
    pub fn then(self, next: Self) -> Self {
        match (self, next) {
            (Self::History, _) | (_, Self::History) => Self::History,
            (Self::Row, other) | (other, Self::Row) => other,
            (Self::Within(one), Self::Within(other)) => Self::Within(one.saturating_add(other)),
        }
    }
}

/// What an operator is, apart from its state: made by the planner, shown by EXPLAIN, turned into instances by the runner.
pub trait OperatorSpec: Send + Sync + fmt::Debug {
    /// A short name such as `TumbleAggregate`.
    fn name(&self) -> &'static str;
    /// The rest of the line in EXPLAIN, such as `size=1h, keys=[station], aggs=[count(*)]`.
    fn describe(&self) -> String;
    /// The columns that come out.
    fn schema(&self) -> SchemaRef;
    /// What kind of changes come out.
    fn changes(&self) -> Changes;
    /// How instances' outputs are merged.
    fn emission(&self) -> Emission {
        Emission::default()
    }
    /// How long the state lasts.
    fn state_bound(&self) -> StateBound {
        StateBound::None
    }
    /// How far its results reach, so that a replay of a stretch knows what to read around it.
    fn reach(&self) -> Reach {
        match self.state_bound() {
            StateBound::None => Reach::Row,
            StateBound::Watermark | StateBound::Grows(_) | StateBound::GrowsWithRows | StateBound::Table => {
                Reach::History
            }
        }
    }
    /// Whether it adds up each batch by itself, so that what comes out (how a sum is rounded) depends on how rows are put together.
    fn adds_up_batches(&self) -> bool {
        false
    }
    /// The name of the alarm or scaling group that it is, to which people may say something ([`crate::decide::Told`]): that is a batch of
    /// its first input, whatever the columns of the others are.
    fn takes_orders_for(&self) -> Option<&str> {
        None
    }
    /// What a part of its checkpoint says to a definition that takes its place ([`crate::decide::Order::GoOn`]), each with the key of its
    /// entry: what comes later about a key counts.
    fn hand_over(&self, entries: &StateEntries) -> Result<Vec<(String, Order)>> {
        let _ = entries;
        Ok(Vec::new())
    }
    /// How far its results reach once it has been told what a former definition of its name had come to; `None`: it cannot be told.
    fn reach_when_told(&self) -> Option<Reach> {
        None
    }
    /// The operator as a lookup in a table outside, which the runner asks; `None` for all others.
    fn as_lookup(&self) -> Option<&LookupSpec> {
        None
    }
    /// A new instance with no state.
    fn instantiate(&self) -> Result<Box<dyn Operator>>;
}

/// One instance of an operator.
///
/// Operators that keep the input's order and have no state implement [`Operator::on_batch`] alone. The others have four methods that do
/// something; the rest only tell: whether time matters to the state, from when on, and how much of it there is.
pub trait Operator: Send {
    /// Takes rows. `input` is 0 but for operators with several inputs.
    fn on_batch(&mut self, input: usize, rows: Rows, out: &mut Output) -> Result<()>;

    /// Time has come to `watermark`: all rows to come have an event time at or after it, or are late by their own
    /// clock. Called at the end of every step, with a value that never decreases. What is emitted here carries as clock the
    /// watermark of the call before.
    fn on_watermark(&mut self, watermark: EventTime, out: &mut Output) -> Result<()> {
        let _ = (watermark, out);
        Ok(())
    }

    /// Writes what has changed in the state since the last snapshot (or everything, if `full`).
    fn snapshot(&mut self, full: bool, out: &mut Snapshot) -> Result<()> {
        let _ = (full, out);
        Ok(())
    }

    /// Takes back the entries of one table of state, of slots that belong to this instance. Called in the order in which
    /// snapshots were taken, before any batch; restored state counts as unchanged.
    fn restore(&mut self, entries: &StateEntries) -> Result<()> {
        let _ = entries;
        Ok(())
    }

    /// Whether something in the state waits for time to pass, so that time must go on also when no rows come.
    fn waits_for_time(&self) -> bool {
        false
    }

    /// The least watermark at which [`Operator::on_watermark`] has something to do or to say although no row comes before it;
    /// `None`: there is none. State that was put out of memory is brought back for rows, and for this; so one that
    /// answers too early costs time, and one that answers too late is wrong. Asked between steps.
    fn due(&self) -> Option<EventTime> {
        Some(EventTime::MIN)
    }

    /// How much state there is now.
    fn state_size(&self) -> StateSize {
        StateSize::default()
    }
}

/// How much state an instance holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct StateSize {
    /// Entries: groups, sessions, rows.
    pub entries: u64,
    /// Bytes of memory, estimated.
    pub bytes: u64,
}

/// What a snapshot writes: for each table of state, puts and deletes of entries. A table may come in several parts, so that whoever takes
/// them ([`Snapshot::to`]) need not hold all of it.
#[derive(Default)]
pub struct Snapshot<'a> {
    /// The tables, in the order in which they are to be restored, unless somebody takes them.
    pub entries: Vec<StateEntries>,
    taker: Option<&'a mut dyn FnMut(StateEntries)>,
}

impl<'a> Snapshot<'a> {
    /// A snapshot whose entries are taken as they come, and not kept.
    pub fn to(taker: &'a mut dyn FnMut(StateEntries)) -> Self {
        Self { entries: Vec::new(), taker: Some(taker) }
    }

    /// Adds entries.
    pub fn push(&mut self, entries: StateEntries) {
        match &mut self.taker {
            Some(take) => take(entries),
            None => self.entries.push(entries),
        }
    }
}

/// Changes to one table of state, as Arrow. An entry is identified by its key columns; a put replaces the entry with the same key.
#[derive(Clone, Debug)]
pub struct StateEntries {
    /// The table's name within the operator, such as `groups`.
    pub table: String,
    /// What is done with the rows.
    pub change: StateChange,
    /// The rows: the table's columns for puts and deletes by key.
    pub rows: RecordBatch,
    /// The slot of each row, so that a restore can give it to the worker that owns it; empty: every instance gets the row.
    pub slots: Vec<u32>,
}

/// What is done with the rows of [`StateEntries`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum StateChange {
    /// Entries are put.
    Put,
    /// The entries with these rows' keys are deleted; only key columns are present.
    Delete,
}
