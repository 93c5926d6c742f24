//! `CAST(x AS DECIMAL(p, s))` of a number that has more digits: NULL, as in Flink. A text that is no number is still refused.

use arrow::datatypes::DataType;
use datafusion::common::Result;
use datafusion::common::config::ConfigOptions;
use datafusion::logical_expr::expr::TryCast;
use datafusion::logical_expr::{Expr, LogicalPlan};
use datafusion::optimizer::AnalyzerRule;

use super::super::casts::{Cast, turn_in_plan};
use super::kind::Digits;

/// Turns such casts into those that give NULL.
#[derive(Debug)]
pub struct DecimalCasts;

impl AnalyzerRule for DecimalCasts {
    fn name(&self) -> &str {
        "decimal_casts"
    }

    fn analyze(&self, plan: LogicalPlan, _config: &ConfigOptions) -> Result<LogicalPlan> {
        turn_in_plan(plan, in_place_of)
    }
}

fn in_place_of(cast: &Cast<'_>) -> Result<Option<Expr>> {
    let becomes = !cast.may_fail && narrows(&cast.from, cast.to.data_type());
    let expr = || Box::new(cast.expr.clone());
    Ok(becomes.then(|| Expr::TryCast(TryCast::new_from_field(expr(), cast.to.clone()))))
}

/// Whether a number of the one type may not fit into the other, which is a DECIMAL.
pub fn narrows(from: &DataType, to: &DataType) -> bool {
    let DataType::Decimal128(..) = to else { return false };
    match (Digits::of(from), Digits::of(to)) {
        (Some(from), Some(to)) => from.before() > to.before() || rounds_up(from, to),
        _ => from.is_floating(),
    }
}

/// 99.5 as a DECIMAL(2, 0) is 100.
fn rounds_up(from: Digits, to: Digits) -> bool {
    from.before() == to.before() && from.behind > to.behind
}
