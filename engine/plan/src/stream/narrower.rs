//! Whether what a query computes may go into a target's column of a narrower type: where Flink would have computed that type.
//!
//! Here `1` and `n + 1` are BIGINT, `SUM(n)` is one whatever `n` is, and `AVG(n)` is a DOUBLE; in Flink all of them are INT if `n` is,
//! and scripts that were written for it have targets of that type. So what goes into a computation must fit into the target, and not what
//! comes out; a value that is too large makes a dead letter of its row. What is merely read must fit as it is.
//! The rules are those of Flink's `LogicalTypeMerging`: an operation has the widest type of its operands, a sum or a mean of whole numbers
//! their own.

use arrow::datatypes::DataType;
use datafusion::common::{Column, ScalarValue};
use datafusion::logical_expr::{Expr, ExprSchemable, LogicalPlan, Operator};
use headwater_functions::CAST;

use super::target::assignable;
use crate::patterns::MatchNode;
/// Functions whose result is one of their arguments, or as large as one of them.
const SELECTIVE: [&str; 9] = ["abs", "coalesce", "greatest", "if", "ifnull", "least", "mod", "nullif", "nvl"];

/// Aggregates whose result is one of their arguments, or has its type in Flink.
const OWN_TYPE: [&str; 10] =
    ["avg", "sum", "min", "max", "first_value", "last_value", "nth_value", "lag", "lead", "any_value"];

/// Whether a column of a plan may go into one of type `to`, which its own type does not fit into.
pub(super) fn goes_into(plan: &LogicalPlan, column: usize, to: &DataType) -> bool {
    match plan {
        LogicalPlan::Projection(projection) => {
            Source::of(&projection.input, to).has(&projection.expr[column])
        }
        LogicalPlan::Aggregate(aggregate) => {
            let groups = plan.schema().fields().len() - aggregate.aggr_expr.len();
            match column.checked_sub(groups) {
                Some(nth) => Source::of(&aggregate.input, to).has(&aggregate.aggr_expr[nth]),
                None => match aggregate.group_expr.get(column) {
                    Some(Expr::GroupingSet(_)) | None => as_it_is(plan, column, to),
                    Some(expr) => Source::of(&aggregate.input, to).has(expr),
                },
            }
        }
        LogicalPlan::Window(window) => match column.checked_sub(window.input.schema().fields().len()) {
            Some(nth) => Source::of(&window.input, to).has(&window.window_expr[nth]),
            None => goes_into(&window.input, column, to),
        },
        LogicalPlan::SubqueryAlias(alias) => goes_into(&alias.input, column, to),
        LogicalPlan::Union(union) => union.inputs.iter().all(|input| goes_into(input, column, to)),
        LogicalPlan::Extension(extension) => {
            let node = extension.node.as_any().downcast_ref::<MatchNode>();
            match node.and_then(|node| Some((node, node.folded(column)?))) {
                Some((node, operand)) => Source::of(&node.input, to).has(operand),
                None => handed_on(plan, column, to),
            }
        }
        LogicalPlan::Values(values) => values.values.iter().all(|row| Source { plan, to }.has(&row[column])),
        _ => handed_on(plan, column, to),
    }
}

/// Whatever else there is hands columns on, or makes some of its own.
fn handed_on(plan: &LogicalPlan, column: usize, to: &DataType) -> bool {
    let name = Column::from(plan.schema().qualified_field(column));
    let mut inputs = plan.inputs().into_iter();
    let found =
        inputs.find_map(|input| input.schema().maybe_index_of_column(&name).map(|column| (input, column)));
    match found {
        Some((input, column)) => goes_into(input, column, to),
        None => as_it_is(plan, column, to),
    }
}

fn as_it_is(plan: &LogicalPlan, column: usize, to: &DataType) -> bool {
    assignable(plan.schema().field(column).data_type(), to)
}

/// What expressions are computed from, and where they go.
struct Source<'a> {
    plan: &'a LogicalPlan,
    to: &'a DataType,
}

impl<'a> Source<'a> {
    fn of(plan: &'a LogicalPlan, to: &'a DataType) -> Self {
        Self { plan, to }
    }

    /// Whether an expression over this may go there.
    fn has(&self, expr: &Expr) -> bool {
        let Ok(found) = expr.get_type(self.plan.schema()) else { return false };
        if assignable(&found, self.to) {
            return true;
        }
        match expr {
            Expr::Alias(alias) => self.has(&alias.expr),
            Expr::Column(column) => match self.plan.schema().maybe_index_of_column(column) {
                Some(column) => goes_into(self.plan, column, self.to),
                None => false,
            },
            Expr::Literal(value, _) => self.holds(value),
            // Both operands of an operation are brought to one type.
            Expr::Cast(cast) if self.is_number(&cast.expr) => self.has(&cast.expr),
            Expr::Negative(inner) => self.has(inner),
            Expr::BinaryExpr(both) => is_arithmetic(both.op) && self.has(&both.left) && self.has(&both.right),
            Expr::Case(case) => {
                let results = case.when_then_expr.iter().map(|(_, then)| &**then);
                results.chain(case.else_expr.as_deref()).all(|result| self.has(result))
            }
            Expr::ScalarFunction(function) => self.call(function.name(), &function.args, &found),
            Expr::AggregateFunction(function) => self.aggregate(function.func.name(), &function.params.args),
            Expr::WindowFunction(function) => self.aggregate(function.fun.name(), &function.params.args),
            _ => false,
        }
    }

    fn call(&self, name: &str, args: &[Expr], found: &DataType) -> bool {
        match (name, self.to) {
            ("make_array", DataType::List(element)) => {
                args.iter().all(|arg| Source::of(self.plan, element.data_type()).has(arg))
            }
            _ if SELECTIVE.contains(&name) => {
                args.iter().filter(|arg| self.is_number(arg)).all(|arg| self.has(arg))
            }
            // The type is the user's own wish.
            _ if name == CAST => false,
            // A length or a place is an INT in Flink.
            _ => found.is_integer() && self.to.is_integer() && !args.iter().any(|arg| self.is_number(arg)),
        }
    }

    fn aggregate(&self, name: &str, args: &[Expr]) -> bool {
        OWN_TYPE.contains(&name) && args.first().is_some_and(|arg| self.has(arg))
    }

    fn is_number(&self, expr: &Expr) -> bool {
        expr.get_type(self.plan.schema()).is_ok_and(|kind| kind.is_numeric())
    }

    /// Whether the target takes a value itself; a number with a point is none of its whole numbers.
    fn holds(&self, value: &ScalarValue) -> bool {
        let kind = value.data_type();
        let alike = kind.is_integer() && self.to.is_integer() || kind.is_floating() && self.to.is_floating();
        alike && value.cast_to(self.to).is_ok()
    }
}

fn is_arithmetic(op: Operator) -> bool {
    matches!(op, Operator::Plus | Operator::Minus | Operator::Multiply | Operator::Divide | Operator::Modulo)
}
