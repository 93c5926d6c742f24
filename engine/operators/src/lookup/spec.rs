//! What a lookup join is.

use std::sync::Arc;
use std::time::Duration;

use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef};
use datafusion::physical_expr::PhysicalExpr;

use super::operator::LookupOperator;
use crate::api::{Changes, Operator, OperatorSpec, Output, Rows};
use crate::error::{OperatorError, Result};

pub(super) const NAME: &str = "LookupJoin";

/// A join with a table outside.
#[derive(Debug, Clone)]
pub struct Lookup {
    /// The table's name.
    pub table: String,
    /// The columns of the rows that are joined, which are only ever added.
    pub input: SchemaRef,
    /// Those of them that are the key.
    pub keys: Vec<usize>,
    /// The table's columns that are asked for.
    pub fetched: SchemaRef,
    /// The table's columns by which it is asked, one for each of `keys`.
    pub key_columns: Vec<String>,
    /// What is done with the rows that it answers, without state: conditions on them alone, and columns computed from theirs.
    pub answer: Vec<Arc<dyn OperatorSpec>>,
    /// The columns of an answer then.
    pub answered: SchemaRef,
    /// Those of them that are equal to `keys`, and of the same types.
    pub answer_keys: Vec<usize>,
    /// What else must hold, over the input's columns and then the answer's.
    pub residual: Option<Arc<dyn PhysicalExpr>>,
    /// Whether a row without a match comes out with nulls.
    pub is_left: bool,
    /// Whether the table is asked again for the keys of which it has no row; `None`: it has none then.
    pub retry: Option<LookupRetry>,
}

/// How a table is asked again for what it lacks, as Flink's `fixed_delay` has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LookupRetry {
    /// How often, after the first time; from 1 on.
    pub attempts: u32,
    /// How long after the time before.
    pub delay: Duration,
}

/// How much of what was answered is kept, and for how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LookupCache {
    /// How many keys at most; 0: none is kept beyond a step.
    pub keys_max: usize,
    /// How long an answer is used; `None`: as long as it is kept.
    pub ttl: Option<Duration>,
    /// Whether it is kept that a key has no rows.
    pub keeps_missing: bool,
}

/// The operator of a lookup join.
#[derive(Debug, Clone)]
pub struct LookupSpec {
    pub(super) lookup: Arc<Lookup>,
    schema: SchemaRef,
}

impl LookupSpec {
    /// A lookup join; keys of both sides must be of the same types.
    pub fn try_new(lookup: Lookup) -> Result<Self> {
        let types = |schema: &SchemaRef, keys: &[usize]| -> Vec<DataType> {
            keys.iter().map(|key| schema.field(*key).data_type().clone()).collect()
        };
        if lookup.keys.is_empty()
            || types(&lookup.input, &lookup.keys) != types(&lookup.answered, &lookup.answer_keys)
            || lookup.keys.len() != lookup.key_columns.len()
        {
            return Err(OperatorError::unsupported(NAME, "both sides need keys of the same types"));
        }
        let right = |field: &FieldRef| {
            let nullable = lookup.is_left || field.is_nullable();
            Arc::new(Field::clone(field).with_nullable(nullable))
        };
        let fields = lookup.input.fields().iter().cloned().chain(lookup.answered.fields().iter().map(right));
        let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
        Ok(Self { lookup: Arc::new(lookup), schema })
    }

    /// What it is.
    pub fn lookup(&self) -> &Lookup {
        &self.lookup
    }

    /// An instance without state.
    pub fn open(&self) -> Result<LookupOperator> {
        LookupOperator::new(Arc::clone(&self.lookup), Arc::clone(&self.schema))
    }
}

impl OperatorSpec for LookupSpec {
    fn name(&self) -> &'static str {
        NAME
    }

    fn describe(&self) -> String {
        let Lookup { table, input, keys, key_columns, residual, is_left, retry, .. } = &*self.lookup;
        let equal = keys.iter().zip(key_columns);
        let on: Vec<_> =
            equal.map(|(key, column)| format!("{} = {column}", input.field(*key).name())).collect();
        let kind = if *is_left { "left" } else { "inner" };
        let residual = residual.as_ref().map(|residual| format!(", if {residual}")).unwrap_or_default();
        let again = |retry: &LookupRetry| format!(", again {} times after {:?}", retry.attempts, retry.delay);
        let retry = retry.as_ref().map(again).unwrap_or_default();
        format!("{kind}, table={table}, on=[{}]{residual}{retry}", on.join(", "))
    }

    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn changes(&self) -> Changes {
        Changes::AppendOnly
    }

    fn as_lookup(&self) -> Option<&LookupSpec> {
        Some(self)
    }

    fn instantiate(&self) -> Result<Box<dyn Operator>> {
        Ok(Box::new(Unasked))
    }
}

/// Where nobody can be asked.
struct Unasked;

impl Operator for Unasked {
    fn on_batch(&mut self, _input: usize, _rows: Rows, _out: &mut Output) -> Result<()> {
        Err(OperatorError::unsupported(NAME, "a table outside is looked up by the runner"))
    }
}
