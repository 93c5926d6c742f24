//! `CAST(x AS DECIMAL(p, s))` of a number that has more digits: NULL, as in Flink. A text that is no number is still refused.

use arrow::datatypes::DataType;
use datafusion::common::Result;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::logical_expr::expr::TryCast;
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::utils::merge_schema;
use datafusion::logical_expr::{Expr, ExprSchemable, LogicalPlan};
use datafusion::optimizer::AnalyzerRule;

use super::kind::Digits;

/// Turns such casts into those that give NULL.
#[derive(Debug)]
pub(crate) struct DecimalCasts;

impl AnalyzerRule for DecimalCasts {
    fn name(&self) -> &str {
        "decimal_casts"
    }

    fn analyze(&self, plan: LogicalPlan, _config: &ConfigOptions) -> Result<LogicalPlan> {
        plan.transform_up_with_subqueries(in_node).data()
    }
}

fn in_node(plan: LogicalPlan) -> Result<Transformed<LogicalPlan>> {
    let names = merge_schema(&plan.inputs());
    let preserver = NamePreserver::new(&plan);
    let turned = plan.map_expressions(|expr| {
        let name = preserver.save(&expr);
        let turned = expr.transform_up(|part| {
            let Expr::Cast(cast) = &part else { return Ok(Transformed::no(part)) };
            // The column of an outer query has no type here.
            match cast.expr.get_type(&names) {
                Ok(from) if narrows(&from, cast.field.data_type()) => {
                    let Expr::Cast(cast) = part else { unreachable!("it was one just now") };
                    Ok(Transformed::yes(Expr::TryCast(TryCast::new_from_field(cast.expr, cast.field))))
                }
                _ => Ok(Transformed::no(part)),
            }
        })?;
        Ok(turned.update_data(|expr| name.restore(expr)))
    })?;
    if turned.transformed { turned.map_data(LogicalPlan::recompute_schema) } else { Ok(turned) }
}

/// Whether a number of the one type may not fit into the other, which is a DECIMAL.
pub(crate) fn narrows(from: &DataType, to: &DataType) -> bool {
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
