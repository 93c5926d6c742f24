//! `VALUES` in FROM: a table that the query brings along. Its rows come with the job's first step, which is told by the first stream that
//! the query reads.

use std::sync::Arc;

use arrow::array::{RecordBatch, RecordBatchOptions};
use arrow::compute::{cast, concat_batches};
use arrow::datatypes::Schema;
use datafusion::common::{DFSchema, Result};
use datafusion::logical_expr::{EmptyRelation, Values};
use headwater_operators::{Changes, Complete, OperatorSpec, ValuesSpec};

use super::flow::{Flow, Time};
use super::lower::Lower;
use super::refuse::no_stream;
use crate::dataflow::{Exchange, Stage, StageInput, Upstream};
use crate::error::refused;

/// What stands for the first stream until it is known.
const FIRST: Upstream = Upstream::Source(usize::MAX);

impl Lower<'_> {
    pub(super) fn values(&mut self, values: &Values) -> Result<Flow> {
        let (nothing, one) = (DFSchema::empty(), one_row());
        let schema = Arc::clone(values.schema.inner());
        let mut rows = Vec::with_capacity(values.values.len());
        for row in &values.values {
            let columns = row.iter().zip(schema.fields()).map(|(expr, field)| {
                let value = self.physical(expr, &nothing)?.evaluate(&one)?.into_array(1)?;
                Ok(cast(&value, field.data_type())?)
            });
            rows.push(RecordBatch::try_new(Arc::clone(&schema), columns.collect::<Result<_>>()?)?);
        }
        Ok(self.said_first(concat_batches(&schema, &rows)?))
    }

    /// No row, or one without columns, from which `SELECT 1` without FROM is computed.
    pub(super) fn empty_relation(&mut self, relation: &EmptyRelation) -> Flow {
        let rows = match relation.produce_one_row {
            true => one_row(),
            false => RecordBatch::new_empty(Arc::clone(relation.schema.inner())),
        };
        self.said_first(rows)
    }

    fn said_first(&mut self, rows: RecordBatch) -> Flow {
        let schema = rows.schema();
        let inputs = vec![StageInput { from: FIRST, exchange: Exchange::Gather }];
        let operators: Vec<Arc<dyn OperatorSpec>> = vec![Arc::new(ValuesSpec::new(rows))];
        let from = self.push(Stage { inputs, operators, schema: Arc::clone(&schema), delay: 0 });
        let inputs = vec![StageInput { from: Upstream::Stage(from), exchange: Exchange::Forward }];
        let mut flow = Flow::new(inputs, schema, Changes::AppendOnly, Time::default());
        flow.complete = Some(Complete::Brought);
        flow
    }

    /// Once all streams are known: gives the stages of values the first of them.
    pub(super) fn tell_values(&mut self) -> Result<()> {
        let inputs = self.stages.iter_mut().flat_map(|stage| &mut stage.inputs);
        for input in inputs.filter(|input| input.from == FIRST) {
            if self.sources.is_empty() {
                return Err(refused(no_stream()));
            }
            input.from = Upstream::Source(0);
        }
        Ok(())
    }
}

/// One row without columns.
fn one_row() -> RecordBatch {
    let options = RecordBatchOptions::new().with_row_count(Some(1));
    let row = RecordBatch::try_new_with_options(Arc::new(Schema::empty()), Vec::new(), &options);
    row.expect("no column has another length")
}
