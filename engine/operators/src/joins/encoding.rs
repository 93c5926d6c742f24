//! Rows of a join as bytes, in `arrow-row` encoding: one column's bytes behind the other's.
//!
//! The columns that the residual looks at come first. If they are of fixed width, they are read by themselves: what a pair is judged by
//! costs nothing of what the rows hold beside.

use arrow::array::{ArrayRef, new_null_array};
use arrow::compute::cast;
use arrow::datatypes::{DataType, SchemaRef};
use arrow_row::{RowConverter, SortField};

use crate::error::Result;

/// How rows of a schema are written.
pub(super) struct Encoding {
    types: Vec<DataType>,
    /// The columns in the order in which they are written.
    order: Vec<usize>,
    whole: RowConverter,
    head: Option<Head>,
}

/// The columns that come first, where all are of fixed width.
struct Head {
    columns: Vec<usize>,
    converter: RowConverter,
    len: usize,
}

/// Rows as bytes; without columns all rows are the same.
pub(super) struct Encoded(Option<arrow_row::Rows>);

impl Encoded {
    pub(super) fn bytes(&self, row: usize) -> &[u8] {
        self.0.as_ref().map_or(&[], |rows| rows.row(row).data())
    }
}

impl Encoding {
    /// Rows of a schema, of which these columns are also read alone.
    pub(super) fn new(schema: &SchemaRef, first: &[usize]) -> Result<Self> {
        let types: Vec<DataType> = schema.fields().iter().map(|field| field.data_type().clone()).collect();
        let rest = (0..types.len()).filter(|column| !first.contains(column));
        let order: Vec<usize> = first.iter().copied().chain(rest).collect();
        let converter = |columns: &[usize]| {
            RowConverter::new(columns.iter().map(|column| SortField::new(types[*column].clone())).collect())
        };
        let whole = converter(&order)?;
        let fixed =
            first.iter().all(|column| types[*column].is_primitive() || types[*column] == DataType::Boolean);
        let head = if fixed && !first.is_empty() && first.len() < types.len() {
            let (columns, converter) = (first.to_vec(), converter(first)?);
            let nulls: Vec<ArrayRef> =
                first.iter().map(|column| new_null_array(&types[*column], 1)).collect();
            let len = converter.convert_columns(&nulls)?.row(0).data().len();
            Some(Head { columns, converter, len })
        } else {
            None
        };
        Ok(Self { types, order, whole, head })
    }

    pub(super) fn width(&self) -> usize {
        self.types.len()
    }

    /// Rows as bytes.
    pub(super) fn encode(&self, columns: &[ArrayRef]) -> Result<Encoded> {
        if self.types.is_empty() {
            return Ok(Encoded(None));
        }
        let ordered: Vec<ArrayRef> = self.order.iter().map(|column| columns[*column].clone()).collect();
        Ok(Encoded(Some(self.whole.convert_columns(&ordered)?)))
    }

    /// A row of nulls.
    pub(super) fn nulls(&self) -> Result<Box<[u8]>> {
        let nulls: Vec<ArrayRef> = self.types.iter().map(|kind| new_null_array(kind, 1)).collect();
        Ok(self.encode(&nulls)?.bytes(0).into())
    }

    /// All columns of rows.
    pub(super) fn columns<'a>(&self, rows: impl Iterator<Item = &'a [u8]>) -> Result<Vec<ArrayRef>> {
        if self.types.is_empty() {
            return Ok(Vec::new());
        }
        let parser = self.whole.parser();
        let decoded = self.whole.convert_rows(rows.map(|row| parser.parse(row)))?;
        let mut columns: Vec<(usize, ArrayRef)> = self.order.iter().copied().zip(decoded).collect();
        columns.sort_unstable_by_key(|(column, _)| *column);
        columns.into_iter().map(|(column, values)| self.typed(column, values)).collect()
    }

    /// Some columns of rows, which are those that come first.
    pub(super) fn first<'a>(
        &self,
        first: &[usize],
        rows: impl Iterator<Item = &'a [u8]>,
    ) -> Result<Vec<ArrayRef>> {
        match &self.head {
            Some(head) => {
                debug_assert_eq!(head.columns, first, "these are the columns that come first");
                let parser = head.converter.parser();
                let decoded = head.converter.convert_rows(rows.map(|row| parser.parse(&row[..head.len])))?;
                first.iter().zip(decoded).map(|(column, values)| self.typed(*column, values)).collect()
            }
            None if first.is_empty() => Ok(Vec::new()),
            None => {
                let all = self.columns(rows)?;
                Ok(first.iter().map(|column| all[*column].clone()).collect())
            }
        }
    }

    /// Dictionaries come back as their values.
    fn typed(&self, column: usize, values: ArrayRef) -> Result<ArrayRef> {
        let kind = &self.types[column];
        if values.data_type() == kind { Ok(values) } else { Ok(cast(&values, kind)?) }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{BooleanArray, Int64Array, StringArray, TimestampMillisecondArray};
    use arrow::datatypes::{Field, Schema, TimeUnit};

    use super::*;

    fn schema() -> SchemaRef {
        let time = DataType::Timestamp(TimeUnit::Millisecond, None);
        let fields = [("s", DataType::Utf8), ("t", time), ("n", DataType::Int64), ("b", DataType::Boolean)];
        Arc::new(Schema::new(fields.map(|(name, kind)| Field::new(name, kind, true)).to_vec()))
    }

    fn columns() -> Vec<ArrayRef> {
        vec![
            Arc::new(StringArray::from(vec![Some("a text"), None, Some("")])),
            Arc::new(TimestampMillisecondArray::from(vec![Some(7), Some(8), None])),
            Arc::new(Int64Array::from(vec![None, Some(-1), Some(i64::MAX)])),
            Arc::new(BooleanArray::from(vec![Some(true), None, Some(false)])),
        ]
    }

    #[test]
    fn rows_come_back_whole_and_in_part() {
        for first in [&[][..], &[1], &[3, 1], &[2, 0], &[0], &[0, 1, 2, 3], &[3, 2, 1, 0]] {
            let encoding = Encoding::new(&schema(), first).unwrap();
            let encoded = encoding.encode(&columns()).unwrap();
            let rows = || (0..3).map(|row| encoded.bytes(row));
            assert_eq!(encoding.columns(rows()).unwrap(), columns(), "{first:?}");
            let part: Vec<ArrayRef> = first.iter().map(|column| columns()[*column].clone()).collect();
            assert_eq!(encoding.first(first, rows()).unwrap(), part, "{first:?}");
            let fixed = !first.is_empty() && !first.contains(&0);
            assert_eq!(encoding.head.is_some(), fixed, "{first:?}");
            let nulls = encoding.nulls().unwrap();
            let nulls = encoding.columns(std::iter::once(&*nulls)).unwrap();
            assert!(nulls.iter().all(|column| column.null_count() == 1), "{first:?}");
        }
    }
}
