//! The events of each group, and what a pattern or a funnel makes of them.
//!
//! Events are noted in the order in which they come, each with its group, and sorted into lists only when a list is read: so
//! adding one costs a write to the end of one array. Batch queries read all lists at once, which then lie behind one another in
//! one array.
//!
//! State column: the events of a group, each as 8 bytes of time and 4 of conditions, little-endian.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BinaryArray, BinaryBuilder, BooleanArray, Int32Array, Int64Array,
};
use arrow::buffer::NullBuffer;
use arrow::datatypes::{
    DataType, Int64Type, TimeUnit, TimestampMicrosecondType, TimestampMillisecondType,
    TimestampNanosecondType, TimestampSecondType,
};
use headwater_sequences::{Event, Funnel, Pattern, sort};

use crate::aggregates::Aggregator;
use crate::error::{OperatorError, Result};

/// What is read off a list of events.
pub(super) enum Reading {
    Match(Pattern),
    Count(Pattern),
    Funnel(Funnel),
}

/// The events of each group.
pub(super) struct EventLists {
    reading: Reading,
    /// What has come since the lists were last in use.
    noted: Vec<Noted>,
    /// Empty until a list is read by itself.
    lists: Vec<Vec<Event>>,
    groups: usize,
    /// The conditions of each row at hand.
    conditions: Vec<u32>,
}

/// An event and its group.
#[derive(Clone, Copy)]
struct Noted {
    group: u32,
    conditions: u32,
    time: i64,
}

/// Bytes of an event in a state.
const EVENT: usize = 12;

impl EventLists {
    pub(super) fn new(reading: Reading) -> Self {
        Self { reading, noted: Vec::new(), lists: Vec::new(), groups: 0, conditions: Vec::new() }
    }

    /// Calls `read` with the events of each group.
    fn each(&mut self, groups: &[u32], mut read: impl FnMut(&Reading, &mut [Event])) {
        let all = groups.len() == self.groups && groups.iter().zip(0..).all(|(group, nth)| *group == nth);
        if all && self.lists.is_empty() {
            let (mut events, starts) = self.sorted_by_group();
            for bounds in starts.windows(2) {
                read(&self.reading, &mut events[bounds[0] as usize..bounds[1] as usize]);
            }
            return;
        }
        self.settle();
        for group in groups {
            read(&self.reading, &mut self.lists[*group as usize]);
        }
    }

    /// All events, those of a group together, and where each group begins.
    fn sorted_by_group(&self) -> (Vec<Event>, Vec<u32>) {
        let mut starts = vec![0_u32; self.groups + 1];
        self.noted.iter().for_each(|event| starts[event.group as usize + 1] += 1);
        for group in 0..self.groups {
            starts[group + 1] += starts[group];
        }
        let mut events = vec![Event::default(); self.noted.len()];
        let mut next = starts.clone();
        for Noted { group, conditions, time } in &self.noted {
            let place = &mut next[*group as usize];
            events[*place as usize] = Event { time: *time, conditions: *conditions };
            *place += 1;
        }
        (events, starts)
    }

    /// Puts what was noted into the lists.
    fn settle(&mut self) {
        self.lists.resize_with(self.groups, Vec::new);
        for Noted { group, conditions, time } in self.noted.drain(..) {
            self.lists[group as usize].push(Event { time, conditions });
        }
    }

    fn column<T>(&mut self, groups: &[u32], read: impl Fn(&Reading, &[Event]) -> T) -> Vec<T> {
        let mut results = Vec::with_capacity(groups.len());
        self.each(groups, |reading, events| {
            sort(events);
            results.push(read(reading, events));
        });
        results
    }
}

impl Aggregator for EventLists {
    fn resize(&mut self, groups: usize) {
        self.groups = self.groups.max(groups);
        if !self.lists.is_empty() {
            self.lists.resize_with(self.groups, Vec::new);
        }
    }

    fn update(&mut self, values: &[ArrayRef], groups: &[u32], _weights: Option<&[i64]>) -> Result<()> {
        let times = times(&values[0])?;
        self.conditions.clear();
        self.conditions.resize(times.len(), 0);
        let mut nulls = values[0].logical_nulls();
        for (condition, column) in values[1..].iter().enumerate() {
            let column = column.as_boolean();
            nulls = NullBuffer::union(nulls.as_ref(), column.nulls());
            column.values().set_indices().for_each(|row| self.conditions[row] |= 1 << condition);
        }
        let wants_all = matches!(&self.reading, Reading::Funnel(funnel) if funnel.needs_all_events());
        let rows = groups.iter().zip(&self.conditions).zip(times);
        let noted = rows.map(|((group, conditions), time)| Noted {
            group: *group,
            conditions: *conditions,
            time: *time,
        });
        let is_wanted = |event: &Noted| wants_all || event.conditions != 0;
        match nulls {
            None => self.noted.extend(noted.filter(is_wanted)),
            Some(nulls) => {
                let valid = noted.zip(nulls.iter()).filter_map(|(event, valid)| valid.then_some(event));
                self.noted.extend(valid.filter(is_wanted));
            }
        }
        Ok(())
    }

    fn merge(&mut self, states: &[ArrayRef], groups: &[u32]) -> Result<()> {
        let lists = states[0].as_binary::<i32>();
        for (group, list) in groups.iter().zip(lists) {
            let (events, rest) = list.unwrap_or_default().as_chunks::<EVENT>();
            if !rest.is_empty() {
                let reason = format!("{} bytes are not whole events", list.map_or(0, <[u8]>::len));
                return Err(OperatorError::bad_checkpoint("aggregate", reason));
            }
            self.noted.extend(events.iter().map(|bytes| {
                let (time, conditions) = bytes.split_at(8);
                Noted {
                    group: *group,
                    conditions: u32::from_le_bytes(conditions.try_into().expect("4 bytes")),
                    time: i64::from_le_bytes(time.try_into().expect("8 bytes")),
                }
            }));
        }
        Ok(())
    }

    fn evaluate(&mut self, groups: &[u32]) -> Result<ArrayRef> {
        Ok(match &self.reading {
            Reading::Match(_) => Arc::new(BooleanArray::from(self.column(
                groups,
                |reading, events| matches!(reading, Reading::Match(pattern) if pattern.matches(events)),
            ))),
            Reading::Count(_) => {
                Arc::new(Int64Array::from(self.column(groups, |reading, events| match reading {
                    Reading::Count(pattern) => pattern.count(events).cast_signed(),
                    _ => 0,
                })))
            }
            Reading::Funnel(_) => {
                Arc::new(Int32Array::from(self.column(groups, |reading, events| match reading {
                    Reading::Funnel(funnel) => funnel.level(events).cast_signed(),
                    _ => 0,
                })))
            }
        })
    }

    fn state_types(&self) -> Result<Vec<DataType>> {
        Ok(vec![DataType::Binary])
    }

    fn state(&mut self, groups: &[u32]) -> Result<Vec<ArrayRef>> {
        let mut builder = BinaryBuilder::with_capacity(groups.len(), self.noted.len() * EVENT);
        let mut bytes = Vec::new();
        self.each(groups, |_, events| {
            bytes.clear();
            for event in events.iter() {
                bytes.extend_from_slice(&event.time.to_le_bytes());
                bytes.extend_from_slice(&event.conditions.to_le_bytes());
            }
            builder.append_value(&bytes);
        });
        let states: BinaryArray = builder.finish();
        Ok(vec![Arc::new(states)])
    }

    fn clear(&mut self, groups: &[u32]) {
        self.settle();
        groups.iter().for_each(|group| self.lists[*group as usize] = Vec::new());
    }

    fn retain(&mut self, groups: &[u32]) {
        if groups.is_empty() {
            (self.noted, self.lists, self.groups) = (Vec::new(), Vec::new(), 0);
            return;
        }
        self.settle();
        self.lists = groups.iter().map(|group| std::mem::take(&mut self.lists[*group as usize])).collect();
        self.groups = groups.len();
    }

    fn size(&self) -> usize {
        let lists: usize = self.lists.iter().map(Vec::capacity).sum();
        self.noted.capacity() * size_of::<Noted>()
            + lists * size_of::<Event>()
            + self.lists.capacity() * size_of::<Vec<Event>>()
    }
}

fn times(column: &ArrayRef) -> Result<&[i64]> {
    Ok(match column.data_type() {
        DataType::Int64 => column.as_primitive::<Int64Type>().values(),
        DataType::Timestamp(TimeUnit::Second, _) => column.as_primitive::<TimestampSecondType>().values(),
        DataType::Timestamp(TimeUnit::Millisecond, _) => {
            column.as_primitive::<TimestampMillisecondType>().values()
        }
        DataType::Timestamp(TimeUnit::Microsecond, _) => {
            column.as_primitive::<TimestampMicrosecondType>().values()
        }
        DataType::Timestamp(TimeUnit::Nanosecond, _) => {
            column.as_primitive::<TimestampNanosecondType>().values()
        }
        other => return Err(OperatorError::unsupported("aggregate", format!("{other} is no time"))),
    })
}
