//! `CROSS JOIN LATERAL (SELECT ... WHERE t.k = o.k ORDER BY x LIMIT n)` in the shape in which it runs: the first rows of every key are
//! joined by the key.
//!
//! ```text
//!  SELECT o.k, f.x FROM o CROSS JOIN LATERAL (SELECT t.x FROM t WHERE t.k = o.k ORDER BY t.x LIMIT 3) AS f
//! ```
//!
//! becomes, in the syntax tree,
//!
//! ```text
//!  SELECT o.k, f.x FROM o JOIN (
//!    SELECT * EXCLUDE ($rank) FROM (
//!      SELECT t.x, t.k AS $key_0, ROW_NUMBER() OVER (PARTITION BY t.k ORDER BY t.x) AS $rank FROM t
//!    ) WHERE $rank <= 3
//!  ) AS f ON o.k = f.$key_0
//! ```
//!
//! That is so where all that the subquery says of the tables before it is that a value is equal to one of theirs. Any other is left as it
//! is.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    BinaryOperator, ExcludeSelectItem, Expr, Function, GroupByExpr, Ident, Join, JoinConstraint,
    JoinOperator, LimitClause, ObjectName, ObjectNamePart, OrderByExpr, OrderByKind, Query, Select,
    SelectItem, SelectItemQualifiedWildcardKind, SetExpr, TableAlias, TableAliasColumnDef, TableFactor,
    TableWithJoins, Value, Visitor, VisitorMut, WindowType,
};
use datafusion::sql::sqlparser::parser::Parser;

use super::dialect::HeadwaterDialect;
use super::reader::{name_of, normal};
use crate::walk::{Walk, WalkMut};

/// Joins the first rows of each key with the tables that want them.
pub(super) fn unify_lateral(query: &mut Query) {
    let _ = query.walk_mut(&mut Unify);
}

struct Unify;

impl VisitorMut for Unify {
    type Break = ();

    fn pre_visit_select(&mut self, select: &mut Select) -> ControlFlow<()> {
        join_comma_laterals(&mut select.from);
        let mut hidden = Vec::new();
        for from in &mut select.from {
            let mut before: Vec<String> = name_of_factor(&from.relation).into_iter().collect();
            for join in &mut from.joins {
                if let Some(keys) = first_rows_of(join, &before, hidden.len()) {
                    hidden.push(keys);
                }
                before.extend(name_of_factor(&join.relation));
            }
        }
        if !hidden.is_empty() {
            select.projection.iter_mut().for_each(|item| hide(item, &hidden));
        }
        ControlFlow::Continue(())
    }
}

/// `FROM o, LATERAL (...)` says what `CROSS JOIN` does.
fn join_comma_laterals(from: &mut Vec<TableWithJoins>) {
    let mut nth = 1;
    while nth < from.len() {
        let is_limited = match &from[nth].relation {
            TableFactor::Derived { lateral: true, subquery, .. } => subquery.limit_clause.is_some(),
            _ => false,
        };
        if is_limited && from[nth].joins.is_empty() {
            let relation = from.remove(nth).relation;
            let join_operator = JoinOperator::CrossJoin(JoinConstraint::None);
            from[nth - 1].joins.push(Join { relation, global: false, join_operator });
        } else {
            nth += 1;
        }
    }
}

/// The keys by which a table is joined, which nobody has asked for.
struct Hidden {
    table: Ident,
    keys: Vec<Ident>,
}

/// Leaves the keys out of what `*` stands for.
fn hide(item: &mut SelectItem, hidden: &[Hidden]) {
    let (options, of) = match item {
        SelectItem::Wildcard(options) => (options, None),
        SelectItem::QualifiedWildcard(SelectItemQualifiedWildcardKind::ObjectName(name), options) => {
            (options, Some(name_of(name)))
        }
        _ => return,
    };
    let is_meant = |hidden: &&Hidden| of.as_ref().is_none_or(|name| *name == normal(&hidden.table));
    let keys = hidden.iter().filter(is_meant).flat_map(|hidden| hidden.keys.iter().cloned());
    let keys: Vec<ObjectName> = keys.map(|key| ObjectName::from(vec![key])).collect();
    if keys.is_empty() {
        return;
    }
    let already = match options.opt_exclude.take() {
        None => Vec::new(),
        Some(ExcludeSelectItem::Single(name)) => vec![name],
        Some(ExcludeSelectItem::Multiple(names)) => names,
    };
    options.opt_exclude = Some(ExcludeSelectItem::Multiple(already.into_iter().chain(keys).collect()));
}

/// The number of a row among those of its key.
const RANK: &str = "$rank";

/// Turns a LATERAL subquery with LIMIT into the first rows of all keys, joined by these. `before`: the tables that it may speak of;
/// `nth`: how many there are before it.
fn first_rows_of(join: &mut Join, before: &[String], nth: usize) -> Option<Hidden> {
    let is_left = is_left(&join.join_operator)?;
    let TableFactor::Derived { lateral: true, subquery, alias, sample: None } = &join.relation else {
        return None;
    };
    let limited = Limited::of(subquery)?;
    let inner: Vec<String> = limited.select.from.iter().flat_map(names_of).collect();
    let outer: Vec<&String> = before.iter().filter(|name| !inner.contains(name)).collect();
    let Parted { equal, rest } = Parted::of(limited.select.selection.as_ref(), &outer);
    if equal.is_empty() {
        return None;
    }
    let order = limited.order()?;
    let keys: Vec<Ident> =
        (0..equal.len()).map(|key| Ident::with_quote('"', format!("$key_{nth}_{key}"))).collect();
    let mut select = limited.select.clone();
    select.selection = rest.into_iter().reduce(and);
    if mentions(&select, &outer) || order.walk(&mut Mentions(&outer)).is_break() {
        return None;
    }
    let rank = rank(equal.iter().map(|(inner, _)| inner.clone()).collect(), order)?;
    let added = equal.iter().map(|(inner, _)| inner.clone()).zip(keys.iter().cloned());
    let added = added.chain([(rank, Ident::with_quote('"', RANK))]);
    select.projection.extend(added.map(|(expr, alias)| SelectItem::ExprWithAlias { expr, alias }));
    let mut alias = alias.clone().unwrap_or_else(|| TableAlias {
        explicit: true,
        name: Ident::with_quote('"', format!("$lateral_{nth}")),
        columns: Vec::new(),
        at: None,
    });
    if !alias.columns.is_empty() {
        let named = |name: &Ident| TableAliasColumnDef { name: name.clone(), data_type: None };
        alias.columns.extend(keys.iter().map(named));
    }
    let table = alias.name.clone();
    let equalities = equal.into_iter().zip(&keys).map(|((_, outer), key)| Expr::BinaryOp {
        left: Box::new(outer),
        op: BinaryOperator::Eq,
        right: Box::new(Expr::CompoundIdentifier(vec![table.clone(), key.clone()])),
    });
    let on = JoinConstraint::On(equalities.reduce(and)?);
    let subquery = ranked(select, limited.rows)?;
    join.relation = TableFactor::Derived { lateral: false, subquery, alias: Some(alias), sample: None };
    join.join_operator = if is_left { JoinOperator::Left(on) } else { JoinOperator::Inner(on) };
    Some(Hidden { table, keys })
}

/// Whether all rows before a join stay; `None` if it has a condition of its own, or is another one.
fn is_left(operator: &JoinOperator) -> Option<bool> {
    let on_true = |constraint: &JoinConstraint| match constraint {
        JoinConstraint::None => true,
        JoinConstraint::On(Expr::Value(value)) => value.value == Value::Boolean(true),
        _ => false,
    };
    match operator {
        JoinOperator::CrossJoin(on) | JoinOperator::Inner(on) | JoinOperator::Join(on) => {
            on_true(on).then_some(false)
        }
        JoinOperator::Left(on) | JoinOperator::LeftOuter(on) => on_true(on).then_some(true),
        _ => None,
    }
}

/// A plain SELECT with ORDER BY and LIMIT.
struct Limited<'a> {
    select: &'a Select,
    query: &'a Query,
    rows: u64,
}

impl<'a> Limited<'a> {
    fn of(query: &'a Query) -> Option<Self> {
        let Some(LimitClause::LimitOffset { limit: Some(Expr::Value(limit)), offset: None, limit_by }) =
            &query.limit_clause
        else {
            return None;
        };
        let Value::Number(rows, _) = &limit.value else { return None };
        let SetExpr::Select(select) = &*query.body else { return None };
        let is_grouped = match &select.group_by {
            GroupByExpr::Expressions(by, sets) => !by.is_empty() || !sets.is_empty(),
            GroupByExpr::All(_) => true,
        };
        let is_plain = query.with.is_none()
            && query.fetch.is_none()
            && limit_by.is_empty()
            && select.distinct.is_none()
            && select.top.is_none()
            && select.having.is_none()
            && select.qualify.is_none()
            && !is_grouped
            && select.walk(&mut Windows).is_continue();
        is_plain.then_some(Self { select, query, rows: rows.parse().ok()? })
    }

    /// What rows are ordered by, in terms of the tables: ORDER BY may speak of what SELECT gives, by name or by number.
    fn order(&self) -> Option<Vec<OrderByExpr>> {
        let OrderByKind::Expressions(order) = &self.query.order_by.as_ref()?.kind else { return None };
        let mut order = order.clone();
        for by in &mut order {
            match &by.expr {
                Expr::Value(value) => {
                    let Value::Number(number, _) = &value.value else { return None };
                    let nth = number.parse::<usize>().ok()?.checked_sub(1)?;
                    by.expr = match self.select.projection.get(nth)? {
                        SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. } => {
                            expr.clone()
                        }
                        _ => return None,
                    };
                }
                Expr::Identifier(name) => {
                    let named = self.select.projection.iter().find_map(|item| match item {
                        SelectItem::ExprWithAlias { expr, alias } => {
                            (normal(alias) == normal(name)).then(|| expr.clone())
                        }
                        _ => None,
                    });
                    by.expr = named.unwrap_or_else(|| by.expr.clone());
                }
                _ => {}
            }
        }
        Some(order)
    }
}

/// Finds functions over windows.
struct Windows;

impl Visitor for Windows {
    type Break = ();

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
        match expr {
            Expr::Function(Function { over: Some(_), .. }) => ControlFlow::Break(()),
            _ => ControlFlow::Continue(()),
        }
    }
}

/// A condition in parts.
#[derive(Default)]
struct Parted {
    /// Values of the subquery, and those of the tables before it that they are equal to.
    equal: Vec<(Expr, Expr)>,
    rest: Vec<Expr>,
}

impl Parted {
    fn of(condition: Option<&Expr>, outer: &[&String]) -> Self {
        let mut parted = Self::default();
        if let Some(condition) = condition {
            parted.take(condition, outer);
        }
        parted
    }

    fn take(&mut self, condition: &Expr, outer: &[&String]) {
        match condition {
            Expr::Nested(inner) => self.take(inner, outer),
            Expr::BinaryOp { left, op: BinaryOperator::And, right } => {
                self.take(left, outer);
                self.take(right, outer);
            }
            Expr::BinaryOp { left, op: BinaryOperator::Eq, right } if is_of(left, outer) => {
                self.equal.push(((**right).clone(), (**left).clone()));
            }
            Expr::BinaryOp { left, op: BinaryOperator::Eq, right } if is_of(right, outer) => {
                self.equal.push(((**left).clone(), (**right).clone()));
            }
            other => self.rest.push(other.clone()),
        }
    }
}

/// Whether an expression is a column of one of these tables.
fn is_of(expr: &Expr, tables: &[&String]) -> bool {
    match expr {
        Expr::CompoundIdentifier(parts) => {
            parts.first().is_some_and(|table| tables.contains(&&normal(table)))
        }
        _ => false,
    }
}

/// Whether anything in a SELECT is a column of one of these tables.
fn mentions(select: &Select, tables: &[&String]) -> bool {
    let item = |item: &SelectItem| match item {
        SelectItem::QualifiedWildcard(SelectItemQualifiedWildcardKind::ObjectName(name), _) => {
            tables.contains(&&name_of(name))
        }
        _ => false,
    };
    select.projection.iter().any(item) || select.walk(&mut Mentions(tables)).is_break()
}

struct Mentions<'a>(&'a [&'a String]);

impl Visitor for Mentions<'_> {
    type Break = ();

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
        if is_of(expr, self.0) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }
}

fn and(left: Expr, right: Expr) -> Expr {
    let nested = |expr| Box::new(Expr::Nested(Box::new(expr)));
    Expr::BinaryOp { left: nested(left), op: BinaryOperator::And, right: nested(right) }
}

/// `ROW_NUMBER() OVER (PARTITION BY keys ORDER BY order)`.
fn rank(keys: Vec<Expr>, order: Vec<OrderByExpr>) -> Option<Expr> {
    let mut parser = Parser::new(&HeadwaterDialect).try_with_sql("ROW_NUMBER() OVER ()").ok()?;
    let mut expr = parser.parse_expr().ok()?;
    let Expr::Function(Function { over: Some(WindowType::WindowSpec(over)), .. }) = &mut expr else {
        return None;
    };
    over.partition_by = keys;
    over.order_by = order;
    Some(expr)
}

/// The rows of a SELECT that has their ranks, up to one.
fn ranked(select: Select, rows: u64) -> Option<Box<Query>> {
    let read = |shape: &str| Parser::new(&HeadwaterDialect).try_with_sql(shape).ok()?.parse_query().ok();
    let mut inner = read("SELECT 1")?;
    inner.body = Box::new(SetExpr::Select(Box::new(select)));
    let mut query = read(&format!("SELECT * EXCLUDE (\"{RANK}\") FROM t WHERE \"{RANK}\" <= {rows}"))?;
    let SetExpr::Select(outer) = &mut *query.body else { return None };
    let relation = &mut outer.from.first_mut()?.relation;
    *relation = TableFactor::Derived { lateral: false, subquery: inner, alias: None, sample: None };
    Some(query)
}

fn names_of(from: &TableWithJoins) -> Vec<String> {
    let joined = from.joins.iter().map(|join| &join.relation);
    std::iter::once(&from.relation).chain(joined).filter_map(name_of_factor).collect()
}

fn name_of_factor(factor: &TableFactor) -> Option<String> {
    match factor {
        TableFactor::Table { alias: Some(alias), .. }
        | TableFactor::Derived { alias: Some(alias), .. }
        | TableFactor::TableFunction { alias: Some(alias), .. } => Some(normal(&alias.name)),
        TableFactor::Table { name, .. } => name.0.last().and_then(ObjectNamePart::as_ident).map(normal),
        _ => None,
    }
}
