//! What does not run as a stream: the reason, what to do instead, and where it stands.

use std::ops::ControlFlow;

use datafusion::common::Result;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::logical_expr::{Expr, LogicalPlan, Volatility};
use datafusion::sql::sqlparser::ast::{self, SelectItem, SetExpr, Spanned};
use datafusion::sql::sqlparser::tokenizer::Span;
use headwater_functions::{CURRENT_WATERMARK, is_current_watermark};

use super::not_in;
use crate::error::refused;
use crate::error::{Mistake, SqlError};
use crate::parse::{name_of, position};
use crate::script::Position;
use crate::statement::Query;
use crate::user_functions::{IN_A_JOB, asks_outside};
use crate::walk::{expressions, relations};
/// Refuses what would give another answer on replay, and what has no streaming operator whatever is around it.
pub(super) fn check(plan: &LogicalPlan) -> Result<()> {
    plan.apply_with_subqueries(|node| {
        // These may run: whoever makes their operators says so.
        let undecided = matches!(node, LogicalPlan::Unnest(_) | LogicalPlan::Sort(_) | LogicalPlan::Limit(_));
        if let Some(error) = refusal(node).filter(|_| !undecided) {
            return Err(refused(error));
        }
        not_in::check_within(node)?;
        node.apply_expressions(|expr| {
            // Whoever lowers the node says where the watermark is known.
            let refusal = |part| if is_current_watermark(part) { None } else { expr_refusal(part) };
            expr.apply(|part| match refusal(part) {
                Some(error) => Err(refused(error)),
                None => Ok(TreeNodeRecursion::Continue),
            })
        })
    })?;
    Ok(())
}

/// Refuses in an expression by itself what [`check`] refuses, and what is over more than one row.
pub(crate) fn check_expression(expr: &Expr) -> Result<()> {
    expr.apply(|part| match (part, expr_refusal(part)) {
        (_, Some(error)) => Err(refused(error)),
        (Expr::AggregateFunction(_), None) => Err(refused(not_streaming(
            "an aggregate is over many rows, and this is an expression over one",
            "aggregate over a window in a view, and use the view",
        ))),
        (Expr::WindowFunction(_), None) => Err(refused(not_streaming(
            "OVER looks at other rows, and this is an expression over one",
            "compute it in a view, and use the view",
        ))),
        (Expr::ScalarSubquery(_) | Expr::InSubquery(_) | Expr::Exists(_) | Expr::SetComparison(_), None) => {
            Err(refused(not_streaming(
                "a query cannot be asked here: this is an expression over one row",
                "join what it reads in a view, and use the view",
            )))
        }
        _ => Ok(TreeNodeRecursion::Continue),
    })?;
    Ok(())
}

fn not_streaming(message: &str, hint: &str) -> SqlError {
    SqlError::new(Mistake::NotStreaming, message).hint(hint)
}

/// Why a node does not run as a stream.
pub(super) fn refusal(node: &LogicalPlan) -> Option<SqlError> {
    Some(match node {
        LogicalPlan::Sort(_) => not_streaming(
            "ORDER BY has no end in a streaming query: there is always another row to come",
            "leave it out, and sort when reading the result: SELECT ... FROM result ORDER BY ...; with LIMIT it says which rows are wanted",
        ),
        LogicalPlan::Limit(_) => not_streaming(
            "LIMIT has no meaning in a streaming query: which rows come first depends on when it is asked",
            "say by ORDER BY which rows come first, or leave it out, and limit when reading the result",
        ),
        LogicalPlan::Unnest(_) => not_streaming(
            "UNNEST of lists within lists, more than one level at once, does not run as a stream",
            "UNNEST the outer lists in a subquery, and the inner ones above it",
        ),
        LogicalPlan::RecursiveQuery(_) => not_streaming(
            "a recursive query does not run as a stream",
            "run it as a bounded query over the rows so far",
        ),
        LogicalPlan::Distinct(datafusion::logical_expr::Distinct::On(_)) => not_streaming(
            "DISTINCT ON does not run as a stream",
            "SELECT key, LAST_VALUE(value ORDER BY ts) ... GROUP BY key",
        ),
        _ => return None,
    })
}

/// Why a query without a stream does not.
pub(super) fn no_stream() -> SqlError {
    not_streaming(
        "the query reads no stream, so that there is nothing to go on with",
        "run it as a bounded query; INSERT INTO ... VALUES ... runs once",
    )
}

const SUBQUERY: &str = "a subquery of this kind does not run as a stream";
const SUBQUERY_HINT: &str = "compute it in a materialized view, and combine both when reading";

fn expr_refusal(expr: &Expr) -> Option<SqlError> {
    Some(match expr {
        // One that follows the row is joined with it as a group.
        Expr::ScalarSubquery(subquery)
            if subquery.outer_ref_columns.is_empty()
                && subquery.subquery.max_rows().is_none_or(|rows| rows > 1) =>
        {
            not_streaming(
                "a subquery that stands for a value may have several rows",
                "aggregate in it, without GROUP BY: (SELECT MAX(value) FROM t)",
            )
        }
        Expr::ScalarFunction(call) => {
            let name = call.name().trim_start_matches('$');
            match call.func.signature().volatility {
                Volatility::Immutable => return None,
                Volatility::Stable if !depends_on_the_clock(name) => return None,
                Volatility::Stable => SqlError::new(
                    Mistake::NotReproducible,
                    format!("{name}() depends on when the query runs, so that a replay would give other rows"),
                )
                .hint("use the event's own time, or _arrival, the time at which it was recorded"),
                Volatility::Volatile if asks_outside(&call.func) => SqlError::new(
                    Mistake::NotReproducible,
                    format!("{name}() asks outside, where the answer may be another one each time, so that a replay would give other rows"),
                )
                .hint(IN_A_JOB),
                Volatility::Volatile if name == CURRENT_WATERMARK => SqlError::new(
                    Mistake::NotReproducible,
                    format!("{name}() is of the rows of a stream as a job reads them"),
                )
                .hint("write it in SELECT or WHERE of a job's query"),
                Volatility::Volatile => SqlError::new(
                    Mistake::NotReproducible,
                    format!("{name}() gives another value each time, so that a replay would give other rows"),
                )
                .hint("let the sender give the value, or use _shard and _sequence, which name an event for ever"),
            }
        }
        _ => return None,
    })
}

/// Refuses what is left of subqueries when those that are joins in disguise have become joins.
pub(super) fn check_subqueries(plan: &LogicalPlan) -> Result<()> {
    plan.apply(|node| {
        node.apply_expressions(|expr| {
            expr.apply(|part| match part {
                Expr::ScalarSubquery(_) | Expr::InSubquery(_) | Expr::Exists(_) | Expr::SetComparison(_) => {
                    Err(refused(not_streaming(SUBQUERY, SUBQUERY_HINT)))
                }
                _ => Ok(TreeNodeRecursion::Continue),
            })
        })
    })?;
    Ok(())
}

fn depends_on_the_clock(name: &str) -> bool {
    matches!(
        name,
        "now"
            | "current_timestamp"
            | "current_date"
            | "current_time"
            | "today"
            | "localtimestamp"
            | "localtime"
    )
}

/// Where in a query the thing stands that an error is about, as far as its text tells.
pub(crate) fn place_of(error: &SqlError, query: &Query) -> Option<Position> {
    let message = error.message();
    let ast = &*query.ast;
    let span = match error.mistake() {
        Mistake::NotReproducible => find(ast, |expr| match expr {
            ast::Expr::Function(function) if message.starts_with(&called(function)) => {
                Some(function.name.span())
            }
            _ => None,
        }),
        Mistake::NotStreaming if message.starts_with("ORDER BY") => ast.order_by.as_ref().map(Spanned::span),
        Mistake::NotStreaming if message.starts_with("LIMIT") => ast.limit_clause.as_ref().map(Spanned::span),
        Mistake::NotStreaming if message.contains(" join") => first_join(&ast.body),
        Mistake::NotStreaming if message.starts_with("OVER") => find(ast, |expr| match expr {
            ast::Expr::Function(function) if function.over.is_some() => Some(function.name.span()),
            _ => None,
        }),
        Mistake::NotStreaming if message.starts_with("a subquery") || message.starts_with("NOT IN") => {
            find(ast, |expr| match expr {
                ast::Expr::Subquery(inner) | ast::Expr::Exists { subquery: inner, .. } => Some(inner.span()),
                ast::Expr::InSubquery { subquery, .. } => Some(subquery.span()),
                _ => None,
            })
        }
        Mistake::NotStreaming if message.ends_with("cannot be read") => first_table(ast, message),
        Mistake::NotStreaming if message.contains("() is read once") => first_table(ast, message),
        Mistake::TargetColumns => first_misfit(&ast.body, message),
        Mistake::NoWatermark | Mistake::Window => first_window(ast),
        Mistake::NotStreaming if WINDOWS.iter().any(|name| message.contains(name)) => first_window(ast),
        _ => None,
    };
    span.filter(|span| span.start.line > 0).map(|span| position(span.start))
}

const WINDOWS: [&str; 6] = ["TUMBLE", "HOP", "CUMULATE", "SESSION", "COUNT_WINDOW", "STATE_WINDOW"];

/// The first table or table function in FROM that a message begins with.
fn first_table(query: &ast::Query, message: &str) -> Option<Span> {
    let name = message.trim_start_matches('\'').split(['\'', '(']).next()?;
    let mut found = None;
    let _ = relations(query, |relation| match name_of(relation) == name {
        true => {
            found = Some(relation.span());
            ControlFlow::Break(())
        }
        false => ControlFlow::Continue(()),
    });
    found
}

/// The first column of a query that does not fit its target, by the number that the message gives.
fn first_misfit(body: &SetExpr, message: &str) -> Option<Span> {
    let (_, rest) = message.split_once(": column ")?;
    let nth: usize = rest.split(' ').next()?.parse().ok()?;
    let SetExpr::Select(select) = body else { return None };
    let items = select.projection.get(..nth)?;
    let single =
        |item: &SelectItem| matches!(item, SelectItem::UnnamedExpr(_) | SelectItem::ExprWithAlias { .. });
    items.iter().all(single).then(|| items[nth - 1].span())
}

/// The first window function in FROM.
fn first_window(query: &ast::Query) -> Option<Span> {
    find(query, |expr| match expr {
        ast::Expr::Function(function) => {
            let name = name_of(&function.name).to_uppercase();
            WINDOWS.contains(&name.as_str()).then(|| function.name.span())
        }
        _ => None,
    })
}

/// How a function is named in [`expr_refusal`]'s messages.
fn called(function: &ast::Function) -> String {
    match name_of(&function.name).as_str() {
        "current_timestamp" => "now()".to_owned(),
        "today" => "current_date()".to_owned(),
        name => format!("{}()", name.trim_start_matches('$')),
    }
}

fn find(query: &ast::Query, matches: impl Fn(&ast::Expr) -> Option<Span>) -> Option<Span> {
    let mut found = None;
    let _ = expressions(query, |expr| {
        found = matches(expr);
        if found.is_some() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    found
}

fn first_join(body: &SetExpr) -> Option<Span> {
    match body {
        SetExpr::Select(select) => {
            let joined =
                select.from.iter().find_map(|from| from.joins.first()).map(|join| join.relation.span());
            joined.or_else(|| select.from.get(1).map(|second| second.relation.span()))
        }
        SetExpr::Query(query) => first_join(&query.body),
        SetExpr::SetOperation { left, right, .. } => first_join(left).or_else(|| first_join(right)),
        _ => None,
    }
}
