//! Names with capital letters: SQL has the columns of `userId STRING` in lower case, and records have them as they were written.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayData, ArrayRef, RecordBatch, RecordBatchOptions, make_array};
use arrow::datatypes::{DataType, Field, FieldRef, Fields, Schema, SchemaRef};

use crate::error::Result;

/// The names that records have, by those that columns and their fields have.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct FieldNames(BTreeMap<String, String>);

impl FieldNames {
    /// Reads names with `,` between them; of several that differ in capital letters alone the first counts.
    pub fn new(names: &str) -> Self {
        let mut all = BTreeMap::new();
        for name in names.split(',').filter(|name| !name.is_empty()) {
            all.entry(name.to_lowercase()).or_insert_with(|| name.to_owned());
        }
        Self(all)
    }

    /// Whether all names are those of the schema.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The name that records have for a column; `None`: its own.
    pub(super) fn of(&self, column: &str) -> Option<&str> {
        self.0.get(column).map(String::as_str)
    }

    /// The schema with the names that records have.
    pub(super) fn written(&self, schema: &SchemaRef) -> SchemaRef {
        match self.0.is_empty() {
            true => Arc::clone(schema),
            false => Arc::new(Schema::new(self.written_fields(schema.fields()))),
        }
    }

    fn written_fields(&self, fields: &Fields) -> Fields {
        // Two columns keep apart what differs in capital letters alone.
        let is_taken = |name: &str| fields.iter().any(|field| field.name() == name);
        let name_of = |field: &Field| {
            let written = self.of(field.name()).filter(|name| !is_taken(name));
            written.unwrap_or(field.name()).to_owned()
        };
        fields.iter().map(|field| Arc::new(self.inside(field).with_name(name_of(field)))).collect()
    }

    /// A field whose own fields have the names of records.
    fn inside(&self, field: &Field) -> Field {
        let kind = match field.data_type() {
            DataType::Struct(fields) => DataType::Struct(self.written_fields(fields)),
            DataType::List(item) => DataType::List(Arc::new(self.inside(item))),
            DataType::LargeList(item) => DataType::LargeList(Arc::new(self.inside(item))),
            DataType::FixedSizeList(item, size) => {
                DataType::FixedSizeList(Arc::new(self.inside(item)), *size)
            }
            DataType::Map(entries, sorted) => DataType::Map(Arc::new(self.of_entries(entries)), *sorted),
            other => other.clone(),
        };
        field.clone().with_data_type(kind)
    }

    /// The entries of a map, whose key and value are no names of records.
    fn of_entries(&self, entries: &FieldRef) -> Field {
        let kind = match entries.data_type() {
            DataType::Struct(pair) => {
                DataType::Struct(pair.iter().map(|field| Arc::new(self.inside(field))).collect())
            }
            other => other.clone(),
        };
        entries.as_ref().clone().with_data_type(kind)
    }
}

/// Rows under the names of another schema, whose types are the same but for names.
pub(super) fn renamed(rows: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch> {
    let columns = rows.columns().iter().zip(schema.fields()).map(|(column, field)| column_as(column, field));
    let options = RecordBatchOptions::new().with_row_count(Some(rows.num_rows()));
    Ok(RecordBatch::try_new_with_options(Arc::clone(schema), columns.collect::<Result<_>>()?, &options)?)
}

fn column_as(column: &ArrayRef, field: &Field) -> Result<ArrayRef> {
    if column.data_type() == field.data_type() {
        return Ok(Arc::clone(column));
    }
    Ok(make_array(data_as(column.to_data(), field.data_type())?))
}

fn data_as(data: ArrayData, kind: &DataType) -> Result<ArrayData> {
    let kinds: Vec<&DataType> = match kind {
        DataType::Struct(fields) => fields.iter().map(|field| field.data_type()).collect(),
        DataType::List(item)
        | DataType::LargeList(item)
        | DataType::FixedSizeList(item, _)
        | DataType::Map(item, _) => {
            vec![item.data_type()]
        }
        _ => return Ok(data),
    };
    let children = data.child_data().iter().cloned().zip(kinds);
    let children = children.map(|(child, kind)| data_as(child, kind)).collect::<Result<Vec<_>>>()?;
    Ok(data.into_builder().data_type(kind.clone()).child_data(children).build()?)
}
