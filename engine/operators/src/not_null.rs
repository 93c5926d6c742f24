//! Rows without a value where the target wants one. One row must not stop the others: it is left out and handed on as failed.

use arrow::array::{Array, BooleanArray, UInt32Array};
use arrow::compute::take_record_batch;
use arrow::datatypes::SchemaRef;

use crate::api::{Changes, Failed, Operator, OperatorSpec, Output, Rows};
use crate::error::Result;

const NAME: &str = "NotNull";

/// Leaves out rows that are NULL in one of some columns.
#[derive(Debug, Clone)]
pub struct NotNullSpec {
    columns: Vec<usize>,
    schema: SchemaRef,
    changes: Changes,
}

impl NotNullSpec {
    /// Over rows of `schema` that change so; the columns are indices.
    pub fn new(columns: Vec<usize>, schema: SchemaRef, changes: Changes) -> Self {
        Self { columns, schema, changes }
    }
}

impl OperatorSpec for NotNullSpec {
    fn name(&self) -> &'static str {
        NAME
    }

    fn describe(&self) -> String {
        let names: Vec<_> =
            self.columns.iter().map(|column| self.schema.field(*column).name().as_str()).collect();
        names.join(", ")
    }

    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn changes(&self) -> Changes {
        self.changes.clone()
    }

    fn instantiate(&self) -> Result<Box<dyn Operator>> {
        Ok(Box::new(NotNull { columns: self.columns.clone() }))
    }
}

struct NotNull {
    columns: Vec<usize>,
}

impl Operator for NotNull {
    fn on_batch(&mut self, _input: usize, rows: Rows, out: &mut Output) -> Result<()> {
        let lacking: Vec<usize> = self
            .columns
            .iter()
            .copied()
            .filter(|column| rows.batch.column(*column).null_count() > 0)
            .collect();
        if lacking.is_empty() {
            out.emit(rows);
            return Ok(());
        }
        let schema = rows.batch.schema();
        let mut keeps = vec![true; rows.len()];
        let (mut places, mut reasons) = (Vec::new(), Vec::new());
        for (row, keep) in keeps.iter_mut().enumerate() {
            let Some(column) = lacking.iter().find(|column| rows.batch.column(**column).is_null(row)) else {
                continue;
            };
            *keep = false;
            if rows.weights.as_ref().is_none_or(|weights| weights.value(row) > 0) {
                places.push(row as u32);
                reasons.push(format!("{} is NOT NULL where the row would go", schema.field(*column).name()));
            }
        }
        if !places.is_empty() {
            let batch = take_record_batch(&rows.batch, &UInt32Array::from(places))?;
            out.failed.push(Failed { batch, reasons, operator: NAME, table: None, member: None });
        }
        out.emit(rows.filter(&BooleanArray::from(keeps))?);
        Ok(())
    }
}
