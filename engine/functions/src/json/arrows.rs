//! PostgreSQL's `json -> key` and `json ->> key`, as the functions `json_get(json, key, ...)` and `json_get_text(json, key, ...)`.
//!
//! A text is a member's name, a number an element's place, from 0, below zero from the end. What is not there is NULL, and so is all that
//! is in a text that is no JSON: a stream's rows are not refused for one that is broken.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, StringBuilder};
use arrow::datatypes::{DataType, Int64Type};
use datafusion::common::{DFSchema, Result, ScalarValue, plan_err};
use datafusion::logical_expr::planner::{ExprPlanner, PlannerResult, RawBinaryExpr};
use datafusion::logical_expr::{
    ColumnarValue, Expr, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use datafusion::sql::sqlparser::ast::BinaryOperator;

use super::find::{find, is_composite, scalar};
use super::path::Step;

/// Both functions.
pub(super) fn functions() -> [ScalarUDF; 2] {
    [false, true].map(|as_text| ScalarUDF::new_from_impl(JsonGet::new(as_text)))
}

/// Plans the operators as calls. A chain of them is one call, which reads the text once.
#[derive(Debug)]
pub struct ArrowPlanner;

impl ExprPlanner for ArrowPlanner {
    fn plan_binary_op(
        &self,
        expr: RawBinaryExpr,
        _schema: &DFSchema,
    ) -> Result<PlannerResult<RawBinaryExpr>> {
        let as_text = match expr.op {
            BinaryOperator::Arrow => false,
            BinaryOperator::LongArrow => true,
            _ => return Ok(PlannerResult::Original(expr)),
        };
        let mut args = match expr.left {
            Expr::ScalarFunction(inner) if inner.func.inner().is::<JsonGet>() && inner.name() == GET => {
                inner.args
            }
            left => vec![left],
        };
        args.push(expr.right);
        let function = ScalarUDF::new_from_impl(JsonGet::new(as_text));
        Ok(PlannerResult::Planned(function.call(args)))
    }
}

const GET: &str = "json_get";

#[derive(Debug, PartialEq, Eq, Hash)]
struct JsonGet {
    as_text: bool,
    signature: Signature,
}

impl JsonGet {
    fn new(as_text: bool) -> Self {
        Self { as_text, signature: Signature::user_defined(Volatility::Immutable) }
    }
}

impl ScalarUDFImpl for JsonGet {
    fn name(&self) -> &str {
        if self.as_text { "json_get_text" } else { GET }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, args: &[DataType]) -> Result<Vec<DataType>> {
        let [json, keys @ ..] = args else {
            return plan_err!("{} takes a text and keys", self.name());
        };
        if !(json.is_string() || json.is_null()) {
            return plan_err!("'->' and '->>' look into JSON, which is a text, not {json}");
        }
        let key = |kind: &DataType| match kind {
            kind if kind.is_string() || kind.is_null() => Ok(DataType::Utf8),
            kind if kind.is_integer() => Ok(DataType::Int64),
            kind => plan_err!("a key into JSON is a text or a whole number, not {kind}"),
        };
        [Ok(DataType::Utf8)].into_iter().chain(keys.iter().map(key)).collect()
    }

    fn return_type(&self, _args: &[DataType]) -> Result<DataType> {
        Ok(DataType::Utf8)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let texts = args.args[0].to_array(args.number_rows)?;
        let texts = texts.as_string::<i32>();
        let keys = Keys::of(&args.args[1..], args.number_rows)?;
        let mut out = StringBuilder::with_capacity(texts.len(), texts.len() * 8);
        for row in 0..texts.len() {
            let steps = keys.steps(row);
            let found = match (&steps, texts.is_valid(row)) {
                (Some(steps), true) => find(texts.value(row), steps).unwrap_or_default(),
                _ => Vec::new(),
            };
            match found.first() {
                Some(value) if !self.as_text || is_composite(value) => out.append_value(value),
                Some(value) => out.append_option(scalar(value)),
                None => out.append_null(),
            }
        }
        Ok(ColumnarValue::Array(Arc::new(out.finish())))
    }
}

/// The keys: the same for all rows, or columns.
enum Keys {
    Constant(Option<Vec<Step>>),
    Columns(Vec<ArrayRef>),
}

impl Keys {
    fn of(args: &[ColumnarValue], rows: usize) -> Result<Self> {
        let constants: Option<Vec<_>> = args
            .iter()
            .map(|arg| match arg {
                ColumnarValue::Scalar(ScalarValue::Utf8(key)) => Some(key.clone().map(Step::Member)),
                ColumnarValue::Scalar(ScalarValue::Int64(key)) => Some(key.map(Step::Element)),
                _ => None,
            })
            .collect();
        if let Some(constants) = constants {
            return Ok(Self::Constant(constants.into_iter().collect()));
        }
        Ok(Self::Columns(args.iter().map(|arg| arg.to_array(rows)).collect::<Result<_>>()?))
    }

    /// The keys of a row; `None` if one of them is NULL.
    fn steps(&self, row: usize) -> Option<std::borrow::Cow<'_, [Step]>> {
        match self {
            Self::Constant(steps) => steps.as_deref().map(std::borrow::Cow::Borrowed),
            Self::Columns(columns) => {
                columns.iter().map(|column| step(column, row)).collect::<Option<Vec<_>>>().map(Into::into)
            }
        }
    }
}

fn step(column: &ArrayRef, row: usize) -> Option<Step> {
    if column.is_null(row) {
        return None;
    }
    Some(match column.as_primitive_opt::<Int64Type>() {
        Some(places) => Step::Element(places.value(row)),
        None => Step::Member(column.as_string::<i32>().value(row).to_owned()),
    })
}
