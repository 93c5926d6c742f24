//! What SQL has several spellings for, in the one that runs.
//!
//! | written | becomes |
//! |---|---|
//! | `INTERVAL '2-10' YEAR TO MONTH` | `INTERVAL '34 months'` |
//! | `INTERVAL '10 00:00:00.004' DAY TO SECOND` | `INTERVAL '10 days 0.004 seconds'` |
//! | `x LIKE 'a!%' ESCAPE '!'` | `x LIKE 'a\%'` |
//! | `a MINUS b` | `a EXCEPT b` |

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    DateTimeField, Expr, Interval, Query, SetExpr, SetOperator, Value, ValueWithSpan, VisitMut, VisitorMut,
};

/// Rewrites what is said so in a query or an expression.
pub(super) fn unify_literals(tree: &mut impl VisitMut) {
    let _ = tree.visit(&mut Unify);
}

struct Unify;

impl VisitorMut for Unify {
    type Break = ();

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<()> {
        minus(&mut query.body);
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        match expr {
            Expr::Interval(interval) => {
                if let Some(value) = one_length(interval) {
                    *interval.value = Expr::value(Value::SingleQuotedString(value));
                    (interval.leading_field, interval.last_field) = (None, None);
                }
            }
            Expr::Like { pattern, escape_char, .. } | Expr::ILike { pattern, escape_char, .. } => {
                escaped(pattern, escape_char);
            }
            _ => {}
        }
        ControlFlow::Continue(())
    }
}

fn minus(body: &mut SetExpr) {
    if let SetExpr::SetOperation { op, left, right, .. } = body {
        if matches!(op, SetOperator::Minus) {
            *op = SetOperator::Except;
        }
        minus(left);
        minus(right);
    }
}

fn text_of(expr: &Expr) -> Option<&str> {
    match expr {
        Expr::Value(ValueWithSpan { value: Value::SingleQuotedString(text), .. }) => Some(text),
        _ => None,
    }
}

/// The pattern with backslashes before what is meant as it stands there.
fn escaped(pattern: &mut Expr, escape: &mut Option<ValueWithSpan>) {
    let Some(ValueWithSpan { value: Value::SingleQuotedString(by), .. }) = &*escape else { return };
    let (Some(by), None) = (by.chars().next(), by.chars().nth(1)) else { return };
    let Some(text) = text_of(pattern).filter(|_| by != '\\') else { return };
    let (mut plain, mut rest) = (String::new(), text.chars());
    while let Some(letter) = rest.next() {
        match letter {
            _ if letter == by => match rest.next() {
                Some(meant) => plain.extend(['\\', meant]),
                // Nothing is escaped by it: a mistake, which is told.
                None => return,
            },
            '\\' => plain.push_str("\\\\"),
            _ => plain.push(letter),
        }
    }
    *pattern = Expr::value(Value::SingleQuotedString(plain));
    *escape = None;
}

/// The units of a length from the largest to the smallest, and how many of each a larger one has.
const YEARS: [&str; 2] = ["YEAR", "MONTH"];
const DAYS: [&str; 4] = ["DAY", "HOUR", "MINUTE", "SECOND"];

/// `d h:m:s` or `y-m` as one length; `None` if it is of one unit, or no such text.
fn one_length(interval: &Interval) -> Option<String> {
    let (first, last) = (interval.leading_field.as_ref()?, interval.last_field.as_ref()?);
    let text = text_of(&interval.value)?.trim();
    let (sign, text) = match text.strip_prefix('-') {
        Some(text) => ("-", text.trim_start()),
        None => ("", text.strip_prefix('+').unwrap_or(text)),
    };
    if let (Some(0), Some(1)) = (place(&YEARS, first), place(&YEARS, last)) {
        let (years, months) = text.split_once('-')?;
        let months =
            years.parse::<i64>().ok()?.checked_mul(12)?.checked_add(months.parse::<u32>().ok()?.into())?;
        return Some(format!("{sign}{months} months"));
    }
    let (first, last) = (place(&DAYS, first)?, place(&DAYS, last)?);
    let parts: Vec<&str> = text.split([' ', ':']).collect();
    if first >= last || parts.len() != last - first + 1 {
        return None;
    }
    let parts = DAYS[first..=last].iter().zip(parts).map(|(unit, part)| {
        let is_number = part.parse::<f64>().is_ok() && part.starts_with(|c: char| c.is_ascii_digit());
        is_number.then(|| format!("{sign}{part} {}s", unit.to_lowercase()))
    });
    Some(parts.collect::<Option<Vec<_>>>()?.join(" "))
}

fn place(units: &[&str], field: &DateTimeField) -> Option<usize> {
    let name = field.to_string().to_uppercase();
    units.iter().position(|unit| name == *unit || name.strip_suffix('S') == Some(unit))
}
