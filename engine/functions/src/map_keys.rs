//! `map[key]` where the key is of another type than the map's, or is not the same for each row. DataFusion compares a literal with the keys
//! as it is, and a number that is written is a BIGINT; it refuses all that is no literal.

use arrow::datatypes::DataType;
use datafusion::common::{DFSchema, Result, ScalarValue};
use datafusion::functions_nested::expr_fn::{array_element, map_extract};
use datafusion::logical_expr::planner::{ExprPlanner, PlannerResult, RawFieldAccessExpr};
use datafusion::logical_expr::{Expr, ExprSchemable, GetFieldAccess, lit};

/// Plans such an access.
#[derive(Debug)]
pub struct MapKeyPlanner;

impl ExprPlanner for MapKeyPlanner {
    fn plan_field_access(
        &self,
        mut access: RawFieldAccessExpr,
        schema: &DFSchema,
    ) -> Result<PlannerResult<RawFieldAccessExpr>> {
        let GetFieldAccess::ListIndex { key } = &mut access.field_access else {
            return Ok(PlannerResult::Original(access));
        };
        // What is wrong with the map is said by whoever plans the access.
        let Some(of) = access.expr.get_type(schema).ok().as_ref().and_then(key_type) else {
            return Ok(PlannerResult::Original(access));
        };
        match &mut **key {
            Expr::Literal(value, _) => {
                if let Some(same) = as_key(value, &of) {
                    *value = same;
                }
                Ok(PlannerResult::Original(access))
            }
            key => {
                let found = map_extract(access.expr, std::mem::take(key));
                Ok(PlannerResult::Planned(array_element(found, lit(1_i64))))
            }
        }
    }
}

/// The type of a map's keys.
fn key_type(map: &DataType) -> Option<DataType> {
    let DataType::Map(entries, _) = map else { return None };
    let DataType::Struct(fields) = entries.data_type() else { return None };
    fields.first().map(|key| key.data_type().clone())
}

/// A number as a key of that type, if it has it; other values stay what they are.
fn as_key(value: &ScalarValue, of: &DataType) -> Option<ScalarValue> {
    let is_other = value.data_type() != *of && value.data_type().is_numeric() && of.is_numeric();
    let same = is_other.then(|| value.cast_to(of).ok()).flatten()?;
    // A number that is rounded, or does not fit, is another one.
    let back = same.cast_to(&value.data_type()).ok()?;
    (back == *value).then_some(same)
}
