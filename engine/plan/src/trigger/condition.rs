//! Conditions: SQL over the row, its key's earlier rows, and the classic ones.
//!
//! | in a condition | is | of memory |
//! |---|---|---|
//! | `prev(x)` | what x was in the key's row before | x, of the row before |
//! | `ago(x, d)` | what x was at least d ago | x, so long ago |
//! | `gt(x, v)`, `gte`, `lt`, `lte`, `eq` | x crosses: it is so now and was not with the value before, if any | x, the value before |
//! | `change(x)` | x is another value than before | x, the value before |
//! | `live(d)`, `live(x, d)` | the key's row (its value of x) comes d or more after the one before | the time, of the row (value) before |
//! | `frozen(d)`, `frozen(x, d)` | the whole condition: no row (no value of x) has come for d | nothing: a timer |
//!
//! With FOR, and in UNTIL, `gt(x, v)` and its like mean that x is so, not that it comes to be so. NULL is no value.

use std::ops::ControlFlow;
use std::time::Duration;

use datafusion::sql::sqlparser::ast::{
    self, BinaryOperator, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments, Ident, VisitorMut,
};

use super::definition::Condition;
use crate::error::{Mistake, Result, SqlError};
use crate::parse::{name_of, parse_duration};
use crate::walk::{WalkMut, expressions};

/// Which earlier row a column of memory looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Looks {
    Row,
    Value,
    Ago(Duration),
}

/// What a condition becomes.
#[derive(Debug)]
pub(super) enum Meaning {
    /// An expression over the row's columns and those of memory.
    True(Expr),
    /// No row for which this is true, for so long.
    Silent(Expr, Duration),
}

/// Columns of memory, named `$0`, `$1`, ..
#[derive(Debug, Default)]
pub(super) struct Remembering {
    pub(super) columns: Vec<(Expr, Looks)>,
    /// The name of the column of event time.
    pub(super) time: String,
}

/// How `gt(x, v)` and its like are meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reading {
    /// As the moment at which it comes to be so.
    Crossing,
    /// As being so.
    Level,
}

impl Remembering {
    /// What a WHEN means.
    pub(super) fn when(&mut self, condition: &Condition, reading: Reading) -> Result<Meaning> {
        if let Some((name, arguments)) = call_of(&condition.ast)
            && name == "frozen"
        {
            let (value, length) = value_and_length(&name, arguments, condition)?;
            let counts = match value {
                Some(value) => Expr::IsNotNull(Box::new(value)),
                None => literal(true),
            };
            return Ok(Meaning::Silent(counts, length));
        }
        self.expression(condition, reading).map(Meaning::True)
    }

    /// The expression that a condition is, over the row's columns and those of memory.
    pub(super) fn expression(&mut self, condition: &Condition, reading: Reading) -> Result<Expr> {
        let mut expr = (*condition.ast).clone();
        let mut rewrite = Rewrite { remembering: self, condition, reading };
        match expr.walk_mut(&mut rewrite) {
            ControlFlow::Break(error) => Err(error.at(condition.position, &condition.script)),
            ControlFlow::Continue(()) => Ok(expr),
        }
    }

    fn column(&mut self, expr: Expr, looks: Looks) -> Expr {
        let known = self.columns.iter().position(|column| *column == (expr.clone(), looks));
        let nth = known.unwrap_or_else(|| {
            self.columns.push((expr, looks));
            self.columns.len() - 1
        });
        Expr::Identifier(Ident::with_quote('"', format!("${nth}")))
    }
}

struct Rewrite<'a> {
    remembering: &'a mut Remembering,
    condition: &'a Condition,
    reading: Reading,
}

impl VisitorMut for Rewrite<'_> {
    type Break = SqlError;

    /// From the leaves up: what a function is called with has been rewritten by then.
    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<SqlError> {
        match self.rewritten(expr) {
            Ok(Some(instead)) => *expr = instead,
            Ok(None) => {}
            Err(error) => return ControlFlow::Break(error),
        }
        ControlFlow::Continue(())
    }
}

impl Rewrite<'_> {
    fn rewritten(&mut self, expr: &Expr) -> Result<Option<Expr>> {
        let Some((name, arguments)) = call_of(expr) else { return Ok(None) };
        let is_ours = ["prev", "ago", "gt", "gte", "lt", "lte", "eq", "change", "live", "frozen"];
        if !is_ours.contains(&name.as_str()) {
            return Ok(None);
        }
        if arguments.iter().any(uses_memory) {
            return Err(wrong(format!(
                "{name}() looks at earlier rows and cannot be asked about earlier rows"
            ))
            .hint("give it an expression over the row's own columns"));
        }
        self.meaning(&name, arguments).map(Some)
    }

    fn meaning(&mut self, name: &str, arguments: Vec<Expr>) -> Result<Expr> {
        match (name, arguments.as_slice()) {
            ("prev", [x]) => Ok(self.remembering.column(x.clone(), Looks::Row)),
            ("prev", _) => Err(takes(name, "an expression: prev(temp)")),
            ("ago", [x, back]) => {
                let back = length_of(back)
                    .ok_or_else(|| takes(name, "a length of time: ago(temp, INTERVAL '1' HOUR)"))?;
                Ok(self.remembering.column(x.clone(), Looks::Ago(back)))
            }
            ("ago", _) => {
                Err(takes(name, "an expression and a length of time: ago(temp, INTERVAL '1' HOUR)"))
            }
            ("change", [x]) => {
                self.no_level(name)?;
                let before = self.remembering.column(x.clone(), Looks::Value);
                Ok(binary(before, BinaryOperator::NotEq, x.clone()))
            }
            ("change", _) => Err(takes(name, "an expression: change(state)")),
            ("live", _) => {
                self.no_level(name)?;
                let (value, length) = value_and_length(name, arguments.clone(), self.condition)?;
                Ok(self.live(value, length))
            }
            ("frozen", _) => Err(wrong("frozen() fires by time and must be the whole condition")
                .hint("filter the rows in a view, and put the trigger ON the view")),
            (_, [x, bound]) => {
                let operator = operator_of(name);
                let is = |x: Expr| binary(x, operator.clone(), bound.clone());
                if self.reading == Reading::Level {
                    return Ok(Expr::Nested(Box::new(is(x.clone()))));
                }
                let before = self.remembering.column(x.clone(), Looks::Value);
                let was_not = Expr::IsNotTrue(Box::new(Expr::Nested(Box::new(is(before)))));
                Ok(Expr::Nested(Box::new(binary(is(x.clone()), BinaryOperator::And, was_not))))
            }
            _ => Err(takes(name, &format!("an expression and a bound: {name}(temp, 30)"))),
        }
    }

    /// The time of this row (value) is that much later than of the one before.
    fn live(&mut self, value: Option<Expr>, length: Duration) -> Expr {
        let time = Expr::Identifier(Ident::with_quote('"', self.remembering.time.clone()));
        let (before, is_value) = match value {
            None => (self.remembering.column(time.clone(), Looks::Row), literal(true)),
            Some(value) => {
                let is_value = Expr::IsNotNull(Box::new(value));
                let timed = Expr::Case {
                    case_token: ast::helpers::attached_token::AttachedToken::empty(),
                    end_token: ast::helpers::attached_token::AttachedToken::empty(),
                    operand: None,
                    conditions: vec![ast::CaseWhen { condition: is_value.clone(), result: time.clone() }],
                    else_result: None,
                };
                (self.remembering.column(timed, Looks::Value), is_value)
            }
        };
        let due = Expr::Nested(Box::new(binary(before, BinaryOperator::Plus, interval(length))));
        let is_long = binary(time, BinaryOperator::GtEq, due);
        Expr::Nested(Box::new(binary(is_value, BinaryOperator::And, is_long)))
    }

    fn no_level(&self, name: &str) -> Result<()> {
        match self.reading {
            Reading::Crossing => Ok(()),
            Reading::Level => Err(wrong(format!("{name}() is true in one row alone: it cannot hold"))
                .hint("leave FOR out, or write a condition that holds, such as temp = prev(temp)")),
        }
    }
}

/// The name of a function without OVER and the like, in lower case, and its arguments, if it is called with expressions alone.
fn call_of(expr: &Expr) -> Option<(String, Vec<Expr>)> {
    let Expr::Function(Function { name, args: FunctionArguments::List(list), over: None, .. }) = expr else {
        return None;
    };
    let arguments = list.args.iter().map(|argument| match argument {
        FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => Some(expr.clone()),
        _ => None,
    });
    Some((name_of(name).to_lowercase(), arguments.collect::<Option<_>>()?))
}

fn value_and_length(
    name: &str,
    arguments: Vec<Expr>,
    condition: &Condition,
) -> Result<(Option<Expr>, Duration)> {
    let expects = || {
        takes(
            name,
            &format!("a length of time: {name}(INTERVAL '10' MINUTE) or {name}(temp, INTERVAL '10' MINUTE)"),
        )
        .at(condition.position, &condition.script)
    };
    let (value, length) = match arguments.as_slice() {
        [length] => (None, length),
        [value, length] => (Some(value.clone()), length),
        _ => return Err(expects()),
    };
    Ok((value, length_of(length).ok_or_else(expects)?))
}

/// `INTERVAL '10' MINUTE` or `'10 minutes'`.
fn length_of(expr: &Expr) -> Option<Duration> {
    let text = |expr: &Expr| match expr {
        Expr::Value(value) => match &value.value {
            ast::Value::SingleQuotedString(text) | ast::Value::Number(text, _) => Some(text.clone()),
            _ => None,
        },
        _ => None,
    };
    let length = match expr {
        Expr::Interval(interval) => {
            let unit = interval.leading_field.as_ref().map(ToString::to_string).unwrap_or_default();
            parse_duration(&format!("{} {unit}", text(&interval.value)?))
        }
        other => parse_duration(&text(other)?),
    };
    length.filter(|length| !length.is_zero())
}

fn uses_memory(expr: &Expr) -> bool {
    let found = expressions(expr, |part| match part {
        Expr::Identifier(name) if is_memory(&name.value) => ControlFlow::Break(()),
        _ => ControlFlow::Continue(()),
    });
    found.is_break()
}

fn is_memory(name: &str) -> bool {
    name.strip_prefix('$').is_some_and(|nth| nth.parse::<usize>().is_ok())
}

fn operator_of(name: &str) -> BinaryOperator {
    match name {
        "gt" => BinaryOperator::Gt,
        "gte" => BinaryOperator::GtEq,
        "lt" => BinaryOperator::Lt,
        "lte" => BinaryOperator::LtEq,
        _ => BinaryOperator::Eq,
    }
}

fn binary(left: Expr, op: BinaryOperator, right: Expr) -> Expr {
    Expr::BinaryOp { left: Box::new(left), op, right: Box::new(right) }
}

fn literal(value: bool) -> Expr {
    Expr::Value(ast::Value::Boolean(value).into())
}

fn interval(length: Duration) -> Expr {
    let text = format!("{} MILLISECONDS", length.as_millis());
    Expr::Interval(ast::Interval {
        value: Box::new(Expr::Value(ast::Value::SingleQuotedString(text).into())),
        leading_field: None,
        leading_precision: None,
        last_field: None,
        fractional_seconds_precision: None,
    })
}

fn wrong(message: impl Into<String>) -> SqlError {
    SqlError::new(Mistake::Definition, message)
}

fn takes(name: &str, what: &str) -> SqlError {
    SqlError::new(Mistake::UnknownFunction, format!("{name}() takes {what}"))
}
