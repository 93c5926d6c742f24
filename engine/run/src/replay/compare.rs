//! What was said beside what a replay says, as bags of rows: of a changelog, what is left of it at the end.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{AsArray, BooleanArray, RecordBatch};
use arrow::datatypes::{Int64Type, Schema, SchemaRef};
use arrow_row::{OwnedRow, RowConverter, SortField};
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryPool, MemoryReservation};
use headwater_core::ShardId;
use headwater_log::ReadSpec;
use headwater_plan::{Catalog, Entry};

use super::run::Filter;
use crate::engine::{Inner, writes_into};
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

/// What a job has written, of which its own rows can be told from others'.
pub(super) struct Said {
    stream: String,
    /// Of a stream that several share: those with this value in this column.
    own: Option<(&'static str, String)>,
}

impl Said {
    /// What the job of an entry has written; fails if others write there, too.
    pub fn of(catalog: &Catalog, entry: &Entry) -> Result<Self> {
        let name = entry.name().to_owned();
        let (stream, own) = match entry {
            Entry::Job(job) => (job.target.clone(), None),
            Entry::Alarm(_) => (headwater_plan::ALARM_HISTORY.to_owned(), Some(("alarm", name))),
            Entry::ScalingGroup(_) => (headwater_plan::SCALING_ACTIVITIES.to_owned(), Some(("group", name))),
            _ => (name, None),
        };
        let is_other = |other: &&Entry| other.name() != entry.name() && writes_into(other, &stream);
        match catalog.entries().find(is_other) {
            Some(other) if own.is_none() => Err(RunError::Invalid(format!(
                "{} {} writes into {stream}, too, and its rows cannot be told from those of {}: compare with another definition, which \
                 replays both (--query)",
                other.kind(),
                other.name(),
                entry.name()
            ))),
            _ => Ok(Self { stream, own }),
        }
    }

    /// Reads all of it.
    pub fn read(
        &self,
        inner: &Inner,
        schema: &SchemaRef,
        filter: Option<Filter>,
        mut take: impl FnMut(RecordBatch) -> Result<()>,
    ) -> Result<()> {
        let stream = &self.stream;
        let info = inner.log.stream_named(stream)?;
        let columns = info.spec.schema.fields().len();
        if columns != schema.fields().len() {
            let wanted = schema.fields().len();
            return Err(RunError::Invalid(format!(
                "stream {stream} has {columns} columns, the replay has {wanted}: they cannot be compared"
            )));
        }
        for (shard, bounds) in inner.log.bounds(info.id)?.iter().enumerate() {
            if bounds.first == bounds.next {
                continue;
            }
            let spec = ReadSpec { until: Some(bounds.next), ..ReadSpec::all(info.id, ShardId(shard as u32)) };
            let mut reader = inner.log.read(spec)?;
            while let Some(read) = reader.next()? {
                let mut rows = read.rows;
                if let Some((column, owner)) = &self.own
                    && let Some(names) = rows.column_by_name(column)
                {
                    let names = names.as_string::<i32>();
                    let own: BooleanArray =
                        names.iter().map(|name| Some(name == Some(owner.as_str()))).collect();
                    rows = arrow::compute::filter_record_batch(&rows, &own)?;
                }
                let rows = fit(schema, rows.columns().to_vec())?;
                take(match filter {
                    Some(filter) => filter.keep(rows)?,
                    None => rows,
                })?;
            }
        }
        Ok(())
    }
}

/// Two bags of rows. What they take of memory is that of queries.
pub(super) struct Bags {
    /// The columns without the weight.
    schema: SchemaRef,
    converter: RowConverter,
    counts: BTreeMap<OwnedRow, [i64; 2]>,
    memory: MemoryReservation,
}

/// What a row in a bag takes besides its bytes, roughly.
const ROW_BYTES: usize = 64;

impl Bags {
    /// Empty ones, for rows of these columns. The last may be a weight.
    pub fn new(schema: &Schema, pool: &Arc<dyn MemoryPool>) -> Result<Self> {
        let weighted = schema.fields().last().is_some_and(|field| field.name() == WEIGHT);
        let own = schema.fields().len() - usize::from(weighted);
        let fields: Vec<_> = schema.fields().iter().take(own).cloned().collect();
        let sorted = fields.iter().map(|field| SortField::new(field.data_type().clone()));
        let converter = RowConverter::new(sorted.collect())?;
        let memory = MemoryConsumer::new("difference of a replay").register(pool);
        Ok(Self { schema: Arc::new(Schema::new(fields)), converter, counts: BTreeMap::new(), memory })
    }

    /// Adds rows to the bag of what was before, 0, or of what is now, 1.
    pub fn add(&mut self, batch: &RecordBatch, side: usize) -> Result<()> {
        let own = self.schema.fields().len();
        let weights = (batch.num_columns() > own).then(|| batch.column(own).as_primitive::<Int64Type>());
        let mut bytes = 0;
        for (nth, row) in self.converter.convert_columns(&batch.columns()[..own])?.iter().enumerate() {
            let weight = weights.map_or(1, |weights| weights.value(nth));
            let (row, counts) = (row.owned(), &mut self.counts);
            counts.entry(row).or_insert_with_key(|row| {
                bytes += row.as_ref().len() + ROW_BYTES;
                [0, 0]
            })[side] += weight;
        }
        self.memory.try_grow(bytes).map_err(|_| {
            RunError::Invalid(
                "the rows to be compared do not fit into the memory for queries: compare a shorter stretch, or give queries \
                 more of it (--query-memory-mib)"
                    .to_owned(),
            )
        })
    }

    /// Where they differ.
    pub fn differences(self) -> Result<Difference> {
        let Self { schema, converter, counts, .. } = self;
        let more_of = |one: usize, other: usize| -> Result<Vec<RecordBatch>> {
            let rows = counts.iter().flat_map(|(row, counts)| {
                let more = counts[one].max(0) - counts[other].max(0);
                std::iter::repeat_n(row.row(), usize::try_from(more).unwrap_or(0))
            });
            let batch = RecordBatch::try_new(Arc::clone(&schema), converter.convert_rows(rows)?)?;
            Ok(if batch.num_rows() > 0 { vec![batch] } else { Vec::new() })
        };
        let in_both = counts.values().map(|counts| counts[0].min(counts[1]).max(0).unsigned_abs()).sum();
        let (only_before, only_now) = (more_of(0, 1)?, more_of(1, 0)?);
        Ok(Difference { only_before, only_now, in_both, schema })
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{ArrayRef, Int64Array};
    use datafusion::execution::memory_pool::{GreedyMemoryPool, UnboundedMemoryPool};

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

    fn compare(before: &RecordBatch, now: &RecordBatch, pool: Arc<dyn MemoryPool>) -> Result<Difference> {
        let mut bags = Bags::new(&before.schema(), &pool)?;
        bags.add(before, 0)?;
        bags.add(now, 1)?;
        bags.differences()
    }

    #[test]
    fn of_a_changelog_the_end_is_compared_and_not_the_way() {
        let before = changelog(&[(1, 1), (1, -1), (2, 1), (4, 1)]);
        let now = changelog(&[(2, 1), (3, 1), (2, 1)]);
        let found = compare(&before, &now, Arc::new(UnboundedMemoryPool::default())).unwrap();
        assert_eq!((numbers(&found.only_before), numbers(&found.only_now)), (vec![4], vec![2, 3]));
        assert_eq!((found.in_both, found.schema.fields().len()), (1, 1));
    }

    #[test]
    fn what_does_not_fit_into_memory_is_refused() {
        let rows: Vec<(i64, i64)> = (0..1_000).map(|n| (n, 1)).collect();
        let one = changelog(&rows);
        let pool = || Arc::new(GreedyMemoryPool::new(100_000));
        assert_eq!(compare(&one, &one, pool()).unwrap().in_both, 1_000);
        let more: Vec<(i64, i64)> = (0..2_000).map(|n| (n, 1)).collect();
        let error = compare(&one, &changelog(&more), pool()).err().unwrap().to_string();
        assert!(error.contains("compare a shorter stretch"), "{error}");
    }
}
