//! `JSON_QUOTE(text)` and `JSON_UNQUOTE(text)`: a text as a string of JSON, and back.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, StringArray};
use arrow::datatypes::DataType;
use datafusion::common::{Result, plan_err};
use datafusion::logical_expr::ScalarUDF;

use super::computed::Computed;

pub(super) fn functions() -> Vec<ScalarUDF> {
    let all = [
        Computed {
            name: "json_quote",
            coerce: one_text,
            returns: |_| DataType::Utf8,
            call: |args| each(args, quote),
        },
        Computed {
            name: "json_unquote",
            coerce: one_text,
            returns: |_| DataType::Utf8,
            call: |args| each(args, unquote),
        },
    ];
    all.into_iter().map(Computed::function).collect()
}

fn one_text(types: &[DataType]) -> Result<Vec<DataType>> {
    match types {
        [_] => Ok(vec![DataType::Utf8]),
        _ => plan_err!("JSON_QUOTE and JSON_UNQUOTE take a text"),
    }
}

fn each(args: &[ArrayRef], of: fn(&str) -> String) -> Result<ArrayRef> {
    Ok(Arc::new(args[0].as_string::<i32>().iter().map(|text| text.map(of)).collect::<StringArray>()))
}

/// In ASCII: a slash has a backslash before it, and other characters are `\u` and four digits for each half of UTF-16.
fn quote(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for unit in text.encode_utf16() {
        match u8::try_from(unit) {
            Ok(byte @ (b'"' | b'\\' | b'/')) => quoted.extend(['\\', char::from(byte)]),
            Ok(0x08) => quoted.push_str("\\b"),
            Ok(0x0c) => quoted.push_str("\\f"),
            Ok(b'\n') => quoted.push_str("\\n"),
            Ok(b'\r') => quoted.push_str("\\r"),
            Ok(b'\t') => quoted.push_str("\\t"),
            Ok(byte) if byte.is_ascii() => quoted.push(char::from(byte)),
            _ => quoted.push_str(&format!("\\u{unit:04x}")),
        }
    }
    quoted.push('"');
    quoted
}

/// What is no string of JSON stays as it is.
fn unquote(text: &str) -> String {
    let is_quoted = text.starts_with('"') && text.ends_with('"');
    let value = is_quoted.then(|| serde_json::from_str::<String>(text).ok());
    value.flatten().unwrap_or_else(|| text.to_owned())
}
