//! Arroyo's windows: functions in GROUP BY, that give a struct of `start` and `end`.
//!
//! ```text
//!  SELECT device, tumble(INTERVAL '1 minute') AS w, count(*) FROM r GROUP BY device, w
//! ```
//!
//! becomes, in the syntax tree,
//!
//! ```text
//!  SELECT device, named_struct('start', window_start, 'end', window_end) AS w, count(*)
//!  FROM TABLE(TUMBLE(DATA => TABLE r, SIZE => INTERVAL '1 minute')) AS r GROUP BY device, window_start, window_end
//! ```
//!
//! A window without a time column is over the stream's own event time; one with such a column is Flink's ([`super::group_windows`]). A
//! session is kept for each of the other keys.

use datafusion::sql::sqlparser::ast::{
    Expr, Function, FunctionArg, FunctionArgExpr, FunctionArgOperator, FunctionArgumentList,
    FunctionArguments, GroupByExpr, Ident, ObjectName, Select, SelectItem, Spanned, TableAlias, TableFactor,
    Value,
};

use super::dialect::{select_all_from, table_argument};
use super::group_windows;
use super::joined_windows::{is_joined, join_in_subquery};
use super::reader::{name_of, normal, position};
use super::windows::OVER_WINDOWS;
use crate::error::{Mistake, Result, SqlError};
use crate::script::Script;

/// The functions, and what their arguments are called.
const FUNCTIONS: [(&str, &[&str]); 3] =
    [("TUMBLE", &["SIZE"]), ("HOP", &["SLIDE", "SIZE"]), ("SESSION", &["GAP"])];

/// Turns a window function in GROUP BY into one in FROM.
pub(super) fn window_in_from(select: &mut Select, script: &Script) -> Result<()> {
    let Some(mut call) = window_call(select) else { return Ok(()) };
    let at = position(call.name.span().start);
    let refuse = |message: &str| SqlError::new(Mistake::Window, message).at(at, script);
    if is_joined(select) {
        if !names_time(&call) {
            return Err(refuse("a window over a join says which column its time is").hint(
                "TUMBLE(t.ts, INTERVAL '1' MINUTE), with a column of event time of one of the tables",
            ));
        }
        join_in_subquery(select).map_err(|error| refuse(&error.to_string()))?;
        // Its columns have other names now.
        call = window_call(select).unwrap_or(call);
    }
    let arguments = named_arguments(&call).map_err(|error| error.at(at, script))?;
    let bounds = group_windows::bounds_of(&arguments);
    let has_time = group_windows::name_bounds(select, &name_of(&call.name).to_lowercase(), bounds);
    let GroupByExpr::Expressions(keys, _) = &mut select.group_by else {
        return Err(refuse("a window function belongs into GROUP BY"));
    };
    let is_window = |key: &Expr| resolve(key, &select.projection).is_some_and(|expr| is_call(expr, &call));
    if !keys.iter().any(is_window) {
        return Err(refuse("a window function belongs into GROUP BY"));
    }
    let others: Vec<Expr> = keys.iter().filter(|key| !is_window(key)).cloned().collect();
    let partition_by = if name_of(&call.name) == "session" {
        let resolved = others.iter().map(|key| resolve(key, &select.projection).unwrap_or(key).clone());
        resolved.map(group_windows::within_window).collect()
    } else {
        Vec::new()
    };
    *keys = others;
    // A number counts the columns of SELECT, which stay as many as they were.
    let [start, end, time] = bounds;
    keys.extend([column(start), column(end)]);
    keys.extend(has_time.then(|| column(time)));
    let [from] = select.from.as_mut_slice() else {
        return Err(refuse("a window function in GROUP BY needs exactly one table"));
    };
    from.relation = windowed(&from.relation, &call, arguments, partition_by)
        .ok_or_else(|| refuse("a window function in GROUP BY is over a table or a subquery"))?;
    for item in &mut select.projection {
        match item {
            SelectItem::UnnamedExpr(expr) if is_call(expr, &call) => {
                let alias = Ident::new("window");
                *item = SelectItem::ExprWithAlias { expr: as_struct(bounds), alias };
            }
            SelectItem::ExprWithAlias { expr, .. } if is_call(expr, &call) => *expr = as_struct(bounds),
            _ => {}
        }
    }
    Ok(())
}

/// The first window function in SELECT or GROUP BY.
fn window_call(select: &Select) -> Option<Function> {
    let projected = select.projection.iter().filter_map(|item| match item {
        SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. } => Some(expr),
        _ => None,
    });
    let keys = match &select.group_by {
        GroupByExpr::Expressions(keys, _) => keys.as_slice(),
        GroupByExpr::All(_) => &[],
    };
    projected.chain(keys).find_map(|expr| match expr {
        Expr::Function(function) if function.over.is_none() && is_window_name(&function.name) => {
            Some(function.clone())
        }
        _ => None,
    })
}

fn is_window_name(name: &ObjectName) -> bool {
    FUNCTIONS.iter().any(|(known, _)| name_of(name).eq_ignore_ascii_case(known))
}

fn is_call(expr: &Expr, call: &Function) -> bool {
    // Spans count for nothing in comparisons of identifiers and functions.
    matches!(expr, Expr::Function(function) if function.name == call.name && function.args == call.args)
        || matches!(expr, Expr::Function(function) if function.to_string().eq_ignore_ascii_case(&call.to_string()))
}

/// What a key of GROUP BY stands for: an alias or a number for a column of SELECT.
fn resolve<'a>(key: &'a Expr, projection: &'a [SelectItem]) -> Option<&'a Expr> {
    match key {
        Expr::Identifier(ident) => {
            let aliased = projection.iter().find_map(|item| match item {
                SelectItem::ExprWithAlias { expr, alias } if normal(alias) == normal(ident) => Some(expr),
                _ => None,
            });
            Some(aliased.unwrap_or(key))
        }
        Expr::Value(value) => match &value.value {
            Value::Number(number, _) => {
                let nth: usize = number.to_string().parse().ok()?;
                match projection.get(nth.checked_sub(1)?)? {
                    SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. } => Some(expr),
                    _ => None,
                }
            }
            _ => Some(key),
        },
        _ => Some(key),
    }
}

/// Whether a window's first argument is a column.
fn names_time(call: &Function) -> bool {
    let FunctionArguments::List(list) = &call.args else { return false };
    let first = list.args.first();
    matches!(
        first,
        Some(FunctionArg::Unnamed(FunctionArgExpr::Expr(Expr::Identifier(_) | Expr::CompoundIdentifier(_))))
    )
}

fn named_arguments(call: &Function) -> Result<Vec<(&'static str, Expr)>> {
    let window = name_of(&call.name).to_uppercase();
    let names = FUNCTIONS.iter().find(|(known, _)| *known == window).map_or(&[][..], |(_, names)| *names);
    let mut given: Vec<Expr> = match &call.args {
        FunctionArguments::List(list) => list
            .args
            .iter()
            .filter_map(|arg| match arg {
                FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => Some(expr.clone()),
                _ => None,
            })
            .collect(),
        _ => Vec::new(),
    };
    let time = group_windows::time_of(&mut given, names.len());
    if given.len() == names.len() + 1 {
        return Err(SqlError::new(
            Mistake::Window,
            format!("a window's time is a column, not '{}'", given[0]),
        )
        .hint("compute it in a view or subquery first"));
    }
    if given.len() != names.len() {
        let usage: Vec<_> =
            names.iter().map(|name| format!("INTERVAL '...' /* {} */", name.to_lowercase())).collect();
        let window = window.to_lowercase();
        return Err(SqlError::new(
            Mistake::Window,
            format!("{window}() takes {} lengths of time", names.len()),
        )
        .hint(format!("{window}({})", usage.join(", "))));
    }
    let over_windows = time.as_ref().filter(|time| group_windows::is_bound(time));
    let over_windows = over_windows.map(|time| (OVER_WINDOWS, time.clone()));
    let time = time.map(|time| ("TIMECOL", time));
    Ok(time.into_iter().chain(names.iter().copied().zip(given)).chain(over_windows).collect())
}

/// The table in a window, under the name that it had.
fn windowed(
    table: &TableFactor,
    call: &Function,
    arguments: Vec<(&'static str, Expr)>,
    partition_by: Vec<Expr>,
) -> Option<TableFactor> {
    let (query, alias) = match table {
        TableFactor::Table { name, alias, args: None, .. } => {
            let own = name.0.last().and_then(|part| part.as_ident()).cloned()?;
            (select_all_from(name.clone()).ok()?, alias.clone().unwrap_or_else(|| alias_of(own)))
        }
        TableFactor::Derived { subquery, alias, .. } => {
            (subquery.clone(), alias.clone().unwrap_or_else(|| alias_of(Ident::new("window_input"))))
        }
        _ => return None,
    };
    let data = ("DATA", table_argument(query, partition_by));
    let args = std::iter::once(data)
        .chain(arguments)
        .map(|(name, value)| FunctionArg::Named {
            name: Ident::new(name),
            arg: FunctionArgExpr::Expr(value),
            operator: FunctionArgOperator::RightArrow,
        })
        .collect();
    let mut function = call.clone();
    function.args = FunctionArguments::List(FunctionArgumentList {
        duplicate_treatment: None,
        args,
        clauses: Vec::new(),
    });
    Some(TableFactor::TableFunction { expr: Expr::Function(function), alias: Some(alias) })
}

fn alias_of(name: Ident) -> TableAlias {
    TableAlias { explicit: true, name, columns: Vec::new(), at: None }
}

fn column(name: &str) -> Expr {
    Expr::Identifier(Ident::new(name))
}

/// `named_struct('start', window_start, 'end', window_end)`.
fn as_struct([start, end, _]: [&str; 3]) -> Expr {
    let text = |text: &str| Expr::Value(Value::SingleQuotedString(text.to_owned()).into());
    let args = [text("start"), column(start), text("end"), column(end)];
    let args = args.into_iter().map(|expr| FunctionArg::Unnamed(FunctionArgExpr::Expr(expr))).collect();
    Expr::Function(Function {
        name: ObjectName::from(vec![Ident::new("named_struct")]),
        uses_odbc_syntax: false,
        parameters: FunctionArguments::None,
        args: FunctionArguments::List(FunctionArgumentList {
            duplicate_treatment: None,
            args,
            clauses: Vec::new(),
        }),
        filter: None,
        null_treatment: None,
        over: None,
        within_group: Vec::new(),
    })
}
