//! `(a, b) OVERLAPS (c, d)`: whether two periods have an instant in common, their ends among them.
//!
//! A period is two times, in whatever order, or a time and a length. As in Flink it is asked whether each ends no earlier than the
//! other begins.

use datafusion::sql::sqlparser::ast::{BinaryOperator, Expr, Ident};

use super::calls::call;

/// The expression that says so, of one that asks it.
pub(super) fn overlaps(expr: &Expr) -> Option<Expr> {
    let Expr::BinaryOp { left, op: BinaryOperator::Overlaps, right } = expr else { return None };
    let (Expr::Tuple(left), Expr::Tuple(right)) = (&**left, &**right) else { return None };
    let ([first, second], [third, fourth]) = (ends(left)?, ends(right)?);
    let least = |[a, b]: &[Expr; 2]| call(Ident::new("least"), vec![a.clone(), b.clone()]);
    let greatest = |[a, b]: &[Expr; 2]| call(Ident::new("greatest"), vec![a.clone(), b.clone()]);
    let (one, other) = ([first, second], [third, fourth]);
    let both = binary(
        binary(greatest(&one), BinaryOperator::GtEq, least(&other)),
        BinaryOperator::And,
        binary(greatest(&other), BinaryOperator::GtEq, least(&one)),
    );
    Some(Expr::Nested(Box::new(both)))
}

/// The two ends of a period.
fn ends(period: &[Expr]) -> Option<[Expr; 2]> {
    let [from, to] = period else { return None };
    let to = match to {
        Expr::Interval(_) => binary(from.clone(), BinaryOperator::Plus, to.clone()),
        _ => to.clone(),
    };
    Some([from.clone(), to])
}

fn binary(left: Expr, op: BinaryOperator, right: Expr) -> Expr {
    Expr::BinaryOp { left: Box::new(left), op, right: Box::new(right) }
}
