//! What has versions: streams with a key and a watermark, tables of changes, and views that keep the newest row of each key.
//!
//! The latter two are not read as what a query sees of them. A table of changes is read with its deletions, which are versions of a row
//! that is not there. A view like this one is read without its condition, as all the rows that were the newest once:
//!
//! ```sql
//! SELECT k, v, ts FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY k ORDER BY ts DESC) AS n FROM s) WHERE n = 1
//! ```
//!
//! In the syntax tree such a table gets a name of its own, [`VERSIONS`] before the table's.

use datafusion::sql::sqlparser::ast::{
    BinaryOperator, Expr, Function, Ident, ObjectName, Query, Select, SelectItem, SetExpr, TableFactor,
    Value, WindowType,
};

use crate::catalog::Catalog;
use crate::definition::ViewDef;
use crate::error::{Result, SqlError};
use crate::parse::{name_of, normal};

use super::syntax::malformed;

/// What stands before the name of a table that is read as versions.
const VERSIONS: &str = "$versions";

/// The table that a name in a plan means, if it is one that is read as versions.
pub(crate) fn versions_name(name: &str) -> Option<&str> {
    name.strip_prefix(VERSIONS)?.strip_prefix('.')
}

/// The name under which a table is read as versions.
pub(super) fn as_versions(table: &str) -> ObjectName {
    ObjectName::from(vec![Ident::with_quote('"', VERSIONS), Ident::with_quote('"', table)])
}

/// How a table has versions.
pub(super) struct VersionedTable {
    /// The column of their time.
    pub(super) time: String,
    /// The columns of their key.
    pub(super) key: Vec<String>,
    /// Whether it is read under a name of its own.
    pub(super) is_renamed: bool,
    /// Whether a version may say that there is no row.
    pub(super) has_deletions: bool,
}

/// How a table has versions, or why it has none.
pub(super) fn versioned_table(table: &str, catalog: &Catalog) -> Result<VersionedTable> {
    let none =
        |why: &str, hint: &str| -> SqlError { malformed(format!("'{table}' has no versions: {why}"), hint) };
    if let Some(view) = catalog.view(table) {
        let newest = newest_of(view).ok_or_else(|| {
            none(
                "it is a view, but not of the newest row of each key",
                "CREATE VIEW ... AS SELECT k, v, ts FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY k ORDER BY ts DESC) AS n FROM s) \
                 WHERE n = 1",
            )
        })?;
        return Ok(VersionedTable {
            time: newest.time,
            key: newest.key,
            is_renamed: true,
            has_deletions: false,
        });
    }
    let stream = catalog.stream(table).ok_or_else(|| {
        none("it is not a stream", "a stream with PRIMARY KEY (...) NOT ENFORCED and WATERMARK FOR")
    })?;
    let watermark = stream.watermark.as_ref().filter(|_| !stream.primary_key.is_empty()).ok_or_else(|| {
        none(
            "it lacks a PRIMARY KEY or a WATERMARK",
            "CREATE STREAM ... (..., PRIMARY KEY (k) NOT ENFORCED, WATERMARK FOR ts AS ts - INTERVAL '5' SECOND)",
        )
    })?;
    let changes = stream.is_updating_table();
    Ok(VersionedTable {
        time: watermark.column.clone(),
        key: stream.primary_key.clone(),
        is_renamed: changes,
        has_deletions: changes,
    })
}

/// A view of the newest rows as one of all rows that were the newest once.
pub(crate) fn history_of(view: &ViewDef) -> Option<ViewDef> {
    newest_of(view)?;
    let mut history = view.clone();
    let SetExpr::Select(select) = history.query.ast.body.as_mut() else { return None };
    select.selection = None;
    Some(history)
}

/// What the newest row is the newest of.
struct Newest {
    key: Vec<String>,
    time: String,
}

fn newest_of(view: &ViewDef) -> Option<Newest> {
    let outer = sole_select(&view.query.ast)?;
    let [from] = outer.from.as_slice() else { return None };
    let TableFactor::Derived { subquery, .. } = &from.relation else { return None };
    let inner = sole_select(subquery)?;
    let numbered = |item: &SelectItem| match item {
        SelectItem::ExprWithAlias { expr: Expr::Function(function), alias } => {
            Some((newest_first(function)?, normal(alias)))
        }
        _ => None,
    };
    let (newest, number) = inner.projection.iter().find_map(numbered)?;
    let is_first = is_one(outer.selection.as_ref()?, &number) && from.joins.is_empty();
    // Columns keep their names, and the number is not shown: it would be another for each row of the history.
    let shown = |item: &SelectItem| match item {
        SelectItem::UnnamedExpr(Expr::Identifier(column)) => Some(normal(column)),
        SelectItem::UnnamedExpr(Expr::CompoundIdentifier(parts)) => parts.last().map(normal),
        SelectItem::ExprWithAlias { alias, .. } => Some(normal(alias)),
        _ => None,
    };
    let columns: Vec<String> = outer.projection.iter().map(shown).collect::<Option<_>>()?;
    let keeps =
        view.columns.is_empty() && newest.key.iter().chain([&newest.time]).all(|name| columns.contains(name));
    (is_first && keeps && !columns.contains(&number)).then_some(newest)
}

/// A query that is one SELECT and nothing else.
fn sole_select(query: &Query) -> Option<&Select> {
    let SetExpr::Select(select) = query.body.as_ref() else { return None };
    let is_plain = query.with.is_none()
        && query.order_by.is_none()
        && query.limit_clause.is_none()
        && query.pipe_operators.is_empty();
    (is_plain && select.distinct.is_none() && select.having.is_none()).then_some(select)
}

/// `ROW_NUMBER() OVER (PARTITION BY k ORDER BY ts DESC)`.
fn newest_first(function: &Function) -> Option<Newest> {
    let Some(WindowType::WindowSpec(over)) = &function.over else { return None };
    let column = |expr: &Expr| match expr {
        Expr::Identifier(column) => Some(normal(column)),
        _ => None,
    };
    let [order] = over.order_by.as_slice() else { return None };
    let is_number = name_of(&function.name).eq_ignore_ascii_case("row_number");
    if !is_number || order.options.asc != Some(false) {
        return None;
    }
    let key = over.partition_by.iter().map(column).collect::<Option<Vec<_>>>()?;
    Some(Newest { key, time: column(&order.expr)? }).filter(|newest| !newest.key.is_empty())
}

/// `n = 1`, or `n <= 1`.
fn is_one(condition: &Expr, number: &str) -> bool {
    let Expr::BinaryOp { left, op: BinaryOperator::Eq | BinaryOperator::LtEq, right } = condition else {
        return false;
    };
    let is_number = |expr: &Expr| match expr {
        Expr::Identifier(column) => normal(column) == number,
        Expr::CompoundIdentifier(parts) => parts.last().is_some_and(|column| normal(column) == number),
        _ => false,
    };
    let is_literal = |expr: &Expr| match expr {
        Expr::Value(value) => matches!(&value.value, Value::Number(text, _) if text == "1"),
        _ => false,
    };
    is_number(left) && is_literal(right)
}
