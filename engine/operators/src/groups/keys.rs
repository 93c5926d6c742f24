//! Key columns to dense numbers and back.

use std::cmp::Ordering;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, Int64Array, LargeStringArray, StringArray, StringViewArray, make_array,
    new_empty_array,
};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type};
use arrow_row::{RowConverter, SortField};

use super::maps::{BytesMap, IntMap};
use super::radix::sort_pairs;
use super::rows::{COLUMNS, IntRowsMap};
use crate::error::Result;

/// Keys of one or more columns, or of none, each with a dense number.
pub(crate) struct KeyTable {
    types: Vec<DataType>,
    store: Store,
}

enum Store {
    /// No key columns: all rows have the same key.
    Unit { seen: bool },
    /// One column of integers or times.
    Ints { map: IntMap, null: Option<u32> },
    /// One column of text.
    Texts { map: BytesMap, null: Option<u32> },
    /// Several columns of integers or times.
    IntRows(IntRowsMap),
    /// Anything else, row by row in `arrow-row` encoding, which sorts like the columns.
    Rows { map: BytesMap, converter: RowConverter },
}

impl KeyTable {
    pub(crate) fn new(types: Vec<DataType>) -> Result<Self> {
        let store = match types.as_slice() {
            [] => Store::Unit { seen: false },
            [one] if is_integer(one) => Store::Ints { map: IntMap::default(), null: None },
            [DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View] => {
                Store::Texts { map: BytesMap::default(), null: None }
            }
            many if many.len() < COLUMNS && many.iter().all(is_integer) => {
                Store::IntRows(IntRowsMap::new(many.len()))
            }
            many => {
                let fields = many.iter().map(|kind| SortField::new(kind.clone())).collect();
                Store::Rows { map: BytesMap::default(), converter: RowConverter::new(fields)? }
            }
        };
        Ok(Self { types, store })
    }

    pub(crate) fn len(&self) -> usize {
        match &self.store {
            Store::Unit { seen } => usize::from(*seen),
            Store::Ints { map, .. } => map.len(),
            Store::IntRows(map) => map.len(),
            Store::Texts { map, .. } | Store::Rows { map, .. } => map.len(),
        }
    }

    pub(crate) fn types(&self) -> &[DataType] {
        &self.types
    }

    /// Puts the number of each row's key into `ids`, replacing what is there.
    pub(crate) fn intern(&mut self, columns: &[ArrayRef], rows: usize, ids: &mut Vec<u32>) -> Result<()> {
        ids.clear();
        match &mut self.store {
            Store::Unit { seen } => {
                *seen |= rows > 0;
                ids.resize(rows, 0);
            }
            Store::Ints { map, null } => {
                let column = to_int64(&columns[0])?;
                if column.null_count() == 0 {
                    ids.extend(column.values().iter().map(|value| map.intern(*value)));
                } else {
                    ids.extend(column.iter().map(|value| match value {
                        Some(value) => map.intern(value),
                        None => *null.get_or_insert_with(|| map.push_unmapped()),
                    }));
                }
            }
            Store::Texts { map, null } => match columns[0].data_type() {
                DataType::Utf8 => intern_texts(columns[0].as_string::<i32>().iter(), map, null, ids),
                DataType::LargeUtf8 => intern_texts(columns[0].as_string::<i64>().iter(), map, null, ids),
                _ => intern_texts(columns[0].as_string_view().iter(), map, null, ids),
            },
            Store::IntRows(map) => {
                map.intern(&columns.iter().map(to_int64).collect::<Result<Vec<_>>>()?, ids);
            }
            Store::Rows { map, converter } => {
                let encoded = converter.convert_columns(columns)?;
                ids.extend(encoded.iter().map(|row| map.intern(row.as_ref())));
            }
        }
        Ok(())
    }

    /// The key columns of some keys.
    pub(crate) fn columns(&self, ids: &[u32]) -> Result<Vec<ArrayRef>> {
        match &self.store {
            Store::Unit { .. } => Ok(Vec::new()),
            Store::Ints { map, null } => {
                let column: Int64Array = match null {
                    None => Int64Array::from_iter_values(ids.iter().map(|id| map.value(*id))),
                    Some(null) => ids.iter().map(|id| (id != null).then(|| map.value(*id))).collect(),
                };
                Ok(vec![from_int64(column, &self.types[0])?])
            }
            Store::Texts { map, null } => {
                let texts = ids.iter().map(|id| {
                    let text = std::str::from_utf8(map.value(*id)).expect("the bytes came from a text");
                    (Some(*id) != *null).then_some(text)
                });
                Ok(vec![match &self.types[0] {
                    DataType::Utf8 => Arc::new(texts.collect::<StringArray>()),
                    DataType::LargeUtf8 => Arc::new(texts.collect::<LargeStringArray>()),
                    _ => Arc::new(texts.collect::<StringViewArray>()),
                }])
            }
            Store::IntRows(map) => {
                let columns = self.types.iter().enumerate();
                columns.map(|(nth, kind)| from_int64(map.column(nth, ids), kind)).collect()
            }
            Store::Rows { map, converter } => {
                if ids.is_empty() {
                    return Ok(self.types.iter().map(new_empty_array).collect());
                }
                let parser = converter.parser();
                let rows = ids.iter().map(|id| parser.parse(map.value(*id)));
                let columns = converter.convert_rows(rows)?;
                // Dictionaries come back as their values.
                columns.iter().zip(&self.types).map(|(column, kind)| Ok(cast(column, kind)?)).collect()
            }
        }
    }

    /// How two keys are ordered: by their columns, ascending, nulls first.
    pub(crate) fn compare(&self, a: u32, b: u32) -> Ordering {
        match &self.store {
            Store::Unit { .. } => Ordering::Equal,
            Store::Ints { map, null } => {
                let place = |id| (Some(id) != *null).then(|| map.value(id));
                place(a).cmp(&place(b))
            }
            Store::Texts { map, null } => {
                let place = |id| (Some(id) != *null).then(|| map.value(id));
                place(a).cmp(&place(b))
            }
            Store::IntRows(map) => map.compare(a, b),
            Store::Rows { map, .. } => map.value(a).cmp(map.value(b)),
        }
    }

    /// Where so many keys are in the order of [`KeyTable::compare`] already, if they are anywhere.
    pub(super) fn array_of(&self, count: usize) -> Option<&IntMap> {
        match &self.store {
            Store::Ints { map, null: None } if map.has_in_order(count) => Some(map),
            _ => None,
        }
    }

    /// Puts keys, each of which is there once, in the order of [`KeyTable::compare`].
    pub(crate) fn sort(&self, ids: &mut [u32]) {
        let Store::Ints { map, null } = &self.store else {
            return ids.sort_unstable_by(|a, b| self.compare(*a, *b));
        };
        if null.is_none() && map.sort_by_array(ids) {
            return;
        }
        let pairs = sorted_ints(map, ids.iter().filter(|id| Some(**id) != *null));
        let nulls = ids.len() - pairs.len();
        if let Some(null) = null {
            ids[..nulls].fill(*null);
        }
        ids[nulls..].iter_mut().zip(pairs).for_each(|(place, (_, id))| *place = id);
    }

    /// The same, and the key columns in that order.
    pub(crate) fn sort_to_columns(&self, ids: &mut [u32]) -> Result<Vec<ArrayRef>> {
        match &self.store {
            // What they are sorted by is at hand.
            Store::Ints { map, null: None } if !map.has_in_order(ids.len()) => {
                let pairs = sorted_ints(map, ids.iter());
                ids.iter_mut().zip(&pairs).for_each(|(place, (_, id))| *place = *id);
                let values = pairs.into_iter().map(|(ordered, _)| (ordered ^ SIGN) as i64);
                Ok(vec![from_int64(Int64Array::from_iter_values(values), &self.types[0])?])
            }
            _ => {
                self.sort(ids);
                self.columns(ids)
            }
        }
    }

    /// Keeps these keys alone, renumbered from 0 in this order.
    pub(crate) fn retain(&mut self, ids: &[u32]) {
        match &mut self.store {
            Store::Unit { seen } => *seen = !ids.is_empty(),
            Store::Ints { map, null } => {
                let mut kept = IntMap::default();
                let mut kept_null = None;
                for id in ids {
                    if Some(*id) == *null {
                        kept_null = Some(kept.push_unmapped());
                    } else {
                        kept.intern(map.value(*id));
                    }
                }
                (*map, *null) = (kept, kept_null);
            }
            Store::Texts { map, null } => {
                let mut kept = BytesMap::default();
                let mut kept_null = None;
                for id in ids {
                    if Some(*id) == *null {
                        kept_null = Some(kept.push_unmapped());
                    } else {
                        kept.intern(map.value(*id));
                    }
                }
                (*map, *null) = (kept, kept_null);
            }
            Store::IntRows(map) => map.retain(ids),
            Store::Rows { map, .. } => {
                let mut kept = BytesMap::default();
                for id in ids {
                    kept.intern(map.value(*id));
                }
                *map = kept;
            }
        }
    }

    /// Forgets all keys, keeps the memory.
    pub(crate) fn clear(&mut self) {
        match &mut self.store {
            Store::Unit { seen } => *seen = false,
            Store::Ints { map, null } => {
                map.clear();
                *null = None;
            }
            Store::Texts { map, null } => {
                map.clear();
                *null = None;
            }
            Store::IntRows(map) => map.clear(),
            Store::Rows { map, .. } => map.clear(),
        }
    }

    pub(crate) fn size(&self) -> usize {
        match &self.store {
            Store::Unit { .. } => 0,
            Store::Ints { map, .. } => map.size(),
            Store::IntRows(map) => map.size(),
            Store::Texts { map, .. } | Store::Rows { map, .. } => map.size(),
        }
    }
}

/// An integer is in the order of an unsigned one when this bit is another.
const SIGN: u64 = 1 << (u64::BITS - 1);

/// Integers as unsigned ones in the same order, sorted, with their numbers: so they are looked up once each.
fn sorted_ints<'a>(map: &IntMap, ids: impl Iterator<Item = &'a u32>) -> Vec<(u64, u32)> {
    let mut pairs: Vec<(u64, u32)> = ids.map(|id| (map.value(*id) as u64 ^ SIGN, *id)).collect();
    sort_pairs(&mut pairs);
    pairs
}

fn intern_texts<'a>(
    texts: impl Iterator<Item = Option<&'a str>>,
    map: &mut BytesMap,
    null: &mut Option<u32>,
    ids: &mut Vec<u32>,
) {
    ids.extend(texts.map(|text| match text {
        Some(text) => map.intern(text.as_bytes()),
        None => *null.get_or_insert_with(|| map.push_unmapped()),
    }));
}

/// Whether a type's values are 64-bit integers in disguise, or fit into them.
fn is_integer(kind: &DataType) -> bool {
    is_int64(kind)
        || matches!(
            kind,
            DataType::Int32
                | DataType::Int16
                | DataType::Int8
                | DataType::UInt32
                | DataType::UInt16
                | DataType::UInt8
        )
}

fn is_int64(kind: &DataType) -> bool {
    matches!(kind, DataType::Int64 | DataType::Timestamp(..) | DataType::Date64 | DataType::Duration(_))
}

fn to_int64(column: &ArrayRef) -> Result<Int64Array> {
    let column = if is_int64(column.data_type()) {
        make_array(column.to_data().into_builder().data_type(DataType::Int64).build()?)
    } else {
        cast(column, &DataType::Int64)?
    };
    Ok(column.as_primitive::<Int64Type>().clone())
}

fn from_int64(column: Int64Array, kind: &DataType) -> Result<ArrayRef> {
    if is_int64(kind) {
        Ok(make_array(column.into_data().into_builder().data_type(kind.clone()).build()?))
    } else {
        Ok(cast(&column, kind)?)
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{BooleanArray, Int32Array, TimestampMillisecondArray};

    use super::*;

    fn check(columns: Vec<ArrayRef>, ids: &[u32]) {
        let types = columns.iter().map(|column| column.data_type().clone()).collect();
        let mut table = KeyTable::new(types).unwrap();
        let mut found = Vec::new();
        table.intern(&columns, ids.len(), &mut found).unwrap();
        assert_eq!(found, ids);
        // Back to columns, for every row.
        assert_eq!(table.columns(&found).unwrap(), columns);
        // The same order as arrow's.
        let sorted: Vec<_> =
            columns.iter().map(|c| arrow::compute::SortColumn { values: c.clone(), options: None }).collect();
        let mut mine: Vec<usize> = (0..ids.len()).collect();
        mine.sort_by(|a, b| table.compare(ids[*a], ids[*b]));
        let theirs = arrow::compute::lexsort_to_indices(&sorted, None).unwrap();
        let theirs: Vec<_> = theirs.values().iter().map(|row| ids[*row as usize]).collect();
        assert_eq!(mine.iter().map(|row| ids[*row]).collect::<Vec<_>>(), theirs);
        // The last key alone, as number 0.
        let last = *ids.last().unwrap();
        let expected = table.columns(&[last]).unwrap();
        table.retain(&[last]);
        assert_eq!((table.len(), table.columns(&[0]).unwrap()), (1, expected));
        table.intern(&columns, ids.len(), &mut found).unwrap();
        assert_eq!(*found.last().unwrap(), 0);
        table.clear();
        table.intern(&columns, ids.len(), &mut found).unwrap();
        assert_eq!(found, ids);
    }

    #[test]
    fn keys_of_every_shape_get_numbers_and_come_back() {
        let ints = || -> ArrayRef {
            Arc::new(Int64Array::from(vec![Some(-7), None, Some(0), Some(-7), Some(1 << 40)]))
        };
        let texts = || -> ArrayRef {
            Arc::new(StringArray::from(vec![
                Some("b"),
                None,
                Some(""),
                Some("b"),
                Some("a longer one, not inlined"),
            ]))
        };
        check(vec![ints()], &[0, 1, 2, 0, 3]);
        check(
            vec![Arc::new(Int32Array::from(vec![Some(5), None, Some(-1), Some(5), Some(70_000)]))],
            &[0, 1, 2, 0, 3],
        );
        check(
            vec![Arc::new(TimestampMillisecondArray::from(vec![9, 8, 7, 9, 6]).with_timezone("UTC"))],
            &[0, 1, 2, 0, 3],
        );
        check(vec![texts()], &[0, 1, 2, 0, 3]);
        check(vec![cast(&texts(), &DataType::Utf8View).unwrap()], &[0, 1, 2, 0, 3]);
        check(vec![cast(&texts(), &DataType::LargeUtf8).unwrap()], &[0, 1, 2, 0, 3]);
        check(vec![ints(), texts()], &[0, 1, 2, 0, 3]);
        let small = |values: Vec<Option<i32>>| -> ArrayRef { Arc::new(Int32Array::from(values)) };
        let minutes: ArrayRef =
            Arc::new(TimestampMillisecondArray::from(vec![2, -1, 2, 2, 2]).with_timezone("UTC"));
        check(vec![ints(), Arc::clone(&minutes)], &[0, 1, 2, 0, 3]);
        check(vec![minutes, small(vec![Some(1), Some(0), None, Some(1), Some(0)])], &[0, 1, 2, 0, 3]);
        check(
            vec![small(vec![Some(4), Some(4), Some(-4)]), small(vec![Some(0), Some(9), Some(0)])],
            &[0, 1, 2],
        );
        check(
            vec![Arc::new(BooleanArray::from(vec![Some(true), None, Some(false), Some(true), None]))],
            &[0, 1, 2, 0, 1],
        );
        let dictionary = DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8));
        let column = cast(&texts(), &dictionary).unwrap();
        let mut table = KeyTable::new(vec![dictionary]).unwrap();
        let mut ids = Vec::new();
        table.intern(&[column], 5, &mut ids).unwrap();
        assert_eq!(ids, [0, 1, 2, 0, 3]);
        assert_eq!(&cast(&table.columns(&ids).unwrap()[0], &DataType::Utf8).unwrap(), &texts());
    }

    #[test]
    fn sorting_many_keys_is_sorting_by_comparing() {
        let value = |n: i64| (n % 1_000 != 0).then_some((n * 7_919 % 10_007 - 5_000) << (n % 2 * 30));
        let ints: ArrayRef = Arc::new((0..9_000).map(value).collect::<Int64Array>());
        let texts = cast(&ints, &DataType::Utf8).unwrap();
        // In an array.
        let dense: ArrayRef = Arc::new(Int64Array::from_iter_values((0..9_000).map(|n| n * 7_919 % 10_007)));
        let two = vec![Arc::clone(&ints), Arc::clone(&dense)];
        let all = [vec![Arc::clone(&ints)], vec![Arc::clone(&texts)], vec![texts, ints], vec![dense], two];
        for columns in all {
            let types = columns.iter().map(|column| column.data_type().clone()).collect();
            let mut table = KeyTable::new(types).unwrap();
            table.intern(&columns, 9_000, &mut Vec::new()).unwrap();
            let mut sorted: Vec<u32> = (0..table.len() as u32).rev().collect();
            let mut expected = sorted.clone();
            table.sort(&mut sorted);
            expected.sort_by(|a, b| table.compare(*a, *b));
            assert_eq!(sorted, expected);
            sorted.reverse();
            let columns = table.sort_to_columns(&mut sorted).unwrap();
            assert_eq!((columns, sorted), (table.columns(&expected).unwrap(), expected));
        }
    }

    #[test]
    fn without_key_columns_there_is_one_key() {
        let mut table = KeyTable::new(Vec::new()).unwrap();
        let mut ids = Vec::new();
        assert_eq!(table.len(), 0);
        table.intern(&[], 3, &mut ids).unwrap();
        assert_eq!((ids.as_slice(), table.len()), ([0, 0, 0].as_slice(), 1));
    }
}
