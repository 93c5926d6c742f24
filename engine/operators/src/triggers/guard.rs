//! What must be so in a row for a condition to be true of it, in a form that can be looked up among thousands.
//!
//! | condition | guard | looked up by |
//! |---|---|---|
//! | `device = 't7' AND ..` | `device` is `'t7'` | hash |
//! | `device = 't7' AND temp > 30 AND ..` | both | hash, then a comparison |
//! | `temp > 30 AND ..` | `temp` is above 30 | the place of `temp` among all bounds |
//! | `gt(temp, 30)` | `temp` passes 30 from below | the bounds between the value before and this one |
//!
//! A guard leaves out no row for which the condition is true. Where it leaves out all others, too, it is exact and the condition need not
//! be evaluated.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, UInt64Array};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type, Int64Type, Schema, UInt64Type};
use datafusion::logical_expr::Operator;
use datafusion::physical_expr::expressions::{BinaryExpr, CastExpr, Column, Literal};
use datafusion::physical_expr::utils::collect_columns;
use datafusion::physical_expr::{PhysicalExpr, split_conjunction};
use datafusion::scalar::ScalarValue;

use super::spec::{Memory, Trigger, When};
use crate::error::Result;

/// A necessary part of a condition.
pub(super) enum Guard {
    /// There is none that can be looked up.
    Unknown,
    /// An expression over the row has this value, and another is beyond a bound.
    Point { x: Arc<dyn PhysicalExpr>, value: ScalarValue, also: Option<Bound>, exact: bool },
    /// An expression over the row is beyond a bound.
    Level { bound: Bound, exact: bool },
    /// It is so now, and was not with the value before: the remembered column of this number.
    Crossing { bound: Bound, before: usize, exact: bool },
}

/// An expression and how far it must go.
pub(super) struct Bound {
    pub(super) x: Arc<dyn PhysicalExpr>,
    /// Whether it must go down instead of up.
    pub(super) down: bool,
    /// The least rank ([`ranks`]) for which it is beyond the bound.
    pub(super) least: u64,
}

/// The guard of a trigger's condition, which is given with its constants folded.
pub(super) fn guard_of(trigger: &Trigger, when: &Arc<dyn PhysicalExpr>) -> Result<Guard> {
    if let When::Silent(_) = trigger.when {
        return Ok(Guard::Unknown);
    }
    let parts = split_conjunction(when);
    let own = trigger.input.fields().len();
    let of_row = |compared: &Compared<'_>| {
        let reaches = collect_columns(compared.x).iter().all(|column| column.index() < own);
        let kind = compared.x.data_type(&trigger.input).ok();
        reaches && never_fails(compared.x, &trigger.input) && kind == Some(compared.value.data_type())
    };
    let compared: Vec<Compared<'_>> =
        parts.iter().filter_map(|part| Compared::of(part)).filter(of_row).collect();
    let mut bounds = Vec::new();
    for compared in &compared {
        bounds.extend(compared.bound()?.map(|bound| (compared, bound)));
    }
    if let Some(point) = compared.iter().find(|compared| compared.is_point()) {
        let also = bounds.into_iter().next().map(|(_, bound)| bound);
        let exact = parts.len() == 1 + usize::from(also.is_some());
        return Ok(Guard::Point { x: Arc::clone(point.x), value: point.value.clone(), also, exact });
    }
    let before = |compared: &Compared<'_>| parts.iter().find_map(|part| compared.before(part, trigger, own));
    let crossing = bounds.iter().position(|(compared, _)| before(compared).is_some()).unwrap_or(0);
    if bounds.is_empty() {
        return Ok(Guard::Unknown);
    }
    let (compared, bound) = bounds.swap_remove(crossing);
    Ok(match before(compared) {
        Some(before) => Guard::Crossing { bound, before, exact: parts.len() == 2 },
        None => Guard::Level { bound, exact: parts.len() == 1 },
    })
}

/// Whether an expression can be evaluated for any row, also for those which the rest of a condition leaves out.
fn never_fails(expr: &Arc<dyn PhysicalExpr>, input: &Schema) -> bool {
    if let Some(widened) = expr.downcast_ref::<CastExpr>() {
        let from = widened.expr().data_type(input);
        let is_number = from.is_ok_and(|kind| kind.is_integer() || kind.is_floating());
        return is_number && widened.expr().is::<Column>() && *widened.cast_type() == DataType::Float64;
    }
    let Some(binary) = expr.downcast_ref::<BinaryExpr>() else {
        return expr.is::<Column>() || expr.is::<Literal>();
    };
    // Integers wrap around.
    let safe = matches!(binary.op(), Operator::Plus | Operator::Minus | Operator::Multiply);
    safe && never_fails(binary.left(), input) && never_fails(binary.right(), input)
}

/// An expression compared with a constant.
struct Compared<'a> {
    x: &'a Arc<dyn PhysicalExpr>,
    op: Operator,
    value: &'a ScalarValue,
}

impl<'a> Compared<'a> {
    fn of(expr: &'a Arc<dyn PhysicalExpr>) -> Option<Self> {
        let binary = expr.downcast_ref::<BinaryExpr>()?;
        let (left, right) = (binary.left(), binary.right());
        let (x, op, value) = match (left.downcast_ref::<Literal>(), right.downcast_ref::<Literal>()) {
            (None, Some(value)) => (left, *binary.op(), value),
            (Some(value), None) => (right, binary.op().swap()?, value),
            _ => return None,
        };
        let value = value.value();
        (!value.is_null()).then_some(Self { x, op, value })
    }

    /// Whether it is an equality of values that are equal if their encodings are.
    fn is_point(&self) -> bool {
        use DataType::{Boolean, LargeUtf8, Utf8, Utf8View};
        let kind = self.value.data_type();
        let plain = kind.is_primitive() && !kind.is_floating();
        self.op == Operator::Eq && (plain || matches!(kind, Boolean | Utf8 | LargeUtf8 | Utf8View))
    }

    fn bound(&self) -> Result<Option<Bound>> {
        let down = match self.op {
            Operator::Gt | Operator::GtEq => false,
            Operator::Lt | Operator::LtEq => true,
            _ => return Ok(None),
        };
        let Some(at) = ranks(&self.value.to_array()?, down)? else { return Ok(None) };
        let at = at.value(0);
        let least = match self.op {
            Operator::Gt | Operator::Lt => at.checked_add(1),
            _ => Some(at),
        };
        Ok(least.map(|least| Bound { x: Arc::clone(self.x), down, least }))
    }

    /// The remembered column of which `other` says that the same comparison was not true of the value before.
    fn before(&self, other: &'a Arc<dyn PhysicalExpr>, trigger: &Trigger, own: usize) -> Option<usize> {
        let other = other.downcast_ref::<BinaryExpr>()?;
        let is_true = other.right().downcast_ref::<Literal>()?.value() == &ScalarValue::Boolean(Some(true));
        let was = Self::of(other.left()).filter(|_| *other.op() == Operator::IsDistinctFrom && is_true)?;
        let nth = was.x.downcast_ref::<Column>()?.index().checked_sub(own)?;
        let remembered = trigger.remembered.get(nth)?;
        let same = (was.op, was.value) == (self.op, self.value)
            && remembered.memory == Memory::Value
            && &remembered.expr == self.x;
        same.then_some(nth)
    }
}

/// Whether values of a type can be ranked.
fn is_ranked(kind: &DataType) -> bool {
    use DataType::{Date32, Date64, Float32, Float64, Timestamp};
    kind.is_integer() || matches!(kind, Float32 | Float64 | Timestamp(..) | Date32 | Date64)
}

/// Values as numbers in the same order, or with `down` in the opposite one. NULL stays NULL. `None`: values of this type have none.
pub(super) fn ranks(column: &ArrayRef, down: bool) -> Result<Option<UInt64Array>> {
    const SIGN: u64 = 1 << 63;
    let kind = column.data_type();
    if !is_ranked(kind) {
        return Ok(None);
    }
    let turned = |rank: u64| if down { !rank } else { rank };
    Ok(Some(match kind {
        DataType::UInt64 => column.as_primitive::<UInt64Type>().unary(turned),
        kind if kind.is_floating() => {
            let column = cast(column, &DataType::Float64)?;
            // The order of comparisons: by sign and bits, NaN at the ends.
            column.as_primitive::<Float64Type>().unary(|value| {
                let bits = value.to_bits();
                turned(if bits & SIGN == 0 { bits | SIGN } else { !bits })
            })
        }
        _ => {
            let column = cast(column, &DataType::Int64)?;
            column.as_primitive::<Int64Type>().unary(|value| turned(value as u64 ^ SIGN))
        }
    }))
}
