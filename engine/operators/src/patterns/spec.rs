//! What a pattern match is, apart from its state.

use std::sync::Arc;

use arrow::compute::SortOptions;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::physical_expr::PhysicalExpr;

use super::conditions::{Condition, Definition, schema_of};
use super::emitted::{Measure, Semantics};
use super::operator::MatchOperator;
use super::pattern::Pattern;
use super::program::Program;
use super::registers::Look;
use crate::api::{Changes, Operator, OperatorSpec, Reach, StateBound};
use crate::error::{OperatorError, Result};

pub(super) const NAME: &str = "MatchRecognize";

/// How many variables a pattern may have: their conditions are bits of a word.
const VARIABLES_MAX: usize = 64;

/// Which rows come out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd)]
pub enum RowsPerMatch {
    /// One for each match.
    One,
    /// All rows of the match.
    All,
}

/// Where the next match may begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd)]
pub enum Skip {
    /// Behind the last row of the match.
    PastLastRow,
    /// With the second row of the match.
    ToNextRow,
    /// With the first row of this variable.
    ToFirst(u16),
    /// With the last row of this variable.
    ToLast(u16),
}

/// A search for a row pattern.
#[derive(Clone, Debug)]
pub struct MatchRecognize {
    /// The rows that come in; they are only ever added.
    pub input: SchemaRef,
    /// The input columns that tell one partition from another; none: all rows are one partition's.
    pub keys: Vec<usize>,
    /// The input column that carries event time, by which rows are ordered.
    pub time: usize,
    /// By what rows of the same time are ordered; none: by when they came.
    pub order: Vec<(usize, SortOptions)>,
    /// Expressions over the input that conditions and measures look at.
    pub operands: Vec<Arc<dyn PhysicalExpr>>,
    /// The names of the variables, by number; at most 64.
    pub variables: Vec<String>,
    /// The pattern. It does not match an empty sequence of rows.
    pub pattern: Pattern,
    /// For each variable when a row may be one of it.
    pub definitions: Vec<Definition>,
    /// The greatest time in nanoseconds from the first row of a match to its last.
    pub within: Option<i64>,
    /// Where the next match may begin.
    pub skip: Skip,
    /// Which rows come out.
    pub rows: RowsPerMatch,
    /// What measures look at.
    pub measured: Vec<(Look, Semantics)>,
    /// The columns between `leading` and `trailing`.
    pub measures: Vec<Measure>,
    /// Input columns that come out first: of a match's first row, or of each row.
    pub leading: Vec<usize>,
    /// Input columns that come out last.
    pub trailing: Vec<usize>,
}

impl MatchRecognize {
    pub(super) fn operand_types(&self) -> Result<Vec<DataType>> {
        self.operands.iter().map(|operand| Ok(operand.data_type(&self.input)?)).collect()
    }

    fn conditions(&self) -> impl Iterator<Item = (usize, &Condition)> {
        self.definitions.iter().enumerate().flat_map(|(variable, definition)| {
            definition.row.iter().chain(&definition.run).map(move |condition| (variable, condition))
        })
    }

    /// How many rows before a match's first conditions and measures look at.
    pub(super) fn rows_before(&self, program: &Program) -> u64 {
        let least = program.rows_before(self.variables.len());
        let before = |look: &Look, of_row: Option<u16>| match look {
            Look::Row { of, step, .. } if *step < 0 => {
                // The row that is stepped from has at least so many rows of the match before it.
                let variable = of.or(of_row);
                let inside = variable.and_then(|variable| least[usize::from(variable)]).unwrap_or(0);
                u64::from(step.unsigned_abs().saturating_sub(inside))
            }
            _ => 0,
        };
        let conditions = self.conditions().flat_map(|(variable, condition)| {
            condition
                .looks
                .iter()
                .map(move |look| before(look, look.is_local(variable as u16).then_some(variable as u16)))
        });
        let measures = self.measured.iter().map(|(look, _)| before(look, None));
        conditions.chain(measures).max().unwrap_or(0)
    }

    /// How many rows after a row must be known before it can be judged.
    pub(super) fn rows_after(&self) -> u64 {
        let looks = self.conditions().flat_map(|(_, condition)| &condition.looks);
        let after = looks.map(|look| match look {
            Look::Row { step, .. } if *step > 0 => u64::from(step.unsigned_abs()),
            _ => 0,
        });
        after.max().unwrap_or(0)
    }

    pub(super) fn counts_matches(&self) -> bool {
        self.measured.iter().any(|(look, _)| *look == Look::Number)
    }
}

/// A search for a row pattern as an operator: rows in, matches out.
#[derive(Clone, Debug)]
pub struct MatchRecognizeSpec {
    what: Arc<MatchRecognize>,
    program: Arc<Program>,
    schema: SchemaRef,
}

impl MatchRecognizeSpec {
    /// Checks columns, pattern and conditions. The error is for whoever wrote the query.
    pub fn try_new(what: MatchRecognize) -> Result<Self> {
        let refuse = |reason: String| Err(OperatorError::unsupported(NAME, reason));
        if what.variables.len() > VARIABLES_MAX {
            return refuse(format!("a pattern has at most {VARIABLES_MAX} variables"));
        }
        if !matches!(what.input.field(what.time).data_type(), DataType::Timestamp(..)) {
            return refuse("event time must be a timestamp".to_owned());
        }
        let program =
            Program::compile(&what.pattern).map_err(|reason| OperatorError::unsupported(NAME, reason))?;
        if program.matches_nothing() {
            return refuse("the pattern also matches no row at all".to_owned());
        }
        if let Skip::ToFirst(to) | Skip::ToLast(to) = what.skip {
            let name = &what.variables[usize::from(to)];
            if !program.requires(to) {
                return refuse(format!(
                    "the next match cannot begin with a row of '{name}': a match may have none"
                ));
            }
            let is_first = program.first.iter().all(|place| program.variables[usize::from(*place)] == to);
            if is_first && matches!(what.skip, Skip::ToFirst(_)) {
                return refuse(format!(
                    "the next match would begin with the same row of '{name}' again, for ever"
                ));
            }
        }
        for (variable, definition) in (0..).zip(&what.definitions) {
            let local = definition.row.iter().flat_map(|row| &row.looks).all(|look| look.is_local(variable));
            let run = definition.run.iter().flat_map(|run| &run.looks);
            if !local || run.into_iter().any(|look| matches!(look, Look::Classifier | Look::Number)) {
                return refuse(format!("the definition of {variable} looks at what is not there yet"));
            }
        }
        let operands = what.operand_types()?;
        let looks = schema_of(what.measured.iter().map(|(look, _)| look), &operands)?;
        let own = |column: &usize| what.input.field(*column).clone();
        let mut fields: Vec<Field> = what.leading.iter().map(own).collect();
        for measure in &what.measures {
            fields.push(Field::new(&measure.name, measure.expr.data_type(&looks)?, true));
        }
        fields.extend(what.trailing.iter().map(own));
        let schema = Arc::new(Schema::new(fields));
        Ok(Self { what: Arc::new(what), program: Arc::new(program), schema })
    }

    /// The first variable after whose rows a match may end, but rather goes on: its end is known only when another
    /// row, or time, has ended it.
    pub fn open_end(&self) -> Option<&str> {
        let variable = self.program.open_ends().next()?;
        Some(&self.what.variables[usize::from(variable)])
    }
}

impl OperatorSpec for MatchRecognizeSpec {
    fn name(&self) -> &'static str {
        NAME
    }

    fn describe(&self) -> String {
        let what = &self.what;
        let column = |column: &usize| what.input.field(*column).name().as_str();
        let keys: Vec<_> = what.keys.iter().map(column).collect();
        let mut text = format!("pattern=({})", what.pattern.display(&what.variables));
        if let Some(within) = what.within {
            text += &format!(", within={}s", within as f64 / 1e9);
        }
        let variable = |variable: &u16| what.variables[usize::from(*variable)].as_str();
        match &what.skip {
            Skip::PastLastRow => {}
            Skip::ToNextRow => text += ", skip to next row",
            Skip::ToFirst(to) => text += &format!(", skip to first {}", variable(to)),
            Skip::ToLast(to) => text += &format!(", skip to last {}", variable(to)),
        }
        if what.rows == RowsPerMatch::All {
            text += ", all rows";
        }
        let runs = what.definitions.iter().any(|definition| definition.run.is_some());
        text += if runs { ", ways with history" } else { ", merged ways" };
        text + &format!(", keys=[{}], order=[{}]", keys.join(", "), column(&what.time))
    }

    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn changes(&self) -> Changes {
        Changes::AppendOnly
    }

    fn state_bound(&self) -> StateBound {
        let keys = self.what.keys.iter().map(|key| self.what.input.field(*key).name().clone()).collect();
        let of_keys = self.what.rows_before(&self.program) > 0
            || self.what.rows_after() > 0
            || self.what.counts_matches();
        match (self.what.within, of_keys) {
            (None, _) => StateBound::GrowsWithRows,
            // The state of one partition does not grow.
            (Some(_), true) if self.what.keys.is_empty() => StateBound::None,
            (Some(_), true) => StateBound::Grows(keys),
            (Some(_), false) => StateBound::Watermark,
        }
    }

    fn reach(&self) -> Reach {
        // Where matches do not exclude others, each depends on its own rows.
        match (self.state_bound(), self.what.within, self.what.skip) {
            (StateBound::Watermark, Some(within), Skip::ToNextRow) => Reach::Within(within),
            _ => Reach::History,
        }
    }

    fn instantiate(&self) -> Result<Box<dyn Operator>> {
        Ok(Box::new(MatchOperator::try_new(&self.what, &self.program, &self.schema)?))
    }
}
