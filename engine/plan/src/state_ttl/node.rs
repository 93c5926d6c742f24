//! The marks in the logical plan: rows pass both unchanged.

use std::cmp::Ordering;
use std::collections::HashSet;
use std::fmt;

use datafusion::common::{DFSchemaRef, Result, internal_err};
use datafusion::logical_expr::{Expr, LogicalPlan, UserDefinedLogicalNodeCore};

use super::hint::Hint;

/// A table of FROM that a hint names.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Hinted {
    pub(crate) input: LogicalPlan,
    pub(crate) hint: Hint,
}

/// A join, an aggregate or OVER whose inputs hints name.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Keeps {
    pub(crate) input: LogicalPlan,
    /// Of each side of a join, or of the only input and nothing.
    pub(crate) hints: [Option<Hint>; 2],
}

impl PartialOrd for Hinted {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        self.input.partial_cmp(&other.input)
    }
}

impl PartialOrd for Keeps {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        self.input.partial_cmp(&other.input)
    }
}

impl UserDefinedLogicalNodeCore for Hinted {
    fn name(&self) -> &str {
        "Hinted"
    }

    fn inputs(&self) -> Vec<&LogicalPlan> {
        vec![&self.input]
    }

    fn schema(&self) -> &DFSchemaRef {
        self.input.schema()
    }

    fn expressions(&self) -> Vec<Expr> {
        Vec::new()
    }

    fn fmt_for_explain(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Hinted")
    }

    fn with_exprs_and_inputs(&self, _exprs: Vec<Expr>, inputs: Vec<LogicalPlan>) -> Result<Self> {
        Ok(Self { input: only(inputs)?, hint: self.hint.clone() })
    }

    /// Conditions go by.
    fn prevent_predicate_push_down_columns(&self) -> HashSet<String> {
        HashSet::new()
    }

    fn necessary_children_exprs(&self, output_columns: &[usize]) -> Option<Vec<Vec<usize>>> {
        Some(vec![output_columns.to_vec()])
    }
}

impl UserDefinedLogicalNodeCore for Keeps {
    fn name(&self) -> &str {
        "Keeps"
    }

    fn inputs(&self) -> Vec<&LogicalPlan> {
        vec![&self.input]
    }

    fn schema(&self) -> &DFSchemaRef {
        self.input.schema()
    }

    fn expressions(&self) -> Vec<Expr> {
        Vec::new()
    }

    fn fmt_for_explain(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Keeps")
    }

    fn with_exprs_and_inputs(&self, _exprs: Vec<Expr>, inputs: Vec<LogicalPlan>) -> Result<Self> {
        Ok(Self { input: only(inputs)?, hints: self.hints.clone() })
    }
}

fn only(mut inputs: Vec<LogicalPlan>) -> Result<LogicalPlan> {
    match (inputs.pop(), inputs.is_empty()) {
        (Some(input), true) => Ok(input),
        _ => internal_err!("a mark has one input"),
    }
}
