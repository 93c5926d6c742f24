//! UNNEST: a row for each element of a list, and the fields of a struct as columns.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, ListArray, RecordBatch, RecordBatchOptions, UInt32Array};
use arrow::compute::{cast, take};
use arrow::datatypes::{DataType, Field, SchemaRef};

use crate::api::{Changes, Operator, OperatorSpec, Output, Rows};
use crate::error::{OperatorError, Result};

/// A column that comes out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Unnested {
    /// A column of the input, repeated for each element.
    Column(usize),
    /// The elements of a column of lists.
    Elements(usize),
    /// A field of a column of structs.
    Field(usize, usize),
}

/// Gives each row out once for every element of its lists, of which the shorter are filled up with NULL. Stateless.
#[derive(Clone, Debug)]
pub struct UnnestSpec {
    columns: Vec<Unnested>,
    /// Whether a row without a list comes out once, with NULL.
    keep_null: bool,
    input: SchemaRef,
    schema: SchemaRef,
    changes: Changes,
}

impl UnnestSpec {
    /// Columns that come out, and their schema. `keep_null`: whether a row whose lists are all NULL comes out once.
    pub fn try_new(
        input: SchemaRef,
        columns: Vec<Unnested>,
        schema: SchemaRef,
        keep_null: bool,
        changes: Changes,
    ) -> Result<Self> {
        for column in &columns {
            let (Unnested::Column(at) | Unnested::Elements(at) | Unnested::Field(at, _)) = *column;
            let Some(field) = input.fields().get(at) else {
                return Err(OperatorError::unsupported("Unnest", format!("there is no column {at}")));
            };
            let fits = match (column, field.data_type()) {
                (Unnested::Column(_), _) => true,
                (Unnested::Elements(_), kind) => is_list(kind),
                (Unnested::Field(_, nth), DataType::Struct(fields)) => *nth < fields.len(),
                (Unnested::Field(..), _) => false,
            };
            if !fits {
                let reason =
                    format!("{:?} is {}, neither a list nor a struct", field.name(), field.data_type());
                return Err(OperatorError::unsupported("Unnest", reason));
            }
        }
        // Several rows come of one, so that a key does not tell them apart any more.
        let changes = if changes == Changes::AppendOnly { changes } else { Changes::Retracting };
        Ok(Self { columns, keep_null, input, schema, changes })
    }

    fn lists(&self) -> impl Iterator<Item = usize> {
        self.columns.iter().filter_map(|column| match column {
            Unnested::Elements(at) => Some(*at),
            _ => None,
        })
    }
}

fn is_list(kind: &DataType) -> bool {
    matches!(kind, DataType::List(_) | DataType::LargeList(_) | DataType::FixedSizeList(..))
}

impl OperatorSpec for UnnestSpec {
    fn name(&self) -> &'static str {
        "Unnest"
    }

    fn describe(&self) -> String {
        let name = |column: &Unnested| match *column {
            Unnested::Column(_) => None,
            Unnested::Elements(at) => Some(self.input.field(at).name().clone()),
            Unnested::Field(at, _) => Some(format!("{}.*", self.input.field(at).name())),
        };
        let mut names: Vec<String> = self.columns.iter().filter_map(name).collect();
        names.dedup();
        names.join(", ")
    }

    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn changes(&self) -> Changes {
        self.changes.clone()
    }

    fn instantiate(&self) -> Result<Box<dyn Operator>> {
        Ok(Box::new(Unnest { what: self.clone() }))
    }
}

struct Unnest {
    what: UnnestSpec,
}

impl Unnest {
    /// For each row that comes out, the row that it comes of, and which element of the lists it has.
    fn spread(&self, lists: &[ListArray], rows: usize) -> (Vec<u32>, Vec<u32>) {
        let (mut of, mut nth) = (Vec::new(), Vec::new());
        for row in 0..rows {
            let length = |list: &ListArray| match list.is_valid(row) {
                true => list.value_length(row) as u32,
                false => u32::from(self.what.keep_null),
            };
            let elements = lists.iter().map(length).max().unwrap_or(1);
            of.extend(std::iter::repeat_n(row as u32, elements as usize));
            nth.extend(0..elements);
        }
        (of, nth)
    }
}

impl Operator for Unnest {
    fn on_batch(&mut self, _input: usize, rows: Rows, out: &mut Output) -> Result<()> {
        let lists = self.what.lists().map(|at| as_list(rows.batch.column(at))).collect::<Result<Vec<_>>>()?;
        let (of, nth) = self.spread(&lists, rows.len());
        let mut next = lists.iter();
        let of = UInt32Array::from(of);
        let mut columns: Vec<ArrayRef> = Vec::with_capacity(self.what.columns.len());
        for (column, field) in self.what.columns.iter().zip(self.what.schema.fields()) {
            let column = match *column {
                Unnested::Column(at) => take(rows.batch.column(at), &of, None)?,
                Unnested::Field(at, field) => {
                    let values = rows.batch.column(at).as_struct();
                    // A field of a struct that is NULL is NULL.
                    let (_, fields, nulls) = values.clone().into_parts();
                    let inner = &fields[field];
                    let outer = arrow::buffer::NullBuffer::union(inner.nulls(), nulls.as_ref());
                    let data = inner.to_data().into_builder().nulls(outer).build()?;
                    take(&arrow::array::make_array(data), &of, None)?
                }
                Unnested::Elements(_) => match next.next() {
                    Some(list) => elements(list, &of, &nth)?,
                    None => return Err(OperatorError::unsupported("Unnest", "a list is missing")),
                },
            };
            columns.push(if column.data_type() == field.data_type() {
                column
            } else {
                cast(&column, field.data_type())?
            });
        }
        let repeated = rows.take(&of)?;
        let options = RecordBatchOptions::new().with_row_count(Some(of.len()));
        let batch = RecordBatch::try_new_with_options(Arc::clone(&self.what.schema), columns, &options)?;
        out.emit(repeated.with_batch(batch));
        Ok(())
    }
}

fn as_list(column: &ArrayRef) -> Result<ListArray> {
    let item = match column.data_type() {
        DataType::List(_) => return Ok(column.as_list::<i32>().clone()),
        DataType::LargeList(item) | DataType::FixedSizeList(item, _) => item,
        other => return Err(OperatorError::unsupported("Unnest", format!("{other} is no list"))),
    };
    let item: Field = item.as_ref().clone();
    Ok(cast(column, &DataType::List(Arc::new(item)))?.as_list::<i32>().clone())
}

/// The elements of lists, by row and place; NULL behind their end.
fn elements(list: &ListArray, of: &UInt32Array, nth: &[u32]) -> Result<ArrayRef> {
    let places = of.values().iter().zip(nth).map(|(row, nth)| {
        let row = *row as usize;
        let is_there = list.is_valid(row) && (*nth as i32) < list.value_length(row);
        is_there.then(|| list.value_offsets()[row] as u32 + nth)
    });
    Ok(take(list.values(), &places.collect::<UInt32Array>(), None)?)
}
