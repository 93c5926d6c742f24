//! Firings on their way out: collected row by row, made into columns batch by batch, put in order at the end of the step.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, Int64Array, RecordBatch, StringArray, UInt32Array};
use arrow::compute::{
    SortColumn, SortOptions, concat_batches, interleave, lexsort_to_indices, take_record_batch,
};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};

use super::machine::Fires;
use super::spec::Shared;
use super::store::RowStore;
use crate::error::Result;
use crate::windows::window_column;

/// A column of a firing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FiringColumn {
    /// When it fired, in event time, of the type of the input's time.
    At,
    /// `row`: a row made the condition true; `held`: it was true for so long; `silence`: no value came for so long.
    Cause,
    /// Since when the condition has held, or when the last value came.
    Since,
    /// A column of the row: the one that made it fire, or the key's newest.
    Input(usize),
}

/// The row that a firing shows.
#[derive(Clone, Copy)]
pub(super) enum Shown {
    /// A row of the batch.
    Row(u32),
    /// The row that is kept for the key.
    Kept,
}

/// What has fired in a batch.
#[derive(Default)]
pub(super) struct Fired {
    triggers: Vec<i64>,
    fires: Vec<Fires>,
    keys: Vec<u32>,
    shown: Vec<Shown>,
}

impl Fired {
    pub(super) fn push(&mut self, trigger: i64, fires: Fires, key: u32, shown: Shown) {
        self.triggers.push(trigger);
        self.fires.push(fires);
        self.keys.push(key);
        self.shown.push(shown);
    }

    /// The firings as columns. `kept` holds the keys' newest rows. A schema with one column more than `shared` names has the triggers'
    /// numbers first.
    pub(super) fn batch(
        self,
        shared: &Shared,
        schema: &SchemaRef,
        rows: &RecordBatch,
        kept: Option<&RowStore>,
    ) -> Result<Option<RecordBatch>> {
        if self.fires.is_empty() {
            return Ok(None);
        }
        let mut wanted = Vec::new();
        let places: Vec<(usize, usize)> = self
            .shown
            .iter()
            .zip(&self.keys)
            .map(|(shown, key)| match shown {
                Shown::Row(row) => (1, *row as usize),
                Shown::Kept => {
                    wanted.push(*key);
                    (0, wanted.len() - 1)
                }
            })
            .collect();
        let kept = match kept {
            Some(kept) => kept.columns(&wanted)?,
            None => shared
                .input
                .fields()
                .iter()
                .map(|field| arrow::array::new_empty_array(field.data_type()))
                .collect(),
        };
        let time = shared.input.field(shared.time).data_type();
        let columns = shared.output.iter().map(|(column, _)| -> Result<ArrayRef> {
            Ok(match column {
                FiringColumn::At => window_column(self.fires.iter().map(|fires| fires.at), time)?,
                FiringColumn::Since => window_column(self.fires.iter().map(|fires| fires.since), time)?,
                FiringColumn::Cause => Arc::new(StringArray::from_iter_values(
                    self.fires.iter().map(|fires| fires.cause.as_str()),
                )),
                FiringColumn::Input(column) => {
                    let both: [&dyn Array; 2] = [kept[*column].as_ref(), rows.column(*column).as_ref()];
                    interleave(&both, &places)?
                }
            })
        });
        let mut all: Vec<ArrayRef> = Vec::with_capacity(schema.fields().len());
        if schema.fields().len() > shared.output.len() {
            all.push(Arc::new(Int64Array::from(self.triggers.clone())));
        }
        for column in columns {
            all.push(column?);
        }
        Ok(Some(RecordBatch::try_new(Arc::clone(schema), all)?))
    }
}

/// The columns that come out; of a set, the trigger's number first.
pub(super) fn schema_of(shared: &Shared, of_set: bool) -> SchemaRef {
    let time = shared.input.field(shared.time).data_type();
    let field = |(column, name): &(FiringColumn, String)| match column {
        FiringColumn::At | FiringColumn::Since => Field::new(name, time.clone(), false),
        FiringColumn::Cause => Field::new(name, DataType::Utf8, false),
        FiringColumn::Input(column) => {
            Field::new(name, shared.input.field(*column).data_type().clone(), true)
        }
    };
    let number = of_set.then(|| Field::new("$trigger", DataType::Int64, false));
    Arc::new(Schema::new(number.into_iter().chain(shared.output.iter().map(field)).collect::<Vec<_>>()))
}

/// A step's firings in order: by these columns, then as they came.
pub(super) fn in_order(
    schema: &SchemaRef,
    fired: &[RecordBatch],
    order: &[usize],
) -> Result<Option<RecordBatch>> {
    if fired.is_empty() {
        return Ok(None);
    }
    let all = concat_batches(schema, fired)?;
    let options = Some(SortOptions { descending: false, nulls_first: true });
    let mut columns: Vec<SortColumn> =
        order.iter().map(|column| SortColumn { values: Arc::clone(all.column(*column)), options }).collect();
    let position = UInt32Array::from_iter_values(0..all.num_rows() as u32);
    columns.push(SortColumn { values: Arc::new(position), options });
    Ok(Some(take_record_batch(&all, &lexsort_to_indices(&columns, None)?)?))
}
