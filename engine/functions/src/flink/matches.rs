//! What a text is taken apart into by regexes: `REGEXP_EXTRACT_ALL(text, regex [, n])` and `STR_TO_MAP(text [, pairs [, keys]])`.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, Int64Array, ListBuilder, MapBuilder, MapFieldNames, StringArray, StringBuilder,
};
use arrow::datatypes::{DataType, Field, Fields, Int64Type};
use datafusion::common::{Result, exec_datafusion_err, plan_err};
use datafusion::logical_expr::ScalarUDF;
use regex::Regex;

use super::computed::Computed;

pub(super) fn functions() -> Vec<ScalarUDF> {
    let all = [
        Computed {
            name: "regexp_extract_all",
            coerce: |types| match types.len() {
                2 => Ok(vec![DataType::Utf8; 2]),
                3 => Ok(vec![DataType::Utf8, DataType::Utf8, DataType::Int64]),
                _ => plan_err!("REGEXP_EXTRACT_ALL takes a text, a regex and the number of a group"),
            },
            returns: |_| DataType::new_list(DataType::Utf8, true),
            call: all_matches,
        },
        Computed {
            name: "str_to_map",
            coerce: |types| match types.len() {
                1..=3 => Ok(vec![DataType::Utf8; types.len()]),
                _ => plan_err!(
                    "STR_TO_MAP takes a text, what parts pairs, and what parts a key from its value"
                ),
            },
            returns: |_| map_type(),
            call: to_map,
        },
    ];
    all.into_iter().map(Computed::function).collect()
}

/// The last regex, as it is mostly the same in all rows.
#[derive(Default)]
struct Compiled(Option<(String, Regex)>);

impl Compiled {
    fn get(&mut self, text: &str) -> Result<&Regex> {
        if self.0.as_ref().is_none_or(|(known, _)| known != text) {
            let regex =
                Regex::new(text).map_err(|error| exec_datafusion_err!("the regex '{text}': {error}"))?;
            self.0 = Some((text.to_owned(), regex));
        }
        match &self.0 {
            Some((_, regex)) => Ok(regex),
            None => Err(exec_datafusion_err!("there is no regex")),
        }
    }
}

/// What a group matched, of every match; the first one unless another is named, the whole for 0. NULL if there is no such group.
fn all_matches(args: &[ArrayRef]) -> Result<ArrayRef> {
    let (texts, regexes) = (args[0].as_string::<i32>(), args[1].as_string::<i32>());
    let groups: Option<&Int64Array> = args.get(2).map(|groups| groups.as_primitive::<Int64Type>());
    let mut compiled = Compiled::default();
    let mut found = ListBuilder::new(StringBuilder::new());
    for row in 0..texts.len() {
        let is_null =
            [texts.is_null(row), regexes.is_null(row), groups.is_some_and(|groups| groups.is_null(row))];
        if is_null.contains(&true) {
            found.append_null();
            continue;
        }
        let regex = compiled.get(regexes.value(row))?;
        let group = groups.map_or(1, |groups| groups.value(row));
        let group = usize::try_from(group).ok().filter(|group| *group < regex.captures_len());
        let Some(group) = group else {
            found.append_null();
            continue;
        };
        for captures in regex.captures_iter(texts.value(row)) {
            found.values().append_option(captures.get(group).map(|part| part.as_str()));
        }
        found.append(true);
    }
    Ok(Arc::new(found.finish()))
}

fn names() -> MapFieldNames {
    MapFieldNames { entry: "entries".to_owned(), key: "key".to_owned(), value: "value".to_owned() }
}

/// As a map of texts is declared.
fn map_type() -> DataType {
    let names = names();
    let entries = Fields::from(vec![
        Field::new(names.key, DataType::Utf8, false),
        Field::new(names.value, DataType::Utf8, true),
    ]);
    DataType::Map(Arc::new(Field::new(names.entry, DataType::Struct(entries), false)), false)
}

/// Of a key that comes several times the last value counts; without a value it is NULL.
fn to_map(args: &[ArrayRef]) -> Result<ArrayRef> {
    let texts = args[0].as_string::<i32>();
    let by = |nth: usize| args.get(nth).map(|by| by.as_string::<i32>());
    let (pairs, keys) = (by(1), by(2));
    let is_null = |by: Option<&StringArray>, row| by.is_some_and(|by| by.is_null(row));
    let mut maps = MapBuilder::new(Some(names()), StringBuilder::new(), StringBuilder::new());
    let (mut by_pair, mut by_key) = (Compiled::default(), Compiled::default());
    for row in 0..texts.len() {
        if texts.is_null(row) || is_null(pairs, row) || is_null(keys, row) {
            maps.append(false)?;
            continue;
        }
        let pair = by_pair.get(pairs.map_or(",", |by| by.value(row)))?;
        let key = by_key.get(keys.map_or("=", |by| by.value(row)))?;
        let mut entries: Vec<(&str, Option<&str>)> = Vec::new();
        for part in pair.split(texts.value(row)) {
            let mut halves = key.splitn(part, 2);
            let name = halves.next().unwrap_or_default();
            let value = halves.next();
            match entries.iter_mut().find(|(known, _)| *known == name) {
                Some((_, known)) => *known = value,
                None => entries.push((name, value)),
            }
        }
        for (name, value) in entries {
            maps.keys().append_value(name);
            maps.values().append_option(value);
        }
        maps.append(true)?;
    }
    Ok(Arc::new(maps.finish()))
}
