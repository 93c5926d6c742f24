//! `ELEMENT(list)`, `MAP_FROM_ENTRIES(list of rows)` and `MAP_UNION(map, ...)`.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, MapArray, StructArray, UInt32Array};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::compute::{interleave, take};
use arrow::datatypes::{DataType, Field, FieldRef, Fields};
use arrow::row::{Row, RowConverter, SortField};
use datafusion::common::{Result, exec_err, plan_err};
use datafusion::logical_expr::ScalarUDF;
use datafusion::logical_expr::type_coercion::binary::type_union_coercion;

use super::computed::Computed;
use crate::types::sql_type;

pub(super) fn functions() -> Vec<ScalarUDF> {
    let all = [
        Computed {
            name: "element",
            coerce: |types| match types {
                [list] if item_of(list).is_some() => Ok(vec![plain(list)]),
                _ => plan_err!("ELEMENT takes a list"),
            },
            returns: |types| item_of(&types[0]).map_or(DataType::Null, |item| item.data_type().clone()),
            call: element,
        },
        Computed {
            name: "map_from_entries",
            coerce: |types| match types {
                [list] if entry_of(list).is_some() => Ok(vec![plain(list)]),
                _ => plan_err!("MAP_FROM_ENTRIES takes a list of rows, each a key and a value"),
            },
            returns: |types| match entry_of(&types[0]) {
                Some([key, value]) => map_of(key.data_type(), value.data_type()),
                None => DataType::Null,
            },
            call: from_entries,
        },
        Computed {
            name: "map_union",
            coerce: |types| Ok(vec![union_type(types)?; types.len()]),
            returns: |types| types[0].clone(),
            call: union,
        },
    ];
    all.into_iter().map(Computed::function).collect()
}

fn item_of(list: &DataType) -> Option<&FieldRef> {
    match list {
        DataType::List(item) | DataType::LargeList(item) | DataType::FixedSizeList(item, _) => Some(item),
        _ => None,
    }
}

/// The list as it is read.
fn plain(list: &DataType) -> DataType {
    item_of(list).map_or_else(|| list.clone(), |item| DataType::List(Arc::clone(item)))
}

/// The key and the value of rows in a list.
fn entry_of(list: &DataType) -> Option<&[FieldRef; 2]> {
    match item_of(list)?.data_type() {
        DataType::Struct(fields) => fields.first_chunk().filter(|_| fields.len() == 2),
        _ => None,
    }
}

/// The only element of a list, NULL if there is none.
fn element(args: &[ArrayRef]) -> Result<ArrayRef> {
    let lists = args[0].as_list::<i32>();
    let mut places: Vec<Option<u32>> = Vec::with_capacity(lists.len());
    for row in 0..lists.len() {
        let count = if lists.is_null(row) { 0 } else { lists.value_length(row) };
        places.push(match count {
            0 => None,
            1 => Some(lists.value_offsets()[row] as u32),
            _ => return exec_err!("ELEMENT: the list has {count} elements, and not one"),
        });
    }
    Ok(take(lists.values(), &UInt32Array::from(places), None)?)
}

/// The entries of maps of these types.
fn entries_of(key: &DataType, value: &DataType) -> Fields {
    Fields::from(vec![Field::new("key", key.clone(), false), Field::new("value", value.clone(), true)])
}

fn map_of(key: &DataType, value: &DataType) -> DataType {
    let entries = DataType::Struct(entries_of(key, value));
    DataType::Map(Arc::new(Field::new("entries", entries, false)), false)
}

/// The type of a union: of keys and of values that which holds those of all maps.
fn union_type(types: &[DataType]) -> Result<DataType> {
    let mut common: Option<(DataType, DataType)> = None;
    for kind in types.iter().filter(|kind| !kind.is_null()) {
        let DataType::Map(entries, _) = kind else {
            return plan_err!("MAP_UNION takes maps, not {}", sql_type(kind));
        };
        let DataType::Struct(fields) = entries.data_type() else {
            return plan_err!("MAP_UNION takes maps");
        };
        let (key, value) = (fields[0].data_type(), fields[1].data_type());
        common = Some(match common {
            None => (key.clone(), value.clone()),
            Some((keys, values)) => {
                match (type_union_coercion(&keys, key), type_union_coercion(&values, value)) {
                    (Some(keys), Some(values)) => (keys, values),
                    _ => return plan_err!("MAP_UNION takes maps of one type"),
                }
            }
        });
    }
    match common {
        Some((key, value)) => Ok(map_of(&key, &value)),
        None => plan_err!("MAP_UNION takes at least one map"),
    }
}

/// Maps that are being made: of each entry where its key and its value are.
#[derive(Default)]
struct Maps<'r> {
    keys: Vec<(usize, usize)>,
    values: Vec<(usize, usize)>,
    /// Of the map that is being made, where an entry is by its key.
    known: HashMap<Row<'r>, usize>,
    lengths: Vec<usize>,
    is_there: Vec<bool>,
}

impl<'r> Maps<'r> {
    /// Of several values of one key the last counts.
    fn put(&mut self, key: Row<'r>, at: (usize, usize)) {
        match self.known.entry(key) {
            Entry::Occupied(place) => self.values[*place.get()] = at,
            Entry::Vacant(place) => {
                place.insert(self.keys.len());
                self.keys.push(at);
                self.values.push(at);
            }
        }
    }

    /// Ends a map, or a NULL in place of one.
    fn end(&mut self, is_there: bool) {
        self.lengths.push(self.known.len());
        self.is_there.push(is_there);
        self.known.clear();
    }

    fn finish(self, keys: &[&dyn Array], values: &[&dyn Array]) -> Result<ArrayRef> {
        let columns = vec![interleave(keys, &self.keys)?, interleave(values, &self.values)?];
        let fields = entries_of(columns[0].data_type(), columns[1].data_type());
        let entries = StructArray::try_new(fields, columns, None)?;
        let field = Arc::new(Field::new("entries", entries.data_type().clone(), false));
        let nulls = NullBuffer::from(self.is_there);
        let offsets = OffsetBuffer::from_lengths(self.lengths);
        Ok(Arc::new(MapArray::try_new(field, offsets, entries, Some(nulls), false)?))
    }
}

/// A list with a row that is NULL gives NULL.
fn from_entries(args: &[ArrayRef]) -> Result<ArrayRef> {
    let lists = args[0].as_list::<i32>();
    let rows = lists.values().as_struct();
    let (keys, values) = (rows.column(0), rows.column(1));
    let converter = RowConverter::new(vec![SortField::new(keys.data_type().clone())])?;
    let encoded = converter.convert_columns(&[Arc::clone(keys)])?;
    let mut maps = Maps::default();
    for row in 0..lists.len() {
        let offsets = lists.value_offsets();
        let places = offsets[row] as usize..offsets[row + 1] as usize;
        if lists.is_null(row) || places.clone().any(|place| rows.is_null(place)) {
            maps.end(false);
            continue;
        }
        for place in places {
            if keys.is_null(place) {
                return exec_err!("MAP_FROM_ENTRIES: a key is NULL");
            }
            maps.put(encoded.row(place), (0, place));
        }
        maps.end(true);
    }
    maps.finish(&[keys.as_ref()], &[values.as_ref()])
}

/// NULL as soon as a map is.
fn union(args: &[ArrayRef]) -> Result<ArrayRef> {
    let maps: Vec<&MapArray> = args.iter().map(|maps| maps.as_map()).collect();
    let converter = RowConverter::new(vec![SortField::new(maps[0].key_type().clone())])?;
    let encoded = maps.iter().map(|maps| converter.convert_columns(&[Arc::clone(maps.keys())]));
    let encoded = encoded.collect::<std::result::Result<Vec<_>, _>>()?;
    let mut made = Maps::default();
    for row in 0..maps[0].len() {
        let is_there = maps.iter().all(|maps| !maps.is_null(row));
        for (nth, (maps, keys)) in maps.iter().zip(&encoded).enumerate().filter(|_| is_there) {
            let offsets = maps.value_offsets();
            for place in offsets[row] as usize..offsets[row + 1] as usize {
                made.put(keys.row(place), (nth, place));
            }
        }
        made.end(is_there);
    }
    let keys: Vec<&dyn Array> = maps.iter().map(|maps| maps.keys().as_ref()).collect();
    let values: Vec<&dyn Array> = maps.iter().map(|maps| maps.values().as_ref()).collect();
    made.finish(&keys, &values)
}
