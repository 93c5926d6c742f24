//! Rows to items.

use std::collections::{BTreeMap, HashMap};

use arrow::array::{Array, AsArray, BinaryArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Schema};
use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::{AttributeValue, KeyType, ScalarAttributeType, TableDescription};
use bytes::Bytes;
use headwater_connectors::{ConnectorError, Result};
use headwater_ingest::IngestError;
use serde_json::Value;
use serde_json::value::RawValue;

/// Attributes by name.
pub(super) type Attributes = HashMap<String, AttributeValue>;

/// A table's key: one or two attributes, and what they are.
pub(super) struct Key(Vec<(String, ScalarAttributeType)>);

/// A row as an item.
#[derive(Clone, Debug)]
pub(super) struct Item {
    /// The key's attributes.
    pub key: Attributes,
    /// The others; `None` where the row has NULL.
    pub rest: Vec<(String, Option<AttributeValue>)>,
}

impl Key {
    /// The key of a table, whose attributes the columns of `schema` must have.
    pub(super) fn of(table: &TableDescription, schema: &Schema) -> Result<Self> {
        let what = || format!("write to table {}", table.table_name().unwrap_or_default());
        let mut parts = Vec::new();
        for wanted in [KeyType::Hash, KeyType::Range] {
            let Some(part) = table.key_schema().iter().find(|part| *part.key_type() == wanted) else {
                continue;
            };
            let name = part.attribute_name();
            if schema.column_with_name(name).is_none() {
                let reason = format!("its key has the attribute {name}, for which there is no column");
                return Err(ConnectorError::refused(what(), reason));
            }
            let kind = table.attribute_definitions().iter().find(|one| one.attribute_name() == name);
            let kind = kind.map_or(ScalarAttributeType::S, |one| one.attribute_type().clone());
            parts.push((name.to_owned(), kind));
        }
        match parts.is_empty() {
            true => Err(ConnectorError::outage(what(), "it says no key")),
            false => Ok(Self(parts)),
        }
    }

    /// The attributes of the key, in their order.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(name, _)| name.as_str())
    }

    /// A text that tells keys apart: what has the same is the same item.
    pub(super) fn lane(&self, item: &Item) -> Bytes {
        let parts = self.names().map(|name| format!("{:?}", item.key.get(name)));
        Bytes::from(parts.collect::<Vec<_>>().join("\n"))
    }

    /// An attribute as the key wants it: a number is a text, too.
    fn fit(&self, name: &str, value: AttributeValue) -> AttributeValue {
        let kind = self.0.iter().find(|(part, _)| part == name).map(|(_, kind)| kind);
        match (kind, value) {
            (Some(ScalarAttributeType::S), AttributeValue::N(digits)) => AttributeValue::S(digits),
            (_, value) => value,
        }
    }
}

/// Why a row is no item.
pub(super) type NoItem = String;

/// The items of rows; `lines` are the rows as lines of JSON. A row without a key is none.
pub(super) fn items(
    rows: &RecordBatch,
    lines: &[Bytes],
    key: &Key,
) -> Result<Vec<std::result::Result<Item, NoItem>>> {
    let bytes = binary_columns(rows)?;
    Ok((0..rows.num_rows()).zip(lines).map(|(row, line)| item(row, line, &bytes, key)).collect())
}

fn item(
    row: usize,
    line: &Bytes,
    bytes: &BTreeMap<String, BinaryArray>,
    key: &Key,
) -> std::result::Result<Item, NoItem> {
    let fields: BTreeMap<String, Box<RawValue>> =
        serde_json::from_slice(line).map_err(|error| error.to_string())?;
    let mut item = Item { key: Attributes::new(), rest: Vec::with_capacity(fields.len()) };
    for (name, value) in fields {
        let value = match bytes.get(&name) {
            Some(column) if column.is_null(row) => None,
            Some(column) => Some(AttributeValue::B(Blob::new(column.value(row)))),
            None => attribute(value.get()),
        };
        if key.names().all(|part| part != name) {
            item.rest.push((name, value));
        } else {
            let value = value.ok_or_else(|| format!("{name} is NULL, and it is part of the key"))?;
            let value = key.fit(&name, value);
            item.key.insert(name, value);
        }
    }
    Ok(item)
}

/// Columns of bytes: JSON has them as base64, the table as they are.
fn binary_columns(rows: &RecordBatch) -> Result<BTreeMap<String, BinaryArray>> {
    let mut found = BTreeMap::new();
    for (field, column) in rows.schema_ref().fields().iter().zip(rows.columns()) {
        if field.data_type().is_binary() {
            let column = cast(column, &DataType::Binary).map_err(IngestError::from)?;
            found.insert(field.name().clone(), column.as_binary::<i32>().clone());
        }
    }
    Ok(found)
}

/// A value of JSON as an attribute. Numbers keep their digits.
fn attribute(json: &str) -> Option<AttributeValue> {
    match json.as_bytes().first()? {
        b'"' => serde_json::from_str(json).ok().map(AttributeValue::S),
        b'-' | b'0'..=b'9' => Some(AttributeValue::N(json.to_owned())),
        _ => serde_json::from_str(json).ok().and_then(nested),
    }
}

fn nested(value: Value) -> Option<AttributeValue> {
    let kept = |value| nested(value).unwrap_or(AttributeValue::Null(true));
    Some(match value {
        Value::Null => return None,
        Value::Bool(is) => AttributeValue::Bool(is),
        Value::Number(number) => AttributeValue::N(number.to_string()),
        Value::String(text) => AttributeValue::S(text),
        Value::Array(values) => AttributeValue::L(values.into_iter().map(kept).collect()),
        Value::Object(fields) => {
            AttributeValue::M(fields.into_iter().map(|(name, value)| (name, kept(value))).collect())
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_keep_their_kind_and_their_digits() {
        let n = |digits: &str| Some(AttributeValue::N(digits.to_owned()));
        assert_eq!(attribute("12345678901234567890.123456789"), n("12345678901234567890.123456789"));
        assert_eq!(attribute("-0.5"), n("-0.5"));
        assert_eq!(attribute(r#""a\n\u00e4""#), Some(AttributeValue::S("a\nä".to_owned())));
        assert_eq!(attribute("true"), Some(AttributeValue::Bool(true)));
        assert_eq!(attribute("null"), None);
        let list = vec![AttributeValue::N("1".to_owned()), AttributeValue::Null(true)];
        assert_eq!(attribute("[1,null]"), Some(AttributeValue::L(list)));
        let map = HashMap::from([("a".to_owned(), AttributeValue::S("b".to_owned()))]);
        assert_eq!(attribute(r#"{"a":"b"}"#), Some(AttributeValue::M(map)));
    }
}
