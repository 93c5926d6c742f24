//! The operator behind [`crate::EmitEverySpec`].
//!
//! Each row that has changed since the last moment at which something was said is held once, with the sum of its changes; one whose
//! changes come to nothing is let go at once. So there are about twice as many rows as groups that have changed, however often they
//! have.
//!
//! Tables of a snapshot: `watermark`: one row, `$watermark`; `changes`: `$slot`, `$sequence`, `$weight`, then the columns.

use std::sync::Arc;

use arrow::array::{AsArray, Int64Array, RecordBatch, UInt32Array};
use arrow::compute::take_record_batch;
use arrow::datatypes::Int64Type;
use arrow_row::{RowConverter, SortField};
use hashbrown::HashMap;
use headwater_core::EventTime;

use super::spec::EmitEvery;
use crate::api::{Clocks, Operator, Output, Rows, Snapshot, StateChange, StateEntries, StateSize};
use crate::error::{OperatorError, Result};
use crate::held::{Arrivals, Store, names};
use crate::windows::{check_schema, floor_to, key_columns, push_watermark, read_watermark, slots};

const TABLE: &str = "changes";
const NOTES: [&str; 1] = ["$weight"];

/// The columns of a snapshot before a row's own.
const OWN: usize = 3;

pub(super) struct EveryOperator {
    name: &'static str,
    what: Arc<EmitEvery>,
    /// What is to be said, with weights.
    rows: Store<i64>,
    /// The rows' numbers by what is in them.
    known: HashMap<Box<[u8]>, u32>,
    converter: RowConverter,
    arrivals: Arrivals,
    watermark: i64,
    /// While a snapshot is restored: rows by slot and number of arrival.
    restoring: Option<HashMap<(u32, u64), u32>>,
}

impl EveryOperator {
    pub(super) fn try_new(name: &'static str, what: &Arc<EmitEvery>) -> Result<Self> {
        let fields = what.input.fields().iter().map(|field| SortField::new(field.data_type().clone()));
        Ok(Self {
            name,
            rows: Store::new(&what.input),
            known: HashMap::new(),
            converter: RowConverter::new(fields.collect())?,
            arrivals: Arrivals::default(),
            watermark: i64::MIN,
            restoring: None,
            what: Arc::clone(what),
        })
    }

    /// Changes a row that is held; `false` if none is.
    fn change(&mut self, bytes: &[u8], weight: i64) -> bool {
        let Some(row) = self.known.get(bytes).copied() else { return false };
        let entry = self.rows.row_mut(row);
        entry.note += weight;
        if entry.note == 0 {
            self.known.remove(bytes);
            self.rows.remove(row);
        }
        true
    }

    /// Holds rows that were not: of each the place in the batch and its weight.
    fn hold(&mut self, batch: &RecordBatch, fresh: &[(u32, i64)]) -> Result<()> {
        let places = UInt32Array::from_iter_values(fresh.iter().map(|(place, _)| *place));
        let batch = take_record_batch(batch, &places)?;
        let slots = slots(&key_columns(&batch, &self.what.keys), batch.num_rows())?;
        let converted = self.converter.convert_columns(batch.columns())?;
        let each: Vec<_> = slots.iter().map(|slot| (0, *slot, self.arrivals.next(*slot), 0)).collect();
        let added = self.rows.add(batch, each.into_iter(), false);
        for ((row, bytes), (_, weight)) in added.into_iter().zip(&converted).zip(fresh) {
            self.rows.row_mut(row).note = *weight;
            self.known.insert(bytes.as_ref().into(), row);
        }
        Ok(())
    }

    /// The multiple of the interval that the watermark comes to next.
    fn next_moment(&self) -> i64 {
        floor_to(self.watermark, self.what.interval, 0).saturating_add(self.what.interval)
    }

    /// Says what there is: by slot, retractions first, and then in the order in which rows were first changed.
    fn emit(&mut self, clock: EventTime, out: &mut Output) -> Result<()> {
        let mut rows: Vec<u32> = self.known.drain().map(|(_, row)| row).collect();
        rows.sort_unstable_by_key(|row| {
            let row = self.rows.row(*row);
            (row.slot, row.note > 0, row.sequence)
        });
        let weights = Int64Array::from_iter_values(rows.iter().map(|row| self.rows.row(*row).note));
        let batch = RecordBatch::try_new(Arc::clone(&self.what.input), self.rows.columns(&rows)?)?;
        out.slots = rows.iter().map(|row| self.rows.row(*row).slot).collect();
        out.emit(Rows { batch, weights: Some(weights), clocks: Clocks::Uniform(clock) });
        rows.into_iter().for_each(|row| self.rows.remove(row));
        Ok(())
    }

    fn put(&mut self, entries: &RecordBatch) -> Result<()> {
        check_schema(self.name, entries, &self.rows.schema(&NOTES))?;
        let weights = entries.column(2).as_primitive::<Int64Type>().values();
        let batch = RecordBatch::try_new(Arc::clone(&self.what.input), entries.columns()[OWN..].to_vec())?;
        let names = names(entries);
        let added = self.rows.add(batch, names.iter().map(|(slot, sequence)| (0, *slot, *sequence, 0)), true);
        for ((row, name), weight) in added.into_iter().zip(names).zip(weights) {
            self.rows.row_mut(row).note = *weight;
            self.arrivals.pass(name.0, name.1);
            if let Some(before) = self.restoring.get_or_insert_default().insert(name, row) {
                self.rows.remove(before);
            }
        }
        Ok(())
    }

    /// Finds restored rows by what is in them, once all are there.
    fn finish_restore(&mut self) -> Result<()> {
        let Some(restored) = self.restoring.take() else { return Ok(()) };
        let rows: Vec<u32> = restored.into_values().collect();
        let converted = self.converter.convert_columns(&self.rows.columns(&rows)?)?;
        self.known = converted.iter().zip(rows).map(|(bytes, row)| (bytes.as_ref().into(), row)).collect();
        self.rows.forget_changes();
        Ok(())
    }
}

impl Operator for EveryOperator {
    fn on_batch(&mut self, _input: usize, rows: Rows, _out: &mut Output) -> Result<()> {
        self.finish_restore()?;
        let converted = self.converter.convert_columns(rows.batch.columns())?;
        let weight = |row: usize| rows.weights.as_ref().map_or(1, |weights| weights.value(row));
        // Rows that are not held yet, each once with the sum of its weights in the batch.
        let mut fresh: HashMap<&[u8], usize> = HashMap::new();
        let mut sums: Vec<(u32, i64)> = Vec::new();
        for row in 0..rows.len() {
            let bytes = converted.row(row).data();
            if self.change(bytes, weight(row)) {
                continue;
            }
            let place = *fresh.entry(bytes).or_insert_with(|| {
                sums.push((row as u32, 0));
                sums.len() - 1
            });
            sums[place].1 += weight(row);
        }
        sums.retain(|(_, weight)| *weight != 0);
        if sums.is_empty() { Ok(()) } else { self.hold(&rows.batch, &sums) }
    }

    fn on_watermark(&mut self, watermark: EventTime, out: &mut Output) -> Result<()> {
        self.finish_restore()?;
        let (clock, moment) = (EventTime(self.watermark), self.next_moment());
        self.watermark = watermark.0.max(clock.0);
        if !self.known.is_empty() && (self.watermark >= moment || self.watermark == i64::MAX) {
            self.emit(clock, out)?;
        }
        self.rows.compact()
    }

    fn snapshot(&mut self, full: bool, out: &mut Snapshot) -> Result<()> {
        self.finish_restore()?;
        push_watermark(self.watermark, out)?;
        self.rows.write(TABLE, NOTES, |weight| [*weight], full, out)
    }

    fn restore(&mut self, entries: &StateEntries) -> Result<()> {
        match (entries.table.as_str(), entries.change) {
            ("watermark", _) => {
                self.watermark = self.watermark.max(read_watermark(&entries.rows));
                Ok(())
            }
            (TABLE, StateChange::Put) => self.put(&entries.rows),
            (TABLE, StateChange::Delete) => {
                for name in names(&entries.rows) {
                    if let Some(row) = self.restoring.get_or_insert_default().remove(&name) {
                        self.rows.remove(row);
                    }
                }
                Ok(())
            }
            (other, _) => Err(OperatorError::no_state_table(self.name, other)),
        }
    }

    fn waits_for_time(&self) -> bool {
        !self.known.is_empty() || self.restoring.is_some()
    }

    fn due(&self) -> Option<EventTime> {
        // What has been restored is looked at with the next step.
        let restored = self.restoring.as_ref().map(|_| EventTime::MIN);
        restored.or_else(|| (!self.known.is_empty()).then(|| EventTime(self.next_moment())))
    }

    fn state_size(&self) -> StateSize {
        let rows = self.known.len();
        let known: usize = self.known.keys().map(|bytes| bytes.len()).sum();
        let known = known + self.known.capacity() * size_of::<(Box<[u8]>, u32)>();
        StateSize { entries: rows as u64, bytes: (self.rows.size() + known) as u64 }
    }
}
