//! By which names a SELECT knows processing time: columns declared `AS PROCTIME()`, and what subqueries, views and WITH queries call it.

use std::collections::BTreeSet;

use datafusion::sql::sqlparser::ast::{Expr, Query, Select, SelectItem, SetExpr, TableFactor};

use crate::catalog::{Catalog, Entry};
use crate::parse::{name_of, normal};

/// Names of processing time.
type Names = BTreeSet<String>;

/// Follows a walk over a query, and answers which names its parts have for processing time.
pub(crate) struct Moments<'a> {
    catalog: &'a Catalog,
    /// Those of the WITH queries in scope; the innermost are last.
    ctes: Vec<Vec<(String, Names)>>,
}

impl<'a> Moments<'a> {
    pub(crate) fn new(catalog: &'a Catalog) -> Self {
        Self { catalog, ctes: Vec::new() }
    }

    /// What follows is part of this query.
    pub(crate) fn enter(&mut self, query: &Query) {
        self.ctes.push(Vec::new());
        for cte in query.with.iter().flat_map(|with| &with.cte_tables) {
            let names = self.of_query(&cte.query);
            let scope = self.ctes.last_mut().expect("it was pushed");
            scope.push((normal(&cte.alias.name), names));
        }
    }

    /// The query that was entered last is over.
    pub(crate) fn leave(&mut self) {
        self.ctes.pop();
    }

    /// The names within a SELECT.
    pub(crate) fn in_select(&mut self, select: &Select) -> Names {
        factors_of(select).flat_map(|factor| self.of_factor(factor)).collect()
    }

    fn of_factor(&mut self, factor: &TableFactor) -> Names {
        match factor {
            TableFactor::Table { name, args: None, .. } => self.of_table(&name_of(name)),
            TableFactor::Derived { subquery, .. } => self.of_query(subquery),
            _ => Names::new(),
        }
    }

    fn of_table(&mut self, name: &str) -> Names {
        if let Some((_, names)) = self.ctes.iter().rev().flatten().find(|(cte, _)| cte == name) {
            return names.clone();
        }
        let catalog = self.catalog;
        match catalog.get(name) {
            // A view sees no WITH queries but its own.
            Some(Entry::View(view)) if view.columns.is_empty() => {
                Moments::new(catalog).of_query(&view.query.ast)
            }
            _ => catalog.stream(name).iter().flat_map(|stream| stream.proctime.clone()).collect(),
        }
    }

    /// The names of a query's columns that are processing time.
    fn of_query(&mut self, query: &Query) -> Names {
        self.enter(query);
        let names = match &*query.body {
            // What comes out of pipes is another thing.
            _ if !query.pipe_operators.is_empty() => Names::new(),
            SetExpr::Select(select) => self.given_out(select),
            SetExpr::Query(inner) => self.of_query(inner),
            _ => Names::new(),
        };
        self.leave();
        names
    }

    fn given_out(&mut self, select: &Select) -> Names {
        let within = self.in_select(select);
        let mut names = Names::new();
        for item in &select.projection {
            match item {
                SelectItem::Wildcard(_) | SelectItem::QualifiedWildcard(..) => {
                    names.extend(within.iter().cloned());
                }
                SelectItem::ExprWithAlias { expr, alias } if is_moment(expr, &within) => {
                    names.insert(normal(alias));
                }
                SelectItem::UnnamedExpr(expr) if is_moment(expr, &within) => {
                    names.extend(own_name(expr));
                }
                _ => {}
            }
        }
        names
    }
}

fn own_name(expr: &Expr) -> Option<String> {
    match expr {
        Expr::Identifier(name) => Some(normal(name)),
        Expr::CompoundIdentifier(parts) => parts.last().map(normal),
        _ => None,
    }
}

/// The tables that a SELECT reads and joins.
pub(crate) fn factors_of(select: &Select) -> impl Iterator<Item = &TableFactor> {
    select
        .from
        .iter()
        .flat_map(|from| std::iter::once(&from.relation).chain(from.joins.iter().map(|join| &join.relation)))
}

/// Whether an expression is the moment at which a row arrived, in Flink's words.
fn is_moment(expr: &Expr, moments: &Names) -> bool {
    match expr {
        Expr::Function(function) => name_of(&function.name).eq_ignore_ascii_case("proctime"),
        Expr::Nested(inner) => is_moment(inner, moments),
        _ => own_name(expr).is_some_and(|name| moments.contains(&name)),
    }
}

/// Whether a time is the one at which the row is processed. `moments`: the names of such times.
pub(crate) fn is_now(time: &Expr, moments: &Names) -> bool {
    match time {
        Expr::Function(function) => {
            let name = name_of(&function.name).to_lowercase();
            matches!(name.as_str(), "proctime" | "now" | "current_timestamp" | "localtimestamp")
        }
        Expr::Nested(inner) => is_now(inner, moments),
        _ => is_moment(time, moments),
    }
}
