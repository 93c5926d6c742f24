//! The join itself: rows and answers in, joined rows out.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int64Array, RecordBatch, UInt32Array, new_null_array};
use arrow::compute::{cast, concat_batches, interleave_record_batch, take_record_batch};
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef};
use headwater_core::EventTime;

use super::answer::{Keys, columns_at, key_fields, list_of, open_schema, put_together, schema, take_apart};
use super::cache::{Cache, Entry};
use super::spec::{Lookup, LookupCache, NAME};
use crate::api::{Failed, Output, Rows, Snapshot, StateChange, StateEntries, StateSize};
use crate::error::{OperatorError, Result};
use crate::uncomputed::mask_or_null;

const TABLE: &str = "cache";
const ORDER: &str = "$order";

/// A lookup join and its cache. There is one for all workers: what it waits for is outside.
pub struct LookupOperator {
    lookup: Arc<Lookup>,
    schema: SchemaRef,
    keys: Keys,
    cache: Cache,
    limits: LookupCache,
    /// The first place of a key that was asked in this step.
    asked_since: u64,
}

impl LookupOperator {
    pub(super) fn new(lookup: Arc<Lookup>, schema: SchemaRef) -> Result<Self> {
        let limits = LookupCache { keys_max: 0, ttl: None, keeps_missing: true };
        let keys = Keys::new(&lookup)?;
        Ok(Self { lookup, schema, keys, cache: Cache::default(), limits, asked_since: 0 })
    }

    /// What it is.
    pub fn lookup(&self) -> &Lookup {
        &self.lookup
    }

    /// Says how much is kept. It must be the same whenever a job is opened.
    pub fn limit(&mut self, limits: LookupCache) {
        self.limits = limits;
    }

    /// The keys of rows that must be asked for, each once, in the order in which they come; `None` if there are none. Answers from before
    /// `fresh_from` are asked for again, and so are those that are older than may be.
    pub fn asks(
        &self,
        rows: &[Rows],
        now: EventTime,
        fresh_from: Option<EventTime>,
    ) -> Result<Option<RecordBatch>> {
        let oldest = self.limits.ttl.map(|ttl| now.minus(ttl).0);
        let is_fresh = |entry: &Entry| {
            oldest.is_none_or(|oldest| entry.at > oldest) && fresh_from.is_none_or(|from| entry.at >= from.0)
        };
        let mut seen: HashSet<Box<[u8]>> = HashSet::new();
        let schema = Arc::new(Schema::new(key_fields(&self.lookup)));
        let mut asked = Vec::new();
        for rows in rows {
            let columns = columns_at(&rows.batch, &self.lookup.keys);
            let mut places = Vec::new();
            for (row, key) in (0_u32..).zip(self.keys.read(&columns)?) {
                let Some(key) = key else { continue };
                if !self.cache.get(&key).is_some_and(is_fresh) && seen.insert(key) {
                    places.push(row);
                }
            }
            let keys = RecordBatch::try_new(Arc::clone(&schema), columns)?;
            asked.push(take_record_batch(&keys, &UInt32Array::from(places))?);
        }
        let asked = concat_batches(&schema, &asked)?;
        Ok((asked.num_rows() > 0).then_some(asked))
    }

    /// Those of the keys that were asked of which a table has no row.
    pub fn missing(&self, asked: &RecordBatch, found: &RecordBatch) -> Result<Option<RecordBatch>> {
        let column = |(name, asked): (&String, &ArrayRef)| {
            let column = found.column_by_name(name).ok_or_else(|| OperatorError::Lookup {
                table: self.lookup.table.clone(),
                reason: format!("it gave no column '{name}'"),
            })?;
            Ok(cast(column, asked.data_type())?)
        };
        let found =
            self.lookup.key_columns.iter().zip(asked.columns()).map(column).collect::<Result<Vec<_>>>()?;
        let found: HashSet<_> = self.keys.read(&found)?.into_iter().flatten().collect();
        let asked_keys = self.keys.read(asked.columns())?;
        let places =
            (0_u32..).zip(asked_keys).filter(|(_, key)| key.as_ref().is_none_or(|key| !found.contains(key)));
        let places = UInt32Array::from_iter_values(places.map(|(row, _)| row));
        Ok(if places.is_empty() { None } else { Some(take_record_batch(asked, &places)?) })
    }

    /// What a table answered as it is kept, and its rows that cannot be computed: `found` are its rows, with the columns that were
    /// asked for.
    pub fn answer(
        &self,
        asked: &RecordBatch,
        found: RecordBatch,
        at: EventTime,
    ) -> Result<(RecordBatch, Vec<Failed>)> {
        let mut rows = vec![Rows::new(RecordBatch::try_new(
            Arc::clone(&self.lookup.fetched),
            found.columns().to_vec(),
        )?)];
        let mut failed = Vec::new();
        for spec in &self.lookup.answer {
            let (mut operator, mut output) = (spec.instantiate()?, Output::default());
            for rows in rows {
                operator.on_batch(0, rows, &mut output)?;
            }
            rows = output.rows;
            failed.append(&mut output.failed);
        }
        let table: Arc<str> = self.lookup.table.as_str().into();
        failed.iter_mut().for_each(|failed| failed.table = Some(Arc::clone(&table)));
        let batches: Vec<_> = rows.into_iter().map(|rows| rows.batch).collect();
        let found = concat_batches(&self.lookup.answered, &batches)?;
        Ok((put_together(&self.lookup, &self.keys, asked, &found, at.0)?, failed))
    }

    /// Takes an answer into the cache.
    pub fn learn(&mut self, answer: &RecordBatch) -> Result<()> {
        self.asked_since = self.cache.next_order();
        let (columns, times, rows, counts) = take_apart(&self.lookup, answer)?;
        let orders = (0..counts.len() as u64).map(|nth| self.asked_since + nth).collect();
        self.keep(columns, &times, orders, rows, &counts, true)
    }

    fn keep(
        &mut self,
        columns: Vec<ArrayRef>,
        times: &Int64Array,
        orders: Vec<u64>,
        rows: RecordBatch,
        counts: &[usize],
        is_change: bool,
    ) -> Result<()> {
        let names = self.keys.read(&columns)?;
        let keys = Arc::new(RecordBatch::try_new(Arc::new(Schema::new(key_fields(&self.lookup))), columns)?);
        let (rows, mut from) = (Arc::new(rows), 0);
        for (key, name) in names.into_iter().enumerate() {
            let range = from..from + counts[key];
            from = range.end;
            let Some(name) = name else { continue };
            let (rows, keys) = (Arc::clone(&rows), Arc::clone(&keys));
            let entry = Entry { rows, range, keys, key, at: times.value(key), order: orders[key] };
            self.cache.put(name, entry, is_change);
        }
        Ok(())
    }

    /// Joins rows whose keys have all been asked.
    pub fn join(&self, rows: &Rows) -> Result<Rows> {
        // The first batch is the row of nulls of those that have no match.
        let nulls = open_schema(&self.lookup);
        let columns = nulls.fields().iter().map(|field| new_null_array(field.data_type(), 1));
        let nulls = RecordBatch::try_new(Arc::clone(&nulls), columns.collect())?;
        let mut batches: Vec<&RecordBatch> = vec![&nulls];
        let mut place_of: HashMap<*const RecordBatch, usize> = HashMap::new();
        let (mut left, mut right) = (Vec::new(), Vec::new());
        let columns = columns_at(&rows.batch, &self.lookup.keys);
        for (row, key) in (0_u32..).zip(self.keys.read(&columns)?) {
            let Some(key) = key else { continue };
            let entry = self.cache.get(&key).ok_or_else(|| {
                OperatorError::bad_checkpoint(NAME, "a key was neither asked for nor answered before")
            })?;
            let place = *place_of.entry(Arc::as_ptr(&entry.rows)).or_insert_with(|| {
                batches.push(&entry.rows);
                batches.len() - 1
            });
            left.extend(entry.range.clone().map(|_| row));
            right.extend(entry.range.clone().map(|at| (place, at)));
        }
        let mut passed = vec![true; left.len()];
        if let Some(residual) = &self.lookup.residual {
            let pairs = self.pairs(rows, &left, &batches, &right)?;
            let mask = mask_or_null(residual, &pairs.batch, NAME)?;
            passed = (0..left.len()).map(|nth| mask.is_valid(nth) && mask.value(nth)).collect();
        }
        let keep = |nth: &usize| passed[*nth];
        let mut pairs: Vec<(u32, (usize, usize))> =
            (0..left.len()).filter(keep).map(|nth| (left[nth], right[nth])).collect();
        if self.lookup.is_left {
            let matched: HashSet<u32> = pairs.iter().map(|(row, _)| *row).collect();
            let all = 0..u32::try_from(rows.len()).unwrap_or(u32::MAX);
            pairs.extend(all.filter(|row| !matched.contains(row)).map(|row| (row, (0, 0))));
            pairs.sort_by_key(|(row, _)| *row);
        }
        let (left, right): (Vec<_>, Vec<_>) = pairs.into_iter().unzip();
        self.pairs(rows, &left, &batches, &right)
    }

    fn pairs(
        &self,
        rows: &Rows,
        left: &[u32],
        batches: &[&RecordBatch],
        right: &[(usize, usize)],
    ) -> Result<Rows> {
        let rows = rows.take(&UInt32Array::from(left.to_vec()))?;
        let found = interleave_record_batch(batches, right)?;
        let columns = rows.batch.columns().iter().chain(found.columns()).cloned().collect();
        // Rows without a match are nowhere but in a left join, whose schema lets them be.
        Ok(rows.with_batch(RecordBatch::try_new(Arc::clone(&self.schema), columns)?))
    }

    /// Ends a step: what is more than may be kept goes.
    pub fn settle(&mut self) {
        self.cache.shrink(self.limits.keys_max, self.limits.keeps_missing, self.asked_since);
        self.asked_since = self.cache.next_order();
    }

    /// How much is kept.
    pub fn state_size(&self) -> StateSize {
        StateSize { entries: self.cache.len() as u64, bytes: self.cache.len() as u64 * 256 }
    }

    /// Writes what has changed since the last snapshot (or everything).
    pub fn snapshot(&mut self, full: bool, out: &mut Snapshot) -> Result<()> {
        let (entries, gone) = self.cache.drain(full);
        if !gone.is_empty() {
            let rows =
                concat_rows(gone.iter().map(|(keys, row)| (&**keys, *row..*row + 1)), &self.key_schema())?;
            out.push(StateEntries {
                table: TABLE.into(),
                change: StateChange::Delete,
                rows,
                slots: Vec::new(),
            });
        }
        if entries.is_empty() {
            return Ok(());
        }
        let keys = entries.iter().map(|entry| (&*entry.keys, entry.key..entry.key + 1));
        let keys = concat_rows(keys, &self.key_schema())?;
        let found = entries.iter().map(|entry| (&*entry.rows, entry.range.clone()));
        let found = concat_rows(found, &open_schema(&self.lookup))?;
        let counts = entries.iter().map(|entry| entry.range.len()).collect();
        let times: ArrayRef = Arc::new(entries.iter().map(|entry| Some(entry.at)).collect::<Int64Array>());
        let orders = entries.iter().map(|entry| Some(entry.order.cast_signed()));
        let orders: ArrayRef = Arc::new(orders.collect::<Int64Array>());
        let columns =
            keys.columns().iter().cloned().chain([times, list_of(&self.lookup, found, counts)?, orders]);
        let fields = schema(&self.lookup).fields().iter().cloned().chain([order_field()]).collect::<Vec<_>>();
        let rows = RecordBatch::try_new(Arc::new(Schema::new(fields)), columns.collect())?;
        out.push(StateEntries { table: TABLE.into(), change: StateChange::Put, rows, slots: Vec::new() });
        Ok(())
    }

    fn key_schema(&self) -> SchemaRef {
        Arc::new(Schema::new(key_fields(&self.lookup)))
    }

    /// Takes back what a snapshot wrote.
    pub fn restore(&mut self, entries: &StateEntries) -> Result<()> {
        if entries.change == StateChange::Delete {
            for key in self.keys.read(entries.rows.columns())?.into_iter().flatten() {
                self.cache.remove(&key, false);
            }
            return Ok(());
        }
        let (columns, times, rows, counts) = take_apart(&self.lookup, &entries.rows)?;
        let orders =
            entries.rows.column_by_name(ORDER).and_then(|column| column.as_primitive_opt::<Int64Type>());
        let orders =
            orders.ok_or_else(|| OperatorError::bad_checkpoint(NAME, format!("{ORDER} is missing")))?;
        let orders = orders.values().iter().map(|order| order.cast_unsigned()).collect();
        self.keep(columns, &times, orders, rows, &counts, false)?;
        self.asked_since = self.cache.next_order();
        Ok(())
    }
}

fn order_field() -> Arc<Field> {
    Arc::new(Field::new(ORDER, DataType::Int64, false))
}

/// Stretches of batches as one batch.
fn concat_rows<'a>(
    parts: impl Iterator<Item = (&'a RecordBatch, std::ops::Range<usize>)>,
    schema: &SchemaRef,
) -> Result<RecordBatch> {
    let parts: Vec<_> = parts.map(|(batch, range)| batch.slice(range.start, range.len())).collect();
    let same = parts.iter().map(|part| RecordBatch::try_new(Arc::clone(schema), part.columns().to_vec()));
    Ok(concat_batches(schema, &same.collect::<std::result::Result<Vec<_>, _>>()?)?)
}
