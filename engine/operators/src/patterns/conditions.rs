//! The definitions of variables.
//!
//! What a definition says of the row and its neighbours is evaluated over whole batches, once for each variable; the
//! answers are bits. What it says of the rows matched so far is evaluated for each way, the questions of all
//! partitions together.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, BooleanArray, RecordBatch, RecordBatchOptions};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::scalar::ScalarValue;

use super::buffer::{Buffer, Place};
use super::registers::Look;
use super::spec::NAME;
use crate::error::{OperatorError, Result};
use crate::uncomputed::mask_or_null;

/// A boolean expression over what it looks at: the columns `$0`, `$1`, ..
#[derive(Clone, Debug)]
pub struct Condition {
    /// The expression.
    pub expr: Arc<dyn PhysicalExpr>,
    /// What its columns are.
    pub looks: Vec<Look>,
}

/// When a row may be one of a variable: if both conditions hold. None holds always.
#[derive(Clone, Debug, Default)]
pub struct Definition {
    /// What it says of the row and its neighbours: its looks are all local ([`Look::is_local`]).
    pub row: Option<Condition>,
    /// What it says of the rows matched so far.
    pub run: Option<Condition>,
}

/// The columns of an expression over looks, `$0`, `$1`, ..
pub(super) fn schema_of<'a>(
    looks: impl Iterator<Item = &'a Look>,
    operands: &[DataType],
) -> Result<SchemaRef> {
    let fields = looks.enumerate().map(|(nth, look)| {
        let kind = look
            .data_type(operands)
            .ok_or_else(|| OperatorError::unsupported(NAME, format!("{look:?} looks at nothing known")))?;
        Ok(Field::new(format!("${nth}"), kind, true))
    });
    Ok(Arc::new(Schema::new(fields.collect::<Result<Vec<_>>>()?)))
}

/// A column that is being collected for an expression over looks.
#[derive(Debug)]
pub(super) enum Column {
    Rows(usize, Vec<Option<Place>>),
    Values(DataType, Vec<ScalarValue>),
}

impl Column {
    pub(super) fn of(look: &Look, kind: &DataType) -> Self {
        match look {
            Look::Row { operand, .. } => Self::Rows(*operand, Vec::new()),
            _ => Self::Values(kind.clone(), Vec::new()),
        }
    }

    /// The collected values; leaves none behind.
    pub(super) fn finish(&mut self, buffer: &Buffer) -> Result<ArrayRef> {
        match self {
            Self::Rows(operand, places) => buffer.gather_operand(*operand, &std::mem::take(places)),
            Self::Values(kind, values) if values.is_empty() => Ok(arrow::array::new_empty_array(kind)),
            Self::Values(_, values) => Ok(ScalarValue::iter_to_array(std::mem::take(values))?),
        }
    }
}

#[derive(Debug)]
struct Check {
    condition: Condition,
    schema: SchemaRef,
}

impl Check {
    fn new(condition: &Condition, operands: &[DataType]) -> Result<Self> {
        let schema = schema_of(condition.looks.iter(), operands)?;
        let kind = condition.expr.data_type(&schema)?;
        if kind != DataType::Boolean {
            let reason = format!("the condition {} is {kind}, not boolean", condition.expr);
            return Err(OperatorError::unsupported(NAME, reason));
        }
        Ok(Self { condition: condition.clone(), schema })
    }

    fn holds(&self, columns: Vec<ArrayRef>, rows: usize) -> Result<BooleanArray> {
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        let batch = RecordBatch::try_new_with_options(Arc::clone(&self.schema), columns, &options)?;
        mask_or_null(&self.condition.expr, &batch, NAME)
    }

    fn looks_at_neighbours(&self) -> bool {
        self.condition.looks.iter().any(|look| matches!(look, Look::Row { step, .. } if *step != 0))
    }
}

/// The definitions of all variables.
#[derive(Debug)]
pub(super) struct Conditions {
    /// By variable: of the row alone, of the row and its neighbours, of the rows matched so far.
    alone: Vec<Option<Check>>,
    near: Vec<Option<Check>>,
    run: Vec<Option<Check>>,
}

impl Conditions {
    pub(super) fn new(definitions: &[Definition], operands: &[DataType]) -> Result<Self> {
        let mut conditions = Self { alone: Vec::new(), near: Vec::new(), run: Vec::new() };
        for definition in definitions {
            let check = |condition: &Option<Condition>| {
                condition.as_ref().map(|condition| Check::new(condition, operands)).transpose()
            };
            let (alone, near) = match check(&definition.row)? {
                Some(row) if row.looks_at_neighbours() => (None, Some(row)),
                row => (row, None),
            };
            conditions.alone.push(alone);
            conditions.near.push(near);
            conditions.run.push(check(&definition.run)?);
        }
        Ok(conditions)
    }

    /// Whether a definition looks at the rows matched so far.
    pub(super) fn look_at_runs(&self) -> bool {
        self.run.iter().any(Option::is_some)
    }

    pub(super) fn looks_at_run(&self, variable: u16) -> bool {
        self.run[usize::from(variable)].is_some()
    }

    pub(super) fn run_looks(&self) -> impl Iterator<Item = &Look> {
        self.run.iter().flatten().flat_map(|check| &check.condition.looks)
    }

    /// For each row of a batch the variables that it can be one of, as bits, as far as the row alone tells.
    pub(super) fn of_rows(&self, operands: &[ArrayRef], rows: usize) -> Result<Vec<u64>> {
        let mut bits = vec![0; rows];
        for (variable, check) in self.alone.iter().enumerate() {
            let Some(check) = check else {
                bits.iter_mut().for_each(|bits| *bits |= 1 << variable);
                continue;
            };
            let columns = check.condition.looks.iter().map(|look| match look {
                Look::Row { operand, .. } => Arc::clone(&operands[*operand]),
                _ => unreachable!("what is local is a row"),
            });
            set(&check.holds(columns.collect(), rows)?, variable, &mut bits);
        }
        Ok(bits)
    }

    pub(super) fn look_at_neighbours(&self) -> bool {
        self.near.iter().any(Option::is_some)
    }

    /// For each of some rows the variables that it cannot be one of because of its neighbours, as bits. `neighbour`:
    /// the row that lies so many rows after the nth.
    pub(super) fn ruled_out(
        &self,
        rows: usize,
        neighbour: impl Fn(usize, i32) -> Option<Place>,
        buffer: &Buffer,
    ) -> Result<Vec<u64>> {
        let mut bits = vec![0; rows];
        for (variable, check) in self.near.iter().enumerate() {
            let Some(check) = check else { continue };
            let columns = check.condition.looks.iter().map(|look| match look {
                Look::Row { operand, step, .. } => {
                    let places: Vec<_> = (0..rows).map(|nth| neighbour(nth, *step)).collect();
                    buffer.gather_operand(*operand, &places)
                }
                _ => unreachable!("what is local is a row"),
            });
            let holds = check.holds(columns.collect::<Result<_>>()?, rows)?;
            let mut holding = vec![0; rows];
            set(&holds, variable, &mut holding);
            bits.iter_mut().zip(holding).for_each(|(bits, holding)| *bits |= !holding & 1 << variable);
        }
        Ok(bits)
    }

    /// Nothing asked yet.
    pub(super) fn questions(&self, operands: &[DataType]) -> Questions {
        let of = |check: &Option<Check>| {
            let looks = check.iter().flat_map(|check| check.condition.looks.iter());
            let columns = looks.map(|look| {
                let kind = look.data_type(operands).unwrap_or(DataType::Null);
                Column::of(look, &kind)
            });
            Asked { columns: columns.collect(), count: 0 }
        };
        Questions { asked: self.run.iter().map(of).collect(), answers: Vec::new() }
    }

    pub(super) fn run_of(&self, variable: u16) -> &[Look] {
        self.run[usize::from(variable)].as_ref().map_or(&[], |check| &check.condition.looks)
    }

    /// Answers all that is asked.
    pub(super) fn answer(&self, questions: &mut Questions, buffer: &Buffer) -> Result<()> {
        questions.answers.clear();
        for (asked, check) in questions.asked.iter_mut().zip(&self.run) {
            let answers = match check {
                Some(check) if asked.count > 0 => {
                    let columns = asked.columns.iter_mut().map(|column| column.finish(buffer));
                    Some(check.holds(columns.collect::<Result<_>>()?, asked.count)?)
                }
                _ => None,
            };
            asked.count = 0;
            questions.answers.push(answers);
        }
        Ok(())
    }
}

fn set(holds: &BooleanArray, variable: usize, bits: &mut [u64]) {
    if holds.null_count() == 0 {
        for (bits, holds) in bits.iter_mut().zip(holds.values()) {
            *bits |= u64::from(holds) << variable;
        }
        return;
    }
    for (row, bits) in bits.iter_mut().enumerate() {
        *bits |= u64::from(holds.is_valid(row) && holds.value(row)) << variable;
    }
}

#[derive(Debug)]
struct Asked {
    columns: Vec<Column>,
    count: usize,
}

/// What ways ask about rows, by variable.
#[derive(Debug)]
pub(super) struct Questions {
    asked: Vec<Asked>,
    answers: Vec<Option<BooleanArray>>,
}

impl Questions {
    /// The columns that one more question about a variable is to be added to, and the number of the question.
    pub(super) fn ask(&mut self, variable: u16) -> (&mut [Column], u32) {
        let asked = &mut self.asked[usize::from(variable)];
        asked.count += 1;
        (&mut asked.columns, asked.count as u32 - 1)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.asked.iter().all(|asked| asked.count == 0)
    }

    pub(super) fn answer(&self, variable: u16, question: u32) -> bool {
        self.answers[usize::from(variable)]
            .as_ref()
            .is_some_and(|answers| answers.is_valid(question as usize) && answers.value(question as usize))
    }
}
