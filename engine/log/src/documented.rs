//! What `FORMAT.md` says of the fields of events, compared with events as they are written, so that the document cannot rot.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use serde_json::Value;

const DOCUMENT: &str = include_str!("../FORMAT.md");

/// The table of the catalog's events.
pub(crate) const OF_CATALOG: usize = 0;
/// The table of what the catalog of a log on topics has besides.
pub(crate) const OF_TOPICS: usize = 1;

/// Events and their fields, each with its type.
type Fields = BTreeMap<(String, String), String>;

/// Asserts that the nth table has the fields of these events and no others. Each field must have a value that needs all bits of its type,
/// or a sign, in some event, and must be `null` in some event if it can be.
pub(crate) fn assert_documented<E: Serialize>(nth: usize, events: &[E]) {
    let mut types: BTreeMap<(String, String), BTreeSet<String>> = BTreeMap::new();
    for event in events {
        let event = serde_json::to_value(event).unwrap();
        let (name, value) = named(&event);
        let said = if name.is_empty() { event.to_string() } else { format!("`{}", start_of(&name)) };
        assert!(DOCUMENT.contains(&said), "FORMAT.md must tell what {said} says");
        let mut add = |field: &str, value: &Value| {
            types.entry((name.clone(), field.to_owned())).or_default().insert(type_of(value));
        };
        match value {
            Value::Object(_) => walk(value, "", &mut add),
            // It has no fields, but is something itself.
            Value::Array(_) => add("", value),
            _ => {}
        }
    }
    let one = |types: BTreeSet<String>| {
        let (null, some): (Vec<_>, Vec<_>) = types.into_iter().partition(|one| one == "null");
        some.into_iter().chain(null).collect::<Vec<_>>().join(" or ")
    };
    let written: Fields = types.into_iter().map(|(field, types)| (field, one(types))).collect();
    assert_eq!(documented(nth), written, "FORMAT.md on the left, what is written on the right");
}

/// The fields of the nth table.
fn documented(nth: usize) -> Fields {
    let table =
        DOCUMENT.split("| event | field | JSON | meaning |\n|---|---|---|---|\n").nth(nth + 1).unwrap();
    let rows = table.lines().take_while(|line| line.starts_with('|'));
    let row = |line: &str| {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        let [_, event, field, kind, meaning, _] = cells[..] else { panic!("four cells: {line}") };
        assert!(!meaning.is_empty(), "{line}");
        ((event.replace('`', ""), field.replace('`', "")), kind.to_owned())
    };
    rows.map(row).collect()
}

/// What an event is called, and its fields. One that is a string is not called anything.
fn named(event: &Value) -> (String, &Value) {
    let only = |value: &'_ Value| value.as_object().and_then(|fields| fields.keys().next().cloned());
    match only(event) {
        Some(name) if name == "stream" => {
            let kind = only(&event[&name]).unwrap();
            (format!("{name}.{kind}"), &event[&name][&kind])
        }
        Some(name) => (name.clone(), &event[&name]),
        None => (String::new(), event),
    }
}

/// How an event of this name begins.
fn start_of(name: &str) -> String {
    name.split('.').map(|part| format!("{{\"{part}\":")).collect()
}

/// Tells all fields below a value, by their paths.
fn walk(value: &Value, path: &str, add: &mut impl FnMut(&str, &Value)) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                let name = if path.ends_with("properties") { "*" } else { name };
                let path = if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
                add(&path, value);
                walk(value, &path, add);
            }
        }
        Value::Array(elements) => elements.iter().for_each(|one| walk(one, &format!("{path}[]"), add)),
        _ => {}
    }
}

fn type_of(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(_) => "boolean".to_owned(),
        Value::String(_) => "string".to_owned(),
        Value::Object(_) => "object".to_owned(),
        Value::Number(number) => match number.as_u64() {
            None => "i64".to_owned(),
            Some(value) => if value > u64::from(u32::MAX) { "u64" } else { "u32" }.to_owned(),
        },
        Value::Array(elements) => {
            let of =
                type_of(elements.first().expect("a list of an event that is to be documented has elements"));
            // Several of them; the types of numbers are names.
            let several = if of.ends_with(char::is_numeric) { of } else { format!("{of}s") };
            format!("list of {several}")
        }
    }
}
