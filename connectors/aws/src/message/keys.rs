//! Keys of messages, made of columns.

use arrow::array::{AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Schema};
use headwater_connectors::Result;
use headwater_ingest::IngestError;

/// The values of columns as text, row by row: keys of records, groups of messages. NULL is the empty text.
pub(crate) struct KeyColumns {
    columns: Vec<usize>,
    delimiter: String,
}

impl KeyColumns {
    /// Columns by name, with commas between.
    pub(crate) fn find(schema: &Schema, names: &str, delimiter: &str) -> std::result::Result<Self, String> {
        let columns = names
            .split(',')
            .map(str::trim)
            .map(|name| schema.index_of(name).map_err(|_| format!("the table has no column {name}")))
            .collect::<std::result::Result<_, _>>()?;
        Ok(Self { columns, delimiter: delimiter.to_owned() })
    }

    /// The columns of a table's primary key.
    pub(crate) fn of(schema: &Schema, names: &[String], delimiter: &str) -> Result<Self> {
        let find = |name: &String| schema.index_of(name).map_err(IngestError::from);
        let columns = names.iter().map(find).collect::<std::result::Result<_, _>>()?;
        Ok(Self { columns, delimiter: delimiter.to_owned() })
    }

    /// The key of each row.
    pub(crate) fn keys(&self, rows: &RecordBatch) -> Result<Vec<String>> {
        let mut keys = vec![String::new(); rows.num_rows()];
        for (nth, column) in self.columns.iter().enumerate() {
            let column = cast(rows.column(*column), &DataType::Utf8).map_err(IngestError::from)?;
            let column = column.as_string::<i32>();
            for (key, value) in keys.iter_mut().zip(column) {
                if nth > 0 {
                    key.push_str(&self.delimiter);
                }
                key.push_str(value.unwrap_or_default());
            }
        }
        Ok(keys)
    }
}
