//! Functions over rows that may be retracted: how often each different row is there, sorted, for each group.
//!
//! So MIN, MAX, and FIRST_VALUE and LAST_VALUE with ORDER BY are read off the ends, and COUNT(DISTINCT) is counted along; other
//! functions are fed the rows anew. A count below zero stays until the addition it is owed has come.
//!
//! State column: [`entries`](super::entries), in the order of the rows.

use std::collections::BTreeMap;

use arrow::array::{Array, ArrayRef, new_null_array};
use arrow::compute::cast;
use arrow::datatypes::DataType;
use arrow_row::{RowConverter, SortField};
use datafusion::scalar::ScalarValue;

use super::Aggregator;
use super::entries::{entries_type, read_entries, write_entries};
use super::fallback::Feeder;
use crate::error::Result;

/// What is read off the rows of a group.
#[derive(Clone, Copy, PartialEq)]
enum Reading {
    /// How many different rows without NULL.
    Length,
    /// The argument of the first or the last row.
    End { last: bool, skip_null: bool },
    /// Whatever the function makes of all rows, or of all different ones.
    All { distinct: bool },
}

/// How often each different row is there, for each group.
pub(super) struct Multiset {
    feeder: Feeder,
    reading: Reading,
    /// What the rows are ordered by, then the arguments.
    converter: RowConverter,
    /// The row whose only column is NULL.
    null: Option<Box<[u8]>>,
    /// Whether rows whose first argument is NULL are none at all.
    ignore_nulls: bool,
    groups: Vec<Bag>,
}

/// The rows of a group.
#[derive(Default)]
struct Bag {
    /// How often each is there.
    rows: BTreeMap<Box<[u8]>, i64>,
    /// How many different ones are there that are not NULL.
    different: i64,
}

impl Multiset {
    pub(super) fn try_new(feeder: Feeder, distinct: bool) -> Result<Self> {
        let arguments = feeder.arguments();
        let orders = feeder.types()[arguments..].iter().zip(feeder.orders());
        let mut fields: Vec<_> =
            orders.map(|(kind, options)| SortField::new_with_options(kind.clone(), *options)).collect();
        fields.extend(feeder.types()[..arguments].iter().map(|kind| SortField::new(kind.clone())));
        let converter = RowConverter::new(fields)?;
        let null = match feeder.types() {
            [one] => Some(converter.convert_columns(&[new_null_array(one, 1)])?.row(0).data().into()),
            _ => None,
        };
        let function = feeder.function();
        let reading = match function.fun().name() {
            "count" if distinct && null.is_some() => Reading::Length,
            "min" => Reading::End { last: false, skip_null: true },
            "max" => Reading::End { last: true, skip_null: true },
            "first_value" => Reading::End { last: false, skip_null: false },
            "last_value" => Reading::End { last: true, skip_null: false },
            _ => Reading::All { distinct },
        };
        let is_end = matches!(function.fun().name(), "first_value" | "last_value");
        let ignore_nulls = is_end && function.ignore_nulls();
        Ok(Self { feeder, reading, converter, null, ignore_nulls, groups: Vec::new() })
    }

    fn add(&mut self, group: u32, row: &[u8], weight: i64) {
        let bag = &mut self.groups[group as usize];
        let before = match bag.rows.get_mut(row) {
            Some(count) if *count + weight == 0 => bag.rows.remove(row).unwrap_or_default(),
            Some(count) => std::mem::replace(count, *count + weight),
            None => {
                bag.rows.insert(row.into(), weight);
                0
            }
        };
        if self.null.as_deref() != Some(row) {
            bag.different += i64::from(before + weight > 0) - i64::from(before > 0);
        }
    }

    fn read(&self, group: u32) -> Result<ScalarValue> {
        let Bag { rows, different } = &self.groups[group as usize];
        let is_null = |row: &[u8]| self.null.as_deref() == Some(row);
        let mut there = rows.iter().filter(|(_, count)| **count > 0).map(|(row, _)| &**row);
        match self.reading {
            Reading::Length => Ok(ScalarValue::Int64(Some(*different))),
            Reading::End { last, skip_null } => {
                let mut wanted = there.filter(|row| !(skip_null && is_null(row)));
                match if last { wanted.next_back() } else { wanted.next() } {
                    Some(row) => self.argument(row),
                    None => Ok(ScalarValue::try_from(self.feeder.function().field().data_type())?),
                }
            }
            Reading::All { distinct: true } => self.feed(&mut there),
            Reading::All { distinct: false } => {
                let mut repeated = rows.iter().flat_map(|(row, count)| {
                    std::iter::repeat_n(&**row, usize::try_from(*count).unwrap_or(0))
                });
                self.feed(&mut repeated)
            }
        }
    }

    /// The first argument of a row.
    fn argument(&self, row: &[u8]) -> Result<ScalarValue> {
        let columns = self.decode(&mut std::iter::once(row))?;
        Ok(ScalarValue::try_from_array(&columns[0], 0)?)
    }

    fn feed(&self, rows: &mut dyn Iterator<Item = &[u8]>) -> Result<ScalarValue> {
        self.feeder.result(&self.decode(rows)?)
    }

    /// Arguments, then what they are ordered by.
    fn decode(&self, rows: &mut dyn Iterator<Item = &[u8]>) -> Result<Vec<ArrayRef>> {
        let parser = self.converter.parser();
        let mut columns = self.converter.convert_rows(rows.map(|row| parser.parse(row)))?;
        columns.rotate_left(self.feeder.types().len() - self.feeder.arguments());
        columns.iter().zip(self.feeder.types()).map(|(column, kind)| Ok(cast(column, kind)?)).collect()
    }
}

impl Aggregator for Multiset {
    fn resize(&mut self, groups: usize) {
        self.groups.resize_with(groups, Bag::default);
    }

    fn update(&mut self, values: &[ArrayRef], groups: &[u32], weights: Option<&[i64]>) -> Result<()> {
        let nulls = if self.ignore_nulls { values[0].logical_nulls() } else { None };
        let mut columns = values.to_vec();
        columns.rotate_left(self.feeder.arguments());
        let rows = self.converter.convert_columns(&columns)?;
        for (index, group) in groups.iter().enumerate() {
            if nulls.as_ref().is_some_and(|nulls| nulls.is_null(index)) {
                continue;
            }
            self.add(*group, rows.row(index).data(), weights.map_or(1, |weights| weights[index]));
        }
        Ok(())
    }

    fn merge(&mut self, states: &[ArrayRef], groups: &[u32]) -> Result<()> {
        read_entries(&states[0], groups, |group, row, count| self.add(group, row, count));
        Ok(())
    }

    fn evaluate(&mut self, groups: &[u32]) -> Result<ArrayRef> {
        let results = groups.iter().map(|group| self.read(*group)).collect::<Result<Vec<_>>>()?;
        self.feeder.collect(results)
    }

    fn state_types(&self) -> Result<Vec<DataType>> {
        Ok(vec![entries_type()])
    }

    fn state(&mut self, groups: &[u32]) -> Result<Vec<ArrayRef>> {
        let entries = |group: &u32| {
            let rows = &self.groups[*group as usize].rows;
            rows.iter().map(|(row, count)| (&**row, *count)).collect::<Vec<_>>()
        };
        Ok(vec![write_entries(&groups.iter().map(entries).collect::<Vec<_>>())?])
    }

    fn clear(&mut self, groups: &[u32]) {
        groups.iter().for_each(|group| self.groups[*group as usize] = Bag::default());
    }

    fn retain(&mut self, groups: &[u32]) {
        self.groups = groups.iter().map(|group| std::mem::take(&mut self.groups[*group as usize])).collect();
    }

    fn size(&self) -> usize {
        let rows = self.groups.iter().flat_map(|group| group.rows.keys());
        rows.map(|row| row.len() + size_of::<(Box<[u8]>, i64)>()).sum::<usize>()
            + self.groups.capacity() * size_of::<Bag>()
    }
}
