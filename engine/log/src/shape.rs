//! What a reader's rows look like: the stream's newest schema, projected. Follows the stream when it evolves.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions, new_null_array};
use arrow::datatypes::SchemaRef;
use headwater_core::SchemaId;

use crate::api::ReadSpec;
use crate::error::{LogError, Result};
use crate::schema;
use crate::streams::Stream;

/// The schema that a reader adapts to, and what is left of it by the projection.
#[derive(Clone, Debug)]
pub(crate) struct Shape {
    id: SchemaId,
    /// The stream's newest schema.
    pub target: SchemaRef,
    /// The schema of the rows that are read.
    pub output: SchemaRef,
}

impl Shape {
    /// What a reader of the stream gets. Refuses columns that the stream does not have.
    pub(crate) fn new(stream: &Stream, spec: &ReadSpec) -> Result<Self> {
        let target = Arc::clone(stream.schema());
        let refuse = |column: usize| LogError::SchemaMismatch {
            stream: stream.info.spec.name.clone(),
            reason: format!("column number {column} of {} was asked for", target.fields().len()),
        };
        if let Some(bound) = spec.bounds.iter().find(|bound| bound.column >= target.fields().len()) {
            return Err(refuse(bound.column));
        }
        let output = match &spec.projection {
            None => Arc::clone(&target),
            Some(columns) => match columns.iter().find(|column| **column >= target.fields().len()) {
                Some(column) => return Err(refuse(*column)),
                None => Arc::new(target.project(columns)?),
            },
        };
        Ok(Self { id: stream.info.schema_id, target, output })
    }

    /// Takes over a schema that has become the newest. What was valid in an older one stays valid.
    pub(crate) fn follow(&mut self, stream: &Stream, spec: &ReadSpec) -> Result<()> {
        if self.id != stream.info.schema_id {
            *self = Self::new(stream, spec)?;
        }
        Ok(())
    }

    /// Rows of an older schema as this shape has them.
    pub(crate) fn adapt(&self, rows: &RecordBatch, projection: Option<&[usize]>) -> Result<RecordBatch> {
        if projection.is_none() && Arc::ptr_eq(rows.schema_ref(), &self.output) {
            return Ok(rows.clone());
        }
        let column = |at: usize| -> Result<ArrayRef> {
            let to = self.target.field(at).data_type();
            match rows.columns().get(at) {
                Some(column) => schema::widen(column, to),
                None => Ok(new_null_array(to, rows.num_rows())),
            }
        };
        let columns: Result<Vec<ArrayRef>> = match projection {
            None => (0..self.target.fields().len()).map(column).collect(),
            Some(columns) => columns.iter().map(|at| column(*at)).collect(),
        };
        let count = RecordBatchOptions::new().with_row_count(Some(rows.num_rows()));
        Ok(RecordBatch::try_new_with_options(Arc::clone(&self.output), columns?, &count)?)
    }
}
