//! A row for each key: its columns as one run of bytes, in `arrow-row` encoding.

use arrow::array::{Array, ArrayRef, new_empty_array};
use arrow::compute::cast;
use arrow::datatypes::DataType;
use arrow_row::{RowConverter, SortField};

use crate::error::Result;

/// Keeps one row of certain columns for each key.
pub(super) struct RowStore {
    types: Vec<DataType>,
    converter: RowConverter,
    rows: Vec<Option<Box<[u8]>>>,
    bytes: usize,
}

impl RowStore {
    pub(super) fn new(types: Vec<DataType>) -> Result<Self> {
        let fields = types.iter().map(|kind| SortField::new(kind.clone())).collect();
        Ok(Self { converter: RowConverter::new(fields)?, types, rows: Vec::new(), bytes: 0 })
    }

    pub(super) fn resize(&mut self, keys: usize) {
        self.rows.resize(keys, None);
    }

    /// Puts the rows of these columns in the place of the keys' own.
    pub(super) fn put(&mut self, keys: &[u32], columns: &[ArrayRef]) -> Result<()> {
        if self.types.is_empty() || keys.is_empty() {
            return Ok(());
        }
        let encoded = self.converter.convert_columns(columns)?;
        for (key, row) in keys.iter().zip(encoded.iter()) {
            let row: Box<[u8]> = row.data().into();
            self.bytes += row.len();
            if let Some(old) = self.rows[*key as usize].replace(row) {
                self.bytes -= old.len();
            }
        }
        Ok(())
    }

    /// The columns of these keys' rows; all NULL for a key without one.
    pub(super) fn columns(&self, keys: &[u32]) -> Result<Vec<ArrayRef>> {
        decode(&self.converter, &self.types, keys.iter().map(|key| self.rows[*key as usize].as_deref()))
    }

    pub(super) fn size(&self) -> usize {
        self.rows.capacity() * size_of::<Option<Box<[u8]>>>() + self.bytes
    }
}

/// Rows in `arrow-row` encoding as columns; all NULL for those that are missing.
pub(super) fn decode<'a>(
    converter: &RowConverter,
    types: &[DataType],
    rows: impl Iterator<Item = Option<&'a [u8]>>,
) -> Result<Vec<ArrayRef>> {
    if types.is_empty() {
        return Ok(Vec::new());
    }
    let nulls: Vec<ArrayRef> = types.iter().map(|kind| arrow::array::new_null_array(kind, 1)).collect();
    let missing = converter.convert_columns(&nulls)?;
    let missing = missing.row(0).data().to_vec();
    let parser = converter.parser();
    let rows: Vec<_> = rows.map(|row| parser.parse(row.unwrap_or(&missing))).collect();
    if rows.is_empty() {
        return Ok(types.iter().map(new_empty_array).collect());
    }
    let columns = converter.convert_rows(rows)?;
    // Dictionaries come back as their values.
    columns
        .into_iter()
        .zip(types)
        .map(|(column, kind)| if column.data_type() == kind { Ok(column) } else { Ok(cast(&column, kind)?) })
        .collect()
}
