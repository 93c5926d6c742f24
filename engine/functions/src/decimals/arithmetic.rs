//! `+`, `-`, `*` and `/` of exact numbers whose result may have more digits than a DECIMAL. DataFusion's own would fail then, or give a
//! number of more digits than its type.

use std::sync::Arc;

use arrow::array::{AsArray, Decimal128Array};
use arrow::datatypes::{DataType, Decimal128Type, i256};
use arrow::error::ArrowError;
use datafusion::common::{DFSchema, Result, internal_err, plan_err};
use datafusion::logical_expr::planner::{ExprPlanner, PlannerResult, RawBinaryExpr};
use datafusion::logical_expr::{
    ColumnarValue, Expr, ExprSchemable, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use datafusion::sql::sqlparser::ast::BinaryOperator;

use super::kind::{Digits, Op};

/// Plans the operators as calls where a result may not fit.
#[derive(Debug)]
pub struct DecimalPlanner;

impl ExprPlanner for DecimalPlanner {
    fn plan_binary_op(&self, expr: RawBinaryExpr, schema: &DFSchema) -> Result<PlannerResult<RawBinaryExpr>> {
        let op = match expr.op {
            BinaryOperator::Plus => Op::Add,
            BinaryOperator::Minus => Op::Subtract,
            BinaryOperator::Multiply => Op::Multiply,
            BinaryOperator::Divide => Op::Divide,
            _ => return Ok(PlannerResult::Original(expr)),
        };
        // What is wrong with an operand is said by whoever plans the operator.
        let (Ok(left), Ok(right)) = (expr.left.get_type(schema), expr.right.get_type(schema)) else {
            return Ok(PlannerResult::Original(expr));
        };
        let is_decimal = [&left, &right].iter().any(|kind| matches!(kind, DataType::Decimal128(..)));
        match (Digits::of(&left), Digits::of(&right)) {
            (Some(left), Some(right)) if is_decimal && Digits::may_not_fit(op, left, right) => {
                let function = ScalarUDF::new_from_impl(DecimalOp::new(op));
                Ok(PlannerResult::Planned(function.call(vec![expr.left, expr.right])))
            }
            _ => Ok(PlannerResult::Original(expr)),
        }
    }
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct DecimalOp {
    op: Op,
    signature: Signature,
}

impl DecimalOp {
    fn new(op: Op) -> Self {
        Self { op, signature: Signature::user_defined(Volatility::Immutable) }
    }

    fn symbol(&self) -> &'static str {
        match self.op {
            Op::Add => "+",
            Op::Subtract => "-",
            Op::Multiply => "*",
            Op::Divide => "/",
        }
    }

    fn digits(&self, kinds: &[DataType]) -> Result<[Digits; 3]> {
        let [Some(left), Some(right)] = kinds.iter().map(Digits::of).collect::<Vec<_>>()[..] else {
            return plan_err!("'{}' is of two exact numbers, not of {kinds:?}", self.symbol());
        };
        Ok([left, right, Digits::result(self.op, left, right)])
    }
}

impl ScalarUDFImpl for DecimalOp {
    fn name(&self) -> &str {
        match self.op {
            Op::Add => "decimal_add",
            Op::Subtract => "decimal_subtract",
            Op::Multiply => "decimal_multiply",
            Op::Divide => "decimal_divide",
        }
    }

    /// The column is called as that of the operator.
    fn schema_name(&self, args: &[Expr]) -> Result<String> {
        let [left, right] = args else { return internal_err!("{} takes two numbers", self.name()) };
        Ok(format!("{} {} {}", left.schema_name(), self.symbol(), right.schema_name()))
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, args: &[DataType]) -> Result<Vec<DataType>> {
        let [left, right, _] = self.digits(args)?;
        Ok(vec![left.kind(), right.kind()])
    }

    fn return_type(&self, args: &[DataType]) -> Result<DataType> {
        let [.., result] = self.digits(args)?;
        Ok(result.kind())
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let kinds: Vec<DataType> = args.args.iter().map(ColumnarValue::data_type).collect();
        let [left, right, result] = self.digits(&kinds)?;
        let columns = ColumnarValue::values_to_arrays(&args.args)?;
        let (lefts, rights) =
            (columns[0].as_primitive::<Decimal128Type>(), columns[1].as_primitive::<Decimal128Type>());
        let scales = Scales::new(self.op, left, right, result);
        let bound = 10_u128.pow(result.all as u32);
        let mut values: Vec<Option<i128>> = Vec::with_capacity(lefts.len());
        for (left, right) in lefts.iter().zip(rights) {
            let (Some(left), Some(right)) = (left, right) else {
                values.push(None);
                continue;
            };
            let value = scales.compute(self.op, left, right)?;
            values.push(value.and_then(i256::to_i128).filter(|value| value.unsigned_abs() < bound));
        }
        let values = Decimal128Array::from(values).with_data_type(result.kind());
        Ok(ColumnarValue::Array(Arc::new(values)))
    }
}

/// What numbers are multiplied by, so that their points stand below each other, and the result divided by, so that it has its digits.
struct Scales {
    left: Option<i256>,
    right: Option<i256>,
    result: Option<i256>,
}

impl Scales {
    fn new(op: Op, left: Digits, right: Digits, result: Digits) -> Self {
        let power = |by: i32| i256::from_i128(10).checked_pow(by.max(0) as u32);
        let by = |left, right, result| Self { left: power(left), right: power(right), result: power(result) };
        match op {
            Op::Add | Op::Subtract => {
                let behind = left.behind.max(right.behind);
                by(behind - left.behind, behind - right.behind, behind - result.behind)
            }
            Op::Multiply => by(0, 0, left.behind + right.behind - result.behind),
            Op::Divide => {
                let shift = result.behind - left.behind + right.behind;
                by(shift, -shift, 0)
            }
        }
    }

    /// `None`: it has far more digits than there is room for.
    fn compute(&self, op: Op, left: i128, right: i128) -> Result<Option<i256>> {
        if op == Op::Divide && right == 0 {
            return Err(ArrowError::DivideByZero.into());
        }
        Ok(self.exact(op, i256::from_i128(left), i256::from_i128(right)))
    }

    fn exact(&self, op: Op, left: i256, right: i256) -> Option<i256> {
        let left = left.checked_mul(self.left?)?;
        let right = right.checked_mul(self.right?)?;
        let (value, by) = match op {
            Op::Add => (left.checked_add(right)?, self.result?),
            Op::Subtract => (left.checked_sub(right)?, self.result?),
            Op::Multiply => (left.checked_mul(right)?, self.result?),
            Op::Divide => (left, right),
        };
        rounded(value, by)
    }
}

/// A quotient, rounded half away from zero.
fn rounded(value: i256, by: i256) -> Option<i256> {
    let (quotient, rest) = (value.checked_div(by)?, value.checked_rem(by)?);
    let (rest, by_abs) = (rest.wrapping_abs(), by.wrapping_abs());
    if rest < by_abs.checked_sub(rest)? {
        return Some(quotient);
    }
    let away = if value.is_negative() == by.is_negative() { i256::ONE } else { i256::MINUS_ONE };
    quotient.checked_add(away)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(op: Op, left: (i128, u8, i8), right: (i128, u8, i8), expect: Option<(i128, u8, i8)>) {
        let digits = |number: (i128, u8, i8)| Digits::of(&DataType::Decimal128(number.1, number.2)).unwrap();
        let (of_left, of_right) = (digits(left), digits(right));
        let result = Digits::result(op, of_left, of_right);
        let value = Scales::new(op, of_left, of_right, result).compute(op, left.0, right.0).unwrap();
        let bound = 10_u128.pow(result.all as u32);
        let value = value.and_then(i256::to_i128).filter(|value| value.unsigned_abs() < bound);
        let DataType::Decimal128(all, behind) = result.kind() else { unreachable!() };
        assert_eq!(value.map(|value| (value, all, behind)), expect, "{left:?} {op:?} {right:?}");
    }

    #[test]
    fn digits_behind_the_point_go_first() {
        let ten = 10_i128;
        // 100 times 1.5, each with 18 digits behind the point: 6 stay.
        check(
            Op::Multiply,
            (100 * ten.pow(18), 38, 18),
            (15 * ten.pow(17), 38, 18),
            Some((150_000_000, 38, 6)),
        );
        // Half of the last digit is rounded away from zero.
        check(Op::Multiply, (5, 38, 10), (ten.pow(3), 38, 10), Some((0, 38, 6)));
        check(Op::Multiply, (5 * ten.pow(9), 38, 10), (ten.pow(4), 38, 10), Some((1, 38, 6)));
        check(Op::Multiply, (-5 * ten.pow(9), 38, 10), (ten.pow(4), 38, 10), Some((-1, 38, 6)));
        check(Op::Divide, (ten.pow(18), 38, 18), (3 * ten.pow(18), 38, 18), Some((333_333, 38, 6)));
        check(Op::Divide, (2 * ten.pow(18), 38, 18), (-3 * ten.pow(18), 38, 18), Some((-666_667, 38, 6)));
    }

    #[test]
    fn what_does_not_fit_is_null() {
        let most = 10_i128.pow(38) - 1;
        check(Op::Add, (most, 38, 0), (1, 38, 0), None);
        check(Op::Add, (most, 38, 0), (-1, 38, 0), Some((most - 1, 38, 0)));
        check(Op::Subtract, (-most, 38, 0), (1, 38, 0), None);
        check(Op::Multiply, (most, 38, 0), (most, 38, 0), None);
        check(Op::Divide, (most, 38, 0), (1, 38, 37), None);
        let by_zero = Digits { all: 38, behind: 0 };
        let scales = Scales::new(Op::Divide, by_zero, by_zero, Digits::result(Op::Divide, by_zero, by_zero));
        assert!(scales.compute(Op::Divide, 1, 0).is_err(), "a division by zero is a mistake and no overflow");
    }

    #[test]
    fn what_always_fits_is_left_to_datafusion() {
        let digits = |all, behind| Digits { all, behind };
        assert!(!Digits::may_not_fit(Op::Multiply, digits(20, 0), digits(10, 2)));
        assert!(!Digits::may_not_fit(Op::Add, digits(20, 2), digits(30, 2)));
        assert!(Digits::may_not_fit(Op::Multiply, digits(20, 0), digits(18, 2)));
        assert!(Digits::may_not_fit(Op::Subtract, digits(38, 2), digits(1, 0)));
    }
}
