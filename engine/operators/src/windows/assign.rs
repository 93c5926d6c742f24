//! Windows as columns: each row once for every window that it lies in.
//!
//! A row that is retracted comes after the row that was added, by the same clock or a later one. So it lies in those of that row's windows
//! that are still open, and in no other; where none is, it is late, and what was said of the window stays said.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, UInt32Array};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};

use super::emit::{MILLISECOND, window_column};
use super::kind::WindowKind;
use super::layout::window_type;
use super::place::{Sorting, Times};
use crate::api::{Changes, Operator, OperatorSpec, Output, Reach, Rows};
use crate::error::Result;

/// What the column is called that says of late rows how often each is added or retracted, where rows change.
const WEIGHT: &str = "_weight";

/// Appends `window_start`, `window_end` and `window_time`. Stateless; late rows are told by their clock.
#[derive(Clone, Debug)]
pub struct AssignWindowsSpec {
    kind: WindowKind,
    time: usize,
    input: SchemaRef,
    schema: SchemaRef,
    changes: Changes,
    lateness: i64,
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
        Ok(Self { kind, time, input, schema, changes: Changes::AppendOnly, lateness: 0 })
    }

    /// The same of rows that change in this way.
    #[must_use]
    pub fn with_changes(self, changes: Changes) -> Self {
        let end = self.input.fields().len() + 1;
        let changes = match changes {
            // A row may lie in several windows.
            Changes::Updating { key } => Changes::Updating { key: key.into_iter().chain([end]).collect() },
            other => other,
        };
        Self { changes, ..self }
    }

    /// The same with windows that take rows for so many nanoseconds after their end.
    #[must_use]
    pub fn with_lateness(self, lateness: i64) -> Self {
        Self { lateness, ..self }
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
        self.changes.clone()
    }

    fn reach(&self) -> Reach {
        Reach::Within(self.kind.size())
    }

    fn instantiate(&self) -> Result<Box<dyn Operator>> {
        Ok(Box::new(AssignWindows {
            name: Arc::from(self.kind.name()),
            kind: self.kind,
            time: self.time,
            schema: Arc::clone(&self.schema),
            only_adds: self.changes == Changes::AppendOnly,
            lateness: self.lateness,
        }))
    }
}

struct AssignWindows {
    name: Arc<str>,
    kind: WindowKind,
    time: usize,
    schema: SchemaRef,
    only_adds: bool,
    lateness: i64,
}

impl AssignWindows {
    /// Rows as they are said if they are late.
    fn said_late(&self, rows: &Rows) -> Result<RecordBatch> {
        if self.only_adds {
            return Ok(rows.batch.clone());
        }
        let weights = rows.weights.clone().unwrap_or_else(|| Int64Array::from_value(1, rows.len()));
        let own = rows.batch.schema();
        let weight = Arc::new(Field::new(WEIGHT, DataType::Int64, false));
        let fields = own.fields().iter().cloned().chain([weight]).collect::<Vec<_>>();
        let columns = rows.batch.columns().iter().cloned().chain([Arc::new(weights) as ArrayRef]);
        Ok(RecordBatch::try_new(Arc::new(Schema::new(fields)), columns.collect())?)
    }
}

impl Operator for AssignWindows {
    fn on_batch(&mut self, _input: usize, rows: Rows, out: &mut Output) -> Result<()> {
        let times = Times::new(rows.batch.column(self.time), &self.name)?;
        let mut sorting = Sorting::with_capacity(rows.len());
        let (mut indices, mut ends) = (Vec::new(), Vec::new());
        for row in 0..rows.len() {
            let Some(time) = times.get(row) else {
                sorting.untimed(row);
                continue;
            };
            let slice = self.kind.slice_of(time);
            let clock = rows.clock(row).0;
            let mut end = self.kind.next_end(slice, clock.saturating_sub(self.lateness));
            if end.is_none() && self.kind.last_end(slice).is_some() {
                sorting.late(row, time, clock);
            }
            while let Some(this) = end {
                indices.push(row as u32);
                ends.push(this);
                end = self.kind.next_end(slice, this);
            }
        }
        sorting.emit_late(&self.said_late(&rows)?, &self.name, out)?;
        let taken = rows.take(&UInt32Array::from(indices))?;
        let kind = self.schema.field(self.schema.fields().len() - 1).data_type();
        let mut columns = taken.batch.columns().to_vec();
        columns.push(window_column(ends.iter().map(|end| self.kind.start_of(*end)), kind)?);
        columns.push(window_column(ends.iter().copied(), kind)?);
        columns.push(window_column(ends.iter().map(|end| end.saturating_sub(MILLISECOND)), kind)?);
        out.emit(taken.with_batch(RecordBatch::try_new(Arc::clone(&self.schema), columns)?));
        Ok(())
    }
}
