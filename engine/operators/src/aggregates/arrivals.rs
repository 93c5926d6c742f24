//! FIRST_VALUE and LAST_VALUE without ORDER BY over rows that may be retracted: the values of each group, in order of arrival.
//!
//! Of equal values a retraction takes the earliest away, as in Flink. One that comes before the value it takes away is owed that value.
//! With DISTINCT a value stays where it came first for as long as it is there at all.
//!
//! State column: [`entries`](super::entries), in order of arrival; what is owed comes last, with counts below zero.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, new_empty_array, new_null_array};
use arrow::compute::cast;
use arrow::datatypes::DataType;
use arrow_row::{RowConverter, SortField};

use super::Aggregator;
use super::entries::{entries_type, read_entries, write_entries};
use crate::error::Result;

/// The first or the last value of each group, whatever is retracted.
pub(super) struct Arrivals {
    last: bool,
    ignore_nulls: bool,
    distinct: bool,
    kind: DataType,
    values: RowConverter,
    groups: Vec<Line>,
}

/// The values of a group, as they have come.
#[derive(Default)]
struct Line {
    /// Each value and how often it came there, by a number that grows with each arrival.
    places: BTreeMap<u64, (Arc<[u8]>, i64)>,
    /// Where each value is, the earliest place first.
    of: BTreeMap<Arc<[u8]>, VecDeque<u64>>,
    /// What has been retracted and has not come yet.
    owed: BTreeMap<Arc<[u8]>, i64>,
}

impl Line {
    /// A value comes, `count` times, to the end of the line.
    fn push(&mut self, value: &[u8], count: i64) {
        let place = self.places.last_key_value().map_or(0, |(newest, _)| newest + 1);
        let value = match self.of.get_key_value(value) {
            Some((known, _)) => Arc::clone(known),
            None => value.into(),
        };
        self.of.entry(Arc::clone(&value)).or_default().push_back(place);
        self.places.insert(place, (value, count));
    }

    /// A value comes, `count` times: to where it is, if that is the end of the line or it is counted once wherever it is.
    fn add(&mut self, value: &[u8], mut count: i64, distinct: bool) {
        if let Some(owed) = self.owed.get_mut(value) {
            let paid = count.min(*owed);
            *owed -= paid;
            count -= paid;
            if *owed == 0 {
                self.owed.remove(value);
            }
        }
        if count == 0 {
            return;
        }
        let known = self.of.get(value).and_then(VecDeque::back).copied();
        let newest = self.places.last_key_value().map(|(newest, _)| *newest);
        match known.filter(|place| distinct || Some(*place) == newest) {
            Some(place) => {
                self.places.entry(place).and_modify(|(_, times)| *times += count);
            }
            None => self.push(value, count),
        }
    }

    /// The earliest of a value go, `count` of them.
    fn retract(&mut self, value: &[u8], mut count: i64) {
        while count > 0 {
            let Some(place) = self.of.get(value).and_then(VecDeque::front).copied() else {
                *self.owed.entry(value.into()).or_default() += count;
                return;
            };
            let (_, times) = self.places.get_mut(&place).expect("a value is where it is said to be");
            let gone = count.min(*times);
            *times -= gone;
            count -= gone;
            if *times == 0 {
                self.places.remove(&place);
                let places = self.of.get_mut(value).expect("the value has just been found");
                places.pop_front();
                if places.is_empty() {
                    self.of.remove(value);
                }
            }
        }
    }

    fn end(&self, last: bool) -> Option<&[u8]> {
        let end = if last { self.places.last_key_value() } else { self.places.first_key_value() };
        end.map(|(_, (value, _))| &**value)
    }

    fn entries(&self) -> Vec<(&[u8], i64)> {
        let there = self.places.values().map(|(value, count)| (&**value, *count));
        there.chain(self.owed.iter().map(|(value, count)| (&**value, -count))).collect()
    }

    fn size(&self) -> usize {
        let place = size_of::<(u64, Arc<[u8]>, i64)>() + size_of::<u64>();
        let value = |value: &Arc<[u8]>| value.len() + size_of::<(usize, usize, Arc<[u8]>, VecDeque<u64>)>();
        self.places.len() * place + self.of.keys().chain(self.owed.keys()).map(value).sum::<usize>()
    }
}

impl Arrivals {
    pub(super) fn try_new(kind: DataType, last: bool, ignore_nulls: bool, distinct: bool) -> Result<Self> {
        let values = RowConverter::new(vec![SortField::new(kind.clone())])?;
        Ok(Self { last, ignore_nulls, distinct, kind, values, groups: Vec::new() })
    }
}

impl Aggregator for Arrivals {
    fn resize(&mut self, groups: usize) {
        self.groups.resize_with(groups, Line::default);
    }

    fn update(&mut self, values: &[ArrayRef], groups: &[u32], weights: Option<&[i64]>) -> Result<()> {
        let nulls = if self.ignore_nulls { values[0].logical_nulls() } else { None };
        let rows = self.values.convert_columns(&values[..1])?;
        for (row, group) in groups.iter().enumerate() {
            if nulls.as_ref().is_some_and(|nulls| nulls.is_null(row)) {
                continue;
            }
            let line = &mut self.groups[*group as usize];
            match weights.map_or(1, |weights| weights[row]) {
                weight @ 0.. => line.add(rows.row(row).data(), weight, self.distinct),
                weight => line.retract(rows.row(row).data(), -weight),
            }
        }
        Ok(())
    }

    fn merge(&mut self, states: &[ArrayRef], groups: &[u32]) -> Result<()> {
        let lines = &mut self.groups;
        let distinct = self.distinct;
        read_entries(&states[0], groups, |group, value, count| {
            let line = &mut lines[group as usize];
            match count {
                0.. if distinct || line.owed.contains_key(value) => line.add(value, count, distinct),
                0.. => line.push(value, count),
                _ => line.retract(value, -count),
            }
        });
        Ok(())
    }

    fn evaluate(&mut self, groups: &[u32]) -> Result<ArrayRef> {
        if groups.is_empty() {
            return Ok(new_empty_array(&self.kind));
        }
        let null = self.values.convert_columns(&[new_null_array(&self.kind, 1)])?;
        let parser = self.values.parser();
        let ends = groups.iter().map(|group| match self.groups[*group as usize].end(self.last) {
            Some(value) => parser.parse(value),
            None => null.row(0),
        });
        Ok(cast(&self.values.convert_rows(ends)?[0], &self.kind)?)
    }

    fn state_types(&self) -> Result<Vec<DataType>> {
        Ok(vec![entries_type()])
    }

    fn state(&mut self, groups: &[u32]) -> Result<Vec<ArrayRef>> {
        let entries: Vec<_> = groups.iter().map(|group| self.groups[*group as usize].entries()).collect();
        Ok(vec![write_entries(&entries)?])
    }

    fn clear(&mut self, groups: &[u32]) {
        groups.iter().for_each(|group| self.groups[*group as usize] = Line::default());
    }

    fn retain(&mut self, groups: &[u32]) {
        self.groups = groups.iter().map(|group| std::mem::take(&mut self.groups[*group as usize])).collect();
    }

    fn size(&self) -> usize {
        self.groups.iter().map(Line::size).sum::<usize>() + self.groups.capacity() * size_of::<Line>()
    }
}
