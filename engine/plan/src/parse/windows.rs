//! Window table functions in one shape, however they are spelled.
//!
//! ```text
//!  TABLE(TUMBLE(TABLE t, DESCRIPTOR(ts), INTERVAL '1' HOUR))      Flink
//!  TUMBLE(TABLE t, DESCRIPTOR(ts), INTERVAL '1' HOUR)             Flink 2
//!  TUMBLE(DATA => TABLE t, TIMECOL => DESCRIPTOR(ts), SIZE => INTERVAL '1' HOUR)
//!  TUMBLE(t, ts, INTERVAL '1 HOUR')                               RisingWave
//! ```
//!
//! all become the table function `TUMBLE(DATA => TABLE t, TIMECOL => ts, SIZE => ...)` in the syntax tree, so that whoever walks it
//! finds `t` as a relation.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    Expr, Function, FunctionArg, FunctionArgExpr, FunctionArgOperator, FunctionArgumentList,
    FunctionArguments, Ident, ObjectName, Query, Select, Spanned, TableAlias, TableFactor, VisitorMut,
};

use super::arroyo::window_in_from;
use super::dialect::{TABLE_ARGUMENT, select_all_from, table_argument};
use super::reader::{name_of, position};
use crate::error::{Mistake, Result, SqlError, did_you_mean};
use crate::script::Script;
use crate::walk::WalkMut;

/// The window functions and the names of their arguments, in order. Those after `/` may be left out.
const WINDOWS: [(&str, &[&str], &[&str]); 6] = [
    ("TUMBLE", &["DATA", "TIMECOL", "SIZE"], &["OFFSET"]),
    ("HOP", &["DATA", "TIMECOL", "SLIDE", "SIZE"], &["OFFSET"]),
    ("CUMULATE", &["DATA", "TIMECOL", "STEP", "SIZE"], &["OFFSET"]),
    ("SESSION", &["DATA", "TIMECOL", "GAP"], &[]),
    ("COUNT_WINDOW", &["DATA", "TIMECOL", "SIZE"], &["HOP"]),
    ("STATE_WINDOW", &["DATA", "TIMECOL", "BEGIN_CONDITION"], &["EMIT_CONDITION"]),
];

/// The argument of a window that [`window_in_from`] has made over the times of other windows.
pub(crate) const OVER_WINDOWS: &str = "$OVER_WINDOWS";

/// The names of the window functions.
pub(crate) const WINDOW_FUNCTIONS: [&str; 6] =
    ["TUMBLE", "HOP", "CUMULATE", "SESSION", "COUNT_WINDOW", "STATE_WINDOW"];

/// Puts all window functions in FROM into one shape.
pub(super) fn unify_windows(query: &mut Query, script: &Script) -> Result<()> {
    match query.walk_mut(&mut Unify { script }) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(error) => Err(error),
    }
}

struct Unify<'a> {
    script: &'a Script,
}

impl VisitorMut for Unify<'_> {
    type Break = SqlError;

    fn pre_visit_select(&mut self, select: &mut Select) -> ControlFlow<SqlError> {
        match window_in_from(select, self.script) {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => ControlFlow::Break(error),
        }
    }

    fn pre_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<SqlError> {
        match unified(factor, self.script) {
            Ok(Some(replacement)) => *factor = replacement,
            Ok(None) => {}
            Err(error) => return ControlFlow::Break(error),
        }
        ControlFlow::Continue(())
    }
}

fn unified(factor: &TableFactor, script: &Script) -> Result<Option<TableFactor>> {
    let at = position(factor.span().start);
    let (name, args, alias) = match factor {
        TableFactor::TableFunction { expr: Expr::Function(function), alias } => match &function.args {
            FunctionArguments::List(list) => (&function.name, list.args.clone(), alias.clone()),
            _ => return Ok(None),
        },
        TableFactor::Table { name, args: Some(args), alias, .. } => (name, args.args.clone(), alias.clone()),
        _ => return Ok(None),
    };
    if is_unified(&args) {
        return Ok(None);
    }
    let wanted = name_of(name).to_uppercase();
    match WINDOWS.iter().find(|(known, ..)| *known == wanted) {
        Some((known, required, optional)) => {
            let args =
                name_arguments(known, args, required, optional).map_err(|error| error.at(at, script))?;
            Ok(Some(call(known, name, args, alias)))
        }
        None if args.iter().any(has_table) => Err(SqlError::new(
            Mistake::UnknownFunction,
            format!("there is no table function '{}'", name_of(name)),
        )
        .at(at, script)
        .hint_if(did_you_mean(&wanted, WINDOW_FUNCTIONS))),
        None => Ok(None),
    }
}

/// Whether an argument is `TABLE t`, which only window functions take.
fn has_table(arg: &FunctionArg) -> bool {
    let (FunctionArg::Named { arg, .. } | FunctionArg::Unnamed(arg) | FunctionArg::ExprNamed { arg, .. }) =
        arg;
    matches!(arg, FunctionArgExpr::Expr(Expr::Function(data)) if name_of(&data.name).eq_ignore_ascii_case(TABLE_ARGUMENT))
}

/// Whether this is a window that [`window_in_from`] has put there: over the stream's own event time, which is not named, or over windows.
fn is_unified(args: &[FunctionArg]) -> bool {
    let names: Vec<_> = args
        .iter()
        .filter_map(|arg| match arg {
            FunctionArg::Named { name, .. } => Some(name.value.as_str()),
            _ => None,
        })
        .collect();
    let is_made = names.contains(&OVER_WINDOWS) || !names.contains(&"TIMECOL");
    names.len() == args.len() && names.contains(&"DATA") && is_made
}

/// Names the arguments that were given by position, and puts all into the order of the definition.
fn name_arguments(
    window: &str,
    args: Vec<FunctionArg>,
    required: &[&'static str],
    optional: &[&'static str],
) -> Result<Vec<FunctionArg>> {
    let names: Vec<&'static str> = required.iter().chain(optional).copied().collect();
    let mut given: Vec<Option<Expr>> = vec![None; names.len()];
    for (nth, arg) in args.into_iter().enumerate() {
        let (place, value) = match arg {
            FunctionArg::Named { name, arg, .. } => {
                let wanted = name.value.to_uppercase();
                let place = names.iter().position(|known| *known == wanted).ok_or_else(|| {
                    malformed(window, &format!("has no argument '{}'", name.value), required)
                        .hint_if(did_you_mean(&wanted, names.iter().copied()))
                })?;
                (place, arg)
            }
            FunctionArg::Unnamed(arg) => (nth, arg),
            FunctionArg::ExprNamed { name, .. } => {
                return Err(malformed(window, &format!("has no argument '{name}'"), required));
            }
        };
        let FunctionArgExpr::Expr(value) = value else {
            return Err(malformed(window, &format!("does not take '{value}'"), required));
        };
        let slot =
            given.get_mut(place).ok_or_else(|| malformed(window, "has too many arguments", required))?;
        if slot.replace(value).is_some() {
            return Err(malformed(window, &format!("has the argument {} twice", names[place]), required));
        }
    }
    let mut named = Vec::with_capacity(names.len());
    for (nth, (name, value)) in names.iter().zip(given).enumerate() {
        let Some(value) = value else {
            if nth < required.len() {
                return Err(malformed(window, &format!("lacks the argument {name}"), required));
            }
            continue;
        };
        let value = match *name {
            "DATA" => {
                data_argument(value).ok_or_else(|| malformed(window, "needs a table first", required))?
            }
            "TIMECOL" => descriptor(value)?,
            _ => value,
        };
        named.push(FunctionArg::Named {
            name: Ident::new(*name),
            arg: FunctionArgExpr::Expr(value),
            operator: FunctionArgOperator::RightArrow,
        });
    }
    Ok(named)
}

/// A table by name, by `TABLE name`, or as a subquery.
fn data_argument(value: Expr) -> Option<Expr> {
    match value {
        Expr::Function(function) if name_of(&function.name).eq_ignore_ascii_case(TABLE_ARGUMENT) => {
            Some(Expr::Function(function))
        }
        Expr::Subquery(query) => Some(table_argument(query, Vec::new())),
        Expr::Nested(inner) => data_argument(*inner),
        Expr::Identifier(ident) => table_named(vec![ident]),
        Expr::CompoundIdentifier(parts) => table_named(parts),
        _ => None,
    }
}

fn table_named(parts: Vec<Ident>) -> Option<Expr> {
    Some(table_argument(select_all_from(ObjectName::from(parts)).ok()?, Vec::new()))
}

fn set_span(name: &mut ObjectName, span: datafusion::sql::sqlparser::tokenizer::Span) {
    use datafusion::sql::sqlparser::ast::ObjectNamePart;
    for part in &mut name.0 {
        if let ObjectNamePart::Identifier(ident) = part {
            ident.span = span;
        }
    }
}

/// `DESCRIPTOR(ts)` or `ts`.
fn descriptor(value: Expr) -> Result<Expr> {
    match value {
        Expr::Function(function) if name_of(&function.name) == "descriptor" => match function.args {
            FunctionArguments::List(FunctionArgumentList { mut args, .. }) if args.len() == 1 => match args
                .remove(0)
            {
                FunctionArg::Unnamed(FunctionArgExpr::Expr(column)) => Ok(column),
                other => {
                    Err(SqlError::new(Mistake::Window, format!("DESCRIPTOR takes a column, not '{other}'")))
                }
            },
            _ => {
                Err(SqlError::new(Mistake::Window, "DESCRIPTOR takes exactly one column")
                    .hint("DESCRIPTOR(ts)"))
            }
        },
        column @ (Expr::Identifier(_) | Expr::CompoundIdentifier(_)) => Ok(column),
        other => Err(SqlError::new(Mistake::Window, format!("a window's time is a column, not '{other}'"))
            .hint("DESCRIPTOR(ts); compute it in a view or subquery first")),
    }
}

fn malformed(window: &str, what: &str, required: &[&str]) -> SqlError {
    let usage: Vec<_> = required
        .iter()
        .map(|name| match *name {
            "DATA" => "TABLE t".to_owned(),
            "TIMECOL" => "DESCRIPTOR(ts)".to_owned(),
            "SIZE" if window == "COUNT_WINDOW" => "5 /* rows */".to_owned(),
            "BEGIN_CONDITION" => "temp > 80 /* begins */, temp < 60 /* ends */".to_owned(),
            length => format!("INTERVAL '...' /* {} */", length.to_lowercase()),
        })
        .collect();
    SqlError::new(Mistake::Window, format!("{window} {what}")).hint(format!("{window}({})", usage.join(", ")))
}

fn call(
    window: &str,
    spelled: &ObjectName,
    args: Vec<FunctionArg>,
    alias: Option<TableAlias>,
) -> TableFactor {
    let span = spelled.span();
    let mut name = ObjectName::from(vec![Ident::new(window)]);
    set_span(&mut name, span);
    let list = FunctionArgumentList { duplicate_treatment: None, args, clauses: Vec::new() };
    let function = Function {
        name,
        uses_odbc_syntax: false,
        parameters: FunctionArguments::None,
        args: FunctionArguments::List(list),
        filter: None,
        null_treatment: None,
        over: None,
        within_group: Vec::new(),
    };
    TableFactor::TableFunction { expr: Expr::Function(function), alias }
}
