//! What `EMIT EVERY` is.

use std::sync::Arc;
use std::time::Duration;

use arrow::datatypes::SchemaRef;
use arrow_row::{RowConverter, SortField};

use super::operator::EveryOperator;
use crate::api::{Changes, Operator, OperatorSpec, Reach, StateBound};
use crate::error::{OperatorError, Result};

/// What is said at intervals. The columns that come out are those that come in.
#[derive(Clone, Debug)]
pub struct EmitEvery {
    /// The rows that come in.
    pub input: SchemaRef,
    /// What kind of changes they are; those that come out are of the same kind.
    pub changes: Changes,
    /// The columns by which rows are spread over instances.
    pub keys: Vec<usize>,
    /// How far the multiples of event time are apart at which something is said, in nanoseconds.
    pub interval: i64,
}

/// Keeps changes until the watermark passes a multiple of an interval, and says then what they add up to: what has come and gone
/// meanwhile is not said.
#[derive(Clone, Debug)]
pub struct EmitEverySpec {
    what: Arc<EmitEvery>,
}

impl EmitEverySpec {
    /// Checks the interval, the columns, and that rows can be told from each other.
    pub fn try_new(what: EmitEvery) -> Result<Self> {
        let wrong = |reason: String| Err(OperatorError::unsupported("EmitEvery", reason));
        if what.interval <= 0 {
            return wrong(format!("an interval of {} ns is not positive", what.interval));
        }
        if let Some(key) = what.keys.iter().find(|key| **key >= what.input.fields().len()) {
            return wrong(format!("there is no column {key}"));
        }
        let comparable = |field: &&arrow::datatypes::FieldRef| {
            RowConverter::supports_fields(&[SortField::new(field.data_type().clone())])
        };
        if let Some(field) = what.input.fields().iter().find(|field| !comparable(field)) {
            return wrong(format!("rows cannot be compared by {}, {}", field.name(), field.data_type()));
        }
        Ok(Self { what: Arc::new(what) })
    }
}

impl OperatorSpec for EmitEverySpec {
    fn name(&self) -> &'static str {
        "EmitEvery"
    }

    fn describe(&self) -> String {
        format!("{:?}", Duration::from_nanos(self.what.interval.unsigned_abs()))
    }

    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.what.input)
    }

    fn changes(&self) -> Changes {
        self.what.changes.clone()
    }

    fn state_bound(&self) -> StateBound {
        StateBound::Watermark
    }

    fn reach(&self) -> Reach {
        Reach::Row
    }

    fn instantiate(&self) -> Result<Box<dyn Operator>> {
        Ok(Box::new(EveryOperator::try_new(self.name(), &self.what)?))
    }
}
