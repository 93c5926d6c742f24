//! What the matches of a step say: rows, with what the measures look at; computed for all of them together.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow::datatypes::{DataType, SchemaRef};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::scalar::ScalarValue;

use super::buffer::{Buffer, Place};
use super::conditions::{Column, schema_of};
use super::partition::Partition;
use super::registers::{Layout, Look, Registers};
use super::spec::{MatchRecognize, NAME, RowsPerMatch};
use crate::error::Result;
use crate::uncomputed::column_or_null;

/// Which rows of a match a measure sees, where all rows come out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd)]
pub enum Semantics {
    /// Those up to the row that comes out.
    Running,
    /// All of the match.
    Final,
}

/// A column that comes out besides those of the input.
#[derive(Clone, Debug)]
pub struct Measure {
    /// Over [`MatchRecognize::measured`]: the columns `$0`, `$1`, ..
    pub expr: Arc<dyn PhysicalExpr>,
    /// Its name.
    pub name: String,
}

/// The rows that the matches of a step have said.
pub(super) struct Emitted {
    what: Arc<MatchRecognize>,
    layout: Layout,
    schema: SchemaRef,
    /// For each row its partition, and a row of the input.
    partitions: Vec<u32>,
    rows: Vec<Option<Place>>,
    columns: Vec<Column>,
}

impl Emitted {
    pub(super) fn new(what: &Arc<MatchRecognize>, operands: &[DataType]) -> Result<Self> {
        let looks = || what.measured.iter().map(|(look, _)| look);
        let schema = schema_of(looks(), operands)?;
        let columns = looks().zip(schema.fields()).map(|(look, field)| Column::of(look, field.data_type()));
        Ok(Self {
            layout: Layout::new(looks(), operands)?,
            columns: columns.collect(),
            schema,
            partitions: Vec::new(),
            rows: Vec::new(),
            what: Arc::clone(what),
        })
    }

    /// Takes in a match, which begins where the partition's attempt does.
    pub(super) fn say(
        &mut self,
        number: u32,
        partition: &Partition,
        variables: &[u16],
        buffer: &Buffer,
    ) -> Result<()> {
        let start = partition.start;
        let mut seen = self.layout.empty();
        let first_row = self.rows.len();
        for (nth, variable) in (0..).zip(variables) {
            let place = partition.row(start + u64::from(nth)).place;
            self.layout.take(&mut seen, nth, *variable, place, buffer)?;
            if self.what.rows == RowsPerMatch::All {
                self.partitions.push(number);
                self.rows.push(Some(place));
                self.see(Semantics::Running, 1, partition, *variable, &seen, buffer)?;
            }
        }
        let Some(last) = variables.last() else { return Ok(()) };
        if self.what.rows == RowsPerMatch::One {
            self.partitions.push(number);
            self.rows.push(Some(partition.row(start).place));
            self.see(Semantics::Running, 1, partition, *last, &seen, buffer)?;
        }
        let rows = self.rows.len() - first_row;
        self.see(Semantics::Final, rows, partition, *last, &seen, buffer)
    }

    /// Adds what the looks of one semantics see to so many rows.
    fn see(
        &mut self,
        semantics: Semantics,
        rows: usize,
        partition: &Partition,
        variable: u16,
        seen: &Registers,
        buffer: &Buffer,
    ) -> Result<()> {
        for ((look, of), column) in self.what.measured.iter().zip(&mut self.columns) {
            if *of != semantics {
                continue;
            }
            match (look, column) {
                (Look::Row { of, side, offset, step, .. }, Column::Rows(_, places)) => {
                    let row = self.layout.row(seen, *of, *side, *offset, None);
                    let row =
                        row.and_then(|row| partition.neighbour(partition.start + u64::from(row), *step));
                    places.extend(std::iter::repeat_n(row, rows));
                }
                (Look::Fold { fold, operand, of }, Column::Values(_, values)) => {
                    let value = self.layout.fold(seen, *fold, *operand, *of, None, buffer)?;
                    values.extend(std::iter::repeat_n(value, rows));
                }
                (Look::Classifier, Column::Values(_, values)) => {
                    let name = ScalarValue::from(self.what.variables[usize::from(variable)].as_str());
                    values.extend(std::iter::repeat_n(name, rows));
                }
                (Look::Number, Column::Values(_, values)) => {
                    values.extend(std::iter::repeat_n(ScalarValue::from(partition.matches), rows));
                }
                _ => unreachable!("a column is made for its look"),
            }
        }
        Ok(())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The rows so far, and the partition of each; leaves none behind.
    pub(super) fn finish(&mut self, schema: &SchemaRef, buffer: &Buffer) -> Result<(RecordBatch, Vec<u32>)> {
        let rows = std::mem::take(&mut self.rows);
        let options = RecordBatchOptions::new().with_row_count(Some(rows.len()));
        let looked_at = self.columns.iter_mut().map(|column| column.finish(buffer)).collect::<Result<_>>()?;
        let looked_at = RecordBatch::try_new_with_options(Arc::clone(&self.schema), looked_at, &options)?;
        let own = |column: &usize| buffer.gather_column(*column, &rows);
        let measures =
            self.what.measures.iter().map(|measure| column_or_null(&measure.expr, &looked_at, NAME));
        let mut columns: Vec<ArrayRef> = self.what.leading.iter().map(own).collect::<Result<_>>()?;
        columns.extend(measures.collect::<Result<Vec<_>>>()?);
        columns.extend(self.what.trailing.iter().map(own).collect::<Result<Vec<_>>>()?);
        let batch = RecordBatch::try_new_with_options(Arc::clone(schema), columns, &options)?;
        Ok((batch, std::mem::take(&mut self.partitions)))
    }
}
