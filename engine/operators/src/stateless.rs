//! Filter and projection: rows in, rows out, in the same order, without state. A row for which they cannot be computed is left out
//! ([`crate::uncomputed`]).

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, RecordBatch, RecordBatchOptions};
use arrow::compute::{concat, concat_batches};
use arrow::datatypes::{DataType, Schema, SchemaRef};
use datafusion::physical_expr::PhysicalExpr;

use crate::api::{Changes, Operator, OperatorSpec, Output, Rows};
use crate::error::{OperatorError, Result};
use crate::uncomputed::{leave_out, piecewise};

/// Keeps the rows for which a predicate is true.
#[derive(Debug, Clone)]
pub struct FilterSpec {
    predicate: Arc<dyn PhysicalExpr>,
    schema: SchemaRef,
    changes: Changes,
}

impl FilterSpec {
    /// A filter over rows of `schema`. The predicate is boolean; null counts as false.
    pub fn try_new(predicate: Arc<dyn PhysicalExpr>, schema: SchemaRef) -> Result<Self> {
        let kind = predicate.data_type(&schema)?;
        if kind != DataType::Boolean {
            return Err(OperatorError::unsupported("Filter", format!("{predicate} is {kind}, not boolean")));
        }
        Ok(Self { predicate, schema, changes: Changes::AppendOnly })
    }

    /// The same over an input that changes so.
    pub fn with_changes(self, changes: Changes) -> Self {
        Self { changes, ..self }
    }
}

impl OperatorSpec for FilterSpec {
    fn name(&self) -> &'static str {
        "Filter"
    }

    fn describe(&self) -> String {
        self.predicate.to_string()
    }

    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn changes(&self) -> Changes {
        self.changes.clone()
    }

    fn instantiate(&self) -> Result<Box<dyn Operator>> {
        Ok(Box::new(Filter { predicate: Arc::clone(&self.predicate) }))
    }
}

struct Filter {
    predicate: Arc<dyn PhysicalExpr>,
}

impl Operator for Filter {
    fn on_batch(&mut self, _input: usize, rows: Rows, out: &mut Output) -> Result<()> {
        let compute = |batch: &RecordBatch| evaluate_mask(&self.predicate, batch, "Filter");
        let (rows, mask) = match compute(&rows.batch) {
            Ok(mask) => (rows, mask),
            Err(error) if error.reason_of_row().is_some() => {
                let pieces = piecewise(&rows.batch, compute)?;
                let kept = leave_out(&rows, &pieces, "Filter", out)?;
                let masks: Vec<BooleanArray> = pieces.into_iter().filter_map(|(_, mask)| mask.ok()).collect();
                if masks.is_empty() {
                    return Ok(());
                }
                let masks: Vec<&dyn Array> = masks.iter().map(|mask| mask as &dyn Array).collect();
                (kept, concat(&masks)?.as_boolean().clone())
            }
            Err(error) => return Err(error),
        };
        match mask.true_count() {
            0 => {}
            all if all == rows.len() => out.emit(rows),
            _ => out.emit(rows.filter(&mask)?),
        }
        Ok(())
    }
}

/// Computes columns.
#[derive(Debug, Clone)]
pub struct ProjectSpec {
    exprs: Vec<(Arc<dyn PhysicalExpr>, String)>,
    schema: SchemaRef,
    changes: Changes,
}

impl ProjectSpec {
    /// A projection of rows of `input`: expressions and their names.
    pub fn try_new(exprs: Vec<(Arc<dyn PhysicalExpr>, String)>, input: &Schema) -> Result<Self> {
        let fields = exprs
            .iter()
            .map(|(expr, name)| Ok(expr.return_field(input)?.as_ref().clone().with_name(name)))
            .collect::<Result<Vec<_>>>()?;
        Ok(Self { exprs, schema: Arc::new(Schema::new(fields)), changes: Changes::AppendOnly })
    }

    /// The same over an input that changes; `changes` is said of the output's columns.
    pub fn with_changes(self, changes: Changes) -> Self {
        Self { changes, ..self }
    }
}

impl OperatorSpec for ProjectSpec {
    fn name(&self) -> &'static str {
        "Project"
    }

    fn describe(&self) -> String {
        let exprs: Vec<_> = self
            .exprs
            .iter()
            .map(|(expr, name)| {
                let text = expr.to_string();
                // A column's text is `name@index`.
                if text.rsplit_once('@').is_some_and(|(column, _)| column == name) {
                    name.clone()
                } else {
                    format!("{text} as {name}")
                }
            })
            .collect();
        exprs.join(", ")
    }

    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn changes(&self) -> Changes {
        self.changes.clone()
    }

    fn instantiate(&self) -> Result<Box<dyn Operator>> {
        let exprs = self.exprs.iter().map(|(expr, _)| Arc::clone(expr)).collect();
        Ok(Box::new(Project { exprs, schema: Arc::clone(&self.schema) }))
    }
}

struct Project {
    exprs: Vec<Arc<dyn PhysicalExpr>>,
    schema: SchemaRef,
}

impl Project {
    fn compute(&self, batch: &RecordBatch) -> Result<RecordBatch> {
        let columns = self.exprs.iter().map(|expr| evaluate_column(expr, batch, "Project"));
        let columns = columns.collect::<Result<Vec<_>>>()?;
        // A projection to no columns (`SELECT COUNT(*)` needs none) still has so many rows.
        let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        Ok(RecordBatch::try_new_with_options(Arc::clone(&self.schema), columns, &options)?)
    }
}

impl Operator for Project {
    fn on_batch(&mut self, _input: usize, rows: Rows, out: &mut Output) -> Result<()> {
        match self.compute(&rows.batch) {
            Ok(batch) => out.emit(rows.with_batch(batch)),
            Err(error) if error.reason_of_row().is_some() => {
                let pieces = piecewise(&rows.batch, |batch| self.compute(batch))?;
                let kept = leave_out(&rows, &pieces, "Project", out)?;
                let batches: Vec<_> = pieces.into_iter().filter_map(|(_, batch)| batch.ok()).collect();
                out.emit(kept.with_batch(concat_batches(&self.schema, &batches)?));
            }
            Err(error) => return Err(error),
        }
        Ok(())
    }
}

/// The column that an expression gives for a batch.
pub(crate) fn evaluate_column(
    expr: &Arc<dyn PhysicalExpr>,
    batch: &RecordBatch,
    operator: &str,
) -> Result<ArrayRef> {
    expr.evaluate(batch)
        .and_then(|value| value.into_array(batch.num_rows()))
        .map_err(|source| OperatorError::Expression { operator: operator.to_owned(), source })
}

/// The mask that a predicate gives for a batch.
pub(crate) fn evaluate_mask(
    predicate: &Arc<dyn PhysicalExpr>,
    batch: &RecordBatch,
    operator: &str,
) -> Result<BooleanArray> {
    let column = evaluate_column(predicate, batch, operator)?;
    column.as_boolean_opt().cloned().ok_or_else(|| {
        OperatorError::unsupported(operator, format!("{predicate} is {}, not boolean", column.data_type()))
    })
}
