//! What one definition says more or less than another.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Int64Array, RecordBatch};
use arrow::datatypes::{Schema, SchemaRef};
use arrow_row::{OwnedRow, RowConverter, SortField};
use headwater_log::StreamInfo;
use headwater_operators::Rows;

use crate::error::{Result, RunError};
use crate::job::{WEIGHT, fit};

/// Rows with weights; those of weight zero are not there. What both definitions say alike takes no room.
pub(super) struct Difference {
    schema: SchemaRef,
    converter: RowConverter,
    is_changelog: bool,
    weights: BTreeMap<OwnedRow, i64>,
}

impl Difference {
    /// Nothing, in the columns of a target.
    pub fn new(target: &StreamInfo) -> Result<Self> {
        let fields = target.spec.schema.fields();
        let is_changelog = fields.last().is_some_and(|field| field.name() == WEIGHT);
        let own = &fields[..fields.len() - usize::from(is_changelog)];
        let sort = own.iter().map(|field| SortField::new(field.data_type().clone())).collect();
        let schema = Arc::new(Schema::new(own.to_vec()));
        Ok(Self { schema, converter: RowConverter::new(sort)?, is_changelog, weights: BTreeMap::new() })
    }

    /// Adds rows so many times.
    pub fn add(&mut self, rows: &[Rows], times: i64) -> Result<()> {
        for rows in rows {
            let batch = fit(&self.schema, rows.batch.columns().to_vec())?;
            for (nth, row) in self.converter.convert_columns(batch.columns())?.iter().enumerate() {
                let weight = times * rows.weights.as_ref().map_or(1, |weights| weights.value(nth));
                let sum = self.weights.entry(row.owned()).or_default();
                *sum += weight;
                if *sum == 0 {
                    self.weights.remove(&row.owned());
                }
            }
        }
        Ok(())
    }

    /// The rows as a step says them: retractions first, so that a key has no two rows at a time.
    pub fn into_rows(self, name: &str) -> Result<Vec<Rows>> {
        let retracted =
            self.weights.values().filter(|weight| **weight < 0).map(|weight| weight.unsigned_abs());
        let retracted: u64 = retracted.sum();
        if retracted > 0 && !self.is_changelog {
            let reason = format!(
                "{retracted} of its rows would have to be taken back, but its stream only takes additions"
            );
            return Err(RunError::Replace { name: name.to_owned(), reason });
        }
        let (taken, added): (Vec<_>, Vec<_>) = self.weights.iter().partition(|(_, weight)| **weight < 0);
        let mut all = Vec::new();
        for part in [taken, added].into_iter().filter(|part| !part.is_empty()) {
            let times =
                |weight: i64| if self.is_changelog { 1 } else { usize::try_from(weight).unwrap_or(0) };
            let rows = part.iter().flat_map(|(row, weight)| std::iter::repeat_n(row.row(), times(**weight)));
            let batch = RecordBatch::try_new(Arc::clone(&self.schema), self.converter.convert_rows(rows)?)?;
            let weights = self
                .is_changelog
                .then(|| part.iter().map(|(_, weight)| Some(**weight)).collect::<Int64Array>());
            all.push(Rows { weights, ..Rows::new(batch) });
        }
        Ok(all)
    }
}
