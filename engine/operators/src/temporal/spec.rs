//! What a join with versions is: a temporal join (`FOR SYSTEM_TIME AS OF`), or an ASOF join.
//!
//! The rows of the right side are versions: each is valid from its own time to that of the next row of its key. A
//! row of the left side meets the version that is valid at its time, once the watermark has passed it, so that
//! nothing that comes later changes what it has met. Of versions of one key and time the greatest by its columns is
//! valid, so that the result is a function of the rows alone.
//!
//! Looking ahead, a row meets the first row at or after its time instead, the greatest if there are several at that time. It comes out when
//! the watermark has passed that row, or unmatched when no row will follow.

use std::sync::Arc;

use arrow::datatypes::{Field, Schema, SchemaRef};
use datafusion::physical_expr::PhysicalExpr;

use super::operator::TemporalOperator;
use crate::api::{Changes, Emission, Operator, OperatorSpec, Reach, StateBound};
use crate::error::{OperatorError, Result};

/// One side. Its rows are only ever added.
#[derive(Clone, Debug)]
pub struct TemporalInput {
    /// The rows that come in.
    pub schema: SchemaRef,
    /// The columns that must be equal on both sides; none: all rows have one key.
    pub keys: Vec<usize>,
    /// The column of event time.
    pub time: usize,
    /// A row is late when its clock is more than this many nanoseconds past its time: 0 for a time, more for a
    /// column that stands for a window.
    pub after: i64,
}

/// What a join with versions is. The columns that come out: the left side's, then the right side's.
#[derive(Clone, Debug)]
pub struct TemporalJoin {
    /// The rows that ask.
    pub left: TemporalInput,
    /// The versions.
    pub right: TemporalInput,
    /// Whether a row meets the first right row at or after its time, and not the last one up to it.
    pub ahead: bool,
    /// Whether two rows of one time do not meet.
    pub strict: bool,
    /// Whether rows without a version come out, with NULLs.
    pub outer: bool,
    /// What else must hold for a row and its version, over the columns of both.
    pub residual: Option<Arc<dyn PhysicalExpr>>,
}

impl TemporalJoin {
    /// How far past a row's time the watermark must be before all versions of that time are there.
    pub(super) fn after(&self) -> i64 {
        self.left.after.max(self.right.after)
    }

    /// How far behind the watermark rows come out, in nanoseconds: by the left time, or looking ahead by the right one.
    pub fn delay(&self) -> i64 {
        self.after() - if self.ahead { self.right.after } else { self.left.after }
    }

    /// The columns of both sides.
    pub(super) fn pair_schema(&self) -> SchemaRef {
        let right = self.right.schema.fields().iter().map(|field| match self.outer {
            true => Arc::new(field.as_ref().clone().with_nullable(true)),
            false => Arc::clone(field),
        });
        Arc::new(Schema::new(
            self.left.schema.fields().iter().cloned().chain(right).collect::<Vec<Arc<Field>>>(),
        ))
    }
}

/// Joins rows with the versions that were valid at their time.
#[derive(Clone, Debug)]
pub struct TemporalJoinSpec {
    what: Arc<TemporalJoin>,
    schema: SchemaRef,
}

impl TemporalJoinSpec {
    /// Checks the columns.
    pub fn try_new(what: TemporalJoin) -> Result<Self> {
        let wrong = |reason: String| Err(OperatorError::unsupported("TemporalJoin", reason));
        for side in [&what.left, &what.right] {
            let mut columns = side.keys.iter().chain([&side.time]);
            if let Some(column) = columns.find(|column| **column >= side.schema.fields().len()) {
                return wrong(format!("there is no column {column}"));
            }
        }
        let kinds = |side: &TemporalInput| -> Vec<_> {
            side.keys.iter().map(|key| side.schema.field(*key).data_type().clone()).collect()
        };
        if kinds(&what.left) != kinds(&what.right) {
            return wrong("the keys of both sides are of different types".to_owned());
        }
        Ok(Self { schema: what.pair_schema(), what: Arc::new(what) })
    }
}

impl OperatorSpec for TemporalJoinSpec {
    fn name(&self) -> &'static str {
        "TemporalJoin"
    }

    fn describe(&self) -> String {
        let TemporalJoin { left, right, ahead, strict, outer, residual } = &*self.what;
        let name = |side: &TemporalInput, column: usize| side.schema.field(column).name().clone();
        let on = left.keys.iter().zip(&right.keys);
        let on: Vec<String> = on.map(|(a, b)| format!("{} = {}", name(left, *a), name(right, *b))).collect();
        let kind = if *outer { "left" } else { "inner" };
        let (which, sign) = match (*ahead, *strict) {
            (false, false) => ("newest", "<="),
            (false, true) => ("newest", "<"),
            (true, false) => ("first", ">="),
            (true, true) => ("first", ">"),
        };
        let (from, at) = (name(right, right.time), name(left, left.time));
        let more = residual.as_ref().map_or(String::new(), |residual| format!(", filter={residual}"));
        format!("{kind}, on=[{}], {which} {from} {sign} {at}{more}", on.join(", "))
    }

    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn changes(&self) -> Changes {
        Changes::AppendOnly
    }

    fn emission(&self) -> Emission {
        let left = &self.what.left;
        Emission { order: std::iter::once(left.time).chain(left.keys.iter().copied()).collect() }
    }

    fn state_bound(&self) -> StateBound {
        let right = &self.what.right;
        if self.what.ahead {
            // A row waits for as long as none follows of its key.
            return StateBound::GrowsWithRows;
        }
        if right.keys.is_empty() {
            return StateBound::Watermark;
        }
        StateBound::Grows(right.keys.iter().map(|key| right.schema.field(*key).name().clone()).collect())
    }

    fn reach(&self) -> Reach {
        Reach::History
    }

    fn instantiate(&self) -> Result<Box<dyn Operator>> {
        Ok(Box::new(TemporalOperator::try_new(self.name(), &self.what, &self.schema)?))
    }
}
