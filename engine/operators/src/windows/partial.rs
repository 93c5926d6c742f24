//! The first of two phases: adds up each batch per slice and key, so that little crosses the exchange.
//!
//! The columns that come out: the keys, then `$slice` and `$from`, then the aggregates' states.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};

use super::aggregate::WindowAggregate;
use super::kind::WindowKind;
use crate::api::{Changes, Operator, OperatorSpec};
use crate::error::{OperatorError, Result};

/// Adds up each batch per slice and key; holds no state between batches.
#[derive(Clone, Debug)]
pub struct WindowPartialSpec {
    what: Arc<WindowAggregate>,
    schema: SchemaRef,
}

impl WindowPartialSpec {
    /// Checks sizes, columns and types.
    pub fn try_new(what: WindowAggregate) -> Result<Self> {
        what.check()?;
        what.check_two_phases()?;
        let schema = partial_schema(&what)?;
        Ok(Self { what: Arc::new(what), schema })
    }

    /// The output columns that the exchange to the second phase goes by; none means all to one instance.
    pub fn exchange_keys(&self) -> Vec<usize> {
        (0..self.what.keys.len()).collect()
    }
}

/// Keys, slice, states.
fn partial_schema(what: &WindowAggregate) -> Result<SchemaRef> {
    let mut fields: Vec<Field> = what.keys.iter().map(|key| what.input.field(*key).clone()).collect();
    fields.push(Field::new("$slice", DataType::Int64, false));
    fields.push(Field::new("$from", DataType::Int64, false));
    Ok(Arc::new(Schema::new(fields)))
}

impl OperatorSpec for WindowPartialSpec {
    fn name(&self) -> &'static str {
        match self.what.kind {
            WindowKind::Tumble { .. } => "TumblePartial",
            WindowKind::Hop { .. } => "HopPartial",
            WindowKind::Cumulate { .. } => "CumulatePartial",
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

    fn instantiate(&self) -> Result<Box<dyn Operator>> {
        Err(OperatorError::unsupported(self.name(), "not built"))
    }
}
