//! The state of triggers as tables of a snapshot, in this order:
//!
//! | table | columns | |
//! |---|---|---|
//! | `watermark` | `$watermark` | one row |
//! | `keys` | keys, `$epoch`, `$time` | the key's latest event time. A key that is here is all that the tables behind say of it |
//! | `latest` | keys, `$epoch`, `$time` | the latest of the rows of later epochs alone, where that is less |
//! | `newest` | keys, the row | the key's newest row, if time can fire |
//! | `states` | keys, `$trigger`, `$phase`, `$since`, `$last` | what a trigger is doing at the key |
//! | `value x`, `row x` | keys, `$epoch`, `$value` | what x was before |
//! | `ago n m` | keys, `$time`, `$value` | all that trigger n keeps of its m-th value some time ago |
//!
//! What belongs to a trigger that is gone is passed over.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, BooleanArray, Int8Array, Int64Array, RecordBatch, UInt32Array};
use arrow::compute::{filter, filter_record_batch};
use arrow::datatypes::{DataType, Field, Int8Type, Int64Type, Schema, SchemaRef, UInt32Type};

use super::machine::{Phase, State};
use super::operator::TriggerOperator;
use super::spec::{ALONE, FIRST, NAME};
use crate::api::{Snapshot, StateEntries};
use crate::error::{OperatorError, Result};
use crate::windows::{check_schema, push_entries, push_watermark, read_watermark, slots};

/// Rows of a table on their way to a snapshot: which key each has, and the columns behind it.
struct Table {
    name: String,
    keys: Vec<u32>,
    fields: Vec<Field>,
    columns: Vec<ArrayRef>,
}

fn number(name: &str) -> Field {
    Field::new(name, DataType::Int64, false)
}

fn numbers(values: impl IntoIterator<Item = i64>) -> ArrayRef {
    Arc::new(Int64Array::from_iter_values(values))
}

fn values_of(column: &ArrayRef) -> &[i64] {
    column.as_primitive::<Int64Type>().values()
}

impl TriggerOperator {
    /// Writes what has changed since the last snapshot, or everything.
    pub(super) fn write_tables(&mut self, full: bool, out: &mut Snapshot) -> Result<()> {
        push_watermark(self.watermark, out)?;
        let changed = self.take_changed(full);
        for table in self.tables(&changed)? {
            let mut columns = self.keys.columns(&table.keys)?;
            let of_keys = slots(&columns, table.keys.len())?;
            columns.extend(table.columns);
            let rows = RecordBatch::try_new(self.schema_of(table.fields), columns)?;
            push_entries(&table.name, rows, of_keys, out);
        }
        Ok(())
    }

    fn tables(&self, changed: &[u32]) -> Result<Vec<Table>> {
        let mut tables = vec![self.table_of_keys(changed), self.table_of_latest(changed)];
        if let Some(newest) = &self.newest {
            let columns = newest.columns(changed)?;
            let fields = self.fields_of_rows();
            tables.push(Table { name: "newest".into(), keys: changed.to_vec(), fields, columns });
        }
        tables.push(self.table_of_states(changed));
        for slot in &self.team.slots {
            let columns = vec![numbers(slot.epochs(changed)), slot.columns(changed)?];
            let fields = fields_of_slot(&slot.kind);
            tables.push(Table { name: slot.table.clone(), keys: changed.to_vec(), fields, columns });
        }
        for (_, live) in self.team.live() {
            for (nth, ago) in live.agos.iter().enumerate() {
                let (keys, times, values) = ago.state(changed)?;
                let name = format!("ago {} {nth}", live.member.id);
                let columns = vec![numbers(times), values];
                tables.push(Table { name, keys, fields: fields_of_ago(ago.kind()), columns });
            }
        }
        Ok(tables)
    }

    fn table_of_keys(&self, changed: &[u32]) -> Table {
        let first = |key: &u32| self.latest.steps(*key).next().unwrap_or((0, i64::MIN));
        let epochs = numbers(changed.iter().map(|key| i64::from(first(key).0)));
        let times = numbers(changed.iter().map(|key| first(key).1));
        let columns = vec![epochs, times];
        Table { name: "keys".into(), keys: changed.to_vec(), fields: fields_of_times(), columns }
    }

    fn table_of_latest(&self, changed: &[u32]) -> Table {
        let steps =
            changed.iter().flat_map(|key| self.latest.steps(*key).skip(1).map(move |step| (*key, step)));
        let steps: Vec<(u32, (u32, i64))> = steps.collect();
        let epochs = numbers(steps.iter().map(|(_, step)| i64::from(step.0)));
        let times = numbers(steps.iter().map(|(_, step)| step.1));
        let keys = steps.iter().map(|(key, _)| *key).collect();
        Table { name: "latest".into(), keys, fields: fields_of_times(), columns: vec![epochs, times] }
    }

    fn table_of_states(&self, changed: &[u32]) -> Table {
        let mut all: Vec<(u32, i64, State)> = Vec::new();
        for key in changed {
            let away = self.states.at(*key).iter().filter(|(_, state)| state.phase != Phase::Armed);
            let named = away.filter_map(|(number, state)| Some((self.team.get(*number)?.member.id, state)));
            all.extend(named.map(|(id, state)| (*key, id, *state)));
        }
        for (_, live) in self.team.live().filter(|(_, live)| !live.silent.is_empty()) {
            let states = changed.iter().map(|key| (*key, live.member.id, live.silent[*key as usize]));
            all.extend(states.filter(|(_, _, state)| state.last != i64::MIN));
        }
        let phases = Int8Array::from_iter_values(all.iter().map(|(_, _, state)| state.phase as i8));
        let columns: Vec<ArrayRef> = vec![
            numbers(all.iter().map(|(_, id, _)| *id)),
            Arc::new(phases),
            numbers(all.iter().map(|(_, _, state)| state.since)),
            numbers(all.iter().map(|(_, _, state)| state.last)),
        ];
        let keys = all.iter().map(|(key, _, _)| *key).collect();
        Table { name: "states".into(), keys, fields: fields_of_states(), columns }
    }

    /// The key columns and these.
    fn schema_of(&self, fields: Vec<Field>) -> SchemaRef {
        let shared = self.roster.shared();
        let keys = shared.keys.iter().map(|key| shared.input.field(*key).clone().with_nullable(true));
        Arc::new(Schema::new(keys.chain(fields).collect::<Vec<_>>()))
    }

    fn fields_of_rows(&self) -> Vec<Field> {
        let fields = self.roster.shared().input.fields().iter();
        fields.map(|field| field.as_ref().clone().with_nullable(true)).collect()
    }

    /// Takes back one table.
    pub(super) fn read_table(&mut self, entries: &StateEntries) -> Result<()> {
        match entries.table.as_str() {
            "watermark" => self.watermark = self.watermark.max(read_watermark(&entries.rows)),
            "keys" => {
                let (keys, columns) = self.read(entries, fields_of_times())?;
                self.clear(&keys);
                self.latest.resize(self.keys.len());
                for ((key, epoch), time) in
                    keys.iter().zip(values_of(&columns[0])).zip(values_of(&columns[1]))
                {
                    self.latest.push(*key, *epoch as u32, *time);
                }
            }
            "latest" => {
                let (keys, columns) = self.read(entries, fields_of_times())?;
                for ((key, epoch), time) in
                    keys.iter().zip(values_of(&columns[0])).zip(values_of(&columns[1]))
                {
                    self.latest.push(*key, *epoch as u32, *time);
                }
            }
            "newest" if self.newest.is_none() => {}
            "newest" => {
                let (keys, columns) = self.read(entries, self.fields_of_rows())?;
                if let Some(newest) = &mut self.newest {
                    newest.put(&keys, &columns)?;
                }
            }
            "states" => self.read_states(entries)?,
            other => match other.strip_prefix("ago ") {
                Some(rest) => self.read_ago(rest, entries)?,
                None => self.read_slot(other, entries)?,
            },
        }
        Ok(())
    }

    /// The keys of a table's rows, and the columns behind them.
    fn read(&mut self, entries: &StateEntries, fields: Vec<Field>) -> Result<(Vec<u32>, Vec<ArrayRef>)> {
        check_schema(NAME, &entries.rows, &self.schema_of(fields))?;
        let width = self.roster.shared().keys.len();
        let (keys, columns) = entries.rows.columns().split_at(width);
        Ok((self.intern(keys, entries.rows.num_rows())?, columns.to_vec()))
    }

    fn read_states(&mut self, entries: &StateEntries) -> Result<()> {
        let (keys, columns) = self.read(entries, fields_of_states())?;
        let phases = columns[1].as_primitive::<Int8Type>();
        for (row, key) in keys.iter().enumerate() {
            let Some(number) = self.team.number_of(values_of(&columns[0])[row]) else { continue };
            let phase = match phases.value(row) {
                0 => Phase::Armed,
                1 => Phase::Holding,
                2 => Phase::Fired,
                other => {
                    return Err(OperatorError::bad_checkpoint(NAME, format!("there is no phase {other}")));
                }
            };
            let (since, last) = (values_of(&columns[2])[row], values_of(&columns[3])[row]);
            self.restore_state(*key, number, State { phase, since, last, timed: false });
        }
        Ok(())
    }

    fn read_slot(&mut self, table: &str, entries: &StateEntries) -> Result<()> {
        let Some(place) = self.team.slots.iter().position(|slot| slot.table == table) else { return Ok(()) };
        let (keys, columns) = self.read(entries, fields_of_slot(&self.team.slots[place].kind))?;
        self.team.slots[place].put(&keys, values_of(&columns[0]), &columns[1])
    }

    fn read_ago(&mut self, rest: &str, entries: &StateEntries) -> Result<()> {
        let named = rest.split_once(' ').and_then(|(id, nth)| Some((id.parse().ok()?, nth.parse().ok()?)));
        let Some((id, nth)) = named else {
            return Err(OperatorError::bad_checkpoint(NAME, format!("there is no table \"ago {rest}\"")));
        };
        let nth: usize = nth;
        let live = self.team.number_of(id).and_then(|number| Some((number, self.team.get(number)?)));
        let Some((number, kind)) =
            live.and_then(|(number, live)| Some((number, live.agos.get(nth)?.kind().clone())))
        else {
            return Ok(());
        };
        let (keys, columns) = self.read(entries, fields_of_ago(&kind))?;
        match self.team.get_mut(number) {
            Some(live) => live.agos[nth].put(&keys, values_of(&columns[0]), &columns[1]),
            None => Ok(()),
        }
    }
}

fn fields_of_times() -> Vec<Field> {
    vec![number("$epoch"), number("$time")]
}

fn fields_of_states() -> Vec<Field> {
    vec![number("$trigger"), Field::new("$phase", DataType::Int8, false), number("$since"), number("$last")]
}

fn fields_of_slot(kind: &DataType) -> Vec<Field> {
    vec![number("$epoch"), Field::new("$value", kind.clone(), true)]
}

fn fields_of_ago(kind: &DataType) -> Vec<Field> {
    vec![number("$time"), Field::new("$value", kind.clone(), true)]
}

/// What entries of a set's snapshot say of one trigger, as entries of that trigger alone. `rank` is its rank in the set. `None`: nothing.
pub fn entries_of_one(entries: &StateEntries, id: i64, rank: u32) -> Result<Option<StateEntries>> {
    let table = entries.table.as_str();
    let column = |name: &str| entries.rows.column_by_name(name).map(values_of);
    let rows = entries.rows.num_rows();
    let all = || BooleanArray::from(vec![true; rows]);
    let seen = |epoch: &i64| *epoch >= i64::from(rank);
    let (stays, table): (BooleanArray, String) = match table {
        "watermark" | "keys" | "newest" => (all(), table.to_owned()),
        "states" => {
            let own = column("$trigger").unwrap_or_default().iter();
            (own.map(|trigger| Some(*trigger == id)).collect(), table.to_owned())
        }
        _ => match table.strip_prefix(&format!("ago {id} ")) {
            Some(nth) => (all(), format!("ago {ALONE} {nth}")),
            None if table.starts_with("ago ") => return Ok(None),
            None => {
                let epochs = column("$epoch").unwrap_or_default().iter();
                (epochs.map(|epoch| Some(seen(epoch))).collect(), table.to_owned())
            }
        },
    };
    // A trigger alone is the first; what was before it is not there.
    let mut columns = entries.rows.columns().to_vec();
    let schema = entries.rows.schema();
    for (field, values) in schema.fields().iter().zip(&mut columns) {
        *values = match field.name().as_str() {
            "$epoch" => numbers(std::iter::repeat_n(i64::from(FIRST), rows)),
            "$trigger" => numbers(std::iter::repeat_n(ALONE, rows)),
            "$time" if table == "keys" => {
                let epochs = column("$epoch").unwrap_or_default();
                let times = values_of(values).iter().zip(epochs);
                numbers(times.map(|(time, epoch)| if seen(epoch) { *time } else { i64::MIN }))
            }
            _ => continue,
        };
    }
    let own = filter_record_batch(&RecordBatch::try_new(schema, columns)?, &stays)?;
    if own.num_rows() == 0 {
        return Ok(None);
    }
    let slots = match entries.slots.is_empty() {
        true => Vec::new(),
        false => {
            let slots: ArrayRef = Arc::new(UInt32Array::from(entries.slots.clone()));
            filter(&slots, &stays)?.as_primitive::<UInt32Type>().values().to_vec()
        }
    };
    Ok(Some(StateEntries { table, change: entries.change, rows: own, slots }))
}
