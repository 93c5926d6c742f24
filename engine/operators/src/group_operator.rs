//! The operator behind [`crate::GroupAggregateSpec`].
//!
//! When a group is first touched in a step its result is noted, before the row is added; at the end of the step the
//! noted and the new result are compared and, if they differ, the old row is retracted and the new one added. So
//! nothing is kept for what has been emitted. A group that ends with the watermark is read once, at its end; if all its rows have been
//! retracted by then, nothing is said of it.
//!
//! Tables of a snapshot: `watermark`: one row, `$watermark`; `groups`: see `state`.

mod changes;
mod group;
mod state;

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, RecordBatch, new_empty_array};
use arrow::compute::concat;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use headwater_core::EventTime;

use self::changes::{Changes, unchanged};
use self::group::{Age, Group, NOWHERE, load_ahead};
use crate::aggregates::{CountedSet, pick};
use crate::api::{Clocks, Operator, Output, Rows, Snapshot, StateEntries, StateSize};
use crate::closing::Ends;
use crate::error::{OperatorError, Result};
use crate::group_aggregate::{GroupAggregate, Revises};
use crate::groups::KeyTable;
use crate::windows::{Times, key_columns, push_watermark, read_watermark};

const GARBAGE_MIN: usize = 1024;

pub(crate) struct GroupOperator {
    name: &'static str,
    what: Arc<GroupAggregate>,
    schema: SchemaRef,
    state_schema: SchemaRef,
    /// A group's number is its key's.
    keys: KeyTable,
    aggregates: CountedSet,
    groups: Vec<Group>,
    /// By group, if groups may be forgotten.
    ages: Vec<Age>,
    /// Touched since the end of the last step.
    touched: Vec<u32>,
    /// Of the touched groups that had a row: their numbers, and rows and results before.
    before: Vec<u32>,
    before_rows: Vec<i64>,
    before_results: Vec<Vec<ArrayRef>>,
    /// Those of which nothing is said yet, and that have lost their last row since the end of the last step.
    emptied: Vec<u32>,
    /// Touched since the last snapshot.
    dirty: Vec<u32>,
    vanished: usize,
    /// How many groups have rows.
    live: usize,
    ends: Ends,
    /// When groups that are said at their end, and revised after it, come to it.
    opens: Ends,
    /// Whether groups have been restored since the last step.
    restored: bool,
    late: Arc<str>,
    watermark: i64,
}

impl GroupOperator {
    pub(crate) fn try_new(
        name: &'static str,
        what: &Arc<GroupAggregate>,
        schema: &SchemaRef,
    ) -> Result<Self> {
        let keys: Vec<_> = what.keys.iter().map(|key| what.input.field(*key).clone()).collect();
        let types = keys.iter().map(|key| key.data_type().clone()).collect();
        let aggregates = CountedSet::try_new(name, &what.aggregates, &what.input, what.retractions)?;
        let mut fields = keys;
        fields.push(Field::new("$rows", DataType::Int64, false));
        fields.extend(what.ttl.map(|_| Field::new("$at", DataType::Int64, false)));
        fields.extend(aggregates.state_fields().iter().cloned());
        Ok(Self {
            name,
            what: Arc::clone(what),
            schema: Arc::clone(schema),
            state_schema: Arc::new(Schema::new(fields)),
            keys: KeyTable::new(types)?,
            aggregates,
            groups: Vec::new(),
            ages: Vec::new(),
            touched: Vec::new(),
            before: Vec::new(),
            before_rows: Vec::new(),
            before_results: Vec::new(),
            emptied: Vec::new(),
            dirty: Vec::new(),
            vanished: 0,
            live: 0,
            ends: Ends::default(),
            opens: Ends::default(),
            restored: false,
            late: Arc::from(name),
            watermark: EventTime::MIN.0,
        })
    }

    fn weights<'a>(&self, rows: &'a Rows) -> Result<Option<&'a [i64]>> {
        let weights = rows.weights.as_ref().map(|weights| &**weights.values());
        match weights {
            Some(weights) if !self.what.retractions && weights.iter().any(|weight| *weight < 0) => {
                Err(OperatorError::unsupported(
                    self.name,
                    "a row was retracted from an input that only ever adds",
                ))
            }
            weights => Ok(weights),
        }
    }

    /// Whether changes of all groups are said with the step that makes them.
    fn says_at_once(&self) -> bool {
        self.what.closes.is_none() || self.what.revises == Some(Revises::Always)
    }

    /// Makes room for all groups.
    fn resize(&mut self) {
        self.groups.resize(self.keys.len(), Group::default());
        if self.what.ttl.is_some() {
            self.ages.resize(self.keys.len(), Age::default());
        }
        self.aggregates.resize(self.keys.len());
    }

    /// Notes what is said of groups before their rows are added up, and counts those, each as often as `weight` says.
    fn touch(&mut self, groups: &[u32], weight: impl Fn(usize) -> i64) -> Result<()> {
        let known = self.before.len();
        let at_once = self.says_at_once();
        for (row, number) in groups.iter().enumerate() {
            load_ahead(&self.groups, groups, row);
            let group = &mut self.groups[*number as usize];
            let before = group.rows;
            group.rows += weight(row);
            self.live = self.live + usize::from(group.rows != 0) - usize::from(before != 0);
            if !at_once && !group.open {
                if group.rows == 0 {
                    self.emptied.push(*number);
                }
            } else if !group.touched {
                group.touched = true;
                self.touched.push(*number);
                if group.present {
                    group.before = self.before.len() as u32;
                    self.before.push(*number);
                    self.before_rows.push(before);
                }
            }
            if !group.dirty {
                group.dirty = true;
                self.dirty.push(*number);
            }
        }
        if self.before.len() > known {
            self.before_results
                .push(self.aggregates.evaluate(&self.before[known..], self.before_rows[known..].to_vec())?);
        }
        Ok(())
    }

    /// The results before this step, a column per aggregate.
    fn take_before(&mut self) -> Result<Vec<ArrayRef>> {
        let chunks = std::mem::take(&mut self.before_results);
        let types = self.schema.fields()[self.what.keys.len()..].iter().map(|field| field.data_type());
        types
            .enumerate()
            .map(|(column, kind)| {
                let parts: Vec<&dyn Array> = chunks.iter().map(|chunk| chunk[column].as_ref()).collect();
                if parts.is_empty() { Ok(new_empty_array(kind)) } else { Ok(concat(&parts)?) }
            })
            .collect()
    }

    /// Emits what this step has changed.
    fn emit(&mut self, clock: EventTime, out: &mut Output) -> Result<()> {
        let mut touched = std::mem::take(&mut self.touched);
        let keys = self.keys.sort_to_columns(&mut touched)?;
        let old = self.take_before()?;
        self.before.clear();
        self.before_rows.clear();
        // Without keys there is one group, and it has a row once it has had one.
        let is_one = self.what.keys.is_empty();
        // What is said of each is looked up once, and then at hand.
        let (mut places, mut there, mut rows, mut gone) = (
            Vec::with_capacity(touched.len()),
            Vec::with_capacity(touched.len()),
            Vec::with_capacity(touched.len()),
            Vec::new(),
        );
        for (nth, number) in touched.iter().enumerate() {
            load_ahead(&self.groups, &touched, nth);
            let group = &mut self.groups[*number as usize];
            let exists = is_one || group.rows > 0;
            let now = if exists { there.len() as u32 } else { NOWHERE };
            places.push((std::mem::replace(&mut group.before, NOWHERE), now));
            if exists {
                there.push(*number);
                rows.push(group.rows);
            }
            gone.extend((group.rows == 0).then_some(*number));
            group.touched = false;
            group.present = exists;
        }
        let new = self.aggregates.evaluate(&there, rows)?;
        let same = unchanged(&old, &new, &places)?;
        let mut changes = Changes::with_capacity(old.first().map_or(0, Array::len) + there.len());
        for (key, ((before, now), same)) in (0..).zip(places.into_iter().zip(same)) {
            if !same && before != NOWHERE {
                changes.push(key, (0, before as usize), -1);
            }
            if !same && now != NOWHERE {
                changes.push(key, (1, now as usize), 1);
            }
        }
        changes.emit(keys, &old, &new, &self.schema, clock, out)?;
        self.forget_vanished(&gone);
        Ok(())
    }

    /// Emits the groups that have ended.
    fn close(&mut self, clock: EventTime, out: &mut Output) -> Result<()> {
        let due = self.ends.due(self.watermark).into_iter().map(|(_, group)| group);
        let mut due: Vec<u32> = due.filter(|group| self.groups[*group as usize].rows > 0).collect();
        if due.is_empty() {
            return Ok(());
        }
        self.keys.sort(&mut due);
        let rows = due.iter().map(|group| self.groups[*group as usize].rows).collect();
        let results = self.aggregates.finish(&due, rows)?;
        let columns = self.keys.columns(&due)?.into_iter().chain(results).collect();
        let batch = RecordBatch::try_new(Arc::clone(&self.schema), columns)?;
        out.emit(Rows { clocks: Clocks::Uniform(clock), ..Rows::new(batch) });
        for number in &due {
            self.groups[*number as usize].rows = 0;
            self.live -= 1;
            self.soil(*number);
        }
        self.forget_vanished(&due);
        Ok(())
    }

    /// Lets go of the groups that are empty and wait for their end, so that a row that comes yet finds them as after a restart.
    fn forget_emptied(&mut self) {
        let mut gone = std::mem::take(&mut self.emptied);
        gone.retain(|group| self.groups[*group as usize].rows == 0);
        gone.sort_unstable();
        gone.dedup();
        if !gone.is_empty() {
            self.forget_vanished(&gone);
        }
    }

    /// Groups that have come to their end are said from now on.
    fn open(&mut self) {
        for (_, number) in self.opens.due(self.watermark) {
            let group = &mut self.groups[number as usize];
            group.open = true;
            // What was said before a restart is not said again.
            if group.rows != 0 && !group.touched && !group.present {
                group.touched = true;
                self.touched.push(number);
            }
        }
    }

    /// Lets go of groups that have ended, or have had no row for long. What was said of them stays said.
    fn forget_ended(&mut self) -> Result<()> {
        if self.what.ttl.is_none() && self.what.revises.is_none() {
            return Ok(());
        }
        let mut gone: Vec<u32> = Vec::new();
        for (_, number) in self.ends.due(self.watermark) {
            let age = self.ages.get_mut(number as usize);
            if self.groups[number as usize].rows == 0 {
                age.into_iter().for_each(|age| age.scheduled = false);
                continue;
            }
            let until = self.what.ttl.zip(age).map(|(ttl, age)| age.lasts_until(ttl, self.watermark));
            match until {
                // Not by the end that was noted: a group that was restored since has another one noted, and goes in the same step.
                Some(until) if self.watermark <= until => {
                    self.ends.push(until, number);
                    self.soil(number);
                }
                _ => gone.push(number),
            }
        }
        gone.sort_unstable();
        gone.dedup();
        if gone.is_empty() {
            return Ok(());
        }
        for number in &gone {
            self.soil(*number);
            let group = &mut self.groups[*number as usize];
            (group.rows, group.present, group.open) = (0, false, false);
            if let Some(age) = self.ages.get_mut(*number as usize) {
                age.scheduled = false;
            }
            self.live -= 1;
        }
        self.forget_vanished(&gone);
        Ok(())
    }

    /// Notes when groups that this step has touched are forgotten, unless they are touched again.
    fn extend(&mut self) {
        let Some(ttl) = self.what.ttl else { return };
        for number in &self.touched {
            let age = &mut self.ages[*number as usize];
            age.at = self.watermark;
            if !std::mem::replace(&mut age.scheduled, true) {
                self.ends.push(self.watermark.saturating_add(ttl), *number);
            }
        }
    }

    /// The next snapshot writes a group.
    fn soil(&mut self, number: u32) {
        let group = &mut self.groups[number as usize];
        if !group.dirty {
            group.dirty = true;
            self.dirty.push(number);
        }
    }

    /// Lets go of groups without rows.
    fn forget_vanished(&mut self, gone: &[u32]) {
        if self.what.keys.is_empty() {
            return;
        }
        self.aggregates.clear(gone);
        self.vanished += gone.len();
        // A group counted here may have come back; then this collects a little early, which does no harm.
        if self.vanished * 2 <= self.groups.len() || self.vanished < GARBAGE_MIN {
            return;
        }
        // The next snapshot still has to say that a group is gone.
        let kept: Vec<u32> = (0..self.groups.len() as u32)
            .filter(|group| {
                let group = self.groups[*group as usize];
                group.rows != 0 || group.dirty
            })
            .collect();
        self.keys.retain(&kept);
        self.aggregates.retain(&kept);
        let place = |group| kept.binary_search(&group).ok().map(|place| place as u32);
        self.ends.renumber(place);
        self.opens.renumber(place);
        self.emptied = self.emptied.iter().filter_map(|group| place(*group)).collect();
        self.groups = pick(&self.groups, &kept);
        if !self.ages.is_empty() {
            self.ages = pick(&self.ages, &kept);
        }
        self.dirty =
            (0..).zip(&self.groups).filter(|(_, group)| group.dirty).map(|(number, _)| number).collect();
        self.vanished = self.groups.iter().filter(|group| group.rows == 0).count();
    }

    fn intern(&mut self, columns: &[ArrayRef], rows: usize) -> Result<Vec<u32>> {
        let mut groups = Vec::new();
        let mut known = self.keys.len() as u32;
        self.keys.intern(columns, rows, &mut groups)?;
        if let Some(closing) = self.what.closes
            && self.keys.len() as u32 > known
            && let Some(key) = self.what.keys.iter().position(|key| *key == closing.column)
        {
            let times = Times::new(&columns[key], self.name)?;
            for (row, group) in groups.iter().enumerate() {
                // New groups are numbered in the order in which they come.
                if *group == known {
                    let end = times.get(row).map_or(i64::MIN, |time| closing.end(time));
                    self.ends.push(end, known);
                    if let Some(Revises::Late(lateness)) = self.what.revises {
                        self.opens.push(end.saturating_sub(lateness), known);
                    }
                    known += 1;
                }
            }
        }
        self.resize();
        Ok(groups)
    }
}

impl Operator for GroupOperator {
    fn on_batch(&mut self, _input: usize, rows: Rows, out: &mut Output) -> Result<()> {
        self.finish_restore();
        let rows = match self.what.closes {
            Some(closing) => closing.in_time(rows, &self.late, out)?,
            None => rows,
        };
        let weights = self.weights(&rows)?;
        let groups = self.intern(&key_columns(&rows.batch, &self.what.keys), rows.len())?;
        match weights {
            None => self.touch(&groups, |_| 1)?,
            Some(weights) => self.touch(&groups, |row| weights[row])?,
        }
        self.aggregates.update(&rows.batch, &groups, weights)
    }

    fn on_watermark(&mut self, watermark: EventTime, out: &mut Output) -> Result<()> {
        self.finish_restore();
        let clock = EventTime(self.watermark);
        self.watermark = watermark.0.max(clock.0);
        if self.what.closes.is_some() && self.what.revises.is_none() {
            self.close(clock, out)?;
            self.forget_emptied();
            return Ok(());
        }
        self.open();
        self.extend();
        if !self.touched.is_empty() {
            self.emit(clock, out)?;
        }
        self.forget_emptied();
        self.forget_ended()
    }

    fn snapshot(&mut self, full: bool, out: &mut Snapshot) -> Result<()> {
        self.finish_restore();
        push_watermark(self.watermark, out)?;
        self.write_groups(full, out)
    }

    fn restore(&mut self, entries: &StateEntries) -> Result<()> {
        if entries.table == "watermark" {
            self.watermark = self.watermark.max(read_watermark(&entries.rows));
            return Ok(());
        }
        if entries.table != "groups" {
            return Err(OperatorError::no_state_table(self.name, &entries.table));
        }
        self.restore_groups(entries)
    }

    fn due(&self) -> Option<EventTime> {
        // When restored groups end is found out with the next step.
        if self.restored {
            Some(EventTime::MIN)
        } else {
            self.ends.next().into_iter().chain(self.opens.next()).min()
        }
    }

    fn state_size(&self) -> StateSize {
        let own = self.groups.capacity() * size_of::<Group>() + self.ages.capacity() * size_of::<Age>();
        let bytes = self.keys.size() + self.aggregates.size() + own;
        StateSize { entries: self.live as u64, bytes: (bytes + self.ends.size() + self.opens.size()) as u64 }
    }
}
