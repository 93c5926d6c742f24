//! Grouping sets: each row once for every set, with the keys that the set does not group by as NULL.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, UInt64Array, new_null_array};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};

use crate::api::{Changes, Operator, OperatorSpec, Output, Rows};
use crate::error::{OperatorError, Result};

/// One of the sets.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct GroupingSet {
    /// Which of [`ExpandSpec`]'s keys it groups by.
    pub keys: Vec<bool>,
    /// What its rows have in the last column.
    pub id: u64,
}

/// Gives each row out once for every grouping set. The columns that come out: the input's, as they are, since
/// aggregates read them; the keys, NULL where the set does not group by them; the set's id. Stateless.
#[derive(Clone, Debug)]
pub struct ExpandSpec {
    keys: Vec<usize>,
    sets: Vec<GroupingSet>,
    input: SchemaRef,
    schema: SchemaRef,
    changes: Changes,
}

impl ExpandSpec {
    /// Sets of these columns of the input. `id`: what the column of ids is called, and its type, an unsigned integer.
    pub fn try_new(
        input: SchemaRef,
        keys: Vec<usize>,
        sets: Vec<GroupingSet>,
        id: (&str, DataType),
        changes: Changes,
    ) -> Result<Self> {
        let wrong = |reason: String| Err(OperatorError::unsupported("Expand", reason));
        if let Some(key) = keys.iter().find(|key| **key >= input.fields().len()) {
            return wrong(format!("there is no column {key}"));
        }
        if let Some(set) = sets.iter().find(|set| set.keys.len() != keys.len()) {
            return wrong(format!("a set is of {} keys, not of {}", set.keys.len(), keys.len()));
        }
        if !id.1.is_unsigned_integer() {
            return wrong(format!("a set's id is an unsigned integer, not {}", id.1));
        }
        let copies = keys.iter().map(|key| input.field(*key).clone().with_nullable(true));
        let fields = input.fields().iter().map(|field| field.as_ref().clone()).chain(copies);
        let fields: Vec<Field> = fields.chain([Field::new(id.0, id.1, false)]).collect();
        // A row that changes does so in every set, so that no column of the input tells them apart any more.
        let changes = if changes == Changes::AppendOnly { changes } else { Changes::Retracting };
        Ok(Self { keys, sets, schema: Arc::new(Schema::new(fields)), input, changes })
    }
}

impl OperatorSpec for ExpandSpec {
    fn name(&self) -> &'static str {
        "Expand"
    }

    fn describe(&self) -> String {
        let set = |set: &GroupingSet| {
            let keys = self.keys.iter().zip(&set.keys).filter(|(_, kept)| **kept);
            let names: Vec<_> = keys.map(|(key, _)| self.input.field(*key).name().as_str()).collect();
            format!("({})", names.join(", "))
        };
        format!("sets=[{}]", self.sets.iter().map(set).collect::<Vec<_>>().join(", "))
    }

    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn changes(&self) -> Changes {
        self.changes.clone()
    }

    fn instantiate(&self) -> Result<Box<dyn Operator>> {
        Ok(Box::new(Expand { what: self.clone() }))
    }
}

struct Expand {
    what: ExpandSpec,
}

impl Operator for Expand {
    fn on_batch(&mut self, _input: usize, rows: Rows, out: &mut Output) -> Result<()> {
        let own = self.what.input.fields().len();
        for set in &self.what.sets {
            let mut columns: Vec<ArrayRef> = rows.batch.columns().to_vec();
            for (key, kept) in self.what.keys.iter().zip(&set.keys) {
                let column = rows.batch.column(*key);
                columns.push(match kept {
                    true => Arc::clone(column),
                    false => new_null_array(column.data_type(), rows.len()),
                });
            }
            let ids: ArrayRef = Arc::new(UInt64Array::from_value(set.id, rows.len()));
            columns.push(cast(&ids, self.what.schema.field(own + self.what.keys.len()).data_type())?);
            out.emit(rows.with_batch(RecordBatch::try_new(Arc::clone(&self.what.schema), columns)?));
        }
        Ok(())
    }
}
