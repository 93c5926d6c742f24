//! What SQL has several spellings for, in the one that runs.
//!
//! | written | becomes |
//! |---|---|
//! | `INTERVAL '2-10' YEAR TO MONTH` | `INTERVAL '34 months'` |
//! | `INTERVAL '10 00:00:00.004' DAY TO SECOND` | `INTERVAL '10 days 0.004 seconds'` |
//! | `x LIKE 'a!%' ESCAPE '!'` | `x LIKE 'a\%'` |
//! | `x LIKE 'a\b'`, where a backslash is a letter as any other | `x LIKE 'a\\b'` |
//! | `x SIMILAR TO 'a(b\|c)%'` | `x SIMILAR TO '^(?s:a(b\|c).*)$'`, a regex |
//! | `(a, b)` | `row(a, b)` |
//! | `GROUP BY (a, b)` | `GROUP BY a, b` |
//! | `ROW(a, b).f0` | `ROW(a, b)['f0']` |
//! | `(a, b) OVERLAPS (c, INTERVAL ..)` | `GREATEST(a, b) >= LEAST(c, c + INTERVAL ..) AND ...` |
//! | `a MINUS b` | `a EXCEPT b` |

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    AccessExpr, DateTimeField, Expr, GroupByExpr, Ident, Interval, Query, Select, SetExpr, SetOperator,
    Value, ValueWithSpan, VisitMut, VisitorMut,
};

use super::calls::call;
use super::overlaps::overlaps;
use super::reader::normal;
use crate::walk::WalkMut;

/// Rewrites what is said so in a query or an expression.
pub(super) fn unify_literals(tree: &mut impl VisitMut) {
    let _ = tree.walk_mut(&mut Unify);
}

struct Unify;

impl VisitorMut for Unify {
    type Break = ();

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<()> {
        minus(&mut query.body);
        ControlFlow::Continue(())
    }

    fn pre_visit_select(&mut self, select: &mut Select) -> ControlFlow<()> {
        if let GroupByExpr::Expressions(keys, _) = &mut select.group_by {
            let flat = |key: Expr| match key {
                Expr::Tuple(keys) if !keys.is_empty() => keys,
                key => vec![key],
            };
            *keys = std::mem::take(keys).into_iter().flat_map(flat).collect();
        }
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
            Expr::SimilarTo { pattern, escape_char, .. } => similar(pattern, escape_char),
            Expr::CompoundFieldAccess { root, access_chain } => name_fields(root, access_chain),
            _ => {}
        }
        if let Some(overlap) = overlaps(expr) {
            *expr = overlap;
        }
        if let Expr::Tuple(values) = expr {
            *expr = call(Ident::new("row"), std::mem::take(values));
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

/// The character that escapes others in a pattern, if one is said.
fn escape_of(escape: &Option<ValueWithSpan>) -> Option<char> {
    let Some(ValueWithSpan { value: Value::SingleQuotedString(by), .. }) = escape else { return None };
    by.chars().next().filter(|_| by.chars().count() == 1)
}

/// The pattern with backslashes before what is meant as it stands there.
fn escaped(pattern: &mut Expr, escape: &mut Option<ValueWithSpan>) {
    let by = escape_of(escape);
    if by.is_none() && escape.is_some() {
        return;
    }
    if by.is_none() && text_of(pattern).is_none() {
        let plain = std::mem::replace(pattern, Expr::value(Value::Null));
        let texts = ["\\", "\\\\"].map(|text| Expr::value(Value::SingleQuotedString(text.to_owned())));
        *pattern = call(Ident::new("replace"), [plain].into_iter().chain(texts).collect());
        return;
    }
    let Some(text) = text_of(pattern).filter(|_| by != Some('\\')) else { return };
    let (mut plain, mut rest) = (String::new(), text.chars());
    while let Some(letter) = rest.next() {
        match letter {
            _ if Some(letter) == by => match rest.next() {
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

/// The pattern as a regex of the whole text; the other signs of a pattern are those of regexes.
fn similar(pattern: &mut Expr, escape: &mut Option<ValueWithSpan>) {
    let by = escape_of(escape);
    if by.is_none() && escape.is_some() {
        return;
    }
    let Some(text) = text_of(pattern) else { return };
    let (mut regex, mut rest, mut in_class) = ("^(?s:".to_owned(), text.chars(), false);
    while let Some(letter) = rest.next() {
        match letter {
            _ if Some(letter) == by => match rest.next() {
                Some(meant) => regex.push_str(&regex_syntax_of(meant)),
                // Nothing is escaped by it: a mistake, which is told.
                None => return,
            },
            '\\' | '$' => regex.push_str(&regex_syntax_of(letter)),
            '%' if !in_class => regex.push_str(".*"),
            '_' if !in_class => regex.push('.'),
            _ => {
                in_class = letter == '[' || in_class && letter != ']';
                regex.push(letter);
            }
        }
    }
    *pattern = Expr::value(Value::SingleQuotedString(format!("{regex})$")));
    *escape = None;
}

/// A letter as it is written in a regex.
fn regex_syntax_of(letter: char) -> String {
    if letter.is_alphanumeric() || letter.is_whitespace() {
        letter.to_string()
    } else {
        format!("\\{letter}")
    }
}

/// A name behind a point is that of a field, unless it is part of a column's.
fn name_fields(root: &Expr, chain: &mut [AccessExpr]) {
    let of_column = |access: &&mut AccessExpr| {
        matches!(root, Expr::Identifier(_)) && matches!(access, AccessExpr::Dot(Expr::Identifier(_)))
    };
    for access in chain.iter_mut().skip_while(of_column) {
        if let AccessExpr::Dot(Expr::Identifier(ident)) = access {
            *access = AccessExpr::Dot(Expr::value(Value::SingleQuotedString(normal(ident))));
        }
    }
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
