//! What the job has said beside what a replay says, as bags of rows: of a changelog, what is left of it at the end.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{AsArray, BooleanArray, RecordBatch};
use arrow::datatypes::{Int64Type, Schema, SchemaRef};
use arrow_row::{OwnedRow, RowConverter, SortField};
use headwater_core::ShardId;
use headwater_log::ReadSpec;

use super::run::Filter;
use crate::engine::Inner;
use crate::error::{Result, RunError};
use crate::job::{WEIGHT, fit};

/// Where two bags of rows differ.
pub(super) struct Difference {
    /// The columns, without the weights of a changelog.
    pub schema: SchemaRef,
    pub only_before: Vec<RecordBatch>,
    pub only_now: Vec<RecordBatch>,
    pub in_both: u64,
}

/// What the job has written into a stream. Of a stream that several share, its own rows: those with this value in this column.
pub(super) fn results_of(
    inner: &Inner,
    target: &str,
    own: Option<(&str, &str)>,
    schema: &SchemaRef,
    filter: Option<Filter>,
) -> Result<Vec<RecordBatch>> {
    let info = inner.log.stream_named(target)?;
    let columns = info.spec.schema.fields().len();
    if columns != schema.fields().len() {
        let wanted = schema.fields().len();
        return Err(RunError::Invalid(format!(
            "stream {target} has {columns} columns, the replay has {wanted}: they cannot be compared"
        )));
    }
    let mut batches = Vec::new();
    for (shard, bounds) in inner.log.bounds(info.id)?.iter().enumerate() {
        if bounds.first == bounds.next {
            continue;
        }
        let spec = ReadSpec { until: Some(bounds.next), ..ReadSpec::all(info.id, ShardId(shard as u32)) };
        let mut reader = inner.log.read(spec)?;
        while let Some(read) = reader.next()? {
            let mut rows = read.rows;
            if let Some((column, owner)) = own
                && let Some(names) = rows.column_by_name(column)
            {
                let names = names.as_string::<i32>();
                let own: BooleanArray = names.iter().map(|name| Some(name == Some(owner))).collect();
                rows = arrow::compute::filter_record_batch(&rows, &own)?;
            }
            let rows = fit(schema, rows.columns().to_vec())?;
            batches.push(match filter {
                Some(filter) => filter.keep(rows)?,
                None => rows,
            });
        }
    }
    Ok(batches)
}

/// Compares two bags of rows.
pub(super) fn differences(
    schema: &SchemaRef,
    before: &[RecordBatch],
    now: &[RecordBatch],
) -> Result<Difference> {
    let weighted = schema.fields().last().is_some_and(|field| field.name() == WEIGHT);
    let own = schema.fields().len() - usize::from(weighted);
    let fields = schema.fields().iter().take(own);
    let converter =
        RowConverter::new(fields.clone().map(|field| SortField::new(field.data_type().clone())).collect())?;
    let mut counts: BTreeMap<OwnedRow, [i64; 2]> = BTreeMap::new();
    for (batches, side) in [(before, 0), (now, 1)] {
        for batch in batches {
            let weights = weighted.then(|| batch.column(own).as_primitive::<Int64Type>());
            for (nth, row) in converter.convert_columns(&batch.columns()[..own])?.iter().enumerate() {
                let weight = weights.map_or(1, |weights| weights.value(nth));
                counts.entry(row.owned()).or_default()[side] += weight;
            }
        }
    }
    let schema = Arc::new(Schema::new(fields.cloned().collect::<Vec<_>>()));
    let more_of = |one: usize, other: usize| -> Result<Vec<RecordBatch>> {
        let rows = counts.iter().flat_map(|(row, counts)| {
            let more = counts[one].max(0) - counts[other].max(0);
            std::iter::repeat_n(row.row(), usize::try_from(more).unwrap_or(0))
        });
        let batch = RecordBatch::try_new(Arc::clone(&schema), converter.convert_rows(rows)?)?;
        Ok(if batch.num_rows() > 0 { vec![batch] } else { Vec::new() })
    };
    let in_both = counts.values().map(|counts| counts[0].min(counts[1]).max(0).unsigned_abs()).sum();
    Ok(Difference { only_before: more_of(0, 1)?, only_now: more_of(1, 0)?, in_both, schema })
}

#[cfg(test)]
mod tests {
    use arrow::array::{ArrayRef, Int64Array};

    use super::*;

    fn changelog(rows: &[(i64, i64)]) -> RecordBatch {
        let column = |values: Vec<i64>| Arc::new(Int64Array::from(values)) as ArrayRef;
        let values = column(rows.iter().map(|row| row.0).collect());
        let weights = column(rows.iter().map(|row| row.1).collect());
        RecordBatch::try_from_iter([("n", values), (WEIGHT, weights)]).unwrap()
    }

    fn numbers(batches: &[RecordBatch]) -> Vec<i64> {
        batches
            .iter()
            .flat_map(|batch| batch.column(0).as_primitive::<Int64Type>().values().to_vec())
            .collect()
    }

    #[test]
    fn of_a_changelog_the_end_is_compared_and_not_the_way() {
        let before = changelog(&[(1, 1), (1, -1), (2, 1), (4, 1)]);
        let now = changelog(&[(2, 1), (3, 1), (2, 1)]);
        let found = differences(&before.schema(), &[before], &[now]).unwrap();
        assert_eq!((numbers(&found.only_before), numbers(&found.only_now)), (vec![4], vec![2, 3]));
        assert_eq!((found.in_both, found.schema.fields().len()), (1, 1));
    }
}
