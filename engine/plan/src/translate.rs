//! DataFusion's errors as ours: with a code, the place in the statement, and a hint.

use std::ops::ControlFlow;

use datafusion::common::{DataFusionError, SchemaError};
use datafusion::sql::sqlparser::ast::{Expr, SetExpr, Spanned, Visit};

use crate::error::{Mistake, SqlError, did_you_mean, nearest};
use crate::parse::{name_of, normal, position};
use crate::script::Position;
use crate::statement::Query;
use crate::walk::expressions;

/// An aggregate where rows are chosen one by one.
const IN_WHERE: &str = "an aggregate is over the rows of a group, and WHERE is about single rows";

/// What DataFusion said of a query.
pub(crate) fn translate(error: DataFusionError, query: &Query) -> SqlError {
    translate_with(error, query, |_| None)
}

/// The same, where somebody else may know the place.
pub(crate) fn translate_with(
    error: DataFusionError,
    query: &Query,
    place_of: impl FnOnce(&SqlError) -> Option<Position>,
) -> SqlError {
    let place = error.diagnostic().and_then(|diagnostic| diagnostic.span).map(|span| position_of(span.start));
    let (mut error, named) = meaning(error.find_root());
    if let Some(name) = named.as_deref().filter(|_| error.mistake() == Mistake::UnknownColumn)
        && is_in_double_quotes(&query.ast, name)
        && !error.advice().is_some_and(|advice| advice.starts_with("did you mean"))
    {
        error = error.with_advice(format!("double quotes are for names; a text is written '{name}'"));
    }
    let place = place.or_else(|| named.and_then(|name| find(query, &name))).or_else(|| place_of(&error));
    let place = place.or_else(|| where_of(query).filter(|_| error.message() == IN_WHERE));
    error.at(place.unwrap_or(query.position), &query.script)
}

/// Where the condition of WHERE stands.
fn where_of(query: &Query) -> Option<Position> {
    match &*query.ast.body {
        SetExpr::Select(select) => {
            select.selection.as_ref().map(|condition| position(condition.span().start))
        }
        _ => None,
    }
}

/// Whether a query has this name in double quotes, as if it were a text.
fn is_in_double_quotes(query: &impl Visit, name: &str) -> bool {
    expressions(query, |expr| match expr {
        Expr::Identifier(ident) if ident.value == name && ident.quote_style == Some('"') => {
            ControlFlow::Break(())
        }
        _ => ControlFlow::Continue(()),
    })
    .is_break()
}

/// What DataFusion said of an expression by itself, which begins at `position`.
pub(crate) fn translate_expression(
    error: DataFusionError,
    expr: &Expr,
    position: Position,
    script: &crate::script::Script,
) -> SqlError {
    let (error, named) = meaning(error.find_root());
    let place = named.and_then(|name| find_in(expr, &name));
    error.at(place.unwrap_or(position), script)
}

fn position_of(location: datafusion::common::Location) -> Position {
    Position { line: location.line, column: location.column }
}

/// The error, and the name of a column or function by which its place can be found.
fn meaning(error: &DataFusionError) -> (SqlError, Option<String>) {
    match error {
        DataFusionError::External(inner) => match inner.downcast_ref::<SqlError>() {
            Some(error) => (error.clone(), None),
            None => (SqlError::new(Mistake::Query, inner.to_string()), None),
        },
        DataFusionError::SchemaError(error, _) => schema_error(error),
        DataFusionError::Plan(text) => plan_error(text),
        DataFusionError::NotImplemented(text) | DataFusionError::Execution(text) => {
            (SqlError::new(Mistake::Query, plain(text)), None)
        }
        DataFusionError::SQL(error, _) => (SqlError::new(Mistake::Syntax, plain(&error.to_string())), None),
        other => (SqlError::new(Mistake::Query, plain(&other.strip_backtrace())), None),
    }
}

fn schema_error(error: &SchemaError) -> (SqlError, Option<String>) {
    match error {
        SchemaError::FieldNotFound { field, valid_fields } => {
            let names: Vec<&str> = valid_fields.iter().map(|column| column.name.as_str()).collect();
            let of = field.relation.as_ref().map(|relation| format!(" in '{relation}'")).unwrap_or_default();
            let hint =
                nearest(&field.name, names.iter().copied()).map(|near| format!("did you mean '{near}'?"));
            let hint = hint.or_else(|| (!names.is_empty()).then(|| format!("there are {}", some_of(&names))));
            let error =
                SqlError::new(Mistake::UnknownColumn, format!("there is no column '{}'{of}", field.name));
            (error.hint_if(hint), Some(field.name.clone()))
        }
        SchemaError::AmbiguousReference { field } => {
            let message = format!("'{}' may be a column of several tables", field.name);
            let error = SqlError::new(Mistake::UnknownColumn, message).hint("write table.column");
            (error, Some(field.name.clone()))
        }
        SchemaError::DuplicateQualifiedField { name, .. }
        | SchemaError::DuplicateUnqualifiedField { name } => {
            let message = format!("two columns of the result are called '{name}'");
            (SqlError::new(Mistake::Definition, message).hint("name one of them with AS"), Some(name.clone()))
        }
    }
}

fn some_of(names: &[&str]) -> String {
    let shown: Vec<_> = names.iter().take(12).copied().collect();
    let more = if names.len() > shown.len() { ", ..." } else { "" };
    format!("{}{more}", shown.join(", "))
}

fn plan_error(text: &str) -> (SqlError, Option<String>) {
    if let Some(name) = between(text, "Invalid function '", "'") {
        let error = SqlError::new(Mistake::UnknownFunction, format!("there is no function '{name}'"));
        // Names with a dollar sign are those of functions that no statement calls.
        let hint = between(text, "Did you mean '", "'").filter(|near| !near.starts_with('$'));
        return (error.hint_if(hint.map(|near| format!("did you mean '{near}'?"))), Some(name.to_owned()));
    }
    if let Some(name) = between(text, "Function '", "' failed to match any signature") {
        let message = format!("{name}() does not take these arguments");
        let error = SqlError::new(Mistake::UnknownFunction, message).hint("CAST what it is given");
        return (error, Some(name.to_owned()));
    }
    if text.contains("not allowed in the WHERE clause") {
        return (SqlError::new(Mistake::Query, IN_WHERE).hint("HAVING max(x) > 3, behind GROUP BY"), None);
    }
    if let Some(error) = no_such_call(text) {
        return error;
    }
    let calls =
        ["No function matches", "Failed to coerce arguments", "does not support", "expects", "Function '"];
    if calls.iter().any(|sign| text.contains(sign)) && text.to_lowercase().contains("function") {
        let name = between(text, "call '", "(").or_else(|| between(text, "unction '", "'"));
        return (SqlError::new(Mistake::UnknownFunction, plain(text)), name.map(str::to_owned));
    }
    let sides = between(text, "arithmetic expression ", " to valid types")
        .or_else(|| between(text, "comparison operation ", " to valid types"))
        .or_else(|| text.split_once("comparison operation ").map(|(_, sides)| sides));
    if let Some(sides) = sides.filter(|_| text.starts_with("Cannot") || text.contains("Cannot coerce")) {
        let message = format!("there is no {}", in_sql(sides.lines().next().unwrap_or_default().trim()));
        return (SqlError::new(Mistake::Type, message).hint("CAST one side to the other's type"), None);
    }
    if text.contains("Cannot coerce") || text.contains("Cannot infer common") || text.contains("Cannot cast")
    {
        return (SqlError::new(Mistake::Type, plain(text)).hint("CAST one side to the other's type"), None);
    }
    if text.contains("must appear in the GROUP BY clause") || text.contains("must be part of GROUP BY") {
        let name = between(text, "\"", "\"").map(|name| name.rsplit('.').next().unwrap_or(name).to_owned());
        let what = name.as_ref().map_or_else(
            || plain(text),
            |name| format!("'{name}' is neither grouped by nor inside an aggregate"),
        );
        let error = SqlError::new(Mistake::Query, what)
            .hint("add it to GROUP BY, or take MAX(...) or ANY_VALUE(...)");
        return (error, name);
    }
    if text.contains("Projections require unique expression names") {
        let name = between(text, "expression \"", "\"").unwrap_or_default();
        let name = name.rsplit(" AS ").next().unwrap_or(name);
        let name = name.rsplit('.').next().unwrap_or(name).to_owned();
        let message = format!("two columns of the result are called '{name}'");
        return (SqlError::new(Mistake::Definition, message).hint("name one of them with AS"), Some(name));
    }
    (SqlError::new(Mistake::Query, plain(text)).hint_if(column_hint(text)), None)
}

/// A call with arguments that the function does not take: `abs(STRING)`.
fn no_such_call(text: &str) -> Option<(SqlError, Option<String>)> {
    if let (Some(name), Some(found)) =
        (between(text, "Function '", "' expects "), text.split_once(" but received "))
    {
        let wanted = between(text, "' expects ", " but received ")?;
        let found = found.1.split(['.', '\n']).next().unwrap_or_default();
        let message = format!("{name}() takes {}, not {}", in_sql(wanted), in_sql(found));
        let error = SqlError::new(Mistake::UnknownFunction, message).hint("CAST what it is given");
        return Some((error, Some(name.to_owned())));
    }
    // What a function says itself is better than a list of types.
    let call = between(text, "argument types '", "'").filter(|_| !text.contains("UserDefined"))?;
    let (name, _) = call.split_once('(')?;
    let forms = text.split_once("Candidate functions:").map_or("", |(_, forms)| forms);
    let forms: Vec<_> = forms.lines().map(str::trim).filter(|form| !form.is_empty()).collect();
    let is_plain = !forms.is_empty() && forms.iter().all(|form| form.matches('(').count() == 1);
    let hint = is_plain.then(|| format!("it is {}", in_sql(&some_of(&forms))));
    let message = format!("there is no {}", in_sql(call));
    Some((SqlError::new(Mistake::UnknownFunction, message).hint_if(hint), Some(name.to_owned())))
}

/// A text in which DataFusion names types, with SQL's names for them.
fn in_sql(text: &str) -> String {
    const NAMES: [(&str, &str); 14] = [
        ("Utf8", "STRING"),
        ("LargeUtf8", "STRING"),
        ("Utf8View", "STRING"),
        ("String", "STRING"),
        ("Int8", "TINYINT"),
        ("Int16", "SMALLINT"),
        ("Int32", "INT"),
        ("Int64", "BIGINT"),
        ("Float32", "FLOAT"),
        ("Float64", "DOUBLE"),
        ("Boolean", "BOOLEAN"),
        ("Date32", "DATE"),
        ("Binary", "BYTES"),
        ("Numeric", "a number"),
    ];
    let known =
        |word: &str| NAMES.iter().find(|(name, _)| *name == word).map_or(word, |(_, sql)| *sql).to_owned();
    let mut out = String::new();
    let mut word = String::new();
    for c in text.chars() {
        if c.is_alphanumeric() || c == '_' {
            word.push(c);
            continue;
        }
        out.push_str(&known(&std::mem::take(&mut word)));
        out.push(c);
    }
    out + &known(&word)
}

fn column_hint(text: &str) -> Option<String> {
    let wanted = between(text, "No field named ", ".")?;
    did_you_mean(wanted, between(text, "Valid fields are ", ".")?.split(", "))
}

fn between<'a>(text: &'a str, before: &str, after: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(before)?;
    rest.split_once(after).map(|(inner, _)| inner)
}

/// One line, lower case at the start, without a full stop.
fn plain(text: &str) -> String {
    let text = text.strip_prefix("Error during planning: ").unwrap_or(text);
    let text = text.strip_prefix("Arrow error: ").unwrap_or(text);
    let line = text.lines().next().unwrap_or_default().trim().trim_end_matches('.');
    let mut chars = line.chars();
    match chars.next() {
        Some(first) if !chars.as_str().starts_with(char::is_uppercase) => {
            first.to_lowercase().chain(chars).collect()
        }
        _ => line.to_owned(),
    }
}

/// The first place where a query names a column or function.
fn find(query: &Query, name: &str) -> Option<Position> {
    find_in(&*query.ast, name)
}

fn find_in(tree: &impl Visit, name: &str) -> Option<Position> {
    let mut found = None;
    let _ = expressions(tree, |expr| {
        let span = match expr {
            Expr::Identifier(ident) if normal(ident) == name => Some(ident.span),
            Expr::CompoundIdentifier(parts) => {
                parts.last().filter(|ident| normal(ident) == name).map(|_| expr.span())
            }
            Expr::Function(function) if name_of(&function.name) == name => Some(function.name.span()),
            _ => None,
        };
        match span {
            Some(span) if span.start.line > 0 => {
                found = Some(position(span.start));
                ControlFlow::Break(())
            }
            _ => ControlFlow::Continue(()),
        }
    });
    found
}
