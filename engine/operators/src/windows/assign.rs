//! Windows as columns: each row once for every window that it lies in.

use std::sync::Arc;

use arrow::datatypes::{Field, Schema, SchemaRef};

use super::kind::WindowKind;
use super::layout::window_type;
use crate::api::{Changes, Operator, OperatorSpec};
use crate::error::{OperatorError, Result};

/// Appends `window_start`, `window_end` and `window_time`. Stateless; late rows are told by their clock.
#[derive(Clone, Debug)]
pub struct AssignWindowsSpec {
    kind: WindowKind,
    time: usize,
    input: SchemaRef,
    schema: SchemaRef,
}

impl AssignWindowsSpec {
    /// Checks sizes and the time column's type.
    pub fn try_new(kind: WindowKind, input: SchemaRef, time: usize) -> Result<Self> {
        kind.check()?;
        let window = window_type(&input, time, kind.name())?;
        let appended = ["window_start", "window_end", "window_time"]
            .map(|name| Arc::new(Field::new(name, window.clone(), false)));
        let fields: Vec<_> = input.fields().iter().cloned().chain(appended).collect();
        let schema = Arc::new(Schema::new(fields));
        Ok(Self { kind, time, input, schema })
    }
}

impl OperatorSpec for AssignWindowsSpec {
    fn name(&self) -> &'static str {
        "AssignWindows"
    }

    fn describe(&self) -> String {
        format!("{} {}, time={}", self.kind.name(), self.kind, self.input.field(self.time).name())
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
