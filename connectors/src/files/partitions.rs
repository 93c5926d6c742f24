//! Partitions of a table as folders, as Hive, Spark and Flink have them: `dt=2026-01-01/hm=00%3A05/...`.
//!
//! A folder stands for one value of each partition column, and the files in it lack these columns.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{Array, AsArray, RecordBatch, StringArray, UInt32Array};
use arrow::compute::{cast, take_record_batch};
use arrow::datatypes::{DataType, Schema, SchemaRef};
use arrow::error::ArrowError;

/// The folder of rows whose value is NULL or empty.
const NO_VALUE: &str = "__DEFAULT_PARTITION__";

/// Which columns are folders, and which are in the files.
pub(super) struct Partitions {
    names: Vec<String>,
    folders: Vec<usize>,
    rest: Vec<usize>,
    schema: SchemaRef,
}

impl Partitions {
    /// The partitions by these columns of a table; what is wrong with them, if they are not columns or all of them.
    pub(super) fn new(schema: &Schema, names: Vec<String>) -> Result<Self, String> {
        let place = |name: &String| schema.index_of(name).map_err(|_| format!("there is no column '{name}'"));
        let folders = names.iter().map(place).collect::<Result<Vec<_>, _>>()?;
        let rest: Vec<usize> =
            (0..schema.fields().len()).filter(|column| !folders.contains(column)).collect();
        if rest.is_empty() {
            return Err("a file needs a column that is not a folder".to_owned());
        }
        let schema = Arc::new(schema.project(&rest).map_err(|error| error.to_string())?);
        Ok(Self { names, folders, rest, schema })
    }

    /// The columns in the files.
    pub(super) fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    /// The columns that are folders.
    pub(super) fn names(&self) -> &[String] {
        &self.names
    }

    /// The rows of each folder, in their order.
    pub(super) fn split(&self, rows: &RecordBatch) -> Result<Vec<(String, RecordBatch)>, ArrowError> {
        let columns = self
            .folders
            .iter()
            .map(|column| Ok(cast(rows.column(*column), &DataType::Utf8)?.as_string::<i32>().clone()));
        let columns = columns.collect::<Result<Vec<StringArray>, ArrowError>>()?;
        let mut places: HashMap<String, usize> = HashMap::new();
        let mut split: Vec<(String, Vec<u32>)> = Vec::new();
        let mut place = 0;
        for row in 0..rows.num_rows() {
            // Rows of one folder mostly follow one another.
            if row == 0 || columns.iter().any(|column| text(column, row) != text(column, row - 1)) {
                place = *places.entry(self.folder(&columns, row)).or_insert_with_key(|folder| {
                    split.push((folder.clone(), Vec::new()));
                    split.len() - 1
                });
            }
            split[place].1.push(row as u32);
        }
        let rest = rows.project(&self.rest)?;
        let of = |(folder, rows): (String, Vec<u32>)| {
            let (first, last) = (rows[0], rows[rows.len() - 1]);
            let in_one_stretch = (last - first) as usize + 1 == rows.len();
            let rows = match in_one_stretch {
                true => rest.slice(first as usize, rows.len()),
                false => take_record_batch(&rest, &UInt32Array::from(rows))?,
            };
            Ok((folder, rows))
        };
        split.into_iter().map(of).collect()
    }

    /// The folder of a row.
    fn folder(&self, columns: &[StringArray], row: usize) -> String {
        let mut folder = String::new();
        for (name, column) in self.names.iter().zip(columns) {
            let value = text(column, row);
            if !folder.is_empty() {
                folder.push('/');
            }
            escape(name, &mut folder);
            folder.push('=');
            escape(if value.is_empty() { NO_VALUE } else { value }, &mut folder);
        }
        folder
    }
}

/// A value; NULL is as one without length.
fn text(column: &StringArray, row: usize) -> &str {
    if column.is_null(row) { "" } else { column.value(row) }
}

/// Writes a text so that it can be part of a path everywhere.
fn escape(text: &str, into: &mut String) {
    for c in text.chars() {
        let is_special = c.is_ascii_control() || "\"#%'*/:=?\\{[]^".contains(c);
        // A folder must not be that above.
        if is_special || (c == '.' && text.chars().all(|c| c == '.')) {
            into.push_str(&format!("%{:02X}", u32::from(c)));
        } else {
            into.push(c);
        }
    }
}

/// The values that a folder stands for.
pub(super) fn values_of(folder: &str) -> Vec<String> {
    let value = |part: &str| unescape(part.split_once('=').map_or("", |(_, value)| value));
    folder.split('/').map(value).collect()
}

/// The text that [`escape`] wrote.
fn unescape(text: &str) -> String {
    let mut parts = text.split('%');
    let mut plain = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let code = part.get(..2).and_then(|digits| u8::from_str_radix(digits, 16).ok());
        match code {
            Some(code) => {
                plain.push(char::from(code));
                plain.push_str(&part[2..]);
            }
            None => {
                plain.push('%');
                plain.push_str(part);
            }
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use arrow::array::Int64Array;
    use arrow::datatypes::Int64Type;

    use super::*;

    #[test]
    fn each_row_is_in_the_folder_of_its_values() {
        let text = |values: Vec<Option<&str>>| Arc::new(StringArray::from(values)) as _;
        let rows = RecordBatch::try_from_iter([
            ("hm", text(vec![Some("10:01"), Some(".."), Some("10:01"), None])),
            ("n", Arc::new(Int64Array::from(vec![1, 2, 3, 4])) as _),
        ])
        .unwrap();
        let partitions = Partitions::new(&rows.schema(), vec!["hm".to_owned()]).unwrap();
        let split = partitions.split(&rows).unwrap();
        let found: Vec<(&str, usize)> =
            split.iter().map(|(folder, rows)| (folder.as_str(), rows.num_rows())).collect();
        assert_eq!(found, [("hm=10%3A01", 2), ("hm=%2E%2E", 1), ("hm=__DEFAULT_PARTITION__", 1)]);
        assert_eq!(split[0].1.num_columns(), 1);
        let values: Vec<Vec<String>> = found.iter().map(|(folder, _)| values_of(folder)).collect();
        assert_eq!(values, [["10:01"], [".."], ["__DEFAULT_PARTITION__"]]);
        let numbers = |nth: usize| split[nth].1.column(0).as_primitive::<Int64Type>().values().to_vec();
        assert_eq!([0, 1, 2].map(numbers), [vec![1, 3], vec![2], vec![4]]);
        let all = vec!["n".to_owned(), "hm".to_owned()];
        assert!(Partitions::new(&rows.schema(), all).is_err_and(|error| error.contains("not a folder")));
    }
}
